//! `koncli run` and the compiler's commands as a user meets them: no cluster, a pipe, whole outputs.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn koncli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koncli"));
    command
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .env_remove("KUBECONFIG");
    command
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

fn written(folder: &Path, pipeline: &str) -> PathBuf {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, pipeline).unwrap();
    file
}

#[test]
fn hello_runs_to_its_end_and_hands_on_a_value() {
    let file = examples().join("01-hello/pipeline.kon");
    let output = koncli()
        .arg("run")
        .arg(file)
        .args(["--set", "name=you"])
        .output()
        .unwrap();
    assert_eq!(
        text(&output.stdout),
        "greet | hello, you\ncount | that was 3 bytes\n"
    );
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
}

#[test]
fn readers_that_start_after_a_failure_find_nothing_where_its_files_would_be() {
    let pipeline = r#"
pipeline p {
  param go: bool = false
  defaults { image = "busybox:1.36" }
  stage a {
    run = "exit 1"
    output d: dir
    output f: file
  }
  stage s when go {
    run = "true"
    output f: file
  }
  stage b after a.failed, s.skipped {
    run = "test -e \"${a.f}\" || test -e \"${s.f}\" || echo none >> lines"
  }
  finally stage z { run = "test -e \"${a.d}\" || echo cleanup >> lines" }
}
"#;
    let folder = tempfile::tempdir().unwrap();
    let output = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1, "{}", text(&output.stderr));
    let lines = std::fs::read_to_string(folder.path().join("lines")).unwrap_or_default();
    assert_eq!(lines, "none\ncleanup\n", "{}", text(&output.stderr));
}

/// The figures of the report, computed from the source in another way.
fn expected_report(csv: &str) -> Vec<String> {
    let mut orders: BTreeMap<&str, &str> = BTreeMap::new();
    for line in csv.lines().skip(1) {
        let order = line.split(',').next().unwrap();
        if !line.split(',').nth(4).unwrap().is_empty() {
            orders.entry(order).or_insert(line);
        }
    }
    let mut regions: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut products: BTreeMap<String, u64> = BTreeMap::new();
    for line in orders.values() {
        let fields: Vec<&str> = line.split(',').collect();
        if fields[6].eq_ignore_ascii_case("paid") {
            let price: u64 = fields[5].replace('.', "").parse().unwrap();
            let cents = fields[4].parse::<u64>().unwrap() * price;
            for key in [fields[2], "total"] {
                let entry = regions.entry(key.to_owned()).or_default();
                *entry = (entry.0 + 1, entry.1 + cents);
            }
            *products.entry(fields[3].trim().to_owned()).or_default() += cents;
        }
    }
    let money = |cents: u64| format!("{}.{:02}", cents / 100, cents % 100);
    let mut lines: Vec<String> = regions
        .iter()
        .map(|(region, (count, cents))| {
            format!("{region:<6} {count:>4} orders {:>12}", money(*cents))
        })
        .collect();
    let best = products.iter().max_by_key(|(_, cents)| **cents).unwrap();
    lines.push(format!("best: {} {}", best.0, money(*best.1)));
    lines.sort();
    lines
}

#[test]
fn sales_gives_the_right_report() {
    // A copy, so that runs at the same time do not meet in one folder.
    let folder = tempfile::tempdir().unwrap();
    for name in ["pipeline.kon", "sales.csv"] {
        std::fs::copy(
            examples().join("02-sales").join(name),
            folder.path().join(name),
        )
        .unwrap();
    }
    let file = folder.path().join("pipeline.kon");
    let output = koncli().arg("run").arg(file).output().unwrap();
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let csv = std::fs::read_to_string(folder.path().join("sales.csv")).unwrap();
    let report = std::fs::read_to_string(folder.path().join("out/report.txt")).unwrap();
    let mut report: Vec<&str> = report.lines().collect();
    report.sort_unstable();
    assert_eq!(report, expected_report(&csv));
}

#[test]
fn a_failed_stage_is_named_with_the_end_of_its_log_and_what_depended_on_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline bad {
      defaults { image = "busybox:1.36" }
      stage a { run = "echo working; echo oh no >&2; exit 3" }
      stage b after a { run = "true" }
    }"#;
    let output = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .output()
        .unwrap();
    let printed = text(&output.stderr);
    assert_eq!(code(&output), 1, "{printed}");
    let end: Vec<&str> = printed
        .lines()
        .skip_while(|line| !line.starts_with('✗'))
        .collect();
    assert_eq!(
        end,
        [
            "✗ a failed: exit code 3: oh no",
            "    working",
            "    oh no",
            "⊘ b unreached: stage a failed",
            "error: run/bad failed: stage a failed (job/bad-a): exit code 3: oh no",
        ]
    );
}

