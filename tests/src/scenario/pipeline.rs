//! Pipelines, from the text of a file to the end of their run.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use futures::{StreamExt, stream};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::condition::SUCCEEDED;
use konductor_api::{Gate, JobPhase, Run, RunOutcome, RunPhase, job_phase, label, run_owner};
use konductor_compiler::{Manifests, Object, Options, compile};
use konductor_dsl::Sources;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::watch;

use super::api;
use crate::built::koncli;
use crate::cluster::Cluster;
use crate::kubelet::{Script, play};
use crate::operator::{Operator, OperatorProcess};
use crate::watching::{Versions, until};

/// Compiles a pipeline.
///
/// # Panics
/// If it has a mistake.
pub fn compiled(text: &str) -> Manifests {
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    let now = "2026-01-31T02:00:00Z".parse().expect("a time");
    let compiled = compile(sources, &Options::at(now));
    compiled
        .manifests
        .unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

/// Creates the objects of a run as koncli does: the Run first, and it owns the rest.
pub async fn create(cluster: &Cluster, namespace: &str, manifests: &Manifests) {
    for object in create_run(cluster, namespace, manifests).await {
        create_object(cluster, namespace, object).await;
    }
}

/// The same, of objects that a test changes first.
pub async fn create_changed(
    cluster: &Cluster,
    namespace: &str,
    manifests: &Manifests,
    change: impl Fn(&mut Object),
) {
    for mut object in create_run(cluster, namespace, manifests).await {
        change(&mut object);
        create_object(cluster, namespace, object).await;
    }
}

/// The same, but so many requests are under way at once: for pipelines of thousands of stages.
pub async fn create_at_once(
    cluster: &Cluster,
    namespace: &str,
    manifests: &Manifests,
    requests: usize,
) {
    let objects = create_run(cluster, namespace, manifests).await;
    let created = stream::iter(objects).map(|object| create_object(cluster, namespace, object));
    created.buffer_unordered(requests).collect::<()>().await;
}

/// Creates the Run; returns the rest, which it owns.
async fn create_run(
    cluster: &Cluster,
    namespace: &str,
    manifests: &Manifests,
) -> impl Iterator<Item = Object> {
    let runs: Api<Run> = api(cluster, namespace);
    let run = runs
        .create(&PostParams::default(), &manifests.run())
        .await
        .expect("a run");
    manifests.objects().skip(1).map(move |mut object| {
        if !object.is_shared() {
            object.metadata_mut().owner_references = Some(vec![run_owner(&run)]);
        }
        object
    })
}

/// Creates the objects of a run as `kubectl create` does: nothing owns them.
pub async fn create_alone(cluster: &Cluster, namespace: &str, manifests: &Manifests) {
    for object in manifests.objects() {
        create_object(cluster, namespace, object).await;
    }
}

/// Creates one object of a run, as it is: as kubectl does.
async fn create_object(cluster: &Cluster, namespace: &str, object: Object) {
    async fn one<K>(api: Api<K>, object: K)
    where
        K: kube::Resource
            + Clone
            + std::fmt::Debug
            + serde::Serialize
            + serde::de::DeserializeOwned,
    {
        let name = object.meta().name.clone();
        let created = api.create(&PostParams::default(), &object).await;
        created.unwrap_or_else(|error| panic!("{name:?}: {error}"));
    }
    match object {
        Object::Run(object) => one(api(cluster, namespace), object).await,
        Object::Semaphore(object) => one(api(cluster, namespace), object).await,
        Object::Lease(object) => one(api(cluster, namespace), object).await,
        Object::Gate(object) => one(api(cluster, namespace), object).await,
        Object::Barrier(object) => one(api(cluster, namespace), object).await,
        Object::PersistentVolumeClaim(object) => one(api(cluster, namespace), *object).await,
        Object::Job(object) => one(api(cluster, namespace), *object).await,
        schedule => panic!("{schedule} belongs to a schedule"),
    }
}

/// The stage that a pod works for.
pub fn stage(pod: &Pod) -> String {
    let labels = pod.labels();
    labels
        .get(label::STAGE)
        .cloned()
        .unwrap_or_else(|| labels["batch.kubernetes.io/job-name"].clone())
}

/// Waits until a run has ended.
pub async fn until_ended(cluster: &Cluster, namespace: &str, run: &str) -> Run {
    until(&cluster.client, namespace, run, |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| !matches!(status.phase, RunPhase::Running | RunPhase::Finalizing))
    })
    .await
}

