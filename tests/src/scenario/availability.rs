//! The operator as the chart deploys it, two of them, of which the one that leads is ended again and
//! again under load: how long nothing is decided, and what etcd has stored.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease as LeaderLease;
use k8s_openapi::api::core::v1::Pod;
use konductor::Request;
use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::api;
use super::deployed::{SYSTEM, all_complete, container, file, find, kubectl, namespace};
use super::history::{
    claims_were_granted_once, leases_had_one_holder_and_tokens_rose, most_in_use,
};
use super::outage::make;
use crate::cluster::Cluster;

/// How many take turns at `PERMITS`.
const WORKERS: usize = 12;
const PERMITS: u32 = 3;
/// How long each turn lasts.
const TURN: Duration = Duration::from_millis(100);

/// How a leader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Manner {
    /// `kill -9`; the kubelet starts the container again, under the name that leads.
    Killed,
    /// `kill -9`, and its pod is deleted: the leader never comes back, and has not said so.
    Vanished,
    /// Its pod is deleted: SIGTERM, and it gives the leadership back.
    InOrder,
}

const MANNERS: [Manner; 3] = [Manner::Killed, Manner::Vanished, Manner::InOrder];

/// Clients that ask for something all the time, until they are stopped.
struct Load {
    end: watch::Sender<bool>,
    takers: JoinSet<usize>,
    granted: Arc<Mutex<Vec<Instant>>>,
}

/// Takes turn after turn until asked to end; notes when each began, and returns how many there were.
async fn turns(
    request: Request,
    lasts: Duration,
    granted: Arc<Mutex<Vec<Instant>>>,
    ended: watch::Receiver<bool>,
) -> usize {
    let mut count = 0;
    while !*ended.borrow() {
        let turn = request.clone().acquire().await.expect("granted");
        granted
            .lock()
            .expect("nobody panicked")
            .push(Instant::now());
        tokio::time::sleep(lasts).await;
        turn.release().await.expect("held");
        count += 1;
    }
    count
}

impl Load {
    async fn begin(cluster: &Cluster, namespace: &str) -> Self {
        for (kind, name, spec) in [
            ("Semaphore", "batch", json!({"permits": PERMITS})),
            ("Semaphore", "probe", json!({"permits": 1})),
            ("Lease", "only-one", json!({"ttl": "1m"})),
        ] {
            make(cluster, namespace, kind, name, spec).await;
        }
        let client = cluster.konductor(namespace);
        let end = watch::Sender::new(false);
        let granted: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let mut takers = JoinSet::new();
        for index in 0..WORKERS {
            let batch = client.semaphore("batch").holder(format!("worker-{index}"));
            takers.spawn(turns(batch, TURN, Arc::default(), end.subscribe()));
        }
        for holder in ["left", "right"] {
            let lease = client.lease("only-one").holder(holder);
            takers.spawn(turns(lease, TURN, Arc::default(), end.subscribe()));
        }
        // Nobody else wants this one: each time it is asked for is a decision at once.
        let probe = client.semaphore("probe").holder("probe");
        let noted = Arc::clone(&granted);
        takers.spawn(turns(probe, Duration::ZERO, noted, end.subscribe()));
        Self {
            end,
            takers,
            granted,
        }
    }

