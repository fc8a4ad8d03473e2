//! P1: the last arrival, until all that wait have returned. S5: the same with ten thousand tasks of one program.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use konductor_api::{ArrivalOutcome, Barrier, BarrierPhase};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use kube::api::{Patch, PatchParams, WatchParams};
use serde_json::json;
use tokio::task::JoinSet;

use crate::measure::{Extent, Of, Row, ms, progress, quantile};
use crate::raw::{api, create, object, reached, watch_those};
use crate::usage::{Requests, memory, metrics, requests, value};

const WITHIN: Duration = Duration::from_secs(120);
const FLOOR: &str = "one write of a status, and its way to as many watches";

/// P1: with 1, 100 and 1,000 that wait, each with a watch of its own, as programs have.
pub(crate) async fn barriers(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let namespace = cluster.namespace("p1").await;
    let _operator = OperatorProcess::start(cluster, &namespace);
    let mut rows = Vec::new();
    for waiters in extent.sizes(&[1, 100, 1000]) {
        progress(&format!("P1: {waiters} that wait"));
        let (mut floors, mut ours) = (Vec::new(), Vec::new());
        for round in 0..extent.rounds(11) {
            let name = format!("b-{waiters}-{round}");
            floors.push(ms(floor(cluster, &format!("raw-{name}"), waiters).await));
            ours.push(ms(ours_once(
                cluster,
                &namespace,
                &name,
                waiters,
                Waiters::Apart,
            )
            .await));
        }
        let what = "last arrival → all that wait have returned";
        let [floor99, ours99] = [quantile(&floors, 0.99), quantile(&ours, 0.99)];
        rows.push(
            Row::new("P1", format!("{what}, p50"), "ms", &ours)
                .beside(FLOOR, &floors, &ours)
                .sized(waiters, "waiters")
                .at_most(Of::Ratio, 2.0),
        );
        rows.push(
            Row::new("P1", format!("{what}, p99"), "ms", &[ours99])
                .beside(FLOOR, &[floor99], &[ours99])
                .sized(waiters, "waiters")
                .at_most(Of::Ratio, 3.0),
        );
    }
    rows
}

/// S5: 100, 1,000 and 10,000 tasks of one program, which share a watch.
pub(crate) async fn tasks(cluster: &Cluster, extent: Extent) -> Vec<Row> {
    let namespace = cluster.namespace("s5").await;
    let operator = OperatorProcess::start(cluster, &namespace);
    let mut rows = Vec::new();
    for waiters in extent.sizes(&[100, 1000, 10_000]) {
        progress(&format!("S5: {waiters} tasks that wait"));
        let mut ours = Vec::new();
        for round in 0..extent.rounds(5) {
            let name = format!("b-{waiters}-{round}");
            let took = ours_once(cluster, &namespace, &name, waiters, Waiters::Together).await;
            ours.push(ms(took));
        }
        let used = BTreeMap::from([
            (
                "the program's memory, MiB".to_owned(),
                memory(std::process::id()).0,
            ),
            (
                "the operator's memory, MiB".to_owned(),
                memory(operator.id()).0,
            ),
        ]);
        rows.push(
            Row::new(
                "S5",
                "last arrival → all tasks of one program have returned",
                "ms",
                &ours,
            )
            .sized(waiters, "tasks")
            .with_detail(used),
        );
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
    let opened = (0..waiters).map(|_| {
        watch_those(&barriers, params.clone(), version.clone(), |_: Barrier| {
            true
        })
    });
    let watching = join_all(opened).await;
    let begun = Instant::now();
    let body = Patch::Merge(json!({"status": {"phase": "Waiting", "arrived": 1}}));
    let patched = barriers
        .patch_status(name, &PatchParams::default(), &body)
        .await;
    patched.expect("patched");
    for watched in join_all(watching).await {
        watched.expect("it has seen the write");
    }
    begun.elapsed()
}

/// Whether those that wait share a client, and so a watch.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiters {
    Apart,
    Together,
}

async fn ours_once(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    waiters: usize,
    how: Waiters,
) -> Duration {
    let client = cluster.konductor(namespace);
    let barriers = api::<Barrier>(&cluster.client, namespace);
    create(&barriers, vec![object(name, json!({"expected": 2}))]).await;
    let first = client.arrive_barrier(name, "first", ArrivalOutcome::Succeeded);
    first.await.expect("arrived");
    reached(&barriers, name, WITHIN, |barrier| {
        let status = barrier.status.as_ref();
        status.is_some_and(|status| status.arrived == 1 && status.phase == BarrierPhase::Waiting)
    })
    .await;
    // Those of the last round are closed.
    while watched(cluster).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = requests(cluster).await;
    let mut waiting = JoinSet::new();
    for _ in 0..waiters {
        let client = match how {
            Waiters::Apart => cluster.konductor(namespace),
            Waiters::Together => client.clone(),
        };
        let name = name.to_owned();
        waiting.spawn(async move { client.wait_barrier(&name, None).await });
    }
    // Each has read the Barrier, and its watch, or the one that they share, is open.
    let watches = match how {
        Waiters::Apart => waiters,
        Waiters::Together => 1,
    };
    let reads = |now: &Requests| now.since(&before).of(&["barriers"], &["GET"]);
    while reads(&requests(cluster).await) < waiters as f64 || watched(cluster).await < watches {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    let last = client.arrive_barrier(name, "last", ArrivalOutcome::Succeeded);
    last.await.expect("arrived");
    while let Some(waited) = waiting.join_next().await {
        waited.expect("it did not panic").expect("it opened");
    }
    begun.elapsed()
}

/// How many watches of Barriers of one name the API server serves; the operator's are of all.
async fn watched(cluster: &Cluster) -> usize {
    let lines = metrics(cluster, "apiserver_longrunning_requests{").await;
    let of_barriers = lines.iter().filter(|line| {
        line.contains("resource=\"barriers\"")
            && line.contains("scope=\"resource\"")
            && line.contains("verb=\"WATCH\"")
    });
    of_barriers.map(|line| value(line)).sum::<f64>() as usize
}
