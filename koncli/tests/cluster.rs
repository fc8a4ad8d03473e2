//! Commands that talk to a cluster, as transcripts: whole output, and exit code.
#![expect(clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::annotation;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, ResourceExt};
use support::{Dev, copy_of, koncli, transcript};

const FANNED_OUT: &str = r#"pipeline fan {
  defaults { image = "busybox:1.36" }
  approval ready after zero { approvers = 1 }
  stage zero { exec = ["true"] }
  stage part for i in ["a", "b"] after zero { exec = ["true"] }
  stage all after part { exec = ["true"] }
  stage ask after all, ready { exec = ["true"] }
  finally stage aa { exec = ["true"] }
}
"#;

const HELD: &str = r#"pipeline night {
  defaults { image = "busybox:1.36" }
  gate go {}
  stage first { run = "echo one; echo two" }
  stage held after first { run = "while [ ! -e released ]; do sleep 0.05; done; echo done" }
  stage last after held { run = "true" }
}
"#;

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("pipeline.kon");
    std::fs::write(&file, text).unwrap();
    file.display().to_string()
}

#[test]
fn a_run_is_looked_at_paused_resumed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), &HELD.replace("  gate go {}\n", ""));
    assert_eq!(
        dev.printed(&["apply", &file]),
        "run/night: 6 created, 0 configured, 0 unchanged\n\
         look at it with `koncli status night`\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["apply", &file]),
        "run/night: 0 created, 0 configured, 6 unchanged\n\
         look at it with `koncli status night`\nexit code 0\n"
    );
    dev.until(
        &["logs", "night", "first"],
        "first | one\nfirst | two\nexit code 0\n",
    );
    assert_eq!(
        dev.printed(&["logs", "night", "first", "--tail", "1"]),
        "first | two\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["logs", "night", "last"]),
        "No pods have started.\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["pause", "night"]),
        "run/night is paused; resume it with `koncli resume night`\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["pause", "night"]),
        "run/night is already paused; resume it with `koncli resume night`\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["resume", "night"]),
        "run/night resumed\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["resume", "night"]),
        "run/night is not paused\nexit code 0\n"
    );
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(
        dev.printed(&["wait", "run/night", "--timeout", "1m"]),
        "exit code 0\n"
    );
    assert_eq!(
        dev.printed(&["cancel", "night"]),
        "error: run/night has ended already: it is Succeeded\nexit code 1\n"
    );
    assert_eq!(
        dev.printed(&["delete", "night", "--wait"]),
        "run/night deleted\nexit code 0\n"
    );
    assert_eq!(dev.printed(&["runs"]), "No resources found.\nexit code 0\n");
    assert_eq!(
        dev.printed(&["delete", "night"]),
        "error: run/night in namespace default does not exist\n  \
         help: look at `koncli runs`\nexit code 4\n"
    );
}

