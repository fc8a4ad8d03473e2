//! What the API server was asked, and what processes use.

use std::collections::BTreeMap;
use std::time::Duration;

use konductor_tests::cluster::Cluster;

use crate::measure::progress;

/// Linux counts processor time for programs in hundredths of a second.
const TICKS_A_SECOND: f64 = 100.0;
/// So long nothing is written if nothing is left to write.
const QUIET: Duration = Duration::from_secs(3);

/// Our kinds and Jobs: what the operator writes, but for events and its own Lease of `coordination.k8s.io`.
const GROUPS: [&str; 2] = ["konductor.io", "batch"];
const WRITES: [&str; 4] = ["PUT", "PATCH", "POST", "DELETE"];

/// Requests that the API server has counted, by group, resource and verb.
pub(crate) struct Requests(BTreeMap<(String, String, String), f64>);

impl Requests {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let counts = self.0.iter().map(|(key, count)| {
            let earlier = before.0.get(key).copied().unwrap_or_default();
            (key.clone(), count - earlier)
        });
        Self(counts.filter(|(_, count)| *count > 0.0).collect())
    }

    /// How many of these resources of these verbs, in the groups that the operator writes to.
    pub(crate) fn of(&self, resources: &[&str], verbs: &[&str]) -> f64 {
        let counts = self.0.iter().filter(|((group, resource, verb), _)| {
            GROUPS.contains(&group.as_str())
                && resources.contains(&resource.as_str())
                && verbs.contains(&verb.as_str())
        });
        counts.map(|(_, count)| count).sum()
    }

    /// All writes of our kinds and of Jobs.
    pub(crate) fn writes(&self) -> f64 {
        let counts = self.0.iter().filter(|((group, _, verb), _)| {
            GROUPS.contains(&group.as_str()) && WRITES.contains(&verb.as_str())
        });
        counts.map(|(_, count)| count).sum()
    }
}

/// The lines of the API server's metrics that begin so.
pub(crate) async fn metrics(cluster: &Cluster, name: &str) -> Vec<String> {
    let request = http::Request::get("/metrics")
        .body(Vec::new())
        .expect("a request");
    let text = cluster.client.request_text(request).await.expect("metrics");
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.map(str::to_owned).collect()
}

/// The number at the end of a line of metrics.
pub(crate) fn value(line: &str) -> f64 {
    let number = line.rsplit(' ').next();
    number
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}

/// What the API server has counted so far.
pub(crate) async fn requests(cluster: &Cluster) -> Requests {
    let mut counts = BTreeMap::new();
    for line in metrics(cluster, "apiserver_request_total{").await {
        let label = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name}=\""))?;
            rest.split('"').next().map(str::to_owned)
        };
        let labels = (label(",group"), label(",resource"), label(",verb"));
        let (Some(group), Some(resource), Some(verb)) = labels else {
            continue;
        };
        let verb = if verb == "APPLY" {
            "PATCH".into()
        } else {
            verb
        };
        *counts.entry((group, resource, verb)).or_insert(0.0) += value(&line);
    }
    Requests(counts)
}

/// Waits until nobody writes any of our kinds or Jobs.
pub(crate) async fn settled(cluster: &Cluster) {
    let mut before = requests(cluster).await;
    loop {
        tokio::time::sleep(QUIET).await;
        let now = requests(cluster).await;
        let written = now.since(&before).writes();
        if written == 0.0 {
            return;
        }
        progress(&format!(
            "{written} writes in the last {} s",
            QUIET.as_secs()
        ));
        before = now;
    }
}

/// What a process has in memory, and the most it had, in MiB, as Linux counts it.
///
/// # Panics
/// If there is no such process.
pub(crate) fn memory(process: u32) -> (f64, f64) {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let mib = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        let kib: f64 = number.and_then(|number| number.parse().ok()).expect("KiB");
        kib / 1024.0
    };
    (mib("VmRSS:"), mib("VmHWM:"))
}

/// How long the processor has worked for a process, in seconds.
///
/// # Panics
/// If there is no such process.
pub(crate) fn processor(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    // The name of the program stands in brackets and may have blanks.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().expect("a number");
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}
