//! The kinds of object that decisions write.

/// The kinds of object that a [`Write`](crate::Write) is about.
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
