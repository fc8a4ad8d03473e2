//! `koncli step` around real commands: exit codes, signals, files by way of a folder and of a real S3 server.
#![expect(clippy::unwrap_used, reason = "a test")]
#![cfg(unix)]

#[path = "../../tests/src/s3.rs"]
#[expect(unreachable_pub, reason = "in its own crate it is part of a library")]
mod s3;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::http::{Method, StatusCode, Uri};
use konductor_api::step::{NAMESPACE_VARIABLE, POD_UID_VARIABLE, STEP_VARIABLE};
use konductor_api::{FileKind, FileValue, InputSpec, OutputSpec, StepSpec, StoreSpec};
use s3::{BUCKET, S3};
use serde_json::json;
use support::koncli;

/// How long something may take that does not wait for anything.
const WITHIN: Duration = Duration::from_secs(60);

/// A pod's part of a run: its folder, its store, and the paths of its files.
struct Step {
    folder: PathBuf,
    spec: StepSpec,
    variables: Vec<(String, String)>,
}

/// What came of it.
struct Ended {
    code: i32,
    /// What it said.
    log: String,
    /// The termination message.
    message: String,
}

impl Step {
    fn new(folder: &Path, stage: &str, store: &StoreSpec) -> Self {
        let folder = folder.join(stage);
        fs::create_dir_all(&folder).unwrap();
        let message = folder.join("message");
        fs::write(&message, "").unwrap();
        let variables = [
            ("KON_OUTPUT", message.to_str().unwrap()),
            (NAMESPACE_VARIABLE, "ns"),
            (POD_UID_VARIABLE, "uid-1"),
        ];
        Self {
            spec: StepSpec {
                run: "r".to_owned(),
                stage: stage.to_owned(),
                store: Some(store.clone()),
                ..StepSpec::default()
            },
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            folder,
        }
    }

    fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn output(mut self, name: &str, kind: FileKind) -> Self {
        let path = self.folder.join("out").join(name).join("content");
        self.spec.outputs.push(OutputSpec {
            name: name.to_owned(),
            path: name.to_owned(),
            kind,
        });
        self.variable(name, path.to_str().unwrap())
    }

    fn input(mut self, name: &str, kind: FileKind, values: &[FileValue], gathered: bool) -> Self {
        let path = self.folder.join("in").join(name);
        let value = format!("KONDUCTOR_STEP_IN_{}", self.spec.inputs.len());
        self.spec.inputs.push(InputSpec {
            name: format!("before.{name}"),
            path: name.to_owned(),
            value: value.clone(),
            kind,
            gathered,
        });
        let text = match gathered {
            true => json!(values).to_string(),
            false => values.first().map(FileValue::to_string).unwrap_or_default(),
        };
        self.variable(name, path.to_str().unwrap())
            .variable(&value, text)
    }

    fn command(&self, script: &str) -> Command {
        let mut command = koncli();
        command
            .args(["step", "--", "/bin/sh", "-euc", script])
            .env(STEP_VARIABLE, serde_json::to_string(&self.spec).unwrap())
            .envs(self.variables.iter().cloned())
            .current_dir(&self.folder);
        command
    }

    fn run(&self, script: &str) -> Ended {
        let output = self.command(script).output().unwrap();
        Ended {
            code: output.status.code().unwrap_or(-1),
            log: String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
            message: fs::read_to_string(self.folder.join("message")).unwrap(),
        }
    }
}

impl Ended {
    /// The value of an output that was stored.
    fn value(&self, name: &str) -> FileValue {
        let prefix = format!("{name}=");
        let mut lines = self
            .message
            .lines()
            .filter_map(|line| line.strip_prefix(&prefix));
        let value = lines.next_back().and_then(FileValue::parse);
        value.unwrap_or_else(|| panic!("no {name} in {:?}: {}", self.message, self.log))
    }
}

fn folder_store(folder: &Path) -> StoreSpec {
    StoreSpec::of(&format!("file://{}", folder.join("store").display()))
}

