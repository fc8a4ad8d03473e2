//! The table of causes, docs/causes.md: what konductor says for each state of a Job and its pods that
//! `tests/causes/states.yaml` has. `BLESS=1` writes it.
//!
//! Nothing but konductor changes anything: the states are written as the kubelet and others write them.

#[path = "../bless.rs"]
mod bless;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::api::events::v1::Event as Emitted;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::condition::{FAILING, SUCCEEDED};
use konductor_api::{JobPhase, Run, Semaphore, annotation, job_phase};
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::Operator;
use konductor_tests::watching::{WITHIN, until};
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{Api, Client, Resource, ResourceExt};
use regex::Regex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// A cause.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cause {
    title: String,
    /// Who writes the state.
    #[serde(default)]
    from: String,
    /// Whether the node suite makes it with real containers.
    #[serde(default)]
    node: bool,
    /// What the stage has besides its command.
    #[serde(default)]
    stage: String,
    /// What the stage fans out over.
    #[serde(default)]
    items: Option<String>,
    /// The statuses of its pods.
    #[serde(default)]
    pods: Vec<Value>,
    #[serde(default)]
    events: Vec<Value>,
    /// What Kueue's Workload says.
    #[serde(default)]
    workload: Option<String>,
    /// The stage of a pipeline that comes to this on the machine where it is run.
    #[serde(default)]
    local: Option<String>,
    /// The reason by which the Job fails.
    #[serde(default)]
    fails: Option<String>,
    /// Those of a Job that somebody wrote by hand.
    #[serde(default)]
    annotations: Option<Value>,
    #[serde(default = "always")]
    suspended: bool,
}

fn always() -> bool {
    true
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

async fn create<K>(client: &Client, namespace: &str, value: Value) -> K
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned
        + serde::Serialize,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let created = api.create(&PostParams::default(), &read(value)).await;
    created.expect("created")
}

/// Runs koncli in a namespace; what it printed, without ages.
fn printed(cluster: &Cluster, namespace: &str, arguments: &[&str]) -> String {
    let ran = Command::new(koncli())
        .args(arguments)
        .args(["--namespace", namespace])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env("NO_COLOR", "1")
        .output()
        .expect("koncli runs");
    let text = String::from_utf8_lossy(&ran.stdout).into_owned();
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments:?}: {text}{errors}");
    let blanks = Regex::new(" {2,}").expect("a regex");
    let ages = Regex::new(r"(?P<before>  | for | failed )\d+s\b").expect("a regex");
    let text = blanks.replace_all(&text, "  ");
    ages.replace_all(&text, "${before}5s").into_owned()
}

/// The line of what koncli printed that begins with a word.
fn line(printed: &str, word: &str) -> String {
    let mut lines = printed.lines().map(str::trim);
    let line = lines.find(|line| line.contains(word));
    line.unwrap_or_else(|| panic!("no {word} in {printed}"))
        .to_owned()
}

/// What `koncli run` prints of a stage like this: what failed, and the end.
fn of_a_local_run(cause: &Cause, stage: &str) -> Vec<(String, String)> {
    let items = cause.items.as_ref().map(|items| format!(" for {items}"));
    let text = format!(
        "pipeline orders {{\n  stage migrate{} {{\n    image = \"ghcr.io/acme/migrate:4\"\n    {stage}\n  }}\n}}\n",
        items.unwrap_or_default()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.kon");
    std::fs::write(&file, text).expect("a file");
    let ran = Command::new(koncli())
        .arg("run")
        .arg(&file)
        .args(["--run", "orders"])
        .env("NO_COLOR", "1")
        .output()
        .expect("koncli runs");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success(), "{errors}");
    let mut lines = errors.lines();
    let first = lines.find(|line| line.starts_with(['✗', 'e']));
    let first = first.unwrap_or_else(|| panic!("nothing failed: {errors}"));
    let end = match first.starts_with('✗') {
        true => lines.find(|line| line.starts_with("error: ")),
        false => lines.next(),
    };
    [Some(first), end]
        .into_iter()
        .flatten()
        .map(|line| ("`koncli run`".to_owned(), line.trim().to_owned()))
        .collect()
}

