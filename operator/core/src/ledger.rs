//! Semaphore and Lease: one ledger, one code.
//!
//! `status.holders` is the ledger. One conditional write of it strikes those that have ended and
//! enters those that are next; Claims and Jobs learn of it afterwards (rule A).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::condition::{self, Condition, reason};
use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{
    Claim, ClaimPhase, ClaimStatus, Duration, Holder, HolderKind, JobPhase, Lease, LeasePhase,
    LeaseStatus, LedgerKind, Order, Semaphore, SemaphorePhase, SemaphoreStatus, annotation,
    job_phase,
};
use serde_json::json;

use crate::decision::Kind;
use crate::facts::{Facts, Freshness, ObjectName};
use crate::job;
use crate::limits::{SEMAPHORE_TTL, TTL_MIN};
use crate::{Decided, Decision, Event, EventType, Fact, Needs, Write};

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
    let known = semaphore.status.as_ref();
    let ledger = Ledger {
        kind: LedgerKind::Semaphore,
        metadata: &semaphore.metadata,
        permits: semaphore.spec.permits,
        order: semaphore.spec.order,
        ttl: None,
        holders: known.map(|status| status.holders.as_slice()),
        token: None,
    };
    let Some(mut step) = step(&ledger, facts, now)? else {
        return Ok(Decision::default());
    };
    let holders = std::mem::take(&mut step.holders);
    let in_use = sum(&holders);
    let available = ledger.permits.saturating_sub(in_use);
    let conditions = known
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    let next = SemaphoreStatus {
        phase: if available > 0 {
            SemaphorePhase::Ready
        } else {
            SemaphorePhase::Full
        },
        conditions: availability(conditions, &ledger, &holders, now),
        holders,
        in_use,
        available,
        observed_generation: semaphore.metadata.generation,
    };
    Ok(step.decision((known != Some(&next)).then_some(next)))
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
    let known = lease.status.as_ref();
    let ledger = Ledger {
        kind: LedgerKind::Lease,
        metadata: &lease.metadata,
        permits: 1,
        order: Order::Fifo,
        ttl: Some(&lease.spec.ttl),
        holders: known.map(|status| status.holders.as_slice()),
        token: known.and_then(|status| status.token),
    };
    let Some(mut step) = step(&ledger, facts, now)? else {
        return Ok(Decision::default());
    };
    let holders = std::mem::take(&mut step.holders);
    let in_use = sum(&holders);
    let conditions = known
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    let next = LeaseStatus {
        phase: if holders.is_empty() {
            LeasePhase::Available
        } else {
            LeasePhase::Held
        },
        conditions: availability(conditions, &ledger, &holders, now),
        acquired_at: holders.first().and_then(|holder| holder.since.clone()),
        in_use,
        available: 1 - in_use.min(1),
        token: step.token,
        holders,
        observed_generation: lease.metadata.generation,
    };
    Ok(step.decision((known != Some(&next)).then_some(next)))
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
    /// Takes from a Claim what it holds or asks for, and tells both it and people.
    fn expire(&mut self, claim: &Claim, message: &str, now: Timestamp) {
        self.before
            .push(tell(claim, ClaimPhase::Expired, None, message, now));
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
        }
    }
}