async fn phases(cluster: &Cluster, namespace: &str) -> BTreeMap<String, Option<JobPhase>> {
    let jobs = api::<Job>(cluster, namespace)
        .list(&ListParams::default())
        .await
        .expect("jobs");
    jobs.items
        .iter()
        .map(|job| (job.name_any(), job_phase(job)))
        .collect()
}

pub(crate) const SALES: &str = r#"
pipeline sales {
  semaphore source { permits = 2 }
  lease ledger { ttl = 30s }
  defaults { image = "busybox:1.36" }
  stage extract for region in ["eu", "us", "ap"] holding source {
    run = "extract"
    output rows: int
  }
  stage clean for region in ["eu", "us", "ap"] after extract[region] {
    run = "clean ${extract[region].rows}"
  }
  stage load for region in ["eu", "us", "ap"] after clean[region] holding ledger {
    run = "load"
  }
  stage report after load { run = "report" }
}
"#;

/// Fan-out, outputs, holds, a fan-in and a report; values arrive where they are used.
pub async fn a_pipeline_runs_to_its_end_and_hands_on_values(cluster: &Cluster) {
    let namespace = cluster.namespace("sales").await;
    let _operator = Operator::start(cluster, &namespace);
    let versions = Versions::<konductor_api::Semaphore>::watch(&cluster.client, &namespace).await;
    let _kubelet = play(&cluster.client, &namespace, |pod| {
        match stage(pod).as_str() {
            "extract" => Script::with_outputs("rows=42\n"),
            "clean" => {
                let handed_on = pod.annotations().get("konductor.io/in-0");
                if handed_on.map(String::as_str) == Some("42") {
                    Script::succeed()
                } else {
                    Script::fail()
                }
            }
            _ => Script::succeed(),
        }
    });
    create(cluster, &namespace, &compiled(SALES)).await;
    let run = until_ended(cluster, &namespace, "sales").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.succeeded),
        (RunPhase::Succeeded, 10),
        "{status:#?}"
    );
    for version in versions.until_now().await {
        let in_use = version.status.map_or(0, |status| status.in_use);
        assert!(in_use <= 2, "{in_use} held of 2");
    }
}

/// A failure shows at once, and nothing is left waiting without a reason.
pub async fn a_failed_stage_fails_the_run_and_what_depends_on_it_is_unreached(cluster: &Cluster) {
    let namespace = cluster.namespace("fails").await;
    let _operator = Operator::start(cluster, &namespace);
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match stage(pod).as_str() {
            "bad" => Script::fail(),
            "slow" => Script::until(&released),
            _ => Script::succeed(),
        }
    });
    let pipeline = compiled(
        r#"pipeline p {
          defaults { image = "busybox:1.36" }
          stage bad { run = "false" }
          stage slow { run = "sleep" }
          stage next after bad { run = "true" }
          stage last after next { run = "true" }
          stage mend after bad.failed { run = "true" }
          finally stage page { run = "true" }
        }"#,
    );
    create(cluster, &namespace, &pipeline).await;
    // While `slow` still runs, the Run says that it will fail.
    until(&cluster.client, &namespace, "p", |run: &Run| {
        run.status.as_ref().is_some_and(|status| {
            status
                .conditions
                .iter()
                .any(|condition| condition.type_ == "Failing" && condition.status == "True")
        })
    })
    .await;
    until(&cluster.client, &namespace, "p-last", |job: &Job| {
        job_phase(job) == Some(JobPhase::Unreached)
    })
    .await;
    release.send(true).expect("it is waited for");
    let run = until_ended(cluster, &namespace, "p").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.outcome),
        (RunPhase::Failed, Some(RunOutcome::Failed))
    );
    assert_eq!(
        (status.succeeded, status.failed, status.unreached),
        (3, 1, 2),
        "{status:#?}"
    );
    let phases = phases(cluster, &namespace).await;
    assert_eq!(phases["p-next"], Some(JobPhase::Unreached));
}