#[test]
fn a_command_keeps_its_exit_code_its_output_and_its_words() {
    let root = tempfile::tempdir().unwrap();
    let store = folder_store(root.path());
    let step = Step::new(root.path(), "plain", &store);
    let ended = step.run("echo out; echo err >&2; echo rows=1 >> \"$KON_OUTPUT\"; exit 7");
    assert_eq!((ended.code, ended.log.as_str()), (7, "out\nerr\n"));
    assert_eq!(ended.message, "rows=1\n");
    assert_eq!(step.run("kill -TERM $$").code, 143);
    let own = "env | grep -c '^KONDUCTOR_' || true";
    let step = step.variable("KONDUCTOR_STORE_AWS_SECRET_ACCESS_KEY", "secret");
    assert_eq!(step.run(own).log, "0\n");
    let mut missing = koncli();
    missing
        .args(["step", "--", "nonesuch"])
        .env(STEP_VARIABLE, "{\"run\":\"r\",\"stage\":\"s\"}");
    let output = missing.output().unwrap();
    assert_eq!(output.status.code(), Some(127));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.starts_with("konductor: nonesuch can't be started: "),
        "{said}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_command_does_not_read_the_credentials_of_the_process_around_it() {
    let root = tempfile::tempdir().unwrap();
    let store = folder_store(root.path());
    let read = "tr '\\0' '\\n' < /proc/$PPID/environ | grep -c SECRET_ACCESS || true";
    let step = Step::new(root.path(), "open", &store).variable("NO_SECRET_ACCESS", "1");
    assert_eq!(step.run(read).log, "1\n");
    if rustix::process::geteuid().is_root() {
        eprintln!("skipped: nothing is hidden from root");
        return;
    }
    let step = Step::new(root.path(), "hidden", &store)
        .variable("KONDUCTOR_STORE_AWS_SECRET_ACCESS_KEY", "secret");
    let log = step.run(read).log;
    assert!(log.starts_with("0\n") && log.contains("denied"), "{log}");
}

