//! What the operator did, for its log at debug level: which object, whose, and why.
//!
//! What enters: a patch, or a status and the one before it, once it is written. What leaves: entries of the log. What must
//! never happen here: anything that a Job was given or has printed. Of a reason only its word is logged, because
//! the rest may quote a container.

use konductor_api::condition::{self, Condition, OPEN, SUCCEEDED, reason};
use konductor_api::{
    BarrierPhase, BarrierStatus, ClaimPhase, GatePhase, GateStatus, Holder, JobPhase, RunPhase,
    RunStatus, annotation,
};
use konductor_core::{Kind, ObjectName};
use serde_json::Value;

use crate::index::Watched;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A ledger has a new holder.
    Granted,
    /// A ledger has a holder less.
    Released,
    /// A Claim was not renewed.
    Expired,
    /// A Claim got nothing, and does not wait.
    Denied,
    /// A Job asks its ledgers.
    Queued,
    /// A Job was started.
    Started,
    /// A Job was suspended by its Run's pause.
    Suspended,
    /// A Gate or a Barrier opened.
    Opened,
    /// Something ended.
    Ended,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) deed: Deed,
    /// Of a ledger: the holder, also one that left; of a Job: what it holds.
    pub(crate) holder: String,
    /// The word of the reason, or how it ended.
    pub(crate) reason: String,
}

impl Done {
    fn new(deed: Deed, reason: &str) -> Self {
        Self {
            deed,
            holder: String::new(),
            reason: reason.to_owned(),
        }
    }

    /// Logs it.
    pub(crate) fn log(&self, kind: Watched, place: &ObjectName) {
        let Self {
            deed,
            holder,
            reason,
        } = self;
        let kind = kind.word();
        let ObjectName { namespace, name } = place;
        match deed {
            Deed::Granted => tracing::debug!(kind, namespace, name, holder, reason, "granted"),
            Deed::Released => tracing::debug!(kind, namespace, name, holder, reason, "released"),
            Deed::Expired => tracing::debug!(kind, namespace, name, holder, reason, "expired"),
            Deed::Denied => tracing::debug!(kind, namespace, name, holder, reason, "denied"),
            Deed::Queued => tracing::debug!(kind, namespace, name, holder, reason, "queued"),
            Deed::Started => tracing::debug!(kind, namespace, name, holder, reason, "started"),
            Deed::Suspended => tracing::debug!(kind, namespace, name, holder, reason, "suspended"),
            Deed::Opened => tracing::debug!(kind, namespace, name, holder, reason, "opened"),
            Deed::Ended => tracing::debug!(kind, namespace, name, holder, reason, "ended"),
        }
    }
}

/// Whether anybody reads it: nothing is made for a log that is not written.
pub(crate) fn is_logged() -> bool {
    tracing::enabled!(tracing::Level::DEBUG)
}

/// What a patch does.
pub(crate) fn by_patch(kind: Kind, body: &Value) -> Option<Done> {
    match kind {
        Kind::Job => by_job_patch(body),
        Kind::Claim => {
            let phase: ClaimPhase = serde_json::from_value(body["status"]["phase"].clone()).ok()?;
            Some(match phase {
                ClaimPhase::Granted => Done::new(Deed::Granted, reason::GRANTED),
                ClaimPhase::Denied => Done::new(Deed::Denied, reason::DENIED),
                ClaimPhase::Expired => Done::new(Deed::Expired, reason::EXPIRED),
                ClaimPhase::Queued => return None,
            })
        }
        Kind::Arrival | Kind::Barrier | Kind::Gate | Kind::Run => None,
    }
}

/// The word of the reason that a patch of a Job writes; empty if it writes none.
pub(crate) fn reason_of(body: &Value) -> &str {
    let reason = &body["metadata"]["annotations"][annotation::REASON];
    word(reason.as_str().unwrap_or_default())
}

