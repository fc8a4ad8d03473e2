//! The Helm chart on a real API server: what it installs, and what its rights and policies allow.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::{Arrival, Barrier, Run, RunPhase, Semaphore};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{api, pipeline};
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::OperatorProcess;
use crate::watching::until;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Helm, built where it is not there yet.
pub(super) fn program() -> PathBuf {
    let script = repository().join("charts/helm");
    let built = Command::new(script).output().expect("charts/helm runs");
    assert!(built.status.success(), "helm is not there: {built:?}");
    let path = String::from_utf8(built.stdout).expect("a path");
    PathBuf::from(path.trim())
}

fn helm(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .current_dir(repository())
        .env("KUBECONFIG", &cluster.kubeconfig)
        .output()
        .expect("helm runs")
}

/// What helm printed, where it succeeded.
fn done(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

const CHART: &str = "charts/konductor";

/// The sets of values that people use.
const VALUES: [&[&str]; 5] = [
    &[],
    &["--set", "watchNamespaces={default}"],
    &[
        "--set",
        "replicas=3,networkPolicy.create=true,metrics.serviceMonitor.create=true",
    ],
    &[
        "--set",
        "crds.install=false,policies.verifiedArrivals=false,policies.suspendedJobs=false,policies.operatorAnnotations=false",
    ],
    &[
        "--set",
        "watchNamespaces={default,kube-public},verbosity=2,extraArgs={--no-headers},podLabels.a=b,\
         nodeSelector.disk=ssd,serviceAccount.name=other,image.tag=v1,networkPolicy.metricsFrom[0].podSelector.matchLabels.app=prometheus",
    ],
];

/// Helm finds nothing to say, and the API server takes all that is rendered.
pub async fn the_chart_lints_and_every_set_of_values_is_accepted(cluster: &Cluster) {
    done(helm(cluster, &["lint", "--strict", CHART]));
    let folder = tempfile::tempdir().expect("a folder");
    for (index, values) in VALUES.iter().enumerate() {
        let mut arguments = vec!["template", "konductor", CHART, "--kube-version", "1.36.0"];
        // Nobody installs the Prometheus operator here.
        arguments.extend(["--namespace", "default", "--no-hooks"]);
        arguments.extend(*values);
        let rendered = done(helm(cluster, &arguments));
        let documents = rendered.split("\n---\n");
        let known: Vec<&str> = documents
            .filter(|one| !one.contains("kind: ServiceMonitor"))
            .collect();
        let file = folder.path().join(format!("{index}.yaml"));
        std::fs::write(&file, known.join("\n---\n")).expect("a file");
        let applied = Command::new(cluster.kubectl())
            .args([
                "apply",
                "--dry-run=server",
                "--server-side",
                "--force-conflicts",
                "-f",
            ])
            .arg(&file)
            .env("KUBECONFIG", &cluster.kubeconfig)
            .output();
        done(applied.expect("kubectl runs"));
    }
    let refused = helm(
        cluster,
        &["template", "konductor", CHART, "--set", "nonsense=1"],
    );
    assert!(String::from_utf8_lossy(&refused.stderr).contains("'nonsense' not allowed"));
}

/// Install, upgrade, rollback, uninstall: what people made stays.
pub async fn the_chart_comes_and_goes_and_leaves_what_people_made(cluster: &Cluster) {
    let namespace = cluster.namespace("chart").await;
    install(
        cluster,
        "comes-and-goes",
        &namespace,
        &["--set", "replicas=2"],
    );
    let semaphore = json!({"metadata": {"name": "mine"}, "spec": {"permits": 3}});
    let semaphore: Semaphore = serde_json::from_value(semaphore).expect("a semaphore");
    let semaphores: Api<Semaphore> = api(cluster, &namespace);
    semaphores
        .create(&PostParams::default(), &semaphore)
        .await
        .expect("created");
    let deployments: Api<Deployment> = api(cluster, &namespace);
    let replicas = || async {
        let found = deployments
            .get("comes-and-goes-konductor")
            .await
            .expect("it is there");
        found.spec.and_then(|spec| spec.replicas)
    };
    assert_eq!(replicas().await, Some(2));
    install(
        cluster,
        "comes-and-goes",
        &namespace,
        &["--set", "replicas=3"],
    );
    assert_eq!(replicas().await, Some(3));
    done(helm(
        cluster,
        &["rollback", "comes-and-goes", "1", "--namespace", &namespace],
    ));
    assert_eq!(replicas().await, Some(2));
    done(helm(
        cluster,
        &["uninstall", "comes-and-goes", "--namespace", &namespace],
    ));
    let found = deployments
        .get_opt("comes-and-goes-konductor")
        .await
        .expect("an answer");
    assert_eq!(found.map(|one| one.metadata.name), None);
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    for crd in konductor_api::crds() {
        let name = crd.metadata.name.expect("a name");
        let found = crds
            .get(&name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.metadata.deletion_timestamp, None, "{name}");
    }
    assert_eq!(
        semaphores
            .get("mine")
            .await
            .expect("still there")
            .spec
            .permits,
        3
    );
}

/// Installs or upgrades a release that works in its own namespace, and in no other.
fn install(cluster: &Cluster, release: &str, namespace: &str, more: &[&str]) {
    let watched = format!("watchNamespaces={{{namespace}}}");
    let mut arguments = vec![
        "upgrade",
        "--install",
        release,
        CHART,
        "--namespace",
        namespace,
    ];
    // The tests' own CRDs are there already, and the same.
    arguments.extend(["--take-ownership", "--set", &watched]);
    arguments.extend(more);
    done(helm(cluster, &arguments));
}

/// A kubeconfig of somebody else.
fn kubeconfig_of(cluster: &Cluster, user: &str) -> PathBuf {
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&text).expect("JSON");
    kubeconfig["users"][0]["user"]["as"] = user.into();
    let path = cluster
        .folder()
        .join(format!("as-{}", user.replace(':', "-")));
    std::fs::write(&path, kubeconfig.to_string()).expect("a file");
    path
}

