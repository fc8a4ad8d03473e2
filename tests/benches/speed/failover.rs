//! P14: a leader that stops, and one that is killed.

use std::time::{Duration, Instant};

use konductor_api::Gate;
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use konductor_tests::watching::until;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::measure::{Row, quantile};
use crate::raw::{api, create, object};

const ROUNDS: usize = 3;

/// The time from the signal to the next decision, which another operator makes.
pub(crate) async fn leaders(cluster: &Cluster) -> Vec<Row> {
    let (mut ordered, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ordered.push(once(cluster, rustix::process::Signal::TERM).await);
        killed.push(once(cluster, rustix::process::Signal::KILL).await);
    }
    let row = |what: &str, took: &[Duration], target| Row {
        id: "P14",
        what: format!("leader ended by {what} → next decision, most of {ROUNDS}"),
        floor: String::new(),
        ours: format!("{:.1} s", quantile(took, 1.0).as_secs_f64()),
        ratio: String::new(),
        target,
    };
    vec![
        row("SIGTERM", &ordered, "≤ 1 s"),
        row("kill -9", &killed, "≤ lease duration (15 s) + 1 s"),
    ]
}

async fn once(cluster: &Cluster, signal: rustix::process::Signal) -> Duration {
    let namespace = cluster.namespace("p14").await;
    let gates = api::<Gate>(&cluster.client, &namespace);
    let first = OperatorProcess::start_leading(&cluster.kubeconfig, &namespace);
    create(
        &gates,
        vec![object("before", json!({})), object("after", json!({}))],
    )
    .await;
    open(cluster, &gates, &namespace, "before").await;
    let _second = OperatorProcess::start_leading(&cluster.kubeconfig, &namespace);
    // It stands by when it has asked for the lead.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    // What is decided before it has ended may be its own.
    first.end_by(signal);
    open(cluster, &gates, &namespace, "after").await;
    begun.elapsed()
}

async fn open(cluster: &Cluster, gates: &Api<Gate>, namespace: &str, name: &str) {
    let decision = Patch::Merge(json!({"spec": {"decision": "Open"}}));
    gates
        .patch(name, &PatchParams::default(), &decision)
        .await
        .expect("opened");
    until(&cluster.client, namespace, name, |gate: &Gate| {
        gate.status
            .as_ref()
            .is_some_and(|status| status.opened_at.is_some())
    })
    .await;
}
