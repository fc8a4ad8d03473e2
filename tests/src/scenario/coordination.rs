//! The primitives, by those who take part.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{
    Barrier, BarrierPhase, BarrierSpec, Claim, Gate, GatePhase, GateSpec, JobPhase, Lease,
    LeaseSpec, Semaphore, SemaphoreSpec, job_ended, job_phase,
};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

use super::api;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::watching::{Versions, until};

async fn semaphore(cluster: &Cluster, namespace: &str, name: &str, permits: u32) {
    let spec = SemaphoreSpec {
        permits,
        order: Default::default(),
    };
    let created = api::<Semaphore>(cluster, namespace)
        .create(&PostParams::default(), &Semaphore::new(name, spec))
        .await;
    created.expect("a semaphore");
}

async fn lease(cluster: &Cluster, namespace: &str, name: &str, ttl: &str) {
    let spec = LeaseSpec {
        ttl: ttl.parse().expect("a duration"),
    };
    let created = api::<Lease>(cluster, namespace)
        .create(&PostParams::default(), &Lease::new(name, spec))
        .await;
    created.expect("a lease");
}

fn barrier(name: &str, expected: u32) -> Barrier {
    let spec = json!({"expected": expected});
    let spec: BarrierSpec = serde_json::from_value(spec).expect("a spec");
    Barrier::new(name, spec)
}

async fn job(cluster: &Cluster, namespace: &str, name: &str, annotations: Value) {
    let job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "busybox:1.36"}],
            }},
        },
    });
    let job: Job = serde_json::from_value(job).expect("a job");
    api::<Job>(cluster, namespace)
        .create(&PostParams::default(), &job)
        .await
        .expect("created");
}

/// Fifty ask at once; each does its work and releases; a counter outside of Kubernetes watches.
async fn fifty_claims(cluster: &Cluster, namespace: &str) {
    semaphore(cluster, namespace, "batch", 2).await;
    let versions = Versions::<Semaphore>::watch(&cluster.client, namespace).await;
    let (inside, done) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicUsize::new(0)));
    let workers = (0..50).map(|index| {
        let request = cluster
            .konductor(namespace)
            .semaphore("batch")
            .holder(format!("w{index}"));
        let (inside, done) = (Arc::clone(&inside), Arc::clone(&done));
        async move {
            let guard = request.acquire().await.expect("its turn");
            let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
            assert!(now <= 2, "{now} are inside");
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            guard.release().await.expect("released");
            done.fetch_add(1, Ordering::SeqCst);
        }
    });
    let all = tokio::time::timeout(Duration::from_secs(120), join_all(workers)).await;
    all.unwrap_or_else(|_| panic!("only {} of 50 had their turn", done.load(Ordering::SeqCst)));
    until(
        &cluster.client,
        namespace,
        "batch",
        |semaphore: &Semaphore| {
            semaphore
                .status
                .as_ref()
                .is_some_and(|status| status.holders.is_empty())
        },
    )
    .await;
    let (mut most, seen) = (0, versions.until_now().await);
    for version in &seen {
        let holders = version.status.iter().flat_map(|status| &status.holders);
        most = most.max(holders.map(|held| held.permits).sum::<u32>());
    }
    assert_eq!(
        most,
        2,
        "the most that any of {} versions shows",
        seen.len()
    );
    let left = api::<Claim>(cluster, namespace)
        .list(&ListParams::default())
        .await
        .expect("claims");
    assert_eq!(left.items.len(), 0, "claims are left");
}

/// Watching every stored version.
pub async fn fifty_claims_on_two_permits_never_hold_three(cluster: &Cluster) {
    let namespace = cluster.namespace("claims").await;
    let _operator = Operator::start(cluster, &namespace);
    fifty_claims(cluster, &namespace).await;
}

/// The same with two operators that do not know of each other.
pub async fn two_operators_grant_no_more_than_one_does(cluster: &Cluster) {
    let namespace = cluster.namespace("two").await;
    let _one = Operator::start(cluster, &namespace);
    let _other = Operator::start(cluster, &namespace);
    fifty_claims(cluster, &namespace).await;
}

