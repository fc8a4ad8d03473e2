//! Semaphores, leases, barriers and gates as the pages show them. It reads no cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::OPEN;
use konductor_api::{
    Arrivals, Barrier, Claim, ClaimPhase, Gate, Hold, Holder, HolderKind, JobPhase, Lease,
    LedgerKind, Order, Participant, Semaphore, Verdict, label,
};
use konductor_operator::Turn;
use konductor_operator::standing::State;
use konductor_web::Address;
use konductor_web::model::{self as web, Badge, Party, Primitives, Tone};
use kube::ResourceExt;

use super::rights::Rights;
use crate::view::{message, title};

/// What the page of primitives is made of.
#[derive(Default)]
pub(super) struct Objects {
    pub(super) semaphores: Vec<Arc<Semaphore>>,
    pub(super) leases: Vec<Arc<Lease>>,
    pub(super) barriers: Vec<Arc<Barrier>>,
    pub(super) gates: Vec<Arc<Gate>>,
    pub(super) claims: Vec<Arc<Claim>>,
    /// The metadata of Jobs; looked up only if something has no room left.
    pub(super) jobs: Vec<ObjectMeta>,
}

impl Objects {
    /// Whether somebody may be waiting in a queue.
    pub(super) fn may_have_waiters(&self) -> bool {
        let is_full = |semaphore: &Arc<Semaphore>| {
            let in_use = semaphore.status.as_ref().map_or(0, |status| status.in_use);
            // Somebody may ask for more than one.
            in_use > 0 || semaphore.spec.permits == 0
        };
        let is_held = |lease: &Arc<Lease>| {
            let status = lease.status.as_ref();
            status.is_some_and(|status| !status.holders.is_empty())
        };
        self.semaphores.iter().any(is_full) || self.leases.iter().any(is_held)
    }
}

/// Returns the page of primitives.
pub(super) fn page(objects: &Objects, rights: Rights) -> Primitives {
    let jobs = objects.jobs.iter().map(|metadata| {
        Participant::of(Job {
            metadata: metadata.clone(),
            ..Job::default()
        })
    });
    let jobs: Vec<Participant> = jobs.collect();
    let by_name: BTreeMap<&str, &Participant> = jobs.iter().map(|job| (job.name(), job)).collect();
    let queues = queues(&jobs, objects, &granted(objects));
    let queue = |kind, name: String| queues.get(&(kind, name)).cloned().unwrap_or_default();
    let semaphores = objects.semaphores.iter().map(|semaphore| {
        let status = semaphore.status.clone().unwrap_or_default();
        web::Semaphore {
            name: semaphore.name_any(),
            permits: semaphore.spec.permits,
            in_use: status.in_use,
            holders: status
                .holders
                .iter()
                .map(|held| holder(held, &by_name))
                .collect(),
            queue: queue(LedgerKind::Semaphore, semaphore.name_any()),
        }
    });
    let leases = objects.leases.iter().map(|lease| {
        let status = lease.status.clone().unwrap_or_default();
        let held = status.holders.first();
        web::Lease {
            name: lease.name_any(),
            ttl: lease.spec.ttl.to_string(),
            expires: held.and_then(|held| expiry(held, lease, &objects.claims)),
            holder: held.map(|held| holder(held, &by_name)),
            token: status.token,
            queue: queue(LedgerKind::Lease, lease.name_any()),
        }
    });
    let mut barriers: Vec<web::Barrier> = objects
        .barriers
        .iter()
        .map(|object| barrier(object, rights))
        .collect();
    barriers.sort_by_key(|barrier| barrier.state.has_ended());
    let mut gates: Vec<web::Gate> = objects.gates.iter().map(|object| gate(object)).collect();
    gates.sort_by_key(|gate| gate.state.has_ended());
    Primitives {
        semaphores: semaphores.collect(),
        leases: leases.collect(),
        barriers,
        gates,
    }
}

/// The holders of each ledger, by their uids.
fn granted(objects: &Objects) -> BTreeSet<(LedgerKind, String, String)> {
    let semaphores = objects.semaphores.iter().filter_map(|semaphore| {
        let holders = &semaphore.status.as_ref()?.holders;
        Some((LedgerKind::Semaphore, semaphore.name_any(), holders))
    });
    let leases = objects.leases.iter().filter_map(|lease| {
        let holders = &lease.status.as_ref()?.holders;
        Some((LedgerKind::Lease, lease.name_any(), holders))
    });
    let granted = semaphores.chain(leases).flat_map(|(kind, name, holders)| {
        let uids = holders.iter().map(|held| held.uid.clone());
        uids.map(move |uid| (kind, name.clone(), uid))
    });
    granted.collect()
}

