//! The scenarios with which konductor was first described, with real containers: from YAML, with
//! koncli where the description has it, and as pipelines. The files are in `tests/node/seed`.

use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Barrier, Lease};
use kube::ResourceExt;

use super::deployed::{
    all_complete, began, container, ended, file, find, is, koncli, kubectl, namespace, pods,
};
use super::history::most_in_use;
use crate::cluster::Cluster;

/// How many batch Jobs there are.
const BATCH: usize = 100;

fn create(cluster: &Cluster, namespace: &str, name: &str, times: usize) {
    let file = file(&format!("seed/{name}"));
    for _ in 0..times {
        kubectl(cluster, namespace, &["create", "-f", &file]);
    }
}

/// Runs a pipeline to its end, which is a good one.
fn run(cluster: &Cluster, namespace: &str, name: &str, more: &[&str]) {
    let file = file(&format!("seed/{name}.kon"));
    let mut arguments = vec!["apply", &file, "--wait", "--timeout", "5m"];
    arguments.extend(more);
    koncli(cluster, namespace, &arguments);
}

/// Nobody of `later` has begun before everybody of `earlier` had ended.
fn one_after_another(earlier: &[Pod], later: &[Pod]) {
    let last = earlier.iter().map(|pod| ended(pod).expect("it has ended"));
    let last = last.max().expect("some");
    let first = later.iter().map(|pod| began(pod).expect("it has begun"));
    let first = first.min().expect("some");
    assert!(last <= first, "{first:?} is before {last:?}");
}

/// Scenario 1: an initContainer waits until the tenth extract has arrived.
pub async fn ten_extracts_complete_before_five_transforms_start(cluster: &Cluster) {
    let namespace = namespace(cluster, "etl").await;
    create(cluster, &namespace, "etl.yaml", 1);
    create(cluster, &namespace, "etl-transform.yaml", 5);
    create(cluster, &namespace, "etl-extract.yaml", 9);
    let arrived = |arrived: u32| {
        move |barriers: &[Barrier]| {
            let status = barriers.iter().find_map(|barrier| barrier.status.as_ref());
            status.is_some_and(|status| status.arrived == arrived)
        }
    };
    find(cluster, &namespace, arrived(9)).await;
    find(cluster, &namespace, |pods: &[Pod]| {
        let waiting = pods.iter().filter(|pod| {
            let status = pod
                .status
                .iter()
                .flat_map(|status| &status.init_container_statuses);
            let states = status
                .flatten()
                .filter_map(|container_status| container_status.state.as_ref());
            states.clone().any(|state| state.running.is_some())
        });
        waiting.count() == 5
    })
    .await;
    let transforms = pods(cluster, &namespace, "stage=transform").await;
    assert!(transforms.iter().all(|pod| began(pod).is_none()));
    create(cluster, &namespace, "etl-extract.yaml", 1);
    all_complete(cluster, &namespace, 15).await;
    find(cluster, &namespace, arrived(10)).await;
    let transforms = pods(cluster, &namespace, "stage=transform").await;
    assert_eq!(transforms.len(), 5, "no transform was tried twice");
}

/// The same as a pipeline.
pub async fn ten_extracts_complete_before_five_transforms_start_by_a_pipeline(cluster: &Cluster) {
    let namespace = namespace(cluster, "etl-kon").await;
    run(cluster, &namespace, "etl", &[]);
    all_complete(cluster, &namespace, 15).await;
    let stage = |stage: &str| format!("konductor.io/stage={stage}");
    let extracts = pods(cluster, &namespace, &stage("extract")).await;
    let transforms = pods(cluster, &namespace, &stage("transform")).await;
    assert_eq!((extracts.len(), transforms.len()), (10, 5));
    one_after_another(&extracts, &transforms);
}

/// Whether a Job's container printed a line.
fn printed(cluster: &Cluster, namespace: &str, job: &str, line: &str) -> bool {
    let job = format!("job/{job}");
    let text = kubectl(cluster, namespace, &["logs", &job, "--container", "report"]);
    text.lines().any(|printed| printed == line)
}

/// Scenario 2: who comes while the previous one still runs says so and leaves.
pub async fn a_cron_job_that_still_runs_is_not_run_again(cluster: &Cluster) {
    let namespace = namespace(cluster, "report").await;
    create(cluster, &namespace, "report.yaml", 1);
    let begin = |job: &str| {
        // As its schedule would.
        let from = ["create", "job", "--from=cronjob/daily-report", job];
        kubectl(cluster, &namespace, &from);
    };
    begin("first");
    let held = |leases: &[Lease]| {
        let status = leases.iter().find_map(|lease| lease.status.as_ref());
        status.is_some_and(|status| status.in_use == 1)
    };
    find(cluster, &namespace, held).await;
    begin("second");
    find(
        cluster,
        &namespace,
        |jobs: &[k8s_openapi::api::batch::v1::Job]| {
            jobs.iter()
                .any(|job| job.name_any() == "second" && is(job, "Complete"))
        },
    )
    .await;
    let skipping = "Previous job still running, skipping";
    assert!(printed(cluster, &namespace, "second", skipping));
    koncli(cluster, &namespace, &["barrier", "arrive", "books-closed"]);
    all_complete(cluster, &namespace, 2).await;
    assert!(printed(cluster, &namespace, "first", "reported"));
    find(cluster, &namespace, |leases| !held(leases)).await;
    begin("third");
    all_complete(cluster, &namespace, 3).await;
    assert!(printed(cluster, &namespace, "third", "reported"));
    let leases: Vec<Lease> = cluster.stored(&namespace).await;
    let tokens = leases
        .iter()
        .filter_map(|lease| lease.status.as_ref()?.token);
    let mut tokens: Vec<i64> = tokens.collect();
    tokens.dedup();
    assert_eq!(tokens.len(), 2, "two held it: {tokens:?}");
    assert!(tokens.is_sorted(), "{tokens:?}");
}

