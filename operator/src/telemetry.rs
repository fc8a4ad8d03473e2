//! What the operator tells about itself: metrics for Prometheus, and whether it is ready.
//!
//! No name of a run, a Job or a Claim is a label: there is no end of them. Names of Semaphores and
//! Leases are, as people tune those one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::{
    BarrierStatus, Claim, ClaimPhase, GateStatus, Holder, LedgerKind, RunPhase, RunStatus,
    annotation, parse_holds,
};
use konductor_core::{ObjectName, job};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::cache::Cache;
use crate::index::Watched;

/// What OpenMetrics readers expect of the answer.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// From a millisecond to a minute: how long a reconcile takes.
const RECONCILE_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];
/// From a tenth of a second to a day: how long Jobs, people and data make each other wait.
const WAIT_SECONDS: [f64; 12] = [
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 43_200.0, 86_400.0,
];

/// What the operator tells about itself. Copies are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    registry: Registry,
    state: Mutex<Phase>,
    /// What the operator knows, while it works.
    cache: Mutex<Weak<Cache>>,
}

impl Default for Inner {
    fn default() -> Self {
        let (metrics, registry) = Metrics::registered();
        Self {
            metrics,
            registry,
            state: Mutex::default(),
            cache: Mutex::default(),
        }
    }
}

/// How far the operator has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has not reached the API server yet.
    #[default]
    Starting,
    /// Another one leads, and this one would take over.
    StandingBy,
    /// It leads, and lists what there is.
    Listing,
    /// It leads and decides.
    Working,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    kind: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct Ledger {
    kind: &'static str,
    namespace: String,
    name: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
struct Metrics {
    reconciles: Family<Ended, Counter>,
    reconcile_seconds: Histograms<OfKind>,
    reconciling: Family<OfKind, Gauge>,
    queued: Family<OfKind, Counter>,
    watch_failures: Family<OfKind, Counter>,
    writes: Family<OfKind, Counter>,
    waits: Histograms<OfKind>,
    holds: Histograms<OfKind>,
    runs: Histograms<Outcome>,
    objects: Family<OfKind, Gauge>,
    permits: Family<Ledger, Gauge>,
    in_use: Family<Ledger, Gauge>,
    waiting: Family<Ledger, Gauge>,
    leading: Gauge,
}

impl Metrics {
    fn registered() -> (Self, Registry) {
        let reconcile: fn() -> Histogram = || Histogram::new(RECONCILE_SECONDS);
        let wait: fn() -> Histogram = || Histogram::new(WAIT_SECONDS);
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(reconcile),
            reconciling: Family::default(),
            queued: Family::default(),
            watch_failures: Family::default(),
            writes: Family::default(),
            waits: Family::new_with_constructor(wait),
            holds: Family::new_with_constructor(wait),
            runs: Family::new_with_constructor(wait),
            objects: Family::default(),
            permits: Family::default(),
            in_use: Family::default(),
            waiting: Family::default(),
            leading: Gauge::default(),
        };
        let mut registry = Registry::with_prefix("konductor");
        let Self {
            reconciles,
            reconcile_seconds,
            reconciling,
            queued,
            watch_failures,
            writes,
            waits,
            holds,
            runs,
            objects,
            permits,
            in_use,
            waiting,
            leading,
        } = &metrics;
        let seconds = Unit::Seconds;
        registry.register(
            "reconcile",
            "Reconciles by their result",
            reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile_duration",
            "How long a reconcile took",
            seconds.clone(),
            reconcile_seconds.clone(),
        );
        registry.register(
            "reconcile_active",
            "Reconciles under way",
            reconciling.clone(),
        );
        registry.register(
            "queue_adds",
            "Objects queued for a reconcile",
            queued.clone(),
        );
        registry.register(
            "watch_failures",
            "Watches that broke",
            watch_failures.clone(),
        );
        registry.register("writes", "Objects written, by kind", writes.clone());
        registry.register_with_unit(
            "wait_duration",
            "From the creation of a Barrier or Gate to its opening, of a Claim to its grant, of a \
             Job to its start",
            seconds.clone(),
            waits.clone(),
        );
        registry.register_with_unit(
            "hold_duration",
            "From a grant to its end",
            seconds.clone(),
            holds.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "From the start of a Run to its end",
            seconds,
            runs.clone(),
        );
        registry.register(
            "objects",
            "Objects in the operator's cache",
            objects.clone(),
        );
        registry.register(
            "permits",
            "Permits of a Semaphore or Lease",
            permits.clone(),
        );
        registry.register("permits_in_use", "Permits that are held", in_use.clone());
        registry.register(
            "queue_length",
            "Claims and Jobs that wait for a Semaphore or Lease",
            waiting.clone(),
        );
        registry.register("leading", "1 where this operator decides", leading.clone());
        (metrics, registry)
    }
}

