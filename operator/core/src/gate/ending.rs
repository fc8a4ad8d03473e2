//! How a Gate ends, by its conditions' verdicts, its mode, `when`, its timeout or a decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use konductor_api::condition::reason;
use konductor_api::{
    Duration, Gate, GateDecision, GateMode, GatePhase, Run, RunPhase, Target, Verdict,
};

use super::clause::Clause;
use super::judged::{Condition, Judged};
use super::times_out;
use crate::facts::{Facts, Freshness};
use crate::gone;
use crate::outcome::outcome_word;
use crate::words::Named;
use crate::{Needs, deadline, when, words};

/// How a Gate ends, and why.
pub(super) struct Ending {
    pub(super) phase: GatePhase,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

pub(super) fn ending(
    gate: &Gate,
    conditions: &[Condition<'_>],
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
            GateMode::All => all(conditions, judged, facts, now)?,
            GateMode::Any => any(conditions, judged, facts, now)?,
        };
        match verdict {
            Verdict::Pending => {}
            Verdict::Met => return met(gate, conditions, facts).map(Some),
            Verdict::Skipped => {
                let why = message(gate, judged, verdict);
                return end(GatePhase::Skipped, reason::CONDITION_SKIPPED, why);
            }
            Verdict::Failed => {
                let why = message(gate, judged, verdict);
                return end(GatePhase::Unreached, reason::CONDITION_FAILED, why);
            }
        }
    }
    if times_out(gate).is_some_and(|deadline| deadline <= now) {
        let timeout = gate
            .spec
            .timeout
            .as_ref()
            .map(Duration::as_str)
            .unwrap_or_default();
        let waits = message(gate, judged, Verdict::Pending);
        return end(
            GatePhase::Failed,
            reason::TIMED_OUT,
            format!("not open after {timeout}: {waits}"),
        );
    }
    Ok(None)
}

/// Why a Gate waits, or why it does not open. With mode Any all its conditions together are the reason.
pub(super) fn message(gate: &Gate, judged: &[Judged], verdict: Verdict) -> String {
    let is_reason = |judgement: &&Judged| match (gate.spec.mode, verdict) {
        (GateMode::Any, Verdict::Failed | Verdict::Skipped) => judgement.verdict != Verdict::Met,
        _ => judgement.verdict == verdict,
    };
    let mut messages = judged.iter().filter(is_reason);
    match gate.spec.mode {
        _ if judged.is_empty() => "waits for a decision".to_owned(),
        GateMode::All => messages
            .next()
            .map_or_else(String::new, |judgement| judgement.message.clone()),
        GateMode::Any => {
            let messages: Vec<&str> = messages
                .map(|judgement| judgement.message.as_str())
                .collect();
            words::joined(&messages)
        }
    }
}