/// Whatever shows a run shows the stages whose Jobs somebody deleted, and what became of them.
#[tokio::test]
async fn stages_whose_jobs_were_deleted_are_still_shown() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), &HELD.replace("  gate go {}\n", ""));
    dev.printed(&["apply", &file]);
    dev.until(
        &["logs", "night", "first"],
        "first | one\nfirst | two\nexit code 0\n",
    );
    let jobs: Api<Job> = Api::default_namespaced(dev.client().await);
    let complete = await_condition(jobs.clone(), "night-first", conditions::is_job_completed());
    complete.await.unwrap();
    for name in ["night-first", "night-held"] {
        let background = DeleteParams::background();
        jobs.delete(name, &background).await.unwrap();
    }
    let message = "stage held was deleted before it had ended (job/night-held); 1 other stage did not run: last";
    assert_eq!(
        dev.printed(&["wait", "run/night", "--timeout", "1m"]),
        format!(
            "error: run/night in namespace default is Failed: {message}\n  help: look at `koncli status night`\n\
             exit code 1\n"
        )
    );
    let status = dev.printed(&["status", "night"]);
    let lines: Vec<Vec<&str>> = status
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let line = |stage: &str| {
        let line = lines.iter().find(|line| line.first() == Some(&stage));
        line.map(|line| line[1..].join(" ")).unwrap_or_default()
    };
    assert_eq!(
        line("first"),
        "✓ succeeded - - its Job was deleted after it had ended",
        "{status}"
    );
    assert_eq!(
        line("held"),
        "⊘ cancelled - - Deleted: its Job was deleted before it had ended",
        "{status}"
    );
    assert!(line("last").starts_with("⊘ unreached"), "{status}");
    assert!(line("last").ends_with("stage held was deleted"), "{status}");
    assert_eq!(
        dev.printed(&["why", "night", "held"]),
        "⊘ held cancelled: Deleted: its Job was deleted before it had ended\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["logs", "night", "held"]),
        "error: the Job of stage held of run/night was deleted, and its logs with it\n  \
         help: look at `koncli status night`\nexit code 4\n"
    );
    let json = dev.printed(&["status", "night", "-o", "json"]);
    let json: serde_json::Value =
        serde_json::from_str(json.trim_end_matches("exit code 0\n")).unwrap();
    let states: Vec<_> = json["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| {
            let item = &stage["items"][0];
            format!("{} {} {}", stage["name"], item["job"], item["state"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        states,
        [
            "first night-first succeeded",
            "held night-held cancelled",
            "last night-last unreached"
        ]
    );
    let graph = dev.printed(&["graph", "night"]);
    assert!(graph.contains("held") && graph.contains("first"), "{graph}");
}

/// Also one that is suspended again and again.
#[tokio::test]
async fn a_stage_that_somebody_suspended_is_named_by_resume_and_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), &HELD.replace("  gate go {}\n", ""));
    dev.printed(&["apply", &file]);
    let jobs: Api<Job> = Api::default_namespaced(dev.client().await);
    let held = |expected: fn(&Job) -> bool| {
        let is_so = move |job: Option<&Job>| job.is_some_and(expected);
        await_condition(jobs.clone(), "night-held", is_so)
    };
    for _ in 0..3 {
        held(|job| job.spec.as_ref().unwrap().suspend == Some(false))
            .await
            .unwrap();
        suspend(&jobs).await;
    }
    held(|job| job.spec.as_ref().unwrap().suspend == Some(false))
        .await
        .unwrap();
    suspend(&jobs).await;
    held(|job| {
        let reason = job.annotations().get(annotation::REASON);
        reason.is_some_and(|reason| reason.contains("again and again"))
    })
    .await
    .unwrap();
    assert_eq!(
        dev.printed(&["resume", "night"]),
        "run/night is not paused\nstage held was suspended by somebody else; the operator starts it again \
         within 10s\nexit code 0\n"
    );
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(
        dev.printed(&["wait", "run/night", "--timeout", "1m"]),
        "exit code 0\n"
    );
}

async fn suspend(jobs: &Api<Job>) {
    let params = PatchParams {
        field_manager: Some("kubectl".to_owned()),
        ..PatchParams::default()
    };
    let body = Patch::Merge(serde_json::json!({"spec": {"suspend": true}}));
    jobs.patch("night-held", &params, &body).await.unwrap();
}

