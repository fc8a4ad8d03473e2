//! What others have written does not reach the terminal as it is.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Barrier, Gate, Run, Semaphore, annotation, label};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use support::{Dev, koncli};

/// Clears the screen, sets the title in two ways, turns the direction around.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}\u{9d}0;t\u{9c}\u{202e}z\r\u{8}";

fn written(folder: &std::path::Path, pipeline: &str) -> String {
    let file = folder.join("p.kon");
    std::fs::write(&file, pipeline).unwrap();
    file.display().to_string()
}

fn is_clean(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    !text.chars().any(|c| {
        (c.is_control() && c != '\n' && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c)
    })
}

async fn create<K>(client: &kube::Client, kind: &str, object: Value)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + DeserializeOwned,
{
    let mut whole = json!({"apiVersion": K::api_version(&()), "kind": kind});
    whole
        .as_object_mut()
        .unwrap()
        .extend(object.as_object().unwrap().clone());
    let api: Api<K> = Api::default_namespaced(client.clone());
    let made: K = serde_json::from_value(whole).unwrap();
    api.create(&PostParams::default(), &made).await.unwrap();
}

#[tokio::test]
async fn no_field_of_an_object_is_obeyed_by_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), &["--no-operator"], &[]);
    let client = dev.client().await;
    let labels = json!({label::RUN: "r", label::PIPELINE: "p", label::STAGE: "s"});
    create::<Run>(
        &client,
        "Run",
        json!({"metadata": {"name": "r", "labels": labels}, "spec": {"pipeline": "p", "jobs": 1}}),
    )
    .await;
    let annotations = json!({
        annotation::ITEM: HOSTILE, annotation::REASON: HOSTILE, annotation::GATE: "g",
        annotation::HOLD: "semaphore/m",
    });
    let pod = json!({"restartPolicy": "Never", "containers": [
        {"name": "main", "image": "x", "command": ["printf", HOSTILE]}]});
    create::<Job>(
        &client,
        "Job",
        json!({
            "metadata": {"name": "j", "labels": labels, "annotations": annotations},
            "spec": {"template": {"spec": pod}},
        }),
    )
    .await;
    let condition = json!({"type": "Barrier", "name": "b", "state": "Open"});
    create::<Gate>(
        &client,
        "Gate",
        json!({"metadata": {"name": "g"}, "spec": {"conditions": [condition]}}),
    )
    .await;
    create::<Barrier>(
        &client,
        "Barrier",
        json!({"metadata": {"name": "b"}, "spec": {"expected": 1}}),
    )
    .await;
    create::<Semaphore>(
        &client,
        "Semaphore",
        json!({"metadata": {"name": "m"}, "spec": {"permits": 1}}),
    )
    .await;
    let printed = |type_: &str| {
        json!({"status": {"conditions": [{
            "type": type_, "status": "False", "reason": "Reported", "message": HOSTILE,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}})
    };
    let params = PatchParams::default();
    let runs: Api<Run> = Api::default_namespaced(client.clone());
    let gates: Api<Gate> = Api::default_namespaced(client.clone());
    let barriers: Api<Barrier> = Api::default_namespaced(client.clone());
    let semaphores: Api<Semaphore> = Api::default_namespaced(client.clone());
    for type_ in ["Succeeded", "Open", "Available"] {
        let patch = Patch::Merge(printed(type_));
        let _ = runs.patch_status("r", &params, &patch).await;
        let _ = gates.patch_status("g", &params, &patch).await;
        let _ = barriers.patch_status("b", &params, &patch).await;
        let _ = semaphores.patch_status("m", &params, &patch).await;
    }
    let mut shown = 0;
    for command in [
        "runs",
        "status",
        "status r",
        "why r s",
        "graph r",
        "graph r --as mermaid",
        "wait gate/g --timeout 100ms",
        "wait run/r --timeout 100ms",
        "wait barrier/b --timeout 100ms",
        "gate list",
        "gate list -o wide",
        "gate get g",
        "barrier get b -o wide",
        "semaphore list -o wide",
        "cancel r",
        "retry r",
        "runs -A -l a=\u{1b}[2J",
        "status r\u{1b}[2J",
        "explain \u{9b}2J",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let output = dev.koncli(&words);
        assert!(
            is_clean(&output.stdout),
            "{command:?}: {}",
            output.stdout.escape_ascii()
        );
        assert!(
            is_clean(&output.stderr),
            "{command:?}: {}",
            output.stderr.escape_ascii()
        );
        let all = [output.stdout, output.stderr].concat();
        shown += usize::from(String::from_utf8_lossy(&all).contains("\\u{1b}[2J"));
    }
    // They are shown anyway, spelled out.
    assert!(shown >= 3, "{shown}");
}

/// A terminal of 24 rows and 80 columns, and the name of the side that programs write to.
#[cfg(target_os = "linux")]
fn pseudo_terminal() -> (std::os::fd::OwnedFd, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&own).unwrap();
    unlockpt(&own).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: 80,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&own, size).unwrap();
    let name = ptsname(&own, Vec::new()).unwrap().into_string().unwrap();
    (own, name)
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_logs_are_piped_shows_lines_on_its_terminal_and_no_view() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.kon");
    std::fs::write(
        &file,
        "pipeline p {\n  stage a { image = \"busybox:1.36\" run = \"echo tick\" }\n}\n",
    )
    .unwrap();
    let (own, name) = pseudo_terminal();
    // Without CLOEXEC, programs of other tests would have it, too, and it would end with the last of them.
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY | rustix::fs::OFlags::CLOEXEC;
    let stderr = rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap();
    let mut run = koncli();
    run.arg("run").arg(&file);
    let output = run
        .stderr(stderr)
        .stdout(std::process::Stdio::piped())
        .output()
        .unwrap();
    // The terminal ends when nobody has its other side any more.
    drop(run);
    let (mut terminal, mut shown) = (std::fs::File::from(own), Vec::new());
    let _ = std::io::Read::read_to_end(&mut terminal, &mut shown);
    let shown = String::from_utf8_lossy(&shown);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a | tick\n");
    assert!(shown.contains("a succeeded"), "{shown:?}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

/// koncli on a terminal of its own, and what it has shown there.
#[cfg(target_os = "linux")]
struct OnTerminal {
    child: std::process::Child,
    terminal: std::fs::File,
    /// The side of the program; without it the terminal would end before its settings are read.
    kept: std::os::fd::OwnedFd,
    written: std::sync::mpsc::Receiver<Vec<u8>>,
    shown: String,
}

#[cfg(target_os = "linux")]
impl OnTerminal {
    fn start(arguments: &[&str], variables: &[(&str, &std::ffi::OsStr)]) -> Self {
        use rustix::fs::OFlags;

        let (own, name) = pseudo_terminal();
        let open = || {
            // Programs that other tests start at the same time do not get it.
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap()
        };
        let kept = open();
        // It becomes the terminal of the program, which the keys are for.
        let child = std::process::Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_koncli")])
            .args(arguments)
            .env_remove("KUBECONFIG")
            .env("NO_COLOR", "1")
            .env("USER", "tester")
            .envs(variables.iter().copied())
            .stdin(open())
            .stdout(open())
            .stderr(open())
            .spawn()
            .unwrap();
        let terminal = std::fs::File::from(own);
        let mut reader = terminal.try_clone().unwrap();
        let (sender, written) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = std::io::Read::read(&mut reader, &mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            terminal,
            kept,
            written,
            shown: String::new(),
        }
    }

    /// Whether keys such as Ctrl-C are shown.
    fn shows_control_keys(&self) -> bool {
        let modes = rustix::termios::tcgetattr(&self.kept).unwrap().local_modes;
        modes.contains(rustix::termios::LocalModes::ECHOCTL)
    }

    fn type_keys(&mut self, keys: &str) {
        std::io::Write::write_all(&mut self.terminal, keys.as_bytes()).unwrap();
    }

    /// Reads what is shown until that has come.
    #[track_caller]
    fn until(&mut self, is_there: impl Fn(&str) -> bool) {
        let begun = std::time::Instant::now();
        let limit = std::time::Duration::from_secs(60);
        while !is_there(&self.shown) {
            // A live view is drawn again and again.
            let left = limit.saturating_sub(begun.elapsed());
            let Ok(bytes) = self.written.recv_timeout(left) else {
                self.child.kill().unwrap();
                panic!("it has not come: {:?}", self.shown);
            };
            self.shown.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    /// The same, of a text.
    #[track_caller]
    fn until_text(&mut self, text: &str) {
        self.until(|shown| shown.contains(text));
    }

    /// Waits for the program's end: returns its exit code, and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        // The terminal ends when nobody has its other side any more.
        drop(self.kept);
        self.shown.extend(
            self.written
                .iter()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        );
        (code, self.shown)
    }
}

#[cfg(target_os = "linux")]
#[test]
fn control_keys_leave_nothing_on_a_terminal_with_a_live_view() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        "pipeline p {\n  stage a { image = \"busybox:1.36\" run = \"echo started; sleep 600\" }\n}\n",
    );
    let mut run = OnTerminal::start(&["run", &file], &[]);
    run.until_text("a | started");
    assert!(!run.shows_control_keys());
    run.type_keys("\x03");
    run.until_text("error: run/p cancelled");
    let status = run.child.wait().unwrap();
    assert!(run.shows_control_keys());
    let (_, shown) = run.end();
    assert!(shown.contains("interrupted: cancelling run/p"), "{shown:?}");
    assert!(!shown.contains("^C"), "{shown:?}");
    assert_eq!(status.code(), Some(130), "{shown:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_approval_is_asked_for_on_a_terminal_until_it_is_given_or_denied() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        r#"pipeline p {
          defaults { image = "busybox:1.36" }
          stage build { run = "echo built" }
          approval go after build
          stage deploy after go { run = "echo deployed" }
        }"#,
    );
    let table = [
        ("y\n", "approval go approved by tester", Some(0)),
        ("YES\n", "approval go approved by tester", Some(0)),
        ("n\n", "approval go denied by tester", Some(1)),
        // The end of the input: nobody is there who could approve.
        ("\x04", "approval go denied by tester", Some(1)),
    ];
    for (keys, line, expected) in table {
        let mut run = OnTerminal::start(&["run", &file], &[]);
        run.until_text("approve go? [y/n] ");
        run.type_keys("perhaps\n");
        run.until(|shown| shown.matches("approve go? [y/n] ").count() == 2);
        run.type_keys(keys);
        let (code, shown) = run.end();
        assert!(shown.contains(line), "{keys:?}: {shown:?}");
        assert_eq!(code, expected, "{keys:?}: {shown:?}");
        let is_deployed = shown.contains("deploy | deployed");
        assert_eq!(is_deployed, expected == Some(0), "{keys:?}: {shown:?}");
    }
}

