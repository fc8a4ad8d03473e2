//! The start of a Job: its Gate, then its holds, then its items, then one patch.
//!
//! What enters: a Job that waits. What leaves: the patch that starts it, or why it does not start. What must never
//! happen here: a start by a Gate or a ledger that only the cache shows, or of a Job that its Run has not recorded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use konductor_api::condition::reason;
use konductor_api::{
    Hold, JobPhase, LedgerKind, ObjectName, Participant, Role, annotation, format_holds, label,
};
use serde_json::{Value, json};

use super::inputs::{Inputs, inputs};
use super::items::{self, Sizing};
use super::waiting::Blocker;
use super::{
    NoStatus, ended, held_back, holder, in_ledger, indexes, ledger_fact, phase_patch, waiting,
};
use crate::decision::EventType;
use crate::facts::{Facts, Freshness};
use crate::limits::{NAMES_IN_MESSAGE, START_REFUSED_AFTER};
use crate::outcome::{End, gate_end};
use crate::run::{ends_what_waits, was_ended};
use crate::{
    Decided, Decision, Event, HeldBack, Needs, Waits, Write, owner, stamp, trace_ids, words,
};

/// Gate, then holds, then items, then the start.
pub(super) fn start(job: &Participant, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    let namespace = job.metadata.namespace.clone().unwrap_or_default();
    if let Some((since, words)) = &facts.start_refused
        && now.duration_since(*since) >= START_REFUSED_AFTER
    {
        let message = format!("{}: {words}", reason::START_REFUSED);
        return Ok(ended(job, JobPhase::Failed, &message, now));
    }
    if let Some(gate) = job.gate() {
        let name = ObjectName::new(&namespace, gate);
        for freshness in [Freshness::Cached, Freshness::Live] {
            match facts
                .gate(&name, freshness)?
                .and_then(|gate| gate_end(gate))
            {
                None => {
                    if let Some(ended) = without_gate(job, &name, freshness, (facts, now))? {
                        return Ok(ended);
                    }
                    return waiting::explain(job, &Blocker::Gate(gate), facts, now);
                }
                Some(End::Succeeded) => {}
                Some(end) if freshness == Freshness::Live => {
                    return ruled_out(job, end, facts, now);
                }
                Some(_) => {}
            }
        }
    }
    if let Some(why) = held_back(job, facts, Freshness::Cached)? {
        return Ok(kept_waiting(job, why, now));
    }
    let holds = job.holds();
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    for freshness in [Freshness::Cached, Freshness::Live] {
        facts.require(
            holds
                .iter()
                .map(|hold| (ledger_fact(&namespace, hold), freshness)),
        )?;
        for hold in holds {
            if !in_ledger(&namespace, hold, uid, facts, freshness)? {
                return waiting::explain(job, &Blocker::Hold(hold), facts, now);
            }
        }
    }
    let parallel = match items::size(job, facts, now)? {
        Sizing::Done(parallel) => parallel,
        Sizing::Decided(decision) => return Ok(*decision),
    };
    if let Some(write) = indexes::completed(job) {
        // Its start is decided about when that is stored.
        return Ok(Decision {
            before: vec![write],
            ..Decision::default()
        });
    }
    let Inputs { values, lost } = match template(job, holds, facts)? {
        Ok(template) => template,
        Err(missing) => return Ok(ended(job, JobPhase::Unreached, &missing, now)),
    };
    let lost: Vec<String> = lost.into_iter().take(NAMES_IN_MESSAGE).collect();
    let note = format!("runs with defaults: {}", lost.join("; "));
    let note = (!lost.is_empty()).then_some(note);
    let mut decision = phase_patch(job, JobPhase::Running, note.as_deref());
    for write in &mut decision.before {
        if let Write::Patch { body, .. } = write {
            add_start(job, &values, holds, body);
            if let Some(parallel) = parallel {
                body["spec"]["parallelism"] = parallel.into();
            }
            stamp::granted(job, granted(&namespace, holds, uid, facts)?, body);
        }
    }
    decision.events.extend(note.map(|note| Event {
        type_: EventType::Warning,
        reason: reason::OUTPUTS_LOST,
        note,
    }));
    if let Some((since, _)) = &facts.start_refused
        && let Ok(due) = since.checked_add(START_REFUSED_AFTER)
    {
        decision.wake_at(due);
    }
    Ok(decision)
}

