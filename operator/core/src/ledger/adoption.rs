//! A ledger that was never written, although some hold of it.

use std::cmp::Reverse;

use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{ClaimPhase, Holder, JobPhase, LedgerKind, annotation, job_phase};

use super::{Ledger, claim_holder, job_holder, phase};
use crate::facts::{Facts, Freshness};
use crate::{Needs, job};

/// A ledger that was never written: its object was deleted while in use, and created again. Those
/// that hold one of this name are entered, by a live read.
pub(super) fn adopt(
    ledger: &Ledger<'_>,
    facts: &Facts,
) -> Result<(Vec<Holder>, Option<i64>), Needs> {
    facts.require([
        (ledger.claims(), Freshness::Live),
        (ledger.jobs(), Freshness::Live),
    ])?;
    let mut held: Vec<(Option<i64>, Holder)> = Vec::new();
    for claim in facts.claims(ledger.claims(), Freshness::Live)? {
        if phase(claim) == ClaimPhase::Granted && claim.metadata.deletion_timestamp.is_none() {
            let status = claim.status.as_ref();
            let since = status.and_then(|status| status.granted_at.clone());
            let token = status.and_then(|status| status.token);
            held.push((token, claim_holder(claim, since)));
        }
    }
    for job in facts.jobs(ledger.jobs(), Freshness::Live)? {
        let started = matches!(job_phase(job), Some(JobPhase::Running | JobPhase::Paused));
        if let Some(hold) = job::hold_on(job, ledger.kind, &ledger.name().name)
            && started
            && !job::over(job)
        {
            let template = job
                .spec
                .as_ref()
                .and_then(|spec| spec.template.metadata.as_ref());
            let key = format!("{}{}", annotation::TOKEN_PREFIX, hold.name);
            let token = template
                .and_then(|template| template.annotations.as_ref()?.get(&key)?.parse().ok());
            held.push((token, job_holder(job, hold.permits, None)));
        }
    }
    let token = held.iter().filter_map(|(token, _)| *token).max();
    held.sort_by_key(|(token, holder)| (Reverse(*token), holder.uid.clone()));
    held.truncate(if ledger.kind == LedgerKind::Lease {
        1
    } else {
        HOLDERS_MAX
    });
    Ok((held.into_iter().map(|(_, holder)| holder).collect(), token))
}
