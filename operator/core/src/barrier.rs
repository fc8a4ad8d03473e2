//! Barrier: n parties arrive, then it opens.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::condition::{self, reason};
use konductor_api::{
    API_VERSION, Arrival, ArrivalOutcome, Arrivals, Barrier, BarrierPhase, BarrierStatus, Duration,
    JobSelector, ObjectName, Participant, barrier_owner, label,
};

use crate::decision::EventType;
use crate::deletion::is_leaving;
use crate::facts::{Facts, Freshness};
use crate::gone::{self, was_there_after};
use crate::job::arrival_of;
use crate::kind::Kind;
use crate::outcome::{End, barrier_end, gate_end, is_settled, job_end};
use crate::ttl::{self, Finished};
use crate::{Decided, Decision, Event, Fact, Needs, Write, deadline, owner, run, words};

/// Decides about a Barrier.
///
/// # Guarantees
/// A phase other than Waiting is never left and is written only from live reads; a party counts
/// once; an Arrival counts only for the Barrier whose uid owns it, or for one that is not younger.
///
/// # Errors
/// What must be observed first.
pub fn decide(barrier: &Barrier, facts: &Facts, now: Timestamp) -> Decided<BarrierStatus> {
    if is_leaving(&barrier.metadata) {
        return Ok(Decision::default());
    }
    let adoption = owner::adoption_by_its_run(Kind::Barrier, &barrier.metadata, facts)?;
    let mut decision = decide_end(barrier, facts, now)?;
    decision.after.extend(adoption);
    Ok(decision)
}

fn decide_end(barrier: &Barrier, facts: &Facts, now: Timestamp) -> Decided<BarrierStatus> {
    if barrier_end(barrier).is_some() {
        return expire(barrier, facts, now);
    }
    let mut decision = Decision::default();
    let cached = look(barrier, facts, Freshness::Cached)?;
    let (seen, ending) = match ending(barrier, &cached, now) {
        None => (cached, None),
        // Rule B: an end is decided again from live reads.
        Some(_) => {
            let live = look(barrier, facts, Freshness::Live)?;
            let ending = ending(barrier, &live, now);
            (live, ending)
        }
    };
    decision.before = seen.arrivals.clone();
    decision.after = seen.stamps.clone();
    if ending.is_none()
        && let Some(deadline) = times_out(barrier, &seen)
    {
        decision.wake_at(deadline);
    }
    let status = status(barrier, &seen, ending.as_ref(), now);
    if let Some(ending) = ending {
        let good = matches!(ending.phase, BarrierPhase::Open | BarrierPhase::Skipped);
        decision.events.push(Event {
            type_: if good {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: ending.reason,
            note: ending.message,
        });
    }
    decision.status = (barrier.status.as_ref() != Some(&status)).then_some(status);
    Ok(decision)
}

/// What a Barrier sees of its parties.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The ends of the parties that have ended.
    ends: Vec<End>,
    /// How many parties are known: with `jobs`, those that exist.
    parties: usize,
    gate: GateSeen,
    /// Arrivals of Jobs that were gone before they could arrive.
    arrivals: Vec<Write>,
    /// Arrivals that kubectl has created are given to the Barrier, so that they are deleted with it.
    stamps: Vec<Write>,
}

/// What a Barrier sees of its Gate.
#[derive(Clone, Debug, Default)]
enum GateSeen {
    /// It has none.
    #[default]
    None,
    /// It does not exist.
    Missing,
    Waiting,
    Open(Option<Time>),
    /// It ended without opening, for this reason.
    Ended(End, String),
}

/// What the Barrier is decided by.
fn sources(barrier: &Barrier) -> Vec<Fact> {
    let name = ObjectName::of(&barrier.metadata);
    let gate = barrier.spec.gate.as_ref();
    let gate = gate.map(|gate| Fact::Gate(ObjectName::new(&name.namespace, gate)));
    let parties = match &barrier.spec.jobs {
        None => Fact::ArrivalsAt(name),
        Some(selector) => Fact::JobsLabelled {
            namespace: name.namespace,
            labels: selector.labels(),
        },
    };
    gate.into_iter().chain([parties]).collect()
}

