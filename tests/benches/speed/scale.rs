//! P7 to P9: ten thousand primitives and ten thousand Jobs, with nothing to do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Arrival, Barrier, Claim, Gate, Lease, Run, Semaphore};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::OperatorProcess;
use konductor_tests::watching::until;
use kube::api::ListParams;
use serde_json::json;

use crate::measure::{Row, ms, quantile, times};
use crate::raw::{Object, api, create, job, names, object};

const EACH: usize = 2500;
const IDLE: Duration = Duration::from_secs(60);
const STARTS: usize = 5;

/// Writes that the API server has counted, by resource and verb.
pub(crate) struct Writes(BTreeMap<(String, String), f64>);

impl Writes {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let counts = self.0.iter().map(|(key, count)| {
            let known = before.0.get(key).copied().unwrap_or_default();
            (key.clone(), count - known)
        });
        Self(counts.filter(|(_, count)| *count > 0.0).collect())
    }

    pub(crate) fn of(&self, resources: &[&str], verbs: &[&str]) -> f64 {
        let wanted = self.0.iter().filter(|((resource, verb), _)| {
            resources.contains(&resource.as_str()) && verbs.contains(&verb.as_str())
        });
        wanted.map(|(_, count)| count).sum()
    }
}

/// What the API server has counted so far.
pub(crate) async fn writes_of(cluster: &Cluster) -> Writes {
    let request = http::Request::get("/metrics")
        .body(Vec::new())
        .expect("a request");
    let text = cluster.client.request_text(request).await.expect("metrics");
    let mut writes = BTreeMap::new();
    for line in text
        .lines()
        .filter(|line| line.starts_with("apiserver_request_total{"))
    {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let (Some(resource), Some(verb)) = (label("resource"), label("verb")) else {
            continue;
        };
        let verb = if verb == "APPLY" { "PATCH" } else { verb };
        if matches!(verb, "PUT" | "PATCH" | "POST" | "DELETE") {
            let count = line
                .rsplit(' ')
                .next()
                .and_then(|count| count.parse::<f64>().ok());
            *writes
                .entry((resource.to_owned(), verb.to_owned()))
                .or_insert(0.0) += count.unwrap_or_default();
        }
    }
    Writes(writes)
}

