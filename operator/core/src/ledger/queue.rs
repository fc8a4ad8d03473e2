//! Those that wait, in the order of their turns, and whose turn it is.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{Claim, ClaimPhase, ObjectName, Order, Participant, annotation};

use super::{Ledger, Step, claims, phase, sum, uid};
use crate::facts::{Facts, Freshness};
use crate::{Fact, Needs, Write, job};

/// One that waits for its turn.
pub(super) struct Candidate<'a> {
    turn: Turn<'a>,
    pub(super) permits: u32,
    pub(super) who: Who<'a>,
}

/// What decides whose turn comes first: the priority, the second of creation, the ordinal, where those
/// without one come after those with one, and the name. No two are the same, as a kind's names are not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Turn<'a> {
    priority: Reverse<i32>,
    created: i64,
    ordinal: u32,
    name: &'a str,
    uid: &'a str,
}

impl<'a> Turn<'a> {
    /// Returns the turn of a waiter. Its priority is 0 where the ledger does not order by priority.
    pub fn of(metadata: &'a ObjectMeta, priority: i32) -> Self {
        let created = metadata.creation_timestamp.as_ref();
        let ordinal = metadata.annotations.as_ref();
        let ordinal = ordinal.and_then(|all| all.get(annotation::ORDINAL)?.parse().ok());
        Self {
            priority: Reverse(priority),
            created: created.map_or(i64::MAX, |Time(time)| time.as_second()),
            ordinal: ordinal.unwrap_or(u32::MAX),
            name: metadata.name.as_deref().unwrap_or_default(),
            uid: uid(metadata),
        }
    }
}

pub(super) enum Who<'a> {
    Claim(&'a Claim),
    Job(&'a Participant),
}

impl Candidate<'_> {
    pub(super) fn read_live(&self) -> (Fact, Freshness) {
        let fact = match self.who {
            Who::Claim(claim) => Fact::Claim(ObjectName::of(&claim.metadata)),
            Who::Job(job) => Fact::Job(ObjectName::of(&job.metadata)),
        };
        (fact, Freshness::Live)
    }
}

/// Those that wait, in the order of their turns.
pub(super) fn queue<'a>(
    ledger: &Ledger<'_>,
    step: &Step,
    facts: &'a Facts,
) -> Result<Vec<Candidate<'a>>, Needs> {
    let mut queue = Vec::new();
    let changed: Vec<&ObjectName> = step
        .before
        .iter()
        .filter_map(|write| match write {
            Write::Patch { name, .. } => Some(name),
            _ => None,
        })
        .collect();
    for claim in claims(ledger, facts)? {
        let waits = phase(claim) == ClaimPhase::Queued
            && claim.metadata.deletion_timestamp.is_none()
            && !changed.contains(&&ObjectName::of(&claim.metadata));
        if waits {
            queue.push(Candidate {
                turn: Turn::of(
                    &claim.metadata,
                    match ledger.order {
                        Order::Fifo => 0,
                        Order::Priority => claim.spec.priority,
                    },
                ),
                permits: claim.spec.permits,
                who: Who::Claim(claim),
            });
        }
    }
    let jobs = facts.jobs(ledger.jobs(), Freshness::Cached)?;
    let around = jobs.iter().flat_map(|job| job::queues_by(job));
    facts.require(around.map(|fact| (fact, Freshness::Cached)))?;
    for job in jobs {
        if let Some(permits) = job::queues_for(job, ledger.kind, &ledger.name().name, facts)? {
            queue.push(Candidate {
                turn: Turn::of(&job.metadata, 0),
                permits,
                who: Who::Job(job),
            });
        }
    }
    let holders: BTreeSet<&str> = step.holders.iter().map(|held| held.uid.as_str()).collect();
    queue.retain(|candidate| !holders.contains(candidate.turn.uid));
    queue.sort_by(|left, right| left.turn.cmp(&right.turn));
    Ok(queue)
}

/// Those that wait, by what becomes of them now.
#[derive(Default)]
pub(super) struct Line<'a> {
    /// It is their turn.
    pub(super) next: Vec<Candidate<'a>>,
    /// It is not, and they do not wait.
    pub(super) refused: Vec<&'a Claim>,
}

/// Whose turn it is beside those that hold. The head of the queue is not overtaken by smaller requests
/// behind it, unless it asks for more than there is.
pub(super) fn line<'a>(
    ledger: &Ledger<'_>,
    queue: Vec<Candidate<'a>>,
    facts: &Facts,
    step: &Step,
) -> Result<Line<'a>, Needs> {
    let mut free = ledger.permits.saturating_sub(sum(&step.holders));
    let mut line = Line::default();
    let mut blocked = false;
    for candidate in queue {
        let room = step.holders.len() + line.next.len() < HOLDERS_MAX;
        if !blocked && room && candidate.permits <= free && still_waits(ledger, &candidate, facts)?
        {
            free -= candidate.permits;
            line.next.push(candidate);
        } else if let Who::Claim(claim) = candidate.who
            && !claim.spec.wait
        {
            line.refused.push(claim);
        } else if candidate.permits <= ledger.permits && still_waits(ledger, &candidate, facts)? {
            blocked = true;
        }
    }
    Ok(line)
}

/// Whether one that is next still asks, by the freshest that is known of it.
fn still_waits(
    ledger: &Ledger<'_>,
    candidate: &Candidate<'_>,
    facts: &Facts,
) -> Result<bool, Needs> {
    Ok(match candidate.who {
        Who::Claim(claim) => match facts.claim(&ObjectName::of(&claim.metadata), Freshness::Live) {
            Err(_) => true,
            Ok(claim) => claim.is_some_and(|claim| {
                uid(&claim.metadata) == candidate.turn.uid
                    && claim.metadata.deletion_timestamp.is_none()
                    && phase(claim) == ClaimPhase::Queued
            }),
        },
        Who::Job(job) => match facts.job(&ObjectName::of(&job.metadata), Freshness::Live) {
            Err(_) => true,
            Ok(None) => false,
            Ok(Some(job)) => {
                let name = ledger.name().name;
                uid(&job.metadata) == candidate.turn.uid
                    && job::queues_for(job, ledger.kind, &name, facts)? == Some(candidate.permits)
            }
        },
    })
}