/// What else is known about parties: those that are gone, and the Barrier's Run.
fn memory(barrier: &Barrier, freshness: Freshness) -> Vec<(Fact, Freshness)> {
    let gone = match &barrier.spec.jobs {
        None => Fact::ArrivingGone(ObjectName::of(&barrier.metadata)),
        Some(selector) => gone_jobs(barrier, selector),
    };
    let run = owner::run_name(&barrier.metadata).filter(|_| barrier.spec.jobs.is_some());
    let run = run.map(|run| (Fact::Run(run), freshness));
    run.into_iter().chain([(gone, Freshness::Cached)]).collect()
}

fn gone_jobs(barrier: &Barrier, selector: &JobSelector) -> Fact {
    Fact::JobsGone {
        namespace: ObjectName::of(&barrier.metadata).namespace,
        labels: selector.labels(),
    }
}

fn look(barrier: &Barrier, facts: &Facts, freshness: Freshness) -> Result<Seen, Needs> {
    let sources_of_it = sources(barrier).into_iter().map(|fact| (fact, freshness));
    facts.require(sources_of_it.chain(memory(barrier, freshness)))?;
    let mut seen = Seen::default();
    for source in sources(barrier) {
        match &source {
            Fact::Gate(_) => {
                let gate = facts.gates(source, freshness)?.first();
                seen.gate = match gate.and_then(|gate| gate_end(gate)) {
                    None if gate.is_none() => GateSeen::Missing,
                    None => GateSeen::Waiting,
                    Some(End::Succeeded) => {
                        let status = gate.and_then(|gate| gate.status.as_ref());
                        GateSeen::Open(status.and_then(|status| status.opened_at.clone()))
                    }
                    Some(end) => {
                        let name = barrier.spec.gate.as_deref().unwrap_or_default();
                        let gate = gate.map(AsRef::as_ref);
                        let why = words::without_opening(&barrier.metadata, name, end, gate);
                        GateSeen::Ended(end, why)
                    }
                };
            }
            Fact::JobsLabelled { .. } => {
                let jobs = facts.jobs(source, freshness)?;
                let parties = parties(barrier, jobs, facts, freshness)?;
                seen.parties = parties.len();
                seen.ends = parties.into_iter().flatten().collect();
            }
            _ => {
                let arrivals = facts.arrivals(source, freshness)?;
                count_arrivals(barrier, arrivals.iter().map(AsRef::as_ref), &mut seen);
                let name = ObjectName::of(&barrier.metadata);
                let gone = facts.jobs(Fact::ArrivingGone(name), Freshness::Cached)?;
                let is_new =
                    |holder: &str| !arrivals.iter().any(|arrival| arrival.spec.holder == holder);
                let of_this = gone
                    .iter()
                    .filter(|job| was_there_after(job, &barrier.metadata));
                let missed = of_this.filter_map(|job| missed(barrier, job, is_new));
                seen.arrivals = missed.collect();
            }
        }
    }
    Ok(seen)
}

/// The arrival of a Job that has ended and was gone before it could arrive.
fn missed(barrier: &Barrier, job: &Participant, is_new: impl Fn(&str) -> bool) -> Option<Write> {
    let arrival = arrival_of(job, job_end(job)?, barrier);
    is_new(&arrival.spec.holder).then(|| Write::CreateArrival(Box::new(arrival)))
}