/// What konductor says of a stage in this state.
async fn of_a_stage(cluster: &Cluster, cause: &Cause, namespace: &str) -> Vec<(String, String)> {
    let items = cause.items.as_ref().map(|items| format!(" for {items}"));
    let text = format!(
        "pipeline orders {{\n  stage migrate{} {{\n    image = \"ghcr.io/acme/migrate:4\"\n    run = \"migrate\"\n    \
         {}\n  }}\n}}\n",
        items.unwrap_or_default(),
        cause.stage
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("orders.kon");
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    printed(cluster, namespace, &["apply", &file, "--run", "orders"]);
    let job = until(&cluster.client, namespace, "orders-migrate", |job: &Job| {
        let spec = job.spec.as_ref().expect("a spec");
        spec.suspend != Some(true) || job_phase(job) == Some(JobPhase::Running)
    })
    .await;
    write_state(cluster, cause, namespace, &job).await;
    let run = until(&cluster.client, namespace, "orders", |run: &Run| {
        let status = run.status.as_ref();
        cause.fails.is_none() || status.is_some_and(|status| status.finished_at.is_some())
    })
    .await;
    let mut said = vec![
        (
            "`koncli status orders`".to_owned(),
            line(
                &printed(cluster, namespace, &["status", "orders"]),
                "migrate  ",
            ),
        ),
        (
            "`koncli why orders migrate`".to_owned(),
            line(
                &printed(cluster, namespace, &["why", "orders", "migrate"]),
                "migrate",
            ),
        ),
        (
            "`koncli runs`".to_owned(),
            line(&printed(cluster, namespace, &["runs"]), "orders"),
        ),
    ];
    let conditions = run.status.map(|status| status.conditions);
    for condition in conditions.into_iter().flatten() {
        if [SUCCEEDED, FAILING].contains(&&*condition.type_) && cause.fails.is_some() {
            let what = format!("the Run's condition {}", condition.type_);
            said.push((what, format!("{}: {}", condition.status, condition.message)));
        }
    }
    said
}

/// Writes what others write.
async fn write_state(cluster: &Cluster, cause: &Cause, namespace: &str, job: &Job) {
    let (name, uid) = (job.name_any(), job.uid().expect("a uid"));
    let now = jiff::Timestamp::now();
    let now = konductor_api::condition::whole_second(now).to_string();
    let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid,
        "controller": true}]);
    let template = job.spec.as_ref().expect("a spec").template.clone();
    let mut labels = template
        .metadata
        .and_then(|meta| meta.labels)
        .unwrap_or_default();
    labels.insert("batch.kubernetes.io/job-name".to_owned(), name.clone());
    for (number, status) in cause.pods.iter().enumerate() {
        let mut status = status.clone();
        let key = "batch.kubernetes.io/job-completion-index";
        let (mut labels, mut annotations) = (labels.clone(), BTreeMap::new());
        if let Some(Value::String(index)) =
            status.as_object_mut().and_then(|all| all.remove("index"))
        {
            labels.insert(key.to_owned(), index.clone());
            annotations.insert(key, index);
        }
        let pod = json!({
            "metadata": {
                "name": format!("{name}-x7k2{number}"),
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": owner,
            },
            "spec": template.spec,
        });
        let pod: Pod = create(&cluster.client, namespace, pod).await;
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
        let body = Patch::Merge(json!({ "status": status }));
        let written = pods
            .patch_status(&pod.name_any(), &PatchParams::default(), &body)
            .await;
        written.expect("written");
    }
    for (number, event) in cause.events.iter().enumerate() {
        let event = json!({
            "metadata": {"name": format!("{name}.{number}")},
            "involvedObject": {"kind": "Job", "namespace": namespace, "name": name, "uid": uid},
            "type": "Warning",
            "reason": event["reason"],
            "message": event["message"],
            "lastTimestamp": now,
        });
        create::<Event>(&cluster.client, namespace, event).await;
    }
    if let Some(message) = &cause.workload {
        let condition = json!({"type": "QuotaReserved", "status": "False", "reason": "Pending",
            "message": message});
        let workload = json!({
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "Workload",
            "metadata": {"name": format!("job-{name}"), "ownerReferences": owner},
            "status": {"conditions": [condition]},
        });
        let kind = GroupVersionKind::gvk("kueue.x-k8s.io", "v1beta2", "Workload");
        let resource = ApiResource::from_gvk(&kind);
        let all: Api<DynamicObject> =
            Api::namespaced_with(cluster.client.clone(), namespace, &resource);
        let created = all.create(&PostParams::default(), &read(workload)).await;
        created.expect("created");
        // Its webhook does that when the Job is created.
        let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
        let body = Patch::Merge(json!({"spec": {"suspend": true}}));
        let suspended = jobs.patch(&name, &PatchParams::default(), &body).await;
        suspended.expect("suspended");
        return;
    }
    let mut status = json!({"startTime": now, "active": 1, "ready": 0});
    if let Some(reason) = &cause.fails {
        let message = match reason.as_str() {
            "DeadlineExceeded" => "Job was active longer than specified deadline",
            _ => "Job has reached the specified backoff limit",
        };
        let condition = |type_: &str| {
            json!({"type": type_, "status": "True", "reason": reason, "message": message,
                "lastProbeTime": now, "lastTransitionTime": now})
        };
        let conditions = [condition("FailureTarget"), condition("Failed")];
        status = json!({"startTime": now, "failed": 1, "ready": 0, "conditions": conditions});
    }
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
    let body = Patch::Merge(json!({ "status": status }));
    let written = jobs
        .patch_status(&name, &PatchParams::default(), &body)
        .await;
    written.expect("written");
}

