//! The operator's telemetry: metrics for Prometheus, and readiness.
//!
//! No name of a run, a Job or a Claim is a label: there is no end of them. Names of Semaphores and
//! Leases are, as people tune those one by one, and those of pipelines. What has many series for each of them has
//! them for the first hundred only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::{BarrierStatus, GateStatus, Holder, LedgerKind, Run, RunPhase, RunStatus};
use konductor_core::ObjectName;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::index::Watched;
use crate::watch::Failure;

mod bounded;
mod gauges;
mod metrics;
mod process;
mod requests;
mod routes;
#[cfg(test)]
mod tests;

use bounded::Bounded;
pub(crate) use gauges::{Gauged, asked_since};
use metrics::{
    Because, Ended, Exported, Ledger, Metrics, OUTCOMES, OfController, OfKind, OfQueue, Outcome,
    Pipeline, Watching, controller, failed_start,
};

/// The operator's metrics and readiness. Clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    registry: Registry,
    state: Mutex<Phase>,
    /// The only namespace that is watched; empty: all.
    watched: Mutex<String>,
    /// The reconciles under way: of what, since when, and a number that no two have.
    working: Mutex<BTreeSet<(Watched, Instant, u64)>>,
    begun: AtomicU64,
    /// The pipelines and the ledgers that have series of their own.
    pipelines: Bounded<Pipeline>,
    ledgers: Bounded<Ledger>,
    /// What the operator knows, while it works.
    cache: Mutex<Option<Weak<dyn Gauged>>>,
    /// When the API server last answered each watch, while it works.
    heard: Mutex<BTreeMap<Watched, Instant>>,
}

/// A watch that has not been answered for this long shows what is no longer so. An API server that works
/// ends each after 8 s.
const SILENT_AFTER: Duration = Duration::from_secs(30);

impl Default for Inner {
    fn default() -> Self {
        let (metrics, registry) = Metrics::registered();
        Self {
            metrics,
            registry,
            state: Mutex::default(),
            watched: Mutex::default(),
            working: Mutex::default(),
            begun: AtomicU64::default(),
            pipelines: Bounded::default(),
            ledgers: Bounded::default(),
            cache: Mutex::default(),
            heard: Mutex::default(),
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
    /// It leads, and lists all objects.
    Listing,
    /// It leads and decides.
    Working,
}

/// Counts an object as waiting for its turn until it is dropped.
pub(crate) struct Queued<'a> {
    telemetry: &'a Telemetry,
    queue: OfQueue,
    since: Instant,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let metrics = self.telemetry.metrics();
        metrics.depth.get_or_create(&self.queue).dec();
        let waited = metrics.queue_seconds.get_or_create(&self.queue);
        waited.observe(self.since.elapsed().as_secs_f64());
    }
}

/// Counts a reconcile as under way until it is dropped.
pub(crate) struct Reconciling<'a> {
    telemetry: &'a Telemetry,
    /// Of what, since when, and its number.
    work: (Watched, Instant, u64),
    result: &'static str,
}

impl Reconciling<'_> {
    /// Sets its result, in the words of controller-runtime.
    pub(crate) fn ends(&mut self, result: &'static str) {
        self.result = result;
    }
}

impl Drop for Reconciling<'_> {
    fn drop(&mut self) {
        lock(&self.telemetry.0.working).remove(&self.work);
        let metrics = self.telemetry.metrics();
        let (kind, begun, _) = self.work;
        let controller = controller(kind);
        let of = OfController { controller };
        metrics.reconciling.get_or_create(&of).dec();
        let seconds = begun.elapsed().as_secs_f64();
        metrics
            .reconcile_seconds
            .get_or_create(&of)
            .observe(seconds);
        let queue = OfQueue { name: controller };
        metrics.work_seconds.get_or_create(&queue).observe(seconds);
        let result = self.result;
        if result == "error" {
            metrics.reconcile_errors.get_or_create(&of).inc();
        }
        let ended = Ended { controller, result };
        metrics.reconciles.get_or_create(&ended).inc();
    }
}

impl Telemetry {
    /// Whether the operator works, and hears what happens, or would take over at once.
    pub fn is_ready(&self) -> bool {
        self.unready().is_none()
    }

