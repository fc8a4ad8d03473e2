//! P12: a pipeline of a thousand stages. S1: from a hundred to ten thousand stages. S3: up to a thousand runs at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Run, job_ended};
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::pipeline::{compiled, create as create_run, create_at_once};
use kube::ResourceExt;
use serde_json::json;

use crate::measure::{Extent, Of, Row, progress};
use crate::raw::{AT_ONCE, api, create, has_succeeded, job, names, patch, reached, watch};
use crate::usage::{memory, processor};

/// How many stages are in a row.
const LAYERS: usize = 10;
const WITHIN: Duration = Duration::from_secs(1800);
const FLOOR: &str = "the same Jobs, started by a client that knows when";

/// P12: a pipeline of a thousand stages, and the same Jobs started by a client that knows when.
pub(crate) async fn thousand_stages(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let width = extent.of(100);
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    for round in 1..=extent.rounds(3) {
        progress(&format!("P12: round {round}"));
        floors.push(ideal(cluster, width).await.as_secs_f64());
        let run = run_once(cluster, &pipeline(width, width)).await;
        ours.push(run.took.as_secs_f64());
    }
    let what = format!(
        "a run of {} stages, {LAYERS} in a row, each after the whole layer before it",
        LAYERS * width
    );
    let row = Row::new("P12", what, "s", &ours);
    vec![row.beside(FLOOR, &floors, &ours).at_most(Of::Ratio, 1.15)]
}

/// S1: 100, 1,000 and 10,000 stages, ten in a row, each after three of the layer before.
pub(crate) async fn stages(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let mut rows = Vec::new();
    for width in extent.sizes(&[10, 100, 1000]) {
        let count = LAYERS * width;
        let text = pipeline(width, 3);
        let (mut floors, mut ours, mut runs) = (Vec::new(), Vec::new(), Vec::new());
        // Ten thousand stages take minutes, and vary less.
        for round in 1..=extent.rounds(if width > 100 { 1 } else { 3 }) {
            progress(&format!("S1: {count} stages, round {round}, the floor"));
            floors.push(ideal(cluster, width).await.as_secs_f64());
            progress(&format!("S1: {count} stages, round {round}"));
            let run = run_once(cluster, &text).await;
            ours.push(run.took.as_secs_f64());
            runs.push(run);
        }
        let row = |what: &str, unit, of: fn(&Used) -> f64| {
            let figures: Vec<f64> = runs.iter().map(of).collect();
            Row::new("S1", what, unit, &figures).sized(count, "stages")
        };
        let per_stage = |what: &str, unit, of: fn(&Used) -> f64| {
            let figures: Vec<f64> = runs.iter().map(|run| of(run) / count as f64).collect();
            Row::new("S1", what, unit, &figures).sized(count, "stages")
        };
        let total = |run: &Used| run.requests.values().sum::<u64>() as f64;
        let mut made_of: BTreeMap<String, f64> = BTreeMap::new();
        for run in &runs {
            for ((caller, verb, resource), requests) in &run.requests {
                let share = *requests as f64 / count as f64 / runs.len() as f64;
                if share >= 0.005 {
                    *made_of
                        .entry(format!("{caller}: {verb} {resource}"))
                        .or_default() += share;
                }
            }
        }
        rows.extend([
            row("a run, ten stages in a row", "s", |run| {
                run.took.as_secs_f64()
            })
            .beside(FLOOR, &floors, &ours),
            per_stage(
                "requests of all to the API server for each stage",
                "requests",
                total,
            )
            .with_detail(made_of),
            per_stage(
                "the operator's processor time for each stage",
                "ms",
                |run| run.worked * 1000.0,
            ),
            row("the operator's memory after a run", "MiB", |run| {
                run.resident
            }),
            per_stage("what etcd stores of a run for each stage", "KiB", |run| {
                run.stored / 1024.0
            }),
        ]);
    }
    rows
}

