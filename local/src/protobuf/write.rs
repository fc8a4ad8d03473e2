//! From JSON to protobuf.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::table::{self, Field, Message, Shape, Type};
use super::wire::{put_bytes, put_double, put_number};
use super::{MAGIC, names};
use crate::encoding;

/// Writes an object in its envelope; nothing if there is no protobuf of its kind.
pub(crate) fn write(value: &Value) -> Option<Vec<u8>> {
    let (api_version, kind) = names(value);
    let message = table::kind(api_version, kind)?;
    let mut raw = Vec::new();
    write_message(&mut raw, message, value.as_object()?);
    Some(envelope(api_version, kind, &raw))
}

/// Writes an event of a watch, framed by its length.
pub(crate) fn watch_event(event: &Value) -> Option<Vec<u8>> {
    let object = write(&event["object"])?;
    let mut extension = Vec::new();
    put_bytes(&mut extension, 1, &object);
    let mut raw = Vec::new();
    put_bytes(&mut raw, 1, event["type"].as_str()?.as_bytes());
    put_bytes(&mut raw, 2, &extension);
    let event = envelope("v1", "WatchEvent", &raw);
    let mut frame = u32::try_from(event.len()).ok()?.to_be_bytes().to_vec();
    frame.extend(event);
    Some(frame)
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut names = Vec::new();
    put_bytes(&mut names, 1, api_version.as_bytes());
    put_bytes(&mut names, 2, kind.as_bytes());
    let mut bytes = MAGIC.to_vec();
    put_bytes(&mut bytes, 1, &names);
    put_bytes(&mut bytes, 2, raw);
    put_bytes(&mut bytes, 3, b"");
    put_bytes(&mut bytes, 4, b"");
    bytes
}

fn write_message(out: &mut Vec<u8>, message: &Message, object: &Map<String, Value>) {
    for field in &message.fields {
        if field.shape == Shape::Inline {
            // A message without fields is written, too: that is how Go writes structs.
            if let Type::Message(name) = field.of
                && let Some(inline) = table::message(name)
            {
                let mut inner = Vec::new();
                write_message(&mut inner, inline, object);
                put_bytes(out, field.number, &inner);
            }
            continue;
        }
        let Some(value) = object.get(field.name).filter(|value| !value.is_null()) else {
            continue;
        };
        match (field.shape, value) {
            (Shape::List, Value::Array(items)) => {
                for item in items {
                    write_value(out, field.number, field, item);
                }
            }
            (Shape::Map, Value::Object(entries)) => {
                for (key, value) in entries {
                    let mut entry = Vec::new();
                    put_bytes(&mut entry, 1, key.as_bytes());
                    write_value(&mut entry, 2, field, value);
                    put_bytes(out, field.number, &entry);
                }
            }
            _ => write_value(out, field.number, field, value),
        }
    }
}

/// Writes one value. What is stored was checked against the schema, so its types are right.
fn write_value(out: &mut Vec<u8>, number: u64, field: &Field, value: &Value) {
    let text = value.as_str().unwrap_or_default();
    match field.of {
        Type::Bool => put_number(out, number, u64::from(value.as_bool().unwrap_or_default())),
        Type::Integer => {
            let integer = value.as_i64().unwrap_or_default();
            put_number(out, number, integer.cast_unsigned());
        }
        Type::Double => put_double(out, number, value.as_f64().unwrap_or_default()),
        Type::String => put_bytes(out, number, text.as_bytes()),
        Type::Bytes => {
            let bytes = encoding::from_base64(text).unwrap_or_default();
            put_bytes(out, number, &bytes);
        }
        _ => {
            let mut inner = Vec::new();
            write_inner(&mut inner, field.of, value);
            put_bytes(out, number, &inner);
        }
    }
}

/// Writes what a value has between its length and its end.
fn write_inner(out: &mut Vec<u8>, of: Type, value: &Value) {
    let text = value.as_str().unwrap_or_default();
    match of {
        Type::Time | Type::MicroTime => {
            if let Ok(time) = text.parse::<Timestamp>() {
                let nanos = i64::from(time.subsec_nanosecond());
                put_number(out, 1, time.as_second().cast_unsigned());
                put_number(out, 2, nanos.cast_unsigned());
            }
        }
        Type::Quantity => put_bytes(out, 1, text.as_bytes()),
        Type::IntOrString => match value.as_i64() {
            Some(integer) => {
                put_number(out, 1, 0);
                put_number(out, 2, integer.cast_unsigned());
            }
            None => {
                put_number(out, 1, 1);
                put_bytes(out, 3, text.as_bytes());
            }
        },
        Type::Raw => put_bytes(out, 1, value.to_string().as_bytes()),
        Type::Strings => {
            for item in value.as_array().into_iter().flatten() {
                put_bytes(out, 1, item.as_str().unwrap_or_default().as_bytes());
            }
        }
        Type::Message(name) => match (table::message(name), value) {
            (Some(union), value) if union.is_union => write_union(out, union, value),
            (Some(message), Value::Object(object)) => write_message(out, message, object),
            _ => {}
        },
        Type::String | Type::Bytes | Type::Bool | Type::Integer | Type::Double => {}
    }
}

/// Writes the one field of a union that takes such a value.
fn write_union(out: &mut Vec<u8>, union: &Message, value: &Value) {
    for field in &union.fields {
        match (field.shape, field.of, value) {
            (Shape::List, _, Value::Array(items)) => {
                for item in items {
                    write_value(out, field.number, field, item);
                }
            }
            (_, Type::Bool, Value::Bool(_)) => write_value(out, field.number, field, value),
            // A schema beside which the flag is written, too.
            (_, Type::Bool, Value::Object(_)) => put_number(out, field.number, 1),
            (Shape::Pointer, Type::Message(_), Value::Object(_)) => {
                write_value(out, field.number, field, value);
            }
            _ => {}
        }
    }
}
