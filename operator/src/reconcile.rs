//! observe → decide → act, the same for every kind.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::LedgerKind;
use konductor_core::{Decision, Fact, Facts, Freshness, ObjectName};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use crate::act;
use crate::backoff;
use crate::cache::Cache;
use crate::context::{Context, Retry};
use crate::decide::Decide;
use crate::fair::Fair;
use crate::index::{Key, Watched};
use crate::observe::{cached, observe};
use crate::reference::reference;
use crate::route::Receivers;
use crate::schedule::{Begun, schedule};

/// Runs the controllers of every kind until they are stopped.
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
    let turns = Fair::new(K::KIND.at_once());
    let stop = stopped.clone();
    let objects = Box::pin(until(queue, stopped));
    schedule(objects, |object, begun| {
        in_turn(context, &store, &turns, &stop, object, begun)
    })
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

/// Reconciles an object when it is its namespace's turn. Returns after how long to look at it again, if no event comes
/// first.
async fn in_turn<K: Decide>(
    context: &Arc<Context>,
    store: &Store<K>,
    turns: &Fair,
    stop: &watch::Receiver<bool>,
    object: ObjectRef<K>,
    begun: Begun,
) -> Option<Duration>
where
    K::DynamicType: Eq + Hash + Clone,
{
    // One that is gone is nothing to reconcile: what it concerns has been queued.
    store.get(&object)?;
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let queued = context.telemetry.awaits_turn(K::KIND);
    let _turn = turns.turn(namespace).await;
    drop(queued);
    if *stop.borrow() {
        // What waits for its turn is left to the next start.
        return None;
    }
    begun.mark();
    // It has waited: the cache may show a newer one.
    let object = store.get(&object)?;
    // Boxed, so that waiting objects don't reserve memory for it.
    let reconciled = Box::pin(reconcile(Arc::clone(&object), Arc::clone(context))).await;
    reconciled.unwrap_or_else(|error| Some(try_again(&*object, &error, context)))
}

/// Returns after how long to decide about the object again, if no event comes first.
async fn reconcile<K: Decide>(
    object: Arc<K>,
    context: Arc<Context>,
) -> Result<Option<Duration>, Retry> {
    let uid = object.meta().uid.clone().unwrap_or_default();
    if context
        .memory
        .is_stale(&uid, object.meta().resource_version.as_deref())
    {
        // The event of what was written last is on its way, and brings it here again.
        return Ok(None);
    }
    if let Some(rest) = context.memory.rest(&uid) {
        return Ok(Some(rest));
    }
    let Some(object) = object.whole(&context.live).await? else {
        return Ok(None);
    };
    let mut measured = context.telemetry.reconciling(K::KIND);
    let now = context.clock.now();
    object.seen(&context, now);
    let mut facts = Facts::default();
    facts.start_refused = context.memory.refused(&uid);
    facts.pending_timeout = context.pending_timeout;
    facts.traces = context.exports.is_some();
    if let Some(kind) = K::LEDGER {
        facts.renewals_seen = renewals(&context, kind, &ObjectName::of(object.meta()), now);
    }
    if let Some(wait) = progress_waits(&context, &*object, &uid, &facts, now) {
        measured.ends("requeue_after");
        return Ok(Some(wait));
    }
    let mut doubted: Option<K::Status> = None;
    loop {
        match object.decide(&facts, now) {
            Err(mut needs) => {
                // Each round adds a fact, and the facts that can be asked for are finite.
                if needs.iter().all(|(fact, how)| facts.knows(fact, *how)) {
                    return Err(Retry::Undecided);
                }
                if let Some(fact) = needs.keys().find(|fact| fact.is_scanned()) {
                    let name = ObjectName::of(object.meta());
                    let Some(answer) = context.scans.ask(fact, K::KIND, name) else {
                        // The answer queues it again: thousands that waited here would delay everybody else.
                        measured.ends("success");
                        return Ok(None);
                    };
                    facts.record(fact.clone(), Freshness::Live, answer?);
                    continue;
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
                    measured.ends("requeue");
                }
                done?;
                measured.ends(match wake {
                    Some(_) => "requeue_after",
                    None => "success",
                });
                context.memory.forget_failures(&uid);
                return Ok(wake.map(|wake| {
                    let wait = wake.duration_since(context.clock.now());
                    Duration::try_from(wait).unwrap_or_default()
                }));
            }
        }
    }
}

/// How long a decision waits that would only write how far the object is, shortly after the last such write: what
/// happens until then is read and written with it.
fn progress_waits<K: Decide>(
    context: &Context,
    object: &K,
    uid: &str,
    facts: &Facts,
    now: Timestamp,
) -> Option<Duration> {
    let wait = context.memory.progress_rest(uid)?;
    // Without `..`, so that what a decision gains can't be put off unseen.
    let Decision {
        before,
        status,
        progress,
        after,
        events,
        wake,
        waits: _,
    } = foreseen(&context.cache, object, facts, now)?;
    let only_status = before.is_empty() && after.is_empty() && events.is_empty();
    if !only_status || status.is_none() || progress.is_none() {
        return None;
    }
    let wake = wake.and_then(|wake| Duration::try_from(wake.duration_since(now)).ok());
    Some(wake.map_or(wait, |wake| wake.min(wait)))
}

/// The decision if the cache is up to date; `None` if it needs what only a scan finds.
fn foreseen<K: Decide>(
    cache: &Cache,
    object: &K,
    facts: &Facts,
    now: Timestamp,
) -> Option<Decision<K::Status>> {
    let mut facts = facts.clone();
    loop {
        let needs = match object.decide(&facts, now) {
            Ok(decision) => return Some(decision),
            Err(needs) => needs,
        };
        let is_known = |(fact, how): (&Fact, &Freshness)| facts.knows(fact, *how);
        if needs.keys().any(Fact::is_scanned) || needs.iter().all(is_known) {
            return None;
        }
        for (fact, how) in needs {
            let objects = cached(cache, &fact);
            facts.record(fact, how, objects);
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
        .filter_map(|claim| context.cache.claims.get(&reference(claim)))
        .filter_map(|claim| {
            let seen = context.memory.renewal_seen(&claim, now)?;
            Some((claim.metadata.uid.clone()?, seen))
        })
        .collect()
}

/// Counts a failure; returns how long to wait before the next attempt.
fn try_again<K: Decide>(object: &K, error: &Retry, context: &Context) -> Duration {
    let name = ObjectName::of(object.meta());
    let uid = object.meta().uid.as_deref().unwrap_or_default();
    let failures = context.memory.count_failure(uid);
    let wait = backoff::after(failures, uid);
    context.telemetry.retried(K::KIND);
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
    wait
}
