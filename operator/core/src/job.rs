//! An annotated Job: gate, then holds, then one patch that starts it.
//!
//! What enters: the Job, its Run, its Gate and the ledgers of what it holds. What leaves: the patch that starts it, its phase
//! and reason, its outputs, or what it waits for. What must never happen here: a start, or a final phase, by facts from a cache
//! alone (rule B), and a second start.

use jiff::Timestamp;
use konductor_api::condition::reason;
use konductor_api::{
    Hold, Holder, JobPhase, LedgerKind, ObjectName, Participant, Role, annotation, job_ended,
};
use serde_json::{Map, Value};

use crate::decision::EventType;
use crate::deletion::kept_by;
use crate::facts::{Facts, Freshness};
use crate::kind::Kind;
use crate::outcome::{End, gate_end, job_end, run_end, started_too_early};
use crate::run::{end_stray, kept_out, may_start};
use crate::{
    Decided, Decision, Event, Fact, HeldBack, Needs, Objects, Waits, Write, explain, owner, stamp,
};

mod arrive;
mod copied;
mod gathered;
mod indexes;
mod inputs;
mod item_outputs;
mod items;
mod labels;
mod outputs;
mod pending;
pub(crate) mod release;
mod resumed;
mod start;
mod waiting;

pub(crate) use arrive::arrival_of;
use indexes::format as format_indexes;
pub(crate) use indexes::parse as parse_indexes;
pub(crate) use item_outputs::{
    done as items_done, succeeded as items_succeeded, wrong as wrong_outputs,
};
pub use outputs::with_outputs;
pub use waiting::meant as meant_annotation;

/// Returns the indexes of an Indexed Job that have succeeded, such as `0-2,5`: not those whose outputs do not count.
pub fn succeeded_indexes(job: &Participant) -> String {
    format_indexes(&items_succeeded(job))
}

/// How often a decision may ask for more: each time it learns something new.
const ROUNDS_MAX: usize = 16;

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
pub fn decide(job: &Participant, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    if job.metadata.deletion_timestamp.is_some() {
        let Some(finalizer) = kept_by(&job.metadata) else {
            return Ok(Decision::waiting_for(Waits::Deletion));
        };
        if !job.is_over() {
            return Ok(deleted(job, finalizer, now).waits_for(Waits::Deletion));
        }
    } else if let Some(new) = copied::forget(job) {
        return Ok(new);
    } else if let Some(labelled) = labels::restore(job, facts)? {
        return Ok(labelled);
    }
    if started_too_early(job) {
        return Ok(refuse_start(job));
    }
    if job.is_over() && job.owes_outputs() && job_end(job).is_none() {
        return Ok(outputs::store(job, facts)?.waits_for(Waits::Outputs));
    }
    if let Some(end) = job_end(job) {
        let mut decision = arrive::arrive(job, end, facts)?;
        if owes_reason(job) {
            decision.before.extend(explain_failure(job, facts)?);
        }
        return Ok(decision);
    }
    // What is left has not ended: see `job_that_has_ended_and_has_no_end_owes_outputs`.
    let by_others = resumed::is_suspended_by_others(job);
    if by_others || !job.may_start() {
        let mut decision = match by_others {
            true => resumed::decide(job, facts, now)?,
            false => pending::decide(job, facts, now)?,
        };
        if decision.before.is_empty() {
            item_outputs::keep(job, facts, now, &mut decision)?;
        }
        return Ok(decision);
    }
    if let Some(ended) = stray(job, facts, now)? {
        return Ok(ended);
    }
    match waiting::mistake(job) {
        Some(mistake) => Ok(invalid(job, &mistake).waits_for(Waits::Correction(mistake))),
        None if job.is_suspended() && job.releases.is_some() => release::decide(job, facts),
        None if job.is_suspended() && job.is_coordinated() => start::start(job, facts, now),
        None if job.asks_for_something() && !job.is_suspended() => unprotected(job, facts),
        None => pending::decide(job, facts, now),
    }
}

