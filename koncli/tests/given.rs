//! `koncli run` of pipelines that need what only a cluster has: it is given, or named before the start.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use support::{koncli, transcript};

fn run(folder: &Path, pipeline: &str, more: &[&str]) -> Output {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, pipeline).unwrap();
    let mut command = koncli();
    command.arg("run").arg(file).args(more);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The lines of stderr that say how it ended.
fn end(output: &Output) -> Vec<String> {
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines = printed
        .lines()
        .filter(|line| !line.starts_with(' ') || line.contains("--"));
    lines.map(str::to_owned).collect()
}

const SECRET: &str = r#"pipeline sec {
  defaults { image = "busybox:1.36" }
  stage a { run = "echo \"$P $R\"" env { P = secret("nope", "k")  R = config("site", "region") } }
}"#;

#[test]
fn a_secret_that_is_missing_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), SECRET, &[]);
    assert_eq!(
        transcript(&output),
        "error: the pipeline needs what is not here, so nothing was started\n  \
         secret nope, key k: --secret-file nope.k=FILE, or --secret nope.k=VALUE\n  \
         config site, key region: --config site.region=VALUE\n  \
         help: give each by its flag, or run the pipeline in a cluster that has it\n\
         exit code 2\n"
    );
}

#[test]
fn secrets_and_configs_are_given_by_flags_and_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "from a file").unwrap();
    std::fs::write(folder.path().join("vars"), "P=\"from vars\"\nR=us\n").unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let file = format!("nope.k={}", path("k"));
    let vars = path("vars");
    let table: [(&[&str], &str); 4] = [
        (
            &["--secret", "nope.k=x=y", "--config", "site.region=eu"],
            "a | x=y eu\n",
        ),
        (
            &["--secret-file", &file, "--config", "site.region=eu"],
            "a | from a file eu\n",
        ),
        (&["--env-file", &vars], "a | from vars us\n"),
        (
            &["--env-file", &vars, "--config", "site.region=eu"],
            "a | from vars eu\n",
        ),
    ];
    for (more, expected) in table {
        let output = run(folder.path(), SECRET, more);
        assert_eq!(stdout(&output), expected, "{}", transcript(&output));
        assert_eq!(output.status.code(), Some(0));
    }
    let typo = run(folder.path(), SECRET, &["--secret", "nope.key=x"]);
    assert_eq!(
        transcript(&typo),
        "error: --secret nope.key: this run needs nothing of that name\n  help: it needs nope.k\n\
         exit code 2\n"
    );
}

#[test]
fn approvals_are_given_by_a_flag_where_nobody_can_be_asked() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline rel {
      defaults { image = "busybox:1.36" }
      approval go after test { approvers = 2 }
      stage test { run = "echo tested" }
      stage ship after go { run = "echo shipped" }
    }"#;
    let output = run(folder.path(), pipeline, &[]);
    assert_eq!(
        transcript(&output),
        "error: the pipeline needs what is not here, so nothing was started\n  \
         approval go: --approve go, or --approve-all\n  \
         help: give each by its flag, or run the pipeline in a cluster that has it\n\
         exit code 2\n"
    );
    for more in [&["--approve", "go"][..], &["--approve-all"]] {
        let output = run(folder.path(), pipeline, more);
        assert_eq!(stdout(&output), "test | tested\nship | shipped\n");
        let printed = transcript(&output);
        assert!(
            printed.contains("approval go approved by tester\n"),
            "{printed}"
        );
        assert_eq!(output.status.code(), Some(0), "{printed}");
    }
}

#[test]
fn what_others_make_is_assumed_only_where_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline late {
      semaphore cores { external = true }
      lease     ring  { external = true }
      workspace data  { external = true }
      defaults { image = "busybox:1.36" }
      stage a after gate("release"), barrier("ops/ready"), pipeline("rates") within 1h
              holding cores, ring {
        mount data at "/data"
        run = "test -d \"$KONDUCTOR_MOUNT_DATA\" && echo went"
      }
    }"#;
    let needed = run(folder.path(), pipeline, &[]);
    assert_eq!(
        transcript(&needed),
        "error: the pipeline needs what is not here, so nothing was started\n  \
         gate/release: --assume gate/release=open\n  \
         barrier/ops/ready: --assume barrier/ops/ready=open\n  \
         pipeline/rates: --assume pipeline/rates=succeeded\n  \
         semaphore/cores: --assume semaphore/cores=1\n  \
         lease/ring: --assume lease/ring=free\n  \
         workspace/data: --assume workspace/data=empty\n  \
         help: give each by its flag, or run the pipeline in a cluster that has it\n\
         exit code 2\n"
    );
    let all = [
        "gate/release=open",
        "barrier/ops/ready=open",
        "pipeline/rates=succeeded",
        "semaphore/cores=1",
        "lease/ring=free",
        "workspace/data=empty",
    ];
    let more: Vec<&str> = all
        .iter()
        .flat_map(|assumption| ["--assume", assumption])
        .collect();
    let output = run(folder.path(), pipeline, &more);
    assert_eq!(stdout(&output), "a | went\n", "{}", transcript(&output));
    assert_eq!(output.status.code(), Some(0));
}

