//! The rights that the chart gives: what each role is allowed, tried for real, and what the operator
//! uses, by the API server's audit log.

use std::collections::BTreeSet;
use std::process::Command;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::rbac::v1::Role;
use konductor_api::{Barrier, Claim, ClaimPhase, Gate, Run, RunPhase, annotation};
use kube::api::{Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use super::chart::{bind, client_of, done, helm, install, job, token_of};
use super::outage::make;
use super::{api, pipeline};
use crate::cluster::{Cluster, right};
use crate::kubelet::{Script, play};
use crate::operator::OperatorProcess;
use crate::watching::{WITHIN, until};

/// Who may do what: role, verb, resource, and whether.
const RIGHTS: [(&str, &str, &str, bool); 66] = [
    ("participant", "get", "barriers", true),
    ("participant", "watch", "gates", true),
    ("participant", "list", "semaphores", true),
    ("participant", "watch", "leases", true),
    ("participant", "watch", "runs", true),
    ("participant", "create", "claims", true),
    ("participant", "patch", "claims", true),
    ("participant", "delete", "claims", true),
    ("participant", "watch", "claims", true),
    ("participant", "create", "arrivals", true),
    ("participant", "get", "arrivals", true),
    ("participant", "delete", "arrivals", false),
    ("participant", "create", "barriers", false),
    ("participant", "patch", "gates", false),
    ("participant", "patch", "semaphores", false),
    ("participant", "delete", "leases", false),
    ("participant", "patch", "runs", false),
    ("participant", "patch", "claims/status", false),
    ("participant", "update", "semaphores/status", false),
    ("participant", "update", "leases/status", false),
    ("participant", "approve", "barriers", false),
    ("participant", "get", "jobs.batch", false),
    ("participant", "get", "pods", false),
    ("participant", "get", "secrets", false),
    ("view", "list", "barriers", true),
    ("view", "list", "gates", true),
    ("view", "list", "semaphores", true),
    ("view", "list", "leases", true),
    ("view", "list", "claims", true),
    ("view", "list", "arrivals", true),
    ("view", "watch", "runs", true),
    ("view", "create", "claims", false),
    ("view", "create", "arrivals", false),
    ("view", "patch", "runs", false),
    ("view", "approve", "barriers", false),
    ("edit", "create", "barriers", true),
    ("edit", "delete", "gates", true),
    ("edit", "patch", "semaphores", true),
    ("edit", "update", "semaphores/scale", true),
    ("edit", "create", "leases", true),
    ("edit", "patch", "runs", true),
    ("edit", "create", "arrivals", true),
    ("edit", "delete", "claims", true),
    ("edit", "update", "semaphores/status", false),
    ("edit", "update", "leases/status", false),
    ("edit", "patch", "gates/status", false),
    ("edit", "patch", "claims/status", false),
    ("edit", "approve", "barriers", false),
    ("approve", "approve", "barriers", true),
    ("approve", "patch", "barriers", false),
    ("operator", "update", "semaphores/status", true),
    ("operator", "update", "runs/status", true),
    ("operator", "patch", "claims/status", true),
    ("operator", "patch", "jobs.batch", true),
    ("operator", "watch", "pods", true),
    ("operator", "create", "arrivals", true),
    ("operator", "create", "claims", false),
    ("operator", "patch", "semaphores", false),
    ("operator", "delete", "jobs.batch", false),
    ("operator", "create", "jobs.batch", false),
    ("operator", "create", "pods", false),
    ("operator", "delete", "pods", false),
    ("operator", "approve", "barriers", false),
    ("operator", "get", "secrets", false),
    ("operator", "get", "configmaps", false),
    (
        "operator",
        "create",
        "rolebindings.rbac.authorization.k8s.io",
        false,
    ),
];

/// Each role allows what it is for, and nothing else; nobody but the operator writes a ledger. The API
/// server is asked, and then each of it is tried.
pub async fn each_role_allows_what_it_is_for_and_nothing_else(cluster: &Cluster) {
    let namespace = cluster.namespace("rights").await;
    let other = cluster.namespace("rights-elsewhere").await;
    install(cluster, "rights", &namespace, &[]);
    for role in ["participant", "view", "edit", "approve"] {
        bind(
            cluster,
            &namespace,
            role,
            &format!("rights-konductor-{role}"),
        )
        .await;
    }
    let operator = format!("system:serviceaccount:{namespace}:rights-konductor");
    let mut wrong = Vec::new();
    for (role, verb, resource, allowed) in RIGHTS {
        let user = if role == "operator" { &operator } else { role };
        let client = client_of(cluster, user).await;
        if may(cluster, &namespace, user, verb, resource).await != allowed {
            wrong.push(format!("{role} {verb} {resource}: expected {allowed}"));
        }
        if may(cluster, &other, user, verb, resource).await {
            wrong.push(format!("{role} {verb} {resource} in another namespace"));
        }
        for (place, allowed) in [(&namespace, allowed), (&other, false)] {
            if let Some(status) = attempt(&client, place, verb, resource).await
                && (status != 403) != allowed
            {
                wrong.push(format!(
                    "{role} {verb} {resource} in {place} is answered {status}"
                ));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    done(helm(
        cluster,
        &["uninstall", "rights", "--namespace", &namespace],
    ));
}

/// `claims/status` or `jobs.batch` as resource, group and subresource.
fn parts(resource: &str) -> (&str, &str, Option<&str>) {
    let (resource, group) = match resource.split_once('.') {
        Some((resource, group)) => (resource, group),
        None if matches!(resource, "pods" | "secrets" | "configmaps") => (resource, ""),
        None => (resource, "konductor.io"),
    };
    match resource.split_once('/') {
        Some((resource, subresource)) => (resource, group, Some(subresource)),
        None => (resource, group, None),
    }
}

/// Does it, without an effect; the status of the answer. Of a verb without a request, none.
async fn attempt(client: &Client, namespace: &str, verb: &str, resource: &str) -> Option<u16> {
    let (resource, group, subresource) = parts(resource);
    let root = match group {
        "" => "/api/v1".to_owned(),
        "rbac.authorization.k8s.io" | "konductor.io" | "batch" => format!("/apis/{group}/v1"),
        other => panic!("no version of {other} is known here"),
    };
    let all = format!("{root}/namespaces/{namespace}/{resource}");
    let object_path = match subresource {
        Some(subresource) => format!("{all}/nobody/{subresource}"),
        None => format!("{all}/nobody"),
    };
    let (method, path) = match verb {
        "get" => ("GET", object_path),
        "list" => ("GET", all),
        "watch" => ("GET", format!("{all}?watch=true&timeoutSeconds=1")),
        "create" => ("POST", format!("{all}?dryRun=All")),
        "update" => ("PUT", format!("{object_path}?dryRun=All")),
        "patch" => ("PATCH", format!("{object_path}?dryRun=All")),
        "delete" => ("DELETE", format!("{object_path}?dryRun=All")),
        _ => return None,
    };
    let media = match verb {
        "patch" => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", media)
        .body(Body::from(b"{}".to_vec()));
    let answer = client.send(request.expect("a request")).await;
    Some(answer.expect("an answer").status().as_u16())
}

async fn may(cluster: &Cluster, namespace: &str, user: &str, verb: &str, resource: &str) -> bool {
    let (resource, group, subresource) = parts(resource);
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.client.clone());
    let answer = reviews
        .create(&PostParams::default(), &review)
        .await
        .expect("an answer");
    answer.status.is_some_and(|status| status.allowed)
}

const PIPELINE: &str = r#"
pipeline rights {
  semaphore slots { permits = 1 }
  lease ledger { ttl = 1m }
  defaults { image = "busybox:1.36" }
  stage one for item in ["a", "b"] holding slots { run = "true" }
  stage two after one holding ledger { run = "echo rows=1 >> \"$KON_OUTPUT\"", output rows: int }
  stage three { run = "echo ${two.rows}" }
  finally stage last { run = "true" }
}
"#;

/// With the rights of the chart, and no others, the operator does all that it is for; and there is no
/// right that it does not use, by the API server's own log.
pub async fn the_operator_uses_each_right_of_the_chart_and_no_other(cluster: &Cluster) {
    let namespace = cluster.namespace("operator-rights").await;
    install(cluster, "needs", &namespace, &[]);
    let kubeconfig = token_of(cluster, &namespace, "needs-konductor");
    let running = OperatorProcess::start_leading(&kubeconfig, &namespace);
    let kubelet = play(&cluster.client, &namespace, |_| {
        Script::with_outputs("rows=1\n")
    });
    let manifests = pipeline::compiled(PIPELINE);
    pipeline::create(cluster, &namespace, &manifests).await;
    let ended = |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.phase == RunPhase::Succeeded)
    };
    until(&cluster.client, &namespace, "rights", ended).await;
    the_doctor_is_content(cluster, &namespace);
    everything_else(cluster, &namespace).await;
    drop((running, kubelet));
    // Nobody can read the log of a cluster that was there before.
    if let Some(used) = cluster.used_rights(&namespace, "needs-konductor") {
        let mut granted = given(cluster, &namespace, "needs-konductor-operator").await;
        granted.extend(given(cluster, &namespace, "needs-konductor-leader").await);
        let unused: Vec<&String> = granted.difference(&used).collect();
        let missing: Vec<&String> = used.difference(&granted).collect();
        assert_eq!((unused, missing), (vec![], vec![]), "unused, and missing");
    }
    done(helm(
        cluster,
        &["uninstall", "needs", "--namespace", &namespace],
    ));
}

/// What a Role gives, as [`Cluster::used_rights`] has it.
async fn given(cluster: &Cluster, namespace: &str, role: &str) -> BTreeSet<String> {
    let role = api::<Role>(cluster, namespace).get(role).await;
    let rules = role.expect("a role").rules.unwrap_or_default();
    let rights = rules.iter().flat_map(|rule| {
        let groups = rule.api_groups.iter().flatten();
        groups.flat_map(move |group| {
            let resources = rule.resources.iter().flatten();
            resources.flat_map(move |resource| {
                let verbs = rule.verbs.iter();
                verbs.map(move |verb| right(verb, group, resource))
            })
        })
    });
    rights.collect()
}

/// What a pipeline does not need: Claims that end in each way, Arrivals and owners of what kubectl has
/// made, and an end after a while.
async fn everything_else(cluster: &Cluster, namespace: &str) {
    let client = cluster.konductor(namespace);
    let permit = client
        .semaphore("rights-slots")
        .holder("one")
        .acquire()
        .await;
    permit.expect("a permit").release().await.expect("held");
    make(
        cluster,
        namespace,
        "Semaphore",
        "three",
        json!({"permits": 3}),
    )
    .await;
    // The second one that expires is reported by the Event of the first.
    for (name, ttl, pod) in [
        ("brief", "1s", None),
        ("longer", "3s", None),
        (
            "of-a-pod",
            "1h",
            Some(json!({"name": "nobody", "uid": "0"})),
        ),
    ] {
        let target = json!({"kind": "Semaphore", "name": "three"});
        let claim = json!({"target": target, "holder": name, "ttl": ttl, "pod": pod});
        make(cluster, namespace, "Claim", name, claim).await;
    }
    for name in ["brief", "longer", "of-a-pod"] {
        until(&cluster.client, namespace, name, |claim: &Claim| {
            let status = claim.status.as_ref();
            status.is_some_and(|status| status.phase == ClaimPhase::Expired)
        })
        .await;
    }
    let barrier = json!({"expected": 2, "ttlAfterFinished": "1s"});
    labelled(cluster, namespace, "Barrier", "by-hand", barrier).await;
    let open = json!({"type": "Barrier", "name": "by-hand", "state": "Open"});
    let gate = json!({"conditions": [open], "ttlAfterFinished": "1s"});
    labelled(cluster, namespace, "Gate", "by-hand", gate).await;
    let arrives = job("arrives", false, json!({"konductor.io/arrive": "by-hand"}));
    let jobs = api::<Job>(cluster, namespace);
    let created = jobs.create(&PostParams::default(), &arrives).await;
    created.expect("created");
    let kept = json!({"konductor.io/completed-indexes": "0"});
    let mut again = job("again", true, kept);
    let spec = again.spec.as_mut().expect("a spec");
    spec.completion_mode = Some("Indexed".to_owned());
    spec.completions = Some(2);
    let created = jobs.create(&PostParams::default(), &again).await;
    created.expect("created");
    until(&cluster.client, namespace, "again", |job: &Job| {
        let status = job.status.as_ref();
        status.is_some_and(|status| status.completed_indexes.as_deref() == Some("0,1"))
    })
    .await;
    let arrival = json!({"barrier": "by-hand", "holder": "somebody"});
    make(cluster, namespace, "Arrival", "somebody", arrival).await;
    gone::<Gate>(cluster, namespace, "by-hand").await;
    gone::<Barrier>(cluster, namespace, "by-hand").await;
    let runs = api::<Run>(cluster, namespace);
    let soon = json!({"spec": {"ttlAfterFinished": "1s"}});
    let patched = runs
        .patch("rights", &PatchParams::default(), &Patch::Merge(soon))
        .await;
    patched.expect("patched");
    gone::<Run>(cluster, namespace, "rights").await;
}

/// Makes what belongs to the Run as kubectl does it: by its label and its nonce.
async fn labelled(cluster: &Cluster, namespace: &str, kind: &str, name: &str, spec: Value) {
    make(cluster, namespace, kind, name, spec).await;
    let plural = format!("{}s", kind.to_lowercase());
    let path = format!("/apis/konductor.io/v1/namespaces/{namespace}/{plural}/{name}");
    let run = api::<Run>(cluster, namespace).get("rights").await;
    let nonce = run
        .expect("a Run")
        .annotations()
        .get(annotation::NONCE)
        .cloned();
    let label = json!({"metadata": {
        "labels": {"konductor.io/run": "rights"},
        "annotations": {annotation::NONCE: nonce.expect("it is compiled")},
    }});
    let request = http::Request::patch(path)
        .header("content-type", "application/merge-patch+json")
        .body(label.to_string().into_bytes());
    let answer = cluster
        .client
        .request::<Value>(request.expect("a request"))
        .await;
    answer.expect("labelled");
}

async fn gone<K>(cluster: &Cluster, namespace: &str, name: &str)
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = api(cluster, namespace);
    let gone = await_condition(api.clone(), name, |object: Option<&K>| object.is_none());
    let gone = tokio::time::timeout(WITHIN, gone).await;
    assert!(
        gone.is_ok(),
        "it is still there: {:#?}",
        api.get_opt(name).await
    );
}

/// `koncli doctor` where all is as it should be: it only names the operator that leads, by itself.
fn the_doctor_is_content(cluster: &Cluster, namespace: &str) {
    let printed = Command::new(crate::built::koncli())
        .args(["doctor", "--namespace", namespace, "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .output()
        .expect("koncli runs");
    let text = String::from_utf8_lossy(&printed.stdout);
    let levels: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(level, _)| level.trim())
        .collect();
    assert_eq!(levels, ["ok"; 5], "{text}");
}