#[test]
fn queue_is_ignored_where_there_is_no_kueue() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline queued {
      defaults {
        image = "busybox:1.36"
        queue = "batch"
      }
      stage a { run = "true" }
      stage b after a { run = "true" }
    }"#;
    let output = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .output()
        .unwrap();
    let printed = text(&output.stderr);
    assert_eq!(code(&output), 0, "{printed}");
    let note = "note: there is no Kueue here, so `queue` of a, b is ignored\n";
    assert!(printed.contains(note), "{printed}");
}

#[test]
fn log_of_one_line_is_quoted_once_without_colours_and_in_short() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline bad {
      defaults { image = "busybox:1.36" }
      stage a { run = "printf 'last \\033[31mred\\033[0m\\033[2J'; exit 7" }
      stage b { run = "head -c 3000 /dev/zero | tr '\\0' x; exit 1" }
    }"#;
    let output = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .output()
        .unwrap();
    let printed = text(&output.stderr);
    let end: Vec<&str> = printed
        .lines()
        .skip_while(|line| !line.starts_with('✗'))
        .collect();
    let long = format!("✗ b failed: exit code 1: {}…", "x".repeat(240));
    assert_eq!(end.len(), 3, "{printed}");
    assert_eq!(end[0], "✗ a failed: exit code 7: last red\\u{1b}[2J");
    assert_eq!(end[1], long);
    assert!(end[2].starts_with("error: run/bad failed: "), "{printed}");
}

#[test]
fn each_line_of_an_indexed_stage_is_printed_with_its_item() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline idx {
      stage a for i in 0..<3 { image = "busybox:1.36" run = "echo hello ${i}" }
    }"#;
    let output = koncli()
        .args(["run", "-o", "json"])
        .arg(written(folder.path(), pipeline))
        .output()
        .unwrap();
    let printed = text(&output.stderr);
    for index in 0..3 {
        let line = format!("a[{index}] | hello {index}");
        assert!(printed.lines().any(|other| other == line), "{printed}");
    }
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let indexes = &report["stages"][0]["items"][0]["indexes"];
    assert_eq!(
        *indexes,
        serde_json::json!({"total": 3, "succeeded": "0-2", "failed": ""})
    );
}

/// An attempt ends when its line was read: one that is shorter may go by unseen.
#[test]
fn each_attempt_is_counted_and_a_failure_says_after_how_many() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline again {
      stage a {
        image   = "busybox:1.36"
        retries = 2
        run     = """
          echo attempt >> attempts
          retry=$(($(wc -l < attempts) - 1))
          waits=600
          while [ $retry -gt 0 ] && [ ! -e seen-$retry ] && [ $waits -gt 0 ]; do
            waits=$((waits - 1))
            sleep 0.1
          done
          echo no
          exit 1
        """
      }
    }"#;
    let mut running = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = String::new();
    for line in BufReader::new(running.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        for retry in [1, 2] {
            if line.ends_with(&format!("● a running: retry {retry} of 2")) {
                std::fs::write(folder.path().join(format!("seen-{retry}")), "").unwrap();
            }
        }
        printed.push_str(&line);
        printed.push('\n');
    }
    assert_eq!(running.wait().unwrap().code(), Some(1), "{printed}");
    for expected in [
        "● a running: retry 1 of 2\n",
        "● a running: retry 2 of 2\n",
        "✗ a failed: exit code 1 after 2 retries: no\n",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[test]
fn a_pod_that_waits_for_its_turn_is_not_printed_as_running() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline turns {
      stage a for n in ["1", "2", "3", "4"] { image = "busybox:1.36" run = "sleep 0.2" }
    }"#;
    let output = koncli()
        .args(["run", "--jobs", "1"])
        .arg(written(folder.path(), pipeline))
        .output()
        .unwrap();
    let printed = text(&output.stderr);
    let (mut running, mut succeeded) = (0, 0);
    for line in printed.lines() {
        running += usize::from(line.contains("● a["));
        succeeded += usize::from(line.contains("✓ a["));
        // The watch of pods may be ahead of the one of Jobs: the next pod runs when the process before it has ended.
        assert!(running <= succeeded + 2, "{printed}");
    }
    assert_eq!((running, succeeded), (4, 4), "{printed}");
}

