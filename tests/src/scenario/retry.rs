//! The next attempt of a run: what failed is recreated, with everything after it.

use std::process::Command;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Run, RunOutcome, RunPhase};
use kube::ResourceExt;

use super::api;
use super::pipeline::{compiled, create, stage, until_ended};
use crate::built::koncli;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::watching::until;

const PIPELINE: &str = r#"
pipeline p {
  lease one { ttl = 30s }
  defaults { image = "busybox:1.36" }
  stage first { run = "first" output rows: int }
  stage bad after first holding one { run = "bad" output size: int = 3 }
  stage next after bad { run = "next ${first.rows} ${bad.size}" }
  stage mend after bad.failed { run = "mend" }
  finally stage page { run = "page ${run.outcome}" }
}
"#;

/// Which item of an Indexed Job a pod is.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";

pub(super) fn retry(cluster: &Cluster, namespace: &str, run: &str) {
    let retried = Command::new(koncli())
        .args(["retry", run, "--namespace", namespace, "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .output()
        .expect("koncli runs");
    assert!(retried.status.success(), "{retried:?}");
}

pub(super) async fn until_attempt_2_ended(cluster: &Cluster, namespace: &str, run: &str) -> Run {
    until(&cluster.client, namespace, run, |run: &Run| {
        let status = run.status.as_ref();
        status.is_some_and(|status| status.attempt == 2 && status.finished_at.is_some())
    })
    .await
}

/// What is recreated runs again, with a higher token and with values of its own attempt; what is kept
/// does not, and its values are there.
pub async fn a_retry_runs_what_failed_again_and_keeps_the_rest(cluster: &Cluster) {
    let namespace = cluster.namespace("retry").await;
    let _operator = Operator::start(cluster, &namespace);
    let ran: Arc<Mutex<Vec<String>>> = Arc::default();
    let tokens: Arc<Mutex<Vec<u64>>> = Arc::default();
    let (noted, seen) = (Arc::clone(&ran), Arc::clone(&tokens));
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        let annotation = |key: &str| pod.annotations().get(key).cloned().unwrap_or_default();
        let inputs = [
            annotation("konductor.io/in-0"),
            annotation("konductor.io/in-1"),
        ];
        let stage = stage(pod);
        let mut ran = noted.lock().expect("no panic");
        ran.push(format!("{stage} {}", inputs.join(" ")).trim().to_owned());
        match stage.as_str() {
            "first" => Script::with_outputs("rows=42\n"),
            "bad" => {
                let token = annotation("token.konductor.io/p-one");
                let mut tokens = seen.lock().expect("no panic");
                tokens.push(token.parse().expect("a token"));
                if tokens.len() == 1 {
                    Script::fail()
                } else {
                    Script::succeed()
                }
            }
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(PIPELINE)).await;
    let run = until_ended(cluster, &namespace, "p").await;
    assert_eq!(
        run.status.expect("a status").outcome,
        Some(RunOutcome::Failed)
    );
    let first = api::<Job>(cluster, &namespace).get("p-first").await;
    let first = first.expect("a Job").uid();

    retry(cluster, &namespace, "p");
    let run = until_attempt_2_ended(cluster, &namespace, "p").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.succeeded, status.skipped),
        (RunPhase::Succeeded, 4, 1),
        "{status:#?}"
    );
    let mut ran = ran.lock().expect("no panic").clone();
    ran.sort();
    assert_eq!(
        ran,
        [
            "bad",
            "bad",
            "first",
            "mend",
            "next 42 3",
            "page failed",
            "page succeeded",
        ]
    );
    let tokens = tokens.lock().expect("no panic").clone();
    assert!(tokens[0] < tokens[1], "{tokens:?}");
    let kept = api::<Job>(cluster, &namespace).get("p-first").await;
    assert_eq!(kept.expect("a Job").uid(), first);
}

/// A range is one Indexed Job: only the index that failed runs again, as it would with a Job for each item.
pub async fn a_retry_of_a_range_runs_only_the_indexes_that_failed(cluster: &Cluster) {
    let namespace = cluster.namespace("range").await;
    let _operator = Operator::start(cluster, &namespace);
    let ran: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&ran);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        let index = pod.annotations().get(INDEX).cloned().unwrap_or_default();
        let mut ran = noted.lock().expect("no panic");
        let fails = index == "3" && !ran.contains(&index);
        ran.push(index);
        match fails {
            true => Script::fail(),
            false => Script::succeed(),
        }
    });
    let pipeline = compiled(
        r#"pipeline range {
          defaults { image = "busybox:1.36" }
          stage w for i in 0..<5 { run = "echo ${i}" }
          stage z after w { run = "echo z" }
        }"#,
    );
    create(cluster, &namespace, &pipeline).await;
    let run = until_ended(cluster, &namespace, "range").await;
    let status = run.status.expect("a status");
    assert_eq!(status.outcome, Some(RunOutcome::Failed));

    retry(cluster, &namespace, "range");
    let run = until_attempt_2_ended(cluster, &namespace, "range").await;
    let status = run.status.expect("a status");
    assert_eq!(status.phase, RunPhase::Succeeded, "{status:#?}");
    let mut ran = ran.lock().expect("no panic").clone();
    ran.sort();
    // The pod of `z` has no index.
    assert_eq!(ran, ["", "0", "1", "2", "3", "3", "4"]);
    let job = api::<Job>(cluster, &namespace).get("range-w").await;
    let status = job.expect("a Job").status.expect("a status");
    assert_eq!(status.completed_indexes.as_deref(), Some("0-4"));
    assert_eq!(status.succeeded, Some(5));
}