/// The rows of what is shown, each time that they are drawn, without how long it took.
#[cfg(target_os = "linux")]
fn rows(shown: &str) -> String {
    let steps = regex::Regex::new("(?:\x1b\\[[0-9;?]*[a-zA-Z]|[\r\n])+").unwrap();
    let times = regex::Regex::new(r"\b[0-9]+(?:\.[0-9])?s\b").unwrap();
    let mut rows = String::new();
    for drawn in steps.split(shown) {
        // The view fills each of its rows up with blanks.
        let characters: Vec<char> = drawn.chars().collect();
        for row in characters.chunks(80) {
            let row: String = row.iter().collect();
            rows.push_str(&times.replace_all(row.trim_end(), "Ns"));
            rows.push('\n');
        }
    }
    rows
}

#[cfg(target_os = "linux")]
#[test]
fn apply_that_waits_shows_on_a_terminal_the_same_live_view_as_run() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(
        folder.path(),
        r#"pipeline p {
          defaults { image = "busybox:1.36" }
          stage a { run = "until [ -e released ]; do sleep 0.05; done" }
          stage b after a { run = "true" }
        }"#,
    );
    let view = "p running  Ns  0/2 stages, 1 running, 1 waiting\n\
                ● a  running  Ns\n\
                ○ b  waiting  waits for stage a\n";
    let kubeconfig = [("KUBECONFIG", dev.kubeconfig.as_os_str())];
    for (arguments, variables) in [
        (&["run", &file][..], &[][..]),
        (&["apply", &file, "--wait"], &kubeconfig),
    ] {
        let mut command = OnTerminal::start(arguments, variables);
        command.until(|shown| rows(shown).contains(view));
        std::fs::write(folder.path().join("released"), "").unwrap();
        let (code, shown) = command.end();
        assert_eq!(code, Some(0), "{arguments:?}: {shown:?}");
        std::fs::remove_file(folder.path().join("released")).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn stages_that_do_not_fit_on_a_terminal_are_a_row_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let others = (0..29).map(|index| format!("  stage s{index} after a {{ run = \"true\" }}\n"));
    let pipeline = format!(
        "pipeline p {{\n  defaults {{ image = \"busybox:1.36\" }}\n  stage a {{ run = \"until [ -e released ]; do \
         sleep 0.05; done\" }}\n{}}}\n",
        others.collect::<String>()
    );
    let file = written(folder.path(), &pipeline);
    let mut run = OnTerminal::start(&["run", &file], &[]);
    // Of 24 rows 16 are the view's: the first says how many stages there are, and the last how many are not shown.
    run.until(|shown| {
        let shown = rows(shown);
        let rows: Vec<&str> = shown.lines().collect();
        rows.windows(16).any(|rows| {
            rows[0].ends_with("0/30 stages, 1 running, 29 waiting")
                && rows[1].starts_with("● a ")
                && rows[2..15].iter().all(|row| row.starts_with("○ s"))
                && rows[15] == "… 16 more stages"
        })
    });
    std::fs::write(folder.path().join("released"), "").unwrap();
    let (code, shown) = run.end();
    assert_eq!(code, Some(0), "{shown:?}");
}

