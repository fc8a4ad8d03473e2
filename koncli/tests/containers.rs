//! `koncli run --runtime podman`: what an engine is asked, and that no container stays behind. The engine
//! is a script that writes down what it is asked, and runs commands of this machine for containers.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};

use support::{koncli, path_with, transcript};

const ENGINE: &str = r#"#!/bin/sh
# One line for each time it is asked.
printf '%s\n' "$*" | tr '\n' ';' >> "$HERE/asked"
echo >> "$HERE/asked"
case $1 in
version) [ ! -e "$HERE/silent" ] || { echo 'Cannot connect.' >&2; exit 1; } ;;
image) [ "$3" = busybox:1.36 ] ;;
pull) echo 'Trying to pull' >&2; echo 'Error: no such image' >&2; exit 125 ;;
ps) ls "$HERE/containers" ;;
kill) kill -s KILL "$(cat "$HERE/containers/$2")" ;;
rm) rm -f "$HERE/containers/$3" ;;
run)
  shift
  while :; do
    case $1 in
    --rm) shift ;;
    --name) name=$2; shift 2 ;;
    --entrypoint) program=$2; shift 2 ;;
    --*) shift 2 ;;
    *) break ;;
    esac
  done
  shift
  echo $$ > "$HERE/containers/$name"
  exec "$program" "$@"
  ;;
esac
"#;

/// A folder with the engine, and what it was asked.
struct Engine {
    folder: tempfile::TempDir,
}

impl Engine {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("containers")).unwrap();
        let program = folder.path().join("podman");
        let text = folder.path().join("podman.txt");
        std::fs::write(&text, ENGINE).unwrap();
        // Another process writes it: what a thread of this one starts meanwhile would have it open, and nobody may run it.
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(text).arg(program);
        assert!(install.status().unwrap().success());
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn koncli(&self, pipeline: &str) -> Command {
        let file = self.path().join("p.kon");
        std::fs::write(&file, pipeline).unwrap();
        let mut command = koncli();
        command
            .args(["run", "--runtime", "podman"])
            .arg(file)
            .env("HERE", self.path())
            .env("PATH", path_with(self.path()));
        command
    }

    /// What it was asked, without what differs each time.
    fn calls(&self) -> String {
        let calls = std::fs::read_to_string(self.path().join("asked")).unwrap_or_default();
        let table = [
            (r"/[^ ,=]*/konductor-[^/]*", "/FOLDER"),
            (r"default_(p-\w+)-[0-9a-z]{5}_[-0-9a-f]{36}", "default_$1"),
            (r"(p-\w+)-[0-9a-z]{5}\b", "$1"),
            (r"konductor-\d+-\d+-", "konductor-1-"),
            (r"runner=\d+-\d+", "runner=1"),
        ];
        table.iter().fold(calls, |text, (pattern, fixed)| {
            Regex::new(pattern)
                .unwrap()
                .replace_all(&text, *fixed)
                .into_owned()
        })
    }

    fn containers(&self) -> Vec<PathBuf> {
        let containers = std::fs::read_dir(self.path().join("containers")).unwrap();
        containers.map(|entry| entry.unwrap().path()).collect()
    }
}

/// Starts a run, and waits until its only step prints a line.
fn started(engine: &Engine, pipeline: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let child = engine
        .koncli(pipeline)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = child.unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "a | up\n");
    (child, stdout)
}

#[test]
fn a_container_is_what_its_pod_says() {
    let engine = Engine::new();
    let pipeline = r#"
pipeline p {
  workspace data { size = 1Gi, access = many }
  stage a {
    image = "busybox:1.36"
    mount data at "/data"
    env { MODE = "fast and good" }
    pod """
      securityContext: {runAsUser: 1000, runAsGroup: 2000}
    """
    run = "echo in a container; exit 3"
  }
}
"#;
    let output = engine.koncli(pipeline).output().unwrap();
    let printed = transcript(&output);
    let expected = "a | in a container\n   S  ● a running\n   S  ✗ a failed\n\
         ✗ a failed: exit code 3: in a container\nerror: run/p failed: stage a failed (job/p-a): exit code 3: in a container\nexit code 1\n";
    let seconds = Regex::new(r" +\d+\.\d\ds  ").unwrap();
    assert_eq!(seconds.replace_all(&printed, "   S  "), expected);
    let expected = "version;\n\
         image inspect busybox:1.36;\n\
         run --rm --pull never --security-opt label=disable --name konductor-1-0 \
         --label konductor.io/runner=1 --label konductor.io/pod=default/p-a \
         --mount type=bind,source=/FOLDER/pods/claims/default/p-data,target=/data \
         --mount type=bind,source=/FOLDER/pods/pods/default_p-a/messages/main,target=/dev/termination-log \
         --env HOSTNAME=p-a --env MODE=fast and good --env TRACEPARENT= \
         --user 1000:2000 --entrypoint /bin/sh busybox:1.36 -eu -c echo in a container; exit 3;\n";
    assert_eq!(engine.calls(), expected);
}

