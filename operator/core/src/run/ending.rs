//! Where a Run stands, and why, in words that do not repeat its phase.

use konductor_api::condition::reason;
use konductor_api::{Duration, RunOutcome, RunPhase};

use super::View;
use super::cause::Causes;
use super::record::Entry;
use crate::outcome::End;

/// Where a Run stands, and why.
pub(super) struct Ending {
    pub(super) phase: RunPhase,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

impl Ending {
    /// From how its main Jobs ended, once all have, whether everything has, and why something failed.
    pub(super) fn of(
        outcome: Option<RunOutcome>,
        finished: bool,
        view: &View<'_>,
        causes: &Causes,
    ) -> Self {
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
            Some(RunOutcome::Failed) => {
                let message = causes.main.as_ref().map(|first| first.message.clone());
                let message = message.unwrap_or_else(|| "a stage failed".to_owned());
                (RunPhase::Failed, reason::STAGE_FAILED, message)
            }
            Some(RunOutcome::Succeeded) => succeeded(view, causes),
        };
        let paused = view.run.spec.is_paused();
        let phase = match (outcome, finished) {
            (None | Some(_), false) if paused => RunPhase::Paused,
            (None, _) => RunPhase::Running,
            (Some(_), false) => RunPhase::Finalizing,
            (Some(_), true) => ended,
        };
        let named = match outcome {
            Some(RunOutcome::Failed) => causes.main.as_ref(),
            Some(RunOutcome::Succeeded) => causes.finally.as_ref(),
            None | Some(RunOutcome::Cancelled | RunOutcome::TimedOut) => None,
        };
        let is_named = named.is_some_and(|first| first.is_deletion);
        let other = if is_named { "other " } else { "" };
        match view.deleted().saturating_sub(u32::from(is_named)) {
            0 => {}
            1 => message.push_str(&format!("; 1 {other}Job was deleted before it had ended")),
            more => message.push_str(&format!(
                "; {more} {other}Jobs were deleted before they had ended"
            )),
        }
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

/// The main stages succeeded: what the finally stages made of it. One that could not be reached has not
/// failed.
fn succeeded(view: &View<'_>, causes: &Causes) -> (RunPhase, &'static str, String) {
    if let Some(failed) = &causes.finally {
        let message = format!("finally {}", failed.message);
        (RunPhase::Failed, reason::FINALLY_FAILED, message)
    } else if view.written_off.is_some() && view.unseen_finally() > 0 {
        let message = "a finally stage was never created".to_owned();
        (RunPhase::Failed, reason::FINALLY_FAILED, message)
    } else {
        (RunPhase::Succeeded, reason::STAGES_SUCCEEDED, allowed(view))
    }
}

/// What did not succeed in a Run that did, and what allows it: `may-fail`, a quorum, or that it is a finally stage which was
/// unreached.
fn allowed(view: &View<'_>) -> String {
    let bad = view.members().filter_map(|member| match member.end()? {
        End::Succeeded | End::Skipped => None,
        end => Some((&member.entry, end)),
    });
    let bad: Vec<_> = bad.collect();
    let jobs = |count: usize, of: &str| match count {
        1 => format!("1 {of}Job"),
        more => format!("{more} {of}Jobs"),
    };
    let counted = |(entry, _): &&(&Entry, End)| entry.may_fail || !entry.finally;
    let (forgiven, unreached): (Vec<_>, Vec<_>) = bad.iter().partition(counted);
    let mut parts = Vec::new();
    if !forgiven.is_empty() {
        let by_quorum = forgiven.iter().any(|(entry, _)| !entry.may_fail);
        let by_stage = forgiven.iter().any(|(entry, _)| entry.may_fail);
        let allows = match (by_stage, by_quorum) {
            (true, true) => "may-fail and a quorum allow",
            (false, true) => "a quorum allows",
            (_, false) => "may-fail allows",
        };
        let failed = match forgiven.iter().all(|(_, end)| *end == End::Failed) {
            true => "failed",
            false => "did not succeed",
        };
        parts.push(format!(
            "{} {failed}, which {allows}",
            jobs(forgiven.len(), "")
        ));
    }
    if !unreached.is_empty() {
        let were = if unreached.len() == 1 { "was" } else { "were" };
        let count = jobs(unreached.len(), "finally ");
        parts.push(format!("{count} {were} unreached"));
    }
    match parts.is_empty() {
        true => "every stage succeeded or was skipped".to_owned(),
        false => parts.join("; "),
    }
}

fn progress(view: &View<'_>) -> String {
    let ended = view.main.iter().filter(|job| job.end().is_some());
    format!(
        "{} of {} Jobs have ended",
        ended.count(),
        view.run.spec.jobs
    )
}

fn cancelled(view: &View<'_>) -> String {
    let main = view.main.iter();
    let cancelled = main.filter(|job| job.end() == Some(End::Cancelled)).count();
    let unseen = view.written_off.map_or(0, |_| view.unseen());
    format!(
        "{} of {} Jobs were stopped or did not start",
        cancelled + unseen,
        view.run.spec.jobs
    )
}

/// A Run of which something was never created does not end by itself. Its creator knows whether
/// that is still to come.
fn unlike_declared(view: &View<'_>) -> Option<String> {
    let spec = &view.run.spec;
    let (jobs, finally) = (spec.jobs as usize, spec.finally_jobs as usize);
    if view.written_off.is_some() {
        return None;
    }
    let missing = match (view.unseen(), view.unseen_finally()) {
        (0, 0) => return surplus(view),
        (0, missing) => format!("{missing} of {finally} finally Jobs"),
        (missing, 0) => format!("{missing} of {jobs} Jobs"),
        (main, others) => format!("{} of {} Jobs", main + others, jobs + finally),
    };
    Some(format!(
        "{missing} do not exist yet: if nobody creates them, apply the file again or cancel the run"
    ))
}

/// A Job that the Run owns beyond those that it declares does not count.
fn surplus(view: &View<'_>) -> Option<String> {
    let name = view.strays.first()?.metadata.name.as_deref()?;
    let others = match view.strays.len() {
        1 => String::new(),
        more => format!(" and {} more", more - 1),
    };
    Some(format!(
        "job/{name}{others} does not count: the run has had all the Jobs that it declares"
    ))
}