#[test]
fn signals_reach_the_command_which_decides_what_they_mean() {
    let root = tempfile::tempdir().unwrap();
    let step = Step::new(root.path(), "plain", &folder_store(root.path()));
    let script = "trap 'echo bye; exit 3' TERM; echo up; while true; do sleep 0.1; done";
    let mut child = step.command(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "bye");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// Files and folders from one stage to another and gathered, by way of a store.
fn files_pass(root: &Path, store: &StoreSpec, variables: &[(&str, &str)]) {
    let with = |mut step: Step| {
        for (name, value) in variables {
            step = step.variable(name, *value);
        }
        step
    };
    let writer = with(Step::new(root, "writer", store))
        .output("lines", FileKind::File)
        .output("program", FileKind::File)
        .output("chunks", FileKind::Dir);
    let written = writer.run(
        "printf '1\\n2\\n' > \"$lines\"; printf '#!/bin/sh\\necho built\\n' > \"$program\"; chmod 750 \"$program\"; printf '#!/bin/sh\\necho ran\\n' > \"$chunks/run.sh\"; \
         chmod 755 \"$chunks/run.sh\"; ln -s run.sh \"$chunks/link\"; mkdir \"$chunks/sub\"; \
         printf n=2 >> \"$KON_OUTPUT\"",
    );
    assert_eq!(written.code, 0, "{}", written.log);
    assert!(
        written.message.starts_with("n=2\nlines={"),
        "{}",
        written.message
    );
    let (lines, chunks) = (written.value("lines"), written.value("chunks"));
    let program = written.value("program");
    assert!(program.executable && !lines.executable && !chunks.executable);
    assert!(
        lines.key.ends_with("ns/r/writer/-/uid-1/lines"),
        "{}",
        lines.key
    );
    assert_eq!(lines.size, 4);
    let reader = with(Step::new(root, "reader", store))
        .input("lines", FileKind::File, std::slice::from_ref(&lines), false)
        .input("chunks", FileKind::Dir, &[chunks], false)
        .input("all", FileKind::File, std::slice::from_ref(&lines), true)
        .input("none", FileKind::File, &[], false)
        .input("program", FileKind::File, &[program], false);
    let read = reader.run(
        "\"$program\"; test ! -x \"$lines\"; cat \"$lines\"; \"$chunks/link\"; ls \"$chunks\"; cat \"$all\"/*; ls \"$all\"; test ! -e \"$none\"",
    );
    assert_eq!(read.code, 0, "{}", read.log);
    let expected = "built\n1\n2\nran\nlink\nrun.sh\nsub\n1\n2\n-\n";
    assert!(
        read.log.starts_with(expected) || read.log.contains(expected),
        "{}",
        read.log
    );
    // More than one part of an upload, and back.
    let large = with(Step::new(root, "large", store)).output("blob", FileKind::File);
    let stored = large.run("head -c 30000000 /dev/zero > \"$blob\"");
    assert_eq!(stored.code, 0, "{}", stored.log);
    let blob = stored.value("blob");
    assert_eq!(blob.size, 30_000_000);
    let back = with(Step::new(root, "back", store)).input("blob", FileKind::File, &[blob], false);
    assert_eq!(
        back.run("test \"$(wc -c < \"$blob\")\" -eq 30000000").code,
        0
    );
}

#[test]
fn files_pass_by_way_of_a_folder() {
    let root = tempfile::tempdir().unwrap();
    files_pass(root.path(), &folder_store(root.path()), &[]);
}

#[test]
fn a_step_fails_with_a_reason_if_files_do_not_arrive() {
    let root = tempfile::tempdir().unwrap();
    let store = folder_store(root.path());
    let step = Step::new(root.path(), "missing", &store).output("lines", FileKind::File);
    let ended = step.run("echo rows=1 >> \"$KON_OUTPUT\"");
    assert_eq!(ended.code, 125);
    let place = step.folder.join("out/lines/content");
    let expected = format!(
        "konductor: output lines can't be stored: {} does not exist: the command must write it",
        place.display()
    );
    assert_eq!(
        (ended.log, ended.message),
        (format!("{expected}\n"), expected)
    );

    let step = Step::new(root.path(), "kind", &store).output("lines", FileKind::File);
    let ended = step.run("mkdir \"$lines\"");
    assert!(
        ended
            .message
            .ends_with("content is no file: it is declared as one"),
        "{}",
        ended.message
    );

    for (name, kind, target) in [
        ("link", FileKind::File, "/proc/self/environ"),
        ("link-dir", FileKind::Dir, "/proc/self"),
        ("link-gone", FileKind::File, "gone"),
    ] {
        let step = Step::new(root.path(), name, &store).output("out", kind);
        let ended = step.run(&format!("rm -rf \"$out\"; ln -s {target} \"$out\""));
        assert_eq!(ended.code, 125, "{}", ended.log);
        let expected =
            format!("content is a symbolic link: the command must write the {kind} itself");
        assert!(ended.message.contains(&expected), "{}", ended.message);
    }

    let step = Step::new(root.path(), "escape", &store).output("chunks", FileKind::Dir);
    let ended = step.run("ln -s /etc/passwd \"$chunks/out\"");
    assert!(
        ended.message.contains("out is a link to /etc/passwd"),
        "{}",
        ended.message
    );

    // The command does not run if what it needs is not what was stored.
    let writer = Step::new(root.path(), "writer", &store).output("lines", FileKind::File);
    let value = writer.run("echo 1 > \"$lines\"").value("lines");
    let stored = root.path().join("store").join(&value.key);
    let reader = |name: &str, value: &FileValue| {
        Step::new(root.path(), name, &store)
            .input("lines", FileKind::File, std::slice::from_ref(value), false)
            .run("echo ran")
    };
    fs::write(&stored, "2\n").unwrap();
    let ended = reader("changed", &value);
    assert_eq!(ended.code, 125);
    assert!(
        ended.log.contains("is not what was stored: its SHA-256 is"),
        "{}",
        ended.log
    );
    fs::write(&stored, "1\n1\n").unwrap();
    assert!(reader("longer", &value).log.contains("more bytes, not 2"));
    fs::write(&stored, "1").unwrap();
    assert!(reader("shorter", &value).log.contains("1 bytes, not 2"));
    fs::remove_file(&stored).unwrap();
    let ended = reader("gone", &value);
    assert!(
        ended.log.contains("input before.lines can't be fetched: "),
        "{}",
        ended.log
    );
    assert!(
        ended.log.contains("does not exist in file://"),
        "{}",
        ended.log
    );
    assert!(!ended.log.contains("ran"), "{}", ended.log);
}

/// A server of loopback.
struct Server {
    url: String,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    fn of(answers: axum::Router) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, answers).await.unwrap();
        });
        Self {
            url,
            _runtime: runtime,
        }
    }

    /// One that answers with these codes, one after the other, and then with the last one.
    fn with(codes: &[u16]) -> Self {
        let codes = codes.to_vec();
        let requests = Arc::new(AtomicUsize::new(0));
        Self::of(axum::Router::new().fallback(move || {
            let request = requests.fetch_add(1, Ordering::SeqCst);
            let code = codes[request.min(codes.len() - 1)];
            let code = StatusCode::from_u16(code).unwrap();
            async move { (code, [("etag", "\"1\"")]) }
        }))
    }

    /// One that takes uploads and never finishes them. What it is asked for is sent to `seen`.
    fn that_stalls(seen: mpsc::Sender<String>) -> Self {
        Self::of(
            axum::Router::new().fallback(move |method: Method, uri: Uri| {
                let query = uri.query().unwrap_or_default().to_owned();
                let word = match (&method, query.as_str()) {
                    (&Method::POST, query) if query.starts_with("uploads") => "begin",
                    (&Method::POST, _) => "complete",
                    (&Method::PUT, _) => "put",
                    (&Method::DELETE, _) => "abort",
                    _ => "other",
                };
                let _ = seen.send(word.to_owned());
                async move {
                    if word == "put" {
                        std::future::pending::<()>().await;
                    }
                    let upload = "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key>\
                                  <UploadId>u-1</UploadId></InitiateMultipartUploadResult>";
                    (StatusCode::OK, upload)
                }
            }),
        )
    }

    /// A step that stores `lines` there.
    fn step(&self, root: &Path, stage: &str) -> Step {
        let store = StoreSpec {
            endpoint: Some(self.url.clone()),
            ..StoreSpec::of("s3://bucket/runs")
        };
        Step::new(root, stage, &store)
            .variable("AWS_ACCESS_KEY_ID", "id")
            .variable("AWS_SECRET_ACCESS_KEY", "key")
            .output("lines", FileKind::File)
    }
}

