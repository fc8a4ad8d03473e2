//! Those that hold, without those that are gone, have ended, released it or ask for something else.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Claim, ClaimPhase, Holder, HolderKind, ObjectName};

use super::queue::{Candidate, line, queue};
use super::{Ledger, Step, claims, phase, uid};
use crate::facts::{Facts, Freshness};
use crate::job::release::{Place, mark, place};
use crate::pod::pod_ended;
use crate::{Fact, Needs, Write};

/// Strikes those that are gone, have ended or released it. A cache that misses an object, or shows
/// its end, is not believed: the object is read live, and of an ended Job its pods too. A Job that waits
/// and asks for something else by now is marked first, and struck once it is seen to be marked (rule A).
pub(super) fn still_holding(
    ledger: &Ledger<'_>,
    holders: Vec<Holder>,
    facts: &Facts,
    step: &mut Step,
) -> Result<Vec<Holder>, Needs> {
    let own = ledger.name();
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
        HolderKind::Job => cached_jobs.get(&*held.uid).is_none_or(|job| {
            job.is_over() || place(job, ledger.kind, &own.name, held.permits) != Place::Kept
        }),
    };
    for held in holders.iter().filter(|held| doubtful(held)) {
        let name = ObjectName::new(&own.namespace, &held.name);
        match held.kind {
            HolderKind::Claim => live.push((Fact::Claim(name), Freshness::Live)),
            HolderKind::Job => {
                live.push((Fact::Job(name), Freshness::Live));
                live.push((pods_of(&own, held), Freshness::Live));
            }
        }
    }
    if let Err(mut needs) = facts.require(live) {
        // If they are gone it is the turn of others, who are read at the same time.
        step.holders = holders;
        step.holders.retain(|held| !doubtful(held));
        let line = line(ledger, queue(ledger, step, facts)?, facts, step)?;
        needs.extend(line.next.iter().map(Candidate::read_live));
        return Err(needs);
    }
    let mut kept = Vec::new();
    for held in holders {
        match doubtful(&held) {
            false => kept.push(held),
            true => match holds_live(ledger, &held, facts)? {
                Verdict::Struck => {}
                Verdict::Kept => kept.push(held),
                Verdict::Marked(write) => {
                    step.before.push(*write);
                    kept.push(held);
                }
            },
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

/// Whether a Claim that is in the ledger still counts: to delete it is to release.
fn holds(claim: &Claim) -> bool {
    claim.metadata.deletion_timestamp.is_none()
        && matches!(phase(claim), ClaimPhase::Queued | ClaimPhase::Granted)
}

fn pods_of(ledger: &ObjectName, held: &Holder) -> Fact {
    Fact::PodsOf {
        namespace: ledger.namespace.clone(),
        job_uid: held.uid.clone(),
    }
}

/// What becomes of an entry, by live reads.
enum Verdict {
    Kept,
    Struck,
    /// It stays until its Job is seen with this mark (rule A).
    Marked(Box<Write>),
}

fn holds_live(ledger: &Ledger<'_>, held: &Holder, facts: &Facts) -> Result<Verdict, Needs> {
    let own = ledger.name();
    let name = ObjectName::new(&own.namespace, &held.name);
    let keeps = |keeps| match keeps {
        true => Verdict::Kept,
        false => Verdict::Struck,
    };
    if held.kind == HolderKind::Claim {
        let claim = facts.claim(&name, Freshness::Live)?;
        return Ok(keeps(claim.is_some_and(|claim| {
            uid(&claim.metadata) == held.uid && holds(claim)
        })));
    }
    let job = facts.job(&name, Freshness::Live)?;
    let job = job.filter(|job| uid(&job.metadata) == held.uid && !job.is_over());
    if let Some(job) = job {
        match place(job, ledger.kind, &own.name, held.permits) {
            Place::Kept => return Ok(Verdict::Kept),
            Place::Unasked => {
                let write = mark(job, ledger.kind, &own.name);
                return Ok(Verdict::Marked(Box::new(write)));
            }
            Place::Marked => {}
        }
    }
    let pods = facts.pods(pods_of(&own, held), Freshness::Live)?;
    Ok(keeps(pods.iter().any(|pod| !pod_ended(pod))))
}