/// When each ledger granted what a Job asks of it.
fn granted(
    namespace: &str,
    holds: &[Hold],
    uid: &str,
    facts: &Facts,
) -> Result<Vec<(String, Timestamp)>, Needs> {
    let mut granted = Vec::new();
    for hold in holds {
        let held = holder(namespace, hold, uid, facts, Freshness::Live)?;
        if let Some(since) = held.and_then(|held| held.since.as_ref()) {
            granted.push((format!("{}/{}", hold.kind, hold.name), since.0));
        }
    }
    Ok(granted)
}

/// The Run does not let the Job start. A Job that says nothing yet says so, if the Run is not about to record or to end
/// it. A Run may be created after its Jobs, so one that says that its Run does not exist is corrected once that does.
fn kept_waiting(job: &Participant, why: HeldBack, now: Timestamp) -> Decision<NoStatus> {
    let no_run = HeldBack::NoRun.to_string();
    let is_outdated = why != HeldBack::NoRun && job.reason() == Some(no_run.as_str());
    let since = match why {
        HeldBack::Paused | HeldBack::Replaced => Some(now),
        HeldBack::NoRun => waiting::says_why_at(job),
        HeldBack::Unrecorded | HeldBack::Foreign if is_outdated => Some(now),
        // What does not belong to a Run is left alone.
        HeldBack::Cancelled | HeldBack::Ended | HeldBack::Unrecorded | HeldBack::Foreign => None,
    };
    let decision = match since.filter(|_| job.phase.is_none() || is_outdated) {
        Some(since) if now < since => {
            let mut decision = Decision::default();
            decision.wake_at(since);
            decision
        }
        Some(_) => phase_patch(job, JobPhase::Waiting, Some(&why.to_string())),
        None => Decision::default(),
    };
    decision.waits_for(Waits::Run(why))
}

/// What a start writes on the pod template: inputs, the tokens of Leases, and the place in the Run's trace. The inner
/// error says which input is missing.
pub(super) fn template(
    job: &Participant,
    holds: &[Hold],
    facts: &Facts,
) -> Result<Result<Inputs, String>, Needs> {
    let mut template = match inputs(job, facts)? {
        Ok(inputs) => inputs,
        Err(missing) => return Ok(Err(missing)),
    };
    let namespace = ObjectName::of(&job.metadata).namespace;
    for hold in holds.iter().filter(|hold| hold.kind == LedgerKind::Lease) {
        let name = ObjectName::new(&namespace, &hold.name);
        let lease = facts.lease(&name, Freshness::Live)?;
        let token = lease
            .and_then(|lease| lease.status.as_ref()?.token)
            .unwrap_or_default();
        template.values.insert(
            format!("{}{}", annotation::TOKEN_PREFIX, hold.name),
            token.to_string(),
        );
    }
    if facts.traces
        && let Some(run) = owner::run_of(&job.metadata, facts, Freshness::Cached)?
    {
        let parent = trace_ids::traceparent(run, job);
        let key = annotation::TRACEPARENT.to_owned();
        template.values.insert(key, parent);
    }
    Ok(Ok(template))
}

/// The Gate is not open. If it was deleted, and the Run was ended from outside, nothing would ever end
/// a finally stage behind it, so it is cancelled; `None` where it waits on.
fn without_gate(
    job: &Participant,
    gate: &ObjectName,
    freshness: Freshness,
    (facts, now): (&Facts, Timestamp),
) -> Result<Option<Decision<NoStatus>>, Needs> {
    if facts.gate(gate, freshness)?.is_some() {
        return Ok(None);
    }
    let run = owner::run_of(&job.metadata, facts, Freshness::Cached)?;
    if !run.is_some_and(was_ended) {
        return Ok(None);
    }
    let is_gone = facts.gate(gate, Freshness::Live)?.is_none();
    let run = owner::run_of(&job.metadata, facts, Freshness::Live)?;
    if !(is_gone && run.is_some_and(was_ended)) {
        return Ok(None);
    }
    let why = format!("{}: gate/{} does not exist", reason::DELETED, gate.name);
    Ok(Some(ended(job, JobPhase::Cancelled, &why, now)))
}

