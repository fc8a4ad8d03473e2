//! Owners that only somebody with the right to delete may set.

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Barrier, BarrierPhase, Run, RunPhase};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::api;
use super::chart::{done, helm, install, token_of};
use super::outage::make;
use super::pipeline::{compiled, create_alone, until_ended};
use super::takeover::forge_a_pod;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::OperatorProcess;
use crate::watching::until;

const PIPELINE: &str = r#"
pipeline plain {
  defaults { image = "busybox:1.36" }
  stage one { run = "true" }
  stage two after one { run = "true" }
}
"#;

/// A run that `koncli compile FILE | kubectl create -f -` has made, and an Arrival that kubectl has made, with the rights
/// of the chart's `rbac.ownerReferences`, or by default without them.
pub async fn what_kubectl_has_made_ends_although_owners_are_enforced(
    cluster: &Cluster,
    with_the_right: bool,
) {
    let namespace = cluster.namespace("owners").await;
    let right = format!("rbac.ownerReferences={with_the_right}");
    install(cluster, "owners", &namespace, &["--set", &right]);
    refuses_owners(cluster, &namespace).await;
    // The plugin looks at changes of owners only: docs/security.md says so.
    let forged = forge_a_pod(cluster, &namespace).await;
    forged.expect("it is accepted");
    let kubeconfig = token_of(cluster, &namespace, "owners-konductor");
    let operator = OperatorProcess::start_leading(&kubeconfig, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    create_alone(cluster, &namespace, &compiled(PIPELINE)).await;
    let run: Run = until_ended(cluster, &namespace, "plain").await;
    assert_eq!(
        run.status.map(|status| status.phase),
        Some(RunPhase::Succeeded)
    );
    let jobs = api::<Job>(cluster, &namespace);
    let of_run = ListParams::default().labels("konductor.io/run=plain");
    let jobs = jobs.list(&of_run).await.expect("jobs").items;
    let owned = jobs.iter().filter(|job| {
        let mut owners = job.owner_references().iter();
        owners.any(|owner| owner.kind == "Run")
    });
    // Without the right the plugin refuses each adoption; nothing else depends on one.
    let expected = if with_the_right { jobs.len() } else { 0 };
    assert_eq!((jobs.len(), owned.count()), (2, expected));
    make(
        cluster,
        &namespace,
        "Barrier",
        "meet",
        json!({"expected": 1}),
    )
    .await;
    let arrival = json!({"barrier": "meet", "holder": "somebody"});
    make(cluster, &namespace, "Arrival", "somebody", arrival).await;
    until(&cluster.client, &namespace, "meet", |barrier: &Barrier| {
        let status = barrier.status.as_ref();
        status.is_some_and(|status| status.phase == BarrierPhase::Open)
    })
    .await;
    drop(operator);
    done(helm(
        cluster,
        &["uninstall", "owners", "--namespace", &namespace],
    ));
}

/// The plugin is on: who may patch a Barrier, and not delete one, can't give it an owner.
async fn refuses_owners(cluster: &Cluster, namespace: &str) {
    make(
        cluster,
        namespace,
        "Barrier",
        "mine",
        json!({"expected": 1}),
    )
    .await;
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "patches"},
        "rules": [{"apiGroups": ["konductor.io"], "resources": ["barriers"], "verbs": ["get", "patch"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "patches"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "patches"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "patcher"}],
    });
    for (plural, object) in [("roles", role), ("rolebindings", binding)] {
        let path = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/{plural}");
        let request = http::Request::post(path).body(object.to_string().into_bytes());
        let request = request.expect("a request");
        let made = cluster.client.request::<serde_json::Value>(request).await;
        made.expect("created");
    }
    let client = super::chart::client_of(cluster, "patcher").await;
    let barriers: Api<Barrier> = Api::namespaced(client, namespace);
    let owner = json!({"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "u"});
    let owned = Patch::Merge(json!({"metadata": {"ownerReferences": [owner]}}));
    let begun = std::time::Instant::now();
    loop {
        let answer = barriers
            .patch("mine", &PatchParams::default(), &owned)
            .await;
        match answer {
            Err(kube::Error::Api(status)) if status.message.contains("cannot set an ownerRef") => {
                return;
            }
            // The authorizer learns of the role a moment later.
            other => assert!(begun.elapsed() < crate::watching::WITHIN, "{other:?}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
