//! Who manages which fields of an object: `metadata.managedFields`, kept apart from the object.
//!
//! Writes enter as the object before and after; who owns what afterwards leaves, and for a
//! server-side apply the merged object or its conflicts. It is structured-merge-diff, the algorithm
//! of Kubernetes, on JSON values.

pub(crate) mod apply;
mod compare;
mod element;
mod merge;
pub(crate) mod set;
mod shape;

use std::sync::Arc;

use serde_json::{Map, Value, json};

use set::FieldSet;

/// The most managers that updated rather than applied, as on a real server.
const UPDATERS_MAX: usize = 10;
/// Who owns the fields of those that are too many.
const ANCIENT: &str = "ancient-changes";

/// Who wrote which fields, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// Whether by server-side apply.
    pub(crate) applied: bool,
    pub(crate) subresource: String,
    pub(crate) api_version: String,
    /// When, as `metadata.managedFields` has it.
    pub(crate) time: String,
    /// The set of fields, as JSON text: it is read only when an object is written.
    pub(crate) fields: String,
}

impl Manager {
    /// Whether it is the same manager: of the same name, operation and version.
    fn is(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.applied == other.applied
            && self.subresource == other.subresource
            && (self.applied || self.api_version == other.api_version)
    }

    fn set(&self) -> FieldSet {
        FieldSet::parse(&self.fields).unwrap_or_default()
    }
}

/// Everyone who wrote fields of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Managed(Option<Arc<[Manager]>>);

impl Managed {
    fn new(mut managers: Vec<Manager>) -> Self {
        let order = |manager: &Manager| {
            (
                !manager.applied,
                manager.time.clone(),
                manager.name.clone(),
                manager.api_version.clone(),
                manager.subresource.clone(),
            )
        };
        managers.sort_by_cached_key(order);
        Self((!managers.is_empty()).then(|| managers.into()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn managers(&self) -> &[Manager] {
        self.0.as_deref().unwrap_or_default()
    }

    /// What a client says in `metadata.managedFields`: nothing where it says nothing, or what can't
    /// be read; an empty one where it wants to reset them.
    pub(crate) fn from_client(value: &Value) -> Option<Self> {
        let entries = value.as_array()?;
        let reset = entries.is_empty() || entries.as_slice() == [json!({})];
        if reset {
            return Some(Self::default());
        }
        let managers: Option<Vec<_>> = entries.iter().map(read).collect();
        managers.map(Self::new)
    }

    /// Writes what `metadata.managedFields` has.
    pub(crate) fn write(&self, body: &mut Vec<u8>) {
        body.push(b'[');
        for (index, manager) in self.managers().iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            let mut entry = entry(manager).to_string();
            // The set is JSON text already.
            entry.pop();
            body.extend_from_slice(entry.as_bytes());
            body.extend_from_slice(b",\"fieldsV1\":");
            body.extend_from_slice(manager.fields.as_bytes());
            body.push(b'}');
        }
        body.push(b']');
    }

    /// The object with its managed fields.
    pub(crate) fn merged_into(&self, object: &Value) -> Value {
        let mut object = object.clone();
        let entries = self.managers().iter().map(|manager| {
            let mut entry = entry(manager);
            entry["fieldsV1"] = serde_json::from_str(&manager.fields).unwrap_or_default();
            entry
        });
        if !self.is_empty()
            && let Some(metadata) = object["metadata"].as_object_mut()
        {
            metadata.insert("managedFields".to_owned(), entries.collect());
        }
        object
    }

    /// Whether the same managers have the same fields, whenever they wrote them.
    pub(crate) fn same_beside_times(&self, other: &Self) -> bool {
        let (own, others) = (self.managers(), other.managers());
        own.len() == others.len()
            && own.iter().all(|manager| {
                others
                    .iter()
                    .any(|other| manager.is(other) && manager.fields == other.fields)
            })
    }
}

fn entry(manager: &Manager) -> Value {
    let mut entry = json!({
        "manager": manager.name,
        "operation": if manager.applied { "Apply" } else { "Update" },
        "apiVersion": manager.api_version,
    });
    if !manager.time.is_empty() {
        entry["time"] = manager.time.as_str().into();
    }
    if !manager.subresource.is_empty() {
        entry["subresource"] = manager.subresource.as_str().into();
    }
    entry["fieldsType"] = "FieldsV1".into();
    entry
}

fn read(entry: &Value) -> Option<Manager> {
    let text = |field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let applied = match entry["operation"].as_str()? {
        "Apply" => true,
        "Update" => false,
        _ => return None,
    };
    if text("apiVersion").is_empty() || text("fieldsType") != "FieldsV1" {
        return None;
    }
    let empty = Map::new();
    let fields = entry["fieldsV1"].as_object().unwrap_or(&empty);
    Some(Manager {
        name: text("manager"),
        applied,
        subresource: text("subresource"),
        api_version: text("apiVersion"),
        time: text("time"),
        fields: FieldSet::read(fields)?.to_string(),
    })
}
