//! Which Jobs a Run adopts, and which it leaves alone.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::annotation::NONCE;
use konductor_api::{Run, RunPhase};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;

use super::api;
use super::attempts::{run, with};
use super::chart::job;
use crate::cluster::Cluster;
use crate::operator::Operator;
use crate::watching::{WITHIN, until};

/// A Run that is created after Jobs which carry its name and its nonce, as after the deletion of the first Run of that
/// name, neither counts, adopts nor ends them.
pub async fn a_run_leaves_the_jobs_alone_that_are_older_than_it(cluster: &Cluster) {
    let namespace = cluster.namespace("older-jobs").await;
    let _operator = Operator::start(cluster, &namespace);
    let jobs = api::<Job>(cluster, &namespace);
    let labels = json!({"konductor.io/run": "r", "konductor.io/stage": "one"});
    let hers = with(job("hers", true, json!({NONCE: "n"})), labels);
    let hers: Job = serde_json::from_value(hers).expect("a job");
    let hers = jobs
        .create(&PostParams::default(), &hers)
        .await
        .expect("created");
    a_second_later(cluster, &namespace, hers.creation_timestamp()).await;
    let runs = api::<Run>(cluster, &namespace);
    let later: Run = serde_json::from_value(run("r", "n")).expect("a run");
    runs.create(&PostParams::default(), &later)
        .await
        .expect("created");
    until(&cluster.client, &namespace, "r", |run: &Run| {
        run.status.is_some()
    })
    .await;
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    runs.patch("r", &PatchParams::default(), &cancel)
        .await
        .expect("cancelled");
    let ended = until(&cluster.client, &namespace, "r", |run: &Run| {
        let status = run.status.as_ref();
        status.is_some_and(|status| status.phase == RunPhase::Cancelled)
    });
    ended.await;
    let now = jobs.get("hers").await.expect("it is there");
    assert_eq!(now.metadata.deletion_timestamp, None);
    assert_eq!(
        now.metadata.owner_references,
        hers.metadata.owner_references
    );
    assert_eq!(now.metadata.annotations, hers.metadata.annotations);
    assert_eq!(now.spec, hers.spec);
}

/// Creation times have whole seconds: returns when the API server's clock shows a later one.
async fn a_second_later(cluster: &Cluster, namespace: &str, then: Option<Time>) {
    let runs = api::<Run>(cluster, namespace);
    let probe: Run = serde_json::from_value(run("probe", "probe")).expect("a run");
    let begun = std::time::Instant::now();
    loop {
        let created = runs
            .create(&PostParams::default(), &probe)
            .await
            .expect("created");
        runs.delete("probe", &DeleteParams::default())
            .await
            .expect("deleted");
        if created.creation_timestamp() > then {
            return;
        }
        assert!(begun.elapsed() < WITHIN, "the clock stands still");
    }
}
