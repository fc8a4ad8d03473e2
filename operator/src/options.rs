//! The operator's options.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{LeaderElection, Telemetry, Traces};

/// The time, as the operator reads it. TTLs and timeouts are counted on it.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// A clock that somebody else drives.
    pub fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(Timestamp::now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// The operator's options. The default watches every namespace, alone.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The one namespace to work in; all, where it is absent.
    pub namespace: Option<String>,
    /// How several operators agree on one that works.
    pub leader_election: Option<LeaderElection>,
    /// The time.
    pub clock: Clock,
    /// How long the pods of a Job may be unable to start before it is ended as Failed; no limit if it is
    /// absent and the Job does not say.
    pub pending_timeout: Option<SignedDuration>,
    /// The address of metrics and probes.
    pub telemetry: Telemetry,
    /// Where Runs go as traces when they have ended; nowhere by default.
    pub traces: Option<Traces>,
    /// How long a watch lasts before it continues by another request.
    pub watches_last: WatchesLast,
}

/// How long a watch lasts before it continues by another request. One that doesn't end then is on a
/// connection that is frozen, so this is also how soon that is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchesLast(pub Duration);

impl Default for WatchesLast {
    fn default() -> Self {
        Self(Duration::from_secs(8))
    }
}

/// Why the operator can't work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The election of a leader can't continue.
    #[error("leader election by lease {namespace}/{name} failed: {message}")]
    LeaderElection {
        /// The Lease's namespace.
        namespace: String,
        /// The Lease's name.
        name: String,
        /// Why, and what to do.
        message: String,
    },
}
