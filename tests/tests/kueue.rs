//! Pipelines in the queues of a real Kueue, which knows `kueue.x-k8s.io/admission-gated-by` or doesn't.
//!
//! Needs `KONDUCTOR_TEST_CLUSTER=real`, and a Kueue that `tests/kueue/build` has built; `KONDUCTOR_TEST_KUEUE=1` builds
//! it. Otherwise each test is ignored, by name.

use std::path::PathBuf;
use std::process::ExitCode;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{JobPhase, Run, RunPhase, Semaphore, annotation, job_phase};
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::kubelet::{Kubelet, Script, play};
use konductor_tests::kueue::{AdmissionGatedBy, Kueue, built, queue};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::attempts;
use konductor_tests::scenario::pipeline::{compiled, create, stage, until_ended};
use konductor_tests::watching::until;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use libtest_mimic::{Arguments, Trial};
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::sync::watch;

const PIPELINE: &str = r#"
pipeline kq {
  semaphore s { permits = 1 }
  defaults { image = "busybox:1.36"  queue = "batch" }
  stage a { run = "echo a" }
  stage b after a holding s { run = "echo b"  retries = 1 }
  stage c for i in 0..<3 after a { run = "echo ${i}" }
}
"#;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let kueue = match wanted() {
        Wanted::Real => built(),
        Wanted::None | Wanted::External => None,
    };
    let is_ignored = kueue.is_none();
    let test = |name: &str, run: fn(PathBuf) -> futures::future::BoxFuture<'static, ()>| {
        let kueue = kueue.clone();
        let trial = Trial::test(name, move || {
            let runtime = Runtime::new().expect("threads");
            runtime.block_on(run(kueue.expect("a Kueue")));
            Ok(())
        });
        trial.with_ignored_flag(is_ignored)
    };
    let trials = vec![
        test(
            "with_the_gate_on_order_permits_quota_and_preemption_are_right",
            |kueue| Box::pin(gate_on(kueue)),
        ),
        test(
            "with_the_gate_off_nothing_that_ran_too_early_has_succeeded",
            |kueue| Box::pin(gate_off(kueue)),
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A namespace with a queue and an operator.
async fn prepared(cluster: &Cluster, purpose: &str, pods: u32) -> (String, OperatorProcess) {
    let namespace = cluster.namespace(purpose).await;
    queue(cluster, &namespace, pods);
    let operator = OperatorProcess::start(cluster, &namespace);
    (namespace, operator)
}

async fn gate_on(kueue: PathBuf) {
    let cluster = Cluster::real().await;
    let _kueue = Kueue::start(&cluster, &kueue, AdmissionGatedBy::On).await;
    let (namespace, _operator) = prepared(&cluster, "gate-on", 3).await;
    runs_in_order(&cluster, &namespace).await;
    let (namespace, _operator) = prepared(&cluster, "preempted", 1).await;
    a_preempted_job_keeps_its_permit_and_is_admitted_again(&cluster, &namespace).await;
}

async fn jobs(cluster: &Cluster, namespace: &str) -> Vec<Job> {
    let api: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
    api.list(&ListParams::default()).await.expect("jobs").items
}

fn started(job: &Job) -> jiff::Timestamp {
    let status = job.status.as_ref();
    status
        .and_then(|status| status.start_time.as_ref())
        .expect("it was started")
        .0
}

fn completed(job: &Job) -> jiff::Timestamp {
    let status = job.status.as_ref();
    status
        .and_then(|status| status.completion_time.as_ref())
        .expect("it is complete")
        .0
}

/// Kueue admits a stage when the operator lets it. The three pods of c are all of the quota, so b is not beside it.
async fn runs_in_order(cluster: &Cluster, namespace: &str) {
    let _kubelet = play(&cluster.client, namespace, |_| Script::succeed());
    let manifests = compiled(PIPELINE);
    create(cluster, namespace, &manifests).await;
    let run = until_ended(cluster, namespace, "kq").await;
    let jobs = jobs(cluster, namespace).await;
    assert_eq!(
        run.status.map(|status| status.phase),
        Some(RunPhase::Succeeded),
        "{jobs:#?}"
    );
    in_order(&jobs);
    let mut spans: Vec<_> = jobs
        .iter()
        .map(|job| (started(job), completed(job)))
        .collect();
    spans.sort();
    let overlap = spans.windows(2).find(|pair| pair[0].1 > pair[1].0);
    assert_eq!(overlap, None, "the quota is three pods");
}

/// Nothing that waits for stage a started before a was complete.
fn in_order(jobs: &[Job]) {
    let first = jobs
        .iter()
        .find(|job| job.name_any() == "kq-a")
        .expect("kq-a");
    for job in jobs.iter().filter(|job| job.name_any() != "kq-a") {
        assert!(
            started(job) >= completed(first),
            "{} started before kq-a ended",
            job.name_any()
        );
    }
}

/// A Job in the same queue whose priority preempts others.
fn urgent() -> Job {
    let job = json!({
        "metadata": {"name": "urgent", "labels": {
            "kueue.x-k8s.io/queue-name": "batch", "kueue.x-k8s.io/priority-class": "urgent",
        }},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never",
            "containers": [{"name": "main", "image": "busybox:1.36"}],
        }}},
    });
    serde_json::from_value(job).expect("a job")
}

