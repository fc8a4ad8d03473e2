//! What must hold when something that everybody needs goes away for a while: on a real control
//! plane, with two operators as processes, and by what etcd has stored.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use konductor::{Client, Guard};
use konductor_api::{ArrivalOutcome, Claim, ClaimPhase, Gate, RunOutcome, label};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api;
use super::history::{
    claims_were_granted_once, leases_had_one_holder_and_tokens_rose, most_in_use,
};
use super::pipeline::{SALES, compiled, create, until_ended};
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::OperatorProcess;
use crate::watching::until;

/// After a fault is over, what was asked for must have happened within this long; it takes a few
/// seconds, which the machine that tests may double.
const RIGHT_WITHIN: Duration = Duration::from_secs(60);
/// How many ask for the two permits.
const WORKERS: usize = 40;
/// How many of them have had their turn when the fault comes.
const BEFORE_THE_FAULT: usize = 10;
/// How long an operator is stopped.
const STOPPED: Duration = Duration::from_secs(30);
/// The requests that the API server has answered.
const ANSWERED: &str = "apiserver_request_total";
/// For how long nothing happens.
const IDLE: Duration = Duration::from_secs(60);

/// Creates an object of ours from its spec.
pub(crate) async fn make(
    cluster: &Cluster,
    namespace: &str,
    kind: &str,
    name: &str,
    spec: serde_json::Value,
) {
    let object = json!({
        "apiVersion": "konductor.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec,
    });
    let plural = format!("{}s", kind.to_lowercase());
    let path = format!("/apis/konductor.io/v1/namespaces/{namespace}/{plural}");
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes());
    let made = cluster
        .client
        .request::<serde_json::Value>(request.expect("a request"))
        .await;
    made.unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
}

/// Many who take turns at two permits, a lease that is held all the time, a barrier that somebody
/// waits for, and a pipeline whose first stage is at work.
struct Load<'a> {
    cluster: &'a Cluster,
    namespace: String,
    client: Client,
    had_their_turn: Arc<AtomicUsize>,
    workers: JoinSet<()>,
    ledger: Guard,
    released: watch::Sender<bool>,
    _kubelet: crate::kubelet::Kubelet,
}

