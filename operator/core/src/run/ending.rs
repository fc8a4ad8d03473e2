//! Where a Run stands, and why, in words that do not repeat its phase.

use std::collections::BTreeSet;

use konductor_api::condition::reason;
use konductor_api::{Duration, RunOutcome, RunPhase, label};

use super::{View, labelled};
use crate::limits::NAMES_IN_MESSAGE;
use crate::outcome::{End, job_end};

/// Where a Run stands, and why.
pub(super) struct Ending {
    pub(super) phase: RunPhase,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Ending {
    /// From how its main Jobs ended, once all have, and whether everything has.
    pub(super) fn of(outcome: Option<RunOutcome>, finished: bool, view: &View<'_>) -> Self {
        let (ended, reason, mut message) = match outcome {
            None => (RunPhase::Running, reason::RUNNING, progress(view)),
            Some(RunOutcome::Cancelled) => {
                (RunPhase::Cancelled, reason::CANCELLED, cancelled(view))
            }
            Some(RunOutcome::TimedOut) => {
                let timeout = view.run.spec.timeout.as_ref().map(Duration::as_str);
                let message = format!("it took longer than {}", timeout.unwrap_or_default());
                (RunPhase::Failed, reason::TIMED_OUT, message)
            }
            Some(RunOutcome::Failed) => (
                RunPhase::Failed,
                reason::STAGE_FAILED,
                failed(&view.bad_stages()),
            ),
            Some(RunOutcome::Succeeded) => {
                let failed = failed_finally(view);
                if failed.is_empty() {
                    let message = "every stage succeeded or was skipped".to_owned();
                    (RunPhase::Succeeded, reason::STAGES_SUCCEEDED, message)
                } else {
                    let message = format!("finally {} failed", stages(failed));
                    (RunPhase::Failed, reason::FINALLY_FAILED, message)
                }
            }
        };
        let phase = match (outcome, finished) {
            (None, _) => RunPhase::Running,
            (Some(_), false) => RunPhase::Finalizing,
            (Some(_), true) => ended,
        };
        if let Some(unlike) = unlike_declared(view).filter(|_| !finished) {
            message = format!("{message}; {unlike}");
        }
        Self {
            phase,
            reason,
            message,
        }
    }
}

fn progress(view: &View<'_>) -> String {
    let ended = view.main.iter().filter(|job| job_end(job).is_some());
    format!(
        "{} of {} Jobs have ended",
        ended.count(),
        view.run.spec.jobs
    )
}

fn cancelled(view: &View<'_>) -> String {
    let main = view.main.iter();
    let cancelled = main.filter(|job| job_end(job) == Some(End::Cancelled));
    format!(
        "{} of {} Jobs were stopped or did not start",
        cancelled.count(),
        view.run.spec.jobs
    )
}

/// The stages that failed; where none did, those that did not run.
fn failed(bad: &[(String, End)]) -> String {
    let ended = |wanted: fn(End) -> bool| -> Vec<String> {
        let found = bad.iter().filter(|(_, end)| wanted(*end));
        found.map(|(stage, _)| stage.clone()).collect()
    };
    let failed = ended(|end| end == End::Failed);
    let others = ended(|end| end != End::Failed);
    if !failed.is_empty() {
        format!("{} failed", stages(failed))
    } else if !others.is_empty() {
        format!("{} did not run", stages(others))
    } else {
        // Finally stages go on, and its Jobs have been deleted meanwhile.
        "a stage failed".to_owned()
    }
}

fn failed_finally(view: &View<'_>) -> Vec<String> {
    let bad = view
        .finally
        .iter()
        .filter(|job| !matches!(job_end(job), None | Some(End::Succeeded | End::Skipped)))
        .filter(|job| labelled(&job.metadata, label::MAY_FAIL) != Some("true"))
        .map(|job| labelled(&job.metadata, label::STAGE).unwrap_or_default());
    let bad: BTreeSet<&str> = bad.collect();
    bad.into_iter().map(str::to_owned).collect()
}

/// A Run with other Jobs than it declares does not end. It can't tell which these are: who made them
/// can.
fn unlike_declared(view: &View<'_>) -> Option<String> {
    let spec = &view.run.spec;
    let (jobs, finally) = (spec.jobs as usize, spec.finally_jobs as usize);
    let missing_main = jobs.saturating_sub(view.main.len());
    let missing_finally = finally.saturating_sub(view.finally.len());
    let missing = match (missing_main, missing_finally) {
        (0, 0) if view.main.len() > jobs || view.finally.len() > finally => {
            return Some(format!(
                "it declares {}, and {} have its label {}: delete those that are not its own",
                jobs + finally,
                view.main.len() + view.finally.len(),
                label::RUN
            ));
        }
        (0, 0) => return None,
        (0, missing) => format!("{missing} of {finally} finally Jobs"),
        (missing, 0) => format!("{missing} of {jobs} Jobs"),
        _ => format!(
            "{} of {} Jobs",
            missing_main + missing_finally,
            jobs + finally
        ),
    };
    Some(format!(
        "{missing} do not exist yet: if nobody creates them, apply the file again or delete the run"
    ))
}

fn stages(names: Vec<String>) -> String {
    let word = if names.len() == 1 { "stage" } else { "stages" };
    format!("{word} {}", some_of(names))
}

fn some_of(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMES_IN_MESSAGE);
    names.truncate(NAMES_IN_MESSAGE);
    let list = names.join(", ");
    if more > 0 {
        format!("{list} and {more} more")
    } else {
        list
    }
}
