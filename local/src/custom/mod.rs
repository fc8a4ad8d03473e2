//! Custom resources.

use serde_json::Value;

/// What a CustomResourceDefinition says about the objects of one version.
#[derive(Clone, Debug)]
pub(crate) struct Custom {
    /// The schema as it was written.
    source: Value,
}

impl Custom {
    pub(crate) fn source(&self) -> &Value {
        &self.source
    }
}