    /// Why the operator is not ready.
    fn unready(&self) -> Option<String> {
        let phase = *lock(&self.0.state);
        match phase {
            Phase::Starting => Some("the operator has not reached the API server yet".to_owned()),
            Phase::Listing => Some("the operator lists all objects".to_owned()),
            Phase::StandingBy => None,
            Phase::Working => {
                let silent: Vec<_> = self
                    .silences()
                    .filter(|(_, age)| *age >= SILENT_AFTER)
                    .collect();
                let (kind, age) = silent.iter().max_by_key(|(_, age)| *age)?;
                let (kind, seconds) = (kind.word(), age.as_secs());
                Some(format!(
                    "the watch of {kind} objects has had no answer for {seconds} s"
                ))
            }
        }
    }

    /// For how long each watch has had no answer.
    fn silences(&self) -> impl Iterator<Item = (Watched, Duration)> + use<> {
        lock(&self.0.heard)
            .clone()
            .into_iter()
            .map(|(kind, since)| (kind, since.elapsed()))
    }

    /// The API server has answered the watch of a kind.
    pub(crate) fn heard(&self, kind: Watched) {
        lock(&self.0.heard).insert(kind, Instant::now());
        let backoff = &self.metrics().watch_backoff;
        backoff
            .get_or_create(&OfKind { kind: kind.word() })
            .set(0.0);
    }

    /// So many objects of a kind can't be decoded.
    pub(crate) fn undecodable(&self, kind: Watched, count: usize) {
        let kind = kind.word();
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let gauge = self.metrics().undecodable.get_or_create(&OfKind { kind });
        gauge.set(count);
    }

    /// The metrics, in the OpenMetrics text format.
    pub fn metrics_text(&self) -> String {
        let cache = lock(&self.0.cache).as_ref().and_then(Weak::upgrade);
        self.look_at(cache.as_deref(), Timestamp::now());
        let mut text = String::new();
        if encode(&mut text, &self.0.registry).is_err() {
            // Writing to a String does not fail.
            text.clear();
        }
        text
    }

    pub(crate) fn enter(&self, phase: Phase) {
        *lock(&self.0.state) = phase;
        if matches!(phase, Phase::StandingBy | Phase::Listing) {
            lock(&self.0.heard).clear();
        }
        let leads = matches!(phase, Phase::Listing | Phase::Working);
        self.leading().set(leads.into());
    }

    /// The operator watches only this namespace, or all.
    pub(crate) fn watches(&self, namespace: Option<&str>) {
        *lock(&self.0.watched) = namespace.unwrap_or_default().to_owned();
        self.leading().set(0);
    }

