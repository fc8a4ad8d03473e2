//! The operator's telemetry: metrics for Prometheus, and readiness.
//!
//! No name of a run, a Job or a Claim is a label: there is no end of them. Names of Semaphores and
//! Leases are, as people tune those one by one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::{BarrierStatus, GateStatus, Holder, LedgerKind, RunPhase, RunStatus};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::index::Watched;
use crate::watch::Failure;

mod gauges;
mod metrics;
mod routes;
#[cfg(test)]
mod tests;

pub(crate) use gauges::Gauged;
use metrics::{Ended, Metrics, OfKind, Outcome};

/// The operator's metrics and readiness. Clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    metrics: Metrics,
    registry: Registry,
    state: Mutex<Phase>,
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

/// Counts a reconcile as under way until it is dropped.
pub(crate) struct Reconciling<'a> {
    telemetry: &'a Telemetry,
    kind: &'static str,
    begun: Instant,
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
        self.look_at(cache.as_deref());
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
        self.metrics().leading.set(leads.into());
    }

    pub(crate) fn know(&self, cache: Weak<dyn Gauged>) {
        *lock(&self.0.cache) = Some(cache);
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
            begun: Instant::now(),
            result: "error",
        }
    }

    pub(crate) fn queued(&self, kind: Watched) {
        let kind = kind.word();
        self.metrics().queued.get_or_create(&OfKind { kind }).inc();
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
            RunPhase::Running | RunPhase::Paused | RunPhase::Finalizing => return,
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
}

fn seconds(since: Timestamp, until: Timestamp) -> f64 {
    let time = Duration::try_from(until.duration_since(since));
    time.unwrap_or_default().as_secs_f64()
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is replaced as a whole.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
