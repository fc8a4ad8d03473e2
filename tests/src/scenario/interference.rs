//! Jobs and ledgers that somebody else touches while they are in use: kubectl, tools that sync, people.

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{
    Claim, Gate, JobPhase, Run, RunPhase, Semaphore, annotation, job_ended, job_phase,
};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::api;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::watching::{Versions, until};

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

fn work(name: &str, annotations: Value) -> Value {
    json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "suspend": true,
            "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "busybox:1.36"}],
            }},
        },
    })
}

/// The same for a stage of a Run, which owns it.
fn work_of(run: &Run, stage: &str, annotations: Value) -> Value {
    let mut job = work(stage, annotations);
    let name = run.name_any();
    job["metadata"]["labels"] = json!({"konductor.io/run": name, "konductor.io/stage": stage});
    job["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "konductor.io/v1", "kind": "Run", "name": name, "uid": run.metadata.uid,
    }]);
    job
}

async fn semaphore(cluster: &Cluster, namespace: &str, name: &str, permits: u32) {
    let semaphore = json!({"metadata": {"name": name}, "spec": {"permits": permits}});
    create::<Semaphore>(cluster, namespace, semaphore).await;
}

async fn patch(cluster: &Cluster, namespace: &str, name: &str, manager: &str, body: Value) {
    let params = PatchParams {
        field_manager: Some(manager.to_owned()),
        ..PatchParams::default()
    };
    let jobs = api::<Job>(cluster, namespace);
    let patched = jobs.patch(name, &params, &Patch::Merge(&body)).await;
    patched.expect("patched");
}

async fn running(cluster: &Cluster, namespace: &str, name: &str) {
    until(&cluster.client, namespace, name, |job: &Job| {
        let active = job.status.as_ref().and_then(|status| status.active);
        job_phase(job) == Some(JobPhase::Running) && active == Some(1)
    })
    .await;
}

async fn completed(cluster: &Cluster, namespace: &str, name: &str) {
    until(&cluster.client, namespace, name, |job: &Job| {
        job_ended(job) == Some(true)
    })
    .await;
}

async fn holders_are(cluster: &Cluster, namespace: &str, name: &str, expected: &[(&str, u32)]) {
    until(&cluster.client, namespace, name, |semaphore: &Semaphore| {
        let holders = semaphore.status.iter().flat_map(|status| &status.holders);
        let holders = holders.map(|held| (held.holder.as_str(), held.permits));
        holders.eq(expected.iter().copied())
    })
    .await;
}

fn said(job: &Job) -> &str {
    job.annotations()
        .get(annotation::REASON)
        .map_or("", String::as_str)
}

/// By whoever it was, and without a person's help.
pub async fn a_job_that_something_else_suspends_is_started_again_and_completes(cluster: &Cluster) {
    let namespace = cluster.namespace("suspended").await;
    let _operator = Operator::start(cluster, &namespace);
    semaphore(cluster, &namespace, "batch", 1).await;
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |_| {
        Script::until(&released)
    });
    let hold = json!({"konductor.io/hold": "semaphore/batch"});
    create::<Job>(cluster, &namespace, work("work", hold)).await;
    running(cluster, &namespace, "work").await;
    for round in 1..=2 {
        let again = json!({"spec": {"suspend": true}});
        patch(cluster, &namespace, "work", "a-tool", again).await;
        until(&cluster.client, &namespace, "work", |job: &Job| {
            let resumed = job.annotations().get(annotation::RESUMED);
            let count = resumed.and_then(|text| text.split(' ').next()?.parse().ok());
            count == Some(round) && job.spec.as_ref().and_then(|spec| spec.suspend) == Some(false)
        })
        .await;
        running(cluster, &namespace, "work").await;
    }
    holders_are(cluster, &namespace, "batch", &[("work", 1)]).await;
    release.send(true).expect("it is waited for");
    completed(cluster, &namespace, "work").await;
    holders_are(cluster, &namespace, "batch", &[]).await;
}

