//! What others have written does not reach the terminal as it is.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Barrier, Gate, Run, Semaphore, annotation, label};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use support::{Dev, koncli};

/// Clears the screen, sets the title in two ways, turns the direction around.
const HOSTILE: &str = "a\u{1b}[2J\u{1b}]0;t\u{7}\u{9d}0;t\u{9c}\u{202e}z\r\u{8}";

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

    let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
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
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
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

/// Reads what is written to a terminal until a text has come; without it, the caller's assertion fails after a while.
#[cfg(target_os = "linux")]
fn read_until(written: &std::sync::mpsc::Receiver<Vec<u8>>, text: &str, shown: &mut String) {
    while !shown.contains(text) {
        let Ok(bytes) = written.recv_timeout(std::time::Duration::from_secs(60)) else {
            return;
        };
        shown.push_str(&String::from_utf8_lossy(&bytes));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn control_keys_leave_nothing_on_a_terminal_with_a_live_view() {
    use rustix::termios::{LocalModes, tcgetattr};

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.kon");
    std::fs::write(
        &file,
        "pipeline p {\n  stage a { image = \"busybox:1.36\" run = \"echo started; sleep 600\" }\n}\n",
    )
    .unwrap();
    let (own, name) = pseudo_terminal();
    let open = || {
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        rustix::fs::open(&*name, flags, rustix::fs::Mode::empty()).unwrap()
    };
    let kept = open();
    assert!(
        tcgetattr(&kept)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHOCTL)
    );
    // It becomes the terminal of the program, which the keys are for.
    let mut child = std::process::Command::new("setsid")
        .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_koncli"), "run"])
        .arg(&file)
        .env_remove("KUBECONFIG")
        .env("NO_COLOR", "1")
        .stdin(open())
        .stdout(open())
        .stderr(open())
        .spawn()
        .unwrap();
    let mut terminal = std::fs::File::from(own);
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
    let mut shown = String::new();
    read_until(&written, "a | started", &mut shown);
    assert!(shown.contains("a | started"), "{shown:?}");
    assert!(
        !tcgetattr(&kept)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHOCTL)
    );
    std::io::Write::write_all(&mut terminal, b"\x03").unwrap();
    read_until(&written, "error: run/p cancelled", &mut shown);
    assert!(shown.contains("interrupted: cancelling run/p"), "{shown:?}");
    assert!(!shown.contains("^C"), "{shown:?}");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{shown:?}");
    assert!(
        tcgetattr(&kept)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHOCTL)
    );
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
