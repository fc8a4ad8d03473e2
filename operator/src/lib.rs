//! The operator: it watches, asks `konductor-core` what to do, and does it.
//!
//! What enters: watch events. What leaves: writes, each under a precondition. What must never
//! happen here: a decision about what a primitive means; polling; anything that must survive a
//! restart, because all state is in the API.
//!
//! `reconcile` = `observe` (all reads) → `decide` (pure) → `act` (all writes). The shell is the
//! same for every kind: the core names the facts it needs and how fresh, and the shell fetches them.

mod abridged;
mod act;
mod backoff;
mod cache;
mod context;
mod decide;
mod done;
mod events;
mod fair;
mod gone;
#[cfg(test)]
mod held_server;
mod index;
mod leader;
mod live;
mod memory;
mod needed;
mod observe;
mod options;
mod reconcile;
mod reference;
mod route;
mod scans;
mod schedule;
mod telemetry;
mod traces;
mod undecodable;
mod watch;

pub use konductor_core::explain;
pub use konductor_core::job::{meant_annotation, succeeded_indexes};
pub use konductor_core::ledger::Turn;
pub use konductor_core::retry;
pub use konductor_core::run_graph;
pub use konductor_core::slot;
pub use konductor_core::standing;
pub use konductor_core::timeline;
pub use konductor_core::words;
pub use konductor_core::{End, HeldBack, Listed, RunObjects, Waits, run_end, run_status};
pub use leader::{LEADER_LEASE, LeaderElection};
pub use options::{Clock, Error, Options, WatchesLast};
pub use telemetry::Telemetry;
pub use traces::{TraceSettings, Traces};

use std::sync::Arc;

use konductor_core::ObjectName;
use kube::Client;
use tokio::sync::watch as signal;

use crate::context::Context;
use crate::events::Events;
use crate::memory::Memory;
use crate::route::Queues;
use crate::scans::Scans;
use crate::telemetry::Phase;
use crate::traces::Sources;
use crate::undecodable::Undecodables;

/// By whom the fields are managed that the operator writes.
const FIELD_MANAGER: &str = "konductor";

/// Runs the operator until `shutdown` is ready. With leader election it does nothing until it leads,
/// and stops deciding when it leads no longer.
///
/// # Errors
/// If the API server refuses what the operator can't work without; what passes is retried.
pub async fn run(
    client: Client,
    options: Options,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let client = options.telemetry.counting(client);
    options.telemetry.watches(options.namespace.as_deref());
    let (stop, stopped) = signal::channel(false);
    let operator = async {
        match &options.leader_election {
            None => {
                operate(client.clone(), &options, stopped.clone()).await;
                Ok(())
            }
            Some(election) => {
                leader::lead(
                    client.clone(),
                    election,
                    &options,
                    stopped.clone(),
                    |leading| operate(client.clone(), &options, leading),
                )
                .await
            }
        }
    };
    tokio::pin!(operator);
    tokio::select! {
        result = &mut operator => return result,
        () = shutdown => {}
    }
    // What is being written is finished; what is queued is left to the next start.
    let _ = stop.send(true);
    operator.await
}

/// Exports what ends, if that is asked for.
async fn export(context: &Context) {
    match &context.exports {
        Some(exports) => {
            let sources = Sources {
                client: &context.client,
                live: &context.live,
                runs: &context.cache.runs,
                clock: &context.clock,
                telemetry: &context.telemetry,
            };
            exports.run(sources).await
        }
        None => std::future::pending().await,
    }
}

/// Watches and decides until asked to stop. It starts with an empty memory each time.
async fn operate(client: Client, options: &Options, stopped: signal::Receiver<bool>) {
    let memory = Arc::new(Memory::default());
    let (events, writer) = Events::new();
    let events = Arc::new(events);
    let undecodables = Arc::new(Undecodables::new(&options.telemetry, &events));
    let (cache, watches) = cache::watch(&client, options, &memory, &undecodables);
    let (scans, requests) = Scans::new();
    let scans = Arc::new(scans);
    let scanned = Arc::clone(&scans);
    let context = Context::new(client, cache, memory, scanned, events, options);
    let context = Arc::new(context);
    let telemetry = &context.telemetry;
    let cache = Arc::downgrade(&context.cache);
    telemetry.know(cache);
    telemetry.enter(Phase::Listing);
    let queues = Queues::new(telemetry, &scans);
    let senders = queues.senders.clone();
    let queue = |kind, name: &ObjectName| {
        senders.send(kind, name);
        context.cache.has(kind, name)
    };
    let controllers = reconcile::controllers(&context, queues.receivers, stopped);
    tokio::select! {
        // They finish what they are doing before they stop.
        () = writer.beside(controllers, &context.events, &context.client) => {}
        () = route::route(watches, queues.senders, &context.cache) => {}
        () = requests.scan(&scans, &context.live, queue) => {}
        () = export(&context) => {}
    }
}