#[test]
fn what_apply_would_change_is_shown_and_not_done() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(
        folder.path(),
        "pipeline night {\n  semaphore source { permits = 2 }\n  stage first holding source { image = \"busybox:1.36\" exec = \
         [\"true\"] }\n}\n",
    );
    assert_eq!(
        dev.printed(&["apply", &file, "--dry-run", "client"]),
        "run/night: 3 objects (client dry run: the API server was not asked)\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["apply", &file, "--dry-run", "server"]),
        "run/night: 3 created, 0 configured, 0 unchanged (server dry run: nothing was \
         stored)\nexit code 0\n"
    );
    assert_eq!(dev.printed(&["runs"]), "No resources found.\nexit code 0\n");
    assert_eq!(
        dev.printed(&["semaphore", "list"]),
        "No resources found.\nexit code 0\n"
    );
    let missing = dev.printed(&["diff", &file]);
    assert!(
        missing.contains("--- /dev/null\n+++ semaphore/night-source\n")
            && missing.contains("+  permits: 2\n")
            && missing.contains("+++ job/night-first\n")
            && missing.ends_with("exit code 1\n"),
        "{missing}"
    );
    assert_eq!(
        dev.printed(&["apply", &file, "--wait"]),
        "run/night: 3 created, 0 configured, 0 unchanged\nrun/night succeeded\nexit code 0\n"
    );
    let differs = |file: &str| {
        let printed = dev.printed(&["diff", file]);
        let is_note =
            |line: &&str| line.starts_with("note: run/night has already ended (Succeeded");
        assert_eq!(printed.lines().filter(is_note).count(), 1, "{printed}");
        let rest = printed.split_inclusive('\n');
        rest.filter(|line| !is_note(line)).collect::<String>()
    };
    // What the operator and the Job controller have written since is no difference.
    assert_eq!(differs(&file), "exit code 0\n");
    let other = std::fs::read_to_string(&file).unwrap();
    let file = written(folder.path(), &other.replace("permits = 2", "permits = 3"));
    assert_eq!(
        differs(&file),
        "--- semaphore/night-source\n+++ semaphore/night-source\n@@ -7,4 +7,4 @@\n   namespace: \
         default\n spec:\n   order: Fifo\n-  permits: 2\n+  permits: 3\nexit code 1\n"
    );
    assert_eq!(
        dev.printed(&["apply", &file, "--dry-run", "server", "--run", "later"]),
        "run/later: 2 created, 1 configured, 0 unchanged (server dry run: nothing was \
         stored)\nexit code 0\n"
    );
    assert!(differs(&file).ends_with("exit code 1\n"));
}

#[test]
fn doctor_lists_what_is_there_and_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    // The CRDs come a moment after the API server.
    dev.until(
        &["doctor"],
        "ok    API server   Kubernetes v1.36.3\n\
         ok    CRDs         7 installed, as this koncli has them\n\
         ok    operator     it answers in namespace default\n\
         ok    permissions  you may run pipelines in namespace default\n\
         warn  approvals    no admission policy: anyone who may create Arrivals can approve in another's \
         name\n      help: install the chart with policies.verifiedArrivals\nexit code 0\n",
    );
    let findings = dev.koncli(&["doctor", "-o", "json"]);
    let findings: serde_json::Value = serde_json::from_slice(&findings.stdout).unwrap();
    let levels: Vec<_> = findings.as_array().unwrap().iter().collect();
    assert_eq!(levels.len(), 5, "{findings:#}");
    assert_eq!(levels[4]["level"], "warn");
    drop(dev);
    assert_eq!(
        transcript(
            &koncli()
                .args(["doctor", "--kubeconfig", "gone"])
                .current_dir(folder.path())
                .output()
                .unwrap()
        ),
        "error: no cluster is configured: gone can't be read: No such file or directory (os \
         error 2)\n  help: name one with --kubeconfig or $KUBECONFIG; `koncli run \
         FILE` needs none\nexit code 6\n"
    );
}

#[test]
fn each_stage_is_shown_below_what_it_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), FANNED_OUT);
    dev.printed(&["apply", &file]);
    dev.printed(&["approve", "fan-ready"]);
    assert_eq!(
        dev.printed(&["wait", "run/fan", "--timeout", "1m"]),
        "exit code 0\n"
    );
    let status = dev.printed(&["status", "fan", "--no-headers"]);
    let stages = status
        .lines()
        .skip(2)
        .filter(|line| !line.starts_with(' ') && !line.starts_with("exit"));
    let stages: Vec<&str> = stages
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(stages, ["zero", "part", "all", "ask", "aa"], "{status}");
}

