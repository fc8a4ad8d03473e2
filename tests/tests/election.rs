//! Two operators and the Lease by which they agree, on the embedded API server: what each of them
//! writes, version by version. If a Lease lasts for an hour, nothing here can come from its end.

use std::time::Duration;

use http::{Request, Response};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use konductor_operator::{Clock, Error, LEADER_LEASE, LeaderElection, Options, Telemetry};
use konductor_tests::cluster::Cluster;
use konductor_tests::fault::{Faults, How};
use konductor_tests::watching::{Versions, WITHIN};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const NAMESPACE: &str = "default";
/// As long as a Lease may last, with the shortest grace: nobody is followed without a word, or renews.
const AN_HOUR: (u64, u64) = (3600, 1);
/// As short as it may be.
const BRIEF: (u64, u64) = (2, 1);

/// An operator that takes part.
struct Candidate {
    telemetry: Telemetry,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), Error>>,
}

impl Candidate {
    fn start(client: &Client, identity: &str, times: (u64, u64)) -> Self {
        Self::at(client, identity, times, SignedDuration::ZERO)
    }

    /// One whose clock is wrong by so much.
    fn at(client: &Client, identity: &str, times: (u64, u64), wrong: SignedDuration) -> Self {
        let telemetry = Telemetry::default();
        let options = Options {
            namespace: Some(NAMESPACE.to_owned()),
            leader_election: Some(LeaderElection {
                duration_seconds: times.0,
                grace_seconds: times.1,
                ..LeaderElection::new(NAMESPACE, identity)
            }),
            clock: Clock::new(move || Timestamp::now() + wrong),
            pending_timeout: None,
            traces: None,
            watches_last: konductor_operator::WatchesLast::default(),
            telemetry: telemetry.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let operator = konductor_operator::run(client.clone(), options, async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(operator);
        Self {
            telemetry,
            stop: Some(stop),
            task,
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        let ended = tokio::time::timeout(WITHIN, &mut self.task).await;
        ended
            .expect("in time")
            .expect("no panic")
            .expect("it ended well");
    }

    /// As `kill -9`.
    async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    fn leads(&self) -> bool {
        let text = self.telemetry.metrics_text();
        let leading = |line: &str| line.starts_with("konductor_leading{") && line.ends_with(" 1");
        text.lines().any(leading)
    }

    /// Waits until it stands by.
    async fn stands_by(&self) {
        eventually(|| self.telemetry.is_ready() && !self.leads()).await;
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn eventually(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(WITHIN, waiting)
        .await
        .expect("in time");
}

async fn cluster() -> (Cluster, Versions<Lease>) {
    let cluster = Cluster::embedded_without_controllers().await;
    let versions = Versions::watch(&cluster.client, NAMESPACE).await;
    (cluster, versions)
}

fn leases(client: &Client) -> Api<Lease> {
    Api::namespaced(client.clone(), NAMESPACE)
}

fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref())
        .unwrap_or_default()
}

/// Waits until somebody holds the Lease, as the versions show, and leads by it.
async fn leads(versions: &Versions<Lease>, identity: &str, candidate: &Candidate) {
    let is_holder = |lease: &Lease| holder(lease) == identity;
    eventually(|| versions.seen().last().is_some_and(is_holder)).await;
    eventually(|| candidate.leads()).await;
}

/// Who held each version, for how long, and how often the holder had changed by then.
fn history(versions: &Versions<Lease>) -> Vec<String> {
    let describe = |lease: &Lease| {
        let spec = lease.spec.clone().unwrap_or_default();
        let seconds = spec.lease_duration_seconds.unwrap_or_default();
        let transitions = spec.lease_transitions.unwrap_or_default();
        format!("{:?} {seconds} s #{transitions}", holder(lease))
    };
    versions.seen().iter().map(describe).collect()
}

/// The Lease as somebody else has left it.
async fn left(cluster: &Cluster, spec: Value) {
    let lease = json!({"metadata": {"name": LEADER_LEASE}, "spec": spec});
    let lease = serde_json::from_value(lease).expect("a Lease");
    let (leases, params) = (leases(&cluster.client), PostParams::default());
    leases.create(&params, &lease).await.expect("created");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_shutdown_hands_over_by_the_event_with_one_write_each() {
    let (cluster, versions) = cluster().await;
    let first = Candidate::start(&cluster.client, "first", AN_HOUR);
    leads(&versions, "first", &first).await;
    let second = Candidate::start(&cluster.client, "second", AN_HOUR);
    let third = Candidate::start(&cluster.client, "third", AN_HOUR);
    second.stands_by().await;
    third.stands_by().await;
    first.stop().await;
    eventually(|| second.leads() || third.leads()).await;
    let (leader, other, next, last) = if second.leads() {
        (second, third, "second", "third")
    } else {
        (third, second, "third", "second")
    };
    leader.stop().await;
    eventually(|| other.leads()).await;
    other.stop().await;
    eventually(|| versions.seen().len() >= 6).await;
    assert_eq!(
        history(&versions),
        [
            r#""first" 3600 s #0"#.to_owned(),
            r#""" 1 s #0"#.to_owned(),
            format!("{next:?} 3600 s #1"),
            r#""" 1 s #1"#.to_owned(),
            format!("{last:?} 3600 s #2"),
            r#""" 1 s #2"#.to_owned(),
        ]
    );
    let mut managers: Vec<String> = versions
        .seen()
        .iter()
        .flat_map(|lease| lease.metadata.managed_fields.clone().unwrap_or_default())
        .filter_map(|fields| fields.manager)
        .collect();
    managers.dedup();
    assert_eq!(managers, ["konductor-operator"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_vanishes_is_followed_when_its_lease_has_ended() {
    let (cluster, versions) = cluster().await;
    let first = Candidate::start(&cluster.client, "first", BRIEF);
    leads(&versions, "first", &first).await;
    let second = Candidate::start(&cluster.client, "second", AN_HOUR);
    second.stands_by().await;
    first.kill().await;
    // By the time that the Lease says, not by its own.
    leads(&versions, "second", &second).await;
    let mut history = history(&versions);
    history.dedup();
    assert_eq!(history, [r#""first" 2 s #0"#, r#""second" 3600 s #1"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_started_again_under_its_name_leads_at_once() {
    let (cluster, versions) = cluster().await;
    let first = Candidate::start(&cluster.client, "only", AN_HOUR);
    leads(&versions, "only", &first).await;
    first.kill().await;
    let again = Candidate::start(&cluster.client, "only", AN_HOUR);
    eventually(|| again.leads()).await;
    eventually(|| versions.seen().len() >= 2).await;
    assert_eq!(history(&versions), [r#""only" 3600 s #0"#; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_by_twenty_minutes_take_nothing_from_a_leader_that_renews() {
    let (cluster, versions) = cluster().await;
    let minutes = SignedDuration::from_mins;
    let behind = Candidate::at(&cluster.client, "behind", BRIEF, minutes(-10));
    leads(&versions, "behind", &behind).await;
    let ahead = Candidate::at(&cluster.client, "ahead", BRIEF, minutes(10));
    ahead.stands_by().await;
    // Twice as long as a Lease lasts.
    eventually(|| versions.seen().len() >= 9).await;
    let mut history = history(&versions);
    history.dedup();
    assert_eq!(history, [r#""behind" 2 s #0"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_lease_is_recreated_by_the_leader() {
    let (cluster, versions) = cluster().await;
    let first = Candidate::start(&cluster.client, "first", AN_HOUR);
    leads(&versions, "first", &first).await;
    let second = Candidate::start(&cluster.client, "second", AN_HOUR);
    second.stands_by().await;
    for _ in 0..3 {
        let before = versions.seen().len();
        let params = DeleteParams::default();
        let deleted = leases(&cluster.client).delete(LEADER_LEASE, &params).await;
        deleted.expect("it is there");
        eventually(|| versions.seen().len() > before).await;
    }
    assert_eq!(history(&versions), [r#""first" 3600 s #0"#; 4]);
    assert!(first.leads() && !second.leads());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_on_the_lease_takes_nothing_from_anybody() {
    let (cluster, versions) = cluster().await;
    let first = Candidate::start(&cluster.client, "first", BRIEF);
    leads(&versions, "first", &first).await;
    let labelled = json!({"metadata": {"labels": {"team": "data"}}});
    let labelled = Patch::Merge(labelled);
    let (leases, params) = (leases(&cluster.client), PatchParams::default());
    let labelled = leases.patch(LEADER_LEASE, &params, &labelled).await;
    labelled.expect("labelled");
    let before = versions.seen().len();
    eventually(|| versions.seen().len() > before + 3).await;
    let labels = |lease: &Lease| lease.metadata.labels.clone().unwrap_or_default();
    let last = versions.seen().pop().expect("a version");
    assert_eq!(labels(&last).get("team").map(String::as_str), Some("data"));
    let mut history = history(&versions);
    history.dedup();
    assert_eq!(history, [r#""first" 2 s #0"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_lease_does_not_block_election() {
    let far = "2999-01-01T00:00:00.000000Z";
    let table = [
        (json!({}), 1),
        (json!({"holderIdentity": ""}), 1),
        (json!({"holderIdentity": "gone"}), 1),
        (
            json!({"holderIdentity": "gone", "leaseDurationSeconds": 1, "renewTime": far}),
            1,
        ),
        (
            json!({"holderIdentity": "gone", "leaseDurationSeconds": 1, "leaseTransitions": i32::MAX}),
            i32::MAX,
        ),
        (
            json!({"leaseTransitions": 41, "acquireTime": far, "renewTime": far}),
            42,
        ),
    ];
    for (spec, transitions) in table {
        let (cluster, versions) = cluster().await;
        left(&cluster, spec.clone()).await;
        let candidate = Candidate::start(&cluster.client, "me", BRIEF);
        leads(&versions, "me", &candidate).await;
        eventually(|| versions.seen().len() >= 2).await;
        let history = history(&versions);
        assert_eq!(history[1], format!(r#""me" 2 s #{transitions}"#), "{spec}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_can_t_renew_stops_before_another_leads_and_stands_by() {
    let (cluster, versions) = cluster().await;
    let faults = Faults::default();
    let first = Candidate::start(&faults.client(&cluster.client), "first", BRIEF);
    leads(&versions, "first", &first).await;
    faults.set_down(true);
    eventually(|| !first.leads()).await;
    // Nobody else was there, so it was by itself; what it holds still lasts.
    assert_eq!(holder(versions.seen().last().expect("a version")), "first");
    let second = Candidate::start(&cluster.client, "second", BRIEF);
    leads(&versions, "second", &second).await;
    faults.set_down(false);
    first.stands_by().await;
    second.stop().await;
    leads(&versions, "first", &first).await;
    let mut history = history(&versions);
    history.dedup();
    assert_eq!(
        history,
        [
            r#""first" 2 s #0"#,
            r#""second" 2 s #1"#,
            r#""" 1 s #1"#,
            r#""first" 2 s #2"#,
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_fails_once_costs_nobody_the_lead() {
    let failing = async |how| {
        let (cluster, versions) = cluster().await;
        let faults = Faults::default();
        let first = Candidate::start(&faults.client(&cluster.client), "first", (6, 1));
        leads(&versions, "first", &first).await;
        faults.begin("renewal", "patch leases", how, Some(1));
        faults.arrived("patch leases", 2).await;
        // What was stored although its answer was lost is renewed once more.
        let stored = if how == How::LoseAnswer { 3 } else { 2 };
        eventually(|| versions.seen().len() >= stored).await;
        assert!(first.leads(), "{how:?}");
        let same = vec![r#""first" 6 s #0"#; stored];
        let mut history = history(&versions);
        history.truncate(stored);
        assert_eq!(history, same, "{how:?}");
    };
    tokio::join!(
        failing(How::LoseAnswer),
        failing(How::Status(500)),
        failing(How::Status(429)),
        failing(How::Status(403)),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_answer_is_lost_is_found_and_renewed() {
    let (cluster, versions) = cluster().await;
    let faults = Faults::default();
    faults.begin("creation", "create leases", How::LoseAnswer, Some(1));
    let first = Candidate::start(&faults.client(&cluster.client), "first", AN_HOUR);
    eventually(|| first.leads()).await;
    eventually(|| versions.seen().len() >= 2).await;
    assert_eq!(history(&versions), [r#""first" 3600 s #0"#; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_at_the_start_is_waited_for() {
    let (cluster, versions) = cluster().await;
    let faults = Faults::default();
    faults.set_down(true);
    let first = Candidate::start(&faults.client(&cluster.client), "first", AN_HOUR);
    faults.begin("busy", "get leases", How::Status(500), Some(2));
    assert!(!first.telemetry.is_ready(), "it has seen nothing yet");
    faults.set_down(false);
    leads(&versions, "first", &first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_from_the_start_is_an_error_that_says_what_to_do() {
    for (request, verb) in [("get leases", "get"), ("create leases", "create")] {
        let (cluster, _) = cluster().await;
        let faults = Faults::default();
        faults.begin("forbidden", request, How::Status(403), None);
        let mut refused = Candidate::start(&faults.client(&cluster.client), "first", AN_HOUR);
        let ended = tokio::time::timeout(WITHIN, &mut refused.task).await;
        let error = ended
            .expect("in time")
            .expect("no panic")
            .expect_err("refused");
        assert_eq!(
            error.to_string(),
            format!(
                "leader election by lease default/konductor-operator failed: the test answers 403 to \
                 {verb} leases; check that the operator may create, get, list, watch and patch \
                 leases.coordination.k8s.io there"
            )
        );
    }
}

/// A client that may not list or watch the Lease, as by a Role from before there was a watch.
fn without_a_watch(to: &Client) -> Client {
    let to = to.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let to = to.clone();
        async move {
            let path = request.uri().path();
            if path.starts_with("/apis/coordination.k8s.io/")
                && path.ends_with("/leases")
                && request.method() == http::Method::GET
            {
                let status = json!({
                    "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 403,
                    "reason": "Forbidden", "message": "the test forbids it",
                });
                let answer = Response::builder().status(403);
                return Ok(answer.body(Body::from(status.to_string().into_bytes()))?);
            }
            to.send(request)
                .await
                .map_err(Box::<dyn std::error::Error + Send + Sync>::from)
        }
    });
    Client::new(service, NAMESPACE)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_watch_looks_now_and_then() {
    let (cluster, versions) = cluster().await;
    let first = Candidate::start(&cluster.client, "first", AN_HOUR);
    leads(&versions, "first", &first).await;
    let second = Candidate::start(&without_a_watch(&cluster.client), "second", AN_HOUR);
    second.stands_by().await;
    first.stop().await;
    leads(&versions, "second", &second).await;
    second.stop().await;
    eventually(|| versions.seen().len() >= 4).await;
    assert_eq!(
        history(&versions),
        [
            r#""first" 3600 s #0"#,
            r#""" 1 s #0"#,
            r#""second" 3600 s #1"#,
            r#""" 1 s #1"#,
        ]
    );
}
