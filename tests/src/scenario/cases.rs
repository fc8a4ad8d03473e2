//! What people do with files on a cluster, and what once went wrong: applied twice, deleted and applied again, names
//! and values that others have or refuse.

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Gate, GatePhase, Run, RunPhase, Semaphore, job_ended};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions::is_deleted};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

use super::api;
use super::pipeline::{compiled, create_alone, stage, until_ended};
use crate::built::koncli;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::Operator;
use crate::watching::{WITHIN, until};

/// Runs koncli in a namespace; its exit code and all that it printed.
pub(super) async fn ran(
    cluster: &Cluster,
    namespace: &str,
    arguments: &[&str],
) -> (Option<i32>, String) {
    let mut command = Command::new(koncli());
    command
        .args(arguments)
        .args(["--namespace", namespace, "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .env("NO_COLOR", "1");
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("koncli runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Writes a file into a folder; its path.
pub(super) fn written(folder: &Path, name: &str, text: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a file");
    file.display().to_string()
}

async fn count<K>(cluster: &Cluster, namespace: &str) -> usize
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let list = api::<K>(cluster, namespace)
        .list(&ListParams::default())
        .await;
    list.expect("a list").items.len()
}

/// A second apply never says "succeeded" without a run.
pub async fn a_pipeline_that_is_applied_twice_succeeds_once(cluster: &Cluster) {
    let namespace = cluster.namespace("twice").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        r#"pipeline twice { defaults { image = "busybox:1.36" }  stage a { run = "true" } }"#;
    let file = written(folder.path(), "twice.kon", text);
    let apply = ["apply", file.as_str(), "--wait", "--timeout", "1m"];
    let (code, text) = ran(cluster, &namespace, &apply).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = ran(cluster, &namespace, &apply).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.starts_with("error: run/twice has already ended (Succeeded "),
        "{text}"
    );
    assert_eq!(count::<Pod>(cluster, &namespace).await, 1);
}

/// Two pipelines whose names and ledgers run into each other have a ledger each.
pub async fn ledgers_of_two_pipelines_are_two(cluster: &Cluster) {
    let namespace = cluster.namespace("names").await;
    let folder = tempfile::tempdir().expect("a folder");
    let etl = r#"pipeline etl { semaphore db-main { permits = 1 }  defaults { image = "busybox:1.36" }
      stage load holding db-main { run = "true" } }"#;
    let etl_db = r#"pipeline etl-db { semaphore main { permits = 50 }  defaults { image = "busybox:1.36" }
      stage x holding main { run = "true" } }"#;
    for (name, text) in [("one.kon", etl), ("other.kon", etl_db)] {
        let file = written(folder.path(), name, text);
        let (code, text) = ran(cluster, &namespace, &["apply", &file]).await;
        assert_eq!(code, Some(0), "{text}");
    }
    let semaphores = api::<Semaphore>(cluster, &namespace);
    for (name, permits) in [("etl.db-main", 1), ("etl-db.main", 50)] {
        let semaphore = semaphores.get(name).await.expect("a Semaphore");
        assert_eq!(semaphore.spec.permits, permits, "{name}");
    }
}

/// What the compiler knows to be refused is an error at its place; what only the API server knows is one before
/// anything is created.
pub async fn nothing_is_created_of_a_run_that_is_refused(cluster: &Cluster) {
    let namespace = cluster.namespace("refused").await;
    let folder = tempfile::tempdir().expect("a folder");
    let label = r#"pipeline lab {
      param ticket: string = "LI 1570"
      defaults { image = "busybox:1.36" }
      stage a { run = "true" }
      stage b after a { run = "true"  labels { "acme.com/ticket" = ticket } }
    }"#;
    let pod = r#"pipeline lab {
      defaults { image = "busybox:1.36" }
      stage a { run = "true" }
      stage b after a { run = "true" pod """
        hostname: Not_A_Name
      """ }
    }"#;
    for (text, expected) in [
        (label, "error[K0334]"),
        (
            pod,
            "error: 1 of the 4 objects of run/lab can't be applied, so nothing was changed\n  \
             job/lab-b (stage b): ",
        ),
    ] {
        let file = written(folder.path(), "lab.kon", text);
        let (code, text) = ran(cluster, &namespace, &["apply", &file]).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(count::<Run>(cluster, &namespace).await, 0);
        assert_eq!(count::<Job>(cluster, &namespace).await, 0);
    }
}

