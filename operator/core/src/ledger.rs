//! Semaphore and Lease: one ledger, one code.
//!
//! `status.holders` is the ledger. One conditional write of it strikes those that have ended and
//! enters those that are next; Claims and Jobs learn of it afterwards (rule A).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::condition::{self, Condition, reason};
use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{
    Claim, ClaimPhase, Duration, Holder, HolderKind, Lease, LeasePhase, LeaseStatus, LedgerKind,
    ObjectName, Order, Semaphore, SemaphorePhase, SemaphoreStatus,
};

use crate::deletion::is_leaving;
use crate::facts::{Facts, Freshness};
use crate::{Decided, Decision, Event, EventType, Fact, Needs, Write};

mod adoption;
mod answer;
mod expiry;
mod grant;
mod holding;
mod queue;
mod waiting;

pub use queue::Turn;
pub use waiting::decide_claim;

use adoption::adopt;
use answer::{answer, write_phase};
use expiry::expire;
use grant::{grant, next_token};
use holding::still_holding;
use queue::queue;

/// Decides about a Semaphore.
///
/// # Guarantees
/// No write raises the sum of permits above `spec.permits`, nor raises it when it is above already.
/// Nobody is struck while it works, by live reads.
///
/// # Errors
/// What must be observed first.
pub fn decide_semaphore(
    semaphore: &Semaphore,
    facts: &Facts,
    now: Timestamp,
) -> Decided<SemaphoreStatus> {
    let status = semaphore.status.as_ref();
    let ledger = Ledger {
        kind: LedgerKind::Semaphore,
        metadata: &semaphore.metadata,
        permits: semaphore.spec.permits,
        order: semaphore.spec.order,
        ttl: None,
        holders: status.map(|status| status.holders.as_slice()),
        token: None,
    };
    let Some(mut step) = step(&ledger, facts, now)? else {
        return Ok(Decision::default());
    };
    let holders = std::mem::take(&mut step.holders);
    let in_use = sum(&holders);
    // What can't be granted is not available.
    let available = match holders.len() < HOLDERS_MAX {
        true => ledger.permits.saturating_sub(in_use),
        false => 0,
    };
    let conditions = status
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    let next = SemaphoreStatus {
        phase: if available > 0 {
            SemaphorePhase::Ready
        } else {
            SemaphorePhase::Full
        },
        conditions: availability(conditions, &ledger, &holders, step.token, now),
        holders,
        in_use,
        available,
        observed_generation: semaphore.metadata.generation,
    };
    Ok(step.decision((status != Some(&next)).then_some(next)))
}

/// Decides about a Lease.
///
/// # Guarantees
/// As for a Semaphore of one permit; and the token rises with each grant, above every token that
/// was ever given under this name.
///
/// # Errors
/// What must be observed first.
pub fn decide_lease(lease: &Lease, facts: &Facts, now: Timestamp) -> Decided<LeaseStatus> {
    let status = lease.status.as_ref();
    let ledger = Ledger {
        kind: LedgerKind::Lease,
        metadata: &lease.metadata,
        permits: 1,
        order: Order::Fifo,
        ttl: Some(&lease.spec.ttl),
        holders: status.map(|status| status.holders.as_slice()),
        token: status.and_then(|status| status.token),
    };
    let Some(mut step) = step(&ledger, facts, now)? else {
        return Ok(Decision::default());
    };
    let holders = std::mem::take(&mut step.holders);
    let in_use = sum(&holders);
    let conditions = status
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    let next = LeaseStatus {
        phase: if holders.is_empty() {
            LeasePhase::Available
        } else {
            LeasePhase::Held
        },
        conditions: availability(conditions, &ledger, &holders, step.token, now),
        acquired_at: holders.first().and_then(|holder| holder.since.clone()),
        in_use,
        available: 1 - in_use.min(1),
        token: step.token,
        holders,
        observed_generation: lease.metadata.generation,
    };
    Ok(step.decision((status != Some(&next)).then_some(next)))
}

/// What a Semaphore and a Lease have in common.
struct Ledger<'a> {
    kind: LedgerKind,
    metadata: &'a ObjectMeta,
    permits: u32,
    order: Order,
    /// A Lease's TTL: the default and the ceiling for its Claims.
    ttl: Option<&'a Duration>,
    /// `None` where the ledger was never written.
    holders: Option<&'a [Holder]>,
    token: Option<i64>,
}

impl Ledger<'_> {
    fn name(&self) -> ObjectName {
        ObjectName::of(self.metadata)
    }

    fn claims(&self) -> Fact {
        Fact::ClaimsOn {
            kind: self.kind,
            name: self.name(),
        }
    }

    fn jobs(&self) -> Fact {
        Fact::JobsHolding {
            kind: self.kind,
            name: self.name(),
        }
    }

    fn itself(&self) -> Fact {
        match self.kind {
            LedgerKind::Semaphore => Fact::Semaphore(self.name()),
            LedgerKind::Lease => Fact::Lease(self.name()),
        }
    }
}