/// What konductor says of a Job that somebody wrote by hand.
async fn of_a_job(cluster: &Cluster, cause: &Cause, namespace: &str) -> Vec<(String, String)> {
    let semaphore = json!({"metadata": {"name": "small"}, "spec": {"permits": 2}});
    create::<Semaphore>(&cluster.client, namespace, semaphore).await;
    let container = json!({"name": "main", "image": "ghcr.io/acme/migrate:4"});
    let job = json!({
        "metadata": {"name": "migrate", "annotations": cause.annotations},
        "spec": {
            "suspend": cause.suspended,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    });
    create::<Job>(&cluster.client, namespace, job).await;
    let job = until(&cluster.client, namespace, "migrate", |job: &Job| {
        job.annotations().contains_key(annotation::REASON)
    })
    .await;
    let mut said: Vec<(String, String)> = [annotation::PHASE, annotation::REASON]
        .into_iter()
        .map(|key| (format!("the Job's `{key}`"), job.annotations()[key].clone()))
        .collect();
    if !cause.suspended {
        said.push((
            "an Event about the Job".to_owned(),
            event(cluster, namespace).await,
        ));
    }
    said
}

/// The first Event that the operator emits, which comes after its write.
async fn event(cluster: &Cluster, namespace: &str) -> String {
    let events: Api<Emitted> = Api::namespaced(cluster.client.clone(), namespace);
    let mut versions = watcher::watcher(events, watcher::Config::default()).boxed();
    let emitted = async {
        loop {
            let version = versions.next().await.expect("it never ends");
            if let watcher::Event::Apply(event) | watcher::Event::InitApply(event) =
                version.expect("a watch")
            {
                let reason = event.reason.unwrap_or_default();
                return format!("{reason}: {}", event.note.unwrap_or_default());
            }
        }
    };
    let emitted = tokio::time::timeout(WITHIN, emitted).await;
    emitted.expect("an Event")
}

/// Kueue's kind, as far as this needs it.
async fn install_workloads(client: &Client) {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = json!({"name": "v1beta2", "served": true, "storage": true,
        "schema": {"openAPIV3Schema": schema}});
    let crd: CustomResourceDefinition = read(json!({
        "metadata": {"name": "workloads.kueue.x-k8s.io"},
        "spec": {
            "group": "kueue.x-k8s.io",
            "names": {"kind": "Workload", "plural": "workloads", "singular": "workload",
                "listKind": "WorkloadList"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }));
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    crds.create(&PostParams::default(), &crd)
        .await
        .expect("created");
    let established = conditions::is_crd_established();
    let waited = await_condition(crds, "workloads.kueue.x-k8s.io", established).await;
    waited.expect("established");
}

fn page(causes: &[(Cause, Vec<(String, String)>)]) -> String {
    let mut page = "# Causes\n\n\
         What konductor says for each cause that keeps a stage from starting or makes it fail. The stage is\n\
         `migrate` of the run `orders`; the Jobs at the end were written by hand. `koncli run` is shown where a\n\
         process on your own machine can come to the same end.\n\n\
         <!-- by `BLESS=1 cargo test --workspace --test causes` from tests/causes/states.yaml -->\n"
        .to_owned();
    for (cause, said) in causes {
        let _ = write!(page, "\n## {}\n\n", cause.title);
        if !cause.from.is_empty() {
            let _ = writeln!(page, "{}\n", cause.from);
            if cause.node {
                page.push_str("<!-- The scenarios of a real node make this state, too. -->\n\n");
            }
        }
        page.push_str("| where | what it says |\n|---|---|\n");
        for (place, text) in said {
            let text = text.replace('|', "\\|");
            let _ = writeln!(page, "| {place} | `` {text} `` |");
        }
    }
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cause_is_said_wherever_somebody_looks() {
    let states = root().join("tests/causes/states.yaml");
    let states = std::fs::read_to_string(states).expect("a file");
    let causes: Vec<Cause> = serde_saphyr::from_str(&states).expect("causes");
    let cluster = Cluster::embedded_without_controllers().await;
    install_workloads(&cluster.client).await;
    let _operator = Operator::start_everywhere(&cluster);
    let slug = Regex::new("[^a-z]+").expect("a regex");
    let all = causes.into_iter().map(|cause| async {
        let title = cause.title.to_lowercase();
        let words: String = slug.replace_all(&title, "-").chars().take(30).collect();
        let namespace = cluster.namespace(words.trim_matches('-')).await;
        let said = match cause.annotations {
            Some(_) => of_a_job(&cluster, &cause, &namespace).await,
            None => {
                let mut said = of_a_stage(&cluster, &cause, &namespace).await;
                if let Some(stage) = &cause.local {
                    said.extend(of_a_local_run(&cause, stage));
                }
                said
            }
        };
        (cause, said)
    });
    let said = futures::future::join_all(all).await;
    let page = page(&said);
    let file = root().join("docs/causes.md");
    bless::compare(&file, &page);
}
