//! What has gone wrong with other coordinators in the field, by behaviour.

use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Claim, ClaimPhase, Gate, GatePhase, JobPhase, Lease, Semaphore, job_phase};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::api;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::{Operator, OperatorProcess};
use crate::watching::{Versions, WITHIN, until};

async fn create<K>(cluster: &Cluster, namespace: &str, object: Value) -> K
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Serialize,
{
    let object: K = serde_json::from_value(object).expect("an object");
    let created = api::<K>(cluster, namespace)
        .create(&PostParams::default(), &object)
        .await;
    created.expect("created")
}

async fn lease(cluster: &Cluster, namespace: &str, name: &str) {
    let lease = json!({"metadata": {"name": name}, "spec": {"ttl": "5m"}});
    create::<Lease>(cluster, namespace, lease).await;
}

/// A Claim that nobody renews: it ends in an hour, or with its pod.
async fn claim(cluster: &Cluster, namespace: &str, name: &str, spec: Value) {
    let mut claim = json!({
        "metadata": {"name": name},
        "spec": {"holder": name, "ttl": "1h", "target": {"kind": "Semaphore", "name": "batch"}},
    });
    let more = spec.as_object().expect("fields").clone();
    claim["spec"].as_object_mut().expect("a spec").extend(more);
    create::<Claim>(cluster, namespace, claim).await;
}

async fn granted(cluster: &Cluster, namespace: &str, name: &str) {
    until(&cluster.client, namespace, name, |claim: &Claim| {
        phase_of(claim) == ClaimPhase::Granted
    })
    .await;
}

fn phase_of(claim: &Claim) -> ClaimPhase {
    claim
        .status
        .as_ref()
        .map_or(ClaimPhase::Queued, |status| status.phase)
}

fn work(name: &str, annotations: Value, spec: Value) -> Value {
    let mut job = json!({
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
    let more = spec.as_object().expect("fields").clone();
    job["spec"].as_object_mut().expect("a spec").extend(more);
    job
}

async fn running(cluster: &Cluster, namespace: &str, name: &str) {
    until(&cluster.client, namespace, name, |job: &Job| {
        let active = job.status.as_ref().and_then(|status| status.active);
        job_phase(job) == Some(JobPhase::Running) && active == Some(1)
    })
    .await;
}

async fn gone<K>(cluster: &Cluster, namespace: &str, object: &K)
where
    K: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let uid = object.uid().expect("a uid");
    let (name, api) = (object.name_any(), api::<K>(cluster, namespace));
    let gone = await_condition(api, &name, is_deleted(&uid));
    let gone = tokio::time::timeout(WITHIN, gone).await;
    gone.expect("in time").expect("gone");
}

fn no_grace() -> DeleteParams {
    DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::background()
    }
}

/// A workflow that is stopped from outside, by deleting what runs, leaves no lock behind.
pub async fn a_job_that_is_deleted_while_it_works_releases_its_lease_when_its_pod_is_gone(
    cluster: &Cluster,
) {
    let namespace = cluster.namespace("deleted").await;
    let _operator = Operator::start(cluster, &namespace);
    lease(cluster, &namespace, "schema").await;
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |_| {
        Script::until(&released)
    });
    let hold = json!({"konductor.io/hold": "lease/schema"});
    create::<Job>(cluster, &namespace, work("first", hold.clone(), json!({}))).await;
    running(cluster, &namespace, "first").await;
    create::<Job>(cluster, &namespace, work("second", hold, json!({}))).await;
    // Its pod is left over, and still works.
    let jobs = api::<Job>(cluster, &namespace);
    jobs.delete("first", &DeleteParams::orphan())
        .await
        .expect("deleted");
    let pods = api::<Pod>(cluster, &namespace);
    let left = pods.list(&ListParams::default()).await.expect("pods").items;
    assert_eq!(left.len(), 1, "only the first has begun: {left:#?}");
    release.send(true).expect("it is waited for");
    until(&cluster.client, &namespace, "second", |job: &Job| {
        konductor_api::job_ended(job) == Some(true)
    })
    .await;
}

