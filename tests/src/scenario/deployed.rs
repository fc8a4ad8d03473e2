//! konductor as the chart deploys it, on a real node: what its scenarios share.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{ListParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::api;
use super::chart::{done, helm};
use crate::cluster::Cluster;

/// Where the operator is.
pub(crate) const SYSTEM: &str = "konductor-system";
/// How long something may take where images are unpacked and probes are waited for.
pub(crate) const WITHIN: Duration = Duration::from_secs(300);

/// Installs the chart as its README says, and waits until both operators are ready.
pub async fn deploy(cluster: &Cluster) {
    done(helm(
        cluster,
        &[
            "install",
            "konductor",
            "charts/konductor",
            "--namespace",
            SYSTEM,
            "--create-namespace",
            "--wait",
        ],
    ));
}

/// `helm test`: a pod takes part with the participant's role.
pub async fn the_chart_s_own_test_passes(cluster: &Cluster) {
    done(helm(
        cluster,
        &[
            "test",
            "konductor",
            "--namespace",
            SYSTEM,
            "--timeout",
            "2m",
        ],
    ));
}

/// A namespace whose pods may use koncli.
pub(crate) async fn namespace(cluster: &Cluster, purpose: &str) -> String {
    let namespace = cluster.namespace(purpose).await;
    let binding = json!({
        "metadata": {"name": "koncli"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "konductor-participant",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}],
    });
    let binding: RoleBinding = serde_json::from_value(binding).expect("a binding");
    let bindings: Api<RoleBinding> = api(cluster, &namespace);
    let bound = bindings.create(&PostParams::default(), &binding).await;
    bound.expect("bound");
    find(cluster, &namespace, |accounts: &[ServiceAccount]| {
        accounts
            .iter()
            .any(|account| account.name_any() == "default")
    })
    .await;
    namespace
}

/// Runs kubectl in a namespace; what it printed.
pub(crate) fn kubectl(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> String {
    run(cluster, &cluster.kubectl(), namespace, arguments, &[])
}

/// Runs koncli in a namespace, as it is in the image; what it printed.
pub(crate) fn koncli(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> String {
    koncli_with(cluster, namespace, arguments, &[])
}

/// Does the same, with variables.
pub(crate) fn koncli_with(
    cluster: &Cluster,
    namespace: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> String {
    let program = cluster.folder().join("images/konductor/usr/bin/koncli");
    run(cluster, &program, namespace, arguments, variables)
}

fn run(
    cluster: &Cluster,
    program: &Path,
    namespace: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> String {
    let ran: Output = Command::new(program)
        .args(arguments)
        .args(["--namespace", namespace])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .envs(variables.iter().copied())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    let (printed, errors) = (
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr),
    );
    assert!(
        ran.status.success(),
        "{} {arguments:?}: {}\n{printed}{errors}",
        program.display(),
        ran.status
    );
    printed.into_owned()
}

/// A file of `tests/node`.
pub(crate) fn file(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("node")
        .join(name);
    path.display().to_string()
}

/// Waits until the objects of a kind are as expected; returns them.
///
/// # Panics
/// If they are not in time, with what they are instead.
pub(crate) async fn find<K>(
    cluster: &Cluster,
    namespace: &str,
    expected: impl Fn(&[K]) -> bool,
) -> Vec<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + serde::Serialize
        + std::fmt::Debug,
{
    let api: Api<K> = api(cluster, namespace);
    let begun = Instant::now();
    loop {
        let objects = api
            .list(&ListParams::default())
            .await
            .expect("a list")
            .items;
        if expected(&objects) {
            return objects;
        }
        assert!(
            begun.elapsed() < WITHIN,
            "not as expected: {}",
            serde_json::to_string_pretty(&objects).expect("JSON")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Waits until so many Jobs, and no others, have completed.
pub(crate) async fn all_complete(cluster: &Cluster, namespace: &str, jobs: usize) -> Vec<Job> {
    find(cluster, namespace, |listed: &[Job]| {
        listed.len() == jobs && listed.iter().all(|job| is(job, "Complete"))
    })
    .await
}

/// Whether a Job has a condition.
pub(crate) fn is(job: &Job, condition: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|candidate| candidate.type_ == condition && candidate.status == "True")
}

/// The pods with a label `key=value`.
pub(crate) async fn pods(cluster: &Cluster, namespace: &str, selector: &str) -> Vec<Pod> {
    let pods: Api<Pod> = api(cluster, namespace);
    let params = ListParams::default().labels(selector);
    pods.list(&params).await.expect("pods").items
}

/// The status of a pod's first container.
pub(crate) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.first()
}

/// When a pod's first container began, if it has.
pub(crate) fn began(pod: &Pod) -> Option<Time> {
    let state = container(pod)?.state.clone()?;
    let running = state.running.and_then(|running| running.started_at);
    running.or(state.terminated.and_then(|ended| ended.started_at))
}

/// When a pod's first container ended, if it has.
pub(crate) fn ended(pod: &Pod) -> Option<Time> {
    container(pod)?.state.clone()?.terminated?.finished_at
}
