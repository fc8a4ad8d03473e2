//! Two operators as processes, of which the one that leads ends: how long it takes until the other has
//! decided something, on a real control plane.

use std::io::{self, Write};
use std::time::Instant;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as LeaderLease;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::RoleBinding;
use konductor_api::Gate;
use konductor_operator::LEADER_LEASE;
use kube::api::PostParams;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::api;
use super::chart::{done, helm, install, token_of};
use super::outage::{counted, make};
use crate::cluster::Cluster;
use crate::operator::OperatorProcess;
use crate::watching::{Versions, WITHIN, until};

/// How often the leader ends in order, and how often without a word, which takes as long as its Lease.
const ROUNDS: [(&str, Signal, usize); 2] =
    [("SIGTERM", Signal::TERM, 5), ("kill -9", Signal::KILL, 2)];

/// The leader ends, and the one that stood by decides what is asked for from then on.
pub async fn the_leader_is_replaced_when_it_ends(cluster: &Cluster) {
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
            // Only an operator that shuts down cleanly releases it.
            expected.extend((signal == Signal::TERM).then(String::new));
            expected.push(leader.id().to_string());
        }
        // Past what the test runner captures: the figures are what people want to know.
        let _ = writeln!(
            io::stderr(),
            "the leader ended by {how}: the next decision came {took:.2?} later"
        );
    }
    let mut holders: Vec<String> = versions.until_now().await.iter().map(process).collect();
    holders.dedup();
    assert_eq!(holders, expected);
}

/// The leader is stopped for longer than its Lease, and continued while there is much to decide: the other one leads, and
/// the first stores nothing, by the API server's own log, until it leads again.
pub async fn a_leader_that_is_stopped_and_continued_writes_nothing_and_stands_by(
    cluster: &Cluster,
) {
    let namespace = cluster.namespace("stopped").await;
    let (first, second) = ("pair-konductor", "pair-second");
    let user = format!("policies.operatorUsers={{system:serviceaccount:{namespace}:{second}}}");
    install(cluster, "pair", &namespace, &["--set", &user]);
    account(cluster, &namespace, second).await;
    let others = watches(cluster).await;
    let start = |account: &str| {
        OperatorProcess::start_leading(&token_of(cluster, &namespace, account), &namespace)
    };
    let leader = start(first);
    decides(cluster, &namespace, "before").await;
    let next = start(second);
    let waiting = async { while watches(cluster).await < others + 2 {} };
    let stands_by = tokio::time::timeout(WITHIN, waiting).await;
    stands_by.expect("it watches the Lease");
    let stopped = leader.stop();
    decides(cluster, &namespace, "meanwhile").await;
    leads(cluster, &namespace, &next).await;
    let continued = Timestamp::now();
    drop(stopped);
    let names: Vec<String> = (0..GATES).map(|index| format!("after-{index}")).collect();
    let decided = names.iter().map(|name| decides(cluster, &namespace, name));
    join_all(decided).await;
    // It has looked at the Lease since, and waits for it.
    let looks = async { while looks_since(cluster, &namespace, first, continued) == 0 {} };
    let looks = tokio::time::timeout(WITHIN, looks).await;
    looks.expect("it looks at the Lease again");
    leads(cluster, &namespace, &next).await;
    let handed_over = Timestamp::now();
    let stored = stored_between(cluster, &namespace, first, [continued, handed_over]);
    assert_eq!(stored, [""; 0], "it wrote although another one led");
    let of_the_second = stored_between(cluster, &namespace, second, [continued, handed_over]);
    assert!(of_the_second.len() >= GATES, "{of_the_second:?}");
    next.end_by(Signal::TERM);
    decides(cluster, &namespace, "in-the-end").await;
    leads(cluster, &namespace, &leader).await;
    drop(leader);
    done(helm(
        cluster,
        &["uninstall", "pair", "--namespace", &namespace],
    ));
}

/// How many decisions are asked for when the first one is continued.
const GATES: usize = 30;

/// An account with the rights of the chart's operator.
async fn account(cluster: &Cluster, namespace: &str, name: &str) {
    let account = json!({"metadata": {"name": name}});
    let account: ServiceAccount = serde_json::from_value(account).expect("an account");
    let accounts = api::<ServiceAccount>(cluster, namespace);
    let made = accounts.create(&PostParams::default(), &account).await;
    made.expect("an account");
    for role in ["pair-konductor-operator", "pair-konductor-leader"] {
        let binding = json!({
            "metadata": {"name": format!("{name}-{role}")},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        });
        let binding: RoleBinding = serde_json::from_value(binding).expect("a binding");
        let bindings = api::<RoleBinding>(cluster, namespace);
        let made = bindings.create(&PostParams::default(), &binding).await;
        made.expect("bound");
    }
}

/// Waits until this operator leads.
async fn leads(cluster: &Cluster, namespace: &str, operator: &OperatorProcess) {
    let id = operator.id().to_string();
    let holds = |lease: &LeaderLease| process(lease) == id;
    until(&cluster.client, namespace, LEADER_LEASE, holds).await;
}

/// When the API server has received a request, by its log.
fn received(event: &Value) -> Timestamp {
    let text = event["requestReceivedTimestamp"].as_str();
    text.and_then(|text| text.parse().ok()).expect("a time")
}

/// What an account has written in that time with success.
fn stored_between(
    cluster: &Cluster,
    namespace: &str,
    account: &str,
    [from, to]: [Timestamp; 2],
) -> Vec<String> {
    let requests = cluster.requests_of(namespace, account).unwrap_or_default();
    let stored = requests.iter().filter(|event| {
        let writes = ["create", "update", "patch", "delete"]
            .contains(&event["verb"].as_str().unwrap_or_default());
        let accepted = event["responseStatus"]["code"]
            .as_u64()
            .is_some_and(|code| code < 300);
        writes && accepted && (from..to).contains(&received(event))
    });
    let printed = stored.map(|event| format!("{} {}", event["verb"], event["requestURI"]));
    printed.collect()
}

/// How often an account has read the Lease since, or begun to watch it.
fn looks_since(cluster: &Cluster, namespace: &str, account: &str, since: Timestamp) -> usize {
    let requests = cluster.requests_of(namespace, account).unwrap_or_default();
    let looks = requests.iter().filter(|event| {
        let reads = ["get", "list", "watch"].contains(&event["verb"].as_str().unwrap_or_default());
        reads
            && event["objectRef"]["resource"] == "leases"
            && event["objectRef"]["apiGroup"] == "coordination.k8s.io"
            && received(event) >= since
    });
    looks.count()
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
