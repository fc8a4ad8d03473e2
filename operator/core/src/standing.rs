//! Where a Job of a Run stands, since when and why: what people look at.
//!
//! What enters: a Job, and the [`RunObjects`] around it. What leaves: one [`Standing`]. It waits for what the
//! decision about it waits for. What must never happen here: a second opinion about when a Job starts.

mod items;
mod since;

use jiff::Timestamp;
use konductor_api::condition::{self, AVAILABLE, Condition, OPEN};
use konductor_api::{Barrier, Gate, Hold, Holder, JobPhase, LedgerKind, Participant, job_ended};
use serde::Serialize;

use crate::job::waits_for;
use crate::outcome::{End, barrier_end, gate_end, job_end};
use crate::run_objects::RunObjects;
use crate::words::{apply_again, shared_run};
use crate::{Waits, explain};

pub use items::ItemStanding;

/// Where a Job stands. What is first says most about a stage of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It failed.
    Failed,
    /// It was started.
    Running,
    /// It was started, and no pod of it runs.
    Pending,
    /// Somebody suspended it after its start.
    Suspended,
    /// Its Run is paused.
    Paused,
    /// It waits for what it is to hold.
    Queued,
    /// It waits for its Gate.
    Waiting,
    /// It was ended from outside.
    Cancelled,
    /// It was never started, because something before it ended badly.
    Unreached,
    /// It had nothing to do.
    Skipped,
    /// It did what it had to.
    Succeeded,
}

impl State {
    /// Returns where a Job stands, by what it says itself.
    pub fn of(job: &Participant) -> Self {
        match job_end(job) {
            Some(end) => return end.into(),
            // The operator still reads its outputs, which may be wrong.
            None if job.is_over() => return Self::Running,
            None => {}
        }
        let suspended = job.is_suspended();
        match job.phase {
            Some(JobPhase::Paused) => Self::Paused,
            Some(JobPhase::Running) if suspended => Self::Suspended,
            Some(JobPhase::Queued) => Self::Queued,
            _ if !suspended => Self::Running,
            _ if job.gate().is_some() => Self::Waiting,
            _ if job.asks_for_something() || job.queue().is_some() => Self::Queued,
            _ if job.is_coordinated() => Self::Waiting,
            _ => Self::Suspended,
        }
    }

    /// Returns where a Barrier stands.
    pub fn of_barrier(barrier: &Barrier) -> Self {
        barrier_end(barrier).map_or(Self::Waiting, Self::from)
    }

    /// Returns where a Gate stands.
    pub fn of_gate(gate: &Gate) -> Self {
        gate_end(gate).map_or(Self::Waiting, Self::from)
    }

    /// Returns where a stage stands whose Jobs stand so: while some are open, what says most; afterwards its end by the
    /// table of outcomes.
    pub fn of_stage(jobs: impl IntoIterator<Item = Self>, quorum: Option<u32>) -> Self {
        let jobs: Vec<Self> = jobs.into_iter().collect();
        let open = jobs.iter().filter(|state| !state.has_ended()).min();
        let failed = jobs.contains(&Self::Failed);
        match open {
            // With a quorum, one failure decides nothing.
            Some(open) if quorum.is_some() || !failed => *open,
            Some(_) => Self::Failed,
            None => Self::end_of_stage(&jobs, quorum),
        }
    }

    fn end_of_stage(jobs: &[Self], quorum: Option<u32>) -> Self {
        let succeeded = jobs
            .iter()
            .filter(|state| **state == Self::Succeeded)
            .count();
        let enough = |quorum: u32| usize::try_from(quorum).is_ok_and(|quorum| succeeded >= quorum);
        if quorum.is_some_and(enough) {
            return Self::Succeeded;
        }
        let bad = [Self::Failed, Self::Cancelled, Self::Unreached];
        match bad.into_iter().find(|state| jobs.contains(state)) {
            Some(bad) => bad,
            None if jobs.is_empty() => Self::Waiting,
            None if succeeded > 0 && quorum.is_none() => Self::Succeeded,
            None => Self::Skipped,
        }
    }

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Cancelled => "cancelled",
            Self::Unreached => "unreached",
            Self::Skipped => "skipped",
            Self::Succeeded => "succeeded",
        }
    }

    /// Returns a mark that is readable without colour.
    pub fn mark(self) -> char {
        match self {
            Self::Failed => '✗',
            Self::Running => '●',
            Self::Pending => '◌',
            Self::Suspended | Self::Paused => '‖',
            Self::Queued => '◔',
            Self::Waiting => '○',
            Self::Cancelled | Self::Unreached => '⊘',
            Self::Skipped => '−',
            Self::Succeeded => '✓',
        }
    }

    /// Returns whether nothing follows.
    pub fn has_ended(self) -> bool {
        !matches!(
            self,
            Self::Running
                | Self::Pending
                | Self::Suspended
                | Self::Paused
                | Self::Queued
                | Self::Waiting
        )
    }
}

