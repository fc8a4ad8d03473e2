//! Those that hold, without those that are gone, have ended or gave back.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Claim, ClaimPhase, Holder, HolderKind};

use super::expiry::pod_ended;
use super::queue::{Candidate, line, queue};
use super::{Ledger, Step, claims, phase, uid};
use crate::facts::{Facts, Freshness, ObjectName};
use crate::{Fact, Needs, job};

/// Strikes those that are gone, have ended or gave back. A cache that misses an object, or shows
/// its end, is not believed: the object is read live, and of an ended Job its pods too.
pub(super) fn still_holding(
    ledger: &Ledger<'_>,
    holders: Vec<Holder>,
    facts: &Facts,
    step: &mut Step,
) -> Result<Vec<Holder>, Needs> {
    let namespace = ledger.name().namespace;
    let cached_claims = by_uid(claims(ledger, facts)?, |claim| &claim.metadata);
    let jobs = facts.jobs(ledger.jobs(), Freshness::Cached)?;
    let cached_jobs = by_uid(jobs.iter().map(AsRef::as_ref).collect(), |job| {
        &job.metadata
    });
    let mut live = Vec::new();
    let doubtful = |held: &Holder| match held.kind {
        HolderKind::Claim => cached_claims
            .get(&*held.uid)
            .is_none_or(|claim| !holds(claim)),
        HolderKind::Job => cached_jobs.get(&*held.uid).is_none_or(|job| job::over(job)),
    };
    for held in holders.iter().filter(|held| doubtful(held)) {
        let name = ObjectName::new(&namespace, &held.name);
        match held.kind {
            HolderKind::Claim => live.push((Fact::Claim(name), Freshness::Live)),
            HolderKind::Job => {
                let job_uid = held.uid.clone();
                live.push((Fact::Job(name), Freshness::Live));
                let pods = Fact::PodsOf {
                    namespace: namespace.clone(),
                    job_uid,
                };
                live.push((pods, Freshness::Live));
            }
        }
    }
    if let Err(mut needs) = facts.require(live) {
        // Where they are gone it is the turn of others, who are read at the same time.
        step.holders = holders;
        step.holders.retain(|held| !doubtful(held));
        let line = line(ledger, queue(ledger, step, facts)?, facts, step)?;
        needs.extend(line.next.iter().map(Candidate::read_live));
        return Err(needs);
    }
    let mut kept = Vec::new();
    for held in holders {
        if !doubtful(&held) || holds_live(&namespace, &held, facts)? {
            kept.push(held);
        }
    }
    Ok(kept)
}

fn by_uid<T>(objects: Vec<&T>, metadata: impl Fn(&T) -> &ObjectMeta) -> BTreeMap<String, &T> {
    objects
        .into_iter()
        .map(|object| (uid(metadata(object)).to_owned(), object))
        .collect()
}

/// Whether a Claim that is in the ledger still stands: deleting it is giving back.
fn holds(claim: &Claim) -> bool {
    claim.metadata.deletion_timestamp.is_none()
        && matches!(phase(claim), ClaimPhase::Queued | ClaimPhase::Granted)
}

fn holds_live(namespace: &str, held: &Holder, facts: &Facts) -> Result<bool, Needs> {
    let name = ObjectName::new(namespace, &held.name);
    Ok(match held.kind {
        HolderKind::Claim => facts
            .claim(&name, Freshness::Live)?
            .is_some_and(|claim| uid(&claim.metadata) == held.uid && holds(claim)),
        HolderKind::Job => {
            let pods = Fact::PodsOf {
                namespace: namespace.into(),
                job_uid: held.uid.clone(),
            };
            let job = facts.job(&name, Freshness::Live)?;
            job.is_some_and(|job| uid(&job.metadata) == held.uid && !job::over(job))
                || facts
                    .pods(pods, Freshness::Live)?
                    .iter()
                    .any(|pod| !pod_ended(pod))
        }
    })
}
