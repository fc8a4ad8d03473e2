//! What a Run does to its Jobs: it ends them, holds them, resumes them, and adopts them.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::reason;
use konductor_api::{
    Duration, JobPhase, ObjectName, Participant, Run, RunStatus, annotation, job_ended,
};
use serde_json::{Value, json};

use super::view::View;
use crate::facts::{Facts, Freshness};
use crate::kind::Kind;
use crate::{Decision, Needs, Write, owner, stamp};

/// Why a Run ends its Jobs: the reason's word, and the rest of the sentence.
type Why = (&'static str, String);

/// Cancel, timeout and fail-fast act in one way: what has not started becomes Cancelled, what runs
/// is suspended with the phase Cancelled in one patch. Pause suspends what runs, and resumes it.
pub(super) fn main(
    view: &View<'_>,
    timed_out: bool,
    (facts, now): (&Facts, Timestamp),
    decision: &mut Decision<RunStatus>,
) -> Result<(), Needs> {
    let run = view.run;
    let open: Vec<&Participant> = view.present_main().filter(|job| !job.is_over()).collect();
    match why(view, timed_out) {
        Some(why) => end(run, &open, &why, (facts, now), decision),
        None => {
            pause(run, &open, now, decision);
            Ok(())
        }
    }
}

/// The finally stages of a Run whose main Jobs have ended: they are ended only by `cancelFinally`.
pub(super) fn finally(
    view: &View<'_>,
    (facts, now): (&Facts, Timestamp),
    decision: &mut Decision<RunStatus>,
) -> Result<(), Needs> {
    let run = view.run;
    let jobs = view.finally.iter().filter(|member| member.is_present);
    let open = jobs.filter_map(|member| member.job);
    let open: Vec<&Participant> = open.filter(|job| !job.is_over()).collect();
    if run.spec.cancel_finally {
        let why = "its run's finally stages were cancelled".to_owned();
        let why = (reason::CANCELLED, why);
        end(run, &open, &why, (facts, now), decision)?;
    }
    Ok(())
}

fn why(view: &View<'_>, timed_out: bool) -> Option<Why> {
    let run = view.run;
    if run.spec.cancel {
        Some((reason::CANCELLED, "its run was cancelled".to_owned()))
    } else if timed_out {
        let timeout = run.spec.timeout.as_ref().map(Duration::as_str);
        let timeout = timeout.unwrap_or_default();
        Some((
            reason::TIMED_OUT,
            format!("its run took longer than {timeout}"),
        ))
    } else if run.spec.fail_fast && !view.bad_stages().is_empty() {
        Some((
            reason::STAGE_FAILED,
            "a stage failed, and its run fails fast".to_owned(),
        ))
    } else {
        None
    }
}

/// Jobs that were created in the place of one that the Run has had, or after its main Jobs had ended:
/// nothing may start twice, so they are ended before they start.
pub(super) fn strays(
    view: &View<'_>,
    (facts, now): (&Facts, Timestamp),
    decision: &mut Decision<RunStatus>,
) -> Result<(), Needs> {
    let ended = super::current(view.run).is_some_and(|status| status.outcome.is_some());
    let replaces = |job: &&&Participant| {
        let entry = view.record.entries.get(&job.key.name);
        entry.is_some_and(|entry| !entry.is_of(job)) || ended
    };
    let strays = view.strays.iter().filter(replaces);
    let strays: Vec<&Participant> = strays.copied().filter(|job| !job.is_over()).collect();
    let why = had_before(view.run);
    end(view.run, &strays, &why, (facts, now), decision)
}

/// Why a Job that its Run does not count does not run.
fn had_before(run: &Run) -> Why {
    let run = run.metadata.name.as_deref().unwrap_or_default();
    let why = format!(
        "run/{run} has had a Job of this name, which was deleted, or has ended: \
         only `koncli retry {run}` runs it again"
    );
    (reason::DELETED, why)
}

/// Ends a Job that its Run does not count.
pub(crate) fn end_stray(job: &Participant, run: &Run, now: Timestamp) -> Write {
    let (word, why) = had_before(run);
    let text = format!("{word}: {why}");
    patch(job, JobPhase::Cancelled, Some(&text), Some(now))
}

fn end(
    run: &Run,
    open: &[&Participant],
    (word, why): &Why,
    (facts, now): (&Facts, Timestamp),
    decision: &mut Decision<RunStatus>,
) -> Result<(), Needs> {
    if open.is_empty() {
        return Ok(());
    }
    let name = ObjectName::of(&run.metadata);
    // Rule B: what says so is read live; each Job's patch carries the Job's own version.
    let live = facts.run(&name, Freshness::Live)?;
    let same = live.is_some_and(|live| {
        live.metadata.uid == run.metadata.uid && live.spec.attempt == run.spec.attempt
    });
    if same {
        let text = format!("{word}: {why}");
        let patches = open
            .iter()
            .map(|job| patch(job, JobPhase::Cancelled, Some(&text), Some(now)));
        decision.before.extend(patches);
    }
    Ok(())
}

fn pause(run: &Run, open: &[&Participant], now: Timestamp, decision: &mut Decision<RunStatus>) {
    let suspends = run.spec.is_paused() && !run.spec.let_running_finish;
    for job in open {
        let suspended = job.is_suspended();
        match job.phase {
            Some(JobPhase::Running) | None
                if suspends && !suspended && job_ended(job).is_none() =>
            {
                let why = Some("its run is paused");
                decision
                    .before
                    .push(patch(job, JobPhase::Paused, why, Some(now)));
            }
            Some(JobPhase::Paused) if !run.spec.is_paused() => {
                decision
                    .before
                    .push(patch(job, JobPhase::Running, None, None));
            }
            _ => {}
        }
    }
}

/// A patch of the phase, which suspends the Job at a time, or resumes it.
fn patch(
    job: &Participant,
    phase: JobPhase,
    why: Option<&str>,
    suspended: Option<Timestamp>,
) -> Write {
    let mut body = json!({
        "metadata": {
            "uid": job.metadata.uid,
            "resourceVersion": job.metadata.resource_version,
            "annotations": {
                annotation::PHASE: phase.word(),
                annotation::REASON: why,
            },
        },
        "spec": { "suspend": suspended.is_some() },
    });
    match suspended {
        Some(now) if phase == JobPhase::Paused => stamp::stopped(job, now, &mut body),
        Some(now) => stamp::ended(job, now, &mut body),
        None => {}
    }
    write(&job.metadata, body)
}

fn write(metadata: &ObjectMeta, body: Value) -> Write {
    Write::Patch {
        kind: Kind::Job,
        name: ObjectName::of(metadata),
        status: false,
        body,
    }
}

/// Makes the Run own Jobs that kubectl has created, so that they are deleted with it.
pub(super) fn adopt(view: &View<'_>, decision: &mut Decision<RunStatus>) {
    let adoptions = view
        .present()
        .filter_map(|job| owner::adoption(Kind::Job, &job.metadata, view.run));
    decision.after.extend(adoptions);
}
