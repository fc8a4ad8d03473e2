//! Reads an object of a built-in kind as the typed server does: types are checked, unknown fields
//! dropped, and what a typed client would not have sent is not there.
//!
//! A JSON value and its schema enter; the same value leaves, changed in place, with the paths of
//! the unknown fields, or the message of the decoder that the real server has.

use serde_json::{Map, Value};

use super::{Schema, Type};
use crate::field::Path;

/// Optional texts in which an empty one means something else than none.
const EMPTY_TEXT_COUNTS: [&str; 4] = [
    "storageClassName",
    "volumeAttributesClassName",
    "hostnameOverride",
    "runtimeClassName",
];

/// Reads `value` as `schema` says and returns the paths of unknown fields, sorted.
///
/// # Errors
/// If a value is not of its type, in the words of Go's decoder.
pub(crate) fn decode(value: &mut Value, schema: &Schema) -> Result<Vec<String>, String> {
    let mut decoder = Decoder {
        unknown: Vec::new(),
        owner: go_name(schema),
    };
    decoder.value(value, schema, &Path::default(), &mut Vec::new())?;
    decoder.unknown.sort();
    Ok(decoder.unknown)
}

struct Decoder {
    unknown: Vec<String>,
    /// The innermost Go struct.
    owner: String,
}

impl Decoder {
    /// `path` has the indices of lists, `names` not.
    fn value(
        &mut self,
        value: &mut Value,
        schema: &Schema,
        path: &Path,
        names: &mut Vec<String>,
    ) -> Result<(), String> {
        self.check(value, schema, names)?;
        match value {
            Value::Object(fields)
                if schema.properties.is_empty() && schema.additional.is_none() =>
            {
                let is_empty_type = !schema.preserves_unknown && schema.definition.is_some();
                if is_empty_type {
                    let dropped = fields
                        .keys()
                        .map(|name| path.child(name).as_str().to_owned());
                    self.unknown.extend(dropped);
                    fields.clear();
                }
            }
            Value::Object(fields) => self.fields(fields, schema, path, names)?,
            Value::Array(items) => {
                let Some(schema) = &schema.items else {
                    return Ok(());
                };
                for (index, item) in items.iter_mut().enumerate() {
                    self.value(item, schema, &path.index(index), names)?;
                }
            }
            Value::Number(number) if is_quantity(schema) => {
                *value = Value::String(number.to_string());
            }
            _ => {}
        }
        Ok(())
    }

    fn fields(
        &mut self,
        fields: &mut Map<String, Value>,
        schema: &Schema,
        path: &Path,
        names: &mut Vec<String>,
    ) -> Result<(), String> {
        // A map is a field of the struct that it is in.
        let is_map = schema.properties.is_empty();
        let owner = self.owner.clone();
        if !is_map {
            self.owner = go_name(schema);
        }
        let mut dropped = Vec::new();
        for (name, value) in fields.iter_mut() {
            let Some(field) = schema.field(name) else {
                if !schema.preserves_unknown {
                    self.unknown.push(path.child(name).as_str().to_owned());
                    dropped.push(name.clone());
                }
                continue;
            };
            if is_map {
                self.value(value, field, &path.child(name), names)?;
                continue;
            }
            names.push(name.clone());
            self.value(value, field, &path.child(name), names)?;
            names.pop();
            let required = schema.required.contains(name);
            if schema.properties.contains_key(name) && says_nothing(name, value, field, required) {
                dropped.push(name.clone());
            }
        }
        for name in dropped {
            fields.shift_remove(&name);
        }
        self.owner = owner;
        Ok(())
    }

    fn check(&self, value: &Value, schema: &Schema, names: &[String]) -> Result<(), String> {
        let fits = match (schema.kind, value) {
            (Type::Any, Value::String(_) | Value::Number(_))
                if schema.format == "int-or-string" =>
            {
                true
            }
            (Type::Any, _) => schema.format != "int-or-string" || value.is_null(),
            (_, Value::Null)
            | (Type::Object, Value::Object(_))
            | (Type::Array, Value::Array(_))
            | (Type::String, Value::String(_))
            | (Type::Boolean, Value::Bool(_))
            | (Type::Number, Value::Number(_))
            | (Type::IntOrString, Value::Number(_) | Value::String(_)) => true,
            (Type::Integer, Value::Number(number)) => fits_integer(number, &schema.format),
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let actual = match value {
            Value::Number(number) if schema.kind == Type::Integer => format!("number {number}"),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Bool(_) => "bool".to_owned(),
            Value::Array(_) => "array".to_owned(),
            Value::Object(_) => "object".to_owned(),
            Value::Null => "null".to_owned(),
        };
        let place = if names.is_empty() {
            "value".to_owned()
        } else {
            format!("struct field {}.{}", self.owner, names.join("."))
        };
        Err(format!(
            "json: cannot unmarshal {actual} into Go {place} of type {}",
            go_type(schema)
        ))
    }
}

fn fits_integer(number: &serde_json::Number, format: &str) -> bool {
    match number.as_i64() {
        Some(integer) if format == "int32" => i32::try_from(integer).is_ok(),
        Some(_) => true,
        None => false,
    }
}

fn is_quantity(schema: &Schema) -> bool {
    schema
        .definition
        .is_some_and(|definition| definition.ends_with(".Quantity"))
}

/// Whether a typed client would have left the field out.
fn says_nothing(name: &str, value: &Value, schema: &Schema, required: bool) -> bool {
    match value {
        Value::Null => true,
        _ if required => false,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && schema.additional.is_some(),
        Value::String(text) => text.is_empty() && !EMPTY_TEXT_COUNTS.contains(&name),
        _ => false,
    }
}

fn go_name(schema: &Schema) -> String {
    let name = schema.definition.and_then(|name| name.rsplit('.').next());
    name.unwrap_or_default().to_owned()
}

fn go_type(schema: &Schema) -> String {
    if let Some(definition) = schema.definition {
        let mut parts = definition.rsplit('.');
        let name = parts.next().unwrap_or_default();
        return match parts.next() {
            _ if name == "Time" || name == "MicroTime" => "string".to_owned(),
            Some(package) => format!("{package}.{name}"),
            None => name.to_owned(),
        };
    }
    match schema.kind {
        Type::Integer if schema.format == "int32" => "int32".to_owned(),
        Type::Integer => "int64".to_owned(),
        Type::Number => "float64".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::Array => match &schema.items {
            Some(items) => format!("[]{}", go_type(items)),
            None => "[]interface {}".to_owned(),
        },
        Type::Object => match &schema.additional {
            Some(values) => format!("map[string]{}", go_type(values)),
            None => "map[string]interface {}".to_owned(),
        },
        Type::String | Type::IntOrString | Type::Any => "string".to_owned(),
    }
}
