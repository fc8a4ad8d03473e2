//! A slot is one time of a schedule.
//!
//! A slot's run has a name of its own, `<pipeline>-<slot>`. The API server takes that name once, so a
//! slot is run once, however often and by however many it is tried. What is decided here: what happens
//! if another run of the pipeline has not ended yet.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use konductor_api::{Run, RunPhase, annotation};

use crate::outcome::run_end;

/// A run that still lacks Jobs after this long is not being created any more: a schedule's pod, which
/// creates it, has an hour.
const CREATED_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// What a schedule wants if a run of the pipeline has not ended when the next is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// They run beside each other.
    Allow,
    /// The slot is left out.
    Skip,
    /// The run is cancelled, and the slot's starts when it has ended.
    Replace,
}

/// A slot that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The name of the slot's own run.
    pub run: &'a str,
    /// The slot's time.
    pub time: Timestamp,
    /// What the schedule wants.
    pub overlap: Overlap,
}

/// What becomes of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotDecision {
    /// Its run is created; or what is missing of it, where that was cut short.
    Start,
    /// Its run has ended, or is being ended: it is not run again.
    Done(RunPhase),
    /// It is left out, because this run has not ended.
    Skip(String),
    /// It is left out, because this run of a later slot has not ended.
    Superseded(String),
    /// These runs are cancelled. When they have ended, it is decided again.
    Replace(Vec<String>),
    /// How many Jobs this run has must be counted first, live.
    Count(String),
    /// This run lacks Jobs that nobody creates any more: it never ends by itself.
    Blocked {
        /// Which.
        run: String,
        /// How many Jobs it has.
        jobs: u32,
        /// How many it declares.
        declared: u32,
    },
}

/// Decides about a slot, given the runs of its pipeline, and how many Jobs those have that were counted.
///
/// # Guarantees
/// A run that has ended is never started again. With [`Overlap::Skip`] and [`Overlap::Replace`] a new
/// run is started only if all others have ended, and a run is never cancelled for an earlier slot.
///
/// # Assumptions
/// `runs` was read live, and no other slot of the schedule is being decided meanwhile: so its CronJob
/// has the policy `Forbid`.
pub fn decide(
    slot: &Slot<'_>,
    runs: &[Run],
    jobs: &BTreeMap<String, u32>,
    now: Timestamp,
) -> SlotDecision {
    let name = |run: &Run| run.metadata.name.clone().unwrap_or_default();
    if let Some(own) = runs.iter().find(|run| name(run) == slot.run) {
        let phase = own.status.as_ref().map(|status| status.phase);
        return match run_end(own) {
            Some(_) => SlotDecision::Done(phase.unwrap_or_default()),
            None if own.spec.cancel => SlotDecision::Done(phase.unwrap_or_default()),
            // What was decided when it was created holds.
            None => SlotDecision::Start,
        };
    }
    let others = runs.iter().filter(|run| run.spec.pipeline == slot.pipeline);
    let mut unended: Vec<&Run> = others.filter(|run| run_end(run).is_none()).collect();
    unended.sort_by_key(|run| name(run));
    let Some(first) = unended.first().filter(|_| slot.overlap != Overlap::Allow) else {
        return SlotDecision::Start;
    };
    if let Some(later) = unended.iter().find(|run| is_later(run, slot.time)) {
        return SlotDecision::Superseded(name(later));
    }
    // Its status may be as old as the operator's absence.
    for run in unended.iter().filter(|run| is_created(run, now)) {
        let (run, declared) = (name(run), run.spec.jobs + run.spec.finally_jobs);
        match jobs.get(&run) {
            None => return SlotDecision::Count(run),
            Some(jobs) if *jobs < declared => {
                let jobs = *jobs;
                return SlotDecision::Blocked {
                    run,
                    jobs,
                    declared,
                };
            }
            Some(_) => {}
        }
    }
    match slot.overlap {
        Overlap::Replace => SlotDecision::Replace(unended.iter().map(|run| name(run)).collect()),
        _ => SlotDecision::Skip(name(first)),
    }
}

fn is_later(run: &Run, time: Timestamp) -> bool {
    let annotations = run.metadata.annotations.as_ref();
    let slot = annotations.and_then(|all| all.get(annotation::SLOT));
    let slot = slot.and_then(|slot| slot.parse::<Timestamp>().ok());
    slot.is_some_and(|slot| slot > time)
}

/// Whether nobody creates the rest of a run any more.
fn is_created(run: &Run, now: Timestamp) -> bool {
    let created = run.metadata.creation_timestamp.as_ref();
    created.is_some_and(|created| now.duration_since(created.0) > CREATED_WITHIN)
}
