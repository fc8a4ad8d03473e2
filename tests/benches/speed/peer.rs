//! P16: Jobs that wait for a quota, with konductor's Semaphore and with Kueue.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use konductor_api::Semaphore;
use konductor_tests::cluster::Cluster;
use konductor_tests::kueue::{AdmissionGatedBy, Kueue, built, queue};
use konductor_tests::operator::OperatorProcess;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::measure::{Extent, Row, progress, rate};
use crate::raw::{api, create, job, names, object, reached, watch};

const WITHIN: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// P16: from a quota that grows from nothing to so many Jobs, to the start of the last of them.
///
/// Kueue comes after all rounds of konductor: while its webhooks are there, every write of a Job would ask them.
pub(crate) async fn quotas(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let Some(kueue) = built() else {
        progress("P16: skipped, because Kueue is not built: `just test-kueue` builds it");
        return Vec::new();
    };
    let count = extent.of(1000);
    let rounds = extent.rounds(3);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        progress(&format!("P16: konductor, round {round}, {count} Jobs"));
        ours.push(rate(count, of_a_semaphore(cluster, count).await));
    }
    let _kueue = Kueue::start(cluster, &kueue, AdmissionGatedBy::Off).await;
    for round in 1..=rounds {
        progress(&format!("P16: Kueue, round {round}, {count} Jobs"));
        theirs.push(rate(count, of_kueue(cluster, count).await));
    }
    let what = format!("a quota grows → {count} Jobs that waited for it are started");
    vec![Row::new("P16", what, "Jobs/s", &ours).beside(
        "a ClusterQueue of Kueue 0.17, with 500 requests a second",
        &theirs,
        &ours,
    )]
}

async fn of_a_semaphore(cluster: &Cluster, count: usize) -> Duration {
    let namespace = cluster.namespace("p16").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let semaphores = api::<Semaphore>(&cluster.client, &namespace);
    create(&semaphores, vec![object("s", json!({"permits": 0}))]).await;
    let jobs = api::<Job>(&cluster.client, &namespace);
    let annotations = json!({"konductor.io/hold": "semaphore/s"});
    let all = names("j", count).into_iter();
    create(
        &jobs,
        all.map(|name| job(&name, annotations.clone())).collect(),
    )
    .await;
    reached(&semaphores, "s", WITHIN, |semaphore| {
        semaphore.status.is_some()
    })
    .await;
    let started = all_started(&jobs, count).await;
    let begun = Instant::now();
    let grown = Patch::Merge(json!({"spec": {"permits": count}}));
    semaphores
        .patch("s", &PatchParams::default(), &grown)
        .await
        .expect("it has grown");
    started.await.expect("all started");
    begun.elapsed()
}

async fn of_kueue(cluster: &Cluster, count: usize) -> Duration {
    let namespace = cluster.namespace("p16-kueue").await;
    queue(cluster, &namespace, 0);
    let jobs = api::<Job>(&cluster.client, &namespace);
    let label = "kueue.x-k8s.io/queue-name";
    let queued = names("j", count).into_iter().map(|name| {
        let mut job = job(&name, json!({}));
        job.labels_mut()
            .insert(label.to_owned(), "batch".to_owned());
        job
    });
    create(&jobs, queued.collect()).await;
    let kind = GroupVersionKind::gvk("kueue.x-k8s.io", "v1beta2", "Workload");
    let kind = ApiResource::from_gvk(&kind);
    let workloads: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &namespace, &kind);
    let begun = Instant::now();
    loop {
        let list = workloads.list_metadata(&ListParams::default()).await;
        if list.expect("a list").items.len() == count {
            break;
        }
        assert!(begun.elapsed() < WITHIN, "Kueue has not queued all of them");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let started = all_started(&jobs, count).await;
    let pods = u32::try_from(count).expect("it is small");
    let begun = Instant::now();
    queue(cluster, &namespace, pods);
    started.await.expect("all started");
    begun.elapsed()
}

/// Ready when that many Jobs have been started from now on.
async fn all_started(jobs: &Api<Job>, count: usize) -> JoinHandle<()> {
    let mut started = BTreeSet::new();
    watch(jobs, move |job: Job| {
        if job.spec.as_ref().and_then(|spec| spec.suspend) == Some(false) {
            started.insert(job.name_any());
        }
        started.len() == count
    })
    .await
}
