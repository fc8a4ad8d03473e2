//! Run: the record of one execution of a pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use konductor_api::condition::{self, reason};
use konductor_api::{
    ObjectName, Participant, Role, Run, RunOutcome, RunPhase, RunStatus, StageKey, job_ended,
    key_of, label,
};

use crate::decision::EventType;
use crate::deletion::is_leaving;
use crate::facts::{Facts, Freshness};
use crate::kind::Kind;
use crate::limits::{CREATION_GRACE, NAMED_STAGES_MAX};
use crate::outcome::{End, run_end};
use crate::pod::pod_ended;
use crate::ttl::{self, Finished};
use crate::{Decided, Decision, Event, Fact, HeldBack, Needs};

mod cause;
mod clock;
mod ending;
mod idle;
mod record;
mod stop;
mod view;

use cause::Causes;
use clock::Clock;
use ending::Ending;
use record::current;
pub(crate) use record::{
    Ended, Entry, Record, Stop, may_have_written, recorded, recorded_of_stage,
};
pub use record::{kept, newly_recorded};
pub(crate) use stop::end_stray;
use view::{Member, Sources, View, is_first_look, is_running};

/// Decides about a Run.
///
/// # Guarantees
/// An outcome is written only when the declared number of main Jobs have existed, or are not waited
/// for any more, and all have ended with no pod left, by live reads; a final phase only after the
/// finally Jobs have too. A Job that was deleted counts as it had ended, or as cancelled.
///
/// # Errors
/// What must be observed first.
pub fn decide(run: &Run, facts: &Facts, now: Timestamp) -> Decided<RunStatus> {
    if is_leaving(&run.metadata) {
        return Ok(Decision::default());
    }
    if run_end(run).is_some() {
        return expire(run, facts, now);
    }
    let mut decision = Decision::default();
    let stored_status = current(run);
    let clock = Clock::of(run, now);
    if let Some(deadline) = clock.deadline.filter(|_| !clock.timed_out) {
        decision.wake_at(deadline);
    }
    let mut view = look(run, &clock, facts, now, &mut decision)?;
    match stored_status.and_then(|status| status.outcome) {
        None => stop::main(&view, clock.timed_out, (facts, now), &mut decision)?,
        Some(_) => stop::finally(&view, (facts, now), &mut decision)?,
    }
    stop::strays(&view, (facts, now), &mut decision)?;
    let outcome = match stored_status.and_then(|status| status.outcome) {
        Some(outcome) => Some(outcome),
        None if view.settled() => {
            view = look_live(run, &clock, facts, now, &mut decision)?;
            (view.settled() && no_pod_left(&view.main, facts)?).then(|| view.outcome())
        }
        None => None,
    };
    let finished = match outcome {
        Some(_) if view.finalized() => {
            view = look_live(run, &clock, facts, now, &mut decision)?;
            view.finalized() && no_pod_left(&view.finally, facts)?
        }
        _ => false,
    };
    stop::adopt(&view, &mut decision);
    let causes = Causes::of(&view, facts)?;
    let mut ending = Ending::of(outcome, finished, &view, &causes);
    if !finished && let Some(idle) = idle::without_pods(&view, now, &mut decision) {
        ending.message = format!("{}; {idle}", ending.message);
    }
    let mut status = status(run, &clock, outcome, &ending, &view, now);
    let failing = causes.main.map(|first| first.message);
    status.conditions = conditions(run, &ending, failing, finished, now);
    if finished {
        let good = ending.phase == RunPhase::Succeeded;
        decision.events.push(Event {
            type_: if good {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: ending.reason,
            note: ending.message,
        });
        decision.wake = None;
    }
    decision.status = (run.status.as_ref() != Some(&status)).then_some(status);
    Ok(decision)
}

fn jobs_of(run: &Run) -> Fact {
    let (namespace, labels) = selector(run);
    Fact::JobsLabelled { namespace, labels }
}

fn selector(run: &Run) -> (String, BTreeMap<String, String>) {
    let name = ObjectName::of(&run.metadata);
    (
        name.namespace,
        BTreeMap::from([(label::RUN.to_owned(), name.name)]),
    )
}

/// Looks at the cache; live where that shows something to be missing, or may show the Jobs of an
/// earlier attempt.
fn look<'a>(
    run: &'a Run,
    clock: &Clock,
    facts: &'a Facts,
    now: Timestamp,
    decision: &mut Decision<RunStatus>,
) -> Result<View<'a>, Needs> {
    if run.spec.attempt > 1 && is_first_look(run) {
        return look_live(run, clock, facts, now, decision);
    }
    let view = look_at(run, clock, facts, Freshness::Cached)?;
    let awaits_creation = !view.is_complete() && clock.ends();
    if view.unclear || awaits_creation {
        return look_live(run, clock, facts, now, decision);
    }
    Ok(view)
}

