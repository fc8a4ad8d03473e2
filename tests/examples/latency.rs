//! How long things take on a real API server: prints medians. No test: figures move with the machine.
//!
//! `cargo run --release --package konductor-tests --example latency`
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Barrier, job_ended};
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::operator::Operator;
use konductor_tests::scenario::pipeline::{compiled, create};
use konductor_tests::watching::until;
use kube::api::{PostParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};

const ROUNDS: usize = 21;

#[tokio::main]
async fn main() {
    let cluster = Cluster::real().await;
    let namespace = cluster.namespace("latency").await;
    let _operator = Operator::start(&cluster, &namespace);
    report(
        "last arrival → `koncli barrier wait` has ended",
        arrivals(&cluster, &namespace).await,
    );
    report("one start of koncli (`koncli version`)", starts());
    report(
        "Job Complete → next Job `suspend: false`",
        jobs(&cluster, &namespace).await,
    );
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{what}: median {median:.1?}, most {most:.1?}, of {}",
        times.len()
    );
}

async fn arrivals(cluster: &Cluster, namespace: &str) -> Vec<Duration> {
    let client = cluster.konductor(namespace);
    let barriers: Api<Barrier> = Api::namespaced(cluster.client.clone(), namespace);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("b{round}");
        let spec = serde_json::from_value(serde_json::json!({"expected": 2})).expect("a spec");
        barriers
            .create(&PostParams::default(), &Barrier::new(&name, spec))
            .await
            .expect("made");
        let mut waiting = tokio::process::Command::new(koncli())
            .args([
                "barrier",
                "wait",
                &name,
                "--namespace",
                namespace,
                "--kubeconfig",
            ])
            .arg(&cluster.kubeconfig)
            .spawn()
            .expect("koncli starts");
        client
            .arrive_barrier(&name, "first", Default::default())
            .await
            .expect("arrived");
        until(&cluster.client, namespace, &name, |barrier: &Barrier| {
            barrier
                .status
                .as_ref()
                .is_some_and(|status| status.arrived == 1)
        })
        .await;
        // It has connected and waits by now.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        client
            .arrive_barrier(&name, "last", Default::default())
            .await
            .expect("arrived");
        assert!(waiting.wait().await.expect("it ended").success());
        times.push(begun.elapsed());
    }
    times
}

fn starts() -> Vec<Duration> {
    let start = |_| {
        let begun = Instant::now();
        Command::new(koncli())
            .arg("version")
            .output()
            .expect("koncli starts");
        begun.elapsed()
    };
    (0..ROUNDS).map(start).collect()
}

async fn jobs(cluster: &Cluster, namespace: &str) -> Vec<Duration> {
    let _kubelet = play(&cluster.client, namespace, |_| Script::succeed());
    let mut text = String::from("pipeline chain {\n  defaults { image = \"busybox:1.36\" }\n");
    for stage in 0..ROUNDS {
        let after = if stage > 0 {
            format!("after s{}", stage - 1)
        } else {
            String::new()
        };
        text.push_str(&format!("  stage s{stage} {after} {{ run = \"true\" }}\n"));
    }
    text.push_str("}\n");
    // When each Job was first seen complete, and first seen not suspended, in one watch.
    let seen: Arc<Mutex<BTreeMap<String, [Option<Instant>; 2]>>> = Arc::default();
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
    let all_times = Arc::clone(&seen);
    let watching = tokio::spawn(async move {
        let mut events = jobs
            .watch(&WatchParams::default(), "0")
            .await
            .expect("a watch")
            .boxed();
        while let Ok(Some(event)) = events.try_next().await {
            let (WatchEvent::Added(job) | WatchEvent::Modified(job)) = event else {
                continue;
            };
            let mut all_times = all_times.lock().expect("nobody panicked");
            let times = all_times.entry(job.name_any()).or_default();
            if job_ended(&job) == Some(true) {
                times[0].get_or_insert_with(Instant::now);
            }
            if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(false) {
                times[1].get_or_insert_with(Instant::now);
            }
        }
    });
    create(cluster, namespace, &compiled(&text)).await;
    let last = format!("chain-s{}", ROUNDS - 1);
    until(&cluster.client, namespace, &last, |job: &Job| {
        job_ended(job) == Some(true)
    })
    .await;
    watching.abort();
    let seen = seen.lock().expect("nobody panicked");
    let times = (1..ROUNDS).map(|stage| {
        let complete = seen[&format!("chain-s{}", stage - 1)][0].expect("complete");
        let started = seen[&format!("chain-s{stage}")][1].expect("started");
        started.saturating_duration_since(complete)
    });
    times.collect()
}
