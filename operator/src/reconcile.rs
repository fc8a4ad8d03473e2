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
use konductor_core::{Decision, Facts, Freshness, ObjectName};
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use tokio::sync::watch;

use crate::act;
use crate::backoff;
use crate::context::{Context, Retry};
use crate::decide::Decide;
use crate::index::{Key, Watched};
use crate::observe::observe;
use crate::reference::reference;
use crate::route::Receivers;

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
    let newest = store.clone();
    let queue = until(queue, stopped).map(Ok::<_, std::convert::Infallible>);
    applier(
        move |object, context| Box::pin(in_turn(newest.clone(), object, context)),
        |object, error, context| try_again(&*object, error, &context),
        Arc::clone(context),
        store,
        queue,
        // Waiting for a turn costs little, and must not block other namespaces.
        Config::default().concurrency(0),
    )
    // A queued object that is gone by now is nothing to reconcile; errors were reported where they
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
        Some(turns) => {
            let _queued = context.telemetry.awaits_turn(K::KIND);
            Some(turns.turn(namespace).await)
        }
        None => None,
    };
    // It has waited: the cache may show a newer one. One that is gone has an event of its own.
    let Some(object) = store.get(&ObjectRef::from_obj(&*object)) else {
        return Ok(Action::await_change());
    };
    // Boxed, so that waiting tasks don't reserve memory for it.
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
    let Some(object) = object.whole(&context.live).await? else {
        return Ok(Action::await_change());
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
                        return Ok(Action::await_change());
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
        .filter_map(|claim| context.cache.claims.get(&reference(claim)))
        .filter_map(|claim| {
            let seen = context.memory.renewal_seen(&claim, now)?;
            Some((claim.metadata.uid.clone()?, seen))
        })
        .collect()
}

fn try_again<K: Decide>(object: &K, error: &Retry, context: &Context) -> Action {
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
    Action::requeue(wait)
}