/// A Gate of 60 conditions writes how far it is every 600 ms at most, and that it is open in the moment of the last one.
pub async fn progress_of_a_large_gate_is_written_now_and_then(cluster: &Cluster) {
    const CONDITIONS: usize = 60;
    let gate = |name: &str, spec: Value| {
        let spec: GateSpec = serde_json::from_value(spec).expect("a spec");
        Gate::new(name, spec)
    };
    let namespace = cluster.namespace("progress").await;
    let _operator = Operator::start(cluster, &namespace);
    let gates = api::<Gate>(cluster, &namespace);
    let parts: Vec<String> = (0..CONDITIONS)
        .map(|index| format!("part-{index}"))
        .collect();
    let condition = |part: &String| json!({"type": "Gate", "name": part, "state": "Open"});
    let conditions: Vec<Value> = parts.iter().map(condition).collect();
    let all = gate("all", json!({"conditions": conditions}));
    let created = gates.create(&PostParams::default(), &all).await;
    created.expect("a gate");
    let is_seen = |gate: &Gate| gate.status.is_some();
    until(&cluster.client, &namespace, "all", is_seen).await;
    let versions = Versions::<Gate>::watch(&cluster.client, &namespace).await;
    let begun = Instant::now();
    for part in &parts {
        let part = gate(part, json!({"decision": "Open"}));
        let created = gates.create(&PostParams::default(), &part).await;
        created.expect("a gate");
    }
    let is_open = |gate: &Gate| {
        let status = gate.status.as_ref();
        status.is_some_and(|status| status.phase == GatePhase::Open)
    };
    until(&cluster.client, &namespace, "all", is_open).await;
    let most = 5 + begun.elapsed().as_millis() / 600;
    let seen = versions.until_now().await;
    let written = seen.iter().filter(|gate| gate.name_any() == "all").count();
    assert!(
        written as u128 <= most,
        "{written} versions, and {most} at most"
    );
}

/// Many wait, some arrive, twice even; it opens once, for all.
pub async fn a_barrier_opens_for_its_waiters_when_the_last_party_arrives(cluster: &Cluster) {
    let namespace = cluster.namespace("barrier").await;
    let _operator = Operator::start(cluster, &namespace);
    let client = cluster.konductor(&namespace);
    let barriers = api::<Barrier>(cluster, &namespace);
    barriers
        .create(&PostParams::default(), &barrier("stage", 3))
        .await
        .expect("a barrier");
    let versions = Versions::<Barrier>::watch(&cluster.client, &namespace).await;
    let waiters = (0..10).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            client
                .wait_barrier("stage", Some(Duration::from_secs(60)))
                .await
        })
    });
    let waiters: Vec<_> = waiters.collect();
    for holder in ["a", "b", "a", "c"] {
        client
            .arrive_barrier("stage", holder, Default::default())
            .await
            .expect("arrived");
    }
    for waiter in waiters {
        waiter.await.expect("it did not panic").expect("it is open");
    }
    for version in versions.until_now().await {
        let status = version.status.expect("a status");
        assert!(
            status.phase != BarrierPhase::Open || status.arrived == 3,
            "open early: {status:?}"
        );
    }
}

/// Arrivals count for the Barrier of their uid alone.
pub async fn a_barrier_created_again_counts_from_zero(cluster: &Cluster) {
    let namespace = cluster.namespace("again").await;
    let _operator = Operator::start(cluster, &namespace);
    let client = cluster.konductor(&namespace);
    let barriers = api::<Barrier>(cluster, &namespace);
    for round in 0..2 {
        barriers
            .create(&PostParams::default(), &barrier("stage", 2))
            .await
            .expect("a barrier");
        client
            .arrive_barrier("stage", "a", Default::default())
            .await
            .expect("arrived");
        let seen = until(&cluster.client, &namespace, "stage", |barrier: &Barrier| {
            barrier
                .status
                .as_ref()
                .is_some_and(|status| status.arrived > 0)
        })
        .await;
        let status = seen.status.expect("a status");
        assert_eq!(
            (status.arrived, status.phase),
            (1, BarrierPhase::Waiting),
            "round {round}"
        );
        barriers
            .delete("stage", &DeleteParams::background())
            .await
            .expect("deleted");
        let gone = kube::runtime::wait::await_condition(
            barriers.clone(),
            "stage",
            |barrier: Option<&Barrier>| barrier.is_none(),
        );
        gone.await.expect("gone");
    }
}

/// Who leaves without a word loses it after the TTL; the next one has a higher token.
pub async fn a_lease_passes_on_when_it_is_not_renewed(cluster: &Cluster) {
    let namespace = cluster.namespace("lease").await;
    let _operator = Operator::start(cluster, &namespace);
    lease(cluster, &namespace, "schema", "6s").await;
    let client = cluster.konductor(&namespace);
    let first = client
        .lease("schema")
        .holder("a")
        .claim()
        .await
        .expect("granted");
    let second = client
        .lease("schema")
        .holder("b")
        .timeout(Some(Duration::from_secs(30)))
        .acquire()
        .await
        .expect("granted");
    assert!(
        second.token() > first.token,
        "{:?} after {:?}",
        second.token(),
        first.token
    );
    // What renews is kept beyond its TTL.
    let held = tokio::time::timeout(Duration::from_secs(8), second.lost()).await;
    assert!(
        held.is_err(),
        "it was lost although it is renewed: {held:?}"
    );
    second.release().await.expect("released");
}