/// Adds to a patch what starts the Job: its inputs, with what stood in their place, what it holds, and
/// `suspend: false`; or for a Job in one of Kueue's queues the removal of our value from its annotation,
/// because there Kueue starts it.
fn add_start(
    job: &Participant,
    template: &BTreeMap<String, String>,
    holds: &[Hold],
    body: &mut Value,
) {
    if let Some(words) = job.gated_by() {
        let rest = words.filter(|word| *word != annotation::KUEUE_GATE);
        let rest: Vec<&str> = rest.collect();
        body["metadata"]["annotations"][annotation::KUEUE_GATED_BY] = if rest.is_empty() {
            Value::Null
        } else {
            rest.join(",").into()
        };
    }
    if job.queue().is_none() {
        body["spec"]["suspend"] = false.into();
    }
    if job.inputs.is_some() {
        let replaced: BTreeMap<&String, &String> = template_annotations(job)
            .filter(|(key, _)| template.contains_key(*key))
            .collect();
        body["metadata"]["annotations"][annotation::PRESETS] = json!(replaced).to_string().into();
    }
    write_template(job, template, holds, body);
}

pub(super) fn template_annotations(job: &Participant) -> impl Iterator<Item = (&String, &String)> {
    let annotations = job.spec.as_ref().and_then(|spec| {
        let metadata = spec.template.metadata.as_ref()?;
        metadata.annotations.as_ref()
    });
    annotations.into_iter().flatten()
}

/// Adds to a patch what a started Job's pods carry, and what the Job itself says that it holds.
pub(super) fn write_template(
    job: &Participant,
    template: &BTreeMap<String, String>,
    holds: &[Hold],
    body: &mut Value,
) {
    let mut template = template.clone();
    if !holds.is_empty() {
        let held = format_holds(holds);
        body["metadata"]["annotations"][annotation::HELD] = held.clone().into();
        body["spec"]["template"]["metadata"]["labels"][label::HELD] = "true".into();
        template.insert(annotation::HELD.to_owned(), held);
    }
    if template_annotations(job).any(|(key, _)| key == annotation::GUARD) {
        let started = annotation::GUARD_STARTED.to_owned();
        template.insert(annotation::GUARD.to_owned(), started);
    }
    if !template.is_empty() {
        body["spec"]["template"]["metadata"]["annotations"] = json!(template);
    }
}

/// The Gate ended without opening.
fn ruled_out(job: &Participant, end: End, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    // What a Run ends is Cancelled, also where its Gate was quicker to see what came before cancelled.
    // That was stored after the Run's own end was: a live read shows it.
    let run = owner::run_of(&job.metadata, facts, Freshness::Live)?;
    let main = job.role == Role::Main;
    if main && end != End::Skipped && run.is_some_and(|run| ends_what_waits(run, now)) {
        return Ok(Decision::waiting_for(Waits::Run(HeldBack::Cancelled)));
    }
    let gate_name = job.gate().unwrap_or_default();
    let name = ObjectName::new(ObjectName::of(&job.metadata).namespace, gate_name);
    let gate = facts.gate(&name, Freshness::Live)?.map(AsRef::as_ref);
    let phase = if end == End::Skipped {
        JobPhase::Skipped
    } else {
        JobPhase::Unreached
    };
    let why = words::without_opening(&job.metadata, gate_name, end, gate);
    let waits = Waits::Gate(gate_name.to_owned());
    Ok(phase_patch(job, phase, Some(&why)).waits_for(waits))
}
