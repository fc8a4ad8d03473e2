//! The arrival of a Job that has ended at the Barrier that it names.

use konductor_api::condition::reason;
use konductor_api::{
    Arrival, ArrivalOutcome, ArrivalSpec, Barrier, JobPhase, ObjectName, Participant, arrival_name,
};

use super::{NoStatus, phase_patch, waiting};
use crate::decision::EventType;
use crate::facts::{Facts, Freshness};
use crate::outcome::{End, barrier_end, job_end};
use crate::{Decided, Decision, Event, Waits, Write};

/// Arrives at the Barrier that the Job names, with its own end.
pub(super) fn arrive(job: &Participant, end: End, facts: &Facts) -> Decided<NoStatus> {
    let mut decision = Decision::default();
    // A Job that has ended has no next step but this: what arrives nowhere, has arrived, or is too late waits for
    // nothing.
    let Some(barrier) = job.arrives_at() else {
        return Ok(decision);
    };
    if let Some(mistake) = waiting::arrive_mistake(job) {
        return Ok(arrives_nowhere(job, end, mistake));
    }
    let place = ObjectName::of(&job.metadata);
    let barrier_name = ObjectName::new(&place.namespace, barrier);
    for freshness in [Freshness::Cached, Freshness::Live] {
        let Some(barrier) = facts.barrier(&barrier_name, freshness)? else {
            return Ok(decision.waits_for(Waits::Barrier(barrier_name.name)));
        };
        if barrier_end(barrier).is_some() {
            return Ok(decision);
        }
        let holder = format!("job/{}", place.name);
        let uid = barrier.metadata.uid.as_deref().unwrap_or_default();
        let name = arrival_name(&barrier_name.name, uid, &holder);
        let arrival = facts.arrival(&ObjectName::new(&place.namespace, &name), freshness)?;
        if arrival.is_some() {
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

/// Says that the Job can't arrive. Why it failed is worth more, and is said instead.
fn arrives_nowhere(job: &Participant, end: End, mistake: String) -> Decision<NoStatus> {
    let mut decision = Decision::default();
    let phase = match end {
        End::Succeeded => Some(JobPhase::Complete),
        End::Skipped => Some(JobPhase::Skipped),
        End::Unreached => Some(JobPhase::Unreached),
        End::Cancelled => Some(JobPhase::Cancelled),
        End::Failed => None,
    };
    if let Some(phase) = phase.filter(|_| job.reason().is_none()) {
        decision = phase_patch(job, phase, Some(&mistake));
        decision.events.push(Event {
            type_: EventType::Warning,
            reason: reason::INVALID,
            note: mistake.clone(),
        });
    }
    decision.waits_for(Waits::Correction(mistake))
}

/// The arrival of a Job that has ended.
pub(crate) fn arrival_of(job: &Participant, end: End, barrier: &Barrier) -> Arrival {
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
