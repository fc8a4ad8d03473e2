//! Claims that are over: not renewed in time, or their pod has ended.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use konductor_api::{Claim, ClaimPhase, Duration, Holder, ObjectName};

use super::{Ledger, Step, claims, phase, uid};
use crate::facts::{Facts, Freshness};
use crate::limits::{SEMAPHORE_TTL, TTL_MIN};
use crate::pod::pod_ended;
use crate::{Fact, Needs};

/// Expires Claims that were not renewed in time, or whose pod has ended. The write names the
/// version that was timed, so a renewal in between makes it fail; the ledger forgets a Claim only once
/// its phase is seen to be Expired (rule A).
pub(super) fn expire(
    ledger: &Ledger<'_>,
    holders: &[Holder],
    facts: &Facts,
    now: Timestamp,
    step: &mut Step,
) -> Result<(), Needs> {
    let mut open = claims(ledger, facts)?;
    open.retain(|claim| {
        let open = match phase(claim) {
            ClaimPhase::Granted => holders.iter().any(|held| held.uid == uid(&claim.metadata)),
            ClaimPhase::Queued => true,
            ClaimPhase::Denied | ClaimPhase::Expired => false,
        };
        open && claim.metadata.deletion_timestamp.is_none()
    });
    let over = with_pods_over(&open, facts)?;
    for claim in open {
        if over.contains(uid(&claim.metadata)) {
            let pod = claim
                .spec
                .pod
                .as_ref()
                .map(|pod| pod.name.as_str())
                .unwrap_or_default();
            let message = format!("pod/{pod} has ended");
            step.expire(claim, &message, now);
        } else if phase(claim) == ClaimPhase::Granted
            && let Some((renewal, seen)) = facts.renewals_seen.get(uid(&claim.metadata))
            // A live read may show a renewal that the cache, and so the clock, has not seen yet.
            && *renewal == claim.spec.renew_time
        {
            let ttl = ttl(ledger, claim);
            let Ok(due) = seen.checked_add(ttl) else {
                continue;
            };
            if due <= now {
                let message = format!(
                    "not renewed within {}",
                    Duration::from_millis(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
                );
                step.expire(claim, &message, now);
            } else {
                step.wake = Some(step.wake.map_or(due, |wake| wake.min(due)));
            }
        }
    }
    Ok(())
}

fn ttl(ledger: &Ledger<'_>, claim: &Claim) -> SignedDuration {
    let own = claim.spec.ttl.as_ref().and_then(|ttl| ttl.parse().ok());
    let ceiling = ledger.ttl.and_then(|ttl| ttl.parse().ok());
    let ttl = match (own, ceiling) {
        (Some(own), Some(ceiling)) => own.min(ceiling),
        (Some(ttl), None) | (None, Some(ttl)) => ttl,
        (None, None) => SEMAPHORE_TTL,
    };
    ttl.max(TTL_MIN)
}

/// The uids of those whose pod has ended or is gone; all that the cache says it of are read live, at
/// once.
fn with_pods_over<'a>(claims: &[&'a Claim], facts: &Facts) -> Result<BTreeSet<&'a str>, Needs> {
    let mut over: Vec<(&Claim, ObjectName, &str)> = claims
        .iter()
        .filter_map(|claim| {
            let pod = claim.spec.pod.as_ref()?;
            let namespace = ObjectName::of(&claim.metadata).namespace;
            Some((
                *claim,
                ObjectName::new(namespace, &pod.name),
                pod.uid.as_str(),
            ))
        })
        .collect();
    for freshness in [Freshness::Cached, Freshness::Live] {
        let pods = over
            .iter()
            .map(|(_, name, _)| (Fact::Pod(name.clone()), freshness));
        facts.require(pods)?;
        let mut still = Vec::new();
        for (claim, name, pod_uid) in over {
            let pod = facts.pod(&name, freshness)?;
            if !pod.is_some_and(|pod| uid(&pod.metadata) == pod_uid && !pod_ended(pod)) {
                still.push((claim, name, pod_uid));
            }
        }
        over = still;
    }
    Ok(over
        .into_iter()
        .map(|(claim, ..)| uid(&claim.metadata))
        .collect())
}
