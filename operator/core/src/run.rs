//! Run: the record of one execution of a pipeline.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::condition::{self, reason};
use konductor_api::{
    ConditionKind, Duration, JobPhase, Run, RunOutcome, RunPhase, RunStatus, annotation, job_ended,
    job_phase, label,
};
use serde_json::{Value, json};

use crate::decision::{EventType, Kind};
use crate::facts::{Facts, Freshness, ObjectName};
use crate::job;
use crate::ledger::pod_ended;
use crate::outcome::{End, job_end, run_end};
use crate::{Decided, Decision, Event, Fact, Needs, Write, owner};

mod ending;

use ending::Ending;

/// Decides about a Run.
///
/// # Guarantees
/// An outcome is written only when exactly the declared number of main Jobs exist and all have
/// ended with no pod left, by live reads; a final phase only after the finally Jobs have too.
///
/// # Errors
/// What must be observed first.
pub fn decide(run: &Run, facts: &Facts, now: Timestamp) -> Decided<RunStatus> {
    if run.metadata.deletion_timestamp.is_some() {
        return Ok(Decision::default());
    }
    let known = run
        .status
        .as_ref()
        .filter(|status| status.attempt == run.spec.attempt);
    if run_end(run).is_some() {
        return expire(run, facts, now);
    }
    let mut decision = Decision::default();
    let started = known.and_then(|status| status.started_at.clone());
    let started = started.unwrap_or_else(|| Time(condition::whole_second(now)));
    let deadline = deadline(run, &started);
    let timed_out = deadline.is_some_and(|deadline| deadline <= now);
    if let Some(deadline) = deadline.filter(|_| !timed_out) {
        decision.wake_at(deadline);
    }
    let jobs = facts.jobs(jobs_of(run), Freshness::Cached)?;
    let mut view = View::of(run, jobs);
    if known.and_then(|status| status.outcome).is_none() {
        stop(run, &view, timed_out, facts, &mut decision)?;
    }
    let outcome = match known.and_then(|status| status.outcome) {
        Some(outcome) => Some(outcome),
        None if view.settled() => {
            facts.require([(jobs_of(run), Freshness::Live)])?;
            view = View::of(run, facts.jobs(jobs_of(run), Freshness::Live)?);
            (view.settled() && no_pod_left(&view.main, facts)?).then(|| view.outcome())
        }
        None => None,
    };
    let finished = match outcome {
        Some(_) if view.finalized() => {
            view = View::of(run, facts.jobs(jobs_of(run), Freshness::Live)?);
            view.finalized() && no_pod_left(&view.finally, facts)?
        }
        _ => false,
    };
    adopt(run, &view, &mut decision);
    let ending = Ending::of(outcome, finished, &view);
    let status = status(run, known, started, outcome, &ending, &view, now);
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
    let name = ObjectName::of(&run.metadata);
    let labels = BTreeMap::from([(label::RUN.to_owned(), name.name)]);
    Fact::JobsLabelled {
        namespace: name.namespace,
        labels,
    }
}

/// Whether a Run ends what has not started: it is cancelled, or it took too long.
pub(crate) fn ends_what_waits(run: &Run, now: Timestamp) -> bool {
    let status = run
        .status
        .as_ref()
        .filter(|status| status.attempt == run.spec.attempt);
    let started = status.and_then(|status| status.started_at.as_ref());
    let late = started.and_then(|started| deadline(run, started));
    status.is_none_or(|status| status.outcome.is_none())
        && (run.spec.cancel || late.is_some_and(|late| late <= now))
}

fn deadline(run: &Run, started: &Time) -> Option<Timestamp> {
    started
        .0
        .checked_add(run.spec.timeout.as_ref()?.parse().ok()?)
        .ok()
}

/// A Run's Jobs, sorted into what they are for.
struct View<'a> {
    run: &'a Run,
    main: Vec<&'a Job>,
    finally: Vec<&'a Job>,
}

impl<'a> View<'a> {
    fn of(run: &'a Run, jobs: &'a [Arc<Job>]) -> Self {
        Self::among(run, jobs.iter().map(AsRef::as_ref))
    }

    fn among(run: &'a Run, alive: impl Iterator<Item = &'a Job>) -> Self {
        let is_finally = |job: &&Job| labelled(&job.metadata, label::ROLE) == Some("finally");
        let (finally, main) = alive.partition(is_finally);
        Self { run, main, finally }
    }

    /// Whether exactly the declared main Jobs exist and have ended.
    fn settled(&self) -> bool {
        self.main.len() == self.run.spec.jobs as usize
            && self.main.iter().all(|job| job_end(job).is_some())
    }

    /// Whether exactly the declared finally Jobs exist and have ended.
    fn finalized(&self) -> bool {
        self.finally.len() == self.run.spec.finally_jobs as usize
            && self.finally.iter().all(|job| job_end(job).is_some())
    }

