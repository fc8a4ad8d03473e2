//! A decision as data: what is to be written, and when to look again.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use konductor_api::{Arrival, Hold};
use serde_json::Value;

use crate::{Kind, Needs, ObjectName};

/// A decision, or what must be observed before one can be made.
pub type Decided<S> = Result<Decision<S>, Needs>;

/// What is to be done about one object. The default is to do nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<S> {
    /// Written first: what a holder must learn before the ledger forgets it (rule A).
    pub before: Vec<Write>,
    /// The object's new status, where it differs. Written under the version that was decided on.
    pub status: Option<S>,
    /// If the status only says how far the object is, and nothing waits for it: how long the next of that kind may wait
    /// after this one was written.
    pub progress: Option<Duration>,
    /// Written last, and only if the status was: what a holder learns after the ledger (rule A).
    pub after: Vec<Write>,
    /// Events on the object, for people.
    pub events: Vec<Event>,
    /// When to decide again although nothing has happened: a TTL or a timeout.
    pub wake: Option<Timestamp>,
    /// Of a Job: what keeps it from its next step, for those that explain it.
    pub waits: Option<Waits>,
}

/// What keeps a Job from its next step: the first thing in the order in which they are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waits {
    /// Somebody has to correct its annotations.
    Correction(String),
    /// Its Gate is not open, or does not exist.
    Gate(String),
    /// Its Run lets nothing start.
    Run(HeldBack),
    /// It has all that it asks for, and Kueue starts it: its queue.
    Admission(String),
    /// Somebody suspended it, and it asks for nothing for which konductor would start it.
    Suspended,
    /// It is being deleted.
    Deletion,
    /// The first of its holds that it has not got.
    Hold(Hold),
    /// A ledger that it does not ask any more has not forgotten it yet.
    Release(Hold),
    /// It is complete, and its outputs are being read.
    Outputs,
    /// The Barrier at which it arrives does not exist.
    Barrier(String),
}

/// Why a Run lets a Job not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBack {
    /// It is paused.
    Paused,
    /// It is being cancelled.
    Cancelled,
    /// It has ended.
    Ended,
    /// It has had another Job of this name, or as many as it declares, or its main Jobs have ended.
    Replaced,
    /// It has not recorded the Job yet.
    Unrecorded,
    /// It does not exist.
    NoRun,
    /// The Job carries its label, and does not belong to it.
    Foreign,
}

impl fmt::Display for HeldBack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Paused => "its run is paused",
            Self::Cancelled => "its run is being cancelled",
            Self::Ended => "its run has ended",
            Self::Replaced => "its run does not count it",
            Self::Unrecorded => "waits for the operator to record it in its run",
            Self::NoRun => "its run does not exist",
            Self::Foreign => "it names a run that it does not belong to",
        })
    }
}

impl<S> Default for Decision<S> {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            status: None,
            progress: None,
            after: Vec::new(),
            events: Vec::new(),
            wake: None,
            waits: None,
        }
    }
}

impl<S> Decision<S> {
    /// Writes nothing, for this reason.
    pub(crate) fn waiting_for(waits: Waits) -> Self {
        Self::default().waits_for(waits)
    }

    /// Says what the object waits for.
    pub(crate) fn waits_for(mut self, waits: Waits) -> Self {
        self.waits = Some(waits);
        self
    }

    /// Brings the time of the next look forward.
    pub(crate) fn wake_at(&mut self, time: Timestamp) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }
}

/// One write to another object. Each carries a precondition.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// A merge patch whose body names the uid and resourceVersion that it is about.
    Patch {
        /// The object's kind.
        kind: Kind,
        /// The object's place.
        name: ObjectName,
        /// Whether the patch is about the status subresource.
        status: bool,
        /// The patch.
        body: Value,
    },
    /// A merge patch of an object's owners, under its uid and resourceVersion. Nothing depends on it:
    /// where the API server refuses it, the rest of the decision is still carried out.
    Adopt {
        /// The object's kind.
        kind: Kind,
        /// The object's place.
        name: ObjectName,
        /// The patch.
        body: Value,
    },
    /// A new Arrival, under a name that makes a second one of the same party collide.
    CreateArrival(Box<Arrival>),
    /// Deletes the object if it still has this uid and resourceVersion.
    Delete {
        /// The object's kind.
        kind: Kind,
        /// The object's place.
        name: ObjectName,
        /// The object's uid.
        uid: String,
        /// The object's resourceVersion.
        version: Option<String>,
    },
}

/// An Event on the object, as `kubectl describe` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether somebody should look.
    pub type_: EventType,
    /// In PascalCase, from [`konductor_api::condition::reason`] where it is a reason.
    pub reason: &'static str,
    /// What happened, and which object to look at.
    pub note: String,
}

/// Whether somebody should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// All is well.
    Normal,
    /// Somebody should look.
    Warning,
}
