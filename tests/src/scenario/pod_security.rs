//! Stages in a namespace that enforces a Pod Security Standard.

use std::time::Instant;

use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use konductor_compiler::Object;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Error};
use serde_json::json;

use super::api;
use super::pipeline::compiled;
use crate::cluster::Cluster;
use crate::watching::WITHIN;

/// With `security = "restricted"` its pods are admitted, whatever else the stage has; without it they are not.
pub async fn a_restricted_stage_is_admitted_where_pod_security_is_restricted(cluster: &Cluster) {
    let namespace = cluster.namespace("restricted").await;
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cluster.client.clone());
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
    let labelled = namespaces
        .patch(&namespace, &PatchParams::default(), &patch)
        .await;
    labelled.expect("labelled");
    let account: ServiceAccount =
        serde_json::from_value(json!({"metadata": {"name": "worker"}})).expect("an account");
    let accounts: Api<ServiceAccount> = api(cluster, &namespace);
    let created = accounts.create(&PostParams::default(), &account).await;
    created.expect("an account");
    let pods: Api<Pod> = api(cluster, &namespace);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    // A label takes effect a moment after it is stored.
    let begun = Instant::now();
    while pods.create(&dry_run, &pod_of("")).await.is_ok() {
        assert!(begun.elapsed() < WITHIN, "PodSecurity refuses nothing");
    }
    for (security, admitted) in [
        ("security = \"restricted\"", true),
        ("security = \"baseline\"", false),
        ("", false),
    ] {
        let answer = pods.create(&dry_run, &pod_of(security)).await;
        match answer {
            Ok(_) => assert!(admitted, "{security:?} was admitted"),
            Err(Error::Api(status)) => {
                let words = status.message;
                assert!(
                    !admitted && words.contains("PodSecurity"),
                    "{security:?}: {words}"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// The pod of a stage that has whatever a stage may have.
fn pod_of(security: &str) -> Pod {
    let text = format!(
        r#"pipeline p {{
          workspace data {{ size = 1Gi }}
          stage a {{
            image = "busybox:1.36"
            service-account = "worker"
            resources {{ cpu = 100m, memory = 64Mi }}
            mount data at "/data"
            output rows: int
            {security}
            run = "echo rows=1 > $KON_OUTPUT"
          }}
        }}"#
    );
    let job = compiled(&text).objects().find_map(|object| match object {
        Object::Job(job) => job.spec,
        _ => None,
    });
    let template = job.expect("a Job").template;
    let mut pod = Pod {
        spec: template.spec,
        ..Pod::default()
    };
    pod.metadata.generate_name = Some("a-".to_owned());
    pod
}
