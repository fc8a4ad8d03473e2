//! The ids of a Run's trace and of its spans.
//!
//! What enters: uids. What leaves: hashes of them, so that a container knows its parent before that is exported. What
//! must never happen here: an id that changes with a version of konductor, or that is drawn by lot.

use std::fmt;

use konductor_api::{Participant, Run};
use sha2::{Digest, Sha256};

/// The id of a trace: of a Run's attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId([u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, formatter)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, formatter)
    }
}

fn hex(bytes: &[u8], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes
        .iter()
        .try_for_each(|byte| write!(formatter, "{byte:02x}"))
}

impl TraceId {
    /// Returns the id of the trace of a Run's present attempt.
    pub fn of(run: &Run) -> Self {
        let uid = run.metadata.uid.as_deref().unwrap_or_default();
        Self(first(&["trace", uid, &run.spec.attempt.to_string()]))
    }
}

impl SpanId {
    /// The span of what these words name.
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(first(parts))
    }

    /// The span of a Job. One that a retry keeps has one in the trace of each attempt.
    pub(crate) fn of_job(uid: &str) -> Self {
        Self::of(&["job", uid])
    }
}

/// The first bytes of the hash of these words, never all zero: that is no id.
fn first<const N: usize>(words: &[&str]) -> [u8; N] {
    let digest = Sha256::digest(words.join(" ").as_bytes());
    let mut bytes = [0; N];
    bytes.copy_from_slice(&digest[..N]);
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

/// Returns the `TRACEPARENT` of a Job's containers, by which their own spans are part of the Run's trace: version,
/// trace, parent, and that it is sampled.
pub(crate) fn traceparent(run: &Run, job: &Participant) -> String {
    format!("00-{}-{}-01", TraceId::of(run), SpanId::of_job(job.uid()))
}
