//! One version of an object, as it is stored, and where.

use std::sync::Arc;

use serde_json::Value;

use crate::managed::Managed;

/// One stored version of an object.
#[derive(Debug)]
pub(crate) struct Version {
    /// The object without its managed fields, which are many and seldom asked for.
    pub(crate) value: Arc<Value>,
    pub(crate) managed: Managed,
    pub(crate) revision: u64,
    /// Whether the object is shown with more than was written, so that writing what is shown is a
    /// change.
    pub(crate) stale: bool,
}

/// Where an object is in its table. Sorted as the real store sorts: by namespace, then by name.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

/// Where this object is in its table.
pub(crate) fn key_of(object: &Value) -> String {
    let metadata = &object["metadata"];
    key(
        metadata["namespace"].as_str().unwrap_or_default(),
        metadata["name"].as_str().unwrap_or_default(),
    )
}
