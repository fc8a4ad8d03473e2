//! Jobs from their creation to their end, with the controller and the kubelet together.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, PodStatus};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use super::bench::{api, create, job, options, until, until_condition, until_logged, update};
use super::cluster::{Change, Cluster, name, namespace, uid};
use super::job::{BackOff, JobController};
use super::{Runner, RunnerOptions};
use crate::{ApiServer, Controllers};

fn start(api: &ApiServer) -> (Runner, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let back_off = BackOff {
        base: Duration::from_millis(1),
        max: Duration::from_millis(1),
    };
    let options = RunnerOptions {
        kubelet: options(folder.path()),
        back_off,
    };
    (Runner::start(api, options).unwrap(), folder)
}

fn suspend(api: &ApiServer, suspend: bool) {
    update::<Job>(api, "j", |job| {
        job.spec.as_mut().unwrap().suspend = Some(suspend)
    });
}

/// The status without its times.
fn counters(job: &Job) -> Value {
    let mut status = serde_json::to_value(job.status.as_ref().unwrap()).unwrap();
    for time in ["startTime", "completionTime", "conditions"] {
        status.as_object_mut().unwrap().remove(time);
    }
    status
}

fn true_conditions(job: &Job) -> Vec<&str> {
    let conditions = job
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.status == "True")
        .map(|condition| condition.type_.as_str())
        .collect()
}

#[tokio::test]
async fn a_suspended_job_runs_when_it_is_resumed() {
    let api = api();
    let (runner, folder) = start(&api);
    create::<Job>(&api, job("j", "touch ran", json!({"suspend": true})));
    until_condition(&api, "j", "Suspended").await;
    suspend(&api, false);
    let done = until_condition(&api, "j", "Complete").await;
    let expected =
        json!({"ready": 0, "succeeded": 1, "terminating": 0, "uncountedTerminatedPods": {}});
    assert_eq!(counters(&done), expected);
    assert_eq!(true_conditions(&done), ["SuccessCriteriaMet", "Complete"]);
    assert!(folder.path().join("ran").exists());
    runner.shutdown(Duration::ZERO).await;
    let expected = ["Suspended", "Resumed", "SuccessfulCreate", "Completed"];
    assert_eq!(
        sorted(reasons(&api)),
        sorted(expected.map(str::to_owned).into())
    );
}

/// The reasons of all Events about Jobs.
fn reasons(api: &ApiServer) -> Vec<String> {
    let (events, _) = Cluster::new(api.clone()).list::<Event>();
    let events = events.into_iter();
    events.filter_map(|event| event.reason).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort();
    texts
}

