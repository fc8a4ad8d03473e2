//! A Job that was created from what `kubectl get` or a backup had stored of another one: it carries what the operator
//! wrote on that one.
//!
//! Every start changes the spec, so a Job whose spec was never changed was never started by the operator. What says that
//! it was is removed, and then it is a new Job. What must not happen: a start past its Gate, or an old output that counts
//! as its own.

use konductor_api::{JobPhase, Participant, annotation, job_ended};
use serde_json::{Map, Value};

use super::{NoStatus, patch};
use crate::Decision;

/// What the operator writes at a start or after it. It writes [`annotation::OUTPUTS_KEPT`], too, but a retry creates Jobs
/// with that.
const AFTER_A_START: [&str; 7] = [
    annotation::PHASE,
    annotation::REASON,
    annotation::HELD,
    annotation::PRESETS,
    annotation::OUTPUTS,
    annotation::RESUMED,
    annotation::TIMES,
];

/// Returns whether a Job says of itself what can't have happened to it. A start of a Job in one of Kueue's queues need not
/// change its spec, so of such a Job nothing is known.
fn is_copy(job: &Participant) -> bool {
    if job.metadata.generation != Some(1) || job.queue().is_some() {
        return false;
    }
    let was_started = job.held.is_some() || job.presets().is_some() || job.resumed().is_some();
    let has_phase_of_another = match job.phase {
        Some(JobPhase::Running | JobPhase::Paused) => job.is_suspended(),
        Some(JobPhase::Complete) => job_ended(job).is_none(),
        Some(_) | None => false,
    };
    was_started || has_phase_of_another
}

/// Removes what the operator wrote on another Job; `None` if it has written it on this one.
pub(super) fn forget(job: &Participant) -> Option<Decision<NoStatus>> {
    if !is_copy(job) {
        return None;
    }
    let known = job.metadata.annotations.as_ref()?;
    let copied = AFTER_A_START.iter().filter(|key| known.contains_key(**key));
    let annotations: Map<String, Value> =
        copied.map(|key| ((*key).to_owned(), Value::Null)).collect();
    Some(Decision {
        before: vec![patch(job, annotations)],
        ..Decision::default()
    })
}