fn step(ledger: &Ledger<'_>, facts: &Facts, now: Timestamp) -> Result<Option<Step>, Needs> {
    if ledger.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    facts.require([
        (ledger.claims(), Freshness::Cached),
        (ledger.jobs(), Freshness::Cached),
    ])?;
    let mut step = Step::default();
    let known = match ledger.holders {
        Some(holders) => (holders.to_vec(), ledger.token),
        None => adopt(ledger, facts)?,
    };
    step.token = known.1;
    expire(ledger, &known.0, facts, now, &mut step)?;
    step.holders = still_holding(ledger, known.0, facts, &mut step)?;
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

/// A ledger that was never written: its object was deleted while in use, and created again. Those
/// that hold one of this name are entered, by a live read.
fn adopt(ledger: &Ledger<'_>, facts: &Facts) -> Result<(Vec<Holder>, Option<i64>), Needs> {
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

fn job_holder(job: &Job, permits: u32, since: Option<Time>) -> Holder {
    let name = job.metadata.name.clone().unwrap_or_default();
    Holder {
        kind: HolderKind::Job,
        holder: name.clone(),
        name,
        uid: uid(&job.metadata).to_owned(),
        permits,
        since,
    }
}

/// Tells Claims that are over: not renewed in time, or their pod has ended. The write names the
/// version that was timed, so a renewal in between makes it fail; the ledger forgets them only once
/// it is seen to have been told (rule A).
fn expire(
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
        (Some(one), None) | (None, Some(one)) => one,
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
            let found = facts.pod(&name, freshness)?;
            if !found.is_some_and(|found| uid(&found.metadata) == pod_uid && !pod_ended(found)) {
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

/// Whether a pod will never work again.
pub(crate) fn pod_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// Strikes those that are gone, have ended or gave back. A cache that misses an object, or shows
/// its end, is not believed: the object is read live, and of an ended Job its pods too.
fn still_holding(
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

/// One that waits for its turn.
struct Candidate<'a> {
    priority: Reverse<i32>,
    created: i64,
    uid: &'a str,
    permits: u32,
    who: Who<'a>,
}

enum Who<'a> {
    Claim(&'a Claim),
    Job(&'a Job),
}

impl Candidate<'_> {
    fn read_live(&self) -> (Fact, Freshness) {
        let fact = match self.who {
            Who::Claim(claim) => Fact::Claim(ObjectName::of(&claim.metadata)),
            Who::Job(job) => Fact::Job(ObjectName::of(&job.metadata)),
        };
        (fact, Freshness::Live)
    }
}

/// Those that wait, in the order of their turns.
fn queue<'a>(
    ledger: &Ledger<'_>,
    step: &Step,
    facts: &'a Facts,
) -> Result<Vec<Candidate<'a>>, Needs> {
    let mut queue = Vec::new();
    let told: Vec<&ObjectName> = step
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
            && !told.contains(&&ObjectName::of(&claim.metadata));
        if waits {
            queue.push(Candidate {
                priority: Reverse(match ledger.order {
                    Order::Fifo => 0,
                    Order::Priority => claim.spec.priority,
                }),
                created: created(&claim.metadata),
                uid: uid(&claim.metadata),
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
                priority: Reverse(0),
                created: created(&job.metadata),
                uid: uid(&job.metadata),
                permits,
                who: Who::Job(job),
            });
        }
    }
    queue.retain(|one| step.holders.iter().all(|held| held.uid != one.uid));
    queue.sort_by_key(|one| (one.priority, one.created, one.uid));
    Ok(queue)
}

fn created(metadata: &ObjectMeta) -> i64 {
    metadata
        .creation_timestamp
        .as_ref()
        .map_or(i64::MAX, |Time(time)| time.as_second())
}

/// Those that wait, by what becomes of them now.
#[derive(Default)]
struct Line<'a> {
    /// It is their turn.
    next: Vec<Candidate<'a>>,
    /// It is not, and they do not wait.
    refused: Vec<&'a Claim>,
}

/// Whose turn it is beside those that hold. The head of the queue is not overtaken by smaller requests
/// behind it, unless it asks for more than there is.
fn line<'a>(
    ledger: &Ledger<'_>,
    queue: Vec<Candidate<'a>>,
    facts: &Facts,
    step: &Step,
) -> Result<Line<'a>, Needs> {
    let mut free = ledger.permits.saturating_sub(sum(&step.holders));
    let mut line = Line::default();
    let mut blocked = false;
    for one in queue {
        let room = step.holders.len() + line.next.len() < HOLDERS_MAX;
        if !blocked && room && one.permits <= free && still_waits(ledger, &one, facts)? {
            free -= one.permits;
            line.next.push(one);
        } else if let Who::Claim(claim) = one.who
            && !claim.spec.wait
        {
            line.refused.push(claim);
        } else if one.permits <= ledger.permits && still_waits(ledger, &one, facts)? {
            blocked = true;
        }
    }
    Ok(line)
}

