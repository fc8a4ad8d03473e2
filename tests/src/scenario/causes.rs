//! Why stages don't start or fail, from what a real scheduler and a real kubelet write: the proof of those rows of
//! docs/causes.md whose states are marked `node` in `tests/causes/states.yaml`.

use std::time::Instant;

use konductor_api::Run;
use serde_json::Value;

use super::deployed::{WITHIN, file, find, koncli, kubectl, namespace};
use crate::cluster::Cluster;

/// A stage, its state, and how that is explained.
const CAUSES: [(&str, &str, &str); 6] = [
    (
        "unschedulable",
        "pending",
        "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu",
    ),
    (
        "image",
        "pending",
        "ImagePullBackOff: Back-off pulling image \"konductor.invalid/none:1\"",
    ),
    (
        "secret",
        "pending",
        "CreateContainerConfigError: secret \"db\" not found",
    ),
    ("memory", "failed", "OOMKilled (exit code 137)"),
    ("command", "failed", "exit code 3: psql: connection refused"),
    (
        "init",
        "failed",
        "exit code 22 in init container fetch: 404 Not Found",
    ),
];

fn stages(cluster: &Cluster, namespace: &str) -> Vec<(String, String, String)> {
    let printed = koncli(
        cluster,
        namespace,
        &["status", "causes", "--output", "json"],
    );
    let view: Value = serde_json::from_str(&printed).expect("JSON");
    let stages = view["stages"].as_array().expect("stages").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    stages
        .map(|stage| {
            let item = &stage["items"][0];
            (
                text(&stage["name"]),
                text(&item["state"]),
                text(&item["why"]),
            )
        })
        .collect()
}

/// `koncli status` says each cause; the Run says the first one when it has ended, and the Jobs say theirs.
pub async fn each_cause_is_said_of_real_containers(cluster: &Cluster) {
    let namespace = namespace(cluster, "causes").await;
    koncli(
        cluster,
        &namespace,
        &["apply", &file("causes.kon"), "--run", "causes"],
    );
    let begun = Instant::now();
    loop {
        let stages = stages(cluster, &namespace);
        let is_said = |(stage, state, why): &(&str, &str, &str)| {
            stages
                .iter()
                .any(|(a, b, c)| a == stage && b == state && c.starts_with(why))
        };
        if CAUSES.iter().all(is_said) {
            break;
        }
        let pods = || kubectl(cluster, &namespace, &["get", "pods", "--output", "yaml"]);
        assert!(begun.elapsed() < WITHIN, "{stages:#?}\n{}", pods());
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    koncli(
        cluster,
        &namespace,
        &["cancel", "causes", "--wait", "--timeout", "5m"],
    );
    find(cluster, &namespace, |runs: &[Run]| {
        let statuses = runs.iter().filter_map(|run| run.status.as_ref());
        let mut conditions = statuses.flat_map(|status| &status.conditions);
        conditions.any(|condition| {
            let why = "stage memory failed (job/causes-memory): OOMKilled (exit code 137); \
                       2 other stages failed: command, init";
            condition.type_ == "Failing" && condition.message == why
        })
    })
    .await;
}
