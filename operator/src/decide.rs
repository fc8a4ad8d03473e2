//! The kinds that are decided about, each with the function of the core that decides.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Barrier, Claim, Gate, Holder, Lease, LedgerKind, Participant, Run, Semaphore};
use konductor_core::{Decided, Fact, Facts, ObjectName, Objects, barrier, gate, job, ledger, run};
use kube::Resource;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::context::{Context, Retry};
use crate::done::{self, Done};
use crate::index::Refers;
use crate::live::Live;

/// How much of its record a Run writes in a second.
const RECORD_BYTES_PER_SECOND: f64 = 128.0 * 1024.0;

/// A kind that is decided about.
pub(crate) trait Decide:
    Refers
    + Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its status.
    type Status: Clone + Debug + Send;

    /// The object with all that a decision about it reads; `None` if it is gone.
    fn whole(self: Arc<Self>, _live: &Live) -> BoxFuture<'_, Result<Option<Arc<Self>>, Retry>> {
        future::ready(Ok(Some(self))).boxed()
    }

    /// What the core decides.
    fn decide(&self, facts: &Facts, now: Timestamp) -> Decided<Self::Status>;

    /// The object with this status.
    fn with_status(&self, status: Self::Status) -> Self;

    /// How long to wait after this status was written before the next one is.
    fn rests_after(_status: &Self::Status) -> Duration {
        Duration::ZERO
    }

    /// Counts that a status was written: the one before, and the new one.
    fn measure(&self, _next: &Self::Status, _context: &Context, _now: Timestamp) {}

    /// Takes notice of an object that is about to be decided about: of each when the operator starts, and of one that an
    /// event concerns.
    fn seen(&self, _context: &Context, _now: Timestamp) {}

    /// What writing this status did, for the log.
    fn done(&self, _next: &Self::Status) -> Vec<Done> {
        Vec::new()
    }

    /// The ledger that it is, where it is one.
    const LEDGER: Option<LedgerKind> = None;
}

macro_rules! decides {
    ($($kind:ty, $status:ty, $decide:path, $ledger:expr, $done:expr, $measure:expr;)*) => {
        $(
            impl Decide for $kind {
                type Status = $status;
                const LEDGER: Option<LedgerKind> = $ledger;

                fn decide(&self, facts: &Facts, now: Timestamp) -> Decided<Self::Status> {
                    $decide(self, facts, now)
                }

                fn with_status(&self, status: Self::Status) -> Self {
                    Self { status: Some(status), ..self.clone() }
                }

                fn done(&self, next: &Self::Status) -> Vec<Done> {
                    let done: fn(Option<&Self::Status>, &Self::Status) -> Vec<Done> = $done;
                    done(self.status.as_ref(), next)
                }

                fn measure(&self, next: &Self::Status, context: &Context, now: Timestamp) {
                    let measure: fn(&Self, &Self::Status, &Context, Timestamp) = $measure;
                    measure(self, next, context, now);
                }
            }
        )*
    };
}

decides! {
    Barrier, konductor_api::BarrierStatus, barrier::decide, None,
        |before, next| done::by_barrier(before, next).into_iter().collect(),
        |barrier, next, context, _| {
            let before = barrier.status.as_ref();
            context.telemetry.barrier(&barrier.metadata, before, next);
        };
    Gate, konductor_api::GateStatus, gate::decide, None,
        |before, next| done::by_gate(before, next).into_iter().collect(),
        |gate, next, context, _| {
            context.telemetry.gate(&gate.metadata, gate.status.as_ref(), next);
        };
    Lease, konductor_api::LeaseStatus, ledger::decide_lease, Some(LedgerKind::Lease),
        |before, next| {
            done::by_ledger(before.map(|status| status.holders.as_slice()), &next.holders)
        },
        |lease, next, context, now| {
            let before = lease.status.as_ref().map(|status| status.holders.as_slice());
            let ledger = (LedgerKind::Lease, &lease.metadata);
            measure_ledger(ledger, before, &next.holders, context, now);
        };
    Semaphore, konductor_api::SemaphoreStatus, ledger::decide_semaphore,
        Some(LedgerKind::Semaphore),
        |before, next| {
            done::by_ledger(before.map(|status| status.holders.as_slice()), &next.holders)
        },
        |semaphore, next, context, now| {
            let before = semaphore.status.as_ref().map(|status| status.holders.as_slice());
            let ledger = (LedgerKind::Semaphore, &semaphore.metadata);
            measure_ledger(ledger, before, &next.holders, context, now);
        };
}

fn measure_ledger(
    (kind, meta): (LedgerKind, &ObjectMeta),
    before: Option<&[Holder]>,
    holders: &[Holder],
    context: &Context,
    now: Timestamp,
) {
    let name = ObjectName::of(meta);
    let asked_since = |holder: &Holder| context.cache.asked_since(&name.namespace, holder);
    let telemetry = &context.telemetry;
    telemetry.ledger((kind, &name), before, holders, now, asked_since);
}

impl Decide for Run {
    type Status = konductor_api::RunStatus;

    fn decide(&self, facts: &Facts, now: Timestamp) -> Decided<Self::Status> {
        run::decide(self, facts, now)
    }

    fn with_status(&self, status: Self::Status) -> Self {
        Self {
            status: Some(status),
            ..self.clone()
        }
    }

    /// The record has an entry for each of the Run's Jobs and is written whole with each change: a Run of
    /// 10,000 Jobs would fill etcd's 2 GB within minutes. One of 100 Jobs rests for 14 ms.
    fn rests_after(status: &Self::Status) -> Duration {
        Duration::from_secs_f64(status.record.len() as f64 / RECORD_BYTES_PER_SECOND)
    }

    fn done(&self, next: &Self::Status) -> Vec<Done> {
        done::by_run(self.status.as_ref(), next)
            .into_iter()
            .collect()
    }

    fn measure(&self, next: &Self::Status, context: &Context, _now: Timestamp) {
        context.telemetry.run(self, next);
    }

    /// Its end is noticed here and not where it is written: another operator may have written it, or the answer to the
    /// write may be lost.
    fn seen(&self, context: &Context, now: Timestamp) {
        if let Some(exports) = &context.exports {
            exports.saw(self, now);
        }
    }
}

impl Decide for Participant {
    type Status = job::NoStatus;

    fn whole(self: Arc<Self>, live: &Live) -> BoxFuture<'_, Result<Option<Arc<Self>>, Retry>> {
        async move {
            if !self.is_abridged {
                return Ok(Some(self));
            }
            let Objects::Jobs(jobs) = live.read(&Fact::Job(self.place())).await? else {
                return Ok(None);
            };
            // Another one of that name has an event of its own.
            Ok(jobs.into_iter().find(|job| job.uid() == self.uid()))
        }
        .boxed()
    }

    fn decide(&self, facts: &Facts, now: Timestamp) -> Decided<Self::Status> {
        job::decide(self, facts, now)
    }

    fn with_status(&self, status: Self::Status) -> Self {
        match status {}
    }
}

/// Only what it says about itself: the rest is its ledger's.
impl Decide for Claim {
    type Status = job::NoStatus;

    fn decide(&self, facts: &Facts, now: Timestamp) -> Decided<Self::Status> {
        ledger::decide_claim(self, facts, now)
    }

    fn with_status(&self, status: Self::Status) -> Self {
        match status {}
    }
}