/// Also while nobody who could notice is there.
pub async fn a_hold_that_is_edited_while_its_job_waits_leaks_nothing(cluster: &Cluster) {
    let namespace = cluster.namespace("edited").await;
    let operator = Operator::start(cluster, &namespace);
    for (name, permits) in [("s", 3), ("t", 0)] {
        semaphore(cluster, &namespace, name, permits).await;
    }
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let hold = json!({"konductor.io/hold": "semaphore/s, semaphore/t"});
    for name in ["dropped", "moved", "raised"] {
        create::<Job>(cluster, &namespace, work(name, hold.clone())).await;
    }
    until(&cluster.client, &namespace, "s", |semaphore: &Semaphore| {
        semaphore
            .status
            .as_ref()
            .is_some_and(|status| status.in_use == 3)
    })
    .await;
    let edit = |hold: Value| json!({"metadata": {"annotations": {"konductor.io/hold": hold}}});
    patch(cluster, &namespace, "dropped", "kubectl", edit(Value::Null)).await;
    patch(
        cluster,
        &namespace,
        "moved",
        "kubectl",
        edit("semaphore/t".into()),
    )
    .await;
    holders_are(cluster, &namespace, "s", &[("raised", 1)]).await;
    drop(operator);
    let raised = edit("semaphore/s=3".into());
    patch(cluster, &namespace, "raised", "kubectl", raised).await;
    let _operator = Operator::start(cluster, &namespace);
    completed(cluster, &namespace, "raised").await;
    holders_are(cluster, &namespace, "s", &[]).await;
}

/// Its Job is gone, its pod still works, and the ledger is a new one.
pub async fn a_semaphore_that_is_created_again_waits_for_pods_of_jobs_that_are_gone(
    cluster: &Cluster,
) {
    let namespace = cluster.namespace("recreated").await;
    let operator = Operator::start(cluster, &namespace);
    semaphore(cluster, &namespace, "batch", 1).await;
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |_| {
        Script::until(&released)
    });
    let hold = json!({"konductor.io/hold": "semaphore/batch"});
    create::<Job>(cluster, &namespace, work("first", hold.clone())).await;
    running(cluster, &namespace, "first").await;
    let pods = api::<Pod>(cluster, &namespace);
    let all = pods.list(&ListParams::default()).await.expect("pods").items;
    // As a kubelet does that gives it time to end.
    let kept = json!({"metadata": {"finalizers": ["example.com/grace"]}});
    let pod = all[0].name_any();
    pods.patch(&pod, &PatchParams::default(), &Patch::Merge(&kept))
        .await
        .expect("patched");
    let jobs = api::<Job>(cluster, &namespace);
    jobs.delete("first", &DeleteParams::background())
        .await
        .expect("deleted");
    let semaphores = api::<Semaphore>(cluster, &namespace);
    semaphores
        .delete("batch", &DeleteParams::default())
        .await
        .expect("deleted");
    drop(operator);
    semaphore(cluster, &namespace, "batch", 1).await;
    create::<Job>(cluster, &namespace, work("second", hold)).await;
    let _operator = Operator::start(cluster, &namespace);
    holders_are(cluster, &namespace, "batch", &[("first", 1)]).await;
    let left = pods.list(&ListParams::default()).await.expect("pods").items;
    assert_eq!(left.len(), 1, "only the first has begun: {left:#?}");
    release.send(true).expect("it is waited for");
    completed(cluster, &namespace, "second").await;
    let gone = json!({"metadata": {"finalizers": null}});
    pods.patch(&pod, &PatchParams::default(), &Patch::Merge(&gone))
        .await
        .expect("patched");
}

