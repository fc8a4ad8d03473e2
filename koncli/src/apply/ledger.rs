//! The spec of a Semaphore or a Lease, which all runs of a pipeline share, and which people change, too.
//!
//! What the file says is set when the file changes. What somebody has set since then stays until it
//! does: a `kubectl scale semaphore --replicas=0` outlives the next run. Which value the file had is in
//! an annotation, as kubectl has one. Pure.

use konductor_api::{annotation, label};
use serde_json::{Map, Value, json};

/// Where kubectl keeps what it has applied last.
const KUBECTL_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What an apply changes in a ledger's spec.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Change {
    /// A merge patch of the spec.
    pub(crate) fields: Map<String, Value>,
    /// The fields that stay as somebody has set them, with what they are.
    pub(crate) kept: Vec<(String, Value)>,
}

/// Compares what the file says with what is there, both whole objects.
pub(crate) fn change(new: &Value, live: &Value) -> Change {
    let (new, last, live) = (&new["spec"], last_applied(live), &live["spec"]);
    let mut change = Change::default();
    for (field, value) in new.as_object().into_iter().flatten() {
        if live.get(field) == Some(value) {
            continue;
        }
        let has_changed = last
            .as_ref()
            .is_none_or(|last| last.get(field) != Some(value));
        match live.get(field).filter(|_| !has_changed) {
            Some(live) => change.kept.push((field.clone(), live.clone())),
            None => drop(change.fields.insert(field.clone(), value.clone())),
        }
    }
    for (field, _) in last.iter().flat_map(|last| last.as_object()).flatten() {
        if new.get(field).is_none() && live.get(field).is_some() {
            change.fields.insert(field.clone(), Value::Null);
        }
    }
    change
}

/// The annotation under which the file's spec is kept, and that spec.
pub(crate) fn applied(object: &Value) -> (&'static str, String) {
    (annotation::LAST_APPLIED, object["spec"].to_string())
}

/// The spec that the file had when it was applied last, where that is known.
fn last_applied(live: &Value) -> Option<Value> {
    let annotations = &live["metadata"]["annotations"];
    let read = |name: &str| serde_json::from_str::<Value>(annotations[name].as_str()?).ok();
    read(annotation::LAST_APPLIED).or_else(|| Some(read(KUBECTL_APPLIED)?["spec"].clone()))
}

/// The patch by which a change is made, and by which what the file says is kept.
pub(crate) fn patch(new: &Value, live: &Value, change: &Change) -> Option<Value> {
    let (name, spec) = applied(new);
    let before = live["metadata"]["annotations"][name].as_str();
    // If nothing is known and nothing differs, nobody has to be allowed to write it.
    let is_noted = before == Some(spec.as_str()) || before.is_none();
    if change.fields.is_empty() && is_noted {
        return None;
    }
    Some(json!({"metadata": {"annotations": {name: spec}}, "spec": change.fields}))
}

/// Whose a ledger is that does not belong to the pipeline of `new`.
pub(crate) fn other_owner(new: &Value, live: &Value) -> Option<String> {
    let pipeline = |object: &Value| {
        let label = &object["metadata"]["labels"][label::PIPELINE];
        label.as_str().map(str::to_owned)
    };
    match pipeline(live) {
        own if own == pipeline(new) => None,
        Some(other) => Some(format!("belongs to pipeline {other}")),
        None => Some("was not created by a pipeline".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger whose file said `last` when it was applied.
    fn live(last: Option<Value>, spec: Value) -> Value {
        let annotations = match last {
            Some(last) => json!({annotation::LAST_APPLIED: last.to_string()}),
            None => json!({}),
        };
        json!({"metadata": {"annotations": annotations}, "spec": spec})
    }

    #[test]
    fn what_somebody_has_set_stays_until_the_file_changes() {
        let two = || json!({"permits": 2, "order": "Fifo"});
        let zero = || json!({"permits": 0, "order": "Fifo"});
        let table = [
            // What the file says, what it said, what is there: what is written, what stays.
            (two(), Some(two()), two(), json!({}), vec![]),
            (two(), Some(two()), zero(), json!({}), vec![("permits", 0)]),
            (
                two(),
                Some(json!({"permits": 3, "order": "Fifo"})),
                zero(),
                json!({"permits": 2}),
                vec![],
            ),
            // Nothing is known of what it said.
            (two(), None, zero(), json!({"permits": 2}), vec![]),
            // Somebody has taken a field away, and the file does.
            (
                two(),
                Some(two()),
                json!({"permits": 2}),
                json!({"order": "Fifo"}),
                vec![],
            ),
            (
                json!({"permits": 2}),
                Some(two()),
                two(),
                json!({"order": null}),
                vec![],
            ),
            (
                json!({"permits": 2}),
                Some(json!({"permits": 2})),
                two(),
                json!({}),
                vec![],
            ),
        ];
        for (new, last, spec, fields, kept) in table {
            let (new, live) = (json!({"spec": new}), live(last, spec));
            let expected = Change {
                fields: fields.as_object().cloned().unwrap_or_default(),
                kept: kept
                    .into_iter()
                    .map(|(field, value)| (field.to_owned(), value.into()))
                    .collect(),
            };
            assert_eq!(change(&new, &live), expected, "{new} over {live}");
        }
    }

    #[test]
    fn what_kubectl_has_applied_counts_as_well() {
        let applied = json!({"kind": "Semaphore", "spec": {"permits": 2}}).to_string();
        let live = json!({
            "metadata": {"annotations": {KUBECTL_APPLIED: applied}},
            "spec": {"permits": 0},
        });
        let change = change(&json!({"spec": {"permits": 2}}), &live);
        assert_eq!(change.kept, [("permits".to_owned(), json!(0))]);
    }

    #[test]
    fn nothing_is_written_where_nothing_changes() {
        let spec = || json!({"permits": 2});
        let new = json!({"spec": spec()});
        let written = |live: &Value| patch(&new, live, &change(&new, live)).is_some();
        assert!(!written(&live(Some(spec()), spec())));
        assert!(!written(&live(None, spec())));
        assert!(!written(&live(Some(spec()), json!({"permits": 0}))));
        assert!(written(&live(None, json!({"permits": 0}))));
        // The file was changed to what somebody had set before.
        assert!(written(&live(Some(json!({"permits": 1})), spec())));
    }

    #[test]
    fn a_ledger_is_its_pipelines_alone() {
        let of = |pipeline: Value| json!({"metadata": {"labels": {label::PIPELINE: pipeline}}});
        assert_eq!(other_owner(&of("etl".into()), &of("etl".into())), None);
        assert_eq!(
            other_owner(&of("etl".into()), &of("etl-db".into())).as_deref(),
            Some("belongs to pipeline etl-db")
        );
        assert_eq!(
            other_owner(&of("etl".into()), &json!({})).as_deref(),
            Some("was not created by a pipeline")
        );
    }
}