/// What is deleted while no operator looks is free as soon as one does.
pub async fn what_is_deleted_while_the_operator_is_down_is_released(cluster: &Cluster) {
    let namespace = cluster.namespace("down").await;
    let first = OperatorProcess::start(cluster, &namespace);
    let semaphore = json!({"metadata": {"name": "batch"}, "spec": {"permits": 2}});
    create::<Semaphore>(cluster, &namespace, semaphore).await;
    let _kubelet = play(&cluster.client, &namespace, |_| {
        Script::succeed().lasting(Duration::from_secs(600))
    });
    claim(cluster, &namespace, "held", json!({})).await;
    granted(cluster, &namespace, "held").await;
    let hold = json!({"konductor.io/hold": "semaphore/batch"});
    let job: Job = create(cluster, &namespace, work("works", hold, json!({}))).await;
    running(cluster, &namespace, "works").await;
    claim(cluster, &namespace, "next", json!({"permits": 2})).await;
    first.kill();
    let claims = api::<Claim>(cluster, &namespace);
    claims
        .delete("held", &DeleteParams::default())
        .await
        .expect("deleted");
    let jobs = api::<Job>(cluster, &namespace);
    jobs.delete("works", &DeleteParams::background())
        .await
        .expect("deleted");
    gone(cluster, &namespace, &job).await;
    let pods = api::<Pod>(cluster, &namespace);
    for pod in pods.list(&ListParams::default()).await.expect("pods").items {
        // As the kubelet does when its container has ended; it may be gone by itself.
        let _ = pods.delete(&pod.name_any(), &no_grace()).await;
        gone(cluster, &namespace, &pod).await;
    }
    let second = OperatorProcess::start(cluster, &namespace);
    granted(cluster, &namespace, "next").await;
    second.kill();
}

/// A new operator takes over the ledger as it is: holders continue, and no other is granted anything.
pub async fn a_restarted_operator_grants_nothing_beyond_the_ledger(cluster: &Cluster) {
    let namespace = cluster.namespace("again").await;
    let versions = Versions::<Semaphore>::watch(&cluster.client, &namespace).await;
    let semaphore = json!({"metadata": {"name": "batch"}, "spec": {"permits": 1}});
    create::<Semaphore>(cluster, &namespace, semaphore).await;
    let claims = api::<Claim>(cluster, &namespace);
    claim(cluster, &namespace, "c0", json!({})).await;
    for round in 0..3 {
        let operator = OperatorProcess::start(cluster, &namespace);
        granted(cluster, &namespace, &format!("c{round}")).await;
        claim(cluster, &namespace, &format!("c{}", round + 1), json!({})).await;
        operator.kill();
        let operator = OperatorProcess::start(cluster, &namespace);
        // It has decided about everything that was there before this one was denied.
        let impatient = format!("impatient-{round}");
        claim(cluster, &namespace, &impatient, json!({"wait": false})).await;
        until(&cluster.client, &namespace, &impatient, |claim: &Claim| {
            phase_of(claim) == ClaimPhase::Denied
        })
        .await;
        operator.kill();
        let done = format!("c{round}");
        claims
            .delete(&done, &DeleteParams::default())
            .await
            .expect("deleted");
    }
    for version in versions.until_now().await {
        let holders = version
            .status
            .map(|status| status.holders)
            .unwrap_or_default();
        assert!(holders.len() <= 1, "{holders:?}");
    }
}

