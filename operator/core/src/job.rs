//! An annotated Job: gate, then holds, then one patch that starts it.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::reason;
use konductor_api::{
    Hold, Holder, JobPhase, LedgerKind, annotation, job_ended, job_phase, label, parse_holds,
};
use serde_json::{Map, Value, json};

use crate::decision::{EventType, Kind};
use crate::facts::{Facts, Freshness, ObjectName};
use crate::outcome::{End, gate_end, job_end, owes_outputs, run_end, started_too_early};
use crate::run::may_start;
use crate::{Decided, Decision, Event, Fact, Needs, Write, explain, owner};

mod arrive;
mod indexes;
mod inputs;
mod outputs;
mod pending;
pub(crate) mod release;
mod resumed;
mod start;
mod waiting;

pub(crate) use arrive::arrival_of;
pub(crate) use outputs::outputs_are_lost;
pub use outputs::with_outputs;

/// A Job has no status of ours: its phase is an annotation.
pub type NoStatus = std::convert::Infallible;

/// Decides about a Job that carries an annotation of konductor.
///
/// # Guarantees
/// It is started only with its Gate open and its holds in the ledgers, both read live, and only
/// from a phase that is absent, Waiting or Queued. A Job that was found running is left alone. One that
/// somebody else suspended after its start is started again while it still holds what it took.
///
/// # Errors
/// What must be observed first.
pub fn decide(job: &Job, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    if job.metadata.deletion_timestamp.is_some() {
        return Ok(Decision::default());
    }
    if started_too_early(job) {
        return Ok(refuse_start(job));
    }
    if job_ended(job) == Some(true) && owes_outputs(job) && job_end(job).is_none() {
        return outputs::store(job, facts);
    }
    if let Some(end) = job_end(job) {
        let mut decision = arrive::arrive(job, end, facts)?;
        if owes_reason(job) {
            decision.before.extend(explain_failure(job, facts)?);
        }
        return Ok(decision);
    }
    if job_ended(job).is_some() {
        return Ok(Decision::default());
    }
    if resumed::is_suspended_by_others(job) {
        return resumed::decide(job, facts, now);
    }
    if !waits(job) {
        return pending::decide(job, facts, now);
    }
    let mistake = waiting::mistake(job);
    let coordinated = annotated(job, annotation::GATE).is_some()
        || !hold_text(job).is_empty()
        || annotated(job, annotation::COMPLETED_INDEXES).is_some();
    match mistake {
        Some(mistake) => Ok(invalid(job, &mistake)),
        None if suspended(job) && annotated(job, annotation::RELEASES).is_some() => {
            release::decide(job, facts)
        }
        None if !coordinated => pending::decide(job, facts, now),
        None if !suspended(job) => unprotected(job, facts),
        None => start::start(job, facts, now),
    }
}

/// Whether a Job that takes part has failed and does not say why yet.
fn owes_reason(job: &Job) -> bool {
    let takes_part = [annotation::GATE, annotation::HOLD, annotation::ARRIVE]
        .into_iter()
        .any(|key| annotated(job, key).is_some())
        || owner::run_name(&job.metadata).is_some();
    takes_part
        && job_ended(job) == Some(false)
        && matches!(
            job_phase(job),
            None | Some(
                JobPhase::Waiting | JobPhase::Queued | JobPhase::Running | JobPhase::Paused
            )
        )
}

/// Writes why a Job failed, from its pods while they are there.
fn explain_failure(job: &Job, facts: &Facts) -> Result<Option<Write>, Needs> {
    let pods = Fact::PodsOf {
        namespace: ObjectName::of(&job.metadata).namespace,
        job_uid: job.metadata.uid.clone().unwrap_or_default(),
    };
    let pods = facts.pods(pods, Freshness::Live)?;
    let pods: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    let why = explain::failure(job, &pods);
    let decision = phase_patch(job, JobPhase::Failed, why.as_deref());
    Ok(decision.before.into_iter().next())
}