/// Try once: an answer, and nothing is left of the question.
pub async fn who_does_not_wait_is_denied_and_leaves_no_claim(cluster: &Cluster) {
    let namespace = cluster.namespace("once").await;
    let _operator = Operator::start(cluster, &namespace);
    lease(cluster, &namespace, "report", "1m").await;
    let client = cluster.konductor(&namespace);
    let once = |holder: &str| {
        client
            .lease("report")
            .holder(holder)
            .timeout(Some(Duration::ZERO))
    };
    once("a").claim().await.expect("granted");
    let denied = once("b").claim().await;
    assert!(
        matches!(denied, Err(konductor::Error::Denied { .. })),
        "{denied:?}"
    );
    assert_eq!(
        client
            .lease("report")
            .holder("a")
            .release()
            .await
            .expect("released"),
        1
    );
    once("b").claim().await.expect("granted now");
    let left = api::<Claim>(cluster, &namespace)
        .list(&ListParams::default())
        .await
        .expect("claims");
    assert_eq!(left.items.len(), 1, "only the granted one is left");
}

/// Cancelling a future that waits takes its Claim out of the queue.
pub async fn a_dropped_wait_leaves_no_claim(cluster: &Cluster) {
    let namespace = cluster.namespace("dropped").await;
    let _operator = Operator::start(cluster, &namespace);
    semaphore(cluster, &namespace, "batch", 1).await;
    let client = cluster.konductor(&namespace);
    let held = client
        .semaphore("batch")
        .holder("a")
        .acquire()
        .await
        .expect("granted");
    let waiting = tokio::spawn(client.semaphore("batch").holder("b").acquire());
    let claims = api::<Claim>(cluster, &namespace);
    let queued = || async {
        let all = claims
            .list(&ListParams::default().fields("spec.holder=b"))
            .await;
        all.expect("claims").items.len()
    };
    while queued().await == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    let gone = async {
        while queued().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone)
        .await
        .expect("its claim is gone");
    held.release().await.expect("released");
}

/// `hold: lease/x` in a Job's annotation, without a line of shell.
pub async fn jobs_that_hold_by_annotation_run_one_at_a_time(cluster: &Cluster) {
    let namespace = cluster.namespace("holds").await;
    let _operator = Operator::start(cluster, &namespace);
    lease(cluster, &namespace, "report", "1m").await;
    let versions = Versions::<Pod>::watch(&cluster.client, &namespace).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    for index in 0..4 {
        let hold = json!({"konductor.io/hold": "lease/report"});
        job(cluster, &namespace, &format!("report-{index}"), hold).await;
    }
    for index in 0..4 {
        until(
            &cluster.client,
            &namespace,
            &format!("report-{index}"),
            |job: &Job| job_ended(job) == Some(true),
        )
        .await;
    }
    // By the versions of all pods, in the order of the API server: never two that work.
    let mut working = std::collections::BTreeSet::new();
    for pod in versions.until_now().await {
        let name = pod.metadata.name.clone().unwrap_or_default();
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        match phase {
            Some("Succeeded" | "Failed") => working.remove(&name),
            _ => working.insert(name),
        };
        assert!(working.len() <= 1, "two work at once: {working:?}");
    }
}

/// Scenario 3 of the readme: a Job that needs two others first, all by hand.
pub async fn a_gate_by_hand_starts_a_suspended_job(cluster: &Cluster) {
    let namespace = cluster.namespace("gate").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let conditions = ["validation", "cleanup"]
        .map(|name| json!({"type": "Job", "name": name, "state": "Complete"}));
    let gate: Gate = serde_json::from_value(json!({
        "metadata": {"name": "ready"},
        "spec": {"conditions": conditions},
    }))
    .expect("a gate");
    api::<Gate>(cluster, &namespace)
        .create(&PostParams::default(), &gate)
        .await
        .expect("created");
    job(
        cluster,
        &namespace,
        "processing",
        json!({"konductor.io/gate": "ready"}),
    )
    .await;
    let client = cluster.konductor(&namespace);
    let early = client.wait_gate("ready", Some(Duration::ZERO)).await;
    assert!(
        matches!(early, Err(konductor::Error::TimedOut { .. })),
        "{early:?}"
    );
    for name in ["validation", "cleanup"] {
        // Nothing coordinates these two; the test starts them.
        job(cluster, &namespace, name, json!({})).await;
        let start = kube::api::Patch::Merge(json!({"spec": {"suspend": false}}));
        let jobs = api::<Job>(cluster, &namespace);
        jobs.patch(name, &Default::default(), &start)
            .await
            .expect("started");
    }
    client
        .wait_gate("ready", Some(Duration::from_secs(60)))
        .await
        .expect("it opens");
    let done = until(&cluster.client, &namespace, "processing", |job: &Job| {
        job_ended(job) == Some(true)
    })
    .await;
    assert_eq!(job_phase(&done), Some(JobPhase::Running));
}