/// As a pipeline, later runs wait for their turn.
pub async fn reports_of_several_runs_never_overlap(cluster: &Cluster) {
    let namespace = namespace(cluster, "report-kon").await;
    create(cluster, &namespace, "report.yaml", 1);
    kubectl(
        cluster,
        &namespace,
        &["delete", "cronjob,lease.konductor.io", "--all"],
    );
    let runs = ["monday", "tuesday", "wednesday"];
    let pipeline = file("seed/report.kon");
    for run in runs {
        koncli(cluster, &namespace, &["apply", &pipeline, "--run", run]);
    }
    find(cluster, &namespace, |pods: &[Pod]| {
        pods.iter().any(|pod| began(pod).is_some())
    })
    .await;
    koncli(cluster, &namespace, &["barrier", "arrive", "books-closed"]);
    all_complete(cluster, &namespace, runs.len()).await;
    let mut worked = pods(cluster, &namespace, "konductor.io/stage=report").await;
    assert_eq!(worked.len(), runs.len());
    worked.sort_by_key(began);
    for pair in worked.windows(2) {
        one_after_another(&pair[..1], &pair[1..]);
    }
}

/// Scenario 3: a pod waits in its initContainer, and a suspended Job waits without a pod.
pub async fn a_job_starts_when_two_others_have_completed(cluster: &Cluster) {
    let namespace = namespace(cluster, "processing").await;
    create(cluster, &namespace, "processing.yaml", 1);
    all_complete(cluster, &namespace, 4).await;
    let of = |job: &str| format!("batch.kubernetes.io/job-name={job}");
    let mut before = pods(cluster, &namespace, &of("validation-job")).await;
    before.extend(pods(cluster, &namespace, &of("cleanup-job")).await);
    let mut after = pods(cluster, &namespace, &of("data-processing")).await;
    after.extend(pods(cluster, &namespace, &of("data-archiving")).await);
    assert_eq!((before.len(), after.len()), (2, 2));
    one_after_another(&before, &after);
    // What waited without a pod got one only now.
    let archiving = pods(cluster, &namespace, &of("data-archiving")).await;
    let created = archiving[0].creation_timestamp().expect("a time");
    assert!(
        before
            .iter()
            .all(|pod| ended(pod).expect("it has ended") <= created)
    );
}

/// The same as a pipeline.
pub async fn a_job_starts_when_two_others_have_completed_by_a_pipeline(cluster: &Cluster) {
    let namespace = namespace(cluster, "processing-kon").await;
    run(cluster, &namespace, "processing", &[]);
    let stage = |stage: &str| format!("konductor.io/stage={stage}");
    let mut before = pods(cluster, &namespace, &stage("validation")).await;
    before.extend(pods(cluster, &namespace, &stage("cleanup")).await);
    let after = pods(cluster, &namespace, &stage("data-processing")).await;
    assert_eq!((before.len(), after.len()), (2, 1));
    one_after_another(&before, &after);
}

/// Scenario 4: a hundred Jobs, ten at a time.
pub async fn a_hundred_jobs_run_ten_at_a_time(cluster: &Cluster) {
    let namespace = namespace(cluster, "batch").await;
    // All wait for the Semaphore, and ten start at once.
    create(cluster, &namespace, "batch-job.yaml", BATCH);
    create(cluster, &namespace, "batch.yaml", 1);
    all_complete(cluster, &namespace, BATCH).await;
    ten_at_a_time(cluster, &namespace, "batch-limit").await;
}

/// The same as a pipeline.
pub async fn a_hundred_jobs_run_ten_at_a_time_by_a_pipeline(cluster: &Cluster) {
    let namespace = namespace(cluster, "batch-kon").await;
    run(
        cluster,
        &namespace,
        "batch",
        &["--set", &format!("jobs={BATCH}")],
    );
    all_complete(cluster, &namespace, BATCH).await;
    ten_at_a_time(cluster, &namespace, "batch.batch-limit").await;
}

/// By the ledger as it was ever stored, and by when the containers ran.
async fn ten_at_a_time(cluster: &Cluster, namespace: &str, semaphore: &str) {
    let most = most_in_use(cluster, namespace, semaphore).await;
    assert_eq!(most, Some(10), "permits in use, at most");
    let worked = find(cluster, namespace, |pods: &[Pod]| pods.len() == BATCH).await;
    // A node reports whole seconds: one that began in the second in which another ended came after it.
    let times: Vec<_> = worked.iter().map(|pod| (began(pod), ended(pod))).collect();
    let most = times.iter().map(|(at, _)| {
        let there = times
            .iter()
            .filter(|(began, ended)| began <= at && at < ended);
        there.count()
    });
    assert!(most.max().expect("some") <= 10, "at the same time");
    let restarts = worked.iter().filter_map(container);
    assert_eq!(restarts.map(|status| status.restart_count).sum::<i32>(), 0);
}
