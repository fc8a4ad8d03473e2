//! The pod template of a Job, as it was before a start wrote into it.
//!
//! What enters: a Job that was started, or one that was created from what is stored of such a Job. What leaves: what makes
//! its pod template again what its author wrote. What must never happen here: a value or a token of one run that stays for
//! the next.

use std::collections::{BTreeMap, BTreeSet};

use konductor_api::{Participant, annotation};

/// Returns each annotation of a Job's pod template that a start writes, with the value that it had before; `None` if it had
/// none. The list of the Job's items is among them.
pub(crate) fn annotations(job: &Participant) -> BTreeMap<String, Option<String>> {
    // A start has put values where defaults were, and has kept those.
    let presets = job.presets();
    let inputs: BTreeSet<String> = match &presets {
        Some(_) => {
            let keys = job.inputs.iter().flatten().flat_map(BTreeMap::keys);
            keys.map(|key| format!("{}{key}", annotation::INPUT_PREFIX))
                .collect()
        }
        None => BTreeSet::new(),
    };
    let annotations = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref()?.annotations.as_ref());
    let mut before = BTreeMap::new();
    for key in annotations.into_iter().flat_map(BTreeMap::keys) {
        let value = match key.as_str() {
            annotation::GUARD => Some(annotation::GUARD_WAITING.to_owned()),
            annotation::HELD | annotation::TRACEPARENT => None,
            annotation::ITEMS if job.items.is_some() => None,
            _ if key.starts_with(annotation::TOKEN_PREFIX) || inputs.contains(key) => None,
            _ => continue,
        };
        before.insert(key.clone(), value);
    }
    let presets = presets.into_iter().flatten();
    before.extend(presets.map(|(key, value)| (key, Some(value))));
    before
}
