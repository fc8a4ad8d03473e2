//! `koncli apply`: nothing is stored before all is judged, an ended run is no success, and what people
//! have set stays.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;

use konductor_api::{Semaphore, annotation, label};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use support::Dev;

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

fn runs_of(log: &Path) -> usize {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().count()
}

#[test]
fn a_run_that_has_ended_is_not_the_success_of_another_apply() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let text = r#"pipeline twice {
      defaults { image = "busybox:1.36" }
      stage a { run = "echo ran >> twice.log; test ! -e broken" }
    }"#;
    let file = written(folder.path(), text);
    let log = folder.path().join("twice.log");
    let apply = ["apply", &file, "--wait"];
    assert_eq!(dev.koncli(&apply).status.code(), Some(0));
    for more in [&[][..], &["--wait"], &["--dry-run", "server"]] {
        let words: Vec<&str> = ["apply", &file].iter().chain(more).copied().collect();
        let printed = dev.printed(&words);
        assert!(
            printed.starts_with("error: run/twice has already ended (Succeeded "),
            "{printed}"
        );
        let end = "s ago), so nothing was started\n  help: start another run with --run NAME, or \
                   remove this one with `koncli delete twice`\nexit code 1\n";
        assert!(printed.ends_with(end), "{printed}");
    }
    assert_eq!(runs_of(&log), 1);
    // What the message says works.
    assert_eq!(
        dev.koncli(&["apply", &file, "--wait", "--run", "more"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        dev.koncli(&["delete", "twice", "--wait"]).status.code(),
        Some(0)
    );
    assert_eq!(dev.koncli(&apply).status.code(), Some(0));
    assert_eq!(runs_of(&log), 3);
    // After a failure, a retry is what people want most often.
    std::fs::write(folder.path().join("broken"), "").unwrap();
    let bad = ["apply", &file, "--wait", "--run", "bad"];
    assert_eq!(dev.koncli(&bad).status.code(), Some(1));
    let printed = dev.printed(&bad);
    assert!(
        printed.contains("repeat what failed with `koncli retry bad`"),
        "{printed}"
    );
    std::fs::remove_file(folder.path().join("broken")).unwrap();
    assert_eq!(
        dev.koncli(&["retry", "bad", "--wait"]).status.code(),
        Some(0)
    );
}

#[test]
fn nothing_is_created_where_anything_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    // The pod block is the cluster's to judge.
    let text = r#"pipeline lab {
      semaphore s { permits = 1 }
      defaults { image = "busybox:1.36" }
      stage a holding s { run = "touch started" }
      stage b after a { run = "true" pod """
        hostname: Not_A_Name
      """ }
      stage c after a { run = "true" pod """
        restartPolicy: Never
        dnsPolicy: Nonsense
      """ }
    }"#;
    let file = written(folder.path(), text);
    for _ in 0..2 {
        let printed = dev.printed(&["apply", &file]);
        assert!(
            printed.starts_with(
                "error: 2 of the 6 objects of run/lab can't be applied, so nothing was changed\n  \
                 job/lab-b (stage b): "
            ),
            "{printed}"
        );
        assert!(printed.contains("\n  job/lab-c (stage c): "), "{printed}");
        assert!(printed.ends_with("exit code 2\n"), "{printed}");
    }
    assert_eq!(dev.printed(&["runs"]), "No resources found.\nexit code 0\n");
    assert_eq!(
        dev.printed(&["semaphore", "list"]),
        "No resources found.\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["gate", "list"]),
        "No resources found.\nexit code 0\n"
    );
    assert!(!folder.path().join("started").exists());
}

const MAINTAINED: &str = r#"pipeline maint {
  semaphore db { permits = 2 }
  defaults { image = "busybox:1.36" }
  stage w holding db { run = "echo w" }
}"#;

#[tokio::test]
async fn what_somebody_has_scaled_stays_until_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), MAINTAINED);
    assert_eq!(
        dev.koncli(&["apply", &file, "--wait"]).status.code(),
        Some(0)
    );
    let semaphores: Api<Semaphore> = Api::default_namespaced(dev.client().await);
    let zero = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let params = PatchParams::default();
    semaphores
        .patch_scale("maint-db", &params, &zero)
        .await
        .unwrap();
    let permits = async || semaphores.get("maint-db").await.unwrap().spec.permits;
    assert_eq!(permits().await, 0);
    assert_eq!(
        dev.printed(&["apply", &file, "--run", "second"]),
        "semaphore/maint-db keeps permits 0, which somebody has set; the file has 2, as before\n\
         run/second: 2 created, 0 configured, 1 unchanged\n\
         look at it with `koncli status second`\nexit code 0\n"
    );
    assert_eq!(permits().await, 0);
    let difference = dev.printed(&["diff", &file, "--run", "second"]);
    assert_eq!(difference, "exit code 0\n");
    // Somebody changes the file: that is what counts.
    let file = written(
        folder.path(),
        &MAINTAINED.replace("permits = 2", "permits = 3"),
    );
    let printed = dev.printed(&["apply", &file, "--run", "third", "--wait"]);
    assert!(
        printed.contains("run/third: 2 created, 1 configured, 0 unchanged\n"),
        "{printed}"
    );
    assert_eq!(permits().await, 3);
    let semaphore = semaphores.get("maint-db").await.unwrap();
    let noted = &semaphore.metadata.annotations.unwrap()[annotation::LAST_APPLIED];
    assert_eq!(noted, r#"{"permits":3,"order":"Fifo"}"#);
}

#[tokio::test]
async fn a_ledger_of_another_pipeline_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let semaphores: Api<Semaphore> = Api::default_namespaced(dev.client().await);
    let theirs = json!({
        "apiVersion": "konductor.io/v1",
        "kind": "Semaphore",
        "metadata": {"name": "maint-db", "labels": {label::PIPELINE: "maint-d"}},
        "spec": {"permits": 1},
    });
    let theirs: Semaphore = serde_json::from_value(theirs).unwrap();
    semaphores
        .create(&PostParams::default(), &theirs)
        .await
        .unwrap();
    let file = written(folder.path(), MAINTAINED);
    assert_eq!(
        dev.printed(&["apply", &file]),
        "error: 1 of the 3 objects of run/maint can't be applied, so nothing was changed\n  \
         semaphore/maint-db: already exists in namespace default and belongs to \
         pipeline maint-d\n  \
         help: give the pipeline or its semaphore or lease another name\nexit code 1\n"
    );
    assert_eq!(semaphores.get("maint-db").await.unwrap().spec.permits, 1);
    assert_eq!(dev.printed(&["runs"]), "No resources found.\nexit code 0\n");
}
