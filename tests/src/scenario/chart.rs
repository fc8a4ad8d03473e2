//! The Helm chart on a real API server: what it installs, and what its policies refuse.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::{Arrival, Barrier, Semaphore};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::api;
use crate::cluster::Cluster;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Helm, built where it is not there yet.
pub fn program() -> PathBuf {
    let script = repository().join("charts/helm");
    let built = Command::new(script).output().expect("charts/helm runs");
    assert!(built.status.success(), "helm is not there: {built:?}");
    let path = String::from_utf8(built.stdout).expect("a path");
    PathBuf::from(path.trim())
}

pub(super) fn helm(cluster: &Cluster, arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .current_dir(repository())
        .env("KUBECONFIG", &cluster.kubeconfig)
        .output()
        .expect("helm runs")
}

/// What helm printed, where it succeeded.
pub(super) fn done(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The `kind/name` of each object that helm renders.
pub(super) fn rendered(cluster: &Cluster, arguments: &[&str]) -> Vec<String> {
    let text = done(helm(cluster, arguments));
    let documents = text.split("\n---\n").filter_map(|document| {
        let mut lines = document.lines();
        let kind = lines.find_map(|line| line.strip_prefix("kind: "))?;
        let mut lines = lines.skip_while(|line| *line != "metadata:");
        let name = lines.find_map(|line| line.strip_prefix("  name: "))?;
        Some(format!("{kind}/{}", name.trim_matches('"')))
    });
    documents.collect()
}

const CHART: &str = "charts/konductor";

/// The sets of values that people use.
const VALUES: [&[&str]; 5] = [
    &[],
    &["--set", "watchNamespaces={default}"],
    &[
        "--set",
        "replicas=3,networkPolicy.create=true,metrics.serviceMonitor.create=true,\
         metrics.rules.enabled=true,metrics.dashboard.enabled=true",
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

/// `koncli install --dry-run` is fresh, and a real API server takes it, runs the operator's rights by it,
/// and is left without it.
pub async fn what_koncli_installs_is_what_the_chart_installs(cluster: &Cluster) {
    let rendered = Command::new(repository().join("charts/rendered")).output();
    let rendered = done(rendered.expect("charts/rendered runs"));
    let kept = std::fs::read_to_string(repository().join("koncli/install.yaml"));
    assert!(
        kept.expect("koncli/install.yaml") == rendered,
        "koncli/install.yaml is not what the chart installs: run charts/generate"
    );
    let koncli = |arguments: &[&str]| {
        let printed = Command::new(crate::built::koncli())
            .args(arguments)
            .arg("--kubeconfig")
            .arg(&cluster.kubeconfig)
            .args(["--namespace", "by-koncli"])
            .output();
        let printed = printed.expect("koncli runs");
        assert!(printed.status.success(), "{printed:?}");
        String::from_utf8(printed.stderr).expect("text")
    };
    for _ in 0..2 {
        koncli(&["install", "--replicas", "0"]);
    }
    let deployments: Api<Deployment> = Api::namespaced(cluster.client.clone(), "by-koncli");
    let installed = deployments.get("konductor").await.expect("a Deployment");
    assert_eq!(installed.spec.and_then(|spec| spec.replicas), Some(0));
    let printed = koncli(&["uninstall"]);
    assert!(
        printed.starts_with("deployment/konductor deleted\n"),
        "{printed}"
    );
    let gone = deployments.get_opt("konductor").await.expect("an answer");
    assert!(gone.is_none_or(|deployment| deployment.metadata.deletion_timestamp.is_some()));
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    assert!(crds.get("runs.konductor.io").await.is_ok(), "CRDs stay");
    assert_eq!(
        koncli(&["uninstall"]),
        "nothing is installed in namespace by-koncli\n"
    );
}

/// Helm finds nothing to say, and the API server takes all that is rendered.
pub async fn the_chart_lints_and_every_set_of_values_is_accepted(cluster: &Cluster) {
    done(helm(cluster, &["lint", "--strict", CHART]));
    let folder = tempfile::tempdir().expect("a folder");
    for (index, values) in VALUES.iter().enumerate() {
        let mut arguments = vec!["template", "konductor", CHART, "--kube-version", "1.36.0"];
        arguments.extend(["--namespace", "default", "--no-hooks"]);
        arguments.extend(*values);
        let rendered = done(helm(cluster, &arguments));
        let documents = rendered.split("\n---\n");
        // Nobody installs the Prometheus operator here.
        let documents: Vec<&str> = documents
            .filter(|document| !document.contains("apiVersion: monitoring.coreos.com/"))
            .collect();
        let file = folder.path().join(format!("{index}.yaml"));
        std::fs::write(&file, documents.join("\n---\n")).expect("a file");
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
        let deployment = deployments
            .get("comes-and-goes-konductor")
            .await
            .expect("it is there");
        deployment.spec.and_then(|spec| spec.replicas)
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
    let deployment = deployments
        .get_opt("comes-and-goes-konductor")
        .await
        .expect("an answer");
    assert_eq!(deployment.map(|deployment| deployment.metadata.name), None);
    let crds: Api<CustomResourceDefinition> = Api::all(cluster.client.clone());
    for crd in konductor_api::crds() {
        let name = crd.metadata.name.expect("a name");
        let stored = crds
            .get(&name)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(stored.metadata.deletion_timestamp, None, "{name}");
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
pub(super) fn install(cluster: &Cluster, release: &str, namespace: &str, more: &[&str]) {
    let watched = format!("watchNamespaces={{{namespace}}}");
    let mut arguments = vec![
        "upgrade",
        "--install",
        release,
        CHART,
        "--namespace",
        namespace,
    ];
    // The tests' own CRDs already exist, and are the same.
    arguments.extend(["--take-ownership", "--set", &watched]);
    arguments.extend(more);
    done(helm(cluster, &arguments));
}

/// A kubeconfig of somebody else.
pub(super) fn kubeconfig_of(cluster: &Cluster, user: &str) -> PathBuf {
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&text).expect("JSON");
    kubeconfig["users"][0]["user"]["as"] = user.into();
    let path = cluster
        .folder()
        .join(format!("as-{}", user.replace(':', "-")));
    // Scenarios beside this one read it meanwhile.
    let own = tempfile::NamedTempFile::new_in(cluster.folder()).expect("a file");
    std::fs::write(own.path(), kubeconfig.to_string()).expect("a file");
    own.persist(&path).expect("a file");
    path
}

/// A kubeconfig with a token of a service account, as a pod has one.
pub(super) fn token_of(cluster: &Cluster, namespace: &str, account: &str) -> PathBuf {
    let made = Command::new(cluster.kubectl())
        .args(["create", "token", account, "--namespace", namespace])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .output();
    let token = done(made.expect("kubectl runs"));
    let text = std::fs::read_to_string(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_str(&text).expect("JSON");
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let path = cluster.folder().join(format!("token-of-{account}"));
    std::fs::write(&path, kubeconfig.to_string()).expect("a file");
    path
}

pub(super) async fn client_of(cluster: &Cluster, user: &str) -> Client {
    crate::cluster::client(&kubeconfig_of(cluster, user)).await
}

pub(super) async fn bind(cluster: &Cluster, namespace: &str, user: &str, role: &str) {
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

pub(super) fn job(name: &str, suspended: bool, annotations: Value) -> Job {
    let job = json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {"suspend": suspended, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1.36"}],
        }}},
    });
    serde_json::from_value(job).expect("a job")
}

pub(super) fn refused<T: Debug>(result: Result<T, kube::Error>, words: &str) {
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
    let refuses = async |job: Job, words: &str| {
        let answer = jobs.create(&dry_run, &job).await;
        matches!(answer, Err(kube::Error::Api(status)) if status.message.contains(words))
    };
    let started = json!({"konductor.io/hold": "lease/a", "konductor.io/phase": "Running"});
    while !refuses(job("early", false, gate()), "spec.suspend: true").await
        || !refuses(
            job("early", true, started.clone()),
            "written by the operator only",
        )
        .await
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
    let born = |phase: &str, more: Value| {
        let mut annotations = json!({"konductor.io/gate": "g", "konductor.io/phase": phase});
        annotations["konductor.io/reason"] = "when is false".into();
        if let (Some(all), Value::Object(more)) = (annotations.as_object_mut(), more) {
            all.extend(more);
        }
        job(&format!("born-{}", phase.to_lowercase()), true, annotations)
    };
    for (phase, more) in [
        ("Complete", json!({})),
        ("Queued", json!({})),
        ("Skipped", json!({"konductor.io/outputs": "{}"})),
    ] {
        refused(jobs.create(&params, &born(phase, more)).await, words);
    }
    refused(
        jobs.create(&params, &born("Skipped", json!({}))).await,
        words,
    );
    let mut skipped = born("Skipped", json!({}));
    let run = ("konductor.io/run".to_owned(), "r".to_owned());
    skipped.metadata.labels = Some([run].into());
    jobs.create(&params, &skipped)
        .await
        .expect("a stage that its pipeline skips");
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