/// S3: 10, 100 and 1,000 runs of three stages in a row, created at once.
pub(crate) async fn at_once(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let mut rows = Vec::new();
    for count in extent.sizes(&[10, 100, 1000]) {
        let (mut took, mut worked, mut resident) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=extent.rounds(3) {
            progress(&format!("S3: {count} runs, round {round}"));
            let namespace = cluster.namespace("s3").await;
            let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
            let operator = OperatorProcess::start(cluster, &namespace);
            let pipelines: Vec<_> = (0..count)
                .map(|run| {
                    compiled(&format!(
                        "pipeline r{run} {{\n  defaults {{ image = \"busybox:1.36\" }}\n  \
                         stage a {{ run = \"true\" }}\n  stage b after a {{ run = \"true\" }}\n  \
                         stage c after b {{ run = \"true\" }}\n}}\n"
                    ))
                })
                .collect();
            let runs = api::<Run>(&cluster.client, &namespace);
            let mut succeeded = BTreeSet::new();
            let watching = watch(&runs, move |run: Run| {
                if has_succeeded(&run) {
                    succeeded.insert(run.name_any());
                }
                succeeded.len() == count
            })
            .await;
            let begun = Instant::now();
            let created =
                stream::iter(&pipelines).map(|pipeline| create_run(cluster, &namespace, pipeline));
            created.buffer_unordered(AT_ONCE).collect::<()>().await;
            watching.await.expect("all have succeeded");
            took.push(begun.elapsed().as_secs_f64());
            worked.push(processor(operator.id()) * 1000.0 / count as f64);
            resident.push(memory(operator.id()).0);
        }
        let row = |what: &str, unit, figures: &[f64]| {
            Row::new("S3", what, unit, figures).sized(count, "runs")
        };
        rows.extend([
            row(
                "runs of three stages at once, created → all have succeeded",
                "s",
                &took,
            ),
            row(
                "the operator's processor time for each of the runs at once",
                "ms",
                &worked,
            ),
            row(
                "the operator's memory after the runs at once",
                "MiB",
                &resident,
            ),
        ]);
    }
    rows
}

/// Layers of so many stages, each after so many of the layer before; the first after an approval.
fn pipeline(width: usize, after: usize) -> String {
    let mut text = String::from("pipeline p {\n  defaults { image = \"busybox:1.36\" }\n");
    text.push_str("  approval go {}\n");
    for layer in 0..LAYERS {
        for index in 0..width {
            let before = match layer {
                0 => "go".to_owned(),
                _ => {
                    let places: BTreeSet<usize> =
                        (0..after).map(|step| (index + step) % width).collect();
                    let names = places.iter().map(|place| format!("s{}-{place}", layer - 1));
                    names.collect::<Vec<_>>().join(", ")
                }
            };
            let _ = writeln!(
                text,
                "  stage s{layer}-{index} after {before} {{ run = \"true\" }}"
            );
        }
    }
    text.push('}');
    text
}

/// Layer by layer: when all of one are complete, all of the next are started.
async fn ideal(cluster: &Cluster, width: usize) -> Duration {
    let namespace = cluster.namespace("ideal").await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let jobs = api::<Job>(&cluster.client, &namespace);
    let all: Vec<Vec<String>> = (0..LAYERS)
        .map(|layer| names(&format!("j-{layer}"), width))
        .collect();
    let made = all.iter().flatten().map(|name| job(name, json!({})));
    create(&jobs, made.collect()).await;
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

/// What a run took, from its approval on.
struct Used {
    took: Duration,
    /// Seconds of the processor, of the operator.
    worked: f64,
    /// MiB of the operator, after it.
    resident: f64,
    /// Bytes that etcd has more since before the run was created.
    stored: f64,
    /// By caller, verb and resource; none where not every request is logged.
    requests: BTreeMap<(String, String, String), u64>,
}

async fn run_once(cluster: &Cluster, text: &str) -> Used {
    let namespace = cluster.namespace("run").await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let pipeline = compiled(text);
    let stages = pipeline.stages().len() as u32;
    let stored = cluster.stored_bytes().await;
    create_at_once(cluster, &namespace, &pipeline, AT_ONCE).await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let runs = api::<Run>(&cluster.client, &namespace);
    reached(&runs, "p", WITHIN, |run| {
        let status = run.status.as_ref();
        status.is_some_and(|status| status.waiting == stages)
    })
    .await;
    let (worked, place) = (processor(operator.id()), cluster.audited_until());
    let begun = Instant::now();
    let client = cluster.konductor(&namespace);
    let approved = client.approve_barrier("p-go", "somebody", Default::default());
    approved.await.expect("approved");
    reached(&runs, "p", WITHIN, has_succeeded).await;
    Used {
        took: begun.elapsed(),
        worked: processor(operator.id()) - worked,
        resident: memory(operator.id()).0,
        stored: cluster.stored_bytes().await.saturating_sub(stored) as f64,
        requests: cluster.requests_since(place),
    }
}
