//! Fixed words for what differs each time.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// An answer without versions, times, identifiers, and who manages which field.
pub(crate) fn normal(value: Value, namespace: &str) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(key, _)| {
                // Who wrote which field depends on the order of clocks; a hash is of the stored form.
                key != "managedFields" && key != "storageVersionHash"
            });
            let mut fields: Vec<(String, Value)> = fields
                .map(|(key, value)| {
                    let value = match (key.as_str(), value) {
                        ("resourceVersion", Value::String(text)) if !text.is_empty() => {
                            "VERSION".into()
                        }
                        ("continue", Value::String(text)) if !text.is_empty() => "CONTINUE".into(),
                        // Discovery lists definitions in the order in which they were established.
                        ("resources", Value::Array(resources)) => {
                            let mut resources: Vec<Value> = resources
                                .into_iter()
                                .map(|resource| normal(resource, namespace))
                                .collect();
                            resources.sort_by_key(|resource| resource["name"].to_string());
                            resources.into()
                        }
                        (_, value) => normal(value, namespace),
                    };
                    (key, value)
                })
                .collect();
            fields.sort_by(|(name, _), (other, _)| name.cmp(other));
            let mut object = Value::Object(fields.into_iter().collect());
            several_causes(&mut object);
            object
        }
        Value::Array(values) => values
            .into_iter()
            .map(|value| normal(value, namespace))
            .collect(),
        Value::String(text) => fixed(&text, namespace).into(),
        other => other,
    }
}

/// Several causes come in any order, and so they stand in the message.
fn several_causes(status: &mut Value) {
    let Some(Value::Array(causes)) = status.pointer_mut("/details/causes") else {
        return;
    };
    if causes.len() > 1 {
        causes.sort_by_key(Value::to_string);
        if let Value::String(message) = &mut status["message"]
            && let Some(end) = message.find(" is invalid: [")
        {
            message.truncate(end + " is invalid:".len());
        }
    }
}

fn fixed(text: &str, namespace: &str) -> String {
    static FIXED: LazyLock<[(Regex, &str); 7]> = LazyLock::new(|| {
        [
            (r"20[2-9]\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
            (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UID"),
            (r"generated-[a-z0-9]{5}\b", "generated-NAME"),
            // In a message that quotes a whole object.
            (r#"(resourceVersion\\*":\\*")\d+"#, "${1}VERSION"),
            (r"in record \(\d+\)", "in record (VERSION)"),
            (r"^\d+s$", "AGE"),
            (r"^\d+\.\d+\.\d+\.\d+:\d+$", "ADDRESS"),
        ]
        .map(|(pattern, fixed)| (Regex::new(pattern).expect("a pattern"), fixed))
    });
    let text = text.replace(namespace, "NAMESPACE");
    FIXED.iter().fold(text, |text, (pattern, fixed)| {
        pattern.replace_all(&text, *fixed).into_owned()
    })
}
