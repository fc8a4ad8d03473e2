//! What happens to values, permits and leases when containers are killed and a node falls silent.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use konductor_api::{Lease, Semaphore, annotation};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

use super::deployed::{
    all_complete, began, ended, file, find, is, koncli, kubectl, namespace, pods,
};
use crate::cluster::Cluster;
use crate::node;

fn apply(cluster: &Cluster, namespace: &str, name: &str) {
    kubectl(cluster, namespace, &["apply", "-f", &file(name)]);
}

fn output(job: &Job, name: &str) -> Option<i64> {
    let outputs = job.annotations().get(annotation::OUTPUTS)?;
    let outputs: serde_json::Value = serde_json::from_str(outputs).expect("JSON");
    let value = &outputs[name];
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// Outputs by termination message, inputs and tokens by the downward API.
pub async fn values_and_tokens_reach_real_containers(cluster: &Cluster) {
    let namespace = namespace(cluster, "values").await;
    let pipeline = file("values.kon");
    koncli(
        cluster,
        &namespace,
        &["apply", &pipeline, "--wait", "--timeout", "5m"],
    );
    let jobs = all_complete(cluster, &namespace, 2).await;
    let book = jobs.iter().find(|job| job.name_any() == "values-book");
    let book = book.expect("a Job of each stage");
    assert_eq!(output(book, "booked"), Some(42));
    let leases: Vec<Lease> = cluster.stored(&namespace).await;
    let granted = leases.iter().filter_map(|lease| lease.status.as_ref());
    let token = granted
        .filter(|status| status.in_use == 1)
        .find_map(|status| status.token);
    assert!(token.is_some(), "it was held");
    assert_eq!(output(book, "fence"), token);
}

async fn holder_is(cluster: &Cluster, namespace: &str, holder: &str) {
    find(cluster, namespace, |semaphores: &[Semaphore]| {
        holders(semaphores) == [holder]
    })
    .await;
}

fn holders(semaphores: &[Semaphore]) -> Vec<String> {
    let statuses = semaphores
        .iter()
        .filter_map(|semaphore| semaphore.status.as_ref());
    statuses
        .flat_map(|status| &status.holders)
        .map(|held| held.holder.clone())
        .collect()
}

/// The first pod of a Job, once its container runs.
async fn running(cluster: &Cluster, namespace: &str, name: &str) -> Pod {
    let mine = |pods: &[Pod]| {
        let pod = pods
            .iter()
            .find(|pod| pod.name_any().starts_with(name) && began(pod).is_some());
        pod.cloned()
    };
    let pods = find(cluster, namespace, |pods| mine(pods).is_some()).await;
    mine(&pods).expect("it is there")
}

async fn failed(cluster: &Cluster, namespace: &str, name: &str) {
    find(cluster, namespace, |jobs: &[Job]| {
        jobs.iter()
            .any(|job| job.name_any() == name && is(job, "Failed"))
    })
    .await;
}

async fn complete(cluster: &Cluster, namespace: &str, name: &str) {
    find(cluster, namespace, |jobs: &[Job]| {
        jobs.iter()
            .any(|job| job.name_any() == name && is(job, "Complete"))
    })
    .await;
}

/// `kill -9` of what holds a permit: the next one gets it, and not before.
pub async fn a_job_whose_container_is_killed_releases_its_permit(cluster: &Cluster) {
    let namespace = namespace(cluster, "killed").await;
    apply(cluster, &namespace, "breakdown.yaml");
    let first = running(cluster, &namespace, "first").await;
    apply(cluster, &namespace, "breakdown-next.yaml");
    holder_is(cluster, &namespace, "first").await;
    cluster.node().kill_container(&first, "work");
    failed(cluster, &namespace, "first").await;
    complete(cluster, &namespace, "next").await;
    let first = pods(cluster, &namespace, "batch.kubernetes.io/job-name=first").await;
    let next = pods(cluster, &namespace, "batch.kubernetes.io/job-name=next").await;
    assert_eq!((first.len(), next.len()), (1, 1));
    assert!(ended(&first[0]).expect("killed") <= began(&next[0]).expect("it ran"));
}

/// `kill -9` of a pod that holds a lease by koncli: it passes on when its TTL is over, and the token
/// of the next holder is higher.
pub async fn the_lease_of_a_killed_pod_passes_on_after_its_ttl(cluster: &Cluster) {
    let namespace = namespace(cluster, "held").await;
    apply(cluster, &namespace, "held.yaml");
    let first = running(cluster, &namespace, "first").await;
    find(cluster, &namespace, |leases: &[Lease]| {
        leases
            .iter()
            .filter_map(|lease| lease.status.as_ref())
            .any(|status| status.in_use == 1)
    })
    .await;
    apply(cluster, &namespace, "held-next.yaml");
    cluster.node().kill_container(&first, "hold");
    let ended_well = |pods: &[Pod]| {
        pods.iter().any(|pod| {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            pod.name_any() == "next" && phase == Some("Succeeded")
        })
    };
    let pods = find(cluster, &namespace, ended_well).await;
    let ended = |name: &str| {
        let pod = pods.iter().find(|pod| pod.name_any() == name);
        ended(pod.expect("it is there")).expect("it has ended").0
    };
    let after = ended("next").duration_since(ended("first"));
    // It was renewed at a third of its TTL at the latest, and nodes report whole seconds.
    assert!(
        after >= jiff::SignedDuration::from_secs(5),
        "{after:?} after it was killed"
    );
    let leases: Vec<Lease> = cluster.stored(&namespace).await;
    let held = leases.iter().filter_map(|lease| lease.status.as_ref());
    let mut tokens: Vec<i64> = held
        .filter(|status| status.in_use == 1)
        .filter_map(|status| status.token)
        .collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 2, "{tokens:?}");
    assert!(tokens[0] < tokens[1], "{tokens:?}");
}

