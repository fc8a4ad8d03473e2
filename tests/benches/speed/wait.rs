//! P1: the last arrival, until all that wait have returned.

use std::time::{Duration, Instant};

use futures::future::join_all;
use konductor_api::{ArrivalOutcome, Barrier, BarrierPhase};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::api::{Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::json;
use tokio::task::JoinSet;

use crate::measure::{Row, ms, quantile, times};
use crate::raw::{api, create, object};

const ROUNDS: usize = 11;

/// With 1, 100 and 1,000 that wait.
pub(crate) async fn barriers(cluster: &Cluster) -> Vec<Row> {
    let namespace = cluster.namespace("p1").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let mut rows = Vec::new();
    for waiters in [1, 100, 1000] {
        let (mut floors, mut ours) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let name = format!("b-{waiters}-{round}");
            floors.push(floor(cluster, &format!("raw-{name}"), waiters).await);
            ours.push(ours_once(cluster, &namespace, &name, waiters).await);
        }
        let [floor50, ours50] = [quantile(&floors, 0.5), quantile(&ours, 0.5)];
        let [floor99, ours99] = [quantile(&floors, 0.99), quantile(&ours, 0.99)];
        rows.push(Row {
            id: "P1",
            what: format!("last arrival → {waiters} that wait have returned, p50 (p99)"),
            floor: format!("{} ({})", ms(floor50), ms(floor99)),
            ours: format!("{} ({})", ms(ours50), ms(ours99)),
            ratio: format!("{} ({})", times(ours50, floor50), times(ours99, floor99)),
            target: "≤ 2× (≤ 3×)",
        });
    }
    rows
}

/// One write of a status, and its way to as many watches.
async fn floor(cluster: &Cluster, name: &str, waiters: usize) -> Duration {
    let namespace = cluster.namespace("p1-raw").await;
    let barriers = api::<Barrier>(&cluster.client, &namespace);
    create(&barriers, vec![object(name, json!({"expected": 1}))]).await;
    let version = barriers.get(name).await.expect("a barrier");
    let version = version.metadata.resource_version.expect("a version");
    let params = WatchParams::default().fields(&format!("metadata.name={name}"));
    let open = (0..waiters).map(|_| barriers.watch(&params, &version));
    let mut watching = JoinSet::new();
    for events in join_all(open).await {
        let events = events.expect("a watch");
        watching.spawn(async move {
            use futures::{StreamExt, TryStreamExt};
            let mut events = events.boxed();
            while let Some(event) = events.try_next().await.expect("an event") {
                if let WatchEvent::Modified(_) = event {
                    return;
                }
            }
        });
    }
    let begun = Instant::now();
    let body = Patch::Merge(json!({"status": {"phase": "Waiting", "arrived": 1}}));
    let patched = barriers
        .patch_status(name, &PatchParams::default(), &body)
        .await;
    patched.expect("patched");
    while watching.join_next().await.is_some() {}
    begun.elapsed()
}

async fn ours_once(cluster: &Cluster, namespace: &str, name: &str, waiters: usize) -> Duration {
    let client = cluster.konductor(namespace);
    let barriers = api::<Barrier>(&cluster.client, namespace);
    create(&barriers, vec![object(name, json!({"expected": 2}))]).await;
    let first = client.arrive_barrier(name, "first", ArrivalOutcome::Succeeded);
    first.await.expect("arrived");
    konductor_tests::watching::until(&cluster.client, namespace, name, |barrier: &Barrier| {
        let status = barrier.status.as_ref();
        status.is_some_and(|status| status.arrived == 1 && status.phase == BarrierPhase::Waiting)
    })
    .await;
    let mut waiting = JoinSet::new();
    for _ in 0..waiters {
        let (client, name) = (client.clone(), name.to_owned());
        waiting.spawn(async move { client.wait_barrier(&name, None).await });
    }
    // Their watches are open when the server counts them; nothing else watches Barriers that long.
    watches(cluster, waiters).await;
    let begun = Instant::now();
    let last = client.arrive_barrier(name, "last", ArrivalOutcome::Succeeded);
    last.await.expect("arrived");
    while let Some(waited) = waiting.join_next().await {
        waited.expect("it did not panic").expect("it opened");
    }
    begun.elapsed()
}

/// Waits until the API server serves at least so many watches of Barriers.
async fn watches(cluster: &Cluster, at_least: usize) {
    loop {
        let request = http::Request::get("/metrics")
            .body(Vec::new())
            .expect("a request");
        let text = cluster.client.request_text(request).await.expect("metrics");
        let count: f64 = text
            .lines()
            .filter(|line| {
                line.starts_with("apiserver_longrunning_requests{")
                    && line.contains("resource=\"barriers\"")
                    && line.contains("verb=\"WATCH\"")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        if count as usize >= at_least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