/// A Job that is tried again keeps what it holds in between: what it protects may be half done.
pub async fn nobody_enters_between_two_tries_of_a_job(cluster: &Cluster) {
    let namespace = cluster.namespace("tries").await;
    let _operator = Operator::start(cluster, &namespace);
    lease(cluster, &namespace, "schema").await;
    let versions = Versions::<Pod>::watch(&cluster.client, &namespace).await;
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        let first = tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        match pod.name_any().starts_with("migrate") && first {
            true => Script::fail(),
            false => Script::succeed(),
        }
    });
    let hold = json!({"konductor.io/hold": "lease/schema"});
    let again = json!({"backoffLimit": 1});
    create::<Job>(cluster, &namespace, work("migrate", hold.clone(), again)).await;
    running(cluster, &namespace, "migrate").await;
    create::<Job>(cluster, &namespace, work("other", hold, json!({}))).await;
    for name in ["migrate", "other"] {
        until(&cluster.client, &namespace, name, |job: &Job| {
            konductor_api::job_ended(job) == Some(true)
        })
        .await;
    }
    let mut order: Vec<String> = Vec::new();
    for pod in versions.until_now().await {
        let name = pod.name_any();
        if !order.contains(&name) {
            order.push(name);
        }
    }
    let jobs: Vec<&str> = order
        .iter()
        .filter_map(|name| name.split('-').next())
        .collect();
    assert_eq!(jobs, ["migrate", "migrate", "other"]);
}

/// A large request is not overtaken by small ones, however long these keep coming.
pub async fn a_large_request_is_not_starved_by_small_ones(cluster: &Cluster) {
    let namespace = cluster.namespace("starved").await;
    let _operator = Operator::start(cluster, &namespace);
    let semaphore = json!({"metadata": {"name": "batch"}, "spec": {"permits": 3}});
    create::<Semaphore>(cluster, &namespace, semaphore).await;
    for name in ["s0", "s1", "s2"] {
        claim(cluster, &namespace, name, json!({})).await;
        granted(cluster, &namespace, name).await;
    }
    claim(
        cluster,
        &namespace,
        "large",
        json!({"permits": 3, "priority": 0}),
    )
    .await;
    // Creation counts to the second: those below come after it.
    let since = jiff::Timestamp::now().as_second();
    while jiff::Timestamp::now().as_second() == since {
        tokio::task::yield_now().await;
    }
    let claims = api::<Claim>(cluster, &namespace);
    for (index, ends) in ["s0", "s1", "s2"].into_iter().enumerate() {
        claim(cluster, &namespace, &format!("later-{index}"), json!({})).await;
        claims
            .delete(ends, &DeleteParams::default())
            .await
            .expect("deleted");
    }
    granted(cluster, &namespace, "large").await;
    for later in claims
        .list(&ListParams::default())
        .await
        .expect("claims")
        .items
    {
        if later.name_any().starts_with("later") {
            assert_eq!(phase_of(&later), ClaimPhase::Queued, "{}", later.name_any());
        }
    }
    claims
        .delete("large", &DeleteParams::default())
        .await
        .expect("deleted");
    for index in 0..3 {
        granted(cluster, &namespace, &format!("later-{index}")).await;
    }
}