/// The end of a Job that was created again, by `kubectl apply` or a tool that syncs the manifests, after its Run has
/// had it or has ended.
fn stray(
    job: &Participant,
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<Decision<NoStatus>>, Needs> {
    for freshness in [Freshness::Cached, Freshness::Live] {
        let run = owner::run_of(&job.metadata, facts, freshness)?;
        let Some(run) = run.filter(|run| run_end(run).is_some() || !may_start(run, job)) else {
            return Ok(None);
        };
        if freshness == Freshness::Live {
            return Ok(Some(Decision {
                before: vec![end_stray(job, run, now)],
                ..Decision::default()
            }));
        }
    }
    Ok(None)
}

/// Whether a Job that takes part has failed and does not say why yet.
fn owes_reason(job: &Participant) -> bool {
    let takes_part = job.asks_for_something() || job.arrives_at().is_some() || job.run().is_some();
    takes_part
        && job_ended(job) == Some(false)
        && matches!(
            job.phase,
            None | Some(
                JobPhase::Waiting | JobPhase::Queued | JobPhase::Running | JobPhase::Paused
            )
        )
}

/// Writes why a Job failed, from its pods while they are there.
fn explain_failure(job: &Participant, facts: &Facts) -> Result<Option<Write>, Needs> {
    let pods = Fact::PodsOf {
        namespace: job.place().namespace,
        job_uid: job.uid().to_owned(),
    };
    let pods = facts.pods(pods, Freshness::Live)?;
    let pods: Vec<_> = pods.iter().map(AsRef::as_ref).collect();
    let why = explain::failure(job, &pods);
    let decision = phase_patch(job, JobPhase::Failed, why.as_deref());
    Ok(decision.before.into_iter().next())
}

/// Somebody started it by hand, or created it without `suspend: true`: it runs, and what it asks for does
/// not protect it.
fn unprotected(job: &Participant, facts: &Facts) -> Decided<NoStatus> {
    let namespace = ObjectName::of(&job.metadata).namespace;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let holds = job.holds();
    let gate = job.gate().map(|gate| ObjectName::new(&namespace, gate));
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
    for hold in holds {
        if !in_ledger(&namespace, hold, uid, facts, Freshness::Cached)? {
            missing.push(format!("{}/{}", hold.kind, hold.name));
        }
    }
    if items::lacks_items(job) {
        missing.push("its items".to_owned());
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

/// How many permits a Job queues for at this ledger now: it waits, its Gate has passed, and it has
/// everything that comes before in the order of taking.
pub(crate) fn queues_for(
    job: &Participant,
    kind: LedgerKind,
    name: &str,
    facts: &Facts,
) -> Result<Option<u32>, Needs> {
    let hold = job.hold_on(kind, name);
    let Some(hold) = hold.filter(|_| job.asks_for_permits()) else {
        return Ok(None);
    };
    if held_back(job, facts, Freshness::Cached)?.is_some() {
        return Ok(None);
    }
    let namespace = ObjectName::of(&job.metadata).namespace;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    for earlier in job.holds() {
        if earlier >= hold {
            break;
        }
        if !in_ledger(&namespace, earlier, uid, facts, Freshness::Cached)? {
            return Ok(None);
        }
    }
    Ok(Some(hold.permits))
}

/// What [`queues_for`] asks about a Job: its Run, and the other ledgers that it holds.
pub(crate) fn queues_by(job: &Participant) -> Vec<Fact> {
    if !job.may_start() || !job.is_suspended() {
        return Vec::new();
    }
    let namespace = ObjectName::of(&job.metadata).namespace;
    let holds = job.holds();
    let mut facts: Vec<Fact> = holds
        .iter()
        .map(|hold| ledger_fact(&namespace, hold))
        .collect();
    facts.extend(owner::run_name(&job.metadata).map(Fact::Run));
    facts
}

/// Why the Job's Run does not let it start, if it does not.
fn held_back(
    job: &Participant,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Option<HeldBack>, Needs> {
    let Some(run) = owner::run_of(&job.metadata, facts, freshness)? else {
        // Nothing but its Run says that one which asks for nothing may start.
        return match job.run() {
            Some(_) if !job.asks_for_something() => {
                owner::no_run(&job.metadata, facts, freshness).map(Some)
            }
            _ => Ok(None),
        };
    };
    let may_finish = run.spec.let_running_finish && job.phase == Some(JobPhase::Running);
    let is_cancelled = match job.role {
        Role::Main => run.spec.cancel,
        Role::Finally => run.spec.cancel_finally,
    };
    Ok(if run.spec.is_paused() && !may_finish {
        Some(HeldBack::Paused)
    } else if is_cancelled {
        Some(HeldBack::Cancelled)
    } else if run_end(run).is_some() {
        Some(HeldBack::Ended)
    } else {
        kept_out(run, job)
    })
}

/// What keeps a Job from its next step, as the operator would decide it; `answer` gives the objects that answer a
/// fact, as far as they are known.
pub fn waits_for(
    job: &Participant,
    answer: impl Fn(&Fact) -> Objects,
    now: Timestamp,
) -> Option<Waits> {
    let mut facts = Facts::default();
    for _ in 0..ROUNDS_MAX {
        match decide(job, &facts, now) {
            Ok(decision) => return decision.waits,
            Err(needs) => {
                for (fact, freshness) in needs {
                    let objects = answer(&fact);
                    facts.record(fact, freshness, objects);
                }
            }
        }
    }
    None
}

/// Whether a ledger lists this holder with exactly these permits.
fn in_ledger(
    namespace: &str,
    hold: &Hold,
    uid: &str,
    facts: &Facts,
    freshness: Freshness,
) -> Result<bool, Needs> {
    let holder = holder(namespace, hold, uid, facts, freshness)?;
    Ok(holder.is_some_and(|held| held.permits == hold.permits))
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
            let semaphore = facts.semaphore(&name, freshness)?;
            semaphore
                .and_then(|semaphore| semaphore.status.as_ref())
                .map(|status| &status.holders)
        }
        LedgerKind::Lease => {
            let lease = facts.lease(&name, freshness)?;
            lease
                .and_then(|lease| lease.status.as_ref())
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

/// Reports that the Job's own annotations can't be followed. They are read until the start, so
/// correcting them is enough.
fn invalid(job: &Participant, message: &str) -> Decision<NoStatus> {
    if job.reason() == Some(message) {
        return Decision::default();
    }
    let phase = match job.is_suspended() {
        true => job.phase.unwrap_or(JobPhase::Waiting),
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
fn refuse_start(job: &Participant) -> Decision<NoStatus> {
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

/// Ends a Job that was never started; its Gate says when one ends that it ruled out.
fn ended(job: &Participant, phase: JobPhase, why: &str, now: Timestamp) -> Decision<NoStatus> {
    let mut decision = phase_patch(job, phase, Some(why));
    stamp::ended_by(job, now, &mut decision.before);
    decision
}

/// Ends a Job that is being deleted and that somebody's finalizer keeps. Kubernetes creates no pods for it any more, so it
/// counts as every Job that is deleted, and what it holds ends with its last pod.
fn deleted(job: &Participant, finalizer: &str, now: Timestamp) -> Decision<NoStatus> {
    let why = format!(
        "{}: its Job is being deleted; the finalizer {finalizer} keeps the object",
        reason::DELETED
    );
    ended(job, JobPhase::Cancelled, &why, now)
}

/// One patch of the Job's phase, under the version that was decided on.
fn phase_patch(job: &Participant, phase: JobPhase, reason: Option<&str>) -> Decision<NoStatus> {
    let mut decision = Decision::default();
    let mut annotations = Map::with_capacity(2);
    annotations.insert(annotation::PHASE.into(), phase.word().into());
    if reason.is_some() || job.reason().is_some() {
        annotations.insert(annotation::REASON.into(), reason.into());
    }
    decision.before.push(patch(job, annotations));
    decision
}

fn patch(job: &Participant, annotations: Map<String, Value>) -> Write {
    // Not by `json!`: it would copy the annotations, in each decision about a Job.
    let mut metadata = Map::with_capacity(3);
    metadata.insert("uid".into(), job.metadata.uid.as_deref().into());
    let version = job.metadata.resource_version.as_deref();
    metadata.insert("resourceVersion".into(), version.into());
    metadata.insert("annotations".into(), annotations.into());
    let mut body = Map::with_capacity(1);
    body.insert("metadata".into(), metadata.into());
    Write::Patch {
        kind: Kind::Job,
        name: job.place(),
        status: false,
        body: body.into(),
    }
}