#[test]
fn what_a_container_is_given_depends_on_what_its_pod_asks_for() {
    let table = [
        ("", false, false),
        (r#"service-account = "participant""#, true, true),
        (r#"pod "automountServiceAccountToken: true""#, true, true),
        (
            r#"service-account = "participant" pod "automountServiceAccountToken: false""#,
            false,
            false,
        ),
        (r#"pod "hostNetwork: true""#, true, false),
    ];
    for (asks, in_host_network, has_kubeconfig) in table {
        let engine = Engine::new();
        let pipeline =
            format!(r#"pipeline p {{ stage a {{ image = "busybox:1.36" {asks} run = "true" }} }}"#);
        let output = engine.koncli(&pipeline).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
        let calls = engine.calls();
        assert_eq!(
            calls.contains("--network host"),
            in_host_network,
            "{asks}: {calls}"
        );
        assert_eq!(
            calls.contains("kubeconfig"),
            has_kubeconfig,
            "{asks}: {calls}"
        );
        assert_eq!(
            calls.contains("KUBECONFIG"),
            has_kubeconfig,
            "{asks}: {calls}"
        );
    }
}

#[test]
fn an_image_that_is_an_option_reaches_no_engine() {
    // The manifest is applied by another client: no compiler has looked at it.
    for image in ["-h", "--privileged", "-v=/:/host", "busybox -v /:/host"] {
        let engine = Engine::new();
        let pipeline = r#"pipeline p { param i: string = "busybox:1.36" stage a { image = i
              exec = ["x", "--privileged", "-v=/:/host", "busybox", "id"] } }"#;
        let output = engine
            .koncli(pipeline)
            .arg("--set")
            .arg(format!("i={image}"))
            .output()
            .unwrap();
        assert_ne!(output.status.code(), Some(0), "{}", transcript(&output));
        let calls = engine.calls();
        assert!(
            !calls.contains("privileged") && !calls.contains("/host"),
            "{calls}"
        );
        assert!(!calls.contains("run "), "{calls}");
    }
}

#[test]
fn a_path_of_this_machine_is_mounted_only_where_that_is_allowed() {
    let engine = Engine::new();
    let pipeline = r#"pipeline p { stage a { image = "busybox:1.36" run = "true"
      pod """
        volumes: [{name: host, hostPath: {path: /}}]
        containers: [{name: main, volumeMounts: [{name: host, mountPath: /host}]}]
      """ } }"#;
    let output = engine.koncli(pipeline).output().unwrap();
    let printed = transcript(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let message = "is the path \"/\" of this machine: allow it with --allow-host-path";
    assert!(printed.contains(message), "{printed}");
    assert_eq!(engine.calls(), "version;\n");
    let output = engine
        .koncli(pipeline)
        .arg("--allow-host-path")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", transcript(&output));
    assert!(engine.calls().contains("type=bind,source=/,target=/host"));
}

#[test]
fn image_that_can_not_be_pulled_is_reported_in_the_words_of_the_engine() {
    let engine = Engine::new();
    let pipeline = r#"pipeline p { stage a { image = "gone:1" run = "true" } }"#;
    let output = engine.koncli(pipeline).output().unwrap();
    let printed = transcript(&output);
    let seconds = Regex::new(r" +\d+\.\d\ds  ").unwrap();
    assert_eq!(
        seconds.replace_all(&printed, "   S  "),
        "   S  ● a running\n   S  ✗ a failed\n\
         ✗ a failed: StartError (exit code 128): image gone:1 can't be pulled: Error: no such image\n\
         error: run/p failed: stage a failed (job/p-a): StartError (exit code 128): image gone:1 can't be pulled: \
         Error: no such image\nexit code 1\n"
    );
    assert_eq!(
        engine.calls(),
        "version;\nimage inspect gone:1;\npull gone:1;\n"
    );
}

#[test]
fn without_an_engine_koncli_says_what_to_install() {
    let engine = Engine::new();
    let pipeline = r#"pipeline p { stage a { image = "busybox:1.36" run = "true" } }"#;
    let nowhere = engine
        .koncli(pipeline)
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let help = "  help: install or start podman; without --runtime, steps are processes of this machine\n\
         exit code 6\n";
    let missing = "error: podman is not installed: not found in $PATH\n";
    assert_eq!(transcript(&nowhere), format!("{missing}{help}"));
    std::fs::write(engine.path().join("silent"), "").unwrap();
    let silent = engine.koncli(pipeline).output().unwrap();
    let message = "error: podman does not answer: Cannot connect.\n";
    assert_eq!(transcript(&silent), format!("{message}{help}"));
}

#[test]
fn a_container_is_asked_to_end_and_made_to_when_it_does_not() {
    let engine = Engine::new();
    let pipeline = r#"pipeline p { stage a {
      image = "busybox:1.36"
      pod "terminationGracePeriodSeconds: 5"
      run = "trap 'echo asked' TERM; echo up; while :; do sleep 1 || true; done"
    } }"#;
    let (mut child, stdout) = started(&engine, pipeline);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let rest = stdout.lines().map(Result::unwrap);
    // A shell may print that its `sleep` was ended, too.
    let rest: Vec<String> = rest.filter(|line| line != "a | Terminated").collect();
    assert_eq!(rest, ["a | asked"]);
    let calls = engine.calls();
    let end: Vec<&str> = calls.lines().rev().take(2).collect();
    assert_eq!(end, ["rm --force konductor-1-0;", "kill konductor-1-0;"]);
    assert_eq!(engine.containers(), Vec::<PathBuf>::new());
}

#[test]
fn a_run_that_is_killed_leaves_no_container() {
    let engine = Engine::new();
    let pipeline = r#"pipeline p { stage a { image = "busybox:1.36" run = "trap '' TERM; echo up; sleep 600" } }"#;
    let (mut child, _stdout) = started(&engine, pipeline);
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    while !engine.containers().is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            engine.calls()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let calls = engine.calls();
    let end: Vec<&str> = calls.lines().rev().take(3).collect();
    let expected = [
        "rm --force konductor-1-0;",
        "kill konductor-1-0;",
        "ps --all --quiet --filter label=konductor.io/runner=1;",
    ];
    assert_eq!(end, expected);
}