/// One step of a ledger: everything but the status's other fields.
#[derive(Default)]
struct Step {
    before: Vec<Write>,
    after: Vec<Write>,
    holders: Vec<Holder>,
    token: Option<i64>,
    events: Vec<Event>,
    wake: Option<Timestamp>,
}

impl Step {
    /// Ends a Claim that holds or asks for permits, with an Event.
    fn expire(&mut self, claim: &Claim, message: &str, now: Timestamp) {
        self.before
            .push(write_phase(claim, ClaimPhase::Expired, None, message, now));
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        self.events.push(Event {
            type_: EventType::Warning,
            reason: reason::EXPIRED,
            note: format!("claim/{name} of {}: {message}", claim.spec.holder),
        });
    }

    fn decision<S>(self, status: Option<S>) -> Decision<S> {
        Decision {
            before: self.before,
            status,
            after: self.after,
            events: self.events,
            wake: self.wake,
            progress: None,
            waits: None,
        }
    }
}

fn step(ledger: &Ledger<'_>, facts: &Facts, now: Timestamp) -> Result<Option<Step>, Needs> {
    if is_leaving(ledger.metadata) {
        return Ok(None);
    }
    facts.require([
        (ledger.claims(), Freshness::Cached),
        (ledger.jobs(), Freshness::Cached),
    ])?;
    let mut step = Step::default();
    let (holders, token) = match ledger.holders {
        Some(holders) => (holders.to_vec(), ledger.token),
        None => adopt(ledger, facts)?,
    };
    step.token = token;
    expire(ledger, &holders, facts, now, &mut step)?;
    step.holders = still_holding(ledger, holders, facts, &mut step)?;
    let queue = queue(ledger, &step, facts)?;
    grant(ledger, queue, facts, now, &mut step)?;
    answer(ledger, facts, now, &mut step)?;
    Ok(Some(step))
}

fn sum(holders: &[Holder]) -> u32 {
    holders
        .iter()
        .fold(0, |sum, holder| sum.saturating_add(holder.permits))
}

fn claims<'a>(ledger: &Ledger<'_>, facts: &'a Facts) -> Result<Vec<&'a Claim>, Needs> {
    let claims = facts.claims(ledger.claims(), Freshness::Cached)?;
    Ok(claims.iter().map(AsRef::as_ref).collect())
}

fn phase(claim: &Claim) -> ClaimPhase {
    claim
        .status
        .as_ref()
        .map(|status| status.phase)
        .unwrap_or_default()
}

fn uid(metadata: &ObjectMeta) -> &str {
    metadata.uid.as_deref().unwrap_or_default()
}

fn claim_holder(claim: &Claim, since: Option<Time>) -> Holder {
    Holder {
        kind: HolderKind::Claim,
        name: claim.metadata.name.clone().unwrap_or_default(),
        uid: uid(&claim.metadata).to_owned(),
        holder: claim.spec.holder.clone(),
        permits: claim.spec.permits,
        since,
    }
}

fn availability(
    mut conditions: Vec<Condition>,
    ledger: &Ledger<'_>,
    holders: &[Holder],
    token: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let in_use = sum(holders);
    let (free, reason) = if ledger.permits == 0 {
        (false, reason::PAUSED)
    } else if in_use >= ledger.permits {
        (false, reason::HELD)
    } else if holders.len() >= HOLDERS_MAX {
        (false, reason::LEDGER_FULL)
    } else if next_token(ledger, token).is_none() {
        (false, reason::TOKENS_EXHAUSTED)
    } else {
        (true, reason::FREE)
    };
    let message = match (ledger.kind, holders.first()) {
        (LedgerKind::Lease, Some(held)) => format!("held by {}", held.holder),
        (LedgerKind::Lease, None) if reason == reason::TOKENS_EXHAUSTED => {
            "its fencing token is the highest number, and the next holder needs a higher one: delete the \
             Lease and create it again"
                .to_owned()
        }
        (LedgerKind::Lease, None) => "free".to_owned(),
        (LedgerKind::Semaphore, _) if reason == reason::LEDGER_FULL => format!(
            "{in_use} of {} permits are held, by {HOLDERS_MAX} holders: a Semaphore lists no more",
            ledger.permits
        ),
        (LedgerKind::Semaphore, _) => format!("{in_use} of {} permits are held", ledger.permits),
    };
    let generation = ledger.metadata.generation;
    condition::set(
        &mut conditions,
        condition::AVAILABLE,
        Some(free),
        reason,
        message,
        generation,
        now,
    );
    conditions
}