fn by_job_patch(body: &Value) -> Option<Done> {
    let annotations = &body["metadata"]["annotations"];
    let text = |key: &str| annotations[key].as_str().unwrap_or_default();
    let why = word(text(annotation::REASON));
    let phase: JobPhase = text(annotation::PHASE).parse().ok()?;
    let done = match phase {
        JobPhase::Waiting => return None,
        JobPhase::Queued => Done::new(Deed::Queued, why),
        // In a queue of Kueue it is Kueue that starts it.
        JobPhase::Running if body["spec"]["suspend"] == false => Done::new(Deed::Started, why),
        JobPhase::Running => return None,
        JobPhase::Paused => Done::new(Deed::Suspended, reason::PAUSED),
        JobPhase::Skipped
        | JobPhase::Unreached
        | JobPhase::Cancelled
        | JobPhase::Failed
        | JobPhase::Complete => {
            let why = if why.is_empty() { phase.word() } else { why };
            Done::new(Deed::Ended, why)
        }
    };
    Some(Done {
        holder: text(annotation::HELD).to_owned(),
        ..done
    })
}

/// The word of a reason such as `TimedOut: its run took longer than 1h`; empty if it has none.
fn word(reason: &str) -> &str {
    let (word, _) = reason.split_once(':').unwrap_or((reason, ""));
    let is_word = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.chars().all(|c| c.is_ascii_alphanumeric());
    if is_word { word } else { "" }
}

/// What the new holders of a ledger say.
pub(crate) fn by_ledger(before: Option<&[Holder]>, after: &[Holder]) -> Vec<Done> {
    let before = before.unwrap_or_default();
    let missing = |from: &[Holder], held: &Holder| !from.iter().any(|other| other.uid == held.uid);
    let done = |deed, held: &Holder, reason: &str| Done {
        holder: held.to_string(),
        ..Done::new(deed, reason)
    };
    let released = before.iter().filter(|held| missing(after, held));
    let released = released.map(|held| done(Deed::Released, held, ""));
    let granted = after.iter().filter(|held| missing(before, held));
    let granted = granted.map(|held| done(Deed::Granted, held, reason::GRANTED));
    released.chain(granted).collect()
}

/// What a Gate's new status says.
pub(crate) fn by_gate(before: Option<&GateStatus>, after: &GateStatus) -> Option<Done> {
    let deed = match after.phase {
        GatePhase::Waiting => return None,
        GatePhase::Open => Deed::Opened,
        GatePhase::Skipped | GatePhase::Unreached | GatePhase::Failed => Deed::Ended,
    };
    let is_new = before.is_none_or(|before| before.phase == GatePhase::Waiting);
    is_new.then(|| Done::new(deed, why(&after.conditions, OPEN)))
}

/// What a Barrier's new status says.
pub(crate) fn by_barrier(before: Option<&BarrierStatus>, after: &BarrierStatus) -> Option<Done> {
    let deed = match after.phase {
        BarrierPhase::Waiting => return None,
        BarrierPhase::Open => Deed::Opened,
        BarrierPhase::Skipped | BarrierPhase::Unreached | BarrierPhase::Failed => Deed::Ended,
    };
    let is_new = before.is_none_or(|before| before.phase == BarrierPhase::Waiting);
    is_new.then(|| Done::new(deed, why(&after.conditions, OPEN)))
}

/// What a Run's new status says.
pub(crate) fn by_run(before: Option<&RunStatus>, after: &RunStatus) -> Option<Done> {
    let ended = match after.phase {
        RunPhase::Running | RunPhase::Paused | RunPhase::Finalizing => return None,
        RunPhase::Succeeded | RunPhase::Failed | RunPhase::Cancelled => after.phase,
    };
    let is_new = before.is_none_or(|before| before.phase != ended);
    is_new.then(|| Done::new(Deed::Ended, why(&after.conditions, SUCCEEDED)))
}

fn why<'a>(conditions: &'a [Condition], type_: &str) -> &'a str {
    condition::find(conditions, type_).map_or("", |condition| &condition.reason)
}