#[test]
fn a_run_is_watched_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(
        folder.path(),
        &HELD.replace("  gate go {}\n", "").replace("first", "zero"),
    );
    dev.printed(&["apply", &file]);
    let watching = koncli()
        .args(["status", "night", "--watch", "--kubeconfig"])
        .arg(&dev.kubeconfig)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::fs::write(folder.path().join("released"), "").unwrap();
    let watched = watching.wait_with_output().unwrap();
    let lines = String::from_utf8(watched.stderr).unwrap();
    let ended: std::collections::BTreeSet<&str> = lines
        .lines()
        .filter_map(|line| line.split_once("s  "))
        .map(|(_, what)| what)
        .filter(|what| what.ends_with("succeeded"))
        .collect();
    assert_eq!(
        Vec::from_iter(ended),
        ["✓ held succeeded", "✓ last succeeded", "✓ zero succeeded"],
        "{lines}"
    );
    let table = String::from_utf8(watched.stdout).unwrap();
    let head = "run/night of pipeline night: Succeeded (every stage succeeded or was skipped)\n\n";
    assert!(table.starts_with(head), "{table}");
    // Each stage is below what it waits for.
    let names: Vec<&str> = table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["STAGE", "zero", "held", "last"]);
    assert_eq!(watched.status.code(), Some(0));
    assert_eq!(
        dev.printed(&["status", "gone", "--watch"]),
        "error: run/gone in namespace default does not exist\n  help: look at `koncli runs`\nexit \
         code 4\n"
    );
}

#[test]
fn a_cancelled_run_has_ended_when_cancel_returns() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(folder.path(), &HELD.replace("  gate go {}\n", ""));
    dev.printed(&["apply", &file]);
    dev.until(
        &["logs", "night", "first"],
        "first | one\nfirst | two\nexit code 0\n",
    );
    assert_eq!(
        dev.printed(&["cancel", "night", "--wait", "--timeout", "1m"]),
        "run/night is being cancelled\nrun/night has ended\nexit code 0\n"
    );
    let printed = dev.printed(&["why", "night", "last"]);
    assert_eq!(
        printed,
        format!(
            "⊘ last cancelled {} ago: its run was cancelled\nexit code 0\n",
            age_in(&printed)
        )
    );
}

/// How old something is depends on how fast the machine is.
fn age_in(printed: &str) -> String {
    let words: Vec<&str> = printed.split_whitespace().collect();
    let for_at = words.iter().position(|word| *word == "for");
    let ago_at = words
        .iter()
        .position(|word| word.trim_end_matches(':') == "ago");
    let age = match (for_at, ago_at) {
        (_, Some(at)) => words[at - 1],
        (Some(at), None) => words[at + 1],
        (None, None) => "",
    };
    age.trim_end_matches(':').to_owned()
}

#[test]
fn an_approval_is_what_a_deployment_waits_for() {
    let folder = copy_of("06-deployment");
    let dev = Dev::start(folder.path());
    let file = folder.path().join("pipeline.kon").display().to_string();
    dev.printed(&["apply", &file, "--set", "target=prod"]);
    assert_eq!(
        dev.printed(&["wait", "job/deployment-test", "--timeout", "1m"]),
        "exit code 0\n"
    );
    // Until its Gate has read how the test ended, it waits for that, too.
    dev.until_it_is(&["why", "deployment", "deploy"], |printed| {
        format!(
            "○ deploy waiting for {}\n  approval sign-off waits: 0 of 1 given (barrier/deployment-sign-off)\n    \
             `koncli approve deployment-sign-off` gives an approval\nexit code 0\n",
            age_in(printed)
        )
    });
    assert_eq!(
        dev.printed(&["why", "deployment", "deplo"]),
        "error: run/deployment has no stage deplo\n  help: did you mean deploy?\nexit code 4\n"
    );
    assert_eq!(
        dev.printed(&["approve", "deployment-sign-of"]),
        "error: barrier/deployment-sign-of in namespace default does not exist\n  \
         help: look at `koncli barrier list`\nexit code 4\n"
    );
    assert_eq!(
        dev.printed(&["approve", "deployment-sign-off"]),
        "barrier/deployment-sign-off approved by tester\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["wait", "run/deployment", "--timeout", "1m"]),
        "exit code 0\n"
    );
    let deployed = std::fs::read_to_string(folder.path().join("out/prod/current")).unwrap();
    assert_eq!(deployed, "version=1.4.0\n");
}

#[test]
fn a_denied_deployment_does_not_happen() {
    let folder = copy_of("06-deployment");
    let dev = Dev::start(folder.path());
    let file = folder.path().join("pipeline.kon").display().to_string();
    dev.printed(&["apply", &file, "--set", "target=prod"]);
    // It may be too early, which is said behind it.
    let denied = dev.printed(&["approve", "deployment-sign-off", "--deny"]);
    assert!(
        denied.starts_with("barrier/deployment-sign-off denied by tester")
            && denied.ends_with("\nexit code 0\n"),
        "{denied}"
    );
    let output = dev.koncli(&["wait", "run/deployment", "--timeout", "1m"]);
    assert_eq!(output.status.code(), Some(1), "{}", transcript(&output));
    assert!(!folder.path().join("out/prod/current").exists());
}

