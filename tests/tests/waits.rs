//! `koncli barrier wait` and `koncli gate wait` as processes, before an API server that goes away, breaks
//! off and forgets: each continues within its timeout, ends at once where it must, and asks nothing while
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
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

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

    /// `koncli ARGUMENTS`.
    fn koncli(&self, arguments: &[&str]) -> Child {
        Command::new(koncli())
            .args(["--namespace", &self.namespace, "--kubeconfig"])
            .arg(self.cluster.folder().join("front"))
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("koncli starts")
    }

    /// `koncli KIND wait ready`, when its watch has begun.
    async fn wait(&self, kind: &str, timeout: &str) -> Child {
        let child = self.koncli(&[kind, "wait", "ready", "--timeout", timeout]);
        self.watches(kind, 1).await;
        child
    }

    /// Creates an object of konductor.io/v1.
    async fn create(&self, kind: &str, name: &str, spec: Value) {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("konductor.io", "v1", kind));
        let mut object = DynamicObject::new(name, &resource);
        object.data = json!({ "spec": spec });
        let (client, namespace) = (self.cluster.client.clone(), &*self.namespace);
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let created = api.create(&PostParams::default(), &object).await;
        created.expect("it is created");
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

/// The next line that a command says.
async fn line(lines: &mut Lines<BufReader<ChildStderr>>) -> String {
    let line = tokio::time::timeout(WITHIN, lines.next_line()).await;
    let line = line.expect("it says something").expect("text");
    line.expect("it continues")
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
        // One watch gets 410, and the next one starts from the present state.
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

/// What waits for an object, and the object that lets it continue.
fn waiting_commands() -> [(Vec<&'static str>, &'static str, &'static str, Value); 5] {
    let lease = json!({"ttl": "30s"});
    [
        (
            vec!["gate", "wait", "later"],
            "Gate",
            "gate",
            json!({"decision": "Open"}),
        ),
        (
            vec!["wait", "gate/later"],
            "Gate",
            "gate",
            json!({"decision": "Open"}),
        ),
        (
            vec!["semaphore", "acquire", "later"],
            "Semaphore",
            "semaphore",
            json!({"permits": 1}),
        ),
        (
            vec!["lease", "acquire", "later"],
            "Lease",
            "lease",
            lease.clone(),
        ),
        (vec!["lease", "hold", "later"], "Lease", "lease", lease),
    ]
}

/// A command with options, and what it holds for.
fn with<'a>(command: &[&'a str], options: &[&'a str]) -> Vec<&'a str> {
    let mut all = [command, options].concat();
    if command.contains(&"hold") {
        all.extend(["--", "true"]);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_yet_is_waited_for_and_that_is_said_once() {
    for (command, kind, word, spec) in waiting_commands() {
        let stage = Stage::set().await;
        let mut waiting = stage.koncli(&with(&command, &["--timeout", "5m"]));
        let mut said = BufReader::new(waiting.stderr.take().expect("stderr")).lines();
        let missing = format!(
            "{word}/later in namespace {} does not exist",
            stage.namespace
        );
        let first = line(&mut said).await;
        assert!(first.starts_with(&missing), "{command:?}: {first}");
        stage.watches(word, 1).await;
        stage.create(kind, "later", spec).await;
        let code = tokio::time::timeout(WITHIN, waiting.wait()).await;
        let code = code.expect("it ends").expect("a status").code();
        assert_eq!(code, Some(0), "{command:?}");
        while let Some(more) = said.next_line().await.expect("text") {
            assert!(!more.contains("does not exist"), "{command:?}: {more}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_at_the_start_is_waited_for_and_that_is_said_once() {
    for (command, kind, _, spec) in waiting_commands() {
        let mut stage = Stage::set().await;
        stage.create(kind, "later", spec).await;
        stage.front.kill();
        let mut waiting = stage.koncli(&with(&command, &["--timeout", "5m"]));
        let mut said = BufReader::new(waiting.stderr.take().expect("stderr")).lines();
        let first = line(&mut said).await;
        let away = "the API server can't be reached; trying again: ";
        assert!(first.starts_with(away), "{command:?}: {first}");
        stage.front.restart();
        let code = tokio::time::timeout(WITHIN, waiting.wait()).await;
        let code = code.expect("it ends").expect("a status").code();
        assert_eq!(code, Some(0), "{command:?}");
        while let Some(more) = said.next_line().await.expect("text") {
            assert!(!more.starts_with(away), "{command:?}: {more}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exit_codes_distinguish_a_timeout_from_what_was_not_to_be_waited_for() {
    let mut stage = Stage::set().await;
    let options: [(&[&str], i32, i32); 3] = [
        (&["--timeout", "300ms"], 3, 3),
        (&["--timeout", "0"], 4, 6),
        (&["--fail-if-missing"], 4, 6),
    ];
    let ends = async |stage: &Stage, is_away: bool| {
        for (command, ..) in waiting_commands() {
            for (options, missing, away) in options {
                let (code, said) = ended(stage.koncli(&with(&command, options))).await;
                let expected = if is_away { away } else { missing };
                assert_eq!(code, expected, "{command:?} {options:?}: {said}");
            }
        }
    };
    ends(&stage, false).await;
    stage.front.kill();
    ends(&stage, true).await;
}

/// It takes part in no election; only a leader's Lease was looked at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_without_an_election_is_seen_by_what_it_writes() {
    let stage = Stage::set().await;
    stage
        .create("Semaphore", "batch", json!({"permits": 1}))
        .await;
    let (code, said) =
        ended(stage.koncli(&["semaphore", "acquire", "batch", "--holder", "a"])).await;
    assert_eq!(code, 0, "{said}");
    let second = [
        "semaphore",
        "acquire",
        "batch",
        "--holder",
        "b",
        "--timeout",
        "7s",
    ];
    let gate = ["gate", "wait", "ready", "--timeout", "7s"];
    let (queued, waiting) = (stage.koncli(&second), stage.koncli(&gate));
    for child in [queued, waiting] {
        let (code, said) = ended(child).await;
        assert_eq!(code, 3, "{said}");
        assert!(!said.contains("operator"), "{said}");
    }
    let doctor = stage
        .koncli(&["doctor"])
        .wait_with_output()
        .await
        .expect("an output");
    let printed = String::from_utf8_lossy(&doctor.stdout).into_owned();
    let answers = format!(
        "ok    operator     it answers in namespace {}",
        stage.namespace
    );
    assert!(printed.contains(&answers), "{printed}");
}

/// One that starts asks for five seconds, and is there after one.
#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_starts_is_asked_again_soon() {
    let stage = Stage::set().await;
    let faults = &stage.front.faults;
    faults.begin("starts", "get gates", How::Status(503), Some(3));
    let begun = Instant::now();
    let waiting = stage.wait("gate", "5m").await;
    // To do as it asks would take three times five seconds.
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
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
        // Only time can show that nothing comes.
        tokio::time::sleep(Duration::from_secs(idle)).await;
        let requests = stage.front.faults.requests();
        let resource = format!("{kind}s");
        let once = [format!("get {resource}"), format!("watch {resource}")];
        let expected = once.to_vec();
        let (first, renewals) = requests.split_at(expected.len());
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