/// Cancel stops what runs, starts nothing more, and lets finally stages run.
pub async fn a_cancelled_run_stops_its_jobs_and_still_runs_finally(cluster: &Cluster) {
    let namespace = cluster.namespace("cancel").await;
    let _operator = Operator::start(cluster, &namespace);
    let (_release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match stage(pod).as_str() {
            "slow" => Script::until(&released),
            _ => Script::succeed(),
        }
    });
    let pipeline = compiled(
        r#"pipeline p {
          defaults { image = "busybox:1.36" }
          lease one { ttl = 30s }
          stage first { run = "true" }
          stage slow after first holding one { run = "sleep" }
          stage last after slow { run = "true" }
          finally stage page { run = "true" }
        }"#,
    );
    create(cluster, &namespace, &pipeline).await;
    until(&cluster.client, &namespace, "p-slow", |job: &Job| {
        job.status
            .as_ref()
            .is_some_and(|status| status.active == Some(1))
    })
    .await;
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    let runs: Api<Run> = api(cluster, &namespace);
    runs.patch("p", &PatchParams::default(), &cancel)
        .await
        .expect("a patch");
    let run = until_ended(cluster, &namespace, "p").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.cancelled, status.succeeded),
        (RunPhase::Cancelled, 2, 2)
    );
    // What it held is free again.
    until(
        &cluster.client,
        &namespace,
        "p-one",
        |lease: &konductor_api::Lease| {
            lease
                .status
                .as_ref()
                .is_some_and(|status| status.holders.is_empty())
        },
    )
    .await;
    // Deleting the run deletes what it owns.
    runs.delete("p", &DeleteParams::background())
        .await
        .expect("deleted");
    let jobs: Api<Job> = api(cluster, &namespace);
    let gone =
        kube::runtime::wait::await_condition(jobs, "p-slow", |job: Option<&Job>| job.is_none());
    tokio::time::timeout(crate::watching::WITHIN, gone)
        .await
        .expect("in time")
        .expect("gone");
}

/// As a person would: compile, pipe into the API, `koncli operator`; and `kill -9` in the middle.
pub async fn an_operator_killed_in_the_middle_changes_nothing_in_the_outcome(cluster: &Cluster) {
    let namespace = cluster.namespace("killed").await;
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, &namespace, move |pod| {
        match stage(pod).as_str() {
            "extract" => Script {
                message: "rows=42".into(),
                ..Script::until(&released)
            },
            _ => Script::succeed(),
        }
    });
    let jobs = Versions::<Job>::watch(&cluster.client, &namespace).await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let file = cluster.folder().join("killed.kon");
    std::fs::write(&file, SALES).expect("a file");
    let yaml = Command::new(koncli())
        .arg("compile")
        .arg(&file)
        .output()
        .expect("koncli");
    assert!(
        yaml.status.success(),
        "{}",
        String::from_utf8_lossy(&yaml.stderr)
    );
    kubectl_apply(cluster, &namespace, &yaml.stdout).await;
    // Two of the three extracts, whichever came first: there are two permits.
    until(&cluster.client, &namespace, "sales", |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.running == 2)
    })
    .await;
    let started = phases(cluster, &namespace).await;
    let (started, _) = started
        .iter()
        .find(|(_, phase)| **phase == Some(JobPhase::Running))
        .expect("the Run counts it");
    operator.kill();
    release.send(true).expect("it is waited for");
    until(&cluster.client, &namespace, started, |job: &Job| {
        konductor_api::job_ended(job) == Some(true)
    })
    .await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let run = until_ended(cluster, &namespace, "sales").await;
    let status = run.status.expect("a status");
    assert_eq!(
        (status.phase, status.succeeded),
        (RunPhase::Succeeded, 10),
        "{status:#?}"
    );
    operator.kill();
    // What kubectl has made goes with its Run.
    assert_eq!(without_run::<Job>(cluster, &namespace).await, [""; 0]);
    assert_eq!(without_run::<Gate>(cluster, &namespace).await, [""; 0]);
    // No Job was started twice: once it has run, it is never suspended again.
    let mut started: BTreeMap<String, bool> = BTreeMap::new();
    for job in jobs.until_now().await {
        let runs = job.spec.as_ref().and_then(|spec| spec.suspend) != Some(true);
        let has_started = started.entry(job.name_any()).or_default();
        assert!(
            runs || !*has_started,
            "{} was suspended after its start",
            job.name_any()
        );
        *has_started |= runs;
    }
}