/// Where every node is silent, Kubernetes takes it for a fault of its own and gives none of them up. So
/// there is another node, of which nothing is known but that it is well, until this is dropped.
async fn another_node(cluster: &Cluster) -> JoinSet<()> {
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    let node = json!({"metadata": {"name": "node-2"}, "spec": {"unschedulable": true}});
    let node: Node = serde_json::from_value(node).expect("a node");
    let created = nodes.create(&PostParams::default(), &node).await;
    created.expect("created");
    let mut beating = JoinSet::new();
    beating.spawn(async move {
        loop {
            let now = jiff::Timestamp::now().to_string();
            let ready = json!({"status": {"conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now,
            }]}});
            let beat = Patch::Strategic(&ready);
            let beaten = nodes.patch_status("node-2", &PatchParams::default(), &beat).await;
            beaten.expect("it is there");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    beating
}

/// The kubelet is gone, its containers are not: the holder of a permit keeps it, although its pod is to
/// be deleted, until the node is there again and says that the pod has ended.
pub async fn a_silent_node_keeps_the_permits_of_what_may_still_run(cluster: &Cluster) {
    let namespace = namespace(cluster, "silent").await;
    apply(cluster, &namespace, "breakdown.yaml");
    let first = running(cluster, &namespace, "first").await;
    apply(cluster, &namespace, "breakdown-next.yaml");
    let another = another_node(cluster).await;
    cluster.node().stop_kubelet();
    // The node is given up, and with it the pod: Kubernetes wants it away.
    find(cluster, &namespace, |pods: &[Pod]| {
        pods.iter()
            .any(|pod| pod.uid() == first.uid() && pod.metadata.deletion_timestamp.is_some())
    })
    .await;
    let semaphores = find(cluster, &namespace, |semaphores: &[Semaphore]| {
        !semaphores.is_empty()
    })
    .await;
    assert_eq!(holders(&semaphores), ["first"]);
    assert!(cluster.node().runs(&first, "work"), "it still runs");
    cluster.node().start_kubelet();
    complete(cluster, &namespace, "next").await;
    assert!(!cluster.node().runs(&first, "work"), "it has ended");
    let stored: Vec<Semaphore> = cluster.stored(&namespace).await;
    let most = stored
        .iter()
        .flat_map(|semaphore| &semaphore.status)
        .map(|status| status.in_use);
    assert_eq!(most.max(), Some(1));
    // Whoever comes next finds the node as it was.
    let nodes: Api<Node> = Api::all(cluster.client.clone());
    while !nodes
        .get(node::NAME)
        .await
        .is_ok_and(|node| node::ready(&node) && node.spec.is_some_and(|spec| spec.taints.is_none()))
    {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    drop(another);
    let deleted = nodes.delete("node-2", &DeleteParams::default()).await;
    deleted.expect("it was there");
}