/// In the order of the file, although they were created within the same second.
pub async fn items_that_share_one_permit_run_in_the_order_of_their_ordinals(cluster: &Cluster) {
    let namespace = cluster.namespace("ordinals").await;
    let versions = Versions::<Semaphore>::watch(&cluster.client, &namespace).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let names = ["e", "d", "c", "b", "a"];
    // Until all of them are created in the same second.
    loop {
        for (ordinal, name) in names.iter().enumerate() {
            let annotations = json!({
                "konductor.io/hold": "semaphore/batch",
                "konductor.io/ordinal": ordinal.to_string(),
            });
            create::<Job>(cluster, &namespace, work(name, annotations)).await;
        }
        let jobs = api::<Job>(cluster, &namespace);
        let created = jobs.list(&ListParams::default()).await.expect("jobs").items;
        let created: std::collections::BTreeSet<_> =
            created.iter().map(|job| job.creation_timestamp()).collect();
        if created.len() == 1 {
            break;
        }
        for name in names {
            let deleted = jobs.delete(name, &DeleteParams::background()).await;
            deleted.expect("deleted");
        }
    }
    semaphore(cluster, &namespace, "batch", 1).await;
    let _operator = Operator::start(cluster, &namespace);
    for name in names {
        completed(cluster, &namespace, name).await;
    }
    let mut order: Vec<String> = Vec::new();
    for version in versions.until_now().await {
        for held in version.status.into_iter().flat_map(|status| status.holders) {
            if order.last() != Some(&held.name) {
                order.push(held.name);
            }
        }
    }
    assert_eq!(order, names);
}

/// What keeps it waiting, and no more once that is corrected.
pub async fn a_job_and_a_claim_that_wait_for_nothing_real_say_so(cluster: &Cluster) {
    let namespace = cluster.namespace("reasons").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let table = [
        (
            "gated",
            json!({"konductor.io/gate": "typo"}),
            "gate/typo does not exist",
        ),
        (
            "holding",
            json!({"konductor.io/hold": "semaphore/batch=2"}),
            "semaphore/batch does not exist",
        ),
        (
            "habit",
            json!({"konductor.io/gate": "gate/publish"}),
            "konductor.io/gate: \"gate/publish\" is not the name of a Gate: write publish",
        ),
        (
            "slip",
            json!({"konductor.io/holds": "semaphore/batch"}),
            "konductor.io/holds is not known; did you mean konductor.io/hold?",
        ),
    ];
    for (name, annotations, _) in &table {
        create::<Job>(cluster, &namespace, work(name, annotations.clone())).await;
    }
    let claim = json!({
        "metadata": {"name": "ask"},
        "spec": {"target": {"kind": "Semaphore", "name": "batch"}, "holder": "me", "permits": 2},
    });
    create::<Claim>(cluster, &namespace, claim).await;
    for (name, _, reason) in &table {
        until(&cluster.client, &namespace, name, |job: &Job| {
            said(job) == *reason && job_phase(job).is_some()
        })
        .await;
    }
    let message_is = |message: &'static str| {
        move |claim: &Claim| {
            claim
                .status
                .as_ref()
                .is_some_and(|status| status.message == message)
        }
    };
    let missing = message_is("semaphore/batch does not exist");
    until(&cluster.client, &namespace, "ask", missing).await;
    semaphore(cluster, &namespace, "batch", 1).await;
    let small = message_is("semaphore/batch has 1 permits, and this Claim asks for 2");
    until(&cluster.client, &namespace, "ask", small).await;
    until(&cluster.client, &namespace, "holding", |job: &Job| {
        said(job) == "semaphore/batch has 1 permits, and this Job asks for 2"
    })
    .await;
    let scaled = json!({"spec": {"permits": 4}});
    let semaphores = api::<Semaphore>(cluster, &namespace);
    semaphores
        .patch("batch", &PatchParams::default(), &Patch::Merge(&scaled))
        .await
        .expect("scaled");
    completed(cluster, &namespace, "holding").await;
    until(&cluster.client, &namespace, "ask", message_is("granted")).await;
}