/// The names of those that no Run owns.
async fn without_run<K>(cluster: &Cluster, namespace: &str) -> Vec<String>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let all = api::<K>(cluster, namespace);
    let all = all.list(&ListParams::default()).await.expect("a list");
    let mut without = all.items;
    without.retain(|object| {
        object
            .owner_references()
            .iter()
            .all(|owner| owner.kind != "Run")
    });
    without.iter().map(ResourceExt::name_any).collect()
}

/// `kubectl apply -f -`, where kubectl is there; else the same objects by the API.
async fn kubectl_apply(cluster: &Cluster, namespace: &str, yaml: &[u8]) {
    use std::io::Write;
    let kubectl = Command::new(cluster.kubectl())
        .args(["apply", "--namespace", namespace, "-f", "-", "--kubeconfig"])
        .arg(&cluster.kubeconfig)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn();
    match kubectl {
        Ok(mut kubectl) => {
            kubectl
                .stdin
                .take()
                .expect("a pipe")
                .write_all(yaml)
                .expect("written");
            let status = tokio::task::spawn_blocking(move || kubectl.wait()).await;
            assert!(
                status.expect("joined").expect("waited").success(),
                "kubectl apply failed"
            );
        }
        Err(_) => create(cluster, namespace, &compiled(SALES)).await,
    }
}

const PART: &str = r#"
pipeline part {
  defaults { image = "busybox:1.36" }
  stage extract { run = "extract" }
  stage load after extract { run = "load" }
  stage report after load { run = "report" }
  finally stage page { run = "page" }
}
"#;

/// Some of its objects were refused, as by a quota: the Run says how many Jobs it has not got, and
/// `koncli why` that a stage may be among them. Nothing is ended for that, and the same file applied again
/// creates what is missing.
pub async fn a_run_created_in_part_says_so_and_applying_again_completes_it(cluster: &Cluster) {
    let namespace = cluster.namespace("part").await;
    let _operator = Operator::start(cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    let objects = compiled(PART);
    for object in objects.objects() {
        let refused =
            matches!(object, Object::Job(_)) && matches!(object.name(), "part-load" | "part-page");
        if !refused {
            create_object(cluster, &namespace, object).await;
        }
    }
    let expected = "1 of 3 Jobs have ended; 2 of 4 Jobs do not exist yet: if nobody creates them, \
                    apply the file again or cancel the run";
    until(&cluster.client, &namespace, "part", |run: &Run| {
        let status = run.status.iter();
        let mut conditions = status.flat_map(|status| &status.conditions);
        conditions.any(|condition| condition.type_ == SUCCEEDED && condition.message == expected)
    })
    .await;
    let run_koncli = |words: &[&str]| {
        let output = Command::new(koncli())
            .args(words)
            .args(["--namespace", &namespace, "--kubeconfig"])
            .arg(&cluster.kubeconfig)
            .output()
            .expect("koncli runs");
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), printed)
    };
    assert_eq!(
        run_koncli(&["why", "part", "load"]),
        (
            Some(4),
            "error: run/part has no Job of stage load, and 2 of its 4 Jobs do not exist yet\n  \
             help: if nobody creates them, apply the file again or cancel the run\n"
                .to_owned()
        )
    );

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("part.kon");
    std::fs::write(&file, PART).expect("a file");
    let (code, printed) = run_koncli(&["apply", &file.display().to_string()]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(
        printed.starts_with("run/part: 2 created, 0 configured, "),
        "{printed}"
    );
    let status = until_ended(cluster, &namespace, "part").await.status;
    let status = status.expect("a status");
    assert_eq!(
        (status.phase, status.succeeded),
        (RunPhase::Succeeded, 4),
        "{status:#?}"
    );
}
