//! When a Gate, a Barrier or a Job ended, as it is stored.
//!
//! What enters: the object, and what is around it. What leaves: a time, or nothing. What must never happen here: a time
//! that nobody has stored, or a second opinion on whether it has ended.

use jiff::Timestamp;
use konductor_api::{Barrier, Gate, JobPhase, Participant};

use crate::outcome::{End, barrier_end, gate_end, job_end};
use crate::run_objects::RunObjects;

/// When a Gate ended; `None` if it has not, or if that is not stored.
pub(crate) fn gate_ended(gate: &Gate) -> Option<Timestamp> {
    gate_end(gate)?;
    let finished = gate.status.as_ref()?.finished_at.as_ref()?;
    Some(finished.0)
}

/// When a Barrier ended; `None` if it has not, or if that is not stored.
pub(crate) fn barrier_ended(barrier: &Barrier) -> Option<Timestamp> {
    barrier_end(barrier)?;
    let finished = barrier.status.as_ref()?.finished_at.as_ref()?;
    Some(finished.0)
}

/// When a Job ended; `None` if it has not, or if that is not stored.
pub(crate) fn job_ended(job: &Participant, objects: &RunObjects) -> Option<Timestamp> {
    let end = job_end(job)?;
    let times = job.times();
    let stopped = || times.ended.or_else(|| times.ran.last().map(|(_, to)| *to));
    let ruled_out = || {
        let gate = job.gate().and_then(|gate| objects.gate(gate))?;
        matches!(end, End::Skipped | End::Unreached).then(|| gate_ended(gate))?
    };
    match job.phase {
        // What the operator ended may still have been completed by the Job controller, later.
        Some(JobPhase::Cancelled) => stopped().or_else(|| controller_end(job)),
        _ => controller_end(job).or_else(stopped).or_else(ruled_out),
    }
}

/// When the Job controller says that a Job ended.
fn controller_end(job: &Participant) -> Option<Timestamp> {
    let completed = job.status.as_ref()?.completion_time.as_ref();
    let completed = completed.map(|time| time.0);
    completed
        .or_else(|| condition_since(job, "Complete"))
        .or_else(|| condition_since(job, "Failed"))
}

/// Since when a condition of a Job is true; `None` if it is not.
pub(crate) fn condition_since(job: &Participant, type_: &str) -> Option<Timestamp> {
    let mut conditions = job.status.as_ref()?.conditions.iter().flatten();
    let condition =
        conditions.find(|condition| condition.type_ == type_ && condition.status == "True")?;
    condition.last_transition_time.as_ref().map(|time| time.0)
}