impl<'a> Load<'a> {
    /// Returns when so many have had their turn that the rest of it is under way. The lease has this
    /// TTL.
    async fn begin(cluster: &'a Cluster, namespace: &str, ttl: &str) -> Self {
        let client = cluster.konductor(namespace);
        make(
            cluster,
            namespace,
            "Semaphore",
            "batch",
            json!({"permits": 2}),
        )
        .await;
        make(cluster, namespace, "Lease", "only-one", json!({"ttl": ttl})).await;
        make(
            cluster,
            namespace,
            "Barrier",
            "all-done",
            json!({"expected": WORKERS}),
        )
        .await;
        let (released, wait) = watch::channel(false);
        let kubelet = play(&cluster.client, namespace, move |pod| {
            let extracts = pod
                .labels()
                .get(label::STAGE)
                .is_some_and(|s| s == "extract");
            let outputs = Script::with_outputs("rows=42\n");
            if extracts {
                Script {
                    until: Some(wait.clone()),
                    ..outputs
                }
            } else {
                outputs
            }
        });
        create(cluster, namespace, &compiled(SALES)).await;
        let ledger = client.lease("only-one").holder("all-along").acquire();
        let ledger = ledger.await.expect("the lease");
        let had_their_turn = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for index in 0..WORKERS {
            workers.spawn(worker(client.clone(), index, Arc::clone(&had_their_turn)));
        }
        let begun = Instant::now();
        while had_their_turn.load(Ordering::SeqCst) < BEFORE_THE_FAULT {
            assert!(begun.elapsed() < RIGHT_WITHIN, "the workers don't get on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Self {
            cluster,
            namespace: namespace.to_owned(),
            client,
            had_their_turn,
            workers,
            ledger,
            released,
            _kubelet: kubelet,
        }
    }

    /// Everything ends, and as if nothing had happened; returns how long that took.
    async fn end(mut self) -> Duration {
        let begun = Instant::now();
        let _ = self.released.send(true);
        let ended = async {
            let all = self.client.wait_barrier("all-done", None).await;
            all.expect("the barrier opens");
            while let Some(worker) = self.workers.join_next().await {
                worker.expect("it did its work");
            }
            self.ledger.release().await.expect("still held");
            let next = self.client.lease("only-one").holder("next").acquire().await;
            let next = next.expect("passed on");
            next.release().await.expect("held");
        };
        let in_time = tokio::time::timeout(RIGHT_WITHIN, ended).await;
        in_time.unwrap_or_else(|_| {
            let had = self.had_their_turn.load(Ordering::SeqCst);
            panic!("only {had} of {WORKERS} had their turn")
        });
        let took = begun.elapsed();
        let run = until_ended(self.cluster, &self.namespace, "sales").await;
        let outcome = run.status.and_then(|status| status.outcome);
        assert_eq!(outcome, Some(RunOutcome::Succeeded));
        never_more_than_allowed(self.cluster, &self.namespace).await;
        took
    }
}

/// Takes a permit, works, releases it, and arrives; what an API server that is away can't do for
/// it, it asks for again.
async fn worker(client: Client, index: usize, had_their_turn: Arc<AtomicUsize>) {
    let name = format!("w{index}");
    turn(&client, &name).await;
    insist(|| client.arrive_barrier("all-done", &name, ArrivalOutcome::default())).await;
    had_their_turn.fetch_add(1, Ordering::SeqCst);
}

async fn turn(client: &Client, name: &str) {
    let batch = || client.semaphore("batch").holder(name);
    insist(|| async {
        // What an attempt without an answer has left would hold a permit until its TTL.
        batch().release().await?;
        let permit = batch().acquire().await?;
        permit.release().await
    })
    .await;
    insist(|| batch().release()).await;
}

/// Asks again until it works.
async fn insist<T, F>(mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, konductor::Error>>,
{
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(lost @ konductor::Error::Lost { .. }) => panic!("{lost}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// By every version that was ever stored.
async fn never_more_than_allowed(cluster: &Cluster, namespace: &str) {
    let most = most_in_use(cluster, namespace, "batch").await;
    assert_eq!(most, Some(2), "permits in use, at most");
    leases_had_one_holder_and_tokens_rose(cluster, namespace).await;
    claims_were_granted_once(cluster, namespace).await;

    // Each Job was started once: it has one pod.
    let pods = api::<Pod>(cluster, namespace);
    let pods = pods.list(&ListParams::default()).await.expect("pods").items;
    let jobs: BTreeSet<&str> = pods
        .iter()
        .filter_map(|pod| {
            let labels = pod.labels();
            labels
                .get("batch.kubernetes.io/job-name")
                .map(String::as_str)
        })
        .collect();
    assert_eq!(jobs.len(), pods.len(), "pods of each Job");
    assert_eq!(jobs.len(), 10, "{jobs:?}");
}

fn two_operators(cluster: &Cluster, namespace: &str) -> [OperatorProcess; 2] {
    [(); 2].map(|()| OperatorProcess::start(cluster, namespace))
}

/// Says how long it took, past what the test runner captures.
fn right(what: &str, took: Duration) {
    let _ = writeln!(
        io::stderr(),
        "{what}: everything was right {took:.1?} later"
    );
}

/// The API server is killed and started again.
pub async fn the_api_server_is_killed_and_everything_continues(cluster: &Cluster) {
    let namespace = cluster.namespace("api-server").await;
    let _operators = two_operators(cluster, &namespace);
    let load = Load::begin(cluster, &namespace, "2m").await;
    cluster.restart_api_server().await;
    right("the API server was killed", load.end().await);
}

/// etcd is killed and started again.
pub async fn etcd_is_killed_and_everything_continues(cluster: &Cluster) {
    let namespace = cluster.namespace("etcd").await;
    let _operators = two_operators(cluster, &namespace);
    let load = Load::begin(cluster, &namespace, "2m").await;
    cluster.restart_etcd().await;
    right("etcd was killed", load.end().await);
}

/// One of two is stopped in the middle; when it continues, its knowledge is outdated.
pub async fn one_of_two_operators_is_stopped_and_everything_continues(cluster: &Cluster) {
    let namespace = cluster.namespace("one-stops").await;
    let [operator, _other] = two_operators(cluster, &namespace);
    let load = Load::begin(cluster, &namespace, "10s").await;
    let stopped = operator.stop();
    let continues = tokio::spawn(async move {
        tokio::time::sleep(STOPPED).await;
        drop(stopped);
    });
    // The other is enough for all of it; the one that wakes up changes nothing.
    right("one operator was stopped", load.end().await);
    continues.await.expect("it continues");
    let client = cluster.konductor(&namespace);
    let turns = (0..WORKERS).map(|index| {
        let client = client.clone();
        async move { turn(&client, &format!("again-{index}")).await }
    });
    join_all(turns).await;
    never_more_than_allowed(cluster, &namespace).await;
}

/// The only one is stopped for longer than any TTL; nobody loses what it renewed meanwhile.
pub async fn the_only_operator_is_stopped_and_nobody_loses_what_it_renewed(cluster: &Cluster) {
    let namespace = cluster.namespace("only-stops").await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let load = Load::begin(cluster, &namespace, "10s").await;
    let stopped = operator.stop();
    tokio::time::sleep(STOPPED).await;
    drop(stopped);
    right("the only operator was stopped", load.end().await);
}

/// Nothing polls: where nothing happens, nothing is asked for and nothing is written, but what the
/// election of a leader needs.
pub async fn two_thousand_primitives_are_left_alone(cluster: &Cluster) {
    const EACH: usize = 500;
    let namespace = cluster.namespace("idle").await;
    let _operator = OperatorProcess::start_leading(&cluster.kubeconfig, &namespace);
    let names = stream::iter(0..EACH).map(|index| {
        let namespace = &namespace;
        async move {
            let barrier = json!({"expected": 2, "timeout": "2h"});
            make(cluster, namespace, "Barrier", &format!("b{index}"), barrier).await;
            let open = json!({"type": "Barrier", "name": format!("b{index}"), "state": "Open"});
            let gate = json!({"conditions": [open], "timeout": "2h"});
            make(cluster, namespace, "Gate", &format!("g{index}"), gate).await;
            let semaphore = json!({"permits": 1});
            make(
                cluster,
                namespace,
                "Semaphore",
                &format!("s{index}"),
                semaphore,
            )
            .await;
            make(
                cluster,
                namespace,
                "Lease",
                &format!("l{index}"),
                json!({"ttl": "1h"}),
            )
            .await;
            for (on, name) in [("Semaphore", "s"), ("Lease", "l")] {
                let on = json!({"kind": on, "name": format!("{name}{index}")});
                let claim = json!({"target": on, "holder": "somebody", "ttl": "1h"});
                make(
                    cluster,
                    namespace,
                    "Claim",
                    &format!("{name}{index}"),
                    claim,
                )
                .await;
            }
        }
    });
    names.buffer_unordered(16).collect::<Vec<()>>().await;
    for index in 0..EACH {
        for name in ["s", "l"] {
            until(
                &cluster.client,
                &namespace,
                &format!("{name}{index}"),
                |claim: &Claim| {
                    let status = claim.status.as_ref();
                    status.is_some_and(|status| status.phase == ClaimPhase::Granted)
                },
            )
            .await;
        }
        until(
            &cluster.client,
            &namespace,
            &format!("g{index}"),
            |gate: &Gate| {
                let status = gate.status.as_ref();
                status.is_some_and(|status| status.observed_generation.is_some())
            },
        )
        .await;
    }
    let mut before = counted(cluster, ANSWERED).await;
    tokio::time::sleep(IDLE).await;
    let mut after = counted(cluster, ANSWERED).await;
    for counted in [&mut before, &mut after] {
        counted.retain(|request, _| request.contains("konductor.io") || !reads(request));
    }
    let more = after
        .iter()
        .filter(|(request, count)| before.get(*request) != Some(count));
    let more: Vec<&String> = more.map(|(request, _)| request).collect();
    assert!(
        // A watch is asked for again every few seconds: so a connection that is frozen is noticed.
        more.iter().all(|request| {
            request.contains(" leases.coordination.k8s.io") || request.starts_with("WATCH ")
        }),
        "in {IDLE:?} without anything to do there were {more:?}"
    );
    let _ = writeln!(
        io::stderr(),
        "{IDLE:?} with {} primitives: {more:?}",
        4 * EACH
    );
}

fn reads(request: &str) -> bool {
    ["GET", "LIST", "WATCH"].contains(&request.split(' ').next().unwrap_or_default())
}

/// What the API server counts of requests, by what they are: `PATCH claims.konductor.io/status`.
pub(crate) async fn counted(cluster: &Cluster, metric: &str) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new());
    let text = cluster
        .client
        .request_text(request.expect("a request"))
        .await;
    let mut counts = BTreeMap::new();
    for line in text.expect("metrics").lines() {
        let line = line.strip_prefix(metric);
        let Some(line) = line.and_then(|line| line.strip_prefix('{')) else {
            continue;
        };
        let (labels, count) = line.rsplit_once("} ").expect("a sample");
        let label = |name: &str| {
            let begin = labels.find(&format!("{name}=\"")).expect("a label") + name.len() + 2;
            labels[begin..].split('"').next().unwrap_or_default()
        };
        let (verb, resource, group) = (label("verb"), label("resource"), label("group"));
        let what = match label("subresource") {
            "" => format!("{verb} {resource}.{group}"),
            subresource => format!("{verb} {resource}.{group}/{subresource}"),
        };
        *counts.entry(what).or_default() += count.parse::<f64>().expect("a count") as u64;
    }
    counts
}
