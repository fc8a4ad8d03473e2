//! Gate: conditions are met, then it opens.
//!
//! What enters: the Gate, and what its conditions are about. What leaves: its status, and an Event when it ends. What must
//! never happen here: an end by facts from a cache alone, one that depends on the order of events, or a second end.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::condition::{self, reason};
use konductor_api::{ConditionStatus, Gate, GatePhase, GateStatus, Verdict};

use crate::decision::EventType;
use crate::deletion::is_leaving;
use crate::facts::Facts;
use crate::kind::Kind;
use crate::outcome::gate_end;
use crate::ttl::{self, Finished};
use crate::{Decided, Decision, Event, deadline, owner};

mod clause;
mod ending;
mod judged;

use ending::{Ending, ending, message};
use judged::{Condition, Judged, conditions, judge_all};

/// How long the progress of a Gate may wait for more, for each of its conditions, and at most.
const PROGRESS_OF_A_CONDITION: Duration = Duration::from_millis(10);
const PROGRESS_MAX: Duration = Duration::from_secs(1);

/// Decides about a Gate.
///
/// # Guarantees
/// A phase other than Waiting is never left; a verdict other than Pending is never taken back; both
/// are written only from live reads.
///
/// # Errors
/// What must be observed first.
pub fn decide(gate: &Gate, facts: &Facts, now: Timestamp) -> Decided<GateStatus> {
    if is_leaving(&gate.metadata) {
        return Ok(Decision::default());
    }
    let adoption = owner::adoption_by_its_run(Kind::Gate, &gate.metadata, facts)?;
    let mut decision = decide_end(gate, facts, now)?;
    decision.after.extend(adoption);
    Ok(decision)
}

fn decide_end(gate: &Gate, facts: &Facts, now: Timestamp) -> Decided<GateStatus> {
    if gate_end(gate).is_some() {
        return expire(gate, facts, now);
    }
    let conditions = conditions(gate);
    let judged = judge_all(gate, &conditions, facts, now)?;
    let ending = ending(gate, &conditions, &judged, facts, now)?;
    let mut decision = Decision::default();
    if let (None, Some(deadline)) = (&ending, times_out(gate)) {
        decision.wake_at(deadline);
    }
    let status = status(gate, &conditions, &judged, ending.as_ref(), now);
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
    decision.progress = progress(gate, &status);
    decision.status = (gate.status.as_ref() != Some(&status)).then_some(status);
    Ok(decision)
}

/// Each condition that is met changes the Gate, and the status of a hundred conditions has ten kilobytes: as long as it
/// waits for the same conditions, such changes may wait for one another.
fn progress(gate: &Gate, next: &GateStatus) -> Option<Duration> {
    let before = gate.status.as_ref()?;
    let waits = |status: &GateStatus| status.phase == GatePhase::Waiting;
    let only_progress =
        waits(before) && waits(next) && before.observed_generation == next.observed_generation;
    only_progress.then(|| PROGRESS_MAX.min(PROGRESS_OF_A_CONDITION * next.total))
}

fn times_out(gate: &Gate) -> Option<Timestamp> {
    let timeout = gate.spec.timeout.as_ref()?.parse().ok()?;
    deadline::passes(gate.metadata.creation_timestamp.as_ref()?, timeout)
}

fn status(
    gate: &Gate,
    gate_conditions: &[Condition<'_>],
    judged: &[Judged],
    ending: Option<&Ending>,
    now: Timestamp,
) -> GateStatus {
    let generation = gate.metadata.generation;
    let status = gate.status.clone();
    let phase = ending.map_or(GatePhase::Waiting, |ending| ending.phase);
    let (reason, message) = match ending {
        Some(ending) => (ending.reason, ending.message.clone()),
        None => (reason::WAITING, message(gate, judged, Verdict::Pending)),
    };
    let mut conditions = status.map(|status| status.conditions).unwrap_or_default();
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
            .filter(|judgement| judgement.verdict == Verdict::Met)
            .count() as u32,
        total: judged.len() as u32,
        condition_statuses: gate_conditions
            .iter()
            .zip(judged)
            .map(|(condition, judgement)| ConditionStatus {
                target: condition.subject.to_string(),
                verdict: judgement.verdict,
                message: judgement.message.clone(),
            })
            .collect(),
        opened_at: open.then(|| time.clone()),
        finished_at: ending.map(|_| time),
        observed_generation: generation,
        conditions,
    }
}

fn expire(gate: &Gate, facts: &Facts, now: Timestamp) -> Decided<GateStatus> {
    let finished = Finished {
        kind: Kind::Gate,
        metadata: &gate.metadata,
        at: gate
            .status
            .as_ref()
            .and_then(|status| status.finished_at.as_ref()),
        ttl: gate.spec.ttl_after_finished.as_ref(),
    };
    ttl::expire(finished, facts, now)
}