/// Mode All. One out and bad decides at once; one out and good decides once everything is decided,
/// so the order of events can't change the result.
fn all(
    conditions: &[Condition<'_>],
    judged: &[Judged],
    facts: &Facts,
    now: Timestamp,
) -> Result<Verdict, Needs> {
    let pairs = conditions.iter().zip(judged);
    let decided = pairs.filter(|(condition, _)| !condition.is_pipeline());
    let verdicts: Vec<Verdict> = decided.map(|(_, judgement)| judgement.verdict).collect();
    if verdicts.contains(&Verdict::Failed) {
        return Ok(Verdict::Failed);
    }
    if verdicts.contains(&Verdict::Pending) {
        return Ok(Verdict::Pending);
    }
    if verdicts.contains(&Verdict::Skipped) {
        return Ok(Verdict::Skipped);
    }
    for condition in conditions {
        if pipeline_ran(condition, facts, now)? == Some(false) {
            return Ok(Verdict::Pending);
        }
    }
    Ok(Verdict::Met)
}

/// Mode Any. Decided when one is met, or when all are out: bad if one of them is.
fn any(
    conditions: &[Condition<'_>],
    judged: &[Judged],
    facts: &Facts,
    now: Timestamp,
) -> Result<Verdict, Needs> {
    let verdicts: Vec<Verdict> = judged.iter().map(|judgement| judgement.verdict).collect();
    if verdicts.contains(&Verdict::Met) {
        return Ok(Verdict::Met);
    }
    for condition in conditions {
        if pipeline_ran(condition, facts, now)? == Some(true) {
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

/// Whether some run of the condition's pipeline succeeded recently enough; `None` if the condition is not about a
/// pipeline. It is never out: there may always be another run.
fn pipeline_ran(
    condition: &Condition<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Result<Option<bool>, Needs> {
    let Target::RunOf { within, .. } = &condition.subject.target else {
        return Ok(None);
    };
    let within = within.as_ref().and_then(|within| within.parse().ok());
    let counts = |run: &Arc<Run>| {
        let status = run.status.as_ref();
        let finished = status.and_then(|status| status.finished_at.as_ref());
        condition.permits(&run.metadata)
            && status.is_some_and(|status| status.phase == RunPhase::Succeeded)
            && within.is_none_or(|within| {
                let until = finished.and_then(|finished| deadline::passes(finished, within));
                until.is_some_and(|until| now < until)
            })
    };
    for freshness in [Freshness::Cached, Freshness::Live] {
        let runs = facts.runs(condition.fact(), freshness)?;
        if !runs.iter().any(counts) {
            return Ok(Some(false));
        }
    }
    Ok(Some(true))
}

/// The conditions are met: asks `when`.
fn met(gate: &Gate, conditions: &[Condition<'_>], facts: &Facts) -> Result<Ending, Needs> {
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
    let mut clause = Clause::of(gate);
    let jobs = conditions
        .iter()
        .filter_map(|condition| match &condition.subject.target {
            Target::Job(name) => Some((condition, name)),
            _ => None,
        });
    let live = jobs.clone().map(|(condition, _)| condition.fact());
    facts.require(live.map(|fact| (fact, Freshness::Live)))?;
    let mut outputs = BTreeMap::new();
    for (condition, name) in jobs {
        let place = condition.subject.place(name);
        let job = facts.job(&place, Freshness::Live)?;
        let job = job.filter(|job| condition.permits(&job.metadata));
        let job = job.map(AsRef::as_ref);
        let job = gone::known(&gate.metadata, &place, job, facts, Freshness::Live)?;
        if let Some(Named::Stage { stage, item }) = job.named(&gate.metadata, name) {
            clause.name(name, &stage, item.as_deref());
        }
        match gone::outputs(&job, &gate.metadata, name) {
            Some(Ok(values)) => {
                outputs.insert(name.clone(), values);
            }
            // A default must not stand in for a value that was written, but for a finally stage, which has defaults
            // for that.
            Some(Err(lost)) if when.contains(name) && !is_finally(conditions) => {
                return Ok(no_answer(clause.no_answer(&lost)));
            }
            Some(Err(_)) | None => {}
        }
    }
    let mut runs = conditions.iter();
    let run = runs.find(|condition| matches!(condition.subject.target, Target::Run(_)));
    let outcome = match run {
        None => None,
        Some(condition) => facts
            .runs(condition.fact(), Freshness::Live)?
            .first()
            .filter(|run| condition.permits(&run.metadata))
            .and_then(|run| outcome_word(run)),
    };
    Ok(match when::evaluate(when, &outputs, outcome) {
        Ok(true) => open,
        Ok(false) => Ending {
            phase: GatePhase::Skipped,
            reason: reason::WHEN_FALSE,
            message: clause.is_false(when, &outputs, outcome),
        },
        Err(error) => no_answer(clause.no_answer(&error)),
    })
}

fn no_answer(message: String) -> Ending {
    Ending {
        phase: GatePhase::Unreached,
        reason: reason::WHEN_ERROR,
        message,
    }
}

/// Whether a finally stage waits here: it waits for the main stages, however they end.
fn is_finally(conditions: &[Condition<'_>]) -> bool {
    conditions.iter().any(Condition::is_settlement)
}
