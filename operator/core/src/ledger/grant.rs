//! Entering those whose turn it is, and the token that goes with it.
//!
//! What enters: a Semaphore or Lease, its queue, and each candidate, read live. What leaves: new entries of `status.holders`.
//! What must never happen here: a grant while everything is in use, one that somebody hears of before the ledger has it
//! (rule A), or a token that does not rise.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::condition;
use konductor_api::{Claim, ClaimPhase, LedgerKind};

use super::answer::write_phase;
use super::queue::{Candidate, Line, Who, line};
use super::{Ledger, Step, claim_holder};
use crate::Needs;
use crate::facts::{Facts, Freshness};
use crate::held::job_holder;

/// Enters those whose turn it is, each of them read live first.
pub(super) fn grant(
    ledger: &Ledger<'_>,
    queue: Vec<Candidate<'_>>,
    facts: &Facts,
    now: Timestamp,
    step: &mut Step,
) -> Result<(), Needs> {
    let Line { next, refused } = line(ledger, queue, facts, step)?;
    facts.require(next.iter().map(Candidate::read_live))?;
    let since = Some(Time(condition::whole_second(now)));
    for candidate in next {
        if ledger.kind == LedgerKind::Lease {
            let Some(token) = next_token(ledger, step.token) else {
                break;
            };
            step.token = Some(token);
        }
        step.holders.push(match candidate.who {
            Who::Claim(claim) => claim_holder(claim, since.clone()),
            Who::Job(job) => job_holder(job, candidate.permits, since.clone()),
        });
    }
    deny(ledger, refused, facts, now, step)
}

/// Above the last token and above every resourceVersion so far, so it rises even where the Lease was
/// deleted and created again. `None` if there is no higher one.
pub(super) fn next_token(ledger: &Ledger<'_>, last: Option<i64>) -> Option<i64> {
    let version = ledger.metadata.resource_version.as_deref();
    let version: i64 = version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    last.unwrap_or(0).max(version).checked_add(1)
}

/// Answers those that do not wait. A denial is final, so the ledger it rests on is read live; where
/// that is newer than the one decided on, they are answered the next time.
fn deny(
    ledger: &Ledger<'_>,
    refused: Vec<&Claim>,
    facts: &Facts,
    now: Timestamp,
    step: &mut Step,
) -> Result<(), Needs> {
    if refused.is_empty() {
        return Ok(());
    }
    let current = match ledger.kind {
        LedgerKind::Semaphore => facts
            .semaphores(ledger.itself(), Freshness::Live)?
            .first()
            .and_then(|semaphore| semaphore.metadata.resource_version.clone()),
        LedgerKind::Lease => facts
            .leases(ledger.itself(), Freshness::Live)?
            .first()
            .and_then(|lease| lease.metadata.resource_version.clone()),
    };
    if current == ledger.metadata.resource_version {
        for claim in refused {
            let message = format!("{} has nothing free", ledger.kind);
            step.after
                .push(write_phase(claim, ClaimPhase::Denied, None, &message, now));
        }
    }
    Ok(())
}
