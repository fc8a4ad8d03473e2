//! The metrics that the operator has, as Prometheus reads them.
//!
//! What every operator has is named as controller-runtime names it, so that existing dashboards and alerts show it.

use std::sync::atomic::AtomicU64;

use konductor_api::condition::reason;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::process::Process;
use crate::index::Watched;

/// From a millisecond to a minute: how long a reconcile takes, or waits for its turn.
const RECONCILE_SECONDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0];

/// From a tenth of a second to a day: how long Jobs, people and data make each other wait.
const WAIT_SECONDS: [f64; 12] = [
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 10_800.0, 43_200.0, 86_400.0,
];

/// How a Run ends.
pub(super) const OUTCOMES: [&str; 3] = ["Succeeded", "Failed", "Cancelled"];

/// Why a Job ends without having run, although it was its turn.
const FAILED_STARTS: [&str; 3] = [
    reason::PENDING_TIMED_OUT,
    reason::START_REFUSED,
    reason::STARTED_BY_KUEUE,
];

/// What stands for the pipelines and ledgers that have no series of their own: no object can have this name.
const OTHER: &str = "(other)";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfKind {
    pub(super) kind: &'static str,
}

/// As controller-runtime names the controller of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfController {
    pub(super) controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Ended {
    pub(super) controller: &'static str,
    pub(super) result: &'static str,
}