/// `kubectl scale --replicas=0` stays until somebody changes the file.
pub async fn a_semaphore_that_somebody_scales_stays_so_until_its_file_changes(cluster: &Cluster) {
    let namespace = cluster.namespace("scaled").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let folder = tempfile::tempdir().expect("a folder");
    let text = |permits: u32| {
        format!(
            "pipeline maint {{\n  semaphore db {{ permits = {permits} }}\n  \
             defaults {{ image = \"busybox:1.36\" }}\n  stage w holding db {{ run = \"true\" }}\n}}\n"
        )
    };
    let file = written(folder.path(), "maint.kon", &text(2));
    let (code, said) = ran(cluster, &namespace, &["apply", &file, "--wait"]).await;
    assert_eq!(code, Some(0), "{said}");
    let semaphores = api::<Semaphore>(cluster, &namespace);
    let zero = Patch::Merge(json!({"spec": {"replicas": 0}}));
    let scaled = semaphores
        .patch_scale("maint-db", &PatchParams::default(), &zero)
        .await;
    scaled.expect("scaled");
    let (code, said) = ran(cluster, &namespace, &["apply", &file, "--run", "second"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("semaphore/maint-db keeps permits 0, which somebody has set"),
        "{said}"
    );
    let permits = async || {
        let semaphore = semaphores.get("maint-db").await;
        semaphore.expect("a Semaphore").spec.permits
    };
    assert_eq!(permits().await, 0);
    let (code, said) = ran(cluster, &namespace, &["status", "second"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("queued"), "{said}");
    written(folder.path(), "maint.kon", &text(3));
    let (code, said) = ran(cluster, &namespace, &["apply", &file, "--run", "third"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(permits().await, 3);
    for run in ["second", "third"] {
        let run = until_ended(cluster, &namespace, run).await;
        assert_eq!(run.status.expect("a status").phase, RunPhase::Succeeded);
    }
}

/// Deletes everything of a kind, and waits until it is gone.
async fn delete_all<K>(cluster: &Cluster, namespace: &str)
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let objects: Api<K> = api(cluster, namespace);
    let list = objects.list(&ListParams::default()).await.expect("a list");
    for object in list.items {
        // It may go with its owner.
        let _ = objects
            .delete(&object.name_any(), &DeleteParams::background())
            .await;
        let (name, uid) = (object.name_any(), object.uid().expect("a uid"));
        let gone = is_deleted(&uid);
        let gone = await_condition(objects.clone(), &name, gone);
        let gone = tokio::time::timeout(WITHIN, gone).await;
        gone.expect("it is gone in time").expect("a watch");
    }
}

/// `kubectl delete -f` and `kubectl apply -f` of one compiled file: it runs again from its beginning, and the Jobs of
/// its first life open no Gate of its second. The same for a Gate that somebody wrote.
pub async fn a_file_that_is_deleted_and_applied_again_runs_from_its_beginning(cluster: &Cluster) {
    let namespace = cluster.namespace("again").await;
    let _operator = Operator::start(cluster, &namespace);
    let (release, released) = watch::channel(true);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match stage(pod).as_str() {
            "a" => Script::until(&released),
            _ => Script::succeed(),
        }
    });
    let manifests = compiled(
        r#"pipeline again {
          defaults { image = "busybox:1.36" }
          stage a { run = "a" }
          stage b after a { run = "b" }
        }"#,
    );
    let by_hand: Gate = serde_json::from_value(json!({
        "metadata": {"name": "by-hand"},
        "spec": {"conditions": [{"type": "Job", "name": "again-a", "state": "Complete"}]},
    }))
    .expect("a Gate");
    let gates = api::<Gate>(cluster, &namespace);
    let is_open = |gate: &Gate| {
        let status = gate.status.as_ref();
        status.is_some_and(|status| status.phase == GatePhase::Open)
    };
    create_alone(cluster, &namespace, &manifests).await;
    let created = gates.create(&PostParams::default(), &by_hand).await;
    created.expect("created");
    let run = until_ended(cluster, &namespace, "again").await;
    assert_eq!(run.status.expect("a status").phase, RunPhase::Succeeded);
    until(&cluster.client, &namespace, "by-hand", is_open).await;
    release.send(false).expect("it is waited for");
    delete_all::<Run>(cluster, &namespace).await;
    delete_all::<Gate>(cluster, &namespace).await;
    delete_all::<Job>(cluster, &namespace).await;
    delete_all::<Pod>(cluster, &namespace).await;

    create_alone(cluster, &namespace, &manifests).await;
    let created = gates.create(&PostParams::default(), &by_hand).await;
    created.expect("created");
    // The operator has judged both Gates while `a` runs, and `b` waits.
    until(&cluster.client, &namespace, "again-a", |job: &Job| {
        job.status
            .as_ref()
            .is_some_and(|status| status.active == Some(1))
    })
    .await;
    for name in ["again-b", "by-hand"] {
        let gate = until(&cluster.client, &namespace, name, |gate: &Gate| {
            gate.status.is_some()
        })
        .await;
        assert!(!is_open(&gate), "{name}: {:#?}", gate.status);
    }
    let b = api::<Job>(cluster, &namespace).get("again-b").await;
    let b = b.expect("it is there");
    assert_eq!(b.spec.expect("a spec").suspend, Some(true));
    release.send(true).expect("it is waited for");
    let run = until_ended(cluster, &namespace, "again").await;
    assert_eq!(run.status.expect("a status").phase, RunPhase::Succeeded);
    until(&cluster.client, &namespace, "by-hand", is_open).await;
    let b = api::<Job>(cluster, &namespace).get("again-b").await;
    assert_eq!(job_ended(&b.expect("it is there")), Some(true));
}
