//! Pods that a real API server refuses. The Job controller reports it only in an Event, which the operator may not
//! read.

use k8s_openapi::api::core::v1::Namespace;
use konductor_api::Run;
use konductor_api::condition::{SUCCEEDED, find};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::cases::{ran, written};
use crate::cluster::Cluster;
use crate::operator::Operator;
use crate::watching::until;

/// The Run says which command shows it, and koncli shows it.
pub async fn who_refuses_the_pods_of_a_stage_is_named(cluster: &Cluster) {
    let namespace = cluster.namespace("restricted").await;
    let _operator = Operator::start(cluster, &namespace);
    let restricted = json!({"metadata": {"labels":
        {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    let labelled = namespaces
        .patch(
            &namespace,
            &PatchParams::default(),
            &Patch::Merge(restricted),
        )
        .await;
    labelled.expect("labelled");
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"pipeline orders { defaults { image = "busybox:1.36" }  stage migrate { run = "true" } }"#;
    let file = written(folder.path(), "orders.kon", text);
    let (code, said) = ran(cluster, &namespace, &["apply", &file]).await;
    assert_eq!(code, Some(0), "{said}");
    let expected = "0 of 1 Jobs have ended; stage migrate has no pod: \
                    `kubectl describe job orders-migrate` shows who refuses it";
    until(&cluster.client, &namespace, "orders", |run: &Run| {
        let status = run.status.as_ref();
        let succeeded = status.and_then(|status| find(&status.conditions, SUCCEEDED));
        succeeded.is_some_and(|condition| condition.message == expected)
    })
    .await;
    for arguments in [
        &["status", "orders"][..],
        &["why", "orders", "migrate"],
        &["runs"],
    ] {
        let (_, said) = ran(cluster, &namespace, arguments).await;
        assert!(
            said.contains("its pods are refused: pods \"orders-migrate-"),
            "{arguments:?}: {said}"
        );
        assert!(said.contains("violates PodSecurity"), "{said}");
    }
}