/// The page of the stage of a Job.
fn link(job: &Participant) -> Option<String> {
    let run = job.run()?;
    Some(Address::stage(run, &title(job)).link())
}

fn holder(held: &Holder, jobs: &BTreeMap<&str, &Participant>) -> Party {
    let job = jobs
        .get(held.name.as_str())
        .filter(|_| held.kind == HolderKind::Job);
    Party {
        name: held.to_string(),
        holder: match held.holder == held.name {
            true => String::new(),
            false => held.holder.clone(),
        },
        link: job.and_then(|job| link(job)),
        permits: held.permits,
        since: held.since.as_ref().map(|since| since.0),
    }
}

/// When the grant of a Claim ends, unless it is renewed.
fn expiry(held: &Holder, lease: &Lease, claims: &[Arc<Claim>]) -> Option<Timestamp> {
    if held.kind != HolderKind::Claim {
        return None;
    }
    let claim = claims
        .iter()
        .find(|claim| claim.uid().as_ref() == Some(&held.uid))?;
    let granted = claim
        .status
        .as_ref()
        .and_then(|status| status.granted_at.as_ref());
    let renewed = claim.spec.renew_time.as_ref().map(|time| time.0);
    let from = renewed
        .into_iter()
        .chain(granted.map(|time| time.0))
        .max()?;
    let ceiling = lease.spec.ttl.parse().ok()?;
    let ttl = claim.spec.ttl.as_ref().and_then(|ttl| ttl.parse().ok());
    from.checked_add(ttl.map_or(ceiling, |ttl| ceiling.min(ttl)))
        .ok()
}