    fn leading(&self) -> impl Deref<Target = Gauge> + '_ {
        let watched_namespace = lock(&self.0.watched).clone();
        let leading = &self.metrics().leading;
        leading.get_or_create(&Watching { watched_namespace })
    }

    pub(crate) fn know(&self, cache: Weak<dyn Gauged>) {
        *lock(&self.0.cache) = Some(cache);
    }

    /// An object waits for its turn from now on.
    pub(crate) fn awaits_turn(&self, kind: Watched) -> Queued<'_> {
        let queue = OfQueue {
            name: controller(kind),
        };
        self.metrics().depth.get_or_create(&queue).inc();
        Queued {
            telemetry: self,
            queue,
            since: Instant::now(),
        }
    }

    pub(crate) fn reconciling(&self, kind: Watched) -> Reconciling<'_> {
        let of = OfController {
            controller: controller(kind),
        };
        self.metrics().reconciling.get_or_create(&of).inc();
        let number = self.0.begun.fetch_add(1, Ordering::Relaxed);
        let work = (kind, Instant::now(), number);
        lock(&self.0.working).insert(work);
        Reconciling {
            telemetry: self,
            work,
            result: "error",
        }
    }

    pub(crate) fn queued(&self, kind: Watched) {
        let name = controller(kind);
        self.metrics().queued.get_or_create(&OfQueue { name }).inc();
    }

    /// A reconcile of a kind is tried again.
    pub(crate) fn retried(&self, kind: Watched) {
        let name = controller(kind);
        self.metrics()
            .retries
            .get_or_create(&OfQueue { name })
            .inc();
    }

    /// The watch of a kind failed, and is tried again after this wait.
    pub(crate) fn watch_broke(&self, kind: Watched, failure: &Failure, wait: Duration) {
        let of_kind = OfKind { kind: kind.word() };
        let metrics = self.metrics();
        match failure {
            Failure::Stalled => metrics.watch_stalls.get_or_create(&of_kind).inc(),
            _ => metrics.watch_failures.get_or_create(&of_kind).inc(),
        };
        let backoff = metrics.watch_backoff.get_or_create(&of_kind);
        backoff.set(wait.as_secs_f64());
        // From here on its silence counts, also where it has never been answered.
        lock(&self.0.heard).entry(kind).or_insert_with(Instant::now);
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

    /// A Job's phase was written, with this word as the reason.
    pub(crate) fn ended(&self, reason: &str) {
        if let Some(reason) = failed_start(reason) {
            let failed = &self.metrics().failed_starts;
            failed.get_or_create(&Because { reason }).inc();
        }
    }

    /// Runs are exported as traces.
    pub(crate) fn exports_traces(&self) {
        for result in ["exported", "failed"] {
            drop(self.metrics().traces.get_or_create(&Exported { result }));
        }
    }

    /// A Run was exported as a trace, or could not be.
    pub(crate) fn exported(&self, is_done: bool) {
        let result = if is_done { "exported" } else { "failed" };
        self.metrics()
            .traces
            .get_or_create(&Exported { result })
            .inc();
    }

    /// A ledger was written: a holder that is missing held until now, and a new one queued since it asked.
    pub(crate) fn ledger(
        &self,
        (kind, name): (LedgerKind, &ObjectName),
        before: Option<&[Holder]>,
        holders: &[Holder],
        now: Timestamp,
        asked_since: impl Fn(&Holder) -> Option<Timestamp>,
    ) {
        let kind = Watched::from(kind).word();
        let before = before.unwrap_or_default();
        let holds = &self.metrics().holds;
        let is_missing =
            |from: &[Holder], holder: &Holder| !from.iter().any(|other| other.uid == holder.uid);
        for held in before.iter().filter(|held| is_missing(holders, held)) {
            if let Some(since) = &held.since {
                let held = holds.get_or_create(&OfKind { kind });
                held.observe(seconds(since.0, now));
            }
        }
        let ledger = Ledger {
            kind,
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        };
        let ledger = self.0.ledgers.label(ledger, || Ledger::other(kind));
        let queues = self.metrics().queues.get_or_create(&ledger);
        for new in holders.iter().filter(|new| is_missing(before, new)) {
            if let Some(since) = asked_since(new) {
                let granted = new.since.as_ref().map_or(now, |since| since.0);
                queues.observe(seconds(since, granted));
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
    pub(crate) fn run(&self, run: &Run, new: &RunStatus) {
        let pipeline = self.pipeline(run);
        let runs = &self.metrics().runs;
        for outcome in OUTCOMES {
            // All begin with the first Run of a pipeline, so that a query sees the first end.
            drop(runs.get_or_create(&Outcome::of(&pipeline, outcome)));
        }
        let outcome = match new.phase {
            RunPhase::Running | RunPhase::Paused | RunPhase::Finalizing => return,
            RunPhase::Succeeded => "Succeeded",
            RunPhase::Failed => "Failed",
            RunPhase::Cancelled => "Cancelled",
        };
        let before = run.status.as_ref();
        let ended_before = before
            .is_some_and(|status| status.attempt == new.attempt && status.finished_at.is_some());
        if let (false, Some(started), Some(finished)) =
            (ended_before, &new.started_at, &new.finished_at)
        {
            let runs = runs.get_or_create(&Outcome::of(&pipeline, outcome));
            runs.observe(seconds(started.0, finished.0));
        }
    }

    /// The label of a Run's pipeline.
    fn pipeline(&self, run: &Run) -> Pipeline {
        let pipeline = Pipeline {
            namespace: run.metadata.namespace.clone().unwrap_or_default(),
            pipeline: run.spec.pipeline.clone(),
        };
        self.0.pipelines.label(pipeline, Pipeline::other)
    }

    fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }
}

fn seconds(since: Timestamp, until: Timestamp) -> f64 {
    let time = Duration::try_from(until.duration_since(since));
    time.unwrap_or_default().as_secs_f64()
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced as a whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