    /// The stages whose own end is a bad one, and which the run does not forgive. Of a stage with a
    /// quorum its own end counts, not its items'.
    fn bad_stages(&self) -> Vec<(String, End)> {
        let mut stages: BTreeMap<&str, Vec<Option<End>>> = BTreeMap::new();
        for job in &self.main {
            if labelled(&job.metadata, label::MAY_FAIL) != Some("true") {
                let own = job.metadata.name.as_deref().unwrap_or_default();
                let stage = labelled(&job.metadata, label::STAGE).unwrap_or(own);
                stages.entry(stage).or_default().push(job_end(job));
            }
        }
        let bad = |(stage, ends): (&str, Vec<Option<End>>)| {
            let quorum = self.run.spec.quorums.get(stage).copied();
            stage_end(&ends, quorum)
                .filter(|end| !matches!(end, End::Succeeded | End::Skipped))
                .map(|end| (stage.to_owned(), end))
        };
        stages.into_iter().filter_map(bad).collect()
    }

    fn outcome(&self) -> RunOutcome {
        let cancelled = self
            .main
            .iter()
            .filter(|job| job_end(job) == Some(End::Cancelled));
        let why: Vec<&str> = cancelled.filter_map(|job| stop_reason(job)).collect();
        if why.contains(&reason::CANCELLED) {
            RunOutcome::Cancelled
        } else if why.contains(&reason::TIMED_OUT) {
            RunOutcome::TimedOut
        } else if self.bad_stages().is_empty() {
            RunOutcome::Succeeded
        } else {
            RunOutcome::Failed
        }
    }
}

/// The stages of a Run whose own end is a bad one, and which the Run does not forgive.
pub(crate) fn bad_stages(run: &Run, jobs: &[Job]) -> Vec<(String, End)> {
    View::among(run, jobs.iter()).bad_stages()
}

/// The end of a stage from its Jobs', as far as it is decided: the fan-out's rule.
fn stage_end(ends: &[Option<End>], quorum: Option<u32>) -> Option<End> {
    let count = |wanted| ends.iter().filter(|end| **end == Some(wanted)).count() as u32;
    let open = ends.iter().filter(|end| end.is_none()).count() as u32;
    let succeeded = count(End::Succeeded);
    match quorum {
        Some(quorum) if succeeded >= quorum => return Some(End::Succeeded),
        Some(quorum) if succeeded + open >= quorum => return None,
        _ => {}
    }
    if count(End::Failed) > 0 {
        Some(End::Failed)
    } else if open > 0 {
        None
    } else if count(End::Cancelled) > 0 {
        Some(End::Cancelled)
    } else if count(End::Unreached) > 0 {
        Some(End::Unreached)
    } else if succeeded > 0 && quorum.is_none() {
        Some(End::Succeeded)
    } else {
        Some(End::Skipped)
    }
}

fn labelled<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The first word of what a cancelled Job says about itself.
fn stop_reason(job: &Job) -> Option<&str> {
    let text = job.metadata.annotations.as_ref()?.get(annotation::REASON)?;
    text.split(':').next()
}

/// Cancel, timeout and fail-fast act in one way: what has not started becomes Cancelled, what runs
/// is suspended with the phase Cancelled in one patch. Pause suspends what runs, and resumes it.
fn stop(
    run: &Run,
    view: &View<'_>,
    timed_out: bool,
    facts: &Facts,
    decision: &mut Decision<RunStatus>,
) -> Result<(), Needs> {
    let failing = run.spec.fail_fast && !view.bad_stages().is_empty();
    let why = if run.spec.cancel {
        Some((reason::CANCELLED, "its run was cancelled".to_owned()))
    } else if timed_out {
        let timeout = run
            .spec
            .timeout
            .as_ref()
            .map(Duration::as_str)
            .unwrap_or_default();
        Some((
            reason::TIMED_OUT,
            format!("its run took longer than {timeout}"),
        ))
    } else if failing {
        Some((
            reason::STAGE_FAILED,
            "a stage failed, and its run fails fast".to_owned(),
        ))
    } else {
        None
    };
    let open = || view.main.iter().filter(|job| !job::over(job));
    if let Some((word, why)) = why {
        if open().next().is_none() {
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
            let patches =
                open().map(|job| patch(job, Some(JobPhase::Cancelled), Some(&text), Some(true)));
            decision.before.extend(patches);
        }
        return Ok(());
    }
    for job in open() {
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        match job_phase(job) {
            Some(JobPhase::Running) if run.spec.pause && !suspended => {
                let write = patch(
                    job,
                    Some(JobPhase::Paused),
                    Some("its run is paused"),
                    Some(true),
                );
                decision.before.push(write);
            }
            None if run.spec.pause && !suspended && job_ended(job).is_none() => {
                let write = patch(
                    job,
                    Some(JobPhase::Paused),
                    Some("its run is paused"),
                    Some(true),
                );
                decision.before.push(write);
            }
            Some(JobPhase::Paused) if !run.spec.pause => {
                decision
                    .before
                    .push(patch(job, Some(JobPhase::Running), None, Some(false)));
            }
            _ => {}
        }
    }
    Ok(())
}