/// The end of each Job that a Barrier selects, as far as it has ended. One that is gone counts as it
/// had ended; what it means that a Job of the Barrier's Run is missing, the Run decides.
fn parties(
    barrier: &Barrier,
    present: &[Arc<Participant>],
    facts: &Facts,
    freshness: Freshness,
) -> Result<Vec<Option<End>>, Needs> {
    let Some(selector) = &barrier.spec.jobs else {
        return Ok(Vec::new());
    };
    let gone = facts.jobs(gone_jobs(barrier, selector), Freshness::Cached)?;
    let Some(run) = owner::run_of(&barrier.metadata, facts, freshness)? else {
        let of_this = gone
            .iter()
            .filter(|job| was_there_after(job, &barrier.metadata));
        let jobs = of_this.chain(present);
        let parties = jobs.map(|job| (job.key.name, job_end(job)));
        return Ok(parties.collect::<BTreeMap<_, _>>().into_values().collect());
    };
    let label = |key| selector.match_labels.get(key).map(|value| value.0.as_str());
    let of_run = label(label::RUN) == run.metadata.name.as_deref();
    let stage = label(label::STAGE).filter(|_| of_run);
    let recorded = stage
        .into_iter()
        .flat_map(|stage| run::recorded_of_stage(run, stage));
    let recorded: BTreeMap<_, _> = recorded.collect();
    // The record does not say which items of a stage these are.
    let is_whole = selector.match_labels.len() <= 2;
    let of_record = recorded.iter().filter(|_| is_whole);
    let mut parties: BTreeMap<_, Option<End>> = of_record
        .map(|(key, entry)| (*key, entry.ended.map(|ended| ended.end)))
        .collect();
    for (jobs, are_present) in [(gone, false), (present, true)] {
        for job in jobs.iter().filter(|job| owner::belongs(&job.metadata, run)) {
            let key = job.key.name;
            let counts = match recorded.get(&key) {
                Some(entry) => entry.is_of(job),
                None => are_present,
            };
            if counts {
                let end = parties.entry(key).or_default();
                *end = job_end(job).or(end.filter(|_| !are_present));
            }
        }
    }
    let expected = barrier.spec.expected as usize;
    let mut missing = Vec::new();
    if let Some(stage) = stage.filter(|_| !is_whole && parties.len() < expected) {
        let elsewhere = gone::of_stage(run, stage, facts)?;
        let is_unknown = |key: &_| !parties.contains_key(key) && !elsewhere.contains(key);
        let unknown = recorded.iter().filter(|(key, _)| is_unknown(*key));
        missing.extend(unknown.map(|(_, entry)| entry.ended.map(|ended| ended.end)));
        // Where more are missing than these items, the worst ends are theirs: a start is worse than none.
        missing.sort_by_key(|end| match end {
            None => 0,
            Some(End::Failed) => 1,
            Some(End::Unreached | End::Cancelled) => 2,
            Some(End::Skipped) => 3,
            Some(End::Succeeded) => 4,
        });
        missing.truncate(expected - parties.len());
    }
    let mut parties: Vec<Option<End>> = parties.into_values().chain(missing).collect();
    let complete = run.status.as_ref().is_some_and(|status| status.complete);
    if is_settled(run) && !complete && parties.len() < expected {
        // Nobody has created them, and the Run does not wait for them any more.
        parties.resize(expected, Some(End::Cancelled));
    }
    Ok(parties)
}

fn count_arrivals<'a>(
    barrier: &Barrier,
    arrivals: impl Iterator<Item = &'a Arrival>,
    seen: &mut Seen,
) {
    let mut parties: BTreeMap<&str, ArrivalOutcome> = BTreeMap::new();
    let verified_only = barrier.spec.arrivals == Arrivals::Verified;
    for arrival in arrivals {
        if arrival.metadata.deletion_timestamp.is_some()
            || (verified_only && !arrival.spec.verified)
        {
            continue;
        }
        let counts = match owning_barrier(arrival) {
            // By kubectl, which can't know the Barrier's uid.
            None => arrival.metadata.creation_timestamp >= barrier.metadata.creation_timestamp,
            // Or it arrived at an earlier Barrier of this name.
            Some(uid) => Some(uid) == barrier.metadata.uid.as_deref(),
        };
        if counts {
            let outcome = parties.entry(&arrival.spec.holder).or_default();
            *outcome = arrival.spec.outcome.max(*outcome);
        }
        if counts && owning_barrier(arrival).is_none() {
            seen.stamps.push(stamp(barrier, arrival));
        }
    }
    seen.parties = parties.len();
    seen.ends = parties
        .into_values()
        .map(|outcome| match outcome {
            ArrivalOutcome::Succeeded => End::Succeeded,
            ArrivalOutcome::Failed => End::Failed,
            ArrivalOutcome::Skipped => End::Skipped,
            ArrivalOutcome::Cancelled => End::Cancelled,
        })
        .collect();
}

fn owning_barrier(arrival: &Arrival) -> Option<&str> {
    let owners = arrival.metadata.owner_references.as_ref()?;
    let owner = owners
        .iter()
        .find(|o| o.kind == "Barrier" && o.api_version == API_VERSION)?;
    Some(&owner.uid)
}