/// Nobody is left to release: the node is gone, and its pods are deleted by force.
pub async fn a_permit_ends_with_the_pod_whose_node_vanished(cluster: &Cluster) {
    let namespace = cluster.namespace("node").await;
    let _operator = Operator::start(cluster, &namespace);
    let semaphore = json!({"metadata": {"name": "batch"}, "spec": {"permits": 1}});
    create::<Semaphore>(cluster, &namespace, semaphore).await;
    let _kubelet = play(&cluster.client, &namespace, |_| {
        Script::succeed().lasting(Duration::from_secs(600))
    });
    let start = json!({"suspend": false});
    create::<Job>(cluster, &namespace, work("worker", json!({}), start)).await;
    let pods = api::<Pod>(cluster, &namespace);
    let of_job = ListParams::default().labels("batch.kubernetes.io/job-name=worker");
    let pod = tokio::time::timeout(WITHIN, async {
        loop {
            if let Some(pod) = pods.list(&of_job).await.expect("pods").items.pop() {
                return pod;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a pod");
    let owner = json!({"pod": {"name": pod.name_any(), "uid": pod.uid()}});
    claim(cluster, &namespace, "held", owner).await;
    granted(cluster, &namespace, "held").await;
    claim(cluster, &namespace, "next", json!({})).await;
    pods.delete(&pod.name_any(), &no_grace())
        .await
        .expect("deleted");
    granted(cluster, &namespace, "next").await;
}

/// A slot that was missed is caught up while the one before still works: they take turns.
pub async fn jobs_of_one_cron_job_never_overlap(cluster: &Cluster) {
    let namespace = cluster.namespace("cron").await;
    let _operator = Operator::start(cluster, &namespace);
    lease(cluster, &namespace, "daily").await;
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |_| {
        Script::until(&released)
    });
    let hold = json!({"konductor.io/hold": "lease/daily"});
    let template = work("daily", hold.clone(), json!({}));
    let cron: CronJob = create(
        cluster,
        &namespace,
        json!({
            "metadata": {"name": "daily"},
            "spec": {
                "schedule": "0 2 * * *",
                "suspend": true,
                "jobTemplate": {"metadata": {"annotations": hold}, "spec": template["spec"]},
            },
        }),
    )
    .await;
    // As `kubectl create job --from=cronjob/daily` does.
    let slot = |name: &str| {
        let mut job = work(name, json!({}), json!({}));
        let template = &cron.spec.job_template;
        job["metadata"]["annotations"] =
            json!(template.metadata.as_ref().expect("annotations").annotations);
        job["spec"] = json!(template.spec);
        job["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "batch/v1", "kind": "CronJob", "name": "daily", "uid": cron.uid(),
        }]);
        job
    };
    create::<Job>(cluster, &namespace, slot("daily-1")).await;
    running(cluster, &namespace, "daily-1").await;
    create::<Job>(cluster, &namespace, slot("daily-2")).await;
    // The second is in the queue: who doesn't wait is denied behind it.
    let impatient = json!({
        "target": {"kind": "Lease", "name": "daily"}, "wait": false, "ttl": "1m",
    });
    claim(cluster, &namespace, "impatient", impatient).await;
    until(&cluster.client, &namespace, "impatient", |claim: &Claim| {
        phase_of(claim) == ClaimPhase::Denied
    })
    .await;
    let second = api::<Job>(cluster, &namespace)
        .get("daily-2")
        .await
        .expect("a job");
    assert_eq!(second.spec.and_then(|spec| spec.suspend), Some(true));
    release.send(true).expect("it is waited for");
    for name in ["daily-1", "daily-2"] {
        until(&cluster.client, &namespace, name, |job: &Job| {
            konductor_api::job_ended(job) == Some(true)
        })
        .await;
    }
}

/// What a Gate has seen counts, although the Job's own TTL has deleted it since.
pub async fn a_job_that_its_ttl_has_deleted_still_counts(cluster: &Cluster) {
    let namespace = cluster.namespace("ttl").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let conditions =
        ["early", "late"].map(|name| json!({"type": "Job", "name": name, "state": "Complete"}));
    let gate = json!({"metadata": {"name": "both"}, "spec": {"conditions": conditions}});
    create::<Gate>(cluster, &namespace, gate).await;
    let at_once = json!({"suspend": false, "ttlSecondsAfterFinished": 3});
    let early: Job = create(cluster, &namespace, work("early", json!({}), at_once)).await;
    gone(cluster, &namespace, &early).await;
    create::<Job>(cluster, &namespace, work("late", json!({}), json!({}))).await;
    let start = Patch::Merge(json!({"spec": {"suspend": false}}));
    let jobs = api::<Job>(cluster, &namespace);
    jobs.patch("late", &PatchParams::default(), &start)
        .await
        .expect("started");
    until(&cluster.client, &namespace, "both", |gate: &Gate| {
        gate.status
            .as_ref()
            .is_some_and(|status| status.phase == GatePhase::Open)
    })
    .await;
}
