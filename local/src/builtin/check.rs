//! What several kinds check.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::field::Path;
use crate::status::Cause;

/// A number that must not be negative, if there is one.
pub(super) fn not_negative(value: &Value, field: &str, path: &Path, causes: &mut Vec<Cause>) {
    if let Some(number) = value[field].as_i64().filter(|number| *number < 0) {
        let why = "must be greater than or equal to 0";
        causes.push(path.child(field).invalid(number, why));
    }
}

/// The names of all containers of a Job's pods.
pub(super) fn container_names(spec: &Value) -> BTreeSet<&str> {
    let template = &spec["template"]["spec"];
    ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| template[field].as_array().into_iter().flatten())
        .filter_map(|container| container["name"].as_str())
        .collect()
}