fn stamp(barrier: &Barrier, arrival: &Arrival) -> Write {
    let mut owners = arrival
        .metadata
        .owner_references
        .clone()
        .unwrap_or_default();
    owners.push(barrier_owner(barrier));
    owner::give(Kind::Arrival, &arrival.metadata, &owners)
}

/// How a Barrier ends, and why.
struct Ending {
    phase: BarrierPhase,
    reason: &'static str,
    message: String,
}

fn ending(barrier: &Barrier, seen: &Seen, now: Timestamp) -> Option<Ending> {
    let end = |phase, reason, message: String| {
        Some(Ending {
            phase,
            reason,
            message,
        })
    };
    match &seen.gate {
        GateSeen::Missing | GateSeen::Waiting => return None,
        GateSeen::Ended(how, why) => {
            let phase = match how {
                End::Skipped => BarrierPhase::Skipped,
                _ => BarrierPhase::Unreached,
            };
            return end(phase, reason::GATE_ENDED, why.clone());
        }
        GateSeen::None | GateSeen::Open(_) => {}
    }
    let counts = Counts::of(&seen.ends);
    let decided = match barrier.spec.jobs {
        None => arrivals_end(&barrier.spec, counts),
        Some(_) => jobs_end(&barrier.spec, counts, seen.parties),
    };
    if let Some(decided) = decided {
        let (phase, reason) = match decided {
            End::Succeeded => (BarrierPhase::Open, reason::ALL_ARRIVED),
            End::Skipped => (BarrierPhase::Skipped, reason::ALL_SKIPPED),
            End::Failed => (BarrierPhase::Failed, reason::QUORUM_OUT_OF_REACH),
            End::Unreached | End::Cancelled => {
                (BarrierPhase::Unreached, reason::QUORUM_OUT_OF_REACH)
            }
        };
        return end(phase, reason, message(barrier, seen));
    }
    if times_out(barrier, seen).is_some_and(|deadline| deadline <= now) {
        let timeout = barrier
            .spec
            .timeout
            .as_ref()
            .map(Duration::as_str)
            .unwrap_or_default();
        let message = format!("not open after {timeout}: {}", message(barrier, seen));
        return end(BarrierPhase::Failed, reason::TIMED_OUT, message);
    }
    None
}

/// How many parties ended in which way.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    succeeded: u32,
    failed: u32,
    skipped: u32,
    /// Cancelled, or never reached.
    lost: u32,
}

impl Counts {
    fn of(ends: &[End]) -> Self {
        let mut counts = Self::default();
        for end in ends {
            match end {
                End::Succeeded => counts.succeeded += 1,
                End::Failed => counts.failed += 1,
                End::Skipped => counts.skipped += 1,
                End::Unreached | End::Cancelled => counts.lost += 1,
            }
        }
        counts
    }

    fn total(self) -> u32 {
        self.succeeded + self.failed + self.skipped + self.lost
    }
}

type Spec = konductor_api::BarrierSpec;

/// Parties that arrive by themselves: open with a quorum, out when it can't be reached any more.
fn arrivals_end(spec: &Spec, counts: Counts) -> Option<End> {
    let quorum = spec.quorum.unwrap_or(spec.expected);
    let out = counts.failed + counts.skipped + counts.lost;
    if counts.succeeded >= quorum {
        Some(End::Succeeded)
    } else if spec.expected.saturating_sub(out) >= quorum {
        None
    } else if out == counts.skipped {
        Some(End::Skipped)
    } else {
        Some(End::Failed)
    }
}

/// The items of a fan-out, by its rule: an item failed, else one was unreached, else one
/// succeeded, else all were skipped. Decided as soon as no open item can change it.
fn jobs_end(spec: &Spec, counts: Counts, parties: usize) -> Option<End> {
    if parties != spec.expected as usize {
        return None;
    }
    let open = spec.expected.saturating_sub(counts.total());
    match spec.quorum {
        Some(quorum) if counts.succeeded >= quorum => return Some(End::Succeeded),
        Some(quorum) if counts.succeeded + open >= quorum => return None,
        _ => {}
    }
    if counts.failed > 0 {
        Some(End::Failed)
    } else if open > 0 {
        None
    } else if counts.lost > 0 {
        Some(End::Unreached)
    } else if counts.succeeded > 0 && spec.quorum.is_none() {
        Some(End::Succeeded)
    } else {
        Some(End::Skipped)
    }
}

