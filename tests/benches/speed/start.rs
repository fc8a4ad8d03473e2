//! P2: a Gate opens, and its Jobs start. P12: a whole pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Gate, Run, RunPhase, job_ended};
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::pipeline::{compiled, create as create_run};
use konductor_tests::watching::until;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::measure::{Row, median, rate};
use crate::raw::{api, create, job, names, object, patch, watch};

const ROUNDS: usize = 3;
const JOBS: usize = 1000;

/// P2: a Gate that opens starts its Jobs.
pub(crate) async fn gates(cluster: &Cluster) -> Vec<Row> {
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    let mut most_versions = 0;
    for _ in 0..ROUNDS {
        let namespace = cluster.namespace("p2-raw").await;
        let jobs = api::<Job>(&cluster.client, &namespace);
        let all = names("j", JOBS);
        create(&jobs, all.iter().map(|name| job(name, json!({}))).collect()).await;
        let took = patch(&jobs, &all, &json!({"spec": {"suspend": false}})).await;
        floors.push(rate(JOBS, took));
        let (took, versions) = open_once(cluster).await;
        ours.push(rate(JOBS, took));
        most_versions = most_versions.max(versions);
    }
    let (floor, ours) = (median(floors), median(ours));
    vec![Row {
        id: "P2",
        what: format!("Gate opens → {JOBS} Jobs started, {most_versions} patch a Job"),
        floor: format!("{floor:.0} patches/s"),
        ours: format!("{ours:.0} Jobs/s"),
        ratio: format!("{:.2}×", ours / floor),
        target: "≥ 0.85×",
    }]
}

/// How long it takes, and the most versions that one Job had after it was created.
async fn open_once(cluster: &Cluster) -> (Duration, usize) {
    let namespace = cluster.namespace("p2").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let gates = api::<Gate>(&cluster.client, &namespace);
    create(&gates, vec![object("g", json!({}))]).await;
    let jobs = api::<Job>(&cluster.client, &namespace);
    let annotations = json!({"konductor.io/gate": "g"});
    let all = names("j", JOBS);
    create(
        &jobs,
        all.iter()
            .map(|name| job(name, annotations.clone()))
            .collect(),
    )
    .await;
    until(&cluster.client, &namespace, "g", |gate: &Gate| {
        gate.status.is_some()
    })
    .await;
    let mut started = BTreeSet::new();
    let (versions, seen) = std::sync::mpsc::channel();
    let watching = watch(&jobs, move |job: Job| {
        let _ = versions.send(job.name_any());
        if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(false) {
            started.insert(job.name_any());
        }
        started.len() == JOBS
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

/// How many stages there are in a row, and beside each other.
const LAYERS: usize = 10;
const WIDTH: usize = 100;

/// P12: a pipeline of a thousand stages, and the same Jobs started by a client that knows when.
pub(crate) async fn thousand_stages(cluster: &Cluster) -> Vec<Row> {
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        floors.push(ideal(cluster).await.as_secs_f64());
        ours.push(run_once(cluster).await.as_secs_f64());
    }
    let (floor, ours) = (median(floors), median(ours));
    vec![Row {
        id: "P12",
        what: format!("a run of {} stages, {LAYERS} in a row", LAYERS * WIDTH),
        floor: format!("{floor:.1} s"),
        ours: format!("{ours:.1} s"),
        ratio: format!("{:.2}×", ours / floor),
        target: "≤ 1.15×",
    }]
}

/// Layer by layer: when all of one are complete, all of the next are started.
async fn ideal(cluster: &Cluster) -> Duration {
    let namespace = cluster.namespace("p12-raw").await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let jobs = api::<Job>(&cluster.client, &namespace);
    let all: Vec<Vec<String>> = (0..LAYERS)
        .map(|layer| names(&format!("j-{layer}"), WIDTH))
        .collect();
    create(
        &jobs,
        all.iter()
            .flatten()
            .map(|name| job(name, json!({})))
            .collect(),
    )
    .await;
    let begun = Instant::now();
    for layer in &all {
        let mut open: BTreeSet<String> = layer.iter().cloned().collect();
        let watching = watch(&jobs, move |job: Job| {
            if job_ended(&job) == Some(true) {
                open.remove(&job.name_any());
            }
            open.is_empty()
        })
        .await;
        patch(&jobs, layer, &json!({"spec": {"suspend": false}})).await;
        watching.await.expect("a layer");
    }
    begun.elapsed()
}

async fn run_once(cluster: &Cluster) -> Duration {
    let namespace = cluster.namespace("p12").await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let mut text = String::from("pipeline p {\n  defaults { image = \"busybox:1.36\" }\n");
    text.push_str("  approval go {}\n");
    for layer in 0..LAYERS {
        for index in 0..WIDTH {
            let after = match layer {
                0 => "go".to_owned(),
                _ => names(&format!("s{}", layer - 1), WIDTH).join(", "),
            };
            let _ = writeln!(
                text,
                "  stage s{layer}-{index} after {after} {{ run = \"true\" }}"
            );
        }
    }
    text.push('}');
    let pipeline = compiled(&text);
    create_run(cluster, &namespace, &pipeline).await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    until(&cluster.client, &namespace, "p", |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.waiting == (LAYERS * WIDTH) as u32)
    })
    .await;
    let begun = Instant::now();
    let client = cluster.konductor(&namespace);
    client
        .approve_barrier("p-go", "somebody", Default::default())
        .await
        .expect("approved");
    until(&cluster.client, &namespace, "p", |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.phase == RunPhase::Succeeded)
    })
    .await;
    begun.elapsed()
}
