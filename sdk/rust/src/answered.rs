//! Whether an operator runs, by what it has written: clocks of different machines are not compared, and
//! an operator need not lead an election to be seen.

use konductor_api::{annotation, label};
use serde_json::Value;

/// Whether an operator has written anything on an object of this group and kind, or need not. The phase
/// alone does not show it: the status of a new object is a default.
pub(crate) fn is_answered(group: &str, kind: &str, object: &Value) -> bool {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    match (group, kind) {
        ("batch", "Job") => {
            let annotations = object.pointer("/metadata/annotations");
            let has = |key: &str| annotations.is_some_and(|all| all.get(key).is_some());
            let is_suspended = object.pointer("/spec/suspend") == Some(&Value::Bool(true));
            let label = |key: &str| object.pointer("/metadata/labels")?.get(key);
            let is_of_run = label(label::RUN).is_some() && label(label::KUEUE_QUEUE).is_none();
            let waits = has(annotation::GATE) || has(annotation::HOLD) || is_of_run;
            !is_suspended || !waits || has(annotation::PHASE)
        }
        ("konductor.io", "Claim") => {
            let conditions = object
                .pointer("/status/conditions")
                .and_then(Value::as_array);
            conditions.is_some_and(|all| !all.is_empty())
                || text("/status/message").is_some_and(|message| !message.is_empty())
                || text("/status/phase").is_some_and(|phase| phase != "Queued")
        }
        ("konductor.io", _) => {
            let generation = object.pointer("/status/observedGeneration");
            generation.is_some_and(|generation| !generation.is_null())
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_operator_is_seen_by_what_it_has_written() {
        let ours = |kind, status: Value| ("konductor.io", kind, json!({"status": status}));
        let job = |suspend: bool, annotations: Value| {
            let job = json!({"spec": {"suspend": suspend},
                "metadata": {"annotations": annotations}});
            ("batch", "Job", job)
        };
        let labelled = |annotations: Value, labels: Value| {
            let (group, kind, mut job) = job(true, annotations);
            job["metadata"]["labels"] = labels;
            (group, kind, job)
        };
        let of_run = |annotations: Value| labelled(annotations, json!({label::RUN: "r"}));
        let queued = labelled(json!({}), json!({label::RUN: "r", label::KUEUE_QUEUE: "q"}));
        let (gate, hold, phase) = (annotation::GATE, annotation::HOLD, annotation::PHASE);
        let seen = json!({"phase": "Waiting", "observedGeneration": 1});
        let behind = json!({"phase": "Queued", "message": "2 are before it"});
        let table = [
            (ours("Gate", json!({"phase": "Waiting", "met": 0})), false),
            (ours("Gate", seen), true),
            (ours("Barrier", Value::Null), false),
            (ours("Run", json!({"observedGeneration": 2})), true),
            (
                ours("Claim", json!({"phase": "Queued", "conditions": []})),
                false,
            ),
            (ours("Claim", behind), true),
            (ours("Claim", json!({"conditions": [{}]})), true),
            (ours("Claim", json!({"phase": "Denied"})), true),
            (job(true, json!({gate: "ready"})), false),
            (job(true, json!({hold: "lease/x"})), false),
            (job(true, json!({gate: "ready", phase: "Waiting"})), true),
            (job(false, json!({gate: "ready"})), true),
            (job(true, json!({})), true),
            (of_run(json!({})), false),
            (of_run(json!({phase: "Waiting"})), true),
            (queued, true),
            (("", "Pod", json!({})), true),
        ];
        for ((group, kind, object), answered) in table {
            assert_eq!(
                is_answered(group, kind, &object),
                answered,
                "{kind} {object}"
            );
        }
    }
}
