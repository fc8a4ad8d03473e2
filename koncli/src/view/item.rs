//! Where one Job of a stage stands, since when, and why.

use jiff::Timestamp;
use konductor_api::condition::{AVAILABLE, Condition, OPEN};
use konductor_api::{Hold, Holder, HolderKind, JobPhase, LedgerKind, Participant, job_ended};
use konductor_operator::{End, Waits, explain, job_end};

use super::{Around, Item, State, message};

/// How a Job is named among the items of its stage: `extract[eu]`.
pub(crate) fn title(job: &Participant) -> String {
    let stage = job.stage();
    match job.item() {
        Some(item) => format!("{stage}[{item}]"),
        None => stage.to_owned(),
    }
}

/// Where a Job stands, by what it says itself.
pub(crate) fn state(job: &Participant) -> State {
    match job_end(job) {
        Some(End::Succeeded) => return State::Succeeded,
        Some(End::Failed) => return State::Failed,
        Some(End::Skipped) => return State::Skipped,
        Some(End::Unreached) => return State::Unreached,
        Some(End::Cancelled) => return State::Cancelled,
        // The operator still reads its outputs, which may be wrong.
        None if job_ended(job).is_some() => return State::Running,
        None => {}
    }
    let suspended = job.is_suspended();
    match job.phase {
        Some(JobPhase::Paused) => State::Paused,
        Some(JobPhase::Running) if suspended => State::Suspended,
        Some(JobPhase::Queued) => State::Queued,
        _ if !suspended => State::Running,
        _ if job.gate().is_none() => State::Queued,
        _ => State::Waiting,
    }
}

/// Where a Job stands, by all that is known around it.
pub(crate) fn item(job: &Participant, around: &Around) -> Item {
    let mut state = state(job);
    let waits = match state {
        State::Waiting | State::Queued => around.waits_for(job),
        _ => None,
    };
    let pods = around.pods_of(job);
    let reads_outputs = job_ended(job).is_some();
    let pending = match state {
        State::Running if reads_outputs => None,
        State::Running | State::Suspended => around.pending(job, state),
        // It has all that it asks for, and Kueue starts it.
        State::Queued if waits.is_none() => around.pending(job, state),
        _ => None,
    };
    if pending.is_some() {
        state = State::Pending;
    }
    let restarting = match state {
        State::Running => explain::restarting(job, &pods),
        _ => None,
    };
    let reason = job.reason().map(str::to_owned);
    let why = match state {
        State::Waiting | State::Queued => Some(message_of(waits.as_ref(), around)),
        State::Failed => explain::failure(job, &pods),
        State::Running if reads_outputs => Some("complete; its outputs are being read".to_owned()),
        State::Running => restarting.clone(),
        State::Pending => pending.clone(),
        State::Suspended => Some("somebody suspended it while it ran".to_owned()),
        _ => None,
    };
    // What the cluster says now goes before what the operator wrote with the start.
    let said = pending.as_ref().filter(|why| !why.is_empty());
    let reason = reason.filter(|_| said.is_none() && restarting.is_none());
    Item {
        job: job.metadata.name.clone().unwrap_or_default(),
        item: job.item().map(str::to_owned),
        state,
        started: started(job, state),
        since: since(job, state),
        why: reason.or(why).unwrap_or_default(),
        holders: match &waits {
            Some(Waits::Hold(hold)) => in_the_way(hold, around).iter().map(holder).collect(),
            _ => Vec::new(),
        },
        waits,
    }
}

fn holder(held: &Holder) -> String {
    match held.kind {
        HolderKind::Job => format!("job/{}", held.name),
        HolderKind::Claim => format!("claim/{}", held.name),
    }
}

/// When a Job was started. What was never started, or was stopped, has no time that says how long it took.
fn started(job: &Participant, state: State) -> Option<Timestamp> {
    let at_work = matches!(
        state,
        State::Running | State::Pending | State::Succeeded | State::Failed
    );
    let time = job.status.as_ref()?.start_time.as_ref()?;
    at_work.then_some(time.0)
}

fn since(job: &Participant, state: State) -> Option<Timestamp> {
    let status = job.status.as_ref();
    let created = job.metadata.creation_timestamp.as_ref();
    let time = match state {
        State::Succeeded => status.and_then(|status| status.completion_time.as_ref()),
        // One whose outputs are wrong is complete, and one whose pods could not start is suspended.
        State::Failed => ["Failed", "Complete", "Suspended"]
            .into_iter()
            .find_map(|type_| {
                let conditions = status?.conditions.as_ref()?;
                let found = conditions.iter().find(|one| one.type_ == type_)?;
                found.last_transition_time.as_ref()
            }),
        State::Running | State::Pending => status.and_then(|status| status.start_time.as_ref()),
        _ => created,
    };
    time.map(|time| time.0)
}

/// What a Job waits for, in words.
fn message_of(waits: Option<&Waits>, around: &Around) -> String {
    match waits {
        None => "about to start".to_owned(),
        Some(Waits::Gate(gate)) => gate_message(gate, around),
        Some(Waits::Hold(hold)) => hold_message(hold, around),
        Some(Waits::Run(why)) => why.to_string(),
        Some(Waits::Release(hold)) => format!("waits for {}/{} to forget it", hold.kind, hold.name),
        Some(Waits::Correction(mistake)) => mistake.clone(),
        Some(Waits::Barrier(barrier)) => format!("barrier/{barrier} does not exist"),
        Some(Waits::Outputs) => "its outputs are being read".to_owned(),
    }
}

fn gate_message(name: &str, around: &Around) -> String {
    let Some(gate) = around.gates.get(name) else {
        return format!("waits for gate/{name}, which does not exist");
    };
    let status = gate.status.as_ref();
    let message = status.and_then(|status| message(&status.conditions, OPEN));
    message.unwrap_or_else(|| format!("waits for gate/{name}"))
}

/// What a queued Job waits for.
pub(crate) fn hold_message(hold: &Hold, around: &Around) -> String {
    let word = format!("{}/{}", hold.kind, hold.name);
    match holders(hold, around) {
        None => format!("waits for {word}, which does not exist"),
        Some((_, conditions)) => match message(conditions, AVAILABLE) {
            Some(message) => format!("waits for {word}: {message}"),
            None => format!("waits for {word}"),
        },
    }
}

/// Those that have what a queued Job waits for.
pub(crate) fn in_the_way(hold: &Hold, around: &Around) -> Vec<Holder> {
    holders(hold, around).map_or_else(Vec::new, |(holders, _)| holders.to_vec())
}

fn holders<'a>(hold: &Hold, around: &'a Around) -> Option<(&'a [Holder], &'a [Condition])> {
    match hold.kind {
        LedgerKind::Semaphore => {
            let found = around.semaphores.get(&hold.name)?;
            let status = found.status.as_ref();
            Some(status.map_or((&[][..], &[][..]), |s| (&s.holders[..], &s.conditions[..])))
        }
        LedgerKind::Lease => {
            let found = around.leases.get(&hold.name)?;
            let status = found.status.as_ref();
            Some(status.map_or((&[][..], &[][..]), |s| (&s.holders[..], &s.conditions[..])))
        }
    }
}
