//! Gate: conditions are met, then it opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::condition::{self, reason};
use konductor_api::{
    ConditionKind, ConditionState, ConditionStatus, Duration, Gate, GateCondition, GateDecision,
    GateMode, GatePhase, GateStatus, Run, RunPhase, Verdict, annotation,
};

use crate::decision::{EventType, Kind};
use crate::facts::{Facts, Freshness, ObjectName};
use crate::outcome::{barrier_end, gate_end, is_settled, job_end, outcome_word, run_end, verdict};
use crate::outputs::stored_outputs;
use crate::when;
use crate::{Decided, Decision, Event, Fact, Needs, Write, owner};

/// Decides about a Gate.
///
/// # Guarantees
/// A phase other than Waiting is never left; a verdict other than Pending is never taken back; both
/// are written only from live reads.
///
/// # Errors
/// What must be observed first.
pub fn decide(gate: &Gate, facts: &Facts, now: Timestamp) -> Decided<GateStatus> {
    if gate.metadata.deletion_timestamp.is_some() {
        return Ok(Decision::default());
    }
    if let Some(given) = owner::given(Kind::Gate, &gate.metadata, facts)? {
        return Ok(given);
    }
    if gate_end(gate).is_some() {
        return expire(gate, facts, now);
    }
    let judged = judge_all(gate, facts, now)?;
    let ending = ending(gate, &judged, facts, now)?;
    let mut decision = Decision::default();
    if let (None, Some(deadline)) = (&ending, deadline(gate)) {
        decision.wake_at(deadline);
    }
    let status = status(gate, &judged, ending.as_ref(), now);
    if let Some(ending) = ending {
        let good = matches!(ending.phase, GatePhase::Open | GatePhase::Skipped);
        decision.events.push(Event {
            type_: if good {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: ending.reason,
            note: ending.message,
        });
    }
    decision.status = (gate.status.as_ref() != Some(&status)).then_some(status);
    Ok(decision)
}

/// A condition's verdict, and what it waits for or why it is out.
struct Judged {
    verdict: Verdict,
    message: String,
}

fn judge_all(gate: &Gate, facts: &Facts, now: Timestamp) -> Result<Vec<Judged>, Needs> {
    let latched = gate
        .status
        .as_ref()
        .map_or(&[][..], |status| &status.condition_statuses);
    let conditions = gate.spec.conditions.iter().enumerate();
    let pending = conditions.clone().filter(|(index, condition)| {
        !is_pipeline(condition) && latched_verdict(latched, *index).is_none()
    });
    let cached = pending
        .clone()
        .map(|(_, condition)| (fact(gate, condition), Freshness::Cached));
    facts.require(cached)?;
    let expired = deadline(gate).is_some_and(|deadline| deadline <= now);
    // Rule B: whatever the cache says is decided is read again, all of it in one go; and at the
    // timeout everything is, because then the absence of an end decides.
    let mut live = Vec::new();
    for (_, condition) in pending {
        let judged = judge(gate, condition, facts, Freshness::Cached)?;
        if expired || judged.verdict != Verdict::Pending {
            live.push((fact(gate, condition), Freshness::Live));
        }
    }
    facts.require(live)?;
    conditions
        .map(|(index, condition)| match latched_verdict(latched, index) {
            Some(known) => Ok(Judged {
                verdict: known.verdict,
                message: known.message.clone(),
            }),
            None if is_pipeline(condition) => Ok(Judged {
                verdict: Verdict::Pending,
                message: format!("waits for {}", target(condition)),
            }),
            None => judge(gate, condition, facts, Freshness::Cached),
        })
        .collect()
}

fn latched_verdict(latched: &[ConditionStatus], index: usize) -> Option<&ConditionStatus> {
    latched
        .get(index)
        .filter(|known| known.verdict != Verdict::Pending)
}

/// A run of a pipeline is judged when all else holds, and is never latched before.
fn is_pipeline(condition: &GateCondition) -> bool {
    condition.pipeline.is_some()
}

fn place(gate: &Gate, condition: &GateCondition, name: &str) -> ObjectName {
    let own = gate.metadata.namespace.as_deref().unwrap_or_default();
    ObjectName::new(condition.namespace.as_deref().unwrap_or(own), name)
}

fn fact(gate: &Gate, condition: &GateCondition) -> Fact {
    let name = place(
        gate,
        condition,
        condition.name.as_deref().unwrap_or_default(),
    );
    if let Some(selector) = &condition.selector {
        let labels = selector
            .match_labels
            .iter()
            .map(|(k, v)| (k.clone(), v.0.clone()));
        return Fact::JobsLabelled {
            namespace: name.namespace,
            labels: labels.collect(),
        };
    }
    if let Some(pipeline) = &condition.pipeline {
        return Fact::RunsOf(ObjectName::new(name.namespace, pipeline));
    }
    match condition.kind {
        ConditionKind::Job => Fact::Job(name),
        ConditionKind::Barrier => Fact::Barrier(name),
        ConditionKind::Gate => Fact::Gate(name),
        ConditionKind::Run => Fact::Run(name),
    }
}

/// What a condition is about, for people.
fn target(condition: &GateCondition) -> String {
    let namespace = condition
        .namespace
        .as_ref()
        .map(|ns| format!("{ns}/"))
        .unwrap_or_default();
    if let Some(selector) = &condition.selector {
        let labels = selector
            .match_labels
            .iter()
            .map(|(k, v)| format!("{k}={}", v.0));
        let labels = labels.collect::<Vec<_>>().join(",");
        return format!(
            "{} jobs with {namespace}{labels}",
            condition.count.unwrap_or(0)
        );
    }
    if let Some(pipeline) = &condition.pipeline {
        return format!("a run of pipeline {namespace}{pipeline}");
    }
    format!(
        "{}/{namespace}{}",
        condition.kind.word(),
        condition.name.as_deref().unwrap_or("?")
    )
}

fn judge(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Judged, Needs> {
    if condition.selector.is_some() {
        return judge_selector(gate, condition, facts, freshness);
    }
    let fact = fact(gate, condition);
    let found = match condition.kind {
        ConditionKind::Job => facts
            .jobs(fact, freshness)?
            .first()
            .filter(|job| permits(gate, condition, &job.metadata))
            .map(|job| job_end(job).map(|end| verdict(condition.state, end))),
        ConditionKind::Barrier => facts
            .barriers(fact, freshness)?
            .first()
            .filter(|barrier| permits(gate, condition, &barrier.metadata))
            .map(|barrier| barrier_end(barrier).map(|end| verdict(condition.state, end))),
        ConditionKind::Gate => facts
            .gates(fact, freshness)?
            .first()
            .filter(|other| permits(gate, condition, &other.metadata))
            .map(|other| gate_end(other).map(|end| verdict(condition.state, end))),
        ConditionKind::Run => facts
            .runs(fact, freshness)?
            .first()
            .filter(|run| permits(gate, condition, &run.metadata))
            .map(|run| judge_run(run, condition.state)),
    };
    let name = target(condition);
    Ok(match found {
        None => Judged {
            verdict: Verdict::Pending,
            message: match &condition.namespace {
                Some(_) => format!("{name}: {}", reason::NOT_FOUND_OR_NOT_PERMITTED),
                None => format!("waits for {name}, which does not exist"),
            },
        },
        Some(None) => Judged {
            verdict: Verdict::Pending,
            message: format!("waits for {name} to be {:?}", condition.state),
        },
        Some(Some(Verdict::Met)) => Judged {
            verdict: Verdict::Met,
            message: String::new(),
        },
        Some(Some(verdict)) => Judged {
            verdict,
            message: format!("{name} can't be {:?} any more", condition.state),
        },
    })
}

fn judge_run(run: &Run, wanted: ConditionState) -> Option<Verdict> {
    if wanted == ConditionState::Settled {
        return is_settled(run).then_some(Verdict::Met);
    }
    run_end(run).map(|end| verdict(wanted, end))
}

fn judge_selector(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    freshness: Freshness,
) -> Result<Judged, Needs> {
    let jobs = facts.jobs(fact(gate, condition), freshness)?;
    let jobs = jobs
        .iter()
        .filter(|job| permits(gate, condition, &job.metadata));
    let jobs: Vec<_> = jobs.collect();
    let wanted = condition.count.unwrap_or(0) as usize;
    let pending = |message| Judged {
        verdict: Verdict::Pending,
        message,
    };
    if jobs.len() != wanted {
        return Ok(match &condition.namespace {
            // A count would tell what the author may not list.
            Some(_) => pending(format!(
                "{}: {}",
                target(condition),
                reason::NOT_FOUND_OR_NOT_PERMITTED
            )),
            None => pending(format!(
                "waits for {}: {} exist",
                target(condition),
                jobs.len()
            )),
        });
    }
    let verdicts: Vec<Option<Verdict>> = jobs
        .iter()
        .map(|job| job_end(job).map(|end| verdict(condition.state, end)))
        .collect();
    let met = verdicts
        .iter()
        .filter(|one| **one == Some(Verdict::Met))
        .count();
    Ok(if verdicts.contains(&Some(Verdict::Failed)) {
        Judged {
            verdict: Verdict::Failed,
            message: format!(
                "{} can't all be {:?} any more",
                target(condition),
                condition.state
            ),
        }
    } else if verdicts.contains(&None) {
        pending(format!(
            "waits for {}: {met} are {:?}",
            target(condition),
            condition.state
        ))
    } else if verdicts.contains(&Some(Verdict::Skipped)) {
        Judged {
            verdict: Verdict::Skipped,
            message: format!(
                "{} can't all be {:?} any more",
                target(condition),
                condition.state
            ),
        }
    } else {
        Judged {
            verdict: Verdict::Met,
            message: String::new(),
        }
    })
}

/// Whether the target lets this Gate's namespace wait for it.
fn permits(gate: &Gate, condition: &GateCondition, target: &ObjectMeta) -> bool {
    let own = gate.metadata.namespace.as_deref().unwrap_or_default();
    let foreign = condition
        .namespace
        .as_deref()
        .is_some_and(|namespace| namespace != own);
    let allowed = target
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotation::ALLOW_FROM));
    !foreign || allowed.is_some_and(|list| list.split(',').any(|entry| entry.trim() == own))
}