/// As client-go names the queue of a controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfQueue {
    pub(super) name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    pub(super) code: String,
    pub(super) method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Because {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Exported {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Pipeline {
    pub(super) namespace: String,
    pub(super) pipeline: String,
}

impl Pipeline {
    pub(super) fn other() -> Self {
        Self {
            namespace: String::new(),
            pipeline: OTHER.to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Outcome {
    pub(super) namespace: String,
    pub(super) pipeline: String,
    pub(super) outcome: &'static str,
}

impl Outcome {
    pub(super) fn of(pipeline: &Pipeline, outcome: &'static str) -> Self {
        Self {
            namespace: pipeline.namespace.clone(),
            pipeline: pipeline.pipeline.clone(),
            outcome,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
pub(super) struct Ledger {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Ledger {
    /// What stands for those of a kind that have no series of their own.
    pub(super) fn other(kind: &'static str) -> Self {
        Self {
            kind,
            namespace: String::new(),
            name: OTHER.to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Watching {
    /// The only namespace that the operator watches; empty if it watches all.
    pub(super) watched_namespace: String,
}

/// Returns what controller-runtime would call the controller of a kind.
pub(super) fn controller(kind: Watched) -> &'static str {
    match kind {
        Watched::Job => "job",
        Watched::Pod => "pod",
        Watched::Arrival => "arrival",
        Watched::Barrier => "barrier",
        Watched::Claim => "claim",
        Watched::Gate => "gate",
        Watched::Lease => "lease",
        Watched::Run => "run",
        Watched::Semaphore => "semaphore",
    }
}

/// Returns the word of a failed start, if that is the reason.
pub(super) fn failed_start(reason: &str) -> Option<&'static str> {
    FAILED_STARTS.into_iter().find(|word| *word == reason)
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;
type Seconds<L> = Family<L, Gauge<f64, AtomicU64>>;

#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) reconciles: Family<Ended, Counter>,
    pub(super) reconcile_errors: Family<OfController, Counter>,
    pub(super) reconcile_seconds: Histograms<OfController>,
    pub(super) reconciling: Family<OfController, Gauge>,
    pub(super) reconciling_max: Family<OfController, Gauge>,
    pub(super) queued: Family<OfQueue, Counter>,
    pub(super) depth: Family<OfQueue, Gauge>,
    pub(super) queue_seconds: Histograms<OfQueue>,
    pub(super) work_seconds: Histograms<OfQueue>,
    pub(super) retries: Family<OfQueue, Counter>,
    pub(super) unfinished: Seconds<OfQueue>,
    pub(super) longest: Seconds<OfQueue>,
    pub(super) requests: Family<Request, Counter>,
    pub(super) watch_failures: Family<OfKind, Counter>,
    pub(super) watch_stalls: Family<OfKind, Counter>,
    pub(super) watch_backoff: Seconds<OfKind>,
    pub(super) silences: Seconds<OfKind>,
    pub(super) undecodable: Family<OfKind, Gauge>,
    pub(super) writes: Family<OfKind, Counter>,
    pub(super) waits: Histograms<OfKind>,
    pub(super) holds: Histograms<OfKind>,
    pub(super) queues: Histograms<Ledger>,
    pub(super) runs: Histograms<Outcome>,
    pub(super) failed_starts: Family<Because, Counter>,
    pub(super) objects: Family<OfKind, Gauge>,
    pub(super) permits: Family<Ledger, Gauge>,
    pub(super) in_use: Family<Ledger, Gauge>,
    pub(super) waiting: Family<Ledger, Gauge>,
    pub(super) oldest_waiter: Seconds<Ledger>,
    pub(super) unfinished_runs: Family<Pipeline, Gauge>,
    pub(super) oldest_run: Seconds<Pipeline>,
    /// Without a series if no traces are exported.
    pub(super) traces: Family<Exported, Counter>,
    pub(super) leading: Family<Watching, Gauge>,
}

impl Metrics {
    pub(super) fn registered() -> (Self, Registry) {
        let reconcile: fn() -> Histogram = || Histogram::new(RECONCILE_SECONDS);
        let wait: fn() -> Histogram = || Histogram::new(WAIT_SECONDS);
        let metrics = Self {
            reconciles: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Family::new_with_constructor(reconcile),
            reconciling: Family::default(),
            reconciling_max: Family::default(),
            queued: Family::default(),
            depth: Family::default(),
            queue_seconds: Family::new_with_constructor(reconcile),
            work_seconds: Family::new_with_constructor(reconcile),
            retries: Family::default(),
            unfinished: Family::default(),
            longest: Family::default(),
            requests: Family::default(),
            watch_failures: Family::default(),
            watch_stalls: Family::default(),
            watch_backoff: Family::default(),
            silences: Family::default(),
            undecodable: Family::default(),
            writes: Family::default(),
            waits: Family::new_with_constructor(wait),
            holds: Family::new_with_constructor(wait),
            queues: Family::new_with_constructor(wait),
            runs: Family::new_with_constructor(wait),
            failed_starts: Family::default(),
            objects: Family::default(),
            permits: Family::default(),
            in_use: Family::default(),
            waiting: Family::default(),
            oldest_waiter: Family::default(),
            unfinished_runs: Family::default(),
            oldest_run: Family::default(),
            traces: Family::default(),
            leading: Family::default(),
        };
        let mut registry = Registry::default();
        metrics.register_common(&mut registry);
        metrics.register_own(registry.sub_registry_with_prefix("konductor"));
        metrics.begin();
        (metrics, registry)
    }

    /// What every operator has.
    fn register_common(&self, registry: &mut Registry) {
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by their result",
            self.reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed and are retried",
            self.reconcile_errors.clone(),
        );
        registry.register_with_unit(
            "controller_runtime_reconcile_time",
            "How long a reconcile took",
            Unit::Seconds,
            self.reconcile_seconds.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciles under way",
            self.reconciling.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "How many reconciles may be under way at once",
            self.reconciling_max.clone(),
        );
        registry.register(
            "workqueue_adds",
            "Objects queued for a reconcile",
            self.queued.clone(),
        );
        registry.register(
            "workqueue_depth",
            "Objects that wait for their turn",
            self.depth.clone(),
        );
        registry.register_with_unit(
            "workqueue_queue_duration",
            "How long an object waited for its turn",
            Unit::Seconds,
            self.queue_seconds.clone(),
        );
        registry.register_with_unit(
            "workqueue_work_duration",
            "How long a reconcile took",
            Unit::Seconds,
            self.work_seconds.clone(),
        );
        registry.register(
            "workqueue_retries",
            "Reconciles that are tried again",
            self.retries.clone(),
        );
        registry.register_with_unit(
            "workqueue_unfinished_work",
            "How long the reconciles under way have taken together",
            Unit::Seconds,
            self.unfinished.clone(),
        );
        registry.register_with_unit(
            "workqueue_longest_running_processor",
            "How long the oldest reconcile under way has taken",
            Unit::Seconds,
            self.longest.clone(),
        );
        registry.register(
            "rest_client_requests",
            "Requests to the API server",
            self.requests.clone(),
        );
        registry.register_collector(Box::new(Process::default()));
    }

    /// What only konductor has.
    fn register_own(&self, registry: &mut Registry) {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version of the operator", Info::new(version));
        registry.register(
            "watch_failures",
            "Watches that broke",
            self.watch_failures.clone(),
        );
        registry.register(
            "watch_stalls",
            "Watches that fell silent and were replaced",
            self.watch_stalls.clone(),
        );
        registry.register_with_unit(
            "watch_backoff",
            "How long a watch that failed waits before its next attempt; 0 when it works",
            Unit::Seconds,
            self.watch_backoff.clone(),
        );
        registry.register_with_unit(
            "watch_last_answer_age",
            "Since when the API server has not answered a watch",
            Unit::Seconds,
            self.silences.clone(),
        );
        registry.register(
            "undecodable_objects",
            "Objects that can't be decoded and are left out",
            self.undecodable.clone(),
        );
        registry.register("writes", "Objects written, by kind", self.writes.clone());
        registry.register_with_unit("wait_duration", "From the creation of a Barrier or Gate to its opening, of a Claim to its grant, of a Job to its start", Unit::Seconds, self.waits.clone());
        registry.register_with_unit(
            "hold_duration",
            "From a grant to its end",
            Unit::Seconds,
            self.holds.clone(),
        );
        registry.register_with_unit(
            "queue_duration",
            "From when a Claim or Job asked a Semaphore or Lease to the grant",
            Unit::Seconds,
            self.queues.clone(),
        );
        registry.register_with_unit(
            "run_duration",
            "From the start of a Run to its end",
            Unit::Seconds,
            self.runs.clone(),
        );
        registry.register(
            "failed_starts",
            "Jobs that ended without having run, although it was their turn",
            self.failed_starts.clone(),
        );
        registry.register(
            "objects",
            "Objects in the operator's cache",
            self.objects.clone(),
        );
        registry.register(
            "permits",
            "Permits of a Semaphore or Lease",
            self.permits.clone(),
        );
        registry.register(
            "permits_in_use",
            "Permits that are held",
            self.in_use.clone(),
        );
        registry.register(
            "queue_length",
            "Claims and Jobs that wait for a Semaphore or Lease",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "oldest_waiter_age",
            "How long the oldest Claim or Job has waited for a Semaphore or Lease",
            Unit::Seconds,
            self.oldest_waiter.clone(),
        );
        registry.register(
            "unfinished_runs",
            "Runs that have not ended",
            self.unfinished_runs.clone(),
        );
        registry.register_with_unit(
            "oldest_unfinished_run_age",
            "How long ago the oldest Run that has not ended was created",
            Unit::Seconds,
            self.oldest_run.clone(),
        );
        registry.register(
            "traces",
            "Runs that were exported as traces, or not",
            self.traces.clone(),
        );
        registry.register(
            "leading",
            "1 where this operator decides",
            self.leading.clone(),
        );
    }

    /// Begins all that only rises at zero: a series that appears with its first event has no increase that a query
    /// could see.
    fn begin(&self) {
        for kind in Watched::ALL {
            let of_kind = OfKind { kind: kind.word() };
            drop(self.watch_failures.get_or_create(&of_kind));
            drop(self.watch_stalls.get_or_create(&of_kind));
            if kind != Watched::Pod {
                drop(self.writes.get_or_create(&of_kind));
            }
        }
        for controller in Watched::DECIDED.map(controller) {
            let of = OfController { controller };
            for result in ["success", "requeue_after", "requeue", "error"] {
                drop(self.reconciles.get_or_create(&Ended { controller, result }));
            }
            drop(self.reconcile_errors.get_or_create(&of));
            drop(self.reconcile_seconds.get_or_create(&of));
            drop(self.reconciling.get_or_create(&of));
            let queue = OfQueue { name: controller };
            drop(self.queued.get_or_create(&queue));
            drop(self.retries.get_or_create(&queue));
            drop(self.depth.get_or_create(&queue));
            drop(self.queue_seconds.get_or_create(&queue));
            drop(self.work_seconds.get_or_create(&queue));
        }
        for kind in Watched::DECIDED {
            let controller = controller(kind);
            let most = self
                .reconciling_max
                .get_or_create(&OfController { controller });
            most.set(i64::try_from(kind.at_once()).unwrap_or(i64::MAX));
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
        for reason in FAILED_STARTS {
            drop(self.failed_starts.get_or_create(&Because { reason }));
        }
    }
}