#[cfg(test)]
mod tests {
    use konductor_api::HolderKind;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_patch_of_a_job_or_a_claim_does_is_logged_without_what_a_container_said() {
        let job = |phase: &str, reason: Value, spec: Value| {
            let annotations = json!({
                "konductor.io/phase": phase,
                "konductor.io/reason": reason,
                "konductor.io/held": "semaphore/db=2",
            });
            let body = json!({"metadata": {"annotations": annotations}, "spec": spec});
            by_patch(Kind::Job, &body).map(|done| (done.deed, done.holder, done.reason))
        };
        let held = || "semaphore/db=2".to_owned();
        let suspend = |suspend: bool| json!({ "suspend": suspend });
        let table = [
            (job("Waiting", json!(null), json!({})), None),
            (job("Running", json!(null), json!({})), None),
            (
                job("Running", json!(null), suspend(false)),
                Some((Deed::Started, String::new())),
            ),
            (
                job("Paused", json!("its run is paused"), suspend(true)),
                Some((Deed::Suspended, "Paused".to_owned())),
            ),
            (
                job(
                    "Cancelled",
                    json!("TimedOut: its run took longer than 1h"),
                    suspend(true),
                ),
                Some((Deed::Ended, "TimedOut".to_owned())),
            ),
            (
                job("Failed", json!("exit code 3: password=hunter2"), json!({})),
                Some((Deed::Ended, "Failed".to_owned())),
            ),
            (
                job("Queued", json!(null), json!({})),
                Some((Deed::Queued, String::new())),
            ),
        ];
        for (done, expected) in table {
            let expected = expected.map(|(deed, reason)| (deed, held(), reason));
            assert_eq!(done, expected);
        }
        let claim = |phase: &str| by_patch(Kind::Claim, &json!({"status": {"phase": phase}}));
        let deed = |phase| claim(phase).map(|done| done.deed);
        assert_eq!(deed("Granted"), Some(Deed::Granted));
        assert_eq!(deed("Denied"), Some(Deed::Denied));
        assert_eq!(deed("Expired"), Some(Deed::Expired));
        assert_eq!(deed("Queued"), None);
        assert_eq!(by_patch(Kind::Run, &json!({})), None);
    }

    #[test]
    fn a_new_status_is_logged_once() {
        let held = |name: &str| Holder {
            kind: HolderKind::Job,
            name: name.to_owned(),
            uid: name.to_owned(),
            holder: String::new(),
            permits: 1,
            since: None,
        };
        let done = by_ledger(Some(&[held("a"), held("b")]), &[held("b"), held("c")]);
        let done: Vec<_> = done
            .into_iter()
            .map(|done| (done.deed, done.holder))
            .collect();
        assert_eq!(
            done,
            [
                (Deed::Released, "job/a".to_owned()),
                (Deed::Granted, "job/c".to_owned())
            ]
        );

        let status = |phase: &str| {
            json!({"phase": phase, "conditions": [{
                "type": "Open", "status": "True", "reason": "Decided", "message": "by a person",
                "lastTransitionTime": "2026-01-31T03:00:00Z",
            }]})
        };
        let gate = |phase: &str| serde_json::from_value::<GateStatus>(status(phase)).unwrap();
        let opened = by_gate(Some(&gate("Waiting")), &gate("Open")).unwrap();
        assert_eq!(
            (opened.deed, opened.reason.as_str()),
            (Deed::Opened, "Decided")
        );
        assert_eq!(by_gate(Some(&gate("Open")), &gate("Open")), None);
        assert_eq!(by_gate(None, &gate("Waiting")), None);
        let ended = by_gate(None, &gate("Failed")).unwrap();
        assert_eq!(ended.deed, Deed::Ended);
        let barrier = |phase: &str| serde_json::from_value::<BarrierStatus>(status(phase)).unwrap();
        let opened = by_barrier(Some(&barrier("Waiting")), &barrier("Open")).unwrap();
        assert_eq!(opened.deed, Deed::Opened);
        assert_eq!(by_barrier(Some(&barrier("Open")), &barrier("Open")), None);
        let run = |phase: &str| RunStatus {
            phase: serde_json::from_value(json!(phase)).unwrap(),
            ..RunStatus::default()
        };
        let ended = by_run(Some(&run("Finalizing")), &run("Failed")).unwrap();
        assert_eq!(ended.deed, Deed::Ended);
        assert_eq!(by_run(Some(&run("Failed")), &run("Failed")), None);
        assert_eq!(by_run(None, &run("Paused")), None);
    }
}
