//! observe → decide → act, the same for every kind.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Barrier, Claim, Gate, Lease, LedgerKind, Run, Semaphore};
use konductor_core::{
    Decided, Decision, Facts, Freshness, ObjectName, barrier, gate, job, ledger, run,
};
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::events::{Recorder, Reporter};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::act;
use crate::backoff;
use crate::cache::Cache;
use crate::fair::Fair;
use crate::index::{Key, Refers, Watched};
use crate::live::Live;
use crate::memory::Memory;
use crate::observe::observe;
use crate::options::{Clock, Options};
use crate::route::Receivers;
use crate::telemetry::Telemetry;

/// How many objects of one kind are reconciled at once: enough to keep an API server busy, few
/// enough to leave it some air. Namespaces share them fairly.
const AT_ONCE: usize = 32;

/// How much of its record a Run writes in a second.
const RECORD_BYTES_PER_SECOND: f64 = 128.0 * 1024.0;

/// The kinds that are decided about.
const RECONCILED: [Watched; 6] = [
    Watched::Job,
    Watched::Barrier,
    Watched::Gate,
    Watched::Lease,
    Watched::Run,
    Watched::Semaphore,
];

/// What every reconcile shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) live: Live,
    pub(crate) cache: Arc<Cache>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Clock,
    pub(crate) pending_timeout: Option<SignedDuration>,
    pub(crate) recorder: Recorder,
    pub(crate) telemetry: Telemetry,
    turns: BTreeMap<Watched, Fair>,
}

impl Context {
    pub(crate) fn new(
        client: Client,
        cache: Cache,
        memory: Arc<Memory>,
        options: &Options,
    ) -> Self {
        let reporter = Reporter {
            controller: "konductor".into(),
            instance: None,
        };
        Self {
            recorder: Recorder::new(client.clone(), reporter),
            live: Live::new(client.clone()),
            client,
            cache: Arc::new(cache),
            memory,
            clock: options.clock.clone(),
            pending_timeout: options.pending_timeout,
            telemetry: options.telemetry.clone(),
            turns: RECONCILED.map(|kind| (kind, Fair::new(AT_ONCE))).into(),
        }
    }
}

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

    /// What the core decides.
    fn decide(&self, facts: &Facts, now: Timestamp) -> Decided<Self::Status>;

    /// The object with this status.
    fn with_status(&self, status: Self::Status) -> Self;

    /// How long to wait after this status was written before the next one is.
    fn rests_after(_status: &Self::Status) -> Duration {
        Duration::ZERO
    }

    /// Tells that a status was written: of what it was before, and what it is now.
    fn measure(&self, _next: &Self::Status, _context: &Context, _now: Timestamp) {}

    /// The ledger that it is, where it is one.
    const LEDGER: Option<LedgerKind> = None;
}

