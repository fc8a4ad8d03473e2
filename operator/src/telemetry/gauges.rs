//! The gauges that are set when they are asked for, from what the cache shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Claim, ClaimPhase, Gate, Lease, LedgerKind, Participant, Run, Semaphore};
use konductor_core::{ObjectName, run_end};

use super::Telemetry;
use super::metrics::{Ledger, Metrics, OfKind, OfQueue, Pipeline, controller};
use super::{lock, seconds};
use crate::index::Watched;

/// What the gauges show: the objects that the operator knows.
pub(crate) trait Gauged: Send + Sync {
    /// How many objects of each kind there are.
    fn counts(&self) -> Vec<(Watched, usize)>;
    fn claims(&self) -> Vec<Arc<Claim>>;
    fn jobs(&self) -> Vec<Arc<Participant>>;
    fn gate(&self, name: &ObjectName) -> Option<Arc<Gate>>;
    fn leases(&self) -> Vec<Arc<Lease>>;
    fn runs(&self) -> Vec<Arc<Run>>;
    fn semaphores(&self) -> Vec<Arc<Semaphore>>;
    /// Whether the ledger shows this holder.
    fn holds(&self, kind: LedgerKind, ledger: &ObjectName, holder: &str) -> bool;
}

impl Telemetry {
    /// Sets the gauges to what is so at this time, and what the cache shows.
    pub(super) fn look_at(&self, cache: Option<&dyn Gauged>, now: Timestamp) {
        let metrics = self.metrics();
        metrics.objects.clear();
        metrics.permits.clear();
        metrics.in_use.clear();
        metrics.waiting.clear();
        metrics.oldest_waiter.clear();
        metrics.unfinished_runs.clear();
        metrics.oldest_run.clear();
        metrics.silences.clear();
        self.look_at_work(metrics);
        for (kind, age) in self.silences() {
            let kind = kind.word();
            let silence = metrics.silences.get_or_create(&OfKind { kind });
            silence.set(age.as_secs_f64());
        }
        let Some(cache) = cache else { return };
        for (kind, count) in cache.counts() {
            let kind = kind.word();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            metrics.objects.get_or_create(&OfKind { kind }).set(count);
        }
        self.look_at_runs(metrics, &cache.runs(), now);
        let (claims, jobs) = (cache.claims(), cache.jobs());
        let holds = |kind, ledger: &ObjectName, uid: &str| cache.holds(kind, ledger, uid);
        let mut waiting = waiting(&claims, &jobs, holds, |gate| cache.gate(gate));
        let mut set = |kind: LedgerKind, meta: &ObjectMeta, permits: u32, in_use: u32| {
            let name = ObjectName::of(meta);
            let ledger = Ledger {
                kind: Watched::from(kind).word(),
                namespace: name.namespace,
                name: name.name,
            };
            metrics.permits.get_or_create(&ledger).set(permits.into());
            metrics.in_use.get_or_create(&ledger).set(in_use.into());
            let queue = waiting.remove(&ledger).unwrap_or_default();
            metrics.waiting.get_or_create(&ledger).set(queue.length);
            let age = queue.oldest.map_or(0.0, |oldest| seconds(oldest, now));
            metrics.oldest_waiter.get_or_create(&ledger).set(age);
        };
        for semaphore in cache.semaphores() {
            let in_use = semaphore.status.as_ref().map_or(0, |status| status.in_use);
            set(
                LedgerKind::Semaphore,
                &semaphore.metadata,
                semaphore.spec.permits,
                in_use,
            );
        }
        for lease in cache.leases() {
            let in_use = lease.status.as_ref().map_or(0, |status| status.in_use);
            set(LedgerKind::Lease, &lease.metadata, 1, in_use);
        }
    }

    /// How long what is under way has taken.
    fn look_at_work(&self, metrics: &Metrics) {
        for kind in Watched::DECIDED {
            let queue = OfQueue {
                name: controller(kind),
            };
            metrics.unfinished.get_or_create(&queue).set(0.0);
            metrics.longest.get_or_create(&queue).set(0.0);
        }
        for (kind, begun, _) in lock(&self.0.working).iter() {
            let queue = OfQueue {
                name: controller(*kind),
            };
            let taken = begun.elapsed().as_secs_f64();
            metrics.unfinished.get_or_create(&queue).inc_by(taken);
            let longest = metrics.longest.get_or_create(&queue);
            longest.set(longest.get().max(taken));
        }
    }

    /// What has not ended, by pipeline.
    fn look_at_runs(&self, metrics: &Metrics, runs: &[Arc<Run>], now: Timestamp) {
        let mut unfinished: BTreeMap<Pipeline, (i64, f64)> = BTreeMap::new();
        for run in runs.iter().filter(|run| run_end(run).is_none()) {
            let created = run.metadata.creation_timestamp.as_ref();
            let age = created.map_or(0.0, |created| seconds(created.0, now));
            let (count, oldest) = unfinished.entry(self.pipeline(run)).or_default();
            *count += 1;
            *oldest = oldest.max(age);
        }
        for (pipeline, (count, oldest)) in unfinished {
            metrics.unfinished_runs.get_or_create(&pipeline).set(count);
            metrics.oldest_run.get_or_create(&pipeline).set(oldest);
        }
    }
}

/// Since when a Job asks for its permits: the opening of its Gate, or its creation.
pub(crate) fn asked_since(job: &Participant, gate: Option<&Gate>) -> Option<Timestamp> {
    let created = job.metadata.creation_timestamp.as_ref();
    let opened = gate.and_then(|gate| gate.status.as_ref()?.opened_at.as_ref());
    let times = created.into_iter().chain(opened);
    times.map(|time| time.0).max()
}

/// Claims and Jobs that wait for a ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Waiters {
    pub(super) length: i64,
    /// Since when the oldest of them waits.
    pub(super) oldest: Option<Timestamp>,
}

/// The Claims and Jobs that wait for each ledger; `holds` returns whether a Job or Claim is already a holder.
pub(super) fn waiting(
    claims: &[Arc<Claim>],
    jobs: &[Arc<Participant>],
    holds: impl Fn(LedgerKind, &ObjectName, &str) -> bool,
    gate: impl Fn(&ObjectName) -> Option<Arc<Gate>>,
) -> BTreeMap<Ledger, Waiters> {
    let mut waiting: BTreeMap<Ledger, Waiters> = BTreeMap::new();
    let mut count = |kind: LedgerKind, namespace: &str, name: &str, since: Option<Timestamp>| {
        let ledger = Ledger {
            kind: Watched::from(kind).word(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        };
        let queue = waiting.entry(ledger).or_default();
        queue.length += 1;
        queue.oldest = queue.oldest.into_iter().chain(since).min();
    };
    for claim in claims {
        let phase = claim.status.as_ref().map(|status| status.phase);
        if matches!(phase, None | Some(ClaimPhase::Queued)) {
            let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
            let since = claim.metadata.creation_timestamp.as_ref();
            let target = &claim.spec.target;
            count(
                target.kind,
                namespace,
                &target.name,
                since.map(|time| time.0),
            );
        }
    }
    for job in jobs.iter().filter(|job| job.asks_for_permits()) {
        let name = job.place();
        let gate = job.gate().and_then(|name| gate(&job.beside(name)));
        let since = asked_since(job, gate.as_deref());
        for hold in job.holds() {
            if !holds(hold.kind, &job.beside(&hold.name), job.uid()) {
                count(hold.kind, &name.namespace, &hold.name, since);
            }
        }
    }
    waiting
}
