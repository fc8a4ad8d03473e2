//! A ledger that was never written, although some hold of it.

use std::cmp::Reverse;

use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{ClaimPhase, Holder, LedgerKind};

use super::{Ledger, claim_holder, phase};
use crate::facts::{Facts, Freshness};
use crate::{Fact, Needs};

/// A ledger that was never written: its object was deleted while in use, and created again. Those
/// that hold one of this name are entered, by a live read; and Jobs that are gone or were ended while a
/// pod of theirs still works, by what that pod carries.
pub(super) fn adopt(
    ledger: &Ledger<'_>,
    facts: &Facts,
) -> Result<(Vec<Holder>, Option<i64>), Needs> {
    let place = ledger.name();
    facts.require([
        (ledger.claims(), Freshness::Live),
        (Fact::HeldIn(place.namespace.clone()), Freshness::Live),
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
    for (token, holder) in facts.held(&place.namespace)?.of(ledger.kind, &place.name) {
        if held.iter().all(|(_, other)| other.uid != holder.uid) {
            held.push((*token, holder.clone()));
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