#[test]
fn what_a_store_answers_is_explained() {
    let table = [
        (403, "denies access to"),
        (401, "does not accept the credentials for"),
        (404, "does not exist in s3://bucket/runs (404)"),
        (400, "400 Bad Request"),
    ];
    let root = tempfile::tempdir().unwrap();
    for (code, expected) in table {
        let server = Server::with(&[code]);
        let step = server.step(root.path(), &format!("c{code}"));
        let ended = step.run("echo 1 > \"$lines\"");
        assert_eq!(ended.code, 125, "{code}: {}", ended.log);
        assert!(
            ended.message.contains(expected),
            "{code}: {}",
            ended.message
        );
    }
}

#[test]
fn a_store_that_is_busy_for_a_moment_is_asked_again() {
    let server = Server::with(&[503, 500, 200]);
    let root = tempfile::tempdir().unwrap();
    let ended = server.step(root.path(), "busy").run("echo 1 > \"$lines\"");
    assert_eq!(ended.code, 0, "{}", ended.log);
    assert_eq!(ended.value("lines").size, 2);
}

#[test]
fn an_upload_that_a_signal_interrupts_leaves_nothing_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    for (stage, bytes, expected) in [
        ("small", 1_000_000, &["put"] as &[&str]),
        // More than one part.
        ("large", 30_000_000, &["begin", "put", "abort"]),
    ] {
        let (sender, seen) = mpsc::channel();
        let server = Server::that_stalls(sender);
        let step = server.step(root.path(), stage);
        let script = format!("head -c {bytes} /dev/zero > \"$lines\"");
        let mut child = step
            .command(&script)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut requests: Vec<String> = Vec::new();
        while requests.last().is_none_or(|request| request != "put") {
            requests.push(seen.recv_timeout(WITHIN).unwrap());
        }
        let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let said: Vec<String> = said.map_while(Result::ok).collect();
        assert_eq!(child.wait().unwrap().code(), Some(143), "{said:?}");
        let reason = "konductor: signal 15 while outputs were being stored";
        assert_eq!(said, [reason]);
        // No value of an output: nobody takes a part of it for the whole.
        let message = fs::read_to_string(step.folder.join("message")).unwrap();
        assert_eq!(message, reason);
        requests.extend(seen.try_iter());
        // Parts are on their way at the same time, and one may be read after the end of all.
        let mut seen = BTreeSet::new();
        requests.retain(|request| seen.insert(request.clone()));
        assert_eq!(requests, expected, "{stage}");
    }
}

