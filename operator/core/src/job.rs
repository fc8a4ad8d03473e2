//! An annotated Job: gate, then holds, then one patch that starts it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::reason;
use konductor_api::limits::{INPUTS_BYTES_MAX, INPUTS_MAX};
use konductor_api::{
    Arrival, ArrivalOutcome, ArrivalSpec, Barrier, Hold, Holder, JobPhase, LedgerKind, annotation,
    arrival_name, format_holds, job_ended, job_phase, label, parse_declared_outputs, parse_holds,
};
use serde_json::{Map, Value, json};

use crate::decision::{EventType, Kind};
use crate::facts::{Facts, Freshness, ObjectName};
use crate::gone;
use crate::limits::START_REFUSED_AFTER;
use crate::outcome::{
    End, barrier_end, gate_end, job_end, outcome_word, owes_outputs, run_end, started_too_early,
};
use crate::outputs::{read_outputs, termination_message};
use crate::run::{ends_what_waits, may_start, was_ended};
use crate::{Decided, Decision, Event, Fact, Needs, Write, explain, owner};

mod indexes;
mod pending;
pub(crate) mod release;
mod resumed;
mod waiting;

use waiting::Blocker;

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
        return store_outputs(job, facts);
    }
    if let Some(end) = job_end(job) {
        let mut decision = arrive(job, end, facts)?;
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
        None => start(job, facts, now),
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

/// Gate, then holds, then the start.
fn start(job: &Job, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    let namespace = ObjectName::of(&job.metadata).namespace;
    if let Some((since, words)) = &facts.start_refused
        && now.duration_since(*since) >= START_REFUSED_AFTER
    {
        let message = format!("{}: {words}", reason::START_REFUSED);
        return Ok(phase_patch(job, JobPhase::Failed, Some(&message)));
    }
    if let Some(gate) = annotated(job, annotation::GATE) {
        let name = ObjectName::new(&namespace, gate);
        for freshness in [Freshness::Cached, Freshness::Live] {
            match facts
                .gate(&name, freshness)?
                .and_then(|gate| gate_end(gate))
            {
                None => {
                    if let Some(ended) = without_gate(job, &name, freshness, facts)? {
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
    if held_back(job, facts, Freshness::Cached)? {
        return Ok(Decision::default());
    }
    let holds = parse_holds(hold_text(job)).unwrap_or_default();
    facts.require(
        holds
            .iter()
            .map(|hold| (ledger_fact(&namespace, hold), Freshness::Cached)),
    )?;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    for freshness in [Freshness::Cached, Freshness::Live] {
        facts.require(
            holds
                .iter()
                .map(|hold| (ledger_fact(&namespace, hold), freshness)),
        )?;
        for hold in &holds {
            if !in_ledger(&namespace, hold, uid, facts, freshness)? {
                return waiting::explain(job, &Blocker::Hold(hold), facts, now);
            }
        }
    }
    if let Some(write) = indexes::completed(job) {
        // Its start is decided about when that is stored.
        return Ok(Decision {
            before: vec![write],
            ..Decision::default()
        });
    }
    let template = match template(job, &holds, facts)? {
        Ok(template) => template,
        Err(missing) => return Ok(phase_patch(job, JobPhase::Unreached, Some(&missing))),
    };
    let mut decision = phase_patch(job, JobPhase::Running, None);
    for write in &mut decision.before {
        if let Write::Patch { body, .. } = write {
            add_start(job, &template, &holds, body);
        }
    }
    if let Some((since, _)) = &facts.start_refused
        && let Ok(due) = since.checked_add(START_REFUSED_AFTER)
    {
        decision.wake_at(due);
    }
    Ok(decision)
}

/// What a start writes on the pod template: inputs, and the tokens of Leases. The inner error says which
/// input is missing.
fn template(
    job: &Job,
    holds: &[Hold],
    facts: &Facts,
) -> Result<Result<BTreeMap<String, String>, String>, Needs> {
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
        template.insert(
            format!("{}{}", annotation::TOKEN_PREFIX, hold.name),
            token.to_string(),
        );
    }
    Ok(Ok(template))
}

/// The Gate is not open. If it was deleted, and the Run was ended from outside, nothing would ever end
/// a finally stage behind it, so it is cancelled; `None` where it waits on.
fn without_gate(
    job: &Job,
    gate: &ObjectName,
    freshness: Freshness,
    facts: &Facts,
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
    Ok(Some(phase_patch(job, JobPhase::Cancelled, Some(&why))))
}

/// Adds to a patch what starts the Job: its inputs, with what stood in their place, what it holds, and
/// `suspend: false`; or for a Job in one of Kueue's queues the removal of our word from its list,
/// because there Kueue starts it.
fn add_start(job: &Job, template: &BTreeMap<String, String>, holds: &[Hold], body: &mut Value) {
    if let Some(words) = annotated(job, annotation::KUEUE_GATED_BY) {
        let rest: Vec<&str> = words
            .split(',')
            .map(str::trim)
            .filter(|word| !word.is_empty() && *word != annotation::KUEUE_GATE)
            .collect();
        body["metadata"]["annotations"][annotation::KUEUE_GATED_BY] = if rest.is_empty() {
            Value::Null
        } else {
            rest.join(",").into()
        };
    }
    let labels = job.metadata.labels.as_ref();
    if !labels.is_some_and(|labels| labels.contains_key(label::KUEUE_QUEUE)) {
        body["spec"]["suspend"] = false.into();
    }
    if annotated(job, annotation::INPUTS).is_some() {
        let replaced: BTreeMap<&String, &String> = template_annotations(job)
            .filter(|(key, _)| template.contains_key(*key))
            .collect();
        body["metadata"]["annotations"][annotation::PRESETS] = json!(replaced).to_string().into();
    }
    write_template(job, template, holds, body);
}

fn template_annotations(job: &Job) -> impl Iterator<Item = (&String, &String)> {
    let known = job.spec.as_ref().and_then(|spec| {
        let metadata = spec.template.metadata.as_ref()?;
        metadata.annotations.as_ref()
    });
    known.into_iter().flatten()
}

/// Adds to a patch what a started Job's pods carry, and what the Job itself says that it holds.
fn write_template(
    job: &Job,
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
fn ruled_out(job: &Job, end: End, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    // What a Run ends is Cancelled, also where its Gate was quicker to see what came before cancelled.
    // That was stored after the Run's own end was: a live read shows it.
    let run = owner::run_of(&job.metadata, facts, Freshness::Live)?;
    let main = role(&job.metadata) != Some("finally");
    if main && end != End::Skipped && run.is_some_and(|run| ends_what_waits(run, now)) {
        return Ok(Decision::default());
    }
    let gate = annotated(job, annotation::GATE).unwrap_or_default();
    let name = ObjectName::new(ObjectName::of(&job.metadata).namespace, gate);
    let status = facts
        .gate(&name, Freshness::Live)?
        .and_then(|gate| gate.status.as_ref());
    let why = status.and_then(|status| {
        status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "Open")
    });
    let why = why.map_or_else(String::new, |condition| format!(": {}", condition.message));
    let phase = if end == End::Skipped {
        JobPhase::Skipped
    } else {
        JobPhase::Unreached
    };
    let word = if end == End::Skipped {
        "was skipped"
    } else {
        "ended without opening"
    };
    let why = format!("gate/{gate} {word}{why}");
    Ok(phase_patch(job, phase, Some(&why)))
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

/// The input of a finally stage that is not another Job's output.
const RUN_OUTCOME: &str = "run.outcome";

/// What a later stage reads, from the outputs that are stored on the Jobs before it. The inner
/// error says which value is missing: a Job without one of its inputs is not started.
fn inputs(job: &Job, facts: &Facts) -> Result<Result<BTreeMap<String, String>, String>, Needs> {
    let Some(text) = annotated(job, annotation::INPUTS) else {
        return Ok(Ok(BTreeMap::new()));
    };
    let Ok(wanted) = serde_json::from_str::<BTreeMap<String, String>>(text) else {
        return Ok(Err(format!(
            "{} is not a JSON object of strings",
            annotation::INPUTS
        )));
    };
    // Before anything is read: each entry is a read of a Job.
    if wanted.len() > INPUTS_MAX {
        return Ok(Err(format!(
            "{} has {} entries; a Job reads at most {INPUTS_MAX}",
            annotation::INPUTS,
            wanted.len()
        )));
    }
    let namespace = ObjectName::of(&job.metadata).namespace;
    let source = |from: &str| {
        let (job, output) = from.split_once('/')?;
        Some((ObjectName::new(&namespace, job), output.to_owned()))
    };
    let sources = wanted.values().filter_map(|from| source(from));
    let sources = sources.flat_map(|(name, _)| {
        let mut facts = gone::facts(&job.metadata, &name, Freshness::Cached);
        facts.push((Fact::Job(name), Freshness::Live));
        facts
    });
    facts.require(sources)?;
    let run = job
        .metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(label::RUN));
    let run = run.map(|run| ObjectName::new(&namespace, run));
    let template = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let preset = template.and_then(|template| template.annotations.as_ref());
    let mut inputs = BTreeMap::new();
    let mut bytes = 0;
    for (key, from) in &wanted {
        if from == RUN_OUTCOME {
            let found = match &run {
                Some(run) => facts.run(run, Freshness::Live)?,
                None => None,
            };
            let Some(outcome) = found.and_then(|run| outcome_word(run)) else {
                return Ok(Err("its run has no outcome".to_owned()));
            };
            inputs.insert(
                format!("{}{key}", annotation::INPUT_PREFIX),
                outcome.to_owned(),
            );
            continue;
        }
        let Some((name, output)) = source(from) else {
            return Ok(Err(format!("input {key}: {from:?} is not JOB/OUTPUT")));
        };
        let source = facts.job(&name, Freshness::Live)?.map(AsRef::as_ref);
        let known = gone::known(&job.metadata, &name, source, facts, Freshness::Live)?;
        let value = match gone::outputs(&known, &name.name) {
            // One that was started before has its value: whether it still has, `resumed` looks at.
            Some(Err(_)) if job_phase(job) == Some(JobPhase::Running) => None,
            // A default must not stand in for a value that was written.
            Some(Err(lost)) => return Ok(Err(lost)),
            Some(Ok(mut outputs)) => outputs.remove(&output),
            None => None,
        };
        let key = format!("{}{key}", annotation::INPUT_PREFIX);
        match value {
            Some(value) => {
                bytes += value.len();
                inputs.insert(key, value);
            }
            None if preset.is_some_and(|preset| preset.contains_key(&key)) => {}
            None => return Ok(Err(format!("job/{} gave no output {output}", name.name))),
        }
    }
    if bytes > INPUTS_BYTES_MAX {
        return Ok(Err(format!(
            "its inputs are {bytes} bytes; at most {INPUTS_BYTES_MAX} fit"
        )));
    }
    Ok(Ok(inputs))
}

/// What a Job says about itself whose pod was gone before anybody has read what it wrote.
const OUTPUTS_LOST: &str = "its pod was gone before its outputs were read";

/// Whether a Job has written outputs that nobody can know any more.
pub(crate) fn outputs_are_lost(job: &Job) -> bool {
    annotated(job, annotation::REASON) == Some(OUTPUTS_LOST)
}

/// Stores what the succeeded pod wrote, together with the phase, in one patch. A Job whose outputs are
/// not what it declares has failed, although the Job controller says that it is complete.
fn store_outputs(job: &Job, facts: &Facts) -> Decided<NoStatus> {
    let place = ObjectName::of(&job.metadata);
    let job_uid = job.metadata.uid.clone().unwrap_or_default();
    let pods = Fact::PodsOf {
        namespace: place.namespace,
        job_uid,
    };
    let pods = facts.pods(pods, Freshness::Live)?;
    let mut decision = Decision::default();
    let (annotations, problem) = outcome_annotations(job, pods.iter().map(AsRef::as_ref));
    decision.before.push(patch(job, annotations));
    decision.events.extend(problem.map(|note| Event {
        type_: EventType::Warning,
        reason: reason::INVALID_OUTPUTS,
        note,
    }));
    Ok(decision)
}

/// The phase and the outputs of a complete Job, from what its pods wrote, and what is wrong with it.
fn outcome_annotations<'a>(
    job: &Job,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> (Map<String, Value>, Option<String>) {
    let message = termination_message(pods);
    let text = annotated(job, annotation::OUTPUTS_DECLARED).unwrap_or_default();
    let read = match (parse_declared_outputs(text), message) {
        (Err(error), _) => Err(format!("{}: {error}", annotation::OUTPUTS_DECLARED)),
        (Ok(declared), Some(message)) => read_outputs(message, &declared),
        // Bare names promise nothing, so nothing is lost for sure.
        (Ok(declared), None) if declared.iter().all(|output| output.ty.is_none()) => {
            Ok(BTreeMap::new())
        }
        (Ok(_), None) => Err("its pod was deleted before they were read".to_owned()),
    };
    let mut annotations = Map::new();
    let (phase, why, problem) = match read {
        Ok(outputs) => {
            let outputs = json!(outputs).to_string();
            annotations.insert(annotation::OUTPUTS.into(), outputs.into());
            let why = message.is_none().then(|| OUTPUTS_LOST.to_owned());
            (JobPhase::Complete, why, None)
        }
        Err(problem) => {
            let note = format!("{}: {problem}", reason::INVALID_OUTPUTS);
            (JobPhase::Failed, Some(note), Some(problem))
        }
    };
    annotations.insert(annotation::PHASE.into(), phase.word().into());
    if why.is_some() || annotated(job, annotation::REASON).is_some() {
        annotations.insert(annotation::REASON.into(), why.into());
    }
    (annotations, problem)
}

/// A complete Job that is gone, as it would stand if its outputs had been stored before: what its pods
/// wrote still counts. A Job whose pods still run is as it was.
pub fn with_outputs(mut job: Job, pods: &[std::sync::Arc<Pod>]) -> Job {
    if job_ended(&job) != Some(true) || !owes_outputs(&job) {
        return job;
    }
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    if termination_message(pods.iter().copied()).is_none()
        && pods.iter().any(|pod| !crate::ledger::pod_ended(pod))
    {
        return job;
    }
    let (written, _) = outcome_annotations(&job, pods);
    let annotations = job.metadata.annotations.get_or_insert_default();
    for (key, value) in written {
        match value {
            Value::String(text) => annotations.insert(key, text),
            _ => annotations.remove(&key),
        };
    }
    job
}

/// Arrives at the Barrier that the Job names, with its own end.
fn arrive(job: &Job, end: End, facts: &Facts) -> Decided<NoStatus> {
    let mut decision = Decision::default();
    let Some(barrier) = annotated(job, annotation::ARRIVE) else {
        return Ok(decision);
    };
    let place = ObjectName::of(&job.metadata);
    let barrier_name = ObjectName::new(&place.namespace, barrier);
    for freshness in [Freshness::Cached, Freshness::Live] {
        let Some(barrier) = facts.barrier(&barrier_name, freshness)? else {
            return Ok(decision);
        };
        if barrier_end(barrier).is_some() {
            return Ok(decision);
        }
        let holder = format!("job/{}", place.name);
        let uid = barrier.metadata.uid.as_deref().unwrap_or_default();
        let name = arrival_name(&barrier_name.name, uid, &holder);
        let known = facts.arrival(&ObjectName::new(&place.namespace, &name), freshness)?;
        if known.is_some() {
            return Ok(decision);
        }
        if freshness == Freshness::Live {
            let live = facts.job(&place, Freshness::Live)?;
            let same = live.is_some_and(|live| {
                live.metadata.uid == job.metadata.uid && job_end(live) == Some(end)
            });
            if !same {
                return Ok(decision);
            }
            let arrival = arrival_of(job, end, barrier);
            decision
                .before
                .push(Write::CreateArrival(Box::new(arrival)));
        }
    }
    Ok(decision)
}

/// The arrival of a Job that has ended.
pub(crate) fn arrival_of(job: &Job, end: End, barrier: &Barrier) -> Arrival {
    let place = ObjectName::of(&job.metadata);
    let holder = format!("job/{}", place.name);
    let uid = barrier.metadata.uid.as_deref().unwrap_or_default();
    let barrier_name = barrier.metadata.name.clone().unwrap_or_default();
    let name = arrival_name(&barrier_name, uid, &holder);
    let spec = ArrivalSpec {
        barrier: barrier_name,
        holder,
        outcome: match end {
            End::Succeeded => ArrivalOutcome::Succeeded,
            End::Failed => ArrivalOutcome::Failed,
            End::Skipped => ArrivalOutcome::Skipped,
            End::Unreached | End::Cancelled => ArrivalOutcome::Cancelled,
        },
        verified: false,
    };
    let mut arrival = Arrival::new(&name, spec);
    arrival.metadata.namespace = Some(place.namespace);
    arrival.metadata.owner_references = Some(vec![konductor_api::barrier_owner(barrier)]);
    arrival
}
