//! P7 to P9: ten thousand primitives and ten thousand Jobs, with nothing to do.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Arrival, Barrier, Claim, Gate, Lease, Run, Semaphore};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::measure::{Extent, Of, Row, ms, progress};
use crate::raw::{Object, api, create, is_open, job, object, reached};
use crate::usage::{memory, requests, settled};

/// Of each of four kinds.
const EACH: usize = 2500;
const IDLE: Duration = Duration::from_secs(60);
const WITHIN: Duration = Duration::from_secs(300);
const ALL_WITHIN: Duration = Duration::from_secs(1800);
/// A look reads all primitives, which costs the API server time.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Idle, in memory, and started again.
pub(crate) async fn ten_thousand(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let each = extent.of(EACH);
    let namespace = cluster.namespace("p8").await;
    let gates = api::<Gate>(&cluster.client, &namespace);
    progress(&format!(
        "P7: {} primitives and as many Jobs are created",
        4 * each
    ));
    primitives(cluster, &namespace, 0..each).await;
    let jobs = jobs(0..4 * each, |index| format!("g-{}", index % each));
    create(&api::<Job>(&cluster.client, &namespace), jobs).await;
    progress("P7: the operator starts, and decides on each");
    let operator = OperatorProcess::start(cluster, &namespace);
    decided(cluster, &namespace).await;
    settled(cluster).await;
    progress(&format!("P7: nothing to do for {} s", IDLE.as_secs()));
    let before = requests(cluster).await;
    tokio::time::sleep(IDLE).await;
    let written = requests(cluster).await.since(&before).writes();
    let (now, mut peak) = memory(operator.id());
    operator.kill();
    // Again, with everything written: what a restart costs.
    let (mut floors, mut starts) = (Vec::new(), Vec::new());
    for round in 0..extent.rounds(5) {
        progress(&format!("P9: start {}", round + 1));
        floors.push(ms(list_all(cluster, &namespace).await));
        let name = format!("late-{round}");
        create(&gates, vec![object(&name, json!({"decision": "Open"}))]).await;
        let begun = Instant::now();
        let operator = OperatorProcess::start(cluster, &namespace);
        reached(&gates, &name, WITHIN, is_open).await;
        starts.push(ms(begun.elapsed()));
        settled(cluster).await;
        peak = peak.max(memory(operator.id()).1);
        operator.kill();
    }
    let what = format!("{} primitives and as many Jobs", 4 * each);
    vec![
        Row::new(
            "P7",
            format!("{what}: writes in {} s with nothing to do", IDLE.as_secs()),
            "writes",
            &[written],
        )
        .at_most(Of::Konductor, 0.0),
        // 60 MB.
        Row::new(
            "P8",
            format!("{what}: the operator's memory"),
            "MiB",
            &[now],
        )
        .at_most(Of::Konductor, 57.2),
        Row::new(
            "P8",
            format!("{what}: the most memory it had"),
            "MiB",
            &[peak],
        )
        .beside("the memory that it keeps", &[now], &[peak])
        .at_most(Of::Ratio, 1.5),
        Row::new(
            "P9",
            format!("{what}: started → first right decision"),
            "ms",
            &starts,
        )
        .beside("a paged list of the same objects", &floors, &starts)
        .at_most(Of::Ratio, 2.0),
    ]
}

/// Barriers, Gates, Semaphores and Leases with these numbers.
pub(crate) async fn primitives(cluster: &Cluster, namespace: &str, each: std::ops::Range<usize>) {
    async fn made<K: Object>(
        cluster: &Cluster,
        namespace: &str,
        prefix: &str,
        each: std::ops::Range<usize>,
        spec: Value,
    ) {
        let objects = each.map(|index| object::<K>(&format!("{prefix}-{index}"), spec.clone()));
        create(&api::<K>(&cluster.client, namespace), objects.collect()).await;
    }
    made::<Barrier>(
        cluster,
        namespace,
        "b",
        each.clone(),
        json!({"expected": 3}),
    )
    .await;
    let conditions = json!({"conditions": [{"type": "Job", "name": "none", "state": "Complete"}]});
    made::<Gate>(cluster, namespace, "g", each.clone(), conditions).await;
    made::<Semaphore>(cluster, namespace, "s", each.clone(), json!({"permits": 3})).await;
    made::<Lease>(cluster, namespace, "l", each, json!({"ttl": "30s"})).await;
}

/// Jobs with these numbers, each of which waits for a Gate.
pub(crate) fn jobs(numbers: std::ops::Range<usize>, gate: impl Fn(usize) -> String) -> Vec<Job> {
    let waiting_job = |index| {
        let annotations = json!({"konductor.io/gate": gate(index)});
        job(&format!("j-{index}"), annotations)
    };
    numbers.map(waiting_job).collect()
}

/// Waits until the operator has decided about each primitive.
async fn decided(cluster: &Cluster, namespace: &str) {
    async fn without_status<K: Object>(cluster: &Cluster, namespace: &str) -> usize {
        let api = api::<K>(&cluster.client, namespace);
        let all = api.list(&ListParams::default()).await;
        let all = all.expect("a list").items;
        let objects = all.iter().map(serde_json::to_value);
        let is_decided = |object: &Value| object["status"].is_object();
        objects
            .filter(|object| !object.as_ref().is_ok_and(is_decided))
            .count()
    }
    let begun = Instant::now();
    loop {
        let undecided = without_status::<Barrier>(cluster, namespace).await
            + without_status::<Gate>(cluster, namespace).await
            + without_status::<Semaphore>(cluster, namespace).await
            + without_status::<Lease>(cluster, namespace).await;
        if undecided == 0 {
            return;
        }
        assert!(
            begun.elapsed() < ALL_WITHIN,
            "{undecided} primitives have no status"
        );
        progress(&format!("{undecided} primitives have no status yet"));
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Reads everything that the operator reads, page by page, all kinds at once.
async fn list_all(cluster: &Cluster, namespace: &str) -> Duration {
    async fn list<K: Object>(cluster: &Cluster, namespace: &str) {
        let api = api::<K>(&cluster.client, namespace);
        let mut params = ListParams::default().limit(500);
        loop {
            let page = api.list(&params).await.expect("a page");
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return,
            }
        }
    }
    let begun = Instant::now();
    tokio::join!(
        list::<Job>(cluster, namespace),
        list::<Arrival>(cluster, namespace),
        list::<Barrier>(cluster, namespace),
        list::<Claim>(cluster, namespace),
        list::<Gate>(cluster, namespace),
        list::<Lease>(cluster, namespace),
        list::<Run>(cluster, namespace),
        list::<Semaphore>(cluster, namespace),
    );
    begun.elapsed()
}
