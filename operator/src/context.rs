//! What every reconcile shares, and why one is tried again.

use std::sync::Arc;

use jiff::SignedDuration;
use kube::Client;

use crate::cache::Cache;
use crate::events::Events;
use crate::live::Live;
use crate::memory::Memory;
use crate::options::{Clock, Options};
use crate::scans::Scans;
use crate::telemetry::Telemetry;
use crate::traces::Exports;

/// What every reconcile shares.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) live: Live,
    pub(crate) scans: Arc<Scans>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) clock: Clock,
    pub(crate) pending_timeout: Option<SignedDuration>,
    pub(crate) events: Arc<Events>,
    /// Where Runs go when they have ended, if anywhere.
    pub(crate) exports: Option<Exports>,
    pub(crate) telemetry: Telemetry,
}

impl Context {
    pub(crate) fn new(
        client: Client,
        cache: Cache,
        memory: Arc<Memory>,
        scans: Arc<Scans>,
        events: Arc<Events>,
        options: &Options,
    ) -> Self {
        Self {
            events,
            live: Live::new(client.clone()),
            scans,
            client,
            cache: Arc::new(cache),
            memory,
            clock: options.clock.clone(),
            pending_timeout: options.pending_timeout,
            exports: options.traces.clone().map(Exports::new),
            telemetry: options.telemetry.clone(),
        }
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
    /// The core asks again for facts that it already has.
    #[error("no decision although all that it asks for was observed; this is a bug in konductor")]
    Undecided,
}

impl From<kube::Error> for Retry {
    fn from(error: kube::Error) -> Self {
        Self::Api(Arc::new(error))
    }
}