#[test]
fn one_pipeline_waits_for_a_run_of_another() {
    let folder = copy_of("09-two-pipelines");
    let dev = Dev::start(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    dev.printed(&["apply", &file("pipeline.kon")]);
    assert_eq!(
        dev.printed(&["apply", &file("rates.kon"), "--wait", "--timeout", "1m"])
            .lines()
            .last(),
        Some("exit code 0")
    );
    assert_eq!(
        dev.printed(&["wait", "run/invoices", "--timeout", "1m"]),
        "exit code 0\n"
    );
}

#[test]
fn without_a_cluster_the_error_says_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let output = koncli()
        .args(["runs"])
        .env("HOME", home.path())
        .output()
        .unwrap();
    let printed = transcript(&output);
    assert!(
        printed.starts_with("error: no cluster is configured: "),
        "{printed}"
    );
    assert!(
        printed.ends_with(
            "  help: name one with --kubeconfig or $KUBECONFIG; `koncli run FILE` needs none\n\
             exit code 6\n"
        ),
        "{printed}"
    );
}

#[test]
fn dev_does_not_write_over_a_kubeconfig() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("config");
    std::fs::write(&mine, "precious").unwrap();
    let output = koncli()
        .args(["dev", "--write-kubeconfig"])
        .arg(&mine)
        .output()
        .unwrap();
    assert_eq!(
        transcript(&output),
        format!(
            "error: can't create {}: File exists (os error 17)\n  help: name another file, or remove this one if nobody \
             needs it\nexit code 1\n",
            mine.display()
        )
    );
    assert_eq!(std::fs::read_to_string(mine).unwrap(), "precious");
}

#[test]
fn why_names_the_holder_and_since_when_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let text = "pipeline night {\n  defaults { image = \"busybox:1.36\" }\n  lease one {}\n  stage \
                go { run = \"true\" }\n  stage a holding one { run = \"while [ ! -e released ]; do \
                sleep 0.05; done\" }\n  stage b after go holding one { run = \"true\" }\n}\n";
    let file = written(folder.path(), text);
    dev.printed(&["apply", &file]);
    let held = |printed: &str| {
        let at = printed.rfind(" for ").unwrap_or_default();
        printed[at..].lines().next().unwrap_or_default().to_owned()
    };
    dev.until_it_is(&["why", "night", "b"], |printed| {
        format!(
            "◔ b queued for {}: waits for lease/night-one: held by night-a\n    job/night-a has \
             had it{}\nexit code 0\n",
            age_in(printed),
            held(printed)
        )
    });
    std::fs::write(folder.path().join("released"), "").unwrap();
    assert_eq!(
        dev.printed(&["wait", "run/night", "--timeout", "1m"]),
        "exit code 0\n"
    );
}

#[test]
fn lists_are_narrowed_by_labels_and_by_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let dev = Dev::start(folder.path());
    let file = written(
        folder.path(),
        "pipeline night {\n  stage first { image = \"busybox:1.36\" exec = [\"true\"] }\n}\n",
    );
    dev.printed(&["apply", &file, "--wait"]);
    dev.printed(&["apply", &file, "--run", "morning", "--wait"]);
    assert_eq!(
        dev.printed(&["runs", "-o", "name", "-l", "konductor.io/run=night"]),
        "run/night\nexit code 0\n"
    );
    assert_eq!(
        dev.printed(&["runs", "-l", "konductor.io/run=noon"]),
        "No resources found.\nexit code 0\n"
    );
    let output = koncli()
        .args(["runs", "-o", "name"])
        .env("KUBECONFIG", &dev.kubeconfig)
        .env("KONCLI_SELECTOR", "konductor.io/run=morning")
        .output()
        .unwrap();
    assert_eq!(transcript(&output), "run/morning\nexit code 0\n");
}
