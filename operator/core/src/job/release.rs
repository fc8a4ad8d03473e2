//! A Job that is in a ledger and does not ask for that any more: its annotation was edited while it waited.
//!
//! It is asked to let go first (rule A): a mark on the Job keeps it from starting until the ledger has
//! forgotten it. Without the mark, an edit back to what it was could start the Job while the ledger is
//! striking it.

use std::collections::BTreeMap;

use konductor_api::{Hold, LedgerKind, ObjectName, Participant, annotation, format_holds};
use serde_json::{Map, Value};

use super::{NoStatus, holder, patch};
use crate::facts::{Facts, Freshness};
use crate::{Decided, Decision, Waits, Write};

/// Whether a Job that is in a ledger keeps its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It was started, or it still asks for exactly this.
    Kept,
    /// It waits, and asks for something else: it must be marked first.
    Unasked,
    /// It waits, and is marked.
    Marked,
}

/// The place of a Job in a ledger that lists it with so many permits.
pub(crate) fn place(job: &Participant, kind: LedgerKind, name: &str, permits: u32) -> Place {
    if !job.may_start() || !job.is_suspended() {
        return Place::Kept;
    }
    let is_it = |hold: &Hold| hold.kind == kind && hold.name == name;
    if job.releases.iter().flatten().any(is_it) {
        Place::Marked
    } else if job
        .hold_on(kind, name)
        .is_some_and(|hold| hold.permits == permits)
    {
        Place::Kept
    } else {
        Place::Unasked
    }
}

/// The write that marks a Job.
pub(crate) fn mark(job: &Participant, kind: LedgerKind, name: &str) -> Write {
    let mark = Hold {
        kind,
        name: name.to_owned(),
        permits: 1,
    };
    let marks = job.releases.iter().flatten().cloned();
    let mut marks: BTreeMap<(LedgerKind, String), Hold> = marks
        .map(|hold| ((hold.kind, hold.name.clone()), hold))
        .collect();
    marks.insert((kind, name.to_owned()), mark);
    let marks: Vec<Hold> = marks.into_values().collect();
    let mut annotations = Map::new();
    annotations.insert(annotation::RELEASES.into(), format_holds(&marks).into());
    patch(job, annotations)
}

/// Removes a Job's mark once no ledger lists it there, by live reads. What it asks for now it queues for
/// afterwards.
pub(super) fn decide(job: &Participant, facts: &Facts) -> Decided<NoStatus> {
    let namespace = ObjectName::of(&job.metadata).namespace;
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let marks = job.releases.as_deref().unwrap_or_default();
    for freshness in [Freshness::Cached, Freshness::Live] {
        let ledgers = marks
            .iter()
            .map(|mark| super::ledger_fact(&namespace, mark));
        facts.require(ledgers.map(|fact| (fact, freshness)))?;
        for mark in marks {
            if holder(&namespace, mark, uid, facts, freshness)?.is_some() {
                return Ok(Decision::waiting_for(Waits::Release(mark.clone())));
            }
        }
    }
    let mut decision = Decision::default();
    let mut annotations = Map::new();
    annotations.insert(annotation::RELEASES.into(), Value::Null);
    decision.before.push(patch(job, annotations));
    Ok(decision)
}
