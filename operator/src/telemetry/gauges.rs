//! The gauges that are set when they are asked for, from what the cache shows.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Claim, ClaimPhase, Lease, LedgerKind, Participant, Semaphore};
use konductor_core::ObjectName;

use super::Telemetry;
use super::metrics::{Ledger, OfKind};
use crate::index::Watched;

/// What the gauges show: the objects that the operator knows.
pub(crate) trait Gauged: Send + Sync {
    /// How many objects of each kind there are.
    fn counts(&self) -> Vec<(Watched, usize)>;
    fn claims(&self) -> Vec<Arc<Claim>>;
    fn jobs(&self) -> Vec<Arc<Participant>>;
    fn leases(&self) -> Vec<Arc<Lease>>;
    fn semaphores(&self) -> Vec<Arc<Semaphore>>;
    /// Whether the ledger shows this holder.
    fn holds(&self, kind: LedgerKind, ledger: &ObjectName, holder: &str) -> bool;
}

impl Telemetry {
    /// Sets the gauges to what the cache shows.
    pub(super) fn look_at(&self, cache: Option<&dyn Gauged>) {
        let metrics = self.metrics();
        metrics.objects.clear();
        metrics.permits.clear();
        metrics.in_use.clear();
        metrics.waiting.clear();
        metrics.silences.clear();
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
        let (claims, jobs) = (cache.claims(), cache.jobs());
        let mut waiting = waiting(&claims, &jobs, |kind, ledger, uid| {
            cache.holds(kind, ledger, uid)
        });
        let mut set = |kind: LedgerKind, meta: &ObjectMeta, permits: u32, in_use: u32| {
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
        for one in cache.semaphores() {
            let in_use = one.status.as_ref().map_or(0, |status| status.in_use);
            set(
                LedgerKind::Semaphore,
                &one.metadata,
                one.spec.permits,
                in_use,
            );
        }
        for one in cache.leases() {
            let in_use = one.status.as_ref().map_or(0, |status| status.in_use);
            set(LedgerKind::Lease, &one.metadata, 1, in_use);
        }
    }
}

/// How many Claims and Jobs wait for each ledger; `holds` returns whether a Job or Claim is already a holder.
pub(super) fn waiting(
    claims: &[Arc<Claim>],
    jobs: &[Arc<Participant>],
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
    for job in jobs.iter().filter(|job| job.asks_for_permits()) {
        let name = ObjectName::of(&job.metadata);
        let uid = job.metadata.uid.as_deref().unwrap_or_default();
        for hold in job.holds() {
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