/// Looks at what is so. What nobody has created counts as ended if the Run is ended from outside, and
/// nobody has created anything of it for a while.
fn look_live<'a>(
    run: &'a Run,
    clock: &Clock,
    facts: &'a Facts,
    now: Timestamp,
    decision: &mut Decision<RunStatus>,
) -> Result<View<'a>, Needs> {
    let mut view = look_at(run, clock, facts, Freshness::Live)?;
    if !view.is_complete() && clock.ends() {
        let due = view
            .newest
            .and_then(|time| time.checked_add(CREATION_GRACE).ok());
        match due.filter(|due| now < *due) {
            Some(due) => decision.wake_at(due),
            None => view.written_off = Some(clock.stop()),
        }
    }
    Ok(view)
}

fn look_at<'a>(
    run: &'a Run,
    clock: &Clock,
    facts: &'a Facts,
    freshness: Freshness,
) -> Result<View<'a>, Needs> {
    let (namespace, labels) = selector(run);
    let gone = Fact::JobsGone { namespace, labels };
    let shown = Fact::JobsShown(ObjectName::of(&run.metadata));
    facts.require([
        (jobs_of(run), freshness),
        (gone.clone(), Freshness::Cached),
        (shown.clone(), Freshness::Cached),
    ])?;
    let sources = Sources {
        present: facts.jobs(jobs_of(run), freshness)?,
        shown: facts.jobs(shown, Freshness::Cached)?,
        gone: facts.jobs(gone, Freshness::Cached)?,
        live: freshness == Freshness::Live,
    };
    Ok(View::of(run, sources, clock.stop()))
}

/// Whether a Run ends what has not started: it is cancelled, or it took too long.
pub(crate) fn ends_what_waits(run: &Run, now: Timestamp) -> bool {
    let settled = current(run).is_some_and(|status| status.outcome.is_some());
    !settled && Clock::of(run, now).ends()
}

/// Whether a Run lets a Job start, as far as its record goes: the Job is not one that was created in
/// the place of another.
pub(crate) fn may_start(run: &Run, job: &Participant) -> bool {
    lets_start(run, job, recorded(run, &job.key.name).as_ref())
}

/// As [`may_start`], with what the record says of the Job's name.
fn lets_start(run: &Run, job: &Participant, entry: Option<&Entry>) -> bool {
    let is_main = job.role == Role::Main;
    let settled = current(run).is_some_and(|status| status.outcome.is_some());
    entry.is_none_or(|entry| entry.is_of(job)) && !(is_main && settled)
}

/// Why a Run's record does not let a Job start, if it does not. A Job is started only when its Run has recorded it: one
/// that is deleted and created again is then never taken for the first, however soon that happens.
pub(crate) fn kept_out(run: &Run, job: &Participant) -> Option<HeldBack> {
    let entry = recorded(run, &job.key.name);
    if !lets_start(run, job, entry.as_ref()) {
        Some(HeldBack::Replaced)
    } else if !record::is_kept(run) || entry.is_some() {
        None
    } else if record::is_full(run, job.role) {
        Some(HeldBack::Replaced)
    } else {
        Some(HeldBack::Unrecorded)
    }
}

/// How a Job ended, by its Run's record; `None` if that does not say so yet.
pub fn recorded_end(run: &Run, job: &Participant) -> Option<End> {
    let entry = recorded(run, &job.key.name).filter(|entry| entry.is_of(job))?;
    entry.ended.map(|ended| ended.end)
}

/// Whether a Run's main Jobs were ended from outside: it was cancelled, or timed out.
pub(crate) fn was_ended(run: &Run) -> bool {
    let outcome = current(run).and_then(|status| status.outcome);
    matches!(outcome, Some(RunOutcome::Cancelled | RunOutcome::TimedOut))
}

/// The stages of a Run whose own end is a bad one, and which the Run does not forgive.
pub(crate) fn bad_stages(run: &Run, jobs: &[Arc<Participant>]) -> Vec<(String, End)> {
    let sources = Sources {
        present: jobs,
        live: true,
        ..Sources::default()
    };
    View::of(run, sources, Stop::Deleted).bad_stages()
}

/// How many Jobs are gone that a retry would have to run again: those that ended badly, those of the
/// stage where it begins, and finally stages.
pub(crate) fn gone_but_needed(run: &Run, jobs: &[Arc<Participant>], stage: Option<&str>) -> usize {
    let present: BTreeSet<_> = jobs.iter().map(|job| job.key.name).collect();
    let record = Record::of(run);
    let stage: Option<StageKey> = stage.map(key_of);
    let is_needed = |entry: &Entry| {
        let end = entry.ended.map(|ended| ended.end);
        let is_good = matches!(end, Some(End::Succeeded | End::Skipped));
        entry.finally || Some(entry.stage) == stage || !(is_good || entry.may_fail)
    };
    let entries = record.entries.iter();
    let gone = entries.filter(|(name, _)| !present.contains(*name));
    let needed = gone.filter(|(_, entry)| is_needed(entry)).count();
    let declared = (run.spec.jobs + run.spec.finally_jobs) as usize;
    // Those that were never created.
    needed + declared.saturating_sub(record.entries.len().max(present.len()))
}