/// Counts a reconcile as under way until it is dropped.
pub(crate) struct Reconciling<'a> {
    telemetry: &'a Telemetry,
    kind: &'static str,
    begun: std::time::Instant,
    result: &'static str,
}

impl Reconciling<'_> {
    pub(crate) fn ends(&mut self, result: &'static str) {
        self.result = result;
    }
}

impl Drop for Reconciling<'_> {
    fn drop(&mut self) {
        let metrics = self.telemetry.metrics();
        let of_kind = OfKind { kind: self.kind };
        metrics.reconciling.get_or_create(&of_kind).dec();
        let seconds = self.begun.elapsed().as_secs_f64();
        metrics
            .reconcile_seconds
            .get_or_create(&of_kind)
            .observe(seconds);
        let ended = Ended {
            kind: self.kind,
            result: self.result,
        };
        metrics.reconciles.get_or_create(&ended).inc();
    }
}

impl Telemetry {
    /// Whether the operator works, or would take over at once.
    pub fn is_ready(&self) -> bool {
        matches!(*lock(&self.0.state), Phase::StandingBy | Phase::Working)
    }

    /// The metrics, in the OpenMetrics text format.
    pub fn metrics_text(&self) -> String {
        let cache = lock(&self.0.cache).upgrade();
        self.look_at(cache.as_deref());
        let mut text = String::new();
        if encode(&mut text, &self.0.registry).is_err() {
            // Writing to a String does not fail.
            text.clear();
        }
        text
    }

