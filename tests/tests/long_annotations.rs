//! A Job whose annotations are long is kept without some of them, and decided about with all.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::Semaphore;
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::operator::Operator;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};

/// The most that anything here takes on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(90);
/// Bytes of a default: more than an operator keeps of a Job's annotations.
const LONG: usize = 20_000;

fn job(name: &str, annotations: Value, template: Value) -> Job {
    serde_json::from_value(json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"suspend": true, "template": {
            "metadata": {"annotations": template},
            "spec": {
                "restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}],
            },
        }},
    }))
    .expect("a Job")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_long_annotations_starts_with_its_inputs_and_keeps_its_defaults() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("long").await;
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &namespace);
    let semaphores: Api<Semaphore> = Api::namespaced(cluster.client.clone(), &namespace);
    let semaphore = json!({
        "apiVersion": "konductor.io/v1", "kind": "Semaphore", "metadata": {"name": "s"},
        "spec": {"permits": 1},
    });
    let semaphore = serde_json::from_value(semaphore).expect("a Semaphore");
    let posted = PostParams::default();
    let created = semaphores.create(&posted, &semaphore).await;
    created.expect("created");
    let mut source = job(
        "source",
        json!({"konductor.io/outputs-declared": "rows: int"}),
        json!({}),
    );
    if let Some(spec) = &mut source.spec {
        spec.suspend = Some(false);
    }
    let sink = job(
        "sink",
        json!({
            "konductor.io/hold": "semaphore/s",
            "konductor.io/inputs": "{\"in-0\":\"source/rows\"}",
        }),
        json!({"konductor.io/in-0": "x".repeat(LONG), "example.com/mine": "kept"}),
    );
    let operator = Operator::start_everywhere(&cluster);
    let _kubelet = play(&cluster.client, &namespace, |_| {
        Script::with_outputs("rows=7\n")
    });
    jobs.create(&posted, &source).await.expect("created");
    let written = await_condition(jobs.clone(), "source", |job: Option<&Job>| {
        let annotations = job.and_then(|job| job.metadata.annotations.as_ref());
        annotations.is_some_and(|all| all.contains_key("konductor.io/outputs"))
    });
    let written = tokio::time::timeout(WITHIN, written).await;
    written.expect("in time").expect("a watch");
    jobs.create(&posted, &sink).await.expect("created");
    let started = await_condition(jobs.clone(), "sink", |job: Option<&Job>| {
        let spec = job.and_then(|job| job.spec.as_ref());
        spec.is_some_and(|spec| spec.suspend == Some(false))
    });
    let started = tokio::time::timeout(WITHIN, started).await;
    let sink = started.expect("in time").expect("a watch").expect("a Job");
    let annotations = sink.metadata.annotations.unwrap_or_default();
    let presets: Value = serde_json::from_str(&annotations["konductor.io/presets"]).expect("JSON");
    assert_eq!(presets, json!({"konductor.io/in-0": "x".repeat(LONG)}));
    let template = sink.spec.expect("a spec").template;
    let annotations = template.metadata.unwrap_or_default().annotations;
    let annotations = annotations.unwrap_or_default();
    assert_eq!(annotations["konductor.io/in-0"], "7");
    assert_eq!(annotations["example.com/mine"], "kept");
    operator.stop().await;
}