fn times_out(barrier: &Barrier, seen: &Seen) -> Option<Timestamp> {
    let timeout = barrier.spec.timeout.as_ref()?.parse().ok()?;
    let start = match &seen.gate {
        GateSeen::None => barrier.metadata.creation_timestamp.as_ref()?,
        GateSeen::Open(time) => time.as_ref()?,
        GateSeen::Missing | GateSeen::Waiting | GateSeen::Ended(..) => return None,
    };
    deadline::passes(start, timeout)
}

fn message(barrier: &Barrier, seen: &Seen) -> String {
    let counts = Counts::of(&seen.ends);
    let gate = barrier.spec.gate.as_deref().unwrap_or_default();
    match seen.gate {
        GateSeen::Missing => {
            let instead = words::apply_again(&barrier.metadata, gate);
            return format!("gate/{gate} does not exist{instead}");
        }
        GateSeen::Waiting => return format!("counts from the opening of gate/{gate}"),
        GateSeen::None | GateSeen::Open(_) | GateSeen::Ended(..) => {}
    }
    let spec = &barrier.spec;
    if spec.jobs.is_some() && seen.parties != spec.expected as usize {
        return format!(
            "waits for exactly {} Jobs: {} exist",
            spec.expected, seen.parties
        );
    }
    let quorum = spec
        .quorum
        .map(|quorum| format!(", {quorum} needed"))
        .unwrap_or_default();
    let mut message = format!("{} of {} arrived{quorum}", counts.succeeded, spec.expected);
    for (count, word) in [
        (counts.failed, "failed"),
        (counts.lost, "cancelled or unreached"),
        (counts.skipped, "skipped"),
    ] {
        if count > 0 {
            message.push_str(&format!(", {count} {word}"));
        }
    }
    message
}

fn status(
    barrier: &Barrier,
    seen: &Seen,
    ending: Option<&Ending>,
    now: Timestamp,
) -> BarrierStatus {
    let generation = barrier.metadata.generation;
    let counts = match seen.gate {
        // Nothing counts before its Gate has opened.
        GateSeen::Missing | GateSeen::Waiting | GateSeen::Ended(..) => Counts::default(),
        GateSeen::None | GateSeen::Open(_) => Counts::of(&seen.ends),
    };
    let phase = ending.map_or(BarrierPhase::Waiting, |ending| ending.phase);
    let (reason, message) = match ending {
        Some(ending) => (ending.reason, ending.message.clone()),
        None => (reason::WAITING, message(barrier, seen)),
    };
    let status = barrier.status.clone();
    let mut conditions = status.map(|status| status.conditions).unwrap_or_default();
    let open = phase == BarrierPhase::Open;
    let failed = matches!(phase, BarrierPhase::Failed | BarrierPhase::Unreached);
    for (type_, holds) in [(condition::OPEN, open), (condition::FAILED, failed)] {
        condition::set(
            &mut conditions,
            type_,
            Some(holds),
            reason,
            &message,
            generation,
            now,
        );
    }
    let time = Time(condition::whole_second(now));
    BarrierStatus {
        phase,
        arrived: counts.succeeded,
        failed: counts.failed + counts.lost,
        skipped: counts.skipped,
        started_at: match &seen.gate {
            GateSeen::Open(time) => time.clone(),
            _ => None,
        },
        opened_at: open.then(|| time.clone()),
        finished_at: ending.map(|_| time),
        observed_generation: generation,
        conditions,
    }
}

fn expire(barrier: &Barrier, facts: &Facts, now: Timestamp) -> Decided<BarrierStatus> {
    let finished = Finished {
        kind: Kind::Barrier,
        metadata: &barrier.metadata,
        at: barrier
            .status
            .as_ref()
            .and_then(|status| status.finished_at.as_ref()),
        ttl: barrier.spec.ttl_after_finished.as_ref(),
    };
    ttl::expire(finished, facts, now)
}
