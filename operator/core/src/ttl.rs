//! The TTL of an object that has ended: it is deleted, unless something unfinished names it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::{Barrier, Duration, Gate, ObjectName, Participant};

use crate::decision::Kind;
use crate::facts::{Facts, Freshness};
use crate::outcome::{barrier_end, gate_end, job_end};
use crate::{Decided, Decision, Fact, Needs, Write, deadline};

/// An object that has ended.
pub(crate) struct Finished<'a> {
    pub(crate) kind: Kind,
    pub(crate) metadata: &'a ObjectMeta,
    /// What others name it by.
    pub(crate) itself: Fact,
    pub(crate) at: Option<&'a Time>,
    pub(crate) ttl: Option<&'a Duration>,
}

/// Deletes an object that has ended after its TTL, unless something unfinished names it.
///
/// # Errors
/// What must be observed first.
pub(crate) fn expire<S>(finished: Finished<'_>, facts: &Facts, now: Timestamp) -> Decided<S> {
    let mut decision = Decision::default();
    let ttl = finished.ttl.and_then(|ttl| ttl.parse().ok());
    let (Some(at), Some(ttl)) = (finished.at, ttl) else {
        return Ok(decision);
    };
    let Some(due) = deadline::passes(at, ttl) else {
        return Ok(decision);
    };
    if now < due {
        decision.wake_at(due);
        return Ok(decision);
    }
    let name = ObjectName::of(finished.metadata);
    if unfinished_names(&finished.itself, facts)? {
        return Ok(decision);
    }
    decision.before.push(Write::Delete {
        kind: finished.kind,
        name,
        uid: finished.metadata.uid.clone().unwrap_or_default(),
    });
    Ok(decision)
}

/// Whether something in its namespace that has not ended names this object. Read live, because a deletion
/// can't be taken back.
fn unfinished_names(itself: &Fact, facts: &Facts) -> Result<bool, Needs> {
    let namespace = itself.namespace();
    let jobs = Fact::JobsIn(namespace.to_owned());
    let gates = Fact::GatesIn(namespace.to_owned());
    let barriers = Fact::BarriersIn(namespace.to_owned());
    let all = [&jobs, &gates, &barriers];
    facts.require(all.map(|fact| (fact.clone(), Freshness::Live)))?;
    let place = |name: &str| ObjectName::new(namespace, name);
    let of_job = |job: &Participant| {
        let gate = job.gate().map(|gate| Fact::Gate(place(gate)));
        let barrier = job.arrives_at();
        let barrier = barrier.map(|barrier| Fact::Barrier(place(barrier)));
        [gate, barrier]
    };
    let of_gate = |gate: &Gate| {
        let conditions = gate.spec.conditions.iter();
        conditions
            .map(|condition| Fact::from(&condition.subject(namespace)))
            .any(|fact| fact == *itself)
    };
    let of_barrier = |barrier: &Barrier| {
        let gate = barrier.spec.gate.as_ref();
        gate.map(|gate| Fact::Gate(place(gate))).as_ref() == Some(itself)
    };
    let jobs = facts.jobs(jobs, Freshness::Live)?.iter();
    let gates = facts.gates(gates, Freshness::Live)?.iter();
    let barriers = facts.barriers(barriers, Freshness::Live)?.iter();
    Ok(jobs
        .filter(|job| job_end(job).is_none())
        .any(|job| of_job(job).iter().flatten().any(|fact| fact == itself))
        || gates
            .filter(|gate| gate_end(gate).is_none())
            .any(|gate| of_gate(gate))
        || barriers
            .filter(|barrier| barrier_end(barrier).is_none())
            .any(|barrier| of_barrier(barrier)))
}
