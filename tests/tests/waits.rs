//! `koncli barrier wait` and `koncli gate wait` as processes, before an API server that goes away, breaks
//! off and forgets: each goes on within its timeout, ends at once where it must, and asks nothing while
//! nothing happens.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use konductor::Client;
use konductor_api::{ArrivalOutcome, Barrier, BarrierPhase, Gate, GatePhase};
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::fault::How;
use konductor_tests::front::Front;
use konductor_tests::operator::Operator;
use konductor_tests::watching::{WITHIN, until};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::process::{Child, Command};

const KINDS: [&str; 2] = ["barrier", "gate"];
/// So soon after what it waits for can't come any more, a wait has ended: no timeout, no poll.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A barrier and a gate, both named `ready`, with their operator; koncli reaches them by the front.
struct Stage {
    cluster: Cluster,
    namespace: String,
    client: Client,
    front: Front,
    _operator: Operator,
}

impl Stage {
    async fn set() -> Self {
        let cluster = Cluster::embedded().await;
        let namespace = cluster.namespace("waits").await;
        let operator = Operator::start(&cluster, &namespace);
        let client = cluster.konductor(&namespace);
        let front = Front::start(&cluster.client);
        front.write_kubeconfig(&cluster.folder().join("front"));
        let stage = Self {
            cluster,
            namespace,
            client,
            front,
            _operator: operator,
        };
        let barrier = json!({"metadata": {"name": "ready"}, "spec": {"expected": 1}});
        let barrier: Barrier = serde_json::from_value(barrier).expect("a barrier");
        let barriers = stage.api::<Barrier>();
        let created = barriers.create(&PostParams::default(), &barrier).await;
        created.expect("a barrier");
        let gate = json!({"metadata": {"name": "ready"}, "spec": {}});
        let gate: Gate = serde_json::from_value(gate).expect("a gate");
        let gates = stage.api::<Gate>();
        let created = gates.create(&PostParams::default(), &gate).await;
        created.expect("a gate");
        stage
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// `koncli KIND wait ready`, when its watch has begun.
    async fn wait(&self, kind: &str, timeout: &str) -> Child {
        let child = Command::new(koncli())
            .args([kind, "wait", "ready", "--timeout", timeout])
            .args(["--namespace", &self.namespace, "--kubeconfig"])
            .arg(self.cluster.folder().join("front"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("koncli starts");
        self.watches(kind, 1).await;
        child
    }

    /// Waits until so many watches of a kind have begun.
    async fn watches(&self, kind: &str, count: usize) {
        let request = format!("watch {kind}s");
        let arrived = self.front.faults.arrived(&request, count);
        let arrived = tokio::time::timeout(WITHIN, arrived).await;
        let requests = self.front.faults.requests();
        assert!(arrived.is_ok(), "{count} times {request}: {requests:?}");
    }

    /// Opens or fails one, and waits until the operator has done so.
    async fn end(&self, kind: &str, well: bool) {
        let (client, namespace) = (&self.cluster.client, &*self.namespace);
        if kind == "barrier" {
            let outcome = match well {
                true => ArrivalOutcome::Succeeded,
                false => ArrivalOutcome::Failed,
            };
            let arrived = self
                .client
                .arrive_barrier("ready", "somebody", outcome)
                .await;
            arrived.expect("an arrival");
            let has_ended = |barrier: &Barrier| {
                let status = barrier.status.as_ref();
                status.is_some_and(|status| status.phase != BarrierPhase::Waiting)
            };
            until::<Barrier>(client, namespace, "ready", has_ended).await;
        } else {
            let decision = if well { "Open" } else { "Failed" };
            let patch = Patch::Merge(json!({"spec": {"decision": decision}}));
            let gates = self.api::<Gate>();
            let patched = gates.patch("ready", &PatchParams::default(), &patch).await;
            patched.expect("a decision");
            let has_ended = |gate: &Gate| {
                let status = gate.status.as_ref();
                status.is_some_and(|status| status.phase != GatePhase::Waiting)
            };
            until::<Gate>(client, namespace, "ready", has_ended).await;
        }
    }
}

async fn ended(child: Child) -> (i32, String) {
    let output = tokio::time::timeout(WITHIN, child.wait_with_output()).await;
    let output: Output = output.expect("it ends").expect("an output");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_survives_a_cut_watch_410_and_a_restart_of_the_api_server() {
    for kind in KINDS {
        let mut stage = Stage::set().await;
        let waiting = stage.wait(kind, "5m").await;
        stage.front.faults.cut_watches();
        stage.watches(kind, 2).await;
        let watch = format!("watch {kind}s");
        let faults = &stage.front.faults;
        faults.begin("expired", &watch, How::Status(410), Some(1));
        faults.cut_watches();
        // One is told 410, and the one after it is begun from where things are now.
        stage.watches(kind, 4).await;
        stage.front.restart();
        stage.watches(kind, 5).await;
        // What happens while the API server is away is seen when it is back.
        stage.front.kill();
        stage.end(kind, true).await;
        stage.front.restart();
        let (code, said) = ended(waiting).await;
        assert_eq!((code, &*said), (0, ""), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_at_once_where_what_it_waits_for_can_not_come_any_more() {
    for kind in KINDS {
        let stage = Stage::set().await;
        let waiting = stage.wait(kind, "1h").await;
        stage.end(kind, false).await;
        let failed = Instant::now();
        let (code, said) = ended(waiting).await;
        assert!(failed.elapsed() < AT_ONCE, "{:?}", failed.elapsed());
        assert_eq!(code, 1, "{kind}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_by_its_timeout_also_while_the_api_server_is_away() {
    for kind in KINDS {
        let mut stage = Stage::set().await;
        let begun = Instant::now();
        let waiting = stage.wait(kind, "3s").await;
        stage.front.kill();
        let (code, said) = ended(waiting).await;
        let took = begun.elapsed();
        let in_time = Duration::from_secs(3)..AT_ONCE;
        assert!(in_time.contains(&took), "{kind}: {took:?}");
        assert_eq!(code, 3, "{kind}: {said}");
    }
}

/// One that starts asks for five seconds, and is there after one.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_starts_is_asked_again_soon() {
    let stage = Stage::set().await;
    let faults = &stage.front.faults;
    faults.begin("starts", "get gates", How::Status(503), Some(3));
    let begun = Instant::now();
    let waiting = stage.wait("gate", "5m").await;
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    stage.end("gate", true).await;
    assert_eq!(ended(waiting).await.0, 0);
}

/// `KONDUCTOR_IDLE` is for how many seconds nothing happens; the watch is renewed after 8, so that a
/// frozen connection is noticed.
#[tokio::test(flavor = "multi_thread")]
async fn a_wait_asks_nothing_while_nothing_happens() {
    let idle = std::env::var("KONDUCTOR_IDLE").map(|text| text.parse().expect("seconds"));
    let idle: u64 = idle.unwrap_or(3);
    let stages = futures::future::join_all(KINDS.map(|kind| async move {
        let stage = Stage::set().await;
        let waiting = stage.wait(kind, "1h").await;
        // Once, after a while, it looks whether there is an operator at all.
        let looked = stage.front.faults.arrived("list leases", 1);
        let looked = tokio::time::timeout(WITHIN, looked).await;
        looked.expect("it looks for an operator");
        let before = stage.front.faults.requests();
        // Only time can show that nothing comes.
        tokio::time::sleep(Duration::from_secs(idle)).await;
        let asked = stage.front.faults.requests();
        let resource = format!("{kind}s");
        let once = [format!("get {resource}"), format!("watch {resource}")];
        let mut expected = once.to_vec();
        expected.push("list leases".to_owned());
        assert_eq!(before, expected);
        let (first, renewals) = asked.split_at(expected.len());
        assert_eq!(first, expected, "{kind}");
        assert!(
            renewals.iter().all(|request| once.contains(request)),
            "{kind}: {renewals:?}"
        );
        let most = usize::try_from(idle / 8 + 1).expect("a count") * once.len();
        assert!(renewals.len() <= most, "{kind}, in {idle} s: {renewals:?}");
        stage.end(kind, true).await;
        assert_eq!(ended(waiting).await.0, 0, "{kind}");
    }));
    stages.await;
}