/// Enters those whose turn it is, each of them read live first.
fn grant(
    ledger: &Ledger<'_>,
    queue: Vec<Candidate<'_>>,
    facts: &Facts,
    now: Timestamp,
    step: &mut Step,
) -> Result<(), Needs> {
    let Line { next, refused } = line(ledger, queue, facts, step)?;
    facts.require(next.iter().map(Candidate::read_live))?;
    let since = Some(Time(condition::whole_second(now)));
    for one in next {
        step.holders.push(match one.who {
            Who::Claim(claim) => claim_holder(claim, since.clone()),
            Who::Job(job) => job_holder(job, one.permits, since.clone()),
        });
        if ledger.kind == LedgerKind::Lease {
            step.token = Some(next_token(ledger, step.token));
        }
    }
    deny(ledger, refused, facts, now, step)
}

/// Whether one that is next still asks, by the freshest that is known of it.
fn still_waits(ledger: &Ledger<'_>, one: &Candidate<'_>, facts: &Facts) -> Result<bool, Needs> {
    Ok(match one.who {
        Who::Claim(claim) => match facts.claim(&ObjectName::of(&claim.metadata), Freshness::Live) {
            Err(_) => true,
            Ok(found) => found.is_some_and(|found| {
                uid(&found.metadata) == one.uid
                    && found.metadata.deletion_timestamp.is_none()
                    && phase(found) == ClaimPhase::Queued
            }),
        },
        Who::Job(job) => match facts.job(&ObjectName::of(&job.metadata), Freshness::Live) {
            Err(_) => true,
            Ok(None) => false,
            Ok(Some(found)) => {
                let name = ledger.name().name;
                uid(&found.metadata) == one.uid
                    && job::queues_for(found, ledger.kind, &name, facts)? == Some(one.permits)
            }
        },
    })
}

/// Above the last token and above every resourceVersion so far, so it rises even where the Lease was
/// deleted and created again.
fn next_token(ledger: &Ledger<'_>, last: Option<i64>) -> i64 {
    let version = ledger.metadata.resource_version.as_deref();
    let version: i64 = version
        .and_then(|version| version.parse().ok())
        .unwrap_or(0);
    last.unwrap_or(0).max(version).saturating_add(1)
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
            .and_then(|found| found.metadata.resource_version.clone()),
        LedgerKind::Lease => facts
            .leases(ledger.itself(), Freshness::Live)?
            .first()
            .and_then(|found| found.metadata.resource_version.clone()),
    };
    if current == ledger.metadata.resource_version {
        for claim in refused {
            let message = format!("{} has nothing free", ledger.kind);
            step.after
                .push(tell(claim, ClaimPhase::Denied, None, &message, now));
        }
    }
    Ok(())
}

/// Tells Claims that are in the ledger and don't know it yet.
fn answer(
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
    let mut told = Vec::new();
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
            told.push(tell(claim, ClaimPhase::Granted, step.token, "granted", now));
        }
    }
    step.after.extend(told);
    Ok(())
}

fn tell(
    claim: &Claim,
    phase: ClaimPhase,
    token: Option<i64>,
    message: &str,
    now: Timestamp,
) -> Write {
    let known = claim.status.clone().unwrap_or_default();
    let granted = phase == ClaimPhase::Granted;
    let reason = match phase {
        ClaimPhase::Granted => reason::GRANTED,
        ClaimPhase::Denied => reason::DENIED,
        ClaimPhase::Expired => reason::EXPIRED,
        ClaimPhase::Queued => reason::QUEUED,
    };
    let mut conditions = known.conditions;
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
        token: token.or(known.token),
        granted_at: known
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

fn availability(
    mut conditions: Vec<Condition>,
    ledger: &Ledger<'_>,
    holders: &[Holder],
    now: Timestamp,
) -> Vec<Condition> {
    let in_use = sum(holders);
    let (free, reason) = if ledger.permits == 0 {
        (false, reason::PAUSED)
    } else if in_use < ledger.permits {
        (true, reason::FREE)
    } else {
        (false, reason::HELD)
    };
    let message = match (ledger.kind, holders.first()) {
        (LedgerKind::Lease, Some(held)) => format!("held by {}", held.holder),
        (LedgerKind::Lease, None) => "free".to_owned(),
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