/// A Job that the Job controller ended has no pod left: that is when it says so. One that we ended, that was
/// deleted, or that Kueue started before its turn, may, so its pods are read live.
fn no_pod_left(members: &[Member<'_>], facts: &Facts) -> Result<bool, Needs> {
    let jobs = members.iter().filter_map(|member| {
        let job = member.job?;
        // Whether it was started, where it is known to be as it is.
        let started = !matches!(member.end(), Some(End::Skipped | End::Unreached));
        let may_have_pods = job_ended(job).is_none() && (started || !member.is_present);
        may_have_pods.then_some(job)
    });
    let pods: Vec<Fact> = jobs
        .map(|job| Fact::PodsOf {
            namespace: ObjectName::of(&job.metadata).namespace,
            job_uid: job.metadata.uid.clone().unwrap_or_default(),
        })
        .collect();
    facts.require(pods.iter().map(|fact| (fact.clone(), Freshness::Live)))?;
    for fact in pods {
        if facts
            .pods(fact, Freshness::Live)?
            .iter()
            .any(|pod| !pod_ended(pod))
        {
            return Ok(false);
        }
    }
    Ok(true)
}

fn status(
    run: &Run,
    clock: &Clock,
    outcome: Option<RunOutcome>,
    ending: &Ending,
    view: &View<'_>,
    now: Timestamp,
) -> RunStatus {
    let stored_status = current(run);
    let finished = matches!(
        ending.phase,
        RunPhase::Succeeded | RunPhase::Failed | RunPhase::Cancelled
    );
    let mut status = RunStatus {
        phase: ending.phase,
        outcome,
        attempt: run.spec.attempt,
        started_at: Some(clock.started.clone()),
        paused_at: clock.paused_at.clone(),
        paused_for: clock.paused_for.clone(),
        finished_at: finished.then(|| Time(condition::whole_second(now))),
        observed_generation: run.metadata.generation,
        deleted: view.deleted(),
        complete: stored_status.is_some_and(|status| status.complete) || view.is_complete(),
        record: view.record.write(run),
        stages: stages(run, view),
        ..RunStatus::default()
    };
    for member in view.members() {
        *match member.end() {
            Some(End::Succeeded) => &mut status.succeeded,
            Some(End::Failed) => &mut status.failed,
            Some(End::Skipped) => &mut status.skipped,
            Some(End::Unreached) => &mut status.unreached,
            Some(End::Cancelled) => &mut status.cancelled,
            None if is_running(member) => &mut status.running,
            None => &mut status.waiting,
        } += 1;
    }
    if view.written_off.is_some() {
        status.cancelled += (view.unseen() + view.unseen_finally()) as u32;
    }
    status
}

/// The names of the stages that the status keeps, sorted.
fn stages(run: &Run, view: &View<'_>) -> Vec<String> {
    let of_jobs = view.members().filter_map(|member| member.job);
    let of_jobs = of_jobs.filter_map(|job| job.label(label::STAGE));
    let stored = run.status.iter().flat_map(|status| &status.stages);
    let names: BTreeSet<&str> = of_jobs.chain(stored.map(String::as_str)).collect();
    let names = names.into_iter().take(NAMED_STAGES_MAX);
    names.map(str::to_owned).collect()
}

fn conditions(
    run: &Run,
    ending: &Ending,
    failing: Option<String>,
    finished: bool,
    now: Timestamp,
) -> Vec<Condition> {
    let stored_status = current(run);
    let is_failing = failing.is_some();
    let failing = failing.unwrap_or_else(|| "nothing has failed".to_owned());
    let why = match is_failing {
        true => reason::STAGE_FAILED,
        false => reason::RUNNING,
    };
    let succeeded = finished.then_some(ending.phase == RunPhase::Succeeded);
    let mut conditions = stored_status
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    for (type_, holds, reason, message) in [
        (
            condition::SUCCEEDED,
            succeeded,
            ending.reason,
            &ending.message,
        ),
        (condition::FAILING, Some(is_failing), why, &failing),
    ] {
        condition::set(
            &mut conditions,
            type_,
            holds,
            reason,
            message,
            run.metadata.generation,
            now,
        );
    }
    conditions
}

fn expire(run: &Run, facts: &Facts, now: Timestamp) -> Decided<RunStatus> {
    let finished = Finished {
        kind: Kind::Run,
        metadata: &run.metadata,
        at: run
            .status
            .as_ref()
            .and_then(|status| status.finished_at.as_ref()),
        ttl: run.spec.ttl_after_finished.as_ref(),
    };
    ttl::expire(finished, facts, now)
}
