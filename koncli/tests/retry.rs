//! `koncli retry`, against `koncli dev`: what is recreated, and that an interrupted one is finished.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;

use support::Dev;

/// `part` fails for `b` until it is mended; each step leaves a line.
const MENDED: &str = r#"pipeline night {
  defaults { image = "busybox:1.36" }
  stage first { run = "echo first >> ran" }
  stage part for i in ["a", "b"] after first {
    run = "echo \"part-${i}\" >> ran; if [ \"${i}\" = b ]; then test -e mended; fi"
  }
  stage sum after part { run = "echo sum >> ran" }
  stage beside after first { run = "echo beside >> ran" }
  finally stage tidy { run = "echo \"tidy-${run.outcome}\" >> ran" }
}
"#;

fn written(folder: &Path) -> String {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, MENDED).unwrap();
    file.display().to_string()
}

fn ran(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("ran")).unwrap_or_default();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn status(dev: &Dev) -> Vec<String> {
    let status = dev.koncli(&["status", "night", "-o", "json"]);
    let view: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let mut items: Vec<String> = Vec::new();
    for stage in view["stages"].as_array().unwrap() {
        for item in stage["items"].as_array().unwrap() {
            items.push(format!("{} {}", item["job"], item["state"]).replace('"', ""));
        }
    }
    items.sort();
    items.insert(0, view["phase"].as_str().unwrap().to_owned());
    items
}

#[test]
fn what_failed_runs_again_with_what_comes_after_it_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path());
    let applied = dev.koncli(&["apply", &file, "--wait", "--timeout", "1m"]);
    assert_eq!(applied.status.code(), Some(1), "{applied:?}");
    assert_eq!(
        ran(folder.path()),
        ["beside", "first", "part-a", "part-b", "tidy-failed"]
    );
    assert_eq!(
        dev.printed(&["retry", "night", "--from", "frist"]),
        "error: run/night has no stage frist\n  help: did you mean first?\nexit code 4\n"
    );
    std::fs::remove_file(folder.path().join("ran")).unwrap();
    std::fs::write(folder.path().join("mended"), "").unwrap();
    assert_eq!(
        dev.printed(&["retry", "night", "--wait", "--timeout", "1m"]),
        "run/night: attempt 2 started; 3 Jobs recreated\nrun/night succeeded\nexit code 0\n"
    );
    assert_eq!(ran(folder.path()), ["part-b", "sum", "tidy-succeeded"]);
    assert_eq!(
        status(&dev),
        [
            "Succeeded",
            "night-beside succeeded",
            "night-first succeeded",
            "night-part-a succeeded",
            "night-part-b succeeded",
            "night-sum succeeded",
            "night-tidy succeeded",
        ]
    );
    // The same file is still the same run, and it has ended.
    let refused = dev.printed(&["apply", &file]);
    assert!(
        refused.starts_with("error: run/night has already ended (Succeeded ")
            && refused.ends_with("exit code 1\n"),
        "{refused}"
    );
    assert_eq!(
        dev.printed(&["retry", "night"]),
        "error: run/night has succeeded\n  help: --from STAGE runs a stage again, and everything \
         after it\nexit code 1\n"
    );
    assert_eq!(
        dev.printed(&["retry", "gone"]),
        "error: run/gone in namespace default does not exist\n  help: look at `koncli \
         runs`\nexit code 4\n"
    );
    std::fs::remove_file(folder.path().join("ran")).unwrap();
    assert_eq!(
        dev.printed(&[
            "retry",
            "night",
            "--from",
            "sum",
            "--wait",
            "--timeout",
            "1m"
        ]),
        "run/night: attempt 3 started; 2 Jobs recreated\nrun/night succeeded\nexit code 0\n"
    );
    assert_eq!(ran(folder.path()), ["sum", "tidy-succeeded"]);
    // Nothing of a retry is left but the attempt.
    let left = dev.koncli(&["diff", &file]);
    assert_eq!(left.status.code(), Some(0), "{left:?}");
}

#[test]
fn a_cancelled_run_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let text = "pipeline night {\n  defaults { image = \"busybox:1.36\" }\n  stage long { run = \
                \"while [ ! -e released ]; do sleep 0.05; done\" }\n  stage last after long { run = \
                \"true\" }\n}\n";
    let file = folder.path().join("pipeline.kon");
    std::fs::write(&file, text).unwrap();
    dev.printed(&["apply", &file.display().to_string()]);
    assert_eq!(
        dev.printed(&["retry", "night"]),
        "error: run/night has not ended yet\n  help: `koncli wait run/night`, or `koncli cancel \
         night --wait`, first\nexit code 1\n"
    );
    assert_eq!(
        dev.printed(&["cancel", "night", "--wait", "--timeout", "1m"]),
        "run/night is being cancelled\nrun/night has ended\nexit code 0\n"
    );
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(
        dev.printed(&["retry", "night", "--failed", "--wait", "--timeout", "1m"]),
        "run/night: attempt 2 started; 2 Jobs recreated\nrun/night succeeded\nexit code 0\n"
    );
}

#[test]
fn a_retry_that_was_killed_is_finished_by_the_next_one() {
    use std::process::{Command, Stdio};
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path());
    dev.koncli(&["apply", &file, "--wait", "--timeout", "1m"]);
    std::fs::write(folder.path().join("mended"), "").unwrap();
    // Killed at any moment: as often as it takes until one gets through.
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut retrying = support::koncli()
            .args(["retry", "night"])
            .env("KUBECONFIG", &dev.kubeconfig)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        let patience = std::time::Duration::from_millis(10 * attempts);
        let ended = loop {
            if let Some(ended) = retrying.try_wait().unwrap() {
                break Some(ended);
            }
            if begun.elapsed() > patience {
                break None;
            }
            std::thread::yield_now();
        };
        if let Some(ended) = ended {
            // Or the one before was killed when there was nothing left to do.
            let mut printed = String::new();
            let mut stderr = retrying.stderr.take().unwrap();
            std::io::Read::read_to_string(&mut stderr, &mut printed).unwrap();
            let done = [
                "error: run/night has not ended",
                "error: run/night has succeeded",
            ];
            let done = done.iter().any(|done| printed.starts_with(done));
            assert!(ended.success() || done, "{printed}");
            break;
        }
        let killed = Command::new("kill")
            .args(["-KILL", &retrying.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        retrying.wait().unwrap();
    }
    assert_eq!(
        dev.printed(&["wait", "run/night", "--timeout", "1m"]),
        "exit code 0\n"
    );
    let run = dev.koncli(&["runs", "-o", "json"]);
    let run: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let run = &run["items"][0];
    assert_eq!(
        run["spec"]["attempt"], 2,
        "killed {attempts} times: {run:#}"
    );
    let annotations = &run["metadata"]["annotations"];
    assert!(annotations["konductor.io/retry"].is_null(), "{annotations}");
    let items = status(&dev);
    assert_eq!(items.len(), 7, "{items:?}");
    assert!(
        items[1..].iter().all(|item| item.ends_with(" succeeded")),
        "{items:?}"
    );
}