async fn client_of(cluster: &Cluster, user: &str) -> Client {
    crate::cluster::client(&kubeconfig_of(cluster, user)).await
}

async fn bind(cluster: &Cluster, namespace: &str, user: &str, role: &str) {
    let binding = json!({
        "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    let binding: RoleBinding = serde_json::from_value(binding).expect("a binding");
    let created = api::<RoleBinding>(cluster, namespace)
        .create(&PostParams::default(), &binding)
        .await;
    created.expect("bound");
}

fn job(name: &str, suspended: bool, annotations: Value) -> Job {
    let job = json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"suspend": suspended, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1.36"}],
        }}},
    });
    serde_json::from_value(job).expect("a job")
}

fn refused<T: Debug>(result: Result<T, kube::Error>, words: &str) {
    match result {
        Err(kube::Error::Api(status)) => assert!(
            status.message.contains(words),
            "{words:?} is not in {:?}",
            status.message
        ),
        other => panic!("not refused ({words}): {other:?}"),
    }
}

/// The policies refuse what they should, and let pass what they should.
pub async fn the_api_server_refuses_what_the_charts_policies_forbid(cluster: &Cluster) {
    let namespace = cluster.namespace("policies").await;
    // `admin` plays the operator.
    install(
        cluster,
        "policies",
        &namespace,
        &["--set", "policies.operatorUsers={admin}"],
    );
    for role in ["edit", "policies-konductor-edit", "policies-konductor-view"] {
        bind(cluster, &namespace, "alice", role).await;
    }
    let alice = client_of(cluster, "alice").await;
    let jobs: Api<Job> = Api::namespaced(alice.clone(), &namespace);
    let params = PostParams::default();
    let gate = || json!({"konductor.io/gate": "g"});
    // Policies take effect a moment after they are stored.
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    while jobs
        .create(&dry_run, &job("early", false, gate()))
        .await
        .is_ok()
        || jobs
            .create(
                &dry_run,
                &job(
                    "early",
                    true,
                    json!({"konductor.io/hold": "lease/a", "konductor.io/phase": "Running"}),
                ),
            )
            .await
            .is_ok()
    {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    refused(
        jobs.create(&params, &job("early", false, gate())).await,
        "spec.suspend: true",
    );
    let hold = json!({"konductor.io/hold": "lease/a"});
    refused(
        jobs.create(&params, &job("early", false, hold)).await,
        "spec.suspend: true",
    );
    jobs.create(&params, &job("free", false, json!({})))
        .await
        .expect("not coordinated");
    jobs.create(&params, &job("waits", true, gate()))
        .await
        .expect("it begins suspended");

    let merge = |body: Value| Patch::Merge(body);
    let patch = PatchParams::default();
    let words = "written by the operator only";
    for key in ["phase", "reason", "outputs"] {
        let key = format!("konductor.io/{key}");
        let forged = merge(json!({"metadata": {"annotations": {key: "Complete"}}}));
        refused(jobs.patch("waits", &patch, &forged).await, words);
        refused(jobs.patch("free", &patch, &forged).await, words);
    }
    let labels = merge(json!({"metadata": {"labels": {"team": "etl"}}}));
    jobs.patch("waits", &patch, &labels)
        .await
        .expect("labels are theirs");

    let operator: Api<Job> = api(cluster, &namespace);
    let start = merge(json!({
        "metadata": {"annotations": {"konductor.io/phase": "Running"}}, "spec": {"suspend": false},
    }));
    operator
        .patch("waits", &patch, &start)
        .await
        .expect("the operator starts it");
    let suspend = merge(json!({"spec": {"suspend": true}}));
    refused(
        jobs.patch("waits", &patch, &suspend).await,
        "the Job was started",
    );
    jobs.patch("free", &patch, &suspend)
        .await
        .expect("not coordinated");
    let pause = merge(json!({
        "metadata": {"annotations": {"konductor.io/phase": "Paused"}}, "spec": {"suspend": true},
    }));
    operator
        .patch("waits", &patch, &pause)
        .await
        .expect("the operator pauses it");

    approvals(cluster, &namespace, &alice).await;
    done(helm(
        cluster,
        &["uninstall", "policies", "--namespace", &namespace],
    ));
}

async fn approvals(cluster: &Cluster, namespace: &str, alice: &Client) {
    let spec = json!({"expected": 1, "arrivals": "Verified"});
    let barrier = json!({"metadata": {"name": "release"}, "spec": spec});
    let barrier: Barrier = serde_json::from_value(barrier).expect("a barrier");
    let params = PostParams::default();
    api::<Barrier>(cluster, namespace)
        .create(&params, &barrier)
        .await
        .expect("created");
    let arrivals: Api<Arrival> = Api::namespaced(alice.clone(), namespace);
    let arrival = |name: &str, holder: &str, verified: bool| -> Arrival {
        let spec = json!({"barrier": "release", "holder": holder, "verified": verified});
        let arrival = json!({"metadata": {"name": name}, "spec": spec});
        serde_json::from_value(arrival).expect("an arrival")
    };
    let own = || arrival("own", "alice", true);
    refused(
        arrivals.create(&params, &own()).await,
        "alice may not approve",
    );
    arrivals
        .create(&params, &arrival("plain", "bob", false))
        .await
        .expect("it does not count");
    bind(cluster, namespace, "alice", "policies-konductor-approve").await;
    // The authorizer learns of it a moment later.
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    while arrivals.create(&dry_run, &own()).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    refused(
        arrivals
            .create(&params, &arrival("forged", "bob", true))
            .await,
        "one's own",
    );
    arrivals.create(&params, &own()).await.expect("she may");
}

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

/// Each role allows what it is for, and nothing else; nobody but the operator writes a ledger.
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
        if may(cluster, &namespace, user, verb, resource).await != allowed {
            wrong.push(format!("{role} {verb} {resource}: expected {allowed}"));
        }
        if may(cluster, &other, user, verb, resource).await {
            wrong.push(format!("{role} {verb} {resource} in another namespace"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    done(helm(
        cluster,
        &["uninstall", "rights", "--namespace", &namespace],
    ));
}

async fn may(cluster: &Cluster, namespace: &str, user: &str, verb: &str, resource: &str) -> bool {
    let (resource, group) = match resource.split_once('.') {
        Some((resource, group)) => (resource, group),
        None if matches!(resource, "pods" | "secrets" | "configmaps") => (resource, ""),
        None => (resource, "konductor.io"),
    };
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (resource, None),
    };
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(user.to_owned()),
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                verb: Some(verb.to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
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

/// With the rights of the chart, and no others, the operator runs a pipeline to its end.
pub async fn the_operator_needs_no_right_that_the_chart_does_not_give(cluster: &Cluster) {
    let namespace = cluster.namespace("operator-rights").await;
    install(cluster, "needs", &namespace, &[]);
    let operator = format!("system:serviceaccount:{namespace}:needs-konductor");
    let kubeconfig = kubeconfig_of(cluster, &operator);
    let running = OperatorProcess::start_leading(&kubeconfig, &namespace);
    let kubelet = play(&cluster.client, &namespace, |_| {
        Script::with_outputs("rows=1\n")
    });
    let manifests = pipeline::compiled(PIPELINE);
    pipeline::create(cluster, &namespace, &manifests).await;
    let ended = |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|one| one.phase == RunPhase::Succeeded)
    };
    until(&cluster.client, &namespace, "rights", ended).await;
    the_doctor_is_content(cluster, &namespace);
    drop((running, kubelet));
    done(helm(
        cluster,
        &["uninstall", "needs", "--namespace", &namespace],
    ));
}

/// `koncli doctor` where all is as it should be: it only names the operator that leads, by itself.
fn the_doctor_is_content(cluster: &Cluster, namespace: &str) {
    let told = Command::new(crate::built::koncli())
        .args(["doctor", "--namespace", namespace, "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .output()
        .expect("koncli runs");
    let text = String::from_utf8_lossy(&told.stdout);
    let levels: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("  "))
        .map(|(level, _)| level.trim())
        .collect();
    assert_eq!(levels, ["ok"; 5], "{text}");
}
