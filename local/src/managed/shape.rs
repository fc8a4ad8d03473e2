//! How a value is taken apart: as one, by its fields, or by its items.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::element::Element;
use crate::schema::{ListType, Schema, Type};

/// How a value is taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It is one: a scalar, an atomic list or an atomic map.
    Whole,
    /// By its fields.
    Fields,
    /// By its items, which something identifies.
    Items,
}

impl Shape {
    /// The shape of a value by its schema, or by what it is where the schema leaves that open.
    pub(super) fn of(schema: &Schema, value: &Value) -> Self {
        match (schema.kind, value) {
            (Type::Object, _) | (Type::Any, Value::Object(_)) => {
                if schema.atomic_map {
                    Shape::Whole
                } else {
                    Shape::Fields
                }
            }
            (Type::Array, _) if schema.list_type != ListType::Atomic => Shape::Items,
            _ => Shape::Whole,
        }
    }

    /// The schema of a list's items.
    pub(super) fn items(schema: &Schema) -> Arc<Schema> {
        schema.items.clone().unwrap_or_default()
    }
}

/// What identifies an item of a list.
///
/// # Errors
/// If it can't be identified.
pub(super) fn item_element(schema: &Schema, item: &Value) -> Result<Element, String> {
    let ListType::Map(keys) = &schema.list_type else {
        return match item {
            Value::Object(_) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            Value::Array(_) => {
                Err("not supported: associative list with lists as elements".to_owned())
            }
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".into())
            }
            scalar => Ok(Element::value(scalar)),
        };
    };
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => {
            return Err("associative list with keys may not have a null element".to_owned());
        }
        _ => {
            return Err("associative list with keys may not have non-map elements".to_owned());
        }
    };
    let items = Shape::items(schema);
    let mut key_fields = Map::new();
    for key in keys {
        let default = || items.properties.get(key)?.default.as_ref();
        if let Some(value) = fields.get(key).or_else(default) {
            key_fields.insert(key.clone(), value.clone());
        }
    }
    if key_fields.is_empty() {
        let keys: Vec<_> = keys.iter().map(|key| crate::field::quote(key)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and \
             doesn't have default values for any key fields)",
            keys.join(" ")
        ));
    }
    Ok(Element::key(&key_fields))
}
