//! The status of Claims, which follows the ledger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::condition::{self, reason};
use konductor_api::{Claim, ClaimPhase, ClaimStatus, ObjectName};
use serde_json::json;

use super::{Ledger, Step, claims, phase, uid};
use crate::facts::{Facts, Freshness};
use crate::kind::Kind;
use crate::{Needs, Write};

/// Grants Claims that are in the ledger and still Queued.
pub(super) fn answer(
    ledger: &Ledger<'_>,
    facts: &Facts,
    now: Timestamp,
    step: &mut Step,
) -> Result<(), Needs> {
    let entered: BTreeMap<&str, ()> = step
        .holders
        .iter()
        .map(|held| (held.uid.as_str(), ()))
        .collect();
    let mut granted = Vec::new();
    for claim in claims(ledger, facts)? {
        // Its version may have been read live, for the grant.
        let live = facts.claim(&ObjectName::of(&claim.metadata), Freshness::Live);
        let claim = match &live {
            Ok(Some(live)) if live.metadata.uid == claim.metadata.uid => live.as_ref(),
            _ => claim,
        };
        if phase(claim) == ClaimPhase::Queued
            && claim.metadata.deletion_timestamp.is_none()
            && entered.contains_key(uid(&claim.metadata))
        {
            granted.push(write_phase(
                claim,
                ClaimPhase::Granted,
                step.token,
                "granted",
                now,
            ));
        }
    }
    step.after.extend(granted);
    Ok(())
}

/// Returns the write of a Claim's phase, with the reason of that phase.
pub(super) fn write_phase(
    claim: &Claim,
    phase: ClaimPhase,
    token: Option<i64>,
    message: &str,
    now: Timestamp,
) -> Write {
    let reason = match phase {
        ClaimPhase::Granted => reason::GRANTED,
        ClaimPhase::Denied => reason::DENIED,
        ClaimPhase::Expired => reason::EXPIRED,
        ClaimPhase::Queued => reason::QUEUED,
    };
    write_status(claim, phase, reason, token, message, now)
}

/// One write of a Claim's status, under the version that was decided on.
pub(super) fn write_status(
    claim: &Claim,
    phase: ClaimPhase,
    reason: &str,
    token: Option<i64>,
    message: &str,
    now: Timestamp,
) -> Write {
    let status = claim.status.clone().unwrap_or_default();
    let granted = phase == ClaimPhase::Granted;
    let mut conditions = status.conditions;
    let generation = claim.metadata.generation;
    condition::set(
        &mut conditions,
        condition::GRANTED,
        Some(granted),
        reason,
        message,
        generation,
        now,
    );
    let status = ClaimStatus {
        phase,
        token: token.or(status.token),
        granted_at: status
            .granted_at
            .or_else(|| granted.then(|| Time(condition::whole_second(now)))),
        message: message.to_owned(),
        conditions,
    };
    Write::Patch {
        kind: Kind::Claim,
        name: ObjectName::of(&claim.metadata),
        status: true,
        body: json!({
            "metadata": {
                "uid": claim.metadata.uid,
                "resourceVersion": claim.metadata.resource_version,
            },
            "status": status,
        }),
    }
}