impl From<End> for State {
    fn from(end: End) -> Self {
        match end {
            End::Succeeded => Self::Succeeded,
            End::Failed => Self::Failed,
            End::Skipped => Self::Skipped,
            End::Unreached => Self::Unreached,
            End::Cancelled => Self::Cancelled,
        }
    }
}

/// Where a Job stands, by all that is known around it.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// When its pods were started first. What was never started, or was stopped, has no time that says how long it
    /// took.
    pub started: Option<Timestamp>,
    /// Since when it is in its state; `None` if nobody has stored that.
    pub since: Option<Timestamp>,
    /// What it waits for, or why it ended as it did; may be empty.
    pub why: String,
    /// What keeps it from its next step.
    pub waits: Option<Waits>,
    /// Who has what a queued Job waits for.
    pub holders: Vec<Holder>,
}

impl Standing {
    /// Returns where a Job stands among these objects.
    pub fn of(job: &Participant, objects: &RunObjects, now: Timestamp) -> Self {
        let mut state = State::of(job);
        let waits = match state {
            State::Waiting | State::Queued => waits_for(job, |fact| objects.answer(fact), now),
            State::Suspended if job.may_start() => waits_for(job, |fact| objects.answer(fact), now),
            _ => None,
        };
        let pods = objects.pods_of(job);
        let reads_outputs = job.is_over();
        let pending = match state {
            State::Running if reads_outputs => None,
            State::Running | State::Suspended => pending(job, state, objects),
            // It has all that it asks for, and Kueue starts it.
            State::Queued if matches!(waits, Some(Waits::Admission(_)) | None) => {
                pending(job, state, objects)
            }
            _ => None,
        };
        if pending.is_some() {
            state = State::Pending;
        }
        let restarting = match state {
            State::Running => explain::restarting(job, &pods),
            _ => None,
        };
        // What the cluster says now goes before what the operator wrote with the start.
        let is_explained = pending.as_ref().is_some_and(|why| !why.is_empty());
        let reason = job.reason().map(str::to_owned);
        let reason = reason.filter(|_| !is_explained && restarting.is_none());
        // What is missing is said in one way, from the first second on.
        let is_missing = |waits: &Waits| waits_for_missing(waits, objects);
        let reason = reason.filter(|_| !waits.as_ref().is_some_and(is_missing));
        let why = match state {
            State::Waiting | State::Queued => Some(message(job, waits.as_ref(), objects)),
            State::Failed => explain::failure(job, &pods),
            State::Running if reads_outputs => Some(match job_ended(job) {
                Some(true) => "complete; its outputs are being read".to_owned(),
                Some(false) | None => "its outputs are being read".to_owned(),
            }),
            State::Running => restarting.or_else(|| explain::retry(job)),
            State::Pending => pending
                .filter(|why| !why.is_empty())
                .or_else(|| explain::retry(job)),
            State::Suspended if job.may_start() => Some(message(job, waits.as_ref(), objects)),
            State::Suspended => Some("somebody suspended it while it ran".to_owned()),
            _ => None,
        };
        Self {
            state,
            started: started(job, state),
            since: since::since(job, state, objects),
            why: without_word(reason.or(why).unwrap_or_default(), state),
            holders: match &waits {
                Some(Waits::Hold(hold)) => holders(hold, objects),
                _ => Vec::new(),
            },
            waits,
        }
    }
}

/// Returns whether what a Job waits for is a Gate or a ledger that is not among these objects.
pub fn waits_for_missing(waits: &Waits, objects: &RunObjects) -> bool {
    match waits {
        Waits::Gate(gate) => objects.gate(gate).is_none(),
        Waits::Hold(hold) => ledger(hold, objects).is_none(),
        _ => false,
    }
}