fn patch(job: &Job, phase: Option<JobPhase>, why: Option<&str>, suspend: Option<bool>) -> Write {
    let mut body = json!({"metadata": {
        "uid": job.metadata.uid,
        "resourceVersion": job.metadata.resource_version,
    }});
    if let Some(phase) = phase {
        body["metadata"]["annotations"] = json!({
            annotation::PHASE: phase.word(),
            annotation::REASON: why,
        });
    }
    if let Some(suspend) = suspend {
        body["spec"] = json!({ "suspend": suspend });
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

/// Gives Jobs that were made by kubectl to the Run, so that they are deleted with it. Those that
/// still wait are given with their first patch.
fn adopt(run: &Run, view: &View<'_>, decision: &mut Decision<RunStatus>) {
    for job in view.main.iter().chain(&view.finally) {
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        let patched = decision.before.iter().any(|known| {
            matches!(known, Write::Patch { name, .. } if *name == ObjectName::of(&job.metadata))
        });
        if !patched
            && !suspended
            && job.metadata.deletion_timestamp.is_none()
            && let Some(given) = owner::with_run(&job.metadata, run)
                .map(|owners| owner::give(Kind::Job, &job.metadata, &owners))
        {
            decision.before.push(given);
        }
    }
}

/// A Job that the Job controller ended has no pod left: that is when it says so. One that we ended
/// may, so its pods are read live.
fn no_pod_left(jobs: &[&Job], facts: &Facts) -> Result<bool, Needs> {
    let ours = jobs
        .iter()
        .filter(|job| job_ended(job).is_none())
        .filter(|job| matches!(job_phase(job), Some(JobPhase::Cancelled | JobPhase::Failed)));
    let pods: Vec<Fact> = ours
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
    known: Option<&RunStatus>,
    started: Time,
    outcome: Option<RunOutcome>,
    ending: &Ending,
    view: &View<'_>,
    now: Timestamp,
) -> RunStatus {
    let generation = run.metadata.generation;
    let bad = view.bad_stages();
    let finished = matches!(
        ending.phase,
        RunPhase::Succeeded | RunPhase::Failed | RunPhase::Cancelled
    );
    let succeeded = finished.then_some(ending.phase == RunPhase::Succeeded);
    let failing = match bad.first() {
        Some((stage, End::Failed)) => format!("stage {stage} failed"),
        Some((stage, _)) => format!("stage {stage} did not run"),
        None => "nothing has failed".to_owned(),
    };
    let mut conditions = known
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    condition::set(
        &mut conditions,
        condition::SUCCEEDED,
        succeeded,
        ending.reason,
        &ending.message,
        generation,
        now,
    );
    let reason = if bad.is_empty() {
        reason::RUNNING
    } else {
        reason::STAGE_FAILED
    };
    condition::set(
        &mut conditions,
        condition::FAILING,
        Some(!bad.is_empty()),
        reason,
        failing,
        generation,
        now,
    );
    let mut status = RunStatus {
        phase: ending.phase,
        outcome,
        attempt: run.spec.attempt,
        started_at: Some(started),
        finished_at: finished.then(|| Time(condition::whole_second(now))),
        observed_generation: generation,
        conditions,
        ..RunStatus::default()
    };
    for job in view.main.iter().chain(&view.finally) {
        *match job_end(job) {
            Some(End::Succeeded) => &mut status.succeeded,
            Some(End::Failed) => &mut status.failed,
            Some(End::Skipped) => &mut status.skipped,
            Some(End::Unreached) => &mut status.unreached,
            Some(End::Cancelled) => &mut status.cancelled,
            None if running(job) => &mut status.running,
            None => &mut status.waiting,
        } += 1;
    }
    status
}

fn running(job: &Job) -> bool {
    match job_phase(job) {
        Some(JobPhase::Running | JobPhase::Complete) => true,
        None => job.spec.as_ref().and_then(|spec| spec.suspend) != Some(true),
        Some(_) => false,
    }
}

/// A Run that has ended is deleted after its TTL, with all it owns, unless something unfinished
/// names it.
fn expire(run: &Run, facts: &Facts, now: Timestamp) -> Decided<RunStatus> {
    let mut decision = Decision::default();
    let finished = run
        .status
        .as_ref()
        .and_then(|status| status.finished_at.as_ref());
    let ttl = run
        .spec
        .ttl_after_finished
        .as_ref()
        .and_then(|ttl| ttl.parse().ok());
    let (Some(Time(finished)), Some(ttl)) = (finished, ttl) else {
        return Ok(decision);
    };
    let Ok(due) = finished.checked_add(ttl) else {
        return Ok(decision);
    };
    if now < due {
        decision.wake_at(due);
        return Ok(decision);
    }
    let name = ObjectName::of(&run.metadata);
    if !facts.unfinished_waits_for(ConditionKind::Run, &name)? {
        decision.before.push(Write::Delete {
            kind: Kind::Run,
            name,
            uid: run.metadata.uid.clone().unwrap_or_default(),
        });
    }
    Ok(decision)
}
