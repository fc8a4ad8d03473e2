//! The metrics that the operator has, as Prometheus reads them.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::index::Watched;

/// From a millisecond to a minute: how long a reconcile takes.
const RECONCILE_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// From a tenth of a second to a day: how long Jobs, people and data make each other wait.
const WAIT_SECONDS: [f64; 12] = [
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 43_200.0, 86_400.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfKind {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ended {
    pub(super) kind: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Ledger {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) reconciles: Family<Ended, Counter>,
    pub(super) reconcile_seconds: Histograms<OfKind>,
    pub(super) reconciling: Family<OfKind, Gauge>,
    pub(super) queued: Family<OfKind, Counter>,
    pub(super) watch_failures: Family<OfKind, Counter>,
    pub(super) watch_stalls: Family<OfKind, Counter>,
    pub(super) watch_backoff: Family<OfKind, Gauge<f64, AtomicU64>>,
    pub(super) silences: Family<OfKind, Gauge<f64, AtomicU64>>,
    pub(super) undecodable: Family<OfKind, Gauge>,
    pub(super) writes: Family<OfKind, Counter>,
    pub(super) waits: Histograms<OfKind>,
    pub(super) holds: Histograms<OfKind>,
    pub(super) runs: Histograms<Outcome>,
    pub(super) objects: Family<OfKind, Gauge>,
    pub(super) permits: Family<Ledger, Gauge>,
    pub(super) in_use: Family<Ledger, Gauge>,
    pub(super) waiting: Family<Ledger, Gauge>,
    pub(super) leading: Gauge,
}

impl Metrics {
    pub(super) fn registered() -> (Self, Registry) {
        let reconcile: fn() -> Histogram = || Histogram::new(RECONCILE_SECONDS);
        let wait: fn() -> Histogram = || Histogram::new(WAIT_SECONDS);
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_seconds: Family::new_with_constructor(reconcile),
            reconciling: Family::default(),
            queued: Family::default(),
            watch_failures: Family::default(),
            watch_stalls: Family::default(),
            watch_backoff: Family::default(),
            silences: Family::default(),
            undecodable: Family::default(),
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
            watch_stalls,
            watch_backoff,
            silences,
            undecodable,
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
        registry.register(
            "watch_stalls",
            "Watches that fell silent and were replaced",
            watch_stalls.clone(),
        );
        registry.register_with_unit(
            "watch_backoff",
            "How long a watch that failed waits before its next attempt; 0 when it works",
            seconds.clone(),
            watch_backoff.clone(),
        );
        registry.register_with_unit(
            "watch_last_answer_age",
            "Since when the API server has not answered a watch",
            seconds.clone(),
            silences.clone(),
        );
        registry.register(
            "undecodable_objects",
            "Objects that can't be decoded and are left out",
            undecodable.clone(),
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
        metrics.begin();
        (metrics, registry)
    }

    /// Begins all that only rises at zero: a series that appears with its first event has no increase that a query
    /// could see.
    fn begin(&self) {
        for kind in Watched::ALL.map(Watched::word) {
            let of_kind = OfKind { kind };
            drop(self.watch_failures.get_or_create(&of_kind));
            drop(self.watch_stalls.get_or_create(&of_kind));
            if kind != Watched::Pod.word() {
                drop(self.writes.get_or_create(&of_kind));
            }
        }
        for kind in Watched::DECIDED.map(Watched::word) {
            let of_kind = OfKind { kind };
            for result in ["success", "conflict", "error"] {
                drop(self.reconciles.get_or_create(&Ended { kind, result }));
            }
            drop(self.reconcile_seconds.get_or_create(&of_kind));
            drop(self.queued.get_or_create(&of_kind));
        }
        let wait = [
            Watched::Barrier,
            Watched::Gate,
            Watched::Claim,
            Watched::Job,
        ];
        for kind in wait.map(Watched::word) {
            drop(self.waits.get_or_create(&OfKind { kind }));
        }
        for kind in [Watched::Semaphore, Watched::Lease].map(Watched::word) {
            drop(self.holds.get_or_create(&OfKind { kind }));
        }
        for outcome in ["Succeeded", "Failed", "Cancelled"] {
            drop(self.runs.get_or_create(&Outcome { outcome }));
        }
    }
}