#[tokio::test]
async fn a_failing_job_is_retried_and_fails() {
    let api = api();
    let (runner, folder) = start(&api);
    let limit = json!({"backoffLimit": 2});
    create::<Job>(&api, job("j", "echo x >> tries; exit 1", limit));
    let failed = until_condition(&api, "j", "Failed").await;
    let expected =
        json!({"failed": 3, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
    assert_eq!(counters(&failed), expected);
    assert_eq!(true_conditions(&failed), ["FailureTarget", "Failed"]);
    assert_eq!(
        std::fs::read_to_string(folder.path().join("tries")).unwrap(),
        "x\nx\nx\n"
    );
    runner.shutdown(Duration::ZERO).await;
    let mut expected = vec!["SuccessfulCreate".to_owned(); 3];
    expected.push("BackoffLimitExceeded".to_owned());
    assert_eq!(sorted(reasons(&api)), sorted(expected));
}

#[tokio::test]
async fn each_pod_of_an_indexed_job_knows_its_index() {
    let api = api();
    let (runner, folder) = start(&api);
    let spec = json!({"completionMode": "Indexed", "completions": 5, "parallelism": 2});
    create::<Job>(
        &api,
        job("j", "echo $HOSTNAME > $JOB_COMPLETION_INDEX", spec),
    );
    let done = until_condition(&api, "j", "Complete").await;
    assert_eq!(counters(&done)["completedIndexes"], "0-4");
    for index in 0..5 {
        let written = std::fs::read_to_string(folder.path().join(index.to_string())).unwrap();
        assert_eq!(written, format!("j-{index}\n"));
    }
    runner.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn suspending_a_running_job_ends_its_pods() {
    let api = api();
    let (runner, folder) = start(&api);
    let script = "trap 'touch ended; exit 1' TERM; echo up; while :; do sleep 600 & wait; done";
    create::<Job>(&api, job("j", script, json!({})));
    let pod = until_running(&api).await;
    until_logged(runner.logs(), &pod, "up").await;
    suspend(&api, true);
    let stopped = until::<Job>(&api, "j", |job| {
        job.is_some_and(|job| {
            true_conditions(job) == ["Suspended"] && counters(job)["terminating"] == 0
        })
    });
    let stopped = stopped.await.unwrap();
    assert_eq!(counters(&stopped)["failed"], Value::Null);
    assert!(folder.path().join("ended").exists());
    runner.shutdown(Duration::ZERO).await;
}

/// Waits until the pod of Job `j` runs.
async fn until_running(api: &ApiServer) -> Pod {
    let ready = |job: &Job| {
        job.status
            .as_ref()
            .is_some_and(|status| status.ready == Some(1))
    };
    until::<Job>(api, "j", |job| job.is_some_and(ready)).await;
    Cluster::new(api.clone()).list::<Pod>().0.remove(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_others_write_to_all_the_time_runs_as_if_they_did_not() {
    let api = api();
    let (runner, _folder) = start(&api);
    create::<Job>(
        &api,
        job("j", "", json!({"completions": 8, "parallelism": 3})),
    );
    let others = api.clone();
    let writer = tokio::task::spawn_blocking(move || {
        let cluster = Cluster::new(others.clone());
        for round in 0.. {
            let live = cluster.get::<Job>("default", "j").unwrap();
            if true_conditions(&live).contains(&"Complete") {
                break;
            }
            update::<Job>(&others, "j", |job| {
                let annotations = job.metadata.annotations.get_or_insert_default();
                annotations.insert("example.com/round".into(), round.to_string());
            });
        }
    });
    let done = until_condition(&api, "j", "Complete").await;
    writer.await.unwrap();
    assert_eq!(counters(&done)["succeeded"], 8);
    assert_eq!(Cluster::new(api.clone()).list::<Pod>().0.len(), 8);
    runner.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_client_of_the_http_api_runs_a_job() {
    let api = api();
    let (runner, folder) = start(&api);
    let client = kube::Client::new(api.router(), "default");
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    let object = job("j", "touch ran", json!({"suspend": true}));
    let object = serde_json::from_value(object).unwrap();
    jobs.create(&PostParams::default(), &object).await.unwrap();
    let resume = Patch::Merge(json!({"spec": {"suspend": false}}));
    jobs.patch("j", &PatchParams::default(), &resume)
        .await
        .unwrap();
    let complete = await_condition(jobs, "j", conditions::is_job_completed());
    let done = complete.await.unwrap().unwrap();
    assert_eq!(counters(&done)["succeeded"], 1);
    assert!(folder.path().join("ran").exists());

    let pods: Api<Pod> = Api::default_namespaced(client);
    let of_job = ListParams::default().labels("batch.kubernetes.io/job-name=j");
    let pods = pods.list(&of_job).await.unwrap().items;
    let phases: Vec<_> = pods
        .iter()
        .map(|pod| pod.status.as_ref().unwrap().phase.as_deref())
        .collect();
    assert_eq!(phases, [Some("Succeeded")]);
    runner.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn deleting_a_job_ends_its_processes() {
    let api = api();
    let controllers = Controllers::start(&api);
    let (runner, _folder) = start(&api);
    let running: Job = create(&api, job("j", "sleep 600", json!({})));
    let pod = until_running(&api).await;
    let cluster = Cluster::new(api.clone());
    cluster
        .delete::<Job>(namespace(&running), "j", uid(&running), None)
        .unwrap();
    until::<Pod>(&api, name(&pod), |pod| pod.is_none()).await;
    runner.shutdown(Duration::ZERO).await;
    controllers.shutdown().await;
}

/// Without a kubelet, and with a clock that only moves when everybody sleeps.
#[tokio::test(start_paused = true)]
async fn the_controller_alone_waits_as_long_as_kubernetes_does() {
    let api = api();
    let controller = JobController::start(&api, BackOff::default());
    let kubelet = tokio::spawn(fail_every_pod(api.clone()));
    let begin = tokio::time::Instant::now();
    create::<Job>(
        &api,
        job(
            "j",
            "",
            json!({"backoffLimit": 3, "ttlSecondsAfterFinished": 100}),
        ),
    );
    let failed = until_long(&api, |job| {
        job.is_some_and(|job| true_conditions(job).contains(&"Failed"))
    });
    assert_eq!(counters(&failed.await.unwrap())["failed"], 4);
    let waited = begin.elapsed().as_secs();
    assert!(
        (68..=71).contains(&waited),
        "10 + 20 + 40 seconds, not {waited}"
    );
    until_long(&api, |job| job.is_none()).await;
    let waited = begin.elapsed().as_secs() - waited;
    assert!(
        (99..=101).contains(&waited),
        "100 seconds to live, not {waited}"
    );
    kubelet.abort();
    controller.shutdown().await;
}

/// Like `until`, for a clock that leaps.
async fn until_long(api: &ApiServer, condition: impl Fn(Option<&Job>) -> bool) -> Option<Job> {
    let cluster = Cluster::new(api.clone());
    let mut changes = std::pin::pin!(cluster.changes::<Job>());
    loop {
        let now = cluster.get::<Job>("default", "j");
        if condition(now.as_ref()) {
            return now;
        }
        changes.next().await;
    }
}

async fn fail_every_pod(api: ApiServer) {
    let cluster = Cluster::new(api);
    let mut changes = std::pin::pin!(cluster.watch::<Pod>(0));
    while let Some(change) = changes.next().await {
        if let Change::Set(pod) = change {
            let failed = PodStatus {
                phase: Some("Failed".into()),
                ..PodStatus::default()
            };
            cluster
                .update_status(&pod, |pod| pod.status = Some(failed.clone()))
                .unwrap();
            assert!(name(&pod).starts_with("j-"));
        }
    }
}

/// The variable that makes the test below the runner that is killed.
const VICTIM: &str = "KONDUCTOR_TEST_VICTIM_FOLDER";

#[tokio::test]
async fn processes_end_even_if_the_runner_is_killed() {
    if let Some(folder) = std::env::var_os(VICTIM) {
        let api = api();
        let options = RunnerOptions {
            kubelet: options(folder.as_ref()),
            back_off: BackOff::default(),
        };
        let _runner = Runner::start(&api, options).unwrap();
        let script = "sleep 600 > held & echo up > held; wait";
        create::<Job>(&api, job("j", script, json!({})));
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    let held = folder.path().join("held");
    let made = Command::new("mkfifo").arg(&held).status().unwrap();
    assert!(made.success());
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "runner::tests::processes_end_even_if_the_runner_is_killed",
        ])
        .env(VICTIM, folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Opening waits for a writer; reading ends when no process of the Job holds it any more.
    let mut held = BufReader::new(File::open(held).unwrap());
    let mut line = String::new();
    held.read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    victim.kill().unwrap();
    victim.wait().unwrap();
    held.read_to_string(&mut line).unwrap();
}
