//! The next attempt of a run: what failed is made anew, with everything after it.

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

/// What is made anew runs again, with a higher token and with values of its own attempt; what is kept
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

    let retried = Command::new(koncli())
        .args(["retry", "p", "--namespace", &namespace, "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .output()
        .expect("koncli runs");
    assert!(retried.status.success(), "{retried:?}");
    let run: Run = crate::watching::until(&cluster.client, &namespace, "p", |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.attempt == 2 && status.finished_at.is_some())
    })
    .await;
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