/// Waits for a file that a step makes.
fn appears(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            file.display()
        );
        std::thread::yield_now();
    }
}

#[test]
fn the_first_interrupt_cancels_and_finally_runs_and_the_second_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.kon");
    let pipeline = r#"pipeline slow {
      defaults { image = "busybox:1.36" }
      stage a { run = "touch started; sleep 600" }
      finally stage tidy { run = "echo \"tidied after ${run.outcome}\"; WAIT" }
    }"#;
    for (wait, signals, code) in [
        ("true", &[Signal::INT][..], 130),
        ("true", &[Signal::TERM], 143),
        ("sleep 600", &[Signal::INT, Signal::INT], 130),
    ] {
        std::fs::write(&file, pipeline.replace("WAIT", wait)).unwrap();
        let mut child = koncli()
            .arg("run")
            .arg(&file)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = folder.path().join("started");
        appears(&started);
        std::fs::remove_file(started).unwrap();
        kill_process(Pid::from_child(&child), signals[0]).unwrap();
        // The log is read while the stage runs: the second interrupt comes after that.
        let mut log = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        assert_eq!(line, "tidy | tidied after cancelled\n");
        if let Some(second) = signals.get(1) {
            kill_process(Pid::from_child(&child), *second).unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let mut rest = String::new();
        log.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
        assert_eq!(output.status.code(), Some(code), "{}", transcript(&output));
    }
}

#[test]
fn a_timeout_is_never_early_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline t {
      defaults { image = "busybox:1.36" }
      stage before { run = "date +%s%N > began" }
      stage slow after before { timeout = 2s run = "trap 'date +%s%N > ended; exit 1' TERM; while :; do sleep 0.02 || true; done" }
    }"#;
    for _ in 0..3 {
        let output = run(folder.path(), pipeline, &[]);
        let printed = end(&output);
        assert!(
            printed.contains(&"✗ slow failed: it ran longer than its timeout of 2s".to_owned()),
            "{printed:?}"
        );
        let stamp = |name: &str| -> u64 {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            text.trim().parse().unwrap()
        };
        // Its Job starts after the first stamp, and is asked to end before the second.
        let ran = Duration::from_nanos(stamp("ended") - stamp("began"));
        assert!(ran >= Duration::from_secs(2), "{ran:?}");
        std::fs::remove_file(folder.path().join("ended")).unwrap();
    }
}

#[test]
fn the_summary_names_the_index_and_what_may_fail() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline six {
      defaults { image = "busybox:1.36" }
      stage work for i in 0..<6 { run = "echo \"item ${i}\"; if [ \"${i}\" = 3 ]; then exit 4; fi" }
    }"#;
    let output = run(folder.path(), pipeline, &[]);
    let printed = transcript(&output);
    assert!(
        printed.contains("✗ work[3] failed: exit code 4: item 3\n"),
        "{printed}"
    );
    let pipeline = r#"pipeline mf {
      defaults { image = "busybox:1.36" }
      stage a { run = "true" }
      stage b { may-fail = true run = "exit 1" }
    }"#;
    let printed = end(&run(folder.path(), pipeline, &[]));
    let last = &printed[printed.len() - 2..];
    assert_eq!(last[0], "✗ b failed: exit code 1");
    assert!(last[1].starts_with("run/mf succeeded in "), "{last:?}");
    assert!(
        last[1].ends_with("s: 1 Job succeeded, 1 failed (allowed by may-fail or quorum)"),
        "{last:?}"
    );
}

#[test]
fn two_runs_of_one_file_do_not_share_what_only_one_may_have() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.kon");
    let pipeline = r#"pipeline one {
      lease only {}
      defaults { image = "busybox:1.36" }
      stage a holding only { run = "touch started; until [ -e released ]; do sleep 0.05; done" }
    }"#;
    std::fs::write(&file, pipeline).unwrap();
    let mut first = koncli()
        .arg("run")
        .arg(&file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    appears(&folder.path().join("started"));
    let second = koncli().arg("run").arg(&file).output().unwrap();
    assert_eq!(
        transcript(&second),
        format!(
            "error: {} is being run already, and has semaphores or leases\n  help: wait for its end, or \
             use `koncli dev` and `koncli apply`: these hold within one cluster\nexit code 1\n",
            file.display()
        )
    );
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let third = koncli().arg("run").arg(&file).output().unwrap();
    assert_eq!(third.status.code(), Some(0), "{}", transcript(&third));
}