fn suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

fn is_active(job: &Job) -> bool {
    job.status.as_ref().and_then(|status| status.active) == Some(1)
}

/// Kueue may suspend what it has started. The operator leaves that to Kueue, and the permit stays with the Job.
async fn a_preempted_job_keeps_its_permit_and_is_admitted_again(
    cluster: &Cluster,
    namespace: &str,
) {
    let (release_b, b_released) = watch::channel(false);
    let (release_urgent, urgent_released) = watch::channel(false);
    let _kubelet: Kubelet = play(&cluster.client, namespace, move |pod| {
        match stage(pod).as_str() {
            "b" => Script::until(&b_released),
            "urgent" => Script::until(&urgent_released),
            _ => Script::succeed(),
        }
    });
    let text = PIPELINE.replace(
        "  stage c for i in 0..<3 after a { run = \"echo ${i}\" }\n",
        "",
    );
    create(cluster, namespace, &compiled(&text)).await;
    until(&cluster.client, namespace, "kq-b", is_active).await;
    let api: Api<Job> = Api::namespaced(cluster.client.clone(), namespace);
    api.create(&PostParams::default(), &urgent())
        .await
        .expect("created");
    until(&cluster.client, namespace, "urgent", is_active).await;
    let evicted = until(&cluster.client, namespace, "kq-b", suspended).await;
    assert_eq!(job_phase(&evicted), Some(JobPhase::Running), "{evicted:#?}");
    let semaphores: Api<Semaphore> = Api::namespaced(cluster.client.clone(), namespace);
    let semaphore = semaphores.get("kq-s").await.expect("a semaphore");
    assert_eq!(semaphore.status.expect("a status").in_use, 1);
    release_urgent.send_replace(true);
    until(&cluster.client, namespace, "kq-b", is_active).await;
    release_b.send_replace(true);
    let run: Run = until_ended(cluster, namespace, "kq").await;
    assert_eq!(
        run.status.map(|status| status.phase),
        Some(RunPhase::Succeeded)
    );
}

async fn gate_off(kueue: PathBuf) {
    let cluster = Cluster::real().await;
    let _kueue = Kueue::start(&cluster, &kueue, AdmissionGatedBy::Off).await;
    let (namespace, _operator) = prepared(&cluster, "gate-off", 10).await;
    what_ran_too_early_has_failed(&cluster, &namespace).await;
    let (namespace, _operator) = prepared(&cluster, "refused", 10).await;
    attempts::for_operators(&cluster, "refused", &namespace).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    create(&cluster, &namespace, &compiled(PIPELINE)).await;
    let run = until_ended(&cluster, &namespace, "kq").await;
    let jobs = jobs(&cluster, &namespace).await;
    assert_eq!(
        run.status.map(|status| status.phase),
        Some(RunPhase::Succeeded),
        "{jobs:#?}"
    );
    in_order(&jobs);
}

/// Without the chart's policy Kueue starts everything at once: the run has failed, and says why.
async fn what_ran_too_early_has_failed(cluster: &Cluster, namespace: &str) {
    let (release, released) = watch::channel(false);
    let _kubelet = play(&cluster.client, namespace, move |pod| {
        match stage(pod).as_str() {
            // It runs until the others have been started.
            "a" => Script::until(&released),
            _ => Script::succeed(),
        }
    });
    create(cluster, namespace, &compiled(PIPELINE)).await;
    let failed = |job: &Job| job_phase(job) == Some(JobPhase::Failed);
    let early = until(&cluster.client, namespace, "kq-b", failed).await;
    let reason = early
        .annotations()
        .get(annotation::REASON)
        .cloned()
        .unwrap_or_default();
    assert!(reason.starts_with("StartedByKueue: "), "{reason}");
    release.send_replace(true);
    let run = until_ended(cluster, namespace, "kq").await;
    assert_eq!(
        run.status.map(|status| status.phase),
        Some(RunPhase::Failed)
    );
}
