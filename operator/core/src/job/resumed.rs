//! A Job that konductor had started, and that somebody else suspended: a second `kubectl apply` of the same
//! file, or a tool that syncs it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use konductor_api::condition::reason;
use konductor_api::{JobPhase, ObjectName, Participant, annotation};
use serde_json::Value;

use super::{NoStatus, held_back, in_ledger, ledger_fact, phase_patch, start};
use crate::decision::EventType;
use crate::facts::{Facts, Freshness};
use crate::limits::{RESUME_PAUSE, RESUMED_AT_ONCE};
use crate::{Decided, Decision, Event, Fact, Waits, Write, owner};

/// Whether somebody else suspended this Job. A pause of its Run and an end by konductor change the phase in
/// the same write; and in a queue of Kueue the Job waits for its admission.
pub(super) fn is_suspended_by_others(job: &Participant) -> bool {
    job.phase == Some(JobPhase::Running) && job.is_suspended() && job.queue().is_none()
}

/// Starts the Job again, where nothing wants it suspended and it still holds what it took, by live reads.
pub(super) fn decide(job: &Participant, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    let place = ObjectName::of(&job.metadata);
    let holds = job.holding();
    let ledgers = holds.iter().map(|hold| ledger_fact(&place.namespace, hold));
    let others = owner::run_name(&job.metadata).map(Fact::Run);
    let all = ledgers.chain(others).chain([Fact::Job(place.clone())]);
    facts.require(all.map(|fact| (fact, Freshness::Live)))?;
    let live = facts
        .job(&place, Freshness::Live)?
        .filter(|live| live.metadata.uid == job.metadata.uid && is_suspended_by_others(live));
    // The cache lags behind: its next event is decided about.
    let Some(live) = live else {
        return Ok(Decision::default());
    };
    if let Some(why) = held_back(job, facts, Freshness::Live)? {
        return Ok(Decision::waiting_for(Waits::Run(why)));
    }
    let by = suspended_by(live).unwrap_or("somebody");
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    for hold in holds {
        if !in_ledger(&place.namespace, hold, uid, facts, Freshness::Live)? {
            let why = format!(
                "suspended by {by} while it ran; it waits for {}/{} again",
                hold.kind, hold.name
            );
            return Ok(queue_again(job, &why).waits_for(Waits::Hold(hold.clone())));
        }
    }
    let (count, last) = resumed(job);
    let due = last
        .filter(|_| count >= RESUMED_AT_ONCE)
        .and_then(|last| last.checked_add(RESUME_PAUSE).ok());
    match due.filter(|due| now < *due) {
        Some(due) => Ok(pause(job, by, due).waits_for(Waits::Suspended)),
        None => start_again(job, by, facts, now),
    }
}

/// The field manager that wrote `spec.suspend` last.
fn suspended_by(job: &Participant) -> Option<&str> {
    let owners = job.metadata.managed_fields.iter().flatten();
    let of_suspend = owners.filter(|owner| {
        let fields = owner.fields_v1.as_ref();
        fields.is_some_and(|fields| !fields.0["f:spec"]["f:suspend"].is_null())
    });
    of_suspend
        .max_by_key(|owner| owner.time.as_ref().map(|time| time.0))
        .and_then(|owner| owner.manager.as_deref())
}

/// How often the Job was started again, and when last.
fn resumed(job: &Participant) -> (u32, Option<Timestamp>) {
    let (count, last) = job.resumed().unwrap_or_default();
    (count.parse().unwrap_or(0), last.parse().ok())
}

fn start_again(job: &Participant, by: &str, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    let holds = job.holding();
    let template = match start::template(job, holds, facts)? {
        Ok(template) => template.values,
        Err(missing) => {
            let why = format!("suspended by {by} while it ran, and {missing}");
            return Ok(phase_patch(job, JobPhase::Failed, Some(&why)));
        }
    };
    if let Some(key) = lost_input(job, &template) {
        let why = format!("suspended by {by} while it ran, and the value of {key} is gone");
        return Ok(phase_patch(job, JobPhase::Failed, Some(&why)));
    }
    let why = format!("suspended by {by} while it ran; konductor started it again");
    let mut decision = phase_patch(job, JobPhase::Running, Some(&why));
    let (count, last) = resumed(job);
    let calm = SignedDuration::from_secs(RESUME_PAUSE.as_secs().saturating_mul(10));
    let count = match last {
        Some(last) if now.duration_since(last) < calm => count.saturating_add(1),
        _ => 1,
    };
    if let Some(Write::Patch { body, .. }) = decision.before.first_mut() {
        let now = konductor_api::condition::whole_second(now);
        body["metadata"]["annotations"][annotation::RESUMED] = format!("{count} {now}").into();
        body["spec"]["suspend"] = false.into();
        start::write_template(job, &template, holds, body);
    }
    decision.events.push(Event {
        type_: EventType::Warning,
        reason: reason::SUSPENDED,
        note: format!(
            "{by} suspended this Job while it ran, which ended its pods; konductor starts it again. \
             Leave spec.suspend of started Jobs out of what is applied"
        ),
    });
    Ok(decision)
}

/// An input that the Job was started with, where its default stands again and what it came from is gone.
fn lost_input(job: &Participant, template: &BTreeMap<String, String>) -> Option<String> {
    let presets = job.presets()?;
    start::template_annotations(job)
        .find(|(key, value)| presets.get(*key) == Some(*value) && !template.contains_key(*key))
        .map(|(key, _)| key.clone())
}

/// Somebody suspends it again and again: it is started again, but not as often as that.
fn pause(job: &Participant, by: &str, due: Timestamp) -> Decision<NoStatus> {
    let why =
        format!("{by} suspends it again and again; konductor starts it every {RESUME_PAUSE:#}");
    let mut decision = match job.reason() == Some(why.as_str()) {
        true => Decision::default(),
        false => phase_patch(job, JobPhase::Running, Some(&why)),
    };
    decision.wake_at(due);
    decision
}

/// A ledger has forgotten the Job while it was suspended: it takes its turn as one that waits.
fn queue_again(job: &Participant, why: &str) -> Decision<NoStatus> {
    let mut decision = phase_patch(job, JobPhase::Queued, Some(why));
    if let Some(Write::Patch { body, .. }) = decision.before.first_mut() {
        body["metadata"]["annotations"][annotation::HELD] = Value::Null;
    }
    decision
}
