//! What has ended is deleted after its TTL, and what that costs: whoever has thousands of such objects takes
//! nothing from anybody else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Method, Request};
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Gate, GatePhase};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::Operator;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use serde_json::{Value, json};

/// The most that anything here takes on a machine that is busy.
const WITHIN: Duration = Duration::from_secs(90);
/// Gates that have ended: ten times as many as are reconciled at once.
const GATES: usize = 240;

/// How often a path was listed.
#[derive(Clone, Default)]
struct Lists(Arc<Mutex<BTreeMap<String, usize>>>);

impl Lists {
    /// A client whose lists are counted; those of paths that end so are never answered.
    fn counted(&self, to: &Client, unanswered: Option<String>) -> Client {
        let (to, lists) = (to.clone(), self.clone());
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let to = to.clone();
            let query = request.uri().query().unwrap_or_default();
            let path = request.uri().path().to_owned();
            let is_list = request.method() == Method::GET && !query.contains("watch=true");
            let is_answered = !unanswered.as_ref().is_some_and(|end| path.ends_with(end));
            // A page is not another list.
            if is_list && !query.contains("continue=") {
                *lists.0.lock().expect("no panic").entry(path).or_default() += 1;
            }
            async move {
                if is_list && !is_answered {
                    std::future::pending::<()>().await;
                }
                to.send(request).await
            }
        });
        Client::new(service, "default")
    }

    fn of(&self, namespace: &str, plural: &str) -> usize {
        let suffix = format!("/namespaces/{namespace}/{plural}");
        let lists = self.0.lock().expect("no panic");
        let counts = lists.iter().filter(|(path, _)| path.ends_with(&suffix));
        counts.map(|(_, count)| count).sum()
    }
}

async fn with_operator(client: Client, what: impl Future<Output = ()>) {
    let operator = Operator::start_through(client);
    tokio::time::timeout(WITHIN, what).await.expect("in time");
    operator.stop().await;
}

/// A Gate that has ended long ago, and is to be deleted at once.
async fn ended_gate(gates: &Api<Gate>, name: &str) {
    let gate: Gate = serde_json::from_value(json!({
        "apiVersion": "konductor.io/v1", "kind": "Gate", "metadata": {"name": name},
        "spec": {
            "conditions": [{"type": "Job", "name": "none", "state": "Complete"}],
            "ttlAfterFinished": "1s",
        },
    }))
    .expect("a Gate");
    let created = gates.create(&PostParams::default(), &gate).await;
    let mut gate: Value = serde_json::to_value(created.expect("created")).expect("JSON");
    gate["status"] = json!({
        "phase": "Open", "openedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:00Z",
    });
    let gate = serde_json::from_value(gate).expect("a Gate");
    let ended = gates
        .replace_status(name, &PostParams::default(), &gate)
        .await;
    ended.expect("ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_is_read_a_few_times_however_many_of_its_objects_are_deleted() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("ttl").await;
    let gates: Api<Gate> = Api::namespaced(cluster.client.clone(), &namespace);
    for index in 0..GATES {
        ended_gate(&gates, &format!("g-{index}")).await;
    }
    let lists = Lists::default();
    with_operator(lists.counted(&cluster.client, None), async {
        while !gates
            .list_metadata(&ListParams::default())
            .await
            .expect("a list")
            .items
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for plural in ["jobs", "gates", "barriers"] {
        let count = lists.of(&namespace, plural);
        // A few for all of them: one read answers those that are due before it begins.
        assert!((1..=GATES / 20).contains(&count), "{plural}: {count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_waits_for_any_more_is_deleted_although_its_ttl_was_over_before() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("ttl").await;
    let gates: Api<Gate> = Api::namespaced(cluster.client.clone(), &namespace);
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &namespace);
    ended_gate(&gates, "g").await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "waits", "annotations": {
            "konductor.io/gate": "g", "konductor.io/hold": "lease/missing",
        }},
        "spec": {"suspend": true, "template": {"spec": {
            "restartPolicy": "Never", "containers": [{"name": "main", "image": "none"}],
        }}},
    });
    let job = serde_json::from_value(job).expect("a Job");
    jobs.create(&PostParams::default(), &job)
        .await
        .expect("created");
    let lists = Lists::default();
    with_operator(lists.counted(&cluster.client, None), async {
        // It has looked, and found the Job.
        while lists.of(&namespace, "barriers") == 0 {
            tokio::task::yield_now().await;
        }
        assert!(gates.get_opt("g").await.expect("an answer").is_some());
        let deleted = jobs.delete("waits", &DeleteParams::background()).await;
        deleted.expect("deleted");
        let gone = await_condition(gates.clone(), "g", |gate: Option<&Gate>| gate.is_none());
        gone.await.expect("a watch");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_wait_for_a_scan_keep_nobody_else_waiting() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("ttl").await;
    let gates: Api<Gate> = Api::namespaced(cluster.client.clone(), &namespace);
    for index in 0..GATES {
        ended_gate(&gates, &format!("g-{index}")).await;
    }
    let lists = Lists::default();
    // Only a scan lists one namespace, and this one never ends.
    let unanswered = Some(format!("/namespaces/{namespace}/barriers"));
    with_operator(lists.counted(&cluster.client, unanswered), async {
        while lists.of(&namespace, "barriers") == 0 {
            tokio::task::yield_now().await;
        }
        let gate = json!({
            "apiVersion": "konductor.io/v1", "kind": "Gate", "metadata": {"name": "next"},
            "spec": {"conditions": [{"type": "Gate", "name": "g-0", "state": "Open"}]},
        });
        let gate = serde_json::from_value(gate).expect("a Gate");
        let created = gates.create(&PostParams::default(), &gate).await;
        created.expect("created");
        let opened = await_condition(gates.clone(), "next", |gate: Option<&Gate>| {
            let status = gate.and_then(|gate| gate.status.as_ref());
            status.is_some_and(|status| status.phase == GatePhase::Open)
        });
        opened.await.expect("a watch");
        let all = gates.list_metadata(&ListParams::default()).await;
        assert_eq!(all.expect("a list").items.len(), GATES + 1);
    })
    .await;
}