/// Somebody started it by hand, or created it without `suspend: true`: it runs, and what it asks for does
/// not protect it.
fn unprotected(job: &Job, facts: &Facts) -> Decided<NoStatus> {
    let namespace = ObjectName::of(&job.metadata).namespace;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let holds = parse_holds(hold_text(job)).unwrap_or_default();
    let gate = annotated(job, annotation::GATE).map(|gate| ObjectName::new(&namespace, gate));
    let ledgers = holds.iter().map(|hold| ledger_fact(&namespace, hold));
    let all = ledgers.chain(gate.clone().map(Fact::Gate));
    facts.require(all.map(|fact| (fact, Freshness::Cached)))?;
    let mut missing = Vec::new();
    if let Some(gate) = &gate
        && facts
            .gate(gate, Freshness::Cached)?
            .and_then(|gate| gate_end(gate))
            != Some(End::Succeeded)
    {
        missing.push(format!("gate/{}", gate.name));
    }
    for hold in &holds {
        if !in_ledger(&namespace, hold, uid, facts, Freshness::Cached)? {
            missing.push(format!("{}/{}", hold.kind, hold.name));
        }
    }
    if missing.is_empty() {
        return Ok(phase_patch(job, JobPhase::Running, None));
    }
    let missing = missing.join(", ");
    let why = match job.metadata.generation {
        None | Some(1) => "it was not suspended; create it with `suspend: true`",
        Some(_) => "somebody else started it",
    };
    let note = format!("runs without {missing}: {why}");
    let mut decision = phase_patch(job, JobPhase::Running, Some(&note));
    decision.events.push(Event {
        type_: EventType::Warning,
        reason: reason::UNPROTECTED,
        note,
    });
    Ok(decision)
}

fn annotated<'a>(job: &'a Job, key: &str) -> Option<&'a str> {
    job.metadata
        .annotations
        .as_ref()?
        .get(key)
        .map(String::as_str)
}

fn hold_text(job: &Job) -> &str {
    annotated(job, annotation::HOLD).unwrap_or_default().trim()
}

fn suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// Whether it may still be started: nobody has started or ended it.
fn waits(job: &Job) -> bool {
    matches!(
        job_phase(job),
        None | Some(JobPhase::Waiting | JobPhase::Queued)
    )
}

/// Whether a Job has ended for good, so that what it holds ends with its last pod. Unlike
/// [`job_end`], it does not wait for outputs to be stored.
pub(crate) fn over(job: &Job) -> bool {
    job_ended(job).is_some()
        || matches!(
            job_phase(job),
            Some(JobPhase::Cancelled | JobPhase::Failed | JobPhase::Skipped | JobPhase::Unreached)
        )
}

/// What a Job's annotation says it holds of one ledger.
pub(crate) fn hold_on(job: &Job, kind: LedgerKind, name: &str) -> Option<Hold> {
    let holds = parse_holds(hold_text(job)).ok()?;
    holds
        .into_iter()
        .find(|hold| hold.kind == kind && hold.name == name)
}

/// Whether a Job asks for what it holds by its annotation, as far as it shows itself: it may still be
/// started, and its Gate has passed. One without a Gate asks from the first and has no phase, as to write
/// one would cost a write for each Job.
pub fn asks_for_permits(job: &Job) -> bool {
    let gate_passed =
        annotated(job, annotation::GATE).is_none() || job_phase(job) == Some(JobPhase::Queued);
    waits(job)
        && suspended(job)
        && annotated(job, annotation::RELEASES).is_none()
        && gate_passed
        && !over(job)
        && job.metadata.deletion_timestamp.is_none()
}

/// How many permits a Job queues for at this ledger now: it waits, its Gate has passed, and it has
/// everything that comes before in the order of taking.
pub(crate) fn queues_for(
    job: &Job,
    kind: LedgerKind,
    name: &str,
    facts: &Facts,
) -> Result<Option<u32>, Needs> {
    let Some(hold) = hold_on(job, kind, name).filter(|_| asks_for_permits(job)) else {
        return Ok(None);
    };
    if held_back(job, facts, Freshness::Cached)? {
        return Ok(None);
    }
    let namespace = ObjectName::of(&job.metadata).namespace;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    for earlier in parse_holds(hold_text(job)).unwrap_or_default() {
        if earlier >= hold {
            break;
        }
        if !in_ledger(&namespace, &earlier, uid, facts, Freshness::Cached)? {
            return Ok(None);
        }
    }
    Ok(Some(hold.permits))
}

/// What [`queues_for`] asks about a Job: its Run, and the other ledgers that it holds.
pub(crate) fn queues_by(job: &Job) -> Vec<Fact> {
    if !waits(job) || !suspended(job) {
        return Vec::new();
    }
    let namespace = ObjectName::of(&job.metadata).namespace;
    let holds = parse_holds(hold_text(job)).unwrap_or_default();
    let mut facts: Vec<Fact> = holds
        .iter()
        .map(|hold| ledger_fact(&namespace, hold))
        .collect();
    facts.extend(owner::run_name(&job.metadata).map(Fact::Run));
    facts
}

