//! Why a Job waits, in words that its author can act on.
//!
//! A reason costs a write, so it says what is true for long: never a position in a queue. A Job of a Run
//! says only what somebody has to correct, because the Run shows the rest, if there is one.

use jiff::Timestamp;
use konductor_api::{
    Hold, JobPhase, LedgerKind, ObjectName, Participant, annotation, is_object_name,
};

use super::{NoStatus, inputs, phase_patch};
use crate::explain::cut;
use crate::facts::{Facts, Freshness};
use crate::limits::REASON_AFTER;
use crate::outputs::shown;
use crate::{Decided, Decision, Needs, Waits, owner, words};

/// The annotations that people write by hand, and the words that they take for them.
const WRITTEN_BY_HAND: [(&str, &[&str]); 5] = [
    (annotation::GATE, &["gate"]),
    (annotation::HOLD, &["hold", "semaphore", "lease", "holding"]),
    (annotation::ARRIVE, &["arrive", "barrier", "arrival"]),
    (annotation::ITEMS, &["items"]),
    (annotation::PENDING_TIMEOUT, &["pending-timeout", "pending"]),
];

/// The annotations that are close to those, and no mistake.
const ALSO_KNOWN: [&str; 2] = [annotation::HELD, annotation::ITEM];

/// What keeps a Job from starting.
pub(super) enum Blocker<'a> {
    /// Its Gate is not open.
    Gate(&'a str),
    /// The first of its holds that it has not got.
    Hold(&'a Hold),
}

/// What is wrong with a Job's own annotations, and what to write instead. Such a Job is not started: it
/// would run without what its author meant.
pub(super) fn mistake(job: &Participant) -> Option<String> {
    let keys = job.metadata.annotations.iter().flatten();
    let misspelled = keys
        .filter_map(|(key, _)| Some((key, meant(key)?)))
        .map(|(key, meant)| format!("{key} is not known; did you mean {meant}?"))
        .next();
    misspelled
        .or_else(|| name_mistake(annotation::GATE, "Gate", job.gate()?))
        .or_else(|| arrive_mistake(job))
        .or_else(|| items_mistake(job))
        .or_else(|| pending_mistake(job))
        .or_else(|| match job.asked.as_ref()? {
            Err(error) => Some(format!("{}: {}", annotation::HOLD, cut(&error.to_string()))),
            Ok(holds) if holds.is_empty() => Some(format!(
                "{} is empty: write semaphore/NAME, semaphore/NAME=PERMITS or lease/NAME",
                annotation::HOLD
            )),
            Ok(_) => None,
        })
        .or_else(|| inputs_mistake(job))
}

/// What is wrong with the inputs of a Job that asks for nothing. One that konductor starts ends as unreached by them when
/// its turn comes; this one would stay suspended without a word.
fn inputs_mistake(job: &Participant) -> Option<String> {
    inputs::mistake(job).filter(|_| !job.is_coordinated())
}

fn name_mistake(key: &str, kind: &str, written: &str) -> Option<String> {
    if written.trim().is_empty() {
        return Some(format!("{key} is empty: write the name of a {kind}"));
    }
    if is_object_name(written) {
        return None;
    }
    // People write the kind before it, as kubectl does.
    let name = written.split_once('/').map(|(_, name)| name);
    let instead = match name.filter(|name| is_object_name(name)) {
        Some(name) => format!("write {name}"),
        None => "a name has lower-case letters, digits, `-` and `.`".to_owned(),
    };
    let written = shown(written);
    Some(format!(
        "{key}: {written} is not the name of a {kind}: {instead}"
    ))
}

/// What is wrong with the Barrier that a Job names which has ended: it arrives nowhere.
pub(super) fn arrive_mistake(job: &Participant) -> Option<String> {
    name_mistake(annotation::ARRIVE, "Barrier", job.arrives_at()?)
}

/// What is wrong with a Job that has items.
fn items_mistake(job: &Participant) -> Option<String> {
    let key = annotation::ITEMS;
    match job.items.as_ref()? {
        Err(error) => Some(format!("{key}: {}", cut(&error.to_string()))),
        Ok(_) if !is_indexed(job) => Some(format!(
            "{key}: only a Job with completionMode: Indexed has items; its completions are set when the list is known"
        )),
        Ok(_) => None,
    }
}

fn is_indexed(job: &Participant) -> bool {
    let spec = job.spec.as_ref();
    spec.and_then(|spec| spec.completion_mode.as_deref()) == Some("Indexed")
}

fn pending_mistake(job: &Participant) -> Option<String> {
    let key = annotation::PENDING_TIMEOUT;
    let written = job.metadata.annotations.as_ref()?.get(key)?;
    let is_read = job.pending_timeout.is_some();
    let written = shown(written);
    (!is_read).then(|| format!("{key}: {written} is not a duration: write one such as 10m"))
}

/// The annotation that somebody meant who wrote this one: a Job that has it is not started.
pub fn meant(key: &str) -> Option<&'static str> {
    // Every annotation of every Job comes here, and nearly all are known, or of others.
    let mut annotations = WRITTEN_BY_HAND.iter().map(|(annotation, _)| annotation);
    if annotations.any(|annotation| *annotation == key) || ALSO_KNOWN.contains(&key) {
        return None;
    }
    let (domain, name) = key.split_at_checked(konductor_api::GROUP.len())?;
    let name = name.strip_prefix('/')?;
    if !domain.eq_ignore_ascii_case(konductor_api::GROUP) {
        return None;
    }
    WRITTEN_BY_HAND
        .iter()
        .find(|(_, words)| words.iter().any(|word| is_slip(name, word)))
        .map(|(annotation, _)| *annotation)
}