/// Idle, in memory, and started again.
pub(crate) async fn ten_thousand(cluster: &Cluster) -> Vec<Row> {
    let namespace = cluster.namespace("p8").await;
    fill(cluster, &namespace).await;
    let operator = OperatorProcess::start(cluster, &namespace);
    until(&cluster.client, &namespace, "g-0", |gate: &Gate| {
        gate.status.is_some()
    })
    .await;
    settled(cluster, &operator).await;
    let before = writes_of(cluster).await;
    tokio::time::sleep(IDLE).await;
    let idle = writes_of(cluster).await.since(&before);
    let ours = [
        "jobs",
        "barriers",
        "gates",
        "semaphores",
        "leases",
        "claims",
        "runs",
        "events",
    ];
    let written = idle.of(&ours, &["PUT", "PATCH", "POST", "DELETE"]);
    let (now, peak) = memory(operator.id());
    operator.kill();
    // Again, with everything written: what a restart costs.
    let (mut floors, mut starts, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..STARTS {
        floors.push(list_all(cluster, &namespace).await);
        let name = format!("late-{round}");
        let gates = api::<Gate>(&cluster.client, &namespace);
        create(&gates, vec![object(&name, json!({"decision": "Open"}))]).await;
        let begun = Instant::now();
        let operator = OperatorProcess::start(cluster, &namespace);
        until(&cluster.client, &namespace, &name, |gate: &Gate| {
            gate.status
                .as_ref()
                .is_some_and(|status| status.opened_at.is_some())
        })
        .await;
        starts.push(begun.elapsed());
        peaks.push(memory(operator.id()).1);
        operator.kill();
    }
    let (floor, start) = (quantile(&floors, 0.5), quantile(&starts, 0.5));
    let what = "10,000 primitives, 10,000 Jobs";
    vec![
        Row {
            id: "P7",
            what: format!("{what}: writes in {} s with nothing to do", IDLE.as_secs()),
            floor: "0".into(),
            ours: format!("{written}"),
            ratio: String::new(),
            target: "0",
        },
        Row {
            id: "P8",
            what: format!("{what}: memory, and its peak"),
            floor: String::new(),
            ours: format!(
                "{now:.0} MiB, {:.0} MiB",
                peaks.iter().fold(peak, |a, b| a.max(*b))
            ),
            ratio: format!(
                "peak {:.2}×",
                peaks.iter().fold(peak, |a, b| a.max(*b)) / now
            ),
            target: "≤ 60 MB, peak ≤ 1.5×",
        },
        Row {
            id: "P9",
            what: format!("{what}: started → first right decision, p50"),
            floor: ms(floor),
            ours: ms(start),
            ratio: times(start, floor),
            target: "≤ 2×",
        },
    ]
}

/// 2,500 each of Barriers, Gates, Semaphores and Leases; 10,000 Jobs that wait for the Gates.
async fn fill(cluster: &Cluster, namespace: &str) {
    async fn made<K: Object>(
        cluster: &Cluster,
        namespace: &str,
        prefix: &str,
        spec: serde_json::Value,
    ) {
        let all = names(prefix, EACH);
        let objects = all.iter().map(|name| object::<K>(name, spec.clone()));
        create(&api::<K>(&cluster.client, namespace), objects.collect()).await;
    }
    made::<Barrier>(cluster, namespace, "b", json!({"expected": 3})).await;
    made::<Gate>(
        cluster,
        namespace,
        "g",
        json!({"conditions": [{"type": "Job", "name": "none", "state": "Complete"}]}),
    )
    .await;
    made::<Semaphore>(cluster, namespace, "s", json!({"permits": 3})).await;
    made::<Lease>(cluster, namespace, "l", json!({"ttl": "30s"})).await;
    let jobs = names("j", 4 * EACH);
    let jobs = jobs.iter().enumerate().map(|(index, name)| {
        job(
            name,
            json!({"konductor.io/gate": format!("g-{}", index % EACH)}),
        )
    });
    create(&api::<Job>(&cluster.client, namespace), jobs.collect()).await;
}

/// Waits until the operator has nothing left to write.
async fn settled(cluster: &Cluster, operator: &OperatorProcess) {
    let mut before = writes_of(cluster).await;
    loop {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let now = writes_of(cluster).await;
        if now.since(&before).of(
            &["barriers", "gates", "semaphores", "leases", "jobs"],
            &["PUT", "PATCH"],
        ) == 0.0
        {
            return;
        }
        assert!(operator.id() > 0);
        before = now;
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
    join_all([
        Box::pin(list::<Job>(cluster, namespace)) as std::pin::Pin<Box<dyn Future<Output = ()>>>,
        Box::pin(list::<Arrival>(cluster, namespace)),
        Box::pin(list::<Barrier>(cluster, namespace)),
        Box::pin(list::<Claim>(cluster, namespace)),
        Box::pin(list::<Gate>(cluster, namespace)),
        Box::pin(list::<Lease>(cluster, namespace)),
        Box::pin(list::<Run>(cluster, namespace)),
        Box::pin(list::<Semaphore>(cluster, namespace)),
    ])
    .await;
    begun.elapsed()
}

/// What a process has in memory, and the most it had, in MiB, as Linux counts it.
fn memory(process: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let kib = |name: &str| {
        let line = status
            .lines()
            .find(|line| line.starts_with(name))
            .expect("a line");
        let number = line
            .split_whitespace()
            .nth(1)
            .and_then(|number| number.parse::<f64>().ok());
        number.expect("a number") / 1024.0
    };
    (kib("VmRSS:"), kib("VmHWM:"))
}
