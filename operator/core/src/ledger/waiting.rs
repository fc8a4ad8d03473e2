//! Why a Claim is queued: said once it has waited for a moment, and never with its position, which moves
//! with every grant.

use jiff::Timestamp;
use konductor_api::condition::reason;
use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{Claim, ClaimPhase, Holder, LedgerKind, ObjectName};

use super::answer::write_status;
use super::{phase, uid};
use crate::facts::{Facts, Freshness};
use crate::job::NoStatus;
use crate::limits::CLAIM_REASON_AFTER;
use crate::{Decided, Decision, Needs};

/// Decides what a queued Claim says about itself. It is granted, denied and expired by its ledger alone.
///
/// # Errors
/// What must be observed first.
pub fn decide_claim(claim: &Claim, facts: &Facts, now: Timestamp) -> Decided<NoStatus> {
    let mut decision = Decision::default();
    if phase(claim) != ClaimPhase::Queued || claim.metadata.deletion_timestamp.is_some() {
        return Ok(decision);
    }
    let Some((reason, message)) = why(claim, facts)? else {
        return Ok(decision);
    };
    let status = claim.status.as_ref();
    let conditions = status.map(|status| &status.conditions);
    let is_said = conditions.into_iter().flatten().any(|condition| {
        condition.type_ == konductor_api::condition::GRANTED && condition.reason == reason
    }) && status.is_some_and(|status| status.message == message);
    if is_said {
        return Ok(decision);
    }
    let created = claim.metadata.creation_timestamp.as_ref();
    let due = created.and_then(|created| created.0.checked_add(CLAIM_REASON_AFTER).ok());
    match due.filter(|due| now < *due) {
        Some(due) => decision.wake_at(due),
        None => {
            let write = write_status(claim, ClaimPhase::Queued, reason, None, &message, now);
            decision.before.push(write);
        }
    }
    Ok(decision)
}

/// Why it is queued; `None` where the ledger lists it already, and is about to say so.
fn why(claim: &Claim, facts: &Facts) -> Result<Option<(&'static str, String)>, Needs> {
    let target = &claim.spec.target;
    let name = ObjectName::new(ObjectName::of(&claim.metadata).namespace, &target.name);
    let ledger = format!("{}/{}", target.kind, target.name);
    let permits_and_holders: Option<(u32, &[Holder])> = match target.kind {
        LedgerKind::Semaphore => facts.semaphore(&name, Freshness::Cached)?.map(|semaphore| {
            let status = semaphore.status.as_ref();
            (
                semaphore.spec.permits,
                status.map_or(&[][..], |status| &status.holders[..]),
            )
        }),
        LedgerKind::Lease => facts.lease(&name, Freshness::Cached)?.map(|lease| {
            let status = lease.status.as_ref();
            (1, status.map_or(&[][..], |status| &status.holders[..]))
        }),
    };
    let Some((permits, holders)) = permits_and_holders else {
        return Ok(Some((
            reason::NOT_FOUND,
            format!("{ledger} does not exist"),
        )));
    };
    if holders.iter().any(|held| held.uid == uid(&claim.metadata)) {
        return Ok(None);
    }
    Ok(Some(if permits > 0 && claim.spec.permits > permits {
        let message = format!(
            "{ledger} has {permits} permits, and this Claim asks for {}",
            claim.spec.permits
        );
        (reason::TOO_MANY_PERMITS, message)
    } else if holders.len() >= HOLDERS_MAX {
        let message = format!("{ledger} has {HOLDERS_MAX} holders, as many as it can list");
        (reason::LEDGER_FULL, message)
    } else {
        (reason::QUEUED, format!("waits for {ledger}"))
    }))
}
