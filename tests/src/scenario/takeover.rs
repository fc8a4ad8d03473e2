//! Runs by which somebody without rights on Jobs would control the Jobs of others.

use konductor_api::annotation::NONCE;
use serde_json::{Value, json};

use super::attempts::{ADMIN, Attempts, annotated, path, policies, run, send, uninstall};
use super::chart::{client_of, job};
use crate::cluster::Cluster;
use crate::watching::WITHIN;

/// Whoever may not create Jobs neither creates a Run, nor changes what one does, whatever nonce it reads.
pub async fn only_those_who_may_create_jobs_make_a_run(cluster: &Cluster) {
    let namespace = policies(cluster, "takeover", &["--set", ADMIN]).await;
    let mut attempts = Attempts::new(&namespace);
    let words = "may not create jobs.batch, so may not create a Run";
    let mallory = "mallory";
    attempts.create("alice", "creates a run", "runs", &run("r", "n"), "");
    attempts.create(mallory, "creates a run", "runs", &run("mine", "n"), words);
    let plain = json!({"apiVersion": "konductor.io/v1", "kind": "Run",
        "metadata": {"name": "mine"}, "spec": {"pipeline": "p", "jobs": 1}});
    attempts.create(
        mallory,
        "creates one without a nonce",
        "runs",
        &plain,
        words,
    );
    for (what, change) in [
        ("cancels it", json!({"spec": {"cancel": true}})),
        ("pauses it", json!({"spec": {"pause": true}})),
        ("gives it another nonce", annotated(NONCE, "other".into())),
        ("removes its nonce", annotated(NONCE, Value::Null)),
    ] {
        attempts.patch(mallory, what, "runs/r", &change, words);
        attempts.patch("alice", what, "runs/r", &change, "");
    }
    attempts.patch(
        mallory,
        "annotates it",
        "runs/r",
        &annotated("team", "a".into()),
        "",
    );
    attempts.delete(mallory, "deletes it", "runs/r", "");
    attempts.create(mallory, "recreates it", "runs", &run("r", "n"), words);
    attempts.create("alice", "recreates it", "runs", &run("r", "n"), "");
    attempts.patch(
        "operator",
        "changes it",
        "runs/r",
        &annotated(NONCE, "m".into()),
        "",
    );
    attempts.make(cluster).await;
    uninstall(cluster, "takeover", &namespace);
}

/// The bound that docs/security.md names: by default the API server lets whoever may create pods name any controller.
pub async fn whoever_may_create_pods_may_name_a_job_as_their_controller(cluster: &Cluster) {
    let namespace = cluster.namespace("forged-pods").await;
    let answer = forge_a_pod(cluster, &namespace).await;
    answer.expect("it is accepted");
}

/// Creates a pod whose controller is a Job, as a user who may create pods and nothing else.
pub(super) async fn forge_a_pod(cluster: &Cluster, namespace: &str) -> Result<Value, kube::Error> {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "pods"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "pods"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "pods"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "podder"}],
    });
    for (plural, object) in [("roles", role), ("rolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}");
        let made = cluster.client.request::<Value>(send("POST", path, &object));
        made.await.expect("created");
    }
    let jobs = path(namespace, "jobs");
    let hers = serde_json::to_value(job("hers", true, json!({}))).expect("JSON");
    let hers = cluster
        .client
        .request::<Value>(send("POST", jobs, &hers))
        .await;
    let hers = hers.expect("created");
    let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "hers", "controller": true,
        "uid": hers["metadata"]["uid"]});
    let pod = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "forged", "ownerReferences": [owner],
            "labels": hers["spec"]["template"]["metadata"]["labels"]},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}]}});
    let client = client_of(cluster, "podder").await;
    let begun = std::time::Instant::now();
    loop {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let answer = client.request::<Value>(send("POST", path, &pod)).await;
        let learns = |error: &kube::Error| error.to_string().contains("cannot create");
        // The authorizer learns of the role a moment later.
        if !answer.as_ref().is_err_and(learns) || begun.elapsed() > WITHIN {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