/// Whether the Job's Run lets nothing start: it is paused, cancelled or over.
fn held_back(job: &Job, facts: &Facts, freshness: Freshness) -> Result<bool, Needs> {
    Ok(match owner::run_of(&job.metadata, facts, freshness)? {
        None => false,
        Some(run) => {
            let main = role(&job.metadata) != Some("finally");
            let may_finish =
                run.spec.let_running_finish && job_phase(job) == Some(JobPhase::Running);
            (run.spec.pause && !may_finish)
                || (run.spec.cancel && main)
                || (run.spec.cancel_finally && !main)
                || run_end(run).is_some()
                || !may_start(run, job)
        }
    })
}

fn role(metadata: &ObjectMeta) -> Option<&str> {
    metadata
        .labels
        .as_ref()?
        .get(label::ROLE)
        .map(String::as_str)
}

/// Whether a ledger lists this holder with exactly these permits.
fn in_ledger(
    namespace: &str,
    hold: &Hold,
    uid: &str,
    facts: &Facts,
    freshness: Freshness,
) -> Result<bool, Needs> {
    let found = holder(namespace, hold, uid, facts, freshness)?;
    Ok(found.is_some_and(|held| held.permits == hold.permits))
}

/// A holder's entry in the ledger that a hold names, whichever kind it is.
fn holder<'a>(
    namespace: &str,
    hold: &Hold,
    uid: &str,
    facts: &'a Facts,
    freshness: Freshness,
) -> Result<Option<&'a Holder>, Needs> {
    let name = ObjectName::new(namespace, &hold.name);
    let holders = match hold.kind {
        LedgerKind::Semaphore => {
            let found = facts.semaphore(&name, freshness)?;
            found
                .and_then(|found| found.status.as_ref())
                .map(|status| &status.holders)
        }
        LedgerKind::Lease => {
            let found = facts.lease(&name, freshness)?;
            found
                .and_then(|found| found.status.as_ref())
                .map(|status| &status.holders)
        }
    };
    Ok(holders.and_then(|holders| holders.iter().find(|held| held.uid == uid)))
}

fn ledger_fact(namespace: &str, hold: &Hold) -> Fact {
    let name = ObjectName::new(namespace, &hold.name);
    match hold.kind {
        LedgerKind::Semaphore => Fact::Semaphore(name),
        LedgerKind::Lease => Fact::Lease(name),
    }
}

/// Tells that the Job's own annotations can't be followed. They are read until the start, so
/// correcting them is enough.
fn invalid(job: &Job, message: &str) -> Decision<NoStatus> {
    if annotated(job, annotation::REASON) == Some(message) {
        return Decision::default();
    }
    let phase = match suspended(job) {
        true => job_phase(job).unwrap_or(JobPhase::Waiting),
        false => JobPhase::Running,
    };
    let mut decision = phase_patch(job, phase, Some(message));
    decision.events.push(Event {
        type_: EventType::Warning,
        reason: reason::INVALID,
        note: message.to_owned(),
    });
    decision
}

/// Fails a Job that ran before its turn. Nothing stops its pods: Kueue would start them again.
fn refuse_start(job: &Job) -> Decision<NoStatus> {
    let message = format!(
        "{}: the Job was started while {} was in {}; switch on Kueue's feature gate AdmissionGatedBy, and the \
         chart's policy kueueGate",
        reason::STARTED_BY_KUEUE,
        annotation::KUEUE_GATE,
        annotation::KUEUE_GATED_BY,
    );
    let mut decision = phase_patch(job, JobPhase::Failed, Some(&message));
    decision.events.push(Event {
        type_: EventType::Warning,
        reason: reason::STARTED_BY_KUEUE,
        note: message,
    });
    decision
}

/// One patch of the Job's phase, under the version that was decided on.
fn phase_patch(job: &Job, phase: JobPhase, reason: Option<&str>) -> Decision<NoStatus> {
    let mut decision = Decision::default();
    let mut annotations = Map::new();
    annotations.insert(annotation::PHASE.into(), phase.word().into());
    if reason.is_some() || annotated(job, annotation::REASON).is_some() {
        annotations.insert(annotation::REASON.into(), reason.into());
    }
    decision.before.push(patch(job, annotations));
    decision
}

fn patch(job: &Job, annotations: Map<String, Value>) -> Write {
    let body = json!({"metadata": {
        "uid": job.metadata.uid,
        "resourceVersion": job.metadata.resource_version,
        "annotations": annotations,
    }});
    Write::Patch {
        kind: Kind::Job,
        name: ObjectName::of(&job.metadata),
        status: false,
        body,
    }
}
