//! A Job that is being deleted, and whose object stays because a finalizer keeps it.
//!
//! Kubernetes creates no pods for it any more, and nobody knows for how long it stays. So it counts as every Job that is
//! deleted: as it had ended, or as cancelled. What it holds ends with its last pod.

use jiff::Timestamp;
use konductor_api::condition::reason;
use konductor_api::{JobPhase, Participant, job_ended};

use super::{NoStatus, ended};
use crate::Decision;
use crate::outcome::job_end;

/// The finalizers of Kubernetes' own garbage collector. They go as soon as the pods have gone or are released.
const OF_KUBERNETES: [&str; 2] = ["foregroundDeletion", "orphan"];

/// Returns the finalizer of somebody else that keeps a deleted Job's object.
pub(super) fn finalizer(job: &Participant) -> Option<&str> {
    job.metadata.deletion_timestamp.as_ref()?;
    let mut finalizers = job.metadata.finalizers.iter().flatten();
    let other = finalizers.find(|finalizer| !OF_KUBERNETES.contains(&finalizer.as_str()));
    other.map(String::as_str)
}

/// Ends a Job as cancelled that is kept by this finalizer; `None` if it has ended before.
pub(super) fn end(
    job: &Participant,
    finalizer: &str,
    now: Timestamp,
) -> Option<Decision<NoStatus>> {
    if job_end(job).is_some() || job_ended(job).is_some() {
        return None;
    }
    let why = format!(
        "{}: its Job is being deleted; the finalizer {finalizer} keeps the object",
        reason::DELETED
    );
    Some(ended(job, JobPhase::Cancelled, &why, now))
}