    /// Waits for a few further decisions.
    async fn continues(&self) {
        let before = self.decisions();
        while self.decisions() < before + 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn decisions(&self) -> usize {
        self.granted.lock().expect("nobody panicked").len()
    }

    /// The longest time without a decision since then.
    fn longest_gap(&self, since: Instant) -> Duration {
        let granted = self.granted.lock().expect("nobody panicked");
        let first = granted.partition_point(|at| *at < since);
        let mut from = since;
        let gaps = granted[first..]
            .iter()
            .map(|at| at.duration_since(std::mem::replace(&mut from, *at)));
        gaps.max().expect("decisions")
    }

    /// Nobody was lost: each ends its turn. How many turns there were.
    async fn end(mut self) -> usize {
        self.end.send(true).expect("they listen");
        let mut count = 0;
        while let Some(turns) = self.takers.join_next().await {
            count += turns.expect("it did its work");
        }
        count
    }
}

/// Which of the two operators leads, as soon as both are ready and none is an earlier one.
async fn leader_of_two(cluster: &Cluster, gone: Option<&Pod>) -> Pod {
    let same = |pod: &Pod| {
        let restarts = |pod| container(pod).map_or(0, |status| status.restart_count);
        gone.is_some_and(|gone| gone.uid() == pod.uid() && restarts(gone) == restarts(pod))
    };
    let ready = |pod: &Pod| {
        pod.metadata.deletion_timestamp.is_none()
            && container(pod).is_some_and(|status| status.ready)
    };
    loop {
        let pods = find(cluster, SYSTEM, |pods: &[Pod]| {
            pods.len() == 2 && pods.iter().all(|pod| ready(pod) && !same(pod))
        })
        .await;
        let leases = api::<LeaderLease>(cluster, SYSTEM);
        let lease = leases.get_opt(konductor_operator::LEADER_LEASE).await;
        let holder = lease
            .expect("an answer")
            .and_then(|lease| lease.spec?.holder_identity)
            .unwrap_or_default();
        // The pod's name, and the number of the process in it.
        let leads = |pod: &&Pod| holder.starts_with(&format!("{}-", pod.name_any()));
        if let Some(leader) = pods.iter().find(leads).cloned() {
            return leader;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn end(cluster: &Cluster, leader: &Pod, manner: Manner) {
    if manner != Manner::InOrder {
        cluster.node().kill_container(leader, "operator");
    }
    let params = match manner {
        Manner::Killed => return,
        Manner::Vanished => DeleteParams::default().grace_period(0),
        Manner::InOrder => DeleteParams::default(),
    };
    let deleted = api::<Pod>(cluster, SYSTEM)
        .delete(&leader.name_any(), &params)
        .await;
    deleted.expect("deleted");
}

/// `KONDUCTOR_KILLS` says how often; a few times where it says nothing.
fn rounds() -> usize {
    let value = std::env::var("KONDUCTOR_KILLS").ok();
    value.map_or(6, |rounds| {
        rounds.parse().expect("KONDUCTOR_KILLS is a number")
    })
}

/// Whatever ends the leader, the other continues; nothing is granted twice, and nothing is lost.
pub async fn the_leader_is_ended_again_and_again_and_nothing_is_lost(cluster: &Cluster) {
    let namespace = namespace(cluster, "availability").await;
    kubectl(
        cluster,
        &namespace,
        &["apply", "-f", &file("seed/batch.yaml")],
    );
    let load = Load::begin(cluster, &namespace).await;
    let mut gaps: BTreeMap<Manner, Vec<Duration>> = BTreeMap::new();
    let mut leader = leader_of_two(cluster, None).await;
    let rounds = rounds();
    for round in 0..rounds {
        load.continues().await;
        // A Job that asks for its start while nobody leads, or just before.
        kubectl(
            cluster,
            &namespace,
            &["create", "-f", &file("seed/batch-job.yaml")],
        );
        let manner = MANNERS[round % MANNERS.len()];
        let begun = Instant::now();
        end(cluster, &leader, manner).await;
        leader = leader_of_two(cluster, Some(&leader)).await;
        load.continues().await;
        gaps.entry(manner)
            .or_default()
            .push(load.longest_gap(begun));
    }
    let turns = load.end().await;
    all_complete(cluster, &namespace, rounds).await;
    let most = most_in_use(cluster, &namespace, "batch").await;
    assert_eq!(most, Some(PERMITS), "permits in use, at most");
    assert_eq!(most_in_use(cluster, &namespace, "probe").await, Some(1));
    leases_had_one_holder_and_tokens_rose(cluster, &namespace).await;
    let granted = claims_were_granted_once(cluster, &namespace).await;
    assert_eq!(granted, turns, "each turn was one grant");
    // Each Job was started once: it has one pod.
    let jobs = find(cluster, &namespace, |jobs: &[Job]| jobs.len() == rounds).await;
    find(cluster, &namespace, |pods: &[Pod]| pods.len() == jobs.len()).await;
    print(&gaps, turns);
}

/// The table for `docs/evidence.md`, past what the test runner captures.
fn print(gaps: &BTreeMap<Manner, Vec<Duration>>, turns: usize) {
    let mut text = format!("{turns} turns; the longest time without a decision:\n");
    for (manner, gaps) in gaps {
        let mut gaps = gaps.clone();
        gaps.sort();
        let rank = |percent: usize| gaps[(gaps.len() * percent).div_ceil(100) - 1].as_secs_f64();
        text += &format!(
            "{manner:?}: {} times, p50 {:.1} s, p99 {:.1} s\n",
            gaps.len(),
            rank(50),
            rank(99)
        );
    }
    let _ = write!(io::stderr(), "{text}");
}
