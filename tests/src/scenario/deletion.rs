//! Jobs of a Run that somebody deletes, a person or a TTL: the Run ends by the table of outcomes.

use k8s_openapi::api::batch::v1::Job;
use konductor_api::condition::SUCCEEDED;
use konductor_api::{JobPhase, Run, RunOutcome, RunPhase, job_ended, job_phase};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use tokio::sync::watch;

use super::api;
use super::pipeline::{compiled, create, stage, until_ended};
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::watching::until;

/// `a` is deleted while it runs: `b` is unreached, `f` runs, and the Run fails and says why.
pub async fn a_job_that_is_deleted_while_it_runs_ends_its_run(cluster: &Cluster) {
    let namespace = cluster.namespace("gone").await;
    let _operator = Operator::start(cluster, &namespace);
    let (_release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match stage(pod).as_str() {
            "a" => Script::until(&released),
            _ => Script::succeed(),
        }
    });
    let pipeline = compiled(
        r#"pipeline gone {
          defaults { image = "busybox:1.36" }
          stage a { run = "sleep 30" }
          stage b after a { run = "echo b" }
          finally stage f { run = "echo f" }
        }"#,
    );
    create(cluster, &namespace, &pipeline).await;
    until(&cluster.client, &namespace, "gone", |run: &Run| {
        let status = run.status.as_ref();
        status.is_some_and(|status| status.complete && status.running == 1)
    })
    .await;
    let jobs = api::<Job>(cluster, &namespace);
    let deleted = jobs.delete("gone-a", &DeleteParams::background()).await;
    deleted.expect("deleted");
    let run = until_ended(cluster, &namespace, "gone").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.outcome),
        (RunPhase::Failed, Some(RunOutcome::Failed))
    );
    assert_eq!(
        (
            status.cancelled,
            status.deleted,
            status.unreached,
            status.succeeded
        ),
        (1, 1, 1, 1),
        "{status:#?}"
    );
    let mut conditions = status.conditions.iter();
    let succeeded = conditions.find(|condition| condition.type_ == SUCCEEDED);
    assert_eq!(
        succeeded.map(|condition| condition.message.as_str()),
        Some("stage a was deleted before it had ended (job/gone-a); 1 other stage did not run: b")
    );
    let b = jobs.get("gone-b").await.expect("it is there");
    assert_eq!(job_phase(&b), Some(JobPhase::Unreached));
    let f = jobs.get("gone-f").await.expect("it is there");
    assert_eq!(job_ended(&f), Some(true));
}

/// An admission policy gives every Job a TTL of nothing: each is gone a moment after its end, with its
/// pod and what that wrote, and the next one still starts and reads it.
pub async fn jobs_with_an_injected_ttl_run_to_the_end_of_their_run(cluster: &Cluster) {
    let namespace = cluster.namespace("ttl2").await;
    let _operator = Operator::start(cluster, &namespace);
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match stage(pod).as_str() {
            "a" => Script {
                until: Some(released.clone()),
                ..Script::with_outputs("v=1\n")
            },
            _ => Script::succeed(),
        }
    });
    let pipeline = compiled(
        r#"pipeline ttl2 {
          defaults { image = "busybox:1.36" }
          stage a { run = "echo v=1" output v: int }
          stage b after a { run = "echo ${a.v}" }
          stage c after b { run = "echo c" }
          stage d after b { run = "echo d" }
          finally stage f { run = "echo f" }
        }"#,
    );
    create(cluster, &namespace, &pipeline).await;
    let jobs = api::<Job>(cluster, &namespace);
    let all = jobs.list(&ListParams::default()).await.expect("jobs");
    for job in all.items {
        let ttl = Patch::Merge(json!({"spec": {"ttlSecondsAfterFinished": 0}}));
        let (name, params) = (job.name_any(), PatchParams::default());
        let patched = jobs.patch(&name, &params, &ttl).await;
        patched.expect("patched");
    }
    release.send(true).expect("it is waited for");
    let run = until_ended(cluster, &namespace, "ttl2").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.succeeded, status.deleted),
        (RunPhase::Succeeded, 5, 0),
        "{status:#?}"
    );
}
