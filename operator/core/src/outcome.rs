//! How things end, and what an end means for those that wait. The table is `docs/language.md`'s.

use konductor_api::{
    Barrier, BarrierPhase, ConditionState, Gate, GatePhase, JobPhase, Participant, Run, RunOutcome,
    RunPhase, RunStatus, Verdict, annotation, job_ended,
};

/// How a stage, a Job or a primitive ended. Two ends are good: Succeeded and Skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum End {
    /// It did what it had to.
    Succeeded,
    /// It failed.
    Failed,
    /// It had nothing to do, and nothing went wrong.
    Skipped,
    /// It was never started, because something before it ended badly.
    Unreached,
    /// It was ended from outside.
    Cancelled,
}

/// What an end means for a condition that waits for `state`.
pub fn verdict(state: ConditionState, end: End) -> Verdict {
    use ConditionState as State;
    match (state, end) {
        (State::Finished | State::Settled, _) => Verdict::Met,
        (_, End::Unreached | End::Cancelled) => Verdict::Failed,
        (State::Complete | State::Open | State::Succeeded, End::Succeeded) => Verdict::Met,
        (State::Complete | State::Open | State::Succeeded, End::Failed) => Verdict::Failed,
        (State::Complete | State::Open | State::Succeeded, End::Skipped) => Verdict::Skipped,
        (State::Failed, End::Failed) => Verdict::Met,
        (State::Failed, End::Succeeded | End::Skipped) => Verdict::Skipped,
        (State::Skipped, End::Skipped) => Verdict::Met,
        (State::Skipped, End::Succeeded) => Verdict::Skipped,
        (State::Skipped, End::Failed) => Verdict::Failed,
    }
}

/// Returns how a Job ended; `None` if it has not.
///
/// What the operator wrote comes first: a Job that was cancelled stays so although its last pod
/// succeeded a moment later. A Job that declares outputs has succeeded once they are stored; one whose
/// outputs are wrong has the phase Failed, while its own conditions say Complete. Of a Job with items, the outputs of
/// those that succeeded are stored however it ended, before it counts as ended.
pub fn job_end(job: &Participant) -> Option<End> {
    match job.phase {
        Some(JobPhase::Skipped | JobPhase::Unreached | JobPhase::Cancelled | JobPhase::Failed)
            if job.owes_outputs_of_items() =>
        {
            return None;
        }
        Some(JobPhase::Skipped) => return Some(End::Skipped),
        Some(JobPhase::Unreached) => return Some(End::Unreached),
        Some(JobPhase::Cancelled) => return Some(End::Cancelled),
        Some(JobPhase::Failed) => return Some(End::Failed),
        Some(
            JobPhase::Waiting
            | JobPhase::Queued
            | JobPhase::Running
            | JobPhase::Paused
            | JobPhase::Complete,
        )
        | None => {}
    }
    if started_too_early(job) {
        return Some(End::Failed);
    }
    match job_ended(job)? {
        false if job.items.is_some() && job.owes_outputs() => None,
        false => Some(End::Failed),
        true => (!job.owes_outputs()).then_some(End::Succeeded),
    }
}

/// Whether a Job was started although our value is in Kueue's annotation of those that must agree, as by a Kueue that
/// does not know the annotation. It ran before its turn, so it has failed, however its pods end.
pub(crate) fn started_too_early(job: &Participant) -> bool {
    let mut words = job.gated_by().into_iter().flatten();
    words.any(|word| word == annotation::KUEUE_GATE)
        && job.may_start()
        && (!job.is_suspended() || job_ended(job).is_some())
}

/// How a Barrier ended; `None` while it waits.
pub fn barrier_end(barrier: &Barrier) -> Option<End> {
    match barrier.status.as_ref()?.phase {
        BarrierPhase::Waiting => None,
        BarrierPhase::Open => Some(End::Succeeded),
        BarrierPhase::Skipped => Some(End::Skipped),
        BarrierPhase::Unreached => Some(End::Unreached),
        BarrierPhase::Failed => Some(End::Failed),
    }
}

