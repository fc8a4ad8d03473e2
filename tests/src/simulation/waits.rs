//! Nothing waits in vain, once nobody does anything any more.
//!
//! What enters: a world at its end. What leaves: the first object that waits although it has what it waits for. What
//! waits for something that is gone, or that waits itself, is right, if it says so.

use std::collections::BTreeMap;

use konductor_api::{
    Arrival, Barrier, Claim, ClaimPhase, ConditionKind, Gate, Hold, Holder, Lease, LedgerKind,
    Participant, Run, Semaphore, annotation, label,
};
use konductor_core::{End, barrier_end, gate_end, job_end, run_end};
use kube::ResourceExt;

use super::World;

/// The state of a ledger.
struct Ledger {
    permits: u32,
    holders: Vec<Holder>,
}

/// All objects by their names.
struct Everything {
    jobs: BTreeMap<String, Participant>,
    gates: BTreeMap<String, Gate>,
    barriers: BTreeMap<String, Barrier>,
    runs: BTreeMap<String, Run>,
    claims: Vec<Claim>,
    arrivals: Vec<Arrival>,
    ledgers: BTreeMap<(LedgerKind, String), Ledger>,
}

/// Fails if something waits in vain.
///
/// # Errors
/// What waits, and for what.
pub(super) async fn for_something(world: &World) -> Result<(), String> {
    fn by_name<K: ResourceExt>(objects: Vec<K>) -> BTreeMap<String, K> {
        let named = objects
            .into_iter()
            .map(|object| (object.name_any(), object));
        named.collect()
    }
    let mut ledgers = BTreeMap::new();
    for semaphore in world.list::<Semaphore>().await {
        let ledger = Ledger {
            permits: semaphore.spec.permits,
            holders: semaphore.status.clone().unwrap_or_default().holders,
        };
        ledgers.insert((LedgerKind::Semaphore, semaphore.name_any()), ledger);
    }
    for lease in world.list::<Lease>().await {
        let ledger = Ledger {
            permits: 1,
            holders: lease.status.clone().unwrap_or_default().holders,
        };
        ledgers.insert((LedgerKind::Lease, lease.name_any()), ledger);
    }
    let all = Everything {
        jobs: by_name(world.list().await),
        gates: by_name(world.list().await),
        barriers: by_name(world.list().await),
        runs: by_name(world.list().await),
        claims: world.list().await,
        arrivals: world.list().await,
        ledgers,
    };
    all.jobs.values().try_for_each(|job| all.job(job))?;
    all.gates.values().try_for_each(|gate| all.gate(gate))?;
    let mut barriers = all.barriers.values();
    barriers.try_for_each(|barrier| all.barrier(barrier))?;
    all.claims.iter().try_for_each(|claim| all.claim(claim))
}

impl Everything {
    /// How the target of a condition ended; `None` if it has not, or is gone.
    fn end(&self, kind: ConditionKind, name: &str) -> Option<End> {
        match kind {
            ConditionKind::Job => job_end(self.jobs.get(name)?),
            ConditionKind::Gate => gate_end(self.gates.get(name)?),
            ConditionKind::Barrier => barrier_end(self.barriers.get(name)?),
            ConditionKind::Run => run_end(self.runs.get(name)?),
        }
    }

    fn job(&self, job: &Participant) -> Result<(), String> {
        let name = job.name_any();
        if job_end(job).is_some() {
            return Ok(());
        }
        let run = job.labels().get(label::RUN);
        let in_vain = |why: &str| Err(format!("job/{name} waits in vain: {why}"));
        if let Some(end) = run.and_then(|run| self.end(ConditionKind::Run, run)) {
            return in_vain(&format!("its run ended: {end:?}"));
        }
        if !job.is_suspended() {
            return in_vain("it was started and has not ended");
        }
        if run.is_none() && !job.annotations().contains_key(annotation::REASON) {
            return in_vain("it does not say what for");
        }
        if let Some(gate) = job.gate() {
            match self.end(ConditionKind::Gate, gate) {
                None => return Ok(()),
                Some(End::Succeeded) => {}
                Some(end) => return in_vain(&format!("gate/{gate} ended: {end:?}")),
            }
        }
        let holds = match &job.asked {
            None => &[][..],
            Some(Ok(holds)) => holds,
            Some(Err(error)) => return in_vain(&error.to_string()),
        };
        let uid = job.uid();
        match holds.iter().find(|hold| !self.has(hold, uid)) {
            Some(hold) if self.is_free(hold) => {
                in_vain(&format!("{}/{} is free", hold.kind, hold.name))
            }
            Some(_) => Ok(()),
            None => in_vain("nothing keeps it"),
        }
    }

    fn has(&self, hold: &Hold, uid: &str) -> bool {
        let ledger = self.ledgers.get(&(hold.kind, hold.name.clone()));
        ledger.is_some_and(|ledger| ledger.holders.iter().any(|held| held.uid == uid))
    }

    /// Whether a ledger has what is asked for. One that is gone has nothing.
    fn is_free(&self, hold: &Hold) -> bool {
        let ledger = self.ledgers.get(&(hold.kind, hold.name.clone()));
        ledger.is_some_and(|ledger| {
            let held: u32 = ledger.holders.iter().map(|held| held.permits).sum();
            held + hold.permits <= ledger.permits
        })
    }

    fn gate(&self, gate: &Gate) -> Result<(), String> {
        let conditions = &gate.spec.conditions;
        let is_open = |condition: &konductor_api::GateCondition| {
            let name = condition.name.as_deref().unwrap_or_default();
            self.end(condition.kind, name).is_none()
        };
        let latched = gate
            .status
            .iter()
            .flat_map(|status| &status.condition_statuses);
        let pending = latched.filter(|status| status.verdict == konductor_api::Verdict::Pending);
        let by_hand = conditions.is_empty();
        match gate_end(gate) {
            None if !by_hand && pending.count() > 0 && !conditions.iter().any(is_open) => {
                // Its Run decides what it means that one of its Jobs is gone.
                Err(format!(
                    "gate/{} waits in vain: all has ended",
                    gate.name_any()
                ))
            }
            _ => Ok(()),
        }
    }

    fn barrier(&self, barrier: &Barrier) -> Result<(), String> {
        let name = barrier.name_any();
        if barrier_end(barrier).is_some() {
            return Ok(());
        }
        let parties = match &barrier.spec.jobs {
            Some(selector) => {
                let is_party = |job: &&Participant| {
                    let mut labels = selector.match_labels.iter();
                    labels.all(|(key, value)| job.labels().get(key) == Some(&value.0))
                };
                let ended = self.jobs.values().filter(is_party);
                ended.filter(|job| job_end(job).is_some()).count()
            }
            None => {
                let arrived = self.arrivals.iter();
                arrived
                    .filter(|arrival| arrival.spec.barrier == name)
                    .count()
            }
        };
        match parties >= barrier.spec.expected as usize {
            true => Err(format!("barrier/{name} waits in vain: all have arrived")),
            false => Ok(()),
        }
    }

    fn claim(&self, claim: &Claim) -> Result<(), String> {
        let phase = claim.status.as_ref().map(|status| status.phase);
        let hold = Hold {
            kind: claim.spec.target.kind,
            name: claim.spec.target.name.clone(),
            permits: claim.spec.permits,
        };
        let waits = matches!(phase, None | Some(ClaimPhase::Queued));
        match waits && self.is_free(&hold) {
            true => Err(format!(
                "claim/{} waits in vain: {}/{} is free",
                claim.name_any(),
                hold.kind,
                hold.name
            )),
            false => Ok(()),
        }
    }
}
