//! What calls report to a program while they run: for metrics and progress.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::Object;
use crate::lenient::Found;

/// Something that has happened in a call, or to what it acquired.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// What the operator says about what is waited for has changed, such as how many are before it in
    /// the queue.
    Waiting {
        /// What is waited for.
        object: Object,
        /// What the operator says.
        message: String,
    },
    /// Something was acquired.
    Acquired {
        /// What.
        object: Object,
        /// How long that took.
        after: Duration,
    },
    /// A hold was renewed.
    Renewed {
        /// What is held.
        object: Object,
        /// How long the request took.
        after: Duration,
    },
    /// A renewal has failed, and is tried again.
    RenewalFailed {
        /// What is held.
        object: Object,
    },
    /// A hold was lost.
    Lost {
        /// What was held.
        object: Object,
        /// How long it was held.
        after: Duration,
    },
    /// A hold was released.
    Released {
        /// What was held.
        object: Object,
        /// How long it was held.
        after: Duration,
    },
}

type Observe = dyn Fn(&Event) + Send + Sync;

/// The observer of events.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<Observe>>);

impl Observer {
    pub(crate) fn new(observe: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(observe)))
    }

    pub(crate) fn report(&self, event: impl FnOnce() -> Event) {
        if let Some(observe) = &self.0 {
            observe(&event());
        }
    }
}

/// Returns what the operator says about an object that is waited for, or nothing.
pub(crate) fn progress(object: &Found) -> &str {
    let text = object.text("/status/message");
    if !text.is_empty() {
        return text;
    }
    let conditions = object.0.pointer("/status/conditions");
    let conditions = conditions.and_then(Value::as_array);
    let open = conditions.and_then(|all| all.iter().find(|condition| condition["type"] == "Open"));
    let message = open.and_then(|open| open["message"].as_str());
    message.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_what_the_operator_says_about_any_kind() {
        let gate = json!({"status": {"conditions": [
            {"type": "Other", "message": "no"}, {"type": "Open", "message": "1 of 2 are met"}]}});
        let claim = json!({"status": {"message": "2 are before it", "conditions": []}});
        let table = [
            (gate, "1 of 2 are met"),
            (claim, "2 are before it"),
            (json!({}), ""),
            (json!({"status": {"conditions": [{"type": "Open"}]}}), ""),
        ];
        for (object, expected) in table {
            assert_eq!(progress(&Found(object)), expected);
        }
    }
}
