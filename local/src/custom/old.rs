//! What a part of an object was before a change, where that is known.

use std::sync::Arc;

use serde_json::Value;

use crate::schema::{ListType, Schema, field_of};

/// A part of the object as it was, with its schema.
#[derive(Clone, Debug)]
pub(super) struct Old<'a> {
    pub(super) value: &'a Value,
    pub(super) schema: Arc<Schema>,
}

impl<'a> Old<'a> {
    /// Returns what a field was. An atomic map is compared only as a whole.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        if self.schema.atomic_map {
            return None;
        }
        Some(Self {
            value: self.value.get(name)?,
            schema: field_of(&self.schema, name),
        })
    }

    /// What an item was: only where something beside its place identifies it.
    pub(super) fn item(&self, item: &Value) -> Option<Self> {
        let ListType::Map(keys) = &self.schema.list_type else {
            return None;
        };
        let items = self.value.as_array()?;
        let same = |old: &&'a Value| keys.iter().all(|key| old.get(key) == item.get(key));
        Some(Self {
            value: items.iter().find(same)?,
            schema: self.schema.items.clone().unwrap_or_default(),
        })
    }
}
