//! Two operators as processes, of which the one that leads ends: how long it takes until the other has
//! decided something, on a real control plane.

use std::io::{self, Write};
use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease as LeaderLease;
use konductor_api::Gate;
use rustix::process::Signal;
use serde_json::json;

use super::outage::{counted, make};
use crate::cluster::Cluster;
use crate::operator::OperatorProcess;
use crate::watching::{Versions, WITHIN, until};

/// How often the leader ends in order, and how often without a word, which takes as long as its Lease.
const ROUNDS: [(&str, Signal, usize); 2] =
    [("SIGTERM", Signal::TERM, 5), ("kill -9", Signal::KILL, 2)];

/// Whoever leads ends, and the one that stood by decides what is asked for from then on.
pub async fn who_leads_is_followed_when_it_ends(cluster: &Cluster) {
    let namespace = cluster.namespace("succession").await;
    let versions = Versions::<LeaderLease>::watch(&cluster.client, &namespace).await;
    let others = watches(cluster).await;
    let start = || OperatorProcess::start_leading(&cluster.kubeconfig, &namespace);
    let mut leader = start();
    let mut expected = vec![leader.id().to_string()];
    let mut round = 0;
    for (how, signal, rounds) in ROUNDS {
        let mut took = Vec::new();
        for _ in 0..rounds {
            round += 1;
            decides(cluster, &namespace, &format!("before-{round}")).await;
            let next = start();
            // The one that leads, and the one that stands by.
            let waiting = async { while watches(cluster).await < others + 2 {} };
            let stands_by = tokio::time::timeout(WITHIN, waiting).await;
            stands_by.expect("it watches the Lease");
            let begun = Instant::now();
            // What is decided before it has ended may be its own.
            leader.end_by(signal);
            decides(cluster, &namespace, &format!("after-{round}")).await;
            took.push(begun.elapsed());
            leader = next;
            // Only who ends in order gives it back.
            expected.extend((signal == Signal::TERM).then(String::new));
            expected.push(leader.id().to_string());
        }
        // Past what the test runner captures: the figures are what people want to know.
        let _ = writeln!(
            io::stderr(),
            "the leader ended by {how}: the next decision came {took:.2?} later"
        );
    }
    let mut holders: Vec<String> = versions.seen().iter().map(process).collect();
    holders.dedup();
    assert_eq!(holders, expected);
}

/// The process that holds the Lease, by the end of its name; none, where it is free.
fn process(lease: &LeaderLease) -> String {
    let holder = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.holder_identity.as_deref());
    let holder = holder.unwrap_or_default();
    holder.rsplit('-').next().unwrap_or_default().to_owned()
}

/// How many watch Leases of this kind.
async fn watches(cluster: &Cluster) -> u64 {
    let open = counted(cluster, "apiserver_longrunning_requests").await;
    let leases = open.get("WATCH leases.coordination.k8s.io");
    leases.copied().unwrap_or_default()
}

/// Asks for a decision, and waits for it.
async fn decides(cluster: &Cluster, namespace: &str, gate: &str) {
    make(
        cluster,
        namespace,
        "Gate",
        gate,
        json!({"decision": "Open"}),
    )
    .await;
    until(&cluster.client, namespace, gate, |gate: &Gate| {
        let status = gate.status.as_ref();
        status.is_some_and(|status| status.opened_at.is_some())
    })
    .await;
}