/// The state's own word in front of a reason says nothing: `Cancelled: its run was cancelled` of what is cancelled.
fn without_word(why: String, state: State) -> String {
    match why.split_once(": ") {
        Some((word, rest)) if word.eq_ignore_ascii_case(state.word()) => rest.to_owned(),
        _ => why,
    }
}

/// Why no pod of a Job runs, in words that are empty where nobody says why; `None` where one runs, or where the Job
/// is suspended by somebody and not in a queue of Kueue.
fn pending(job: &Participant, state: State, objects: &RunObjects) -> Option<String> {
    let pods = objects.pods_of(job);
    let events = objects.events_about(job, &pods);
    let why = explain::pending(job, &pods, &events, &objects.workloads_of(job));
    let runs = match pods.is_empty() {
        // The pods may not be readable, but the Job counts those that are ready.
        true => job.status.as_ref().and_then(|status| status.ready) > Some(0),
        false => explain::open(&pods)
            .iter()
            .any(|pod| !explain::is_pending(&[pod])),
    };
    match why {
        None if state == State::Running && !runs => Some(String::new()),
        why => why,
    }
}

fn started(job: &Participant, state: State) -> Option<Timestamp> {
    let at_work = matches!(
        state,
        State::Running | State::Pending | State::Succeeded | State::Failed
    );
    let time = job.status.as_ref()?.start_time.as_ref()?;
    at_work.then_some(time.0)
}

/// What a Job waits for, in words.
fn message(job: &Participant, waits: Option<&Waits>, objects: &RunObjects) -> String {
    match waits {
        None => "about to start".to_owned(),
        Some(Waits::Gate(gate)) => gate_message(job, gate, objects),
        Some(Waits::Hold(hold)) => hold_message(job, hold, objects),
        Some(Waits::Run(why)) => why.to_string(),
        Some(Waits::Release(hold)) => format!("waits for {}/{} to forget it", hold.kind, hold.name),
        Some(Waits::Correction(mistake)) => mistake.clone(),
        Some(Waits::Barrier(barrier)) => format!("barrier/{barrier} does not exist"),
        Some(Waits::Admission(queue)) => format!("waits in Kueue's queue {queue}"),
        Some(Waits::Suspended) => {
            "somebody suspended it, and it asks for nothing that would start it".to_owned()
        }
        Some(Waits::Deletion) => "it is being deleted".to_owned(),
        Some(Waits::Outputs) => "its outputs are being read".to_owned(),
    }
}

/// Returns what a Job behind a Gate waits for, in words.
pub fn gate_message(job: &Participant, name: &str, objects: &RunObjects) -> String {
    let Some(gate) = objects.gate(name) else {
        let instead = apply_again(&job.metadata, name);
        return format!("waits for gate/{name}, which does not exist{instead}");
    };
    let status = gate.status.as_ref();
    let open = status.and_then(|status| condition::find(&status.conditions, OPEN));
    match open {
        Some(open) => open.message.clone(),
        // Nobody wrote the Gate of a stage.
        None if shared_run(&job.metadata, &gate.metadata).is_some() => {
            "waits for the operator to look at its dependencies".to_owned()
        }
        None => format!("waits for gate/{name}"),
    }
}

/// Returns what a queued Job waits for, in words.
pub fn hold_message(job: &Participant, hold: &Hold, objects: &RunObjects) -> String {
    let word = format!("{}/{}", hold.kind, hold.name);
    match ledger(hold, objects) {
        None => {
            let instead = apply_again(&job.metadata, &hold.name);
            format!("waits for {word}, which does not exist{instead}")
        }
        Some((_, conditions)) => match condition::find(conditions, AVAILABLE) {
            Some(available) => format!("waits for {word}: {}", available.message),
            None => format!("waits for {word}"),
        },
    }
}

fn holders(hold: &Hold, objects: &RunObjects) -> Vec<Holder> {
    ledger(hold, objects).map_or_else(Vec::new, |(holders, _)| holders.to_vec())
}

/// The holders and the conditions of what a hold names.
fn ledger<'a>(hold: &Hold, objects: &'a RunObjects) -> Option<(&'a [Holder], &'a [Condition])> {
    Some(match hold.kind {
        LedgerKind::Semaphore => match &objects.semaphore(&hold.name)?.status {
            Some(status) => (&status.holders, &status.conditions),
            None => (&[], &[]),
        },
        LedgerKind::Lease => match &objects.lease(&hold.name)?.status {
            Some(status) => (&status.holders, &status.conditions),
            None => (&[], &[]),
        },
    })
}
