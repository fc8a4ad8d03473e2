//! P14: a leader that stops, and one that is killed.

use std::time::{Duration, Instant};

use konductor_api::Gate;
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::measure::{Extent, Of, Row, progress, quantile};
use crate::raw::{api, create, is_open, object, reached};

const WITHIN: Duration = Duration::from_secs(60);

/// The time from the signal to the next decision, which another operator makes.
pub(crate) async fn leaders(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let (mut ordered, mut killed) = (Vec::new(), Vec::new());
    for round in 1..=extent.rounds(3) {
        progress(&format!("P14: round {round}"));
        let took = once(cluster, rustix::process::Signal::TERM).await;
        ordered.push(took.as_secs_f64());
        let took = once(cluster, rustix::process::Signal::KILL).await;
        killed.push(took.as_secs_f64());
    }
    // A Lease lasts 15 s.
    [("SIGTERM", &ordered, 1.0), ("kill -9", &killed, 16.0)]
        .into_iter()
        .flat_map(|(what, took, most)| {
            let what = format!("the leader is ended by {what} → next decision");
            [
                Row::new("P14", what.clone(), "s", took),
                Row::new(
                    "P14",
                    format!("{what}, longest"),
                    "s",
                    &[quantile(took, 1.0)],
                )
                .at_most(Of::Konductor, most),
            ]
        })
        .collect()
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
    open(&gates, "before").await;
    let _second = OperatorProcess::start_leading(&cluster.kubeconfig, &namespace);
    // It stands by when it has asked for the lead.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    // What is decided before it has ended may be its own.
    first.end_by(signal);
    open(&gates, "after").await;
    begun.elapsed()
}

async fn open(gates: &Api<Gate>, name: &str) {
    let decision = Patch::Merge(json!({"spec": {"decision": "Open"}}));
    gates
        .patch(name, &PatchParams::default(), &decision)
        .await
        .expect("opened");
    reached(gates, name, WITHIN, is_open).await;
}
