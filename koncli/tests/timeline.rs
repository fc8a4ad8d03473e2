//! A run whose times are looked at after its end, and the log of the operator that moved it.

mod support;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{Dev, koncli};

const NIGHT: &str = r#"pipeline night {
  defaults { image = "busybox:1.36" }
  semaphore db { permits = 1 }
  stage first { run = "true" }
  stage load for n in ["a", "b"] after first holding db { run = "true" }
  stage last after load { retries = 1 run = "if [ -e again ]; then true; else touch again; exit 3; fi" }
  finally stage tidy { run = "true" }
}
"#;

/// The run has ended and its operator is gone before anybody asks when what happened.
#[test]
fn timeline_of_a_run_that_ended_with_its_operator_has_all_times_and_the_log_says_what_was_done() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start_with(folder.path(), &["--no-operator"], &[]);
    let file = folder.path().join("night.kon");
    std::fs::write(&file, NIGHT).unwrap();
    let applied = dev.koncli(&["apply", &file.display().to_string()]);
    assert!(applied.status.success());
    let operator = koncli()
        .args(["operator", "-v", "--leader-elect=false"])
        .env("KUBECONFIG", &dev.kubeconfig)
        .env_remove("RUST_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let waited = dev.printed(&["wait", "run/night", "--timeout", "2m"]);
    let pid = operator.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .unwrap()
            .success()
    );
    let log = operator.wait_with_output().unwrap().stderr;
    assert_eq!(waited, "exit code 0\n");
    let log = String::from_utf8(log).unwrap();
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let done = |message: &str| -> BTreeSet<String> {
        let lines = lines.iter().map(|line| &line["fields"]);
        let lines = lines.filter(|fields| fields["message"] == message);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        lines
            .map(|fields| {
                let parts = ["kind", "namespace", "name", "holder", "reason"];
                parts.map(|part| text(&fields[part])).join(" ")
            })
            .collect()
    };
    let set = |words: &[&str]| -> BTreeSet<String> {
        words.iter().map(|words| (*words).to_owned()).collect()
    };
    assert_eq!(
        done("started"),
        set(&[
            "Job default night-first  ",
            "Job default night-last  ",
            "Job default night-load-a semaphore/night-db ",
            "Job default night-load-b semaphore/night-db ",
            "Job default night-tidy  ",
        ]),
        "{log}"
    );
    assert_eq!(
        done("granted"),
        set(&[
            "Semaphore default night-db job/night-load-a Granted",
            "Semaphore default night-db job/night-load-b Granted",
        ])
    );
    assert_eq!(
        done("released"),
        set(&[
            "Semaphore default night-db job/night-load-a ",
            "Semaphore default night-db job/night-load-b "
        ])
    );
    assert!(
        done("opened").contains("Gate default night-last  ConditionsMet"),
        "{log}"
    );
    assert_eq!(done("ended"), set(&["Run default night  StagesSucceeded"]));

    let printed = dev.koncli(&["timeline", "night", "-o", "json"]);
    let timeline: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let rows = timeline["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5);
    for row in rows {
        let spans = row["spans"].as_array().unwrap();
        assert!(row["note"].is_null(), "{row}");
        assert!(spans.iter().all(|span| !span["end"].is_null()), "{row}");
        // A second is the shortest time that is stored: a span may be shorter than that.
        let allowed = [
            "waiting", "queued", "starting", "pending", "running", "backoff",
        ];
        let mut kinds = spans.iter().map(|span| span["kind"].as_str().unwrap());
        assert!(kinds.all(|kind| allowed.contains(&kind)), "{row}");
    }
    let last = rows.iter().find(|row| row["stage"] == "last").unwrap();
    assert_eq!(last["critical"], true);
    let path = timeline["criticalPath"].as_array().unwrap();
    assert_eq!(path[0]["start"], timeline["start"]);
    assert_eq!(path[path.len() - 1]["end"], timeline["end"]);
    for pair in path.windows(2) {
        assert_eq!(pair[0]["end"], pair[1]["start"]);
    }
    assert!(
        dev.printed(&["timeline", "night"])
            .contains("% of the run's time")
    );
}