/// A disk of 1 MB; it is gone with the test.
#[cfg(target_os = "linux")]
struct Disk(PathBuf);

#[cfg(target_os = "linux")]
impl Disk {
    /// `None` if this user may not mount one.
    fn mount(folder: PathBuf) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
        let mounted = mount.arg(&folder).output().ok()?;
        mounted.status.success().then_some(Self(folder))
    }
}

#[cfg(target_os = "linux")]
impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_fails_the_step_with_that_reason_and_keeps_no_part() {
    let root = tempfile::tempdir().unwrap();
    let store = folder_store(root.path());
    let writer = Step::new(root.path(), "writer", &store)
        .output("blob", FileKind::File)
        .output("tree", FileKind::Dir);
    let fill = "head -c 3000000 /dev/zero";
    let written = writer.run(&format!("{fill} > \"$blob\"; {fill} > \"$tree/blob\""));
    assert_eq!(written.code, 0, "{}", written.log);
    for (name, kind) in [("blob", FileKind::File), ("tree", FileKind::Dir)] {
        let reader = Step::new(root.path(), &format!("reader-{name}"), &store).input(
            name,
            kind,
            &[written.value(name)],
            false,
        );
        let Some(disk) = Disk::mount(reader.folder.join("in")) else {
            eprintln!("skipped: this user may not mount a disk");
            return;
        };
        let ended = reader.run("echo ran");
        assert_eq!(ended.code, 125, "{}", ended.log);
        let expected = format!("konductor: input before.{name} can't be fetched: ");
        assert!(ended.message.starts_with(&expected), "{}", ended.message);
        let full = "the disk is full (No space left on device (os error 28))";
        assert!(ended.message.ends_with(full), "{}", ended.message);
        assert!(!ended.log.contains("ran"), "{}", ended.log);
        assert!(!disk.0.join(name).exists());
    }
    // A store that is full.
    let Some(disk) = Disk::mount(root.path().join("full")) else {
        eprintln!("skipped: this user may not mount a disk");
        return;
    };
    let store = StoreSpec::of(&format!("file://{}", disk.0.display()));
    let step = Step::new(root.path(), "full-store", &store).output("blob", FileKind::File);
    let ended = step.run(&format!("{fill} > \"$blob\""));
    assert_eq!(ended.code, 125, "{}", ended.log);
    assert!(ended.message.contains("No space left"), "{}", ended.message);
    assert!(!disk.0.join("ns/r/full-store/-/uid-1/blob").exists());
}

#[test]
fn files_pass_by_way_of_s3() {
    if let Some(missing) = s3::missing() {
        eprintln!("skipped: {missing}");
        return;
    }
    let server = S3::start("127.0.0.1");
    let store = StoreSpec {
        endpoint: Some(server.url.clone()),
        secret: Some("etl-s3".to_owned()),
        ..StoreSpec::of(&format!("s3://{BUCKET}/runs"))
    };
    let root = tempfile::tempdir().unwrap();
    let variables = [
        ("KONDUCTOR_STORE_AWS_ACCESS_KEY_ID", "id"),
        ("KONDUCTOR_STORE_AWS_SECRET_ACCESS_KEY", "key"),
    ];
    files_pass(root.path(), &store, &variables);
}
