//! P2: a Gate opens, and its Jobs start.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use konductor_api::Gate;
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::measure::{Extent, Of, Row, progress, rate};
use crate::raw::{api, create, job, names, object, patch, reached, watch};

const WITHIN: Duration = Duration::from_secs(120);

/// P2: a Gate that opens starts its Jobs.
pub(crate) async fn gates(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let count = extent.of(1000);
    let (mut floors, mut ours, mut versions) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=extent.rounds(3) {
        progress(&format!("P2: round {round}, {count} Jobs"));
        let namespace = cluster.namespace("p2-raw").await;
        let jobs = api::<Job>(&cluster.client, &namespace);
        let all = names("j", count);
        create(&jobs, all.iter().map(|name| job(name, json!({}))).collect()).await;
        let took = patch(&jobs, &all, &json!({"spec": {"suspend": false}})).await;
        floors.push(rate(count, took));
        let (took, most_versions) = open_once(cluster, count).await;
        ours.push(rate(count, took));
        versions.push(most_versions as f64);
    }
    let what = format!("Gate opens → {count} Jobs are started");
    vec![
        Row::new("P2", what.clone(), "Jobs/s", &ours)
            .beside("patches of as many Jobs", &floors, &ours)
            .at_least(Of::Ratio, 0.85),
        Row::new(
            "P2",
            format!("{what}: most writes of one Job"),
            "writes",
            &versions,
        )
        .at_most(Of::Konductor, 1.0),
    ]
}

/// How long it takes, and the most versions that one Job had after it was created.
async fn open_once(cluster: &Cluster, count: usize) -> (Duration, usize) {
    let namespace = cluster.namespace("p2").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let gates = api::<Gate>(&cluster.client, &namespace);
    create(&gates, vec![object("g", json!({}))]).await;
    let jobs = api::<Job>(&cluster.client, &namespace);
    let annotations = json!({"konductor.io/gate": "g"});
    let all = names("j", count);
    create(
        &jobs,
        all.iter()
            .map(|name| job(name, annotations.clone()))
            .collect(),
    )
    .await;
    reached(&gates, "g", WITHIN, |gate| gate.status.is_some()).await;
    let mut started = BTreeSet::new();
    let (versions, seen) = std::sync::mpsc::channel();
    let watching = watch(&jobs, move |job: Job| {
        let _ = versions.send(job.name_any());
        if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(false) {
            started.insert(job.name_any());
        }
        started.len() == count
    })
    .await;
    let begun = Instant::now();
    let open = Patch::Merge(json!({"spec": {"decision": "Open"}}));
    gates
        .patch("g", &PatchParams::default(), &open)
        .await
        .expect("opened");
    watching.await.expect("all started");
    let took = begun.elapsed();
    let mut counts = BTreeMap::new();
    for name in seen.try_iter() {
        *counts.entry(name).or_insert(0) += 1;
    }
    (took, counts.values().copied().max().unwrap_or_default())
}
