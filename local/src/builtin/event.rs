//! Events: one store, which the core group and `events.k8s.io` show each in its own words.
//!
//! An event is stored as the core group has it.

use serde_json::Value;

use crate::definition::View;

/// The fields that have two names: that of the core group, and that of `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// How `events.k8s.io` shows events.
pub(super) const VIEW: View = View {
    serve: |stored| renamed(stored, |(core, new)| (core, new)),
    store: |event| *event = renamed(event, |(core, new)| (new, core)),
};

type Pair = (&'static str, &'static str);

/// The same fields, in the same order, by their other names.
fn renamed(event: &Value, direction: fn(Pair) -> Pair) -> Value {
    let Some(fields) = event.as_object() else {
        return event.clone();
    };
    let renamed = fields.iter().map(|(name, value)| {
        let mut pairs = NAMES.into_iter().map(direction);
        let pair = pairs.find(|(from, _)| from == name);
        let name = pair.map_or_else(|| name.clone(), |(_, to)| to.to_owned());
        (name, value.clone())
    });
    Value::Object(renamed.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_the_same_after_it_was_shown_and_stored() {
        let stored = json!({
            "metadata": {"name": "a"}, "involvedObject": {"kind": "Job"}, "message": "m",
            "reason": "r", "reportingComponent": "c", "source": {}, "count": 2,
        });
        let shown = (VIEW.serve)(&stored);
        assert_eq!(shown["regarding"], json!({"kind": "Job"}));
        assert_eq!(shown["note"], "m");
        assert_eq!(shown["reportingController"], "c");
        let mut back = shown;
        (VIEW.store)(&mut back);
        assert_eq!(back, stored);
    }
}