    /// `/metrics`, `/healthz` (the process answers) and `/readyz`.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| std::future::ready("ok")))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self.clone())
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *lock(&self.0.state) = phase;
        let leads = matches!(phase, Phase::Listing | Phase::Working);
        self.metrics().leading.set(leads.into());
    }

    pub(crate) fn know(&self, cache: &Arc<Cache>) {
        *lock(&self.0.cache) = Arc::downgrade(cache);
    }

    pub(crate) fn reconciling(&self, kind: Watched) -> Reconciling<'_> {
        let kind = kind.word();
        self.metrics()
            .reconciling
            .get_or_create(&OfKind { kind })
            .inc();
        Reconciling {
            telemetry: self,
            kind,
            begun: std::time::Instant::now(),
            result: "error",
        }
    }

    pub(crate) fn queued(&self, kind: Watched) {
        let kind = kind.word();
        self.metrics().queued.get_or_create(&OfKind { kind }).inc();
    }

    pub(crate) fn watch_broke(&self, kind: Watched) {
        let kind = kind.word();
        let failures = &self.metrics().watch_failures;
        failures.get_or_create(&OfKind { kind }).inc();
    }

    pub(crate) fn wrote(&self, kind: Watched) {
        let kind = kind.word();
        self.metrics().writes.get_or_create(&OfKind { kind }).inc();
    }

    /// What was created then has what it waited for now.
    pub(crate) fn waited(&self, kind: Watched, created: &ObjectMeta, now: Timestamp) {
        if let Some(since) = &created.creation_timestamp {
            let kind = kind.word();
            let waits = self.metrics().waits.get_or_create(&OfKind { kind });
            waits.observe(seconds(since.0, now));
        }
    }

    /// A ledger was written: who is missing held until now.
    pub(crate) fn ledger(
        &self,
        kind: LedgerKind,
        before: Option<&[Holder]>,
        holders: &[Holder],
        now: Timestamp,
    ) {
        let holds = &self.metrics().holds;
        let of_kind = OfKind {
            kind: Watched::from(kind).word(),
        };
        for held in before.unwrap_or_default() {
            let ended = !holders.iter().any(|holder| holder.uid == held.uid);
            if let (true, Some(since)) = (ended, &held.since) {
                holds.get_or_create(&of_kind).observe(seconds(since.0, now));
            }
        }
    }

    /// A Barrier's status was written.
    pub(crate) fn barrier(
        &self,
        meta: &ObjectMeta,
        old: Option<&BarrierStatus>,
        new: &BarrierStatus,
    ) {
        let before = old.and_then(|status| status.opened_at.as_ref());
        self.opened(Watched::Barrier, meta, before, new.opened_at.as_ref());
    }

    /// A Gate's status was written.
    pub(crate) fn gate(&self, meta: &ObjectMeta, old: Option<&GateStatus>, new: &GateStatus) {
        let before = old.and_then(|status| status.opened_at.as_ref());
        self.opened(Watched::Gate, meta, before, new.opened_at.as_ref());
    }

    fn opened(&self, kind: Watched, meta: &ObjectMeta, old: Option<&Time>, new: Option<&Time>) {
        if let (None, Some(opened)) = (old, new) {
            self.waited(kind, meta, opened.0);
        }
    }

    /// A Run's status was written.
    pub(crate) fn run(&self, old: Option<&RunStatus>, new: &RunStatus) {
        let outcome = match new.phase {
            RunPhase::Running | RunPhase::Finalizing => return,
            RunPhase::Succeeded => "Succeeded",
            RunPhase::Failed => "Failed",
            RunPhase::Cancelled => "Cancelled",
        };
        let ended_before = old.is_some_and(|status| status.finished_at.is_some());
        if let (false, Some(started), Some(finished)) =
            (ended_before, &new.started_at, &new.finished_at)
        {
            let runs = self.metrics().runs.get_or_create(&Outcome { outcome });
            runs.observe(seconds(started.0, finished.0));
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Sets the gauges to what the cache shows.
    fn look_at(&self, cache: Option<&Cache>) {
        let metrics = self.metrics();
        metrics.objects.clear();
        metrics.permits.clear();
        metrics.in_use.clear();
        metrics.waiting.clear();
        let Some(cache) = cache else { return };
        for (kind, count) in cache.counts() {
            let kind = kind.word();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            metrics.objects.get_or_create(&OfKind { kind }).set(count);
        }
        let (claims, jobs) = (cache.claims.state(), cache.jobs.state());
        let mut waiting = waiting(&claims, &jobs, |kind, ledger, uid| {
            cache.holds(kind, ledger, uid)
        });
        let mut tell = |kind: LedgerKind, meta: &ObjectMeta, permits: u32, in_use: u32| {
            let name = ObjectName::of(meta);
            let ledger = Ledger {
                kind: Watched::from(kind).word(),
                namespace: name.namespace,
                name: name.name,
            };
            metrics.permits.get_or_create(&ledger).set(permits.into());
            metrics.in_use.get_or_create(&ledger).set(in_use.into());
            let length = waiting.remove(&ledger).unwrap_or_default();
            metrics.waiting.get_or_create(&ledger).set(length);
        };
        for one in cache.semaphores.state() {
            let in_use = one.status.as_ref().map_or(0, |status| status.in_use);
            tell(
                LedgerKind::Semaphore,
                &one.metadata,
                one.spec.permits,
                in_use,
            );
        }
        for one in cache.leases.state() {
            let in_use = one.status.as_ref().map_or(0, |status| status.in_use);
            tell(LedgerKind::Lease, &one.metadata, 1, in_use);
        }
    }
}

/// How many Claims and Jobs wait for each ledger; `holds` tells whether one has got it already.
fn waiting(
    claims: &[Arc<Claim>],
    jobs: &[Arc<Job>],
    holds: impl Fn(LedgerKind, &ObjectName, &str) -> bool,
) -> BTreeMap<Ledger, i64> {
    let mut waiting: BTreeMap<Ledger, i64> = BTreeMap::new();
    let mut count = |kind: LedgerKind, namespace: &str, name: &str| {
        let ledger = Ledger {
            kind: Watched::from(kind).word(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        *waiting.entry(ledger).or_default() += 1;
    };
    for claim in claims {
        let phase = claim.status.as_ref().map(|status| status.phase);
        if matches!(phase, None | Some(ClaimPhase::Queued)) {
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            count(claim.spec.target.kind, namespace, &claim.spec.target.name);
        }
    }
    for job in jobs.iter().filter(|job| job::asks_for_permits(job)) {
        let annotations = job.metadata.annotations.as_ref();
        let wanted = annotations.and_then(|all| all.get(annotation::HOLD));
        let wanted = wanted
            .and_then(|text| parse_holds(text).ok())
            .unwrap_or_default();
        let name = ObjectName::of(&job.metadata);
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        for hold in wanted {
            let ledger = ObjectName {
                namespace: name.namespace.clone(),
                name: hold.name.clone(),
            };
            if !holds(hold.kind, &ledger, uid) {
                count(hold.kind, &name.namespace, &hold.name);
            }
        }
    }
    waiting
}

fn seconds(since: Timestamp, until: Timestamp) -> f64 {
    let time = Duration::try_from(until.duration_since(since));
    time.unwrap_or_default().as_secs_f64()
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced as a whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn readyz(State(telemetry): State<Telemetry>) -> Response {
    if telemetry.is_ready() {
        "ok".into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the operator lists what there is\n",
        )
            .into_response()
    }
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        telemetry.metrics_text(),
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn metrics_have_the_names_and_types_that_the_docs_list() {
        let text = Telemetry::default().metrics_text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types: Vec<&str> = types.collect();
        assert_eq!(
            types,
            ["konductor_leading gauge"],
            "families without a series are left out"
        );

        let telemetry = Telemetry::default();
        drop(telemetry.reconciling(Watched::Gate));
        telemetry.queued(Watched::Gate);
        telemetry.watch_broke(Watched::Gate);
        telemetry.wrote(Watched::Gate);
        let (created, later) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH + DAY);
        let meta = ObjectMeta {
            creation_timestamp: Some(Time(created)),
            ..ObjectMeta::default()
        };
        telemetry.waited(Watched::Gate, &meta, later);
        let holder = Holder {
            kind: konductor_api::HolderKind::Claim,
            name: "c".into(),
            uid: "u".into(),
            holder: "h".into(),
            permits: 1,
            since: Some(Time(created)),
        };
        let both = [holder];
        telemetry.ledger(LedgerKind::Lease, None, &both, created);
        telemetry.ledger(LedgerKind::Lease, Some(&both), &both, created);
        telemetry.ledger(LedgerKind::Lease, Some(&both), &[], later);
        let mut run = RunStatus {
            phase: RunPhase::Succeeded,
            started_at: Some(Time(created)),
            finished_at: Some(Time(later)),
            ..RunStatus::default()
        };
        telemetry.run(None, &run);
        telemetry.run(Some(&run.clone()), &run);
        run.phase = RunPhase::Running;
        telemetry.run(None, &run);
        let text = telemetry.metrics_text();
        let docs = include_str!("../../docs/operations.md");
        for sample in text.lines().filter(|line| !line.starts_with('#')) {
            let name = sample.split(['{', ' ']).next().unwrap_or_default();
            let ends = ["_bucket", "_sum", "_count"];
            let name = ends
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name);
            assert!(
                docs.contains(&format!("`{name}`")),
                "{name} is not in docs/operations.md"
            );
        }
        let sums = text
            .lines()
            .filter(|line| !line.starts_with('#') && !line.contains("_bucket"));
        let sums: Vec<&str> = sums
            .filter(|line| !line.contains("reconcile_duration"))
            .collect();
        assert_eq!(
            sums,
            [
                r#"konductor_reconcile_total{kind="Gate",result="error"} 1"#,
                r#"konductor_reconcile_active{kind="Gate"} 0"#,
                r#"konductor_queue_adds_total{kind="Gate"} 1"#,
                r#"konductor_watch_failures_total{kind="Gate"} 1"#,
                r#"konductor_writes_total{kind="Gate"} 1"#,
                r#"konductor_wait_duration_seconds_sum{kind="Gate"} 86400.0"#,
                r#"konductor_wait_duration_seconds_count{kind="Gate"} 1"#,
                r#"konductor_hold_duration_seconds_sum{kind="Lease"} 86400.0"#,
                r#"konductor_hold_duration_seconds_count{kind="Lease"} 1"#,
                r#"konductor_run_duration_seconds_sum{outcome="Succeeded"} 86400.0"#,
                r#"konductor_run_duration_seconds_count{outcome="Succeeded"} 1"#,
                "konductor_leading 0",
            ]
        );
    }

    #[test]
    fn a_queue_has_the_jobs_that_ask_for_permits_whether_they_have_a_gate_or_not() {
        let job = |name: &str, annotations: Value, suspend: bool| -> Arc<Job> {
            let mut annotations = annotations;
            annotations["konductor.io/hold"] = "semaphore/batch, lease/schema".into();
            let job = json!({
                "metadata": {"name": name, "namespace": "n", "uid": name, "annotations": annotations},
                "spec": {"suspend": suspend, "template": {}},
            });
            Arc::new(serde_json::from_value(job).expect("a Job"))
        };
        let gate = "konductor.io/gate";
        let phase = "konductor.io/phase";
        let jobs = [
            job("by-hand", json!({}), true),
            job("gate-passed", json!({gate: "g", phase: "Queued"}), true),
            job("behind-its-gate", json!({gate: "g"}), true),
            job("started", json!({phase: "Running"}), false),
            job("cancelled", json!({phase: "Cancelled"}), true),
        ];
        let schema_is_held = |kind, _: &ObjectName, uid: &str| {
            kind == LedgerKind::Lease && uid == "by-hand"
        };
        let lengths = waiting(&[], &jobs, schema_is_held).into_iter();
        let lengths: Vec<_> = lengths.map(|(ledger, length)| (ledger.name, length)).collect();
        assert_eq!(lengths, [("schema".to_owned(), 1), ("batch".to_owned(), 2)]);
    }

    #[test]
    fn an_operator_is_ready_when_it_works_or_would_take_over() {
        let telemetry = Telemetry::default();
        let phases = [
            Phase::Starting,
            Phase::StandingBy,
            Phase::Listing,
            Phase::Working,
        ];
        let ready = phases.map(|phase| {
            telemetry.enter(phase);
            telemetry.is_ready()
        });
        assert_eq!(ready, [false, true, false, true]);
    }

    const DAY: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);
}