/// How a Gate ended; `None` while it waits.
pub fn gate_end(gate: &Gate) -> Option<End> {
    match gate.status.as_ref()?.phase {
        GatePhase::Waiting => None,
        GatePhase::Open => Some(End::Succeeded),
        GatePhase::Skipped => Some(End::Skipped),
        GatePhase::Unreached => Some(End::Unreached),
        GatePhase::Failed => Some(End::Failed),
    }
}

/// The status of a Run's attempt: what is left from an earlier one says nothing about it.
pub fn run_status(run: &Run) -> Option<&RunStatus> {
    let status = run.status.as_ref()?;
    (status.attempt == run.spec.attempt).then_some(status)
}

/// Returns how a Run ended; `None` if it has not.
pub fn run_end(run: &Run) -> Option<End> {
    match run_status(run)?.phase {
        RunPhase::Running | RunPhase::Paused | RunPhase::Finalizing => None,
        RunPhase::Succeeded => Some(End::Succeeded),
        RunPhase::Failed => Some(End::Failed),
        RunPhase::Cancelled => Some(End::Cancelled),
    }
}

/// Whether a Run's main Jobs have all ended.
pub(crate) fn is_settled(run: &Run) -> bool {
    run_status(run).is_some_and(|status| status.outcome.is_some())
}

/// Returns how a Run's main Jobs ended, in the words of the language (`run.outcome`); `None` if one of them has not.
pub(crate) fn outcome_word(run: &Run) -> Option<&'static str> {
    Some(match run_status(run)?.outcome? {
        RunOutcome::Succeeded => "succeeded",
        RunOutcome::Failed => "failed",
        RunOutcome::Cancelled => "cancelled",
        RunOutcome::TimedOut => "timed-out",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `job::decide` relies on it: it handles those that owe outputs, and takes every other Job without an end for
    /// one that has not ended.
    #[test]
    fn job_that_has_ended_and_has_no_end_owes_outputs() {
        let phases = JobPhase::ALL.map(|phase| Some(phase.word()));
        let mut owing = 0;
        for phase in phases.into_iter().chain([None]) {
            for condition in ["Complete", "Failed", "Suspended"] {
                for declares in [true, false] {
                    let mut annotations = serde_json::json!({});
                    if let Some(phase) = phase {
                        annotations[annotation::PHASE] = phase.into();
                    }
                    if declares {
                        annotations[annotation::OUTPUTS_DECLARED] = "rows: int".into();
                    }
                    let job: Participant = serde_json::from_value(serde_json::json!({
                        "metadata": {"annotations": annotations},
                        "status": {"conditions": [{"type": condition, "status": "True"}]},
                    }))
                    .expect("a Job");
                    if job_end(&job).is_none() && job_ended(&job).is_some() {
                        assert_eq!(job_ended(&job), Some(true));
                        assert!(job.owes_outputs(), "{phase:?} {condition}");
                        owing += 1;
                    }
                }
            }
        }
        assert!(owing > 0);
    }

    #[test]
    fn verdicts_follow_the_manuals_outcome_table() {
        use ConditionState::{Complete, Failed, Finished, Skipped};
        use Verdict::{Failed as Bad, Met, Skipped as Good};
        let ends = [
            End::Succeeded,
            End::Failed,
            End::Skipped,
            End::Unreached,
            End::Cancelled,
        ];
        let manual = include_str!("../../../docs/language.md");
        let rows = [
            ("plain", Complete),
            ("`.failed`", Failed),
            ("`.skipped`", Skipped),
            ("`.finished`", Finished),
        ];
        for (word, state) in rows {
            let row = manual
                .lines()
                .find_map(|line| line.strip_prefix(&format!("| {word} | ")));
            let cells = row.expect("the manual has a row").trim_end_matches(" |");
            let expected: Vec<Verdict> = cells
                .split(" | ")
                .map(|cell| match cell {
                    "satisfied" => Met,
                    "skips" => Good,
                    "unreached" => Bad,
                    other => panic!("{other} is no verdict"),
                })
                .collect();
            assert_eq!(ends.map(|end| verdict(state, end))[..], expected, "{word}");
        }
    }
}
