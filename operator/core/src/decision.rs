//! A decision as data: what is to be written, and when to look again.

use jiff::Timestamp;
use konductor_api::Arrival;
use serde_json::Value;

use crate::{Needs, ObjectName};

/// A decision, or what must be observed before one can be made.
pub type Decided<S> = Result<Decision<S>, Needs>;

/// What is to be done about one object. The default is to do nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision<S> {
    /// Written first: what a holder must learn before the ledger forgets it (rule A).
    pub before: Vec<Write>,
    /// The object's new status, where it differs. Written under the version that was decided on.
    pub status: Option<S>,
    /// Written last, and only if the status was: what a holder learns after the ledger (rule A).
    pub after: Vec<Write>,
    /// Told to people, on the object.
    pub events: Vec<Event>,
    /// When to decide again although nothing has happened: a TTL or a timeout.
    pub wake: Option<Timestamp>,
}

impl<S> Default for Decision<S> {
    fn default() -> Self {
        Self {
            before: Vec::new(),
            status: None,
            after: Vec::new(),
            events: Vec::new(),
            wake: None,
        }
    }
}

impl<S> Decision<S> {
    /// Brings the time of the next look forward.
    pub(crate) fn wake_at(&mut self, time: Timestamp) {
        self.wake = Some(self.wake.map_or(time, |known| known.min(time)));
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
    /// Deletes the object if it still has this uid.
    Delete {
        /// The object's kind.
        kind: Kind,
        /// The object's place.
        name: ObjectName,
        /// The object's uid.
        uid: String,
    },
}

/// The kinds of object that a [`Write`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A `batch/v1` Job.
    Job,
    /// An Arrival.
    Arrival,
    /// A Claim.
    Claim,
    /// A Gate.
    Gate,
    /// A Barrier.
    Barrier,
    /// A Run.
    Run,
}

/// Something worth telling on the object, as `kubectl describe` shows it.
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
