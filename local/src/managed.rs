//! Who manages which fields of an object, kept apart from the object.

use std::sync::Arc;

/// Who wrote which fields, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// Whether by server-side apply.
    pub(crate) applied: bool,
    pub(crate) subresource: Option<String>,
    pub(crate) api_version: String,
    /// When, as `metadata.managedFields` has it.
    pub(crate) time: String,
    /// The set of fields, as JSON text: it is read only when an object is written.
    pub(crate) fields: String,
}

/// Everyone who wrote fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Managed(pub(crate) Option<Arc<[Manager]>>);