#[test]
fn an_interrupted_run_ends_with_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("started");
    let pipeline = r#"pipeline slow {
      defaults { image = "busybox:1.36" }
      stage a { run = "touch started; sleep 600" }
      stage b after a { run = "true" }
    }"#;
    let child = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_exists(&marker);
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = text(&output.stderr);
    assert_eq!(code(&output), 130, "{printed}");
    let last = printed.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: run/slow cancelled: "), "{printed}");
    let items: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with('⊘'))
        .collect();
    assert_eq!(
        items,
        [
            "⊘ a cancelled: its run was cancelled",
            "⊘ b cancelled: its run was cancelled"
        ]
    );
}

fn until_exists(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "it has not started"
        );
        std::thread::yield_now();
    }
}

#[test]
fn ctrl_c_ends_every_child_and_exits_130() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("started");
    let pipeline = r#"pipeline slow {
      defaults { image = "busybox:1.36" }
      stage a { run = "sleep 600 & echo $! > started.tmp; mv started.tmp started; wait" }
    }"#;
    let child = koncli()
        .arg("run")
        .arg(written(folder.path(), pipeline))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    until_exists(&marker);
    let sleeper: i32 = std::fs::read_to_string(&marker)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let id = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{}", text(&output.stderr));
    // A grandchild that was in the background is gone too.
    let is_left = || {
        std::fs::read_to_string(format!("/proc/{sleeper}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
    };
    let begun = Instant::now();
    while is_left() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "process {sleeper} is left"
        );
        std::thread::yield_now();
    }
}