/// How a Gate ends, and why.
struct Ending {
    phase: GatePhase,
    reason: &'static str,
    message: String,
}

fn ending(
    gate: &Gate,
    judged: &[Judged],
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<Ending>, Needs> {
    let end = |phase, reason, message: String| {
        Ok(Some(Ending {
            phase,
            reason,
            message,
        }))
    };
    match gate.spec.decision {
        Some(GateDecision::Open) => {
            return end(GatePhase::Open, reason::DECIDED, "by decision".into());
        }
        Some(GateDecision::Failed) => {
            return end(GatePhase::Failed, reason::DECIDED, "by decision".into());
        }
        None => {}
    }
    if !gate.spec.conditions.is_empty() {
        let verdict = match gate.spec.mode {
            GateMode::All => all(gate, judged, facts, now)?,
            GateMode::Any => any(gate, judged, facts, now)?,
        };
        match verdict {
            Verdict::Pending => {}
            Verdict::Met => return met(gate, facts).map(Some),
            Verdict::Skipped => {
                let message = first_message(judged, Verdict::Skipped);
                return end(GatePhase::Skipped, reason::CONDITION_SKIPPED, message);
            }
            Verdict::Failed => {
                let message = first_message(judged, Verdict::Failed);
                return end(GatePhase::Unreached, reason::CONDITION_FAILED, message);
            }
        }
    }
    if deadline(gate).is_some_and(|deadline| deadline <= now) {
        let timeout = gate
            .spec
            .timeout
            .as_ref()
            .map(Duration::as_str)
            .unwrap_or_default();
        let waits = first_message(judged, Verdict::Pending);
        return end(
            GatePhase::Failed,
            reason::TIMED_OUT,
            format!("not open after {timeout}: {waits}"),
        );
    }
    Ok(None)
}

fn first_message(judged: &[Judged], verdict: Verdict) -> String {
    let found = judged.iter().find(|one| one.verdict == verdict);
    found.map_or_else(
        || "waits for a decision".to_owned(),
        |one| one.message.clone(),
    )
}

/// Mode All. One out and bad decides at once; one out and good decides once everything is decided,
/// so the order of events can't change the result.
fn all(gate: &Gate, judged: &[Judged], facts: &Facts, now: Timestamp) -> Result<Verdict, Needs> {
    let pairs = gate.spec.conditions.iter().zip(judged);
    let decided = pairs.filter(|(condition, _)| !is_pipeline(condition));
    let verdicts: Vec<Verdict> = decided.map(|(_, one)| one.verdict).collect();
    if verdicts.contains(&Verdict::Failed) {
        return Ok(Verdict::Failed);
    }
    if verdicts.contains(&Verdict::Pending) {
        return Ok(Verdict::Pending);
    }
    if verdicts.contains(&Verdict::Skipped) {
        return Ok(Verdict::Skipped);
    }
    for condition in gate
        .spec
        .conditions
        .iter()
        .filter(|condition| is_pipeline(condition))
    {
        if !pipeline_ran(gate, condition, facts, now)? {
            return Ok(Verdict::Pending);
        }
    }
    Ok(Verdict::Met)
}

/// Mode Any. Decided when one is met, or when all are out: bad if one of them is.
fn any(gate: &Gate, judged: &[Judged], facts: &Facts, now: Timestamp) -> Result<Verdict, Needs> {
    let verdicts: Vec<Verdict> = judged.iter().map(|one| one.verdict).collect();
    if verdicts.contains(&Verdict::Met) {
        return Ok(Verdict::Met);
    }
    for condition in gate
        .spec
        .conditions
        .iter()
        .filter(|condition| is_pipeline(condition))
    {
        if pipeline_ran(gate, condition, facts, now)? {
            return Ok(Verdict::Met);
        }
    }
    Ok(if verdicts.contains(&Verdict::Pending) {
        Verdict::Pending
    } else if verdicts.contains(&Verdict::Failed) {
        Verdict::Failed
    } else {
        Verdict::Skipped
    })
}

/// Whether some run of the condition's pipeline succeeded recently enough. It is never out: there
/// may always be another run.
fn pipeline_ran(
    gate: &Gate,
    condition: &GateCondition,
    facts: &Facts,
    now: Timestamp,
) -> Result<bool, Needs> {
    let within = condition
        .within
        .as_ref()
        .and_then(|within| within.parse().ok());
    let counts = |run: &Arc<Run>| {
        let status = run.status.as_ref();
        let finished = status.and_then(|status| status.finished_at.as_ref());
        permits(gate, condition, &run.metadata)
            && status.is_some_and(|status| status.phase == RunPhase::Succeeded)
            && within.is_none_or(|within| {
                finished.is_some_and(|Time(time)| now.duration_since(*time) <= within)
            })
    };
    for freshness in [Freshness::Cached, Freshness::Live] {
        if !facts
            .runs(fact(gate, condition), freshness)?
            .iter()
            .any(counts)
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The conditions are met: asks `when`.
fn met(gate: &Gate, facts: &Facts) -> Result<Ending, Needs> {
    let open = Ending {
        phase: GatePhase::Open,
        reason: reason::CONDITIONS_MET,
        message: match gate.spec.mode {
            GateMode::All => "every condition is met".into(),
            GateMode::Any => "a condition is met".into(),
        },
    };
    let Some(when) = &gate.spec.when else {
        return Ok(open);
    };
    let jobs = gate
        .spec
        .conditions
        .iter()
        .filter(|condition| condition.kind == ConditionKind::Job && condition.name.is_some());
    facts.require(
        jobs.clone()
            .map(|condition| (fact(gate, condition), Freshness::Live)),
    )?;
    let mut outputs = BTreeMap::new();
    for condition in jobs {
        let job = facts.jobs(fact(gate, condition), Freshness::Live)?.first();
        if let Some(job) = job.filter(|job| permits(gate, condition, &job.metadata)) {
            let name = condition.name.clone().unwrap_or_default();
            outputs.insert(name, stored_outputs(job));
        }
    }
    let run = gate
        .spec
        .conditions
        .iter()
        .find(|condition| condition.kind == ConditionKind::Run && condition.name.is_some());
    let outcome = match run {
        None => None,
        Some(condition) => facts
            .runs(fact(gate, condition), Freshness::Live)?
            .first()
            .filter(|run| permits(gate, condition, &run.metadata))
            .and_then(|run| outcome_word(run)),
    };
    Ok(match when::evaluate(when, &outputs, outcome) {
        Ok(true) => open,
        Ok(false) => Ending {
            phase: GatePhase::Skipped,
            reason: reason::WHEN_FALSE,
            message: format!("when is false: {when}"),
        },
        Err(error) => Ending {
            phase: GatePhase::Unreached,
            reason: reason::WHEN_ERROR,
            message: format!("when has no answer: {error}"),
        },
    })
}

fn deadline(gate: &Gate) -> Option<Timestamp> {
    let timeout = gate.spec.timeout.as_ref()?.parse().ok()?;
    let Time(created) = gate.metadata.creation_timestamp.as_ref()?;
    created.checked_add(timeout).ok()
}

fn status(gate: &Gate, judged: &[Judged], ending: Option<&Ending>, now: Timestamp) -> GateStatus {
    let generation = gate.metadata.generation;
    let known = gate.status.clone();
    let phase = ending.map_or(GatePhase::Waiting, |ending| ending.phase);
    let (reason, message) = match ending {
        Some(ending) => (ending.reason, ending.message.clone()),
        None => (reason::WAITING, first_message(judged, Verdict::Pending)),
    };
    let mut conditions = known.map(|status| status.conditions).unwrap_or_default();
    let open = phase == GatePhase::Open;
    let failed = matches!(phase, GatePhase::Failed | GatePhase::Unreached);
    for (type_, holds) in [(condition::OPEN, open), (condition::FAILED, failed)] {
        condition::set(
            &mut conditions,
            type_,
            Some(holds),
            reason,
            &message,
            generation,
            now,
        );
    }
    let time = Time(condition::whole_second(now));
    GateStatus {
        phase,
        met: judged
            .iter()
            .filter(|one| one.verdict == Verdict::Met)
            .count() as u32,
        total: judged.len() as u32,
        condition_statuses: gate
            .spec
            .conditions
            .iter()
            .zip(judged)
            .map(|(condition, one)| ConditionStatus {
                target: target(condition),
                verdict: one.verdict,
                message: one.message.clone(),
            })
            .collect(),
        opened_at: open.then(|| time.clone()),
        finished_at: ending.map(|_| time),
        observed_generation: generation,
        conditions,
    }
}

/// A Gate that has ended is deleted after its TTL, unless something unfinished names it.
fn expire(gate: &Gate, facts: &Facts, now: Timestamp) -> Decided<GateStatus> {
    let mut decision = Decision::default();
    let finished = gate
        .status
        .as_ref()
        .and_then(|status| status.finished_at.as_ref());
    let ttl = gate
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
    let name = ObjectName::of(&gate.metadata);
    if facts.unfinished_waits_for(ConditionKind::Gate, &name)? {
        return Ok(decision);
    }
    decision.before.push(Write::Delete {
        kind: Kind::Gate,
        name,
        uid: gate.metadata.uid.clone().unwrap_or_default(),
    });
    Ok(decision)
}
