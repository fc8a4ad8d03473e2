//! Since when a Job is in its state, by what is stored: the same times that the timeline has.
//!
//! What must never happen here: a time that nobody has stored, such as the creation of what has changed since.

use jiff::Timestamp;
use konductor_api::Participant;

use super::State;
use crate::ended::{condition_since, gate_ended, job_ended};
use crate::run_objects::RunObjects;
use crate::run_status;

/// Returns since when a Job is in its state; `None` if nobody has stored that.
pub(super) fn since(job: &Participant, state: State, objects: &RunObjects) -> Option<Timestamp> {
    let status = job.status.as_ref();
    match state {
        State::Succeeded => {
            let completed = status?.completion_time.as_ref()?;
            Some(completed.0)
        }
        // One whose outputs are wrong is complete, and one whose pods could not start is suspended.
        State::Failed => ["Failed", "Complete", "Suspended"]
            .into_iter()
            .find_map(|type_| condition_since(job, type_)),
        State::Cancelled | State::Unreached | State::Skipped => job_ended(job, objects),
        State::Running | State::Pending => {
            let started = status?.start_time.as_ref()?;
            Some(started.0)
        }
        State::Waiting => created(job),
        State::Queued => queued(job, objects),
        State::Paused => paused(job, objects),
        State::Suspended => condition_since(job, "Suspended"),
    }
}

fn created(job: &Participant) -> Option<Timestamp> {
    let created = job.metadata.creation_timestamp.as_ref()?;
    Some(created.0)
}

/// A Job queues from the opening of its Gate on; without a Gate, since its creation; and if somebody has suspended it
/// after its start, since then.
fn queued(job: &Participant, objects: &RunObjects) -> Option<Timestamp> {
    if job.held.is_some() || job.resumed().is_some() || !job.times().ran.is_empty() {
        return condition_since(job, "Suspended");
    }
    let created = created(job)?;
    match job.gate() {
        None => Some(created),
        // A Job that a retry has created again may be behind a Gate that is open already.
        Some(gate) => Some(gate_ended(objects.gate(gate)?)?.max(created)),
    }
}

/// A Job is paused with its Run: since the operator has stopped it, which may be later if those that ran were to finish.
fn paused(job: &Participant, objects: &RunObjects) -> Option<Timestamp> {
    let run = objects.run().and_then(run_status);
    let paused = run.and_then(|run| run.paused_at.as_ref());
    let stopped = job.times().ran.last().map(|(_, to)| *to);
    paused.map(|time| time.0).max(stopped)
}