macro_rules! decides {
    ($($kind:ty, $status:ty, $decide:path, $ledger:expr, $rest:expr, $measure:expr;)*) => {
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

                fn rests_after(status: &Self::Status) -> Duration {
                    let rest: fn(&Self::Status) -> Duration = $rest;
                    rest(status)
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
    Barrier, konductor_api::BarrierStatus, barrier::decide, None, never_rests,
        |one, next, context, _| context.telemetry.barrier(&one.metadata, one.status.as_ref(), next);
    Gate, konductor_api::GateStatus, gate::decide, None, never_rests,
        |one, next, context, _| context.telemetry.gate(&one.metadata, one.status.as_ref(), next);
    Lease, konductor_api::LeaseStatus, ledger::decide_lease, Some(LedgerKind::Lease), never_rests,
        |one, next, context, now| {
            let before = one.status.as_ref().map(|status| status.holders.as_slice());
            context.telemetry.ledger(LedgerKind::Lease, before, &next.holders, now);
        };
    Run, konductor_api::RunStatus, run::decide, None, rests_after_its_record,
        |one, next, context, _| context.telemetry.run(one.status.as_ref(), next);
    Semaphore, konductor_api::SemaphoreStatus, ledger::decide_semaphore,
        Some(LedgerKind::Semaphore), never_rests,
        |one, next, context, now| {
            let before = one.status.as_ref().map(|status| status.holders.as_slice());
            context.telemetry.ledger(LedgerKind::Semaphore, before, &next.holders, now);
        };
}

fn never_rests<S>(_status: &S) -> Duration {
    Duration::ZERO
}

/// A Run's record has an entry for each of its Jobs and is written whole with each change: a Run of
/// 10,000 Jobs would fill etcd's 2 GB within minutes. One of 100 Jobs rests for 12 ms.
fn rests_after_its_record(status: &konductor_api::RunStatus) -> Duration {
    Duration::from_secs_f64(status.record.len() as f64 / RECORD_BYTES_PER_SECOND)
}

impl Decide for Job {
    type Status = job::NoStatus;

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

/// Why a reconcile is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Retry {
    /// Somebody else wrote first: observe again.
    #[error("another write came first")]
    Conflict,
    /// The API server said no, or nothing.
    #[error(transparent)]
    Api(#[from] Arc<kube::Error>),
    /// The core asks for what it has been told.
    #[error("no decision although all that it asks for was observed; this is a bug in konductor")]
    Undecided,
}

impl From<kube::Error> for Retry {
    fn from(error: kube::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}

/// Runs the controllers of every kind until told to stop.
pub(crate) async fn controllers(
    context: &Arc<Context>,
    queues: Receivers,
    stopped: watch::Receiver<bool>,
) {
    let cache = &context.cache;
    let stop = || stopped.clone();
    tokio::join!(
        controller(context, cache.jobs.clone(), queues.jobs, stop()),
        controller(context, cache.barriers.clone(), queues.barriers, stop()),
        controller(context, cache.claims.clone(), queues.claims, stop()),
        controller(context, cache.gates.clone(), queues.gates, stop()),
        controller(context, cache.leases.clone(), queues.leases, stop()),
        controller(context, cache.runs.clone(), queues.runs, stop()),
        controller(context, cache.semaphores.clone(), queues.semaphores, stop()),
    );
}

async fn controller<K: Decide>(
    context: &Arc<Context>,
    store: Store<K>,
    queue: UnboundedReceiver<ObjectRef<K>>,
    mut stopped: watch::Receiver<bool>,
) where
    K::DynamicType: Debug + Eq + Hash + Clone + Unpin,
{
    // Before its kind is listed nothing is done that could be finished; and it may never be.
    tokio::select! {
        biased;
        listed = store.wait_until_ready() => if listed.is_err() { return },
        _ = stopped.wait_for(|stop| *stop) => return,
    }
    let newest = store.clone();
    let queue = until(queue, stopped).map(Ok::<_, std::convert::Infallible>);
    applier(
        move |object, context| Box::pin(in_turn(newest.clone(), object, context)),
        |object, error, context| try_again(&*object, error, &context),
        Arc::clone(context),
        store,
        queue,
        // Who waits for a turn costs little, and must not stand in the way of other namespaces.
        Config::default().concurrency(0),
    )
    // A queued object that is gone by now is nothing to reconcile; errors were told where they
    // happened.
    .for_each(|_| std::future::ready(()))
    .await;
}

fn until<T>(
    queue: impl Stream<Item = T>,
    mut stopped: watch::Receiver<bool>,
) -> impl Stream<Item = T> {
    queue.take_until(async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    })
}

async fn in_turn<K: Decide>(
    store: Store<K>,
    object: Arc<K>,
    context: Arc<Context>,
) -> Result<Action, Retry>
where
    K::DynamicType: Eq + Hash + Clone,
{
    let namespace = object.meta().namespace.as_deref().unwrap_or_default();
    let _turn = match context.turns.get(&K::KIND) {
        Some(turns) => Some(turns.turn(namespace).await),
        None => None,
    };
    // It has waited: the cache may show a newer one. One that is gone has an event of its own.
    let Some(object) = store.get(&ObjectRef::from_obj(&*object)) else {
        return Ok(Action::await_change());
    };
    // In a box of its own, so that those who wait don't keep room for it.
    Box::pin(reconcile(object, Arc::clone(&context))).await
}

async fn reconcile<K: Decide>(object: Arc<K>, context: Arc<Context>) -> Result<Action, Retry> {
    let uid = object.meta().uid.clone().unwrap_or_default();
    if context
        .memory
        .is_stale(&uid, object.meta().resource_version.as_deref())
    {
        // The event of what was written last is on its way, and brings it here again.
        return Ok(Action::await_change());
    }
    if let Some(rest) = context.memory.rest(&uid) {
        return Ok(Action::requeue(rest));
    }
    let mut measured = context.telemetry.reconciling(K::KIND);
    let now = context.clock.now();
    let mut facts = Facts::default();
    facts.start_refused = context.memory.refused(&uid);
    facts.pending_timeout = context.pending_timeout;
    if let Some(kind) = K::LEDGER {
        facts.renewals_seen = renewals(&context, kind, &ObjectName::of(object.meta()), now);
    }
    let mut doubted: Option<K::Status> = None;
    loop {
        match object.decide(&facts, now) {
            Err(mut needs) => {
                // Each round tells something new, and there is an end of what can be asked.
                if needs.iter().all(|(fact, how)| facts.knows(fact, *how)) {
                    return Err(Retry::Undecided);
                }
                if doubted.is_some() {
                    needs.values_mut().for_each(|how| *how = Freshness::Live);
                }
                observe(&context.live, &context.cache, needs, &mut facts).await?;
            }
            // Another operator has replaced what this one now wants to write again, or a live read
            // has overruled it before: one of them looks at a cache that is out of date. Reading
            // live, they agree.
            Ok(decision) if doubted.is_none() && doubtful(&context, &uid, &decision) => {
                doubted = decision.status;
                facts.forget_observed();
            }
            Ok(decision) => {
                if let Some(status) = &doubted {
                    // Unless it is what is written now.
                    context.memory.overrule(&uid, status);
                }
                let wake = decision.wake;
                let done = act::act(&context, &*object, decision, now).await;
                if matches!(done, Err(Retry::Conflict)) {
                    measured.ends("conflict");
                }
                done?;
                measured.ends("success");
                context.memory.forget_failures(&uid);
                return Ok(wake.map_or_else(Action::await_change, |wake| {
                    let wait = wake.duration_since(context.clock.now());
                    Action::requeue(Duration::try_from(wait).unwrap_or_default())
                }));
            }
        }
    }
}

/// Whether the status that is to be written may come from a cache that is out of date.
fn doubtful<S: Debug>(context: &Context, uid: &str, decision: &Decision<S>) -> bool {
    let status = decision.status.as_ref();
    status.is_some_and(|status| context.memory.doubts(uid, status))
}

/// The present renewal of each Claim on this ledger, and when it was first seen.
fn renewals(
    context: &Context,
    kind: LedgerKind,
    name: &ObjectName,
    now: Timestamp,
) -> BTreeMap<String, (Option<MicroTime>, Timestamp)> {
    let key = Key::Named(kind.into(), name.clone());
    let claims = context.cache.index().referring(&key, Watched::Claim);
    claims
        .iter()
        .filter_map(|claim| context.cache.claims.get(&crate::cache::reference(claim)))
        .filter_map(|claim| {
            let seen = context.memory.renewal_seen(&claim, now)?;
            Some((claim.metadata.uid.clone()?, seen))
        })
        .collect()
}

fn try_again<K: Decide>(object: &K, error: &Retry, context: &Context) -> Action {
    let name = ObjectName::of(object.meta());
    let failures = context
        .memory
        .count_failure(object.meta().uid.as_deref().unwrap_or_default());
    let wait = backoff::after(failures);
    let kind = K::kind(&());
    let (namespace, name) = (name.namespace, name.name);
    match error {
        Retry::Conflict => {
            tracing::debug!(%kind, namespace, name, ?wait, "another write came first")
        }
        Retry::Api(_) | Retry::Undecided => {
            tracing::warn!(%kind, namespace, name, %error, ?wait, "reconcile failed; retrying");
        }
    }
    Action::requeue(wait)
}