/// Whether two words differ by at most one letter, in any case: missing, added, another, or two of them swapped.
fn is_slip(written: &str, word: &str) -> bool {
    if written.len().abs_diff(word.len()) > 1 {
        return false;
    }
    let is_same = |(a, b): &(&u8, &u8)| a.eq_ignore_ascii_case(b);
    let (written, word) = (written.as_bytes(), word.as_bytes());
    let before = written.iter().zip(word).take_while(is_same).count();
    let (written, word) = (&written[before..], &word[before..]);
    let after = written
        .iter()
        .rev()
        .zip(word.iter().rev())
        .take_while(is_same)
        .count();
    let (written, word) = (
        &written[..written.len() - after],
        &word[..word.len() - after],
    );
    match (written, word) {
        ([a, b], [c, d]) => is_same(&(a, d)) && is_same(&(b, c)),
        _ => written.len() <= 1 && word.len() <= 1,
    }
}

/// Says why a Job waits, and writes it where that is to be written and has changed.
pub(super) fn explain(
    job: &Participant,
    blocker: &Blocker<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Decided<NoStatus> {
    let waits = match blocker {
        Blocker::Gate(gate) => Waits::Gate((*gate).to_owned()),
        Blocker::Hold(hold) => Waits::Hold((*hold).clone()),
    };
    Ok(reason(job, blocker, facts, now)?.waits_for(waits))
}

fn reason(
    job: &Participant,
    blocker: &Blocker<'_>,
    facts: &Facts,
    now: Timestamp,
) -> Decided<NoStatus> {
    let (text, to_correct) = describe(job, blocker, facts)?;
    let shows_it = owner::run_of(&job.metadata, facts, Freshness::Cached)?.is_some();
    let reason = (to_correct || !shows_it).then_some(text.as_str());
    let phase = match blocker {
        Blocker::Gate(_) => JobPhase::Waiting,
        Blocker::Hold(_) => JobPhase::Queued,
    };
    // A Job behind a Gate asks its ledgers from when it is Queued.
    let asks_now =
        phase == JobPhase::Queued && job.gate().is_some() && job.phase != Some(JobPhase::Queued);
    let is_written = job.reason() == reason && (reason.is_none() || job.phase == Some(phase));
    if is_written && !asks_now {
        return Ok(Decision::default());
    }
    if !asks_now
        && reason.is_some()
        && let Some(due) = says_why_at(job).filter(|due| now < *due)
    {
        let mut decision = Decision::default();
        decision.wake_at(due);
        return Ok(decision);
    }
    Ok(phase_patch(job, phase, reason))
}

/// When a Job says why it waits.
pub(super) fn says_why_at(job: &Participant) -> Option<Timestamp> {
    let created = job.metadata.creation_timestamp.as_ref()?;
    created.0.checked_add(REASON_AFTER).ok()
}

/// What a Job waits for, and whether somebody has to correct something first.
fn describe(
    job: &Participant,
    blocker: &Blocker<'_>,
    facts: &Facts,
) -> Result<(String, bool), Needs> {
    let namespace = ObjectName::of(&job.metadata).namespace;
    let hold = match blocker {
        Blocker::Gate(gate) => {
            let name = ObjectName::new(namespace, *gate);
            return Ok(match facts.gate(&name, Freshness::Cached)? {
                None => {
                    let instead = words::apply_again(&job.metadata, gate);
                    (format!("gate/{gate} does not exist{instead}"), true)
                }
                Some(_) => (format!("waits for gate/{gate}"), false),
            });
        }
        Blocker::Hold(hold) => hold,
    };
    let name = ObjectName::new(namespace, &hold.name);
    let permits = match hold.kind {
        LedgerKind::Semaphore => facts
            .semaphore(&name, Freshness::Cached)?
            .map(|semaphore| semaphore.spec.permits),
        LedgerKind::Lease => facts.lease(&name, Freshness::Cached)?.map(|_| 1),
    };
    let ledger = format!("{}/{}", hold.kind, hold.name);
    Ok(match permits {
        None => {
            let instead = words::apply_again(&job.metadata, &hold.name);
            (format!("{ledger} does not exist{instead}"), true)
        }
        // One without any permits is paused, and lets nobody in.
        Some(permits) if permits > 0 && hold.permits > permits => {
            let text = format!(
                "{ledger} has {permits} permits, and this Job asks for {}",
                hold.permits
            );
            (text, true)
        }
        Some(_) => (format!("waits for {ledger}"), false),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_letter_and_a_key_of_somebody_else_is_none() {
        for (key, expected) in [
            ("konductor.io/holds", Some(annotation::HOLD)),
            ("konductor.io/Hold", Some(annotation::HOLD)),
            ("konductor.io/hodl", Some(annotation::HOLD)),
            ("konductor.io/semaphore", Some(annotation::HOLD)),
            ("konductor.io/gates", Some(annotation::GATE)),
            ("Konductor.io/gate", Some(annotation::GATE)),
            ("konductor.io/arive", Some(annotation::ARRIVE)),
            ("konductor.io/barrier", Some(annotation::ARRIVE)),
            (annotation::HOLD, None),
            (annotation::HELD, None),
            (annotation::GATE, None),
            ("konductor.io/itms", Some(annotation::ITEMS)),
            (annotation::ITEM, None),
            (annotation::ITEMS, None),
            (annotation::GUARD, None),
            (annotation::ORDINAL, None),
            ("konductor.io/owner", None),
            ("konductor.io/name", None),
            ("example.com/holds", None),
            ("holds", None),
        ] {
            assert_eq!(meant(key), expected, "{key}");
        }
    }
}