/// A socket keeps writes apart that a pipe would put together: what is written in two could have a line of somebody else
/// in between.
#[test]
fn each_line_of_logs_and_of_progress_is_a_single_write_that_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(
        folder.path(),
        r#"pipeline p {
          defaults { image = "busybox:1.36" }
          stage s for i in 1..30 { run = "echo first; printf last" }
          stage e for i in 1..30 { run = "echo first >&2; printf last >&2" }
        }"#,
    );
    let (reader, writer) = UnixDatagram::pair().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut writes, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            let count = reader.recv(&mut buffer).unwrap();
            match &buffer[..count] {
                b"end" => return writes,
                bytes => writes.push(String::from_utf8_lossy(bytes).into_owned()),
            }
        }
    });
    let mut run = koncli();
    run.args(["run", &file]);
    run.stdout(OwnedFd::from(writer.try_clone().unwrap()));
    run.stderr(OwnedFd::from(writer.try_clone().unwrap()));
    let code = run.status().unwrap().code();
    writer.send(b"end").unwrap();
    let mut writes = reading.join().unwrap();
    assert_eq!(code, Some(0), "{writes:?}");
    let end = writes.pop().unwrap();
    assert!(end.starts_with("run/p succeeded in "), "{end}");
    let progress = r"^ *[0-9.]+s  [◌●✓] [se]\[[0-9]+\] (?:pending: .*|running|succeeded)\n$";
    let progress = regex::Regex::new(progress).unwrap();
    let log = regex::Regex::new(r"^[se]\[[0-9]+\] \| (?:first|last)\n$").unwrap();
    for line in &writes {
        assert!(progress.is_match(line) || log.is_match(line), "{line:?}");
    }
    let logged = writes.iter().filter(|line| log.is_match(line)).count();
    assert_eq!(logged, 2 * 60, "{writes:?}");
}

#[test]
fn a_file_with_escapes_is_quoted_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p\u{1b}[2J.kon");
    std::fs::write(
        &file,
        format!("pipeline p {{\n  stage a {{ run = 5 }} # {HOSTILE}\n}}\n"),
    )
    .unwrap();
    let output = koncli().arg("check").arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(is_clean(&output.stderr), "{}", output.stderr.escape_ascii());
    assert!(!output.stderr.is_empty());
    // Programs read the exact text.
    std::fs::write(
        &file,
        "pipeline p {\n  stage a { image = \"x\" run = \"echo ü\" } # \u{202e}\n}\n",
    )
    .unwrap();
    let stdin = std::fs::File::open(&file).unwrap();
    let formatted = koncli().args(["fmt", "-"]).stdin(stdin).output().unwrap();
    let text = String::from_utf8_lossy(&formatted.stdout).into_owned();
    assert!(
        formatted.status.code() != Some(0) || text.contains('\u{202e}'),
        "{text:?}"
    );
}