#[test]
fn two_runs_of_one_pipeline_from_standard_input_do_not_share_what_only_one_may_have() {
    let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let pipeline = |name: &str| {
        let text = r#"{
          lease only {}
          defaults { image = "busybox:1.36" }
          stage a holding only { run = "touch started; until [ -e released ]; do sleep 0.05; done" }
        }"#;
        format!("pipeline {name} {text}")
    };
    let start_from = |input: &str, folder: &Path, name: &str| {
        let mut command = koncli();
        command
            .args(["run", input, "--run", "r"])
            .current_dir(folder);
        command.env("TMPDIR", temporary.path());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(pipeline(name).as_bytes()).unwrap();
        child
    };
    let start = |folder: &Path, name: &str| start_from("-", folder, name);
    let mut first = start(folder.path(), "single");
    appears(&folder.path().join("started"));
    for input in ["-", "/dev/stdin"] {
        let second = start_from(input, folder.path(), "single");
        assert_eq!(
            transcript(&second.wait_with_output().unwrap()),
            "error: pipeline single of standard input is being run already, and has semaphores or leases\n  help: \
             wait for its end, or use `koncli dev` and `koncli apply`: these hold within one cluster\nexit code 1\n",
            "{input}"
        );
    }
    // Neither the name alone nor the directory alone makes it the same.
    std::fs::write(other.path().join("released"), "").unwrap();
    let elsewhere = start(other.path(), "single").wait_with_output().unwrap();
    assert_eq!(
        elsewhere.status.code(),
        Some(0),
        "{}",
        transcript(&elsewhere)
    );
    std::fs::remove_file(folder.path().join("started")).unwrap();
    let mut renamed = start(folder.path(), "double");
    appears(&folder.path().join("started"));
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(renamed.wait().unwrap().code(), Some(0));
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let third = start(folder.path(), "single").wait_with_output().unwrap();
    assert_eq!(third.status.code(), Some(0), "{}", transcript(&third));
    // What somebody else has put in the place of a lock is not followed.
    for lock in std::fs::read_dir(temporary.path()).unwrap() {
        let lock = lock.unwrap().path();
        std::fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &lock).unwrap();
    }
    let refused = start(folder.path(), "single").wait_with_output().unwrap();
    let printed = transcript(&refused);
    assert!(
        printed.starts_with("error: the lock ")
            && printed.contains("can't be opened")
            && printed.ends_with(
                "  help: set TMPDIR to a folder that you can write, or write the pipeline to a file\nexit code 1\n"
            ),
        "{printed}"
    );
    assert!(!folder.path().join("elsewhere").exists());
}

/// The lines of `✗`, and the last one.
fn failures(output: &Output) -> Vec<String> {
    let all = end(output);
    let last = all.last().cloned();
    let failed = all.into_iter().filter(|line| line.starts_with('✗'));
    failed.chain(last).collect()
}

#[test]
fn outputs_that_do_not_fit_fail_their_stage_instead_of_becoming_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let long = r#"pipeline bigout {
      param n: int = 5000
      defaults { image = "busybox:1.36" }
      stage a {
        run = "printf 'o=%s\\n' \"$(head -c ${n} /dev/zero | tr '\\0' x)\" >> \"$KON_OUTPUT\""
        output o: string = ""
      }
      stage b { run = "printf '%s' \"${a.o}\" | wc -c > b" }
      finally stage f { run = "touch f" }
    }"#;
    let output = run(folder.path(), long, &[]);
    let too_long =
        "InvalidOutputs: together they are 4096 bytes or more, and were cut by the kubelet";
    assert_eq!(
        failures(&output),
        [
            format!("✗ a failed: {too_long}"),
            format!("error: run/bigout failed: stage a failed (job/bigout-a): {too_long}"),
        ]
    );
    assert!(!folder.path().join("b").exists());
    assert!(folder.path().join("f").exists());
    let fits = run(folder.path(), long, &["--set", "n=4000"]);
    assert_eq!(fits.status.code(), Some(0), "{fits:?}");

    let wrong = r#"pipeline badtype {
      param ok-text: string = "True"
      defaults { image = "busybox:1.36" }
      stage a {
        run = "printf 'rows= 12 \\nok=%s\\nlvl=High\\n' \"${ok-text}\" >> \"$KON_OUTPUT\""
        output rows: int = 0
        output ok: bool = false
        output lvl: "low" | "high" = "low"
      }
      stage use-run { run = "echo \"${a.rows} ${a.ok} ${a.lvl}\"; touch used" }
      stage when-not when !a.ok { run = "touch used" }
    }"#;
    let output = run(folder.path(), wrong, &[]);
    let each = "InvalidOutputs: rows=\" 12 \" is not of type int; ok=\"True\" is not of type bool; \
                lvl=\"High\" is not one of low|high";
    assert_eq!(failures(&output)[0], format!("✗ a failed: {each}"));
    assert_eq!(output.status.code(), Some(1));
    assert!(!folder.path().join("used").exists());
}

#[test]
fn a_script_with_a_shebang_runs_under_its_interpreter() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline shebang {
      defaults { image = "busybox:1.36" }
      stage arrays {
        run = """
          #!/bin/bash
          sums=(40 2)
          echo "hello $((sums[0] + sums[1]))"
        """
      }
    }"#;
    let output = run(folder.path(), pipeline, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert!(
        stdout(&output).contains("hello 42"),
        "{}",
        transcript(&output)
    );
}