#[test]
fn five_mistakes_are_reported_in_one_pass_in_source_order() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../compiler/tests/fixtures/err_five_mistakes.kon");
    let output = koncli()
        .args(["check", "-o", "json"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(code(&output), 2);
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let codes: Vec<&str> = printed
        .as_array()
        .unwrap()
        .iter()
        .map(|diagnostic| diagnostic["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["K0302", "K0203", "K0406", "K0201", "K0401"]);
    for diagnostic in printed.as_array().unwrap() {
        assert!(
            diagnostic["help"].is_string() && diagnostic["labels"][0]["primary"] == true,
            "{diagnostic}"
        );
    }
    let output = koncli().arg("check").arg(&file).output().unwrap();
    let printed = text(&output.stderr);
    assert_eq!(code(&output), 2);
    assert!(printed.ends_with("5 errors\n"), "{printed}");
    assert!(printed.contains("help: write `extract`"), "{printed}");
}

#[test]
fn the_same_file_compiles_to_the_same_bytes() {
    let file = examples().join("02-sales/pipeline.kon");
    let compiled = || koncli().arg("compile").arg(&file).output().unwrap();
    let (first, second) = (compiled(), compiled());
    assert_eq!(code(&first), 0);
    assert!(first.stdout.len() > 1000);
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn mistakes_on_the_command_line_have_their_exit_codes() {
    let table: [(&[&str], i32, &str); 7] = [
        (
            &["run", "missing.kon"],
            4,
            "error: missing.kon: no such file\n",
        ),
        (
            &["explain", "K9999"],
            2,
            "error: K9999 is not a code of a diagnostic",
        ),
        (
            &["wait", "run/x", "--kubeconfig", "missing"],
            6,
            "error: no cluster is configured",
        ),
        (
            &["wait", "pod/x", "--kubeconfig", "missing"],
            2,
            "error: \"pod\" can't be waited for",
        ),
        (
            &["barrier", "wait", "x", "--timeout", "soon"],
            2,
            "error: invalid value 'soon'",
        ),
        (&["frobnicate"], 2, "error: unrecognized subcommand"),
        (&["explain", "k0101"], 0, ""),
    ];
    for (arguments, expected, printed) in table {
        let output = koncli().args(arguments).output().unwrap();
        let said = text(&output.stderr);
        assert_eq!(code(&output), expected, "{arguments:?}: {said}");
        assert!(said.starts_with(printed), "{arguments:?}: {said}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut crds = koncli().arg("crds").stdout(Stdio::piped()).spawn().unwrap();
    drop(crds.stdout.take());
    assert_eq!(crds.wait().unwrap().code(), Some(0));
}

/// A run that fails, whose finally stage leaves a file.
const FAILS: &str = r#"
pipeline side {
  defaults { image = "busybox:1.36" }
  stage a { run = "for n in 1 2 3; do echo tick $n; done" }
  stage b after a { run = "echo now; exit 1" }
  finally stage f { run = "touch cleaned-up" }
}
"#;

/// Runs it with this stdout, of which nothing is read; returns its exit code and stderr.
fn unread(options: &[&str], stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut run = koncli()
        .arg("run")
        .arg(written(folder.path(), FAILS))
        .args(options)
        .current_dir(folder.path())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(run.stdout.take());
    let output = run.wait_with_output().unwrap();
    assert!(folder.path().join("cleaned-up").exists(), "{options:?}");
    (output.status.code(), text(&output.stderr))
}

#[test]
fn a_run_whose_output_nobody_reads_continues_to_its_end_and_reports_it() {
    for options in [&[][..], &["-o", "json"]] {
        let (code, stderr) = unread(options, Stdio::piped());
        assert_eq!(code, Some(1), "{options:?}: {stderr}");
        let warning = "warning: nobody reads stdout any more; continuing without it\n";
        assert_eq!(stderr.matches(warning).count(), 1, "{options:?}: {stderr}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_whose_output_fits_on_no_disk_continues_to_its_end_and_reports_it() {
    for options in [&[][..], &["-o", "json"]] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let (code, stderr) = unread(options, full);
        assert_eq!(code, Some(1), "{options:?}: {stderr}");
        let warning = "warning: stdout can't be written: No space left on device";
        assert_eq!(stderr.matches(warning).count(), 1, "{options:?}: {stderr}");
    }
    let full = || {
        std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let pipeline = r#"pipeline p { stage a { image = "busybox:1.36", run = "echo a" } }"#;
    let file = written(folder.path(), pipeline);
    // Logs are beside the point of a run; a document that was asked for is not.
    for (options, expected) in [(&[][..], 0), (&["-o", "json"], 1)] {
        let mut run = koncli();
        let output = run
            .arg("run")
            .arg(&file)
            .args(options)
            .stdout(full())
            .output();
        let output = output.unwrap();
        assert_eq!(
            code(&output),
            expected,
            "{options:?}: {}",
            text(&output.stderr)
        );
    }
    let output = koncli().arg("crds").stdout(full()).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(text(&output.stderr).starts_with("error: stdout can't be written: "));
}

#[test]
fn a_verdict_that_nobody_reads_is_still_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        "pipeline p { stage a after b { image = \"x:1\", run = \"true\" } }\n",
    );
    let mut check = koncli()
        .args(["check", "-o", "json"])
        .arg(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(check.stdout.take());
    assert_eq!(check.wait().unwrap().code(), Some(2));
}

#[test]
fn steps_reach_the_cluster_they_run_in() {
    let folder = tempfile::tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_koncli");
    let pipeline = format!(
        r#"pipeline inside {{
      defaults {{ image = "busybox:1.36" }}
      stage prepare {{ run = "{program} barrier create meet --expected 2" }}
      stage wait after prepare {{ run = "{program} barrier wait meet --timeout 30s && echo open" }}
      stage arrive for who in ["a", "b"] after prepare {{
        run = "{program} barrier arrive meet --holder \"${{who}}\""
      }}
      stage lease after wait, arrive {{ run = """
        {program} lease create daily --ttl 1m
        {program} lease acquire daily --holder me --timeout 0 > token
        if {program} lease acquire daily --holder you --timeout 0; then echo both; fi
        {program} lease release daily --holder me
        {program} lease hold daily -- sh -c 'test "$KONDUCTOR_TOKEN" -gt "$(cat token)" && echo newer'
      """ }}
    }}"#
    );
    let output = koncli()
        .arg("run")
        .arg(written(folder.path(), &pipeline))
        .output()
        .unwrap();
    let mut lines: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(
        code(&output),
        0,
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    lines
        .retain(|line| line.ends_with("open") || line.ends_with("both") || line.ends_with("newer"));
    assert_eq!(lines, ["wait | open", "lease | newer"]);
}

#[test]
fn the_charts_crds_are_those_of_this_koncli() {
    let output = koncli().arg("crds").output().unwrap();
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/konductor/files/crds.yaml");
    let chart = std::fs::read_to_string(chart).unwrap();
    assert!(
        text(&output.stdout) == chart,
        "charts/konductor/files/crds.yaml is not what `koncli crds` prints: run charts/generate"
    );
}