/// As `kubectl get -o yaml` or a backup has stored it, with what the operator wrote on the first.
pub async fn a_job_that_is_created_from_a_stored_copy_waits_for_its_gate(cluster: &Cluster) {
    let namespace = cluster.namespace("copied").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let go = json!({
        "metadata": {"name": "go"},
        "spec": {"conditions": [{"type": "Job", "name": "before", "state": "Complete"}]},
    });
    create::<Gate>(cluster, &namespace, go).await;
    let copied = json!({
        "konductor.io/gate": "go", "konductor.io/phase": "Running", "konductor.io/reason": "of the first",
    });
    create::<Job>(cluster, &namespace, work("after", copied)).await;
    until(&cluster.client, &namespace, "after", |job: &Job| {
        job_phase(job) == Some(JobPhase::Waiting) && said(job) == "waits for gate/go"
    })
    .await;
    let mut before = work("before", json!({}));
    before["spec"]["suspend"] = false.into();
    create::<Job>(cluster, &namespace, before).await;
    completed(cluster, &namespace, "after").await;
}

/// Nobody knows when the finalizer goes, and nothing waits for that.
pub async fn a_deleted_job_that_a_finalizer_keeps_releases_its_permit_and_ends_its_run(
    cluster: &Cluster,
) {
    let namespace = cluster.namespace("finalizer").await;
    let _operator = Operator::start(cluster, &namespace);
    semaphore(cluster, &namespace, "batch", 1).await;
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |_| {
        Script::until(&released)
    });
    let run = json!({"metadata": {"name": "r"}, "spec": {"pipeline": "p", "jobs": 2}});
    let run = create::<Run>(cluster, &namespace, run).await;
    let hold = json!({"konductor.io/hold": "semaphore/batch"});
    let jobs = ["first", "second"];
    for name in jobs {
        let mut job = work_of(&run, name, hold.clone());
        job["metadata"]["finalizers"] = json!(["example.com/keep"]);
        create::<Job>(cluster, &namespace, job).await;
    }
    running(cluster, &namespace, "first").await;
    for name in jobs {
        api::<Job>(cluster, &namespace)
            .delete(name, &DeleteParams::background())
            .await
            .expect("deleted");
        until(&cluster.client, &namespace, name, |job: &Job| {
            job_phase(job) == Some(JobPhase::Cancelled) && said(job).starts_with("Deleted: ")
        })
        .await;
    }
    release.send(true).expect("it is waited for");
    holders_are(cluster, &namespace, "batch", &[]).await;
    until(&cluster.client, &namespace, "r", |run: &Run| {
        let status = run.status.as_ref();
        status.is_some_and(|status| status.phase == RunPhase::Failed && status.deleted == 2)
    })
    .await;
    for name in jobs {
        let keep = json!({"metadata": {"finalizers": null}});
        patch(cluster, &namespace, name, "a-tool", keep).await;
    }
}

/// A Run lists its Jobs by them.
pub async fn a_run_whose_jobs_lose_their_labels_still_ends_right(cluster: &Cluster) {
    let namespace = cluster.namespace("unlabelled").await;
    let _operator = Operator::start(cluster, &namespace);
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |_| {
        Script::until(&released)
    });
    let run = json!({"metadata": {"name": "r"}, "spec": {"pipeline": "p", "jobs": 1}});
    let run = create::<Run>(cluster, &namespace, run).await;
    let mut job = work_of(&run, "only", json!({}));
    job["metadata"]["labels"]["konductor.io/role"] = "main".into();
    create::<Job>(cluster, &namespace, job).await;
    running(cluster, &namespace, "only").await;
    let none = json!({"metadata": {"labels": {
        "konductor.io/run": "other", "konductor.io/stage": null, "konductor.io/role": null,
    }}});
    patch(cluster, &namespace, "only", "a-tool", none).await;
    until(&cluster.client, &namespace, "only", |job: &Job| {
        let label = |key| job.labels().get(key).map(String::as_str);
        label("konductor.io/run") == Some("r") && label("konductor.io/stage") == Some("only")
    })
    .await;
    release.send(true).expect("it is waited for");
    until(&cluster.client, &namespace, "r", |run: &Run| {
        let status = run.status.as_ref();
        status.is_some_and(|status| status.phase == RunPhase::Succeeded)
    })
    .await;
}