/// The waiters of each ledger, in the order of their turns.
fn queues(
    jobs: &[Participant],
    objects: &Objects,
    granted: &BTreeSet<(LedgerKind, String, String)>,
) -> BTreeMap<(LedgerKind, String), Vec<Party>> {
    let mut queues: BTreeMap<(LedgerKind, String), Vec<(Turn<'_>, Party)>> = BTreeMap::new();
    // As `Participant::asks_for_permits`, but for what only the spec and the status say: here are only metadata.
    let asks = |job: &&Participant| {
        let gate_passed = job.gate().is_none() || job.phase == Some(JobPhase::Queued);
        job.may_start() && gate_passed && job.metadata.deletion_timestamp.is_none()
    };
    for job in jobs.iter().filter(asks) {
        let has =
            |hold: &Hold| granted.contains(&(hold.kind, hold.name.clone(), job.uid().to_owned()));
        for hold in job.holds().iter().filter(|hold| !has(hold)) {
            let queue = queues.entry((hold.kind, hold.name.clone())).or_default();
            let party = Party {
                name: format!("job/{}", job.name()),
                holder: String::new(),
                link: link(job),
                permits: hold.permits,
                since: job.creation_timestamp().map(|time| time.0),
            };
            queue.push((Turn::of(&job.metadata, 0), party));
        }
    }
    let by_priority = objects.semaphores.iter();
    let by_priority: BTreeSet<String> = by_priority
        .filter(|semaphore| semaphore.spec.order == Order::Priority)
        .map(|semaphore| semaphore.name_any())
        .collect();
    let waits = |claim: &&Arc<Claim>| {
        let status = claim.status.as_ref();
        claim.spec.wait && status.is_none_or(|status| status.phase == ClaimPhase::Queued)
    };
    for claim in objects.claims.iter().filter(waits) {
        let target = &claim.spec.target;
        let counts = target.kind == LedgerKind::Semaphore && by_priority.contains(&target.name);
        let priority = if counts { claim.spec.priority } else { 0 };
        let queue = queues
            .entry((target.kind, target.name.clone()))
            .or_default();
        let party = Party {
            name: format!("claim/{}", claim.name_any()),
            holder: claim.spec.holder.clone(),
            link: None,
            permits: claim.spec.permits,
            since: claim.creation_timestamp().map(|time| time.0),
        };
        queue.push((Turn::of(&claim.metadata, priority), party));
    }
    let in_order = |mut queue: Vec<(Turn<'_>, Party)>| {
        queue.sort_by(|(turn, _), (other, _)| turn.cmp(other));
        queue.into_iter().map(|(_, party)| party).collect()
    };
    queues
        .into_iter()
        .map(|(ledger, queue)| (ledger, in_order(queue)))
        .collect()
}

fn barrier(barrier: &Barrier, rights: Rights) -> web::Barrier {
    let status = barrier.status.as_ref();
    let state = State::of_barrier(barrier);
    let said = status.and_then(|status| message(&status.conditions, OPEN));
    let is_verified = barrier.spec.arrivals == Arrivals::Verified;
    web::Barrier {
        name: barrier.name_any(),
        state,
        phase: status.map_or_else(
            || "waiting".to_owned(),
            |status| format!("{:?}", status.phase),
        ),
        arrived: status.map_or(0, |status| status.arrived),
        needed: barrier.spec.quorum.unwrap_or(barrier.spec.expected),
        failed: status.map_or(0, |status| status.failed),
        run: barrier.labels().get(label::RUN).cloned(),
        may_answer: rights.approve && is_verified && !state.has_ended(),
        message: said.unwrap_or_default(),
    }
}

fn gate(gate: &Gate) -> web::Gate {
    let status = gate.status.as_ref();
    let said = status.and_then(|status| message(&status.conditions, OPEN));
    let conditions = status.map_or(&[][..], |status| &status.condition_statuses);
    let conditions = conditions.iter().map(|condition| {
        let (mark, word, tone) = match condition.verdict {
            Verdict::Met => ('✓', "met", Tone::Good),
            Verdict::Pending => ('○', "pending", Tone::Quiet),
            _ => ('✗', "ruled out", Tone::Bad),
        };
        let badge = Badge {
            mark,
            word: word.to_owned(),
            tone,
        };
        let text = match condition.message.is_empty() {
            true => condition.target.clone(),
            false => format!("{}: {}", condition.target, condition.message),
        };
        (badge, text)
    });
    web::Gate {
        name: gate.name_any(),
        state: State::of_gate(gate),
        phase: status.map_or_else(
            || "waiting".to_owned(),
            |status| format!("{:?}", status.phase),
        ),
        run: gate.labels().get(label::RUN).cloned(),
        conditions: conditions.collect(),
        message: said.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use konductor_api::annotation;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_has_those_that_wait_and_hold_nothing_of_it_yet() {
        let semaphore = json!({
            "apiVersion": "konductor.io/v1", "kind": "Semaphore",
            "metadata": {"name": "db", "namespace": "n"},
            "spec": {"permits": 1, "order": "Priority"},
            "status": {"inUse": 1, "holders": [
                {"kind": "Job", "name": "r-a", "uid": "a", "holder": "r-a", "permits": 1},
            ]},
        });
        let job = |name: &str, phase: &str, second: u32| -> ObjectMeta {
            serde_json::from_value(json!({
                "name": format!("r-{name}"), "namespace": "n", "uid": name,
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
                "labels": {label::RUN: "r", label::STAGE: name},
                "annotations": {
                    annotation::PHASE: phase, annotation::HOLD: "semaphore/db", annotation::GATE: "go",
                },
            }))
            .expect("metadata")
        };
        let mut first_by_ordinal = job("f", "Queued", 9);
        let annotations = first_by_ordinal.annotations.get_or_insert_default();
        annotations.insert(annotation::ORDINAL.to_owned(), "0".to_owned());
        let claim = |name: &str, priority: i32| {
            let claim = json!({
                "apiVersion": "konductor.io/v1", "kind": "Claim",
                "metadata": {"name": name, "namespace": "n", "creationTimestamp": "2026-01-01T00:00:20Z"},
                "spec": {
                    "target": {"kind": "Semaphore", "name": "db"}, "holder": name, "priority": priority, "wait": true,
                },
            });
            Arc::new(serde_json::from_value(claim).expect("a Claim"))
        };
        let mut without_gate = job("e", "", 7);
        without_gate.annotations = Some(BTreeMap::from([(
            annotation::HOLD.to_owned(),
            "semaphore/db".to_owned(),
        )]));
        let objects = Objects {
            semaphores: vec![Arc::new(
                serde_json::from_value(semaphore).expect("a Semaphore"),
            )],
            jobs: vec![
                // It has what it asks for here, and waits for something else.
                job("a", "Queued", 1),
                job("b", "Queued", 9),
                job("c", "Queued", 5),
                job("d", "Waiting", 2),
                without_gate,
                first_by_ordinal,
            ],
            claims: vec![claim("late", -1), claim("early", 1)],
            ..Objects::default()
        };
        assert!(objects.may_have_waiters());
        let page = page(&objects, Rights::default());
        let semaphore = &page.semaphores[0];
        let names = |parties: &[Party]| {
            parties
                .iter()
                .map(|party| party.name.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&semaphore.holders), ["job/r-a"]);
        assert_eq!(
            names(&semaphore.queue),
            [
                "claim/early",
                "job/r-c",
                "job/r-e",
                "job/r-f",
                "job/r-b",
                "claim/late",
            ]
        );
        assert_eq!(semaphore.queue[1].link.as_deref(), Some("/runs/r/c"));
    }
}
