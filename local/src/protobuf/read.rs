//! From protobuf to JSON.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::MAGIC;
use super::table::{self, Field, Message, Shape, Type};
use super::unreadable::Unreadable;
use super::wire::{Fields, Wire};
use crate::encoding;

/// How deep messages may be in each other, as a real server reads them.
const DEPTH_MAX: usize = 100;

/// Reads an envelope: the object in it, with its `apiVersion` and `kind`.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut fields = Fields(bytes.strip_prefix(MAGIC).ok_or(Unreadable::NoMagic)?);
    let (mut raw, mut api_version, mut kind) = (&b""[..], String::new(), String::new());
    while let Some(field) = fields.next()? {
        match field {
            (1, Wire::Bytes(names)) => {
                let mut names = Fields(names);
                while let Some(name) = names.next()? {
                    match name {
                        (1, Wire::Bytes(text)) => api_version = string(text, "apiVersion")?,
                        (2, Wire::Bytes(text)) => kind = string(text, "kind")?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let Some(message) = table::kind(&api_version, &kind) else {
        return Err(Unreadable::Unknown { api_version, kind });
    };
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), api_version.into());
    object.insert("kind".to_owned(), kind.into());
    read_fields(&mut object, message, raw, DEPTH_MAX)?;
    Ok(Value::Object(object))
}

fn read_message(name: &str, bytes: &[u8], depth: usize) -> Result<Value, Unreadable> {
    let depth = depth.checked_sub(1).ok_or(Unreadable::TooDeep)?;
    let mut object = Map::new();
    let Some(message) = table::message(name) else {
        return Ok(Value::Object(object));
    };
    read_fields(&mut object, message, bytes, depth)?;
    if message.is_union {
        // The schema says more than the flag that is always written beside it.
        let schema = object.shift_remove("schema");
        let other = object.into_iter().next().map(|(_, value)| value);
        return Ok(schema.or(other).unwrap_or(Value::Null));
    }
    Ok(Value::Object(object))
}

fn read_fields(
    object: &mut Map<String, Value>,
    message: &Message,
    bytes: &[u8],
    depth: usize,
) -> Result<(), Unreadable> {
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        // A field of a newer version: a real server drops it, too.
        let Some(field) = message.fields.iter().find(|field| field.number == number) else {
            continue;
        };
        read_field(object, field, wire, depth)?;
    }
    Ok(())
}

fn read_field(
    object: &mut Map<String, Value>,
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(), Unreadable> {
    match field.shape {
        Shape::Inline => {
            let (Type::Message(name), Wire::Bytes(bytes)) = (field.of, wire) else {
                return Err(Unreadable::WrongWireType(field.name));
            };
            let depth = depth.checked_sub(1).ok_or(Unreadable::TooDeep)?;
            if let Some(message) = table::message(name) {
                read_fields(object, message, bytes, depth)?;
            }
        }
        Shape::List => {
            let item = read_value(field, wire, depth)?;
            let list = object.entry(field.name).or_insert_with(|| json!([]));
            if let Value::Array(list) = list {
                list.push(item);
            }
        }
        Shape::Map => {
            let Wire::Bytes(bytes) = wire else {
                return Err(Unreadable::WrongWireType(field.name));
            };
            let (key, value) = read_entry(field, bytes, depth)?;
            let map = object.entry(field.name).or_insert_with(|| json!({}));
            if let Value::Object(map) = map {
                map.insert(key, value);
            }
        }
        Shape::Value | Shape::Required | Shape::Pointer => {
            let value = read_value(field, wire, depth)?;
            if field.shape != Shape::Value || !is_empty(&value) {
                object.insert(field.name.to_owned(), value);
            } else {
                object.shift_remove(field.name);
            }
        }
    }
    Ok(())
}

/// What Go leaves out of JSON: not structs.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

fn read_entry(field: &Field, bytes: &[u8], depth: usize) -> Result<(String, Value), Unreadable> {
    let mut key = String::new();
    let mut value = None;
    let mut fields = Fields(bytes);
    while let Some((number, wire)) = fields.next()? {
        match (number, wire) {
            (1, Wire::Bytes(text)) => key = string(text, field.name)?,
            (2, wire) => value = Some(read_value(field, wire, depth)?),
            _ => {}
        }
    }
    let value = match value {
        Some(value) => value,
        None => read_value(field, Wire::Bytes(b""), depth)?,
    };
    Ok((key, value))
}

fn read_value(field: &Field, wire: Wire<'_>, depth: usize) -> Result<Value, Unreadable> {
    let name = field.name;
    Ok(match (field.of, wire) {
        (Type::Bool, Wire::Varint(number)) => Value::Bool(number != 0),
        (Type::Integer, Wire::Varint(number)) => json!(number.cast_signed()),
        (Type::Double, Wire::Fixed64(bits)) => json!(f64::from_bits(bits)),
        (Type::String, Wire::Bytes(bytes)) => string(bytes, name)?.into(),
        (Type::Bytes, Wire::Bytes(bytes)) => encoding::base64(bytes).into(),
        (Type::Time | Type::MicroTime, Wire::Bytes(bytes)) => time(field, bytes)?,
        (Type::Quantity, Wire::Bytes(bytes)) => quantity(name, bytes)?,
        (Type::IntOrString, Wire::Bytes(bytes)) => int_or_string(name, bytes)?,
        (Type::Raw, Wire::Bytes(bytes)) => raw(name, bytes)?,
        (Type::Strings, Wire::Bytes(bytes)) => strings(name, bytes)?,
        (Type::Message(message), Wire::Bytes(bytes)) => read_message(message, bytes, depth)?,
        _ => return Err(Unreadable::WrongWireType(name)),
    })
}

fn string(bytes: &[u8], name: &'static str) -> Result<String, Unreadable> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Unreadable::NoText(name))
}

fn time(field: &Field, bytes: &[u8]) -> Result<Value, Unreadable> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields(bytes);
    while let Some(pair) = fields.next()? {
        match pair {
            (1, Wire::Varint(number)) => seconds = number.cast_signed(),
            (2, Wire::Varint(number)) => nanos = number.cast_signed(),
            _ => {}
        }
    }
    if (seconds, nanos) == (0, 0) {
        return Ok(Value::Null);
    }
    let out_of_range = || Unreadable::OutOfRange(field.name);
    let nanos = i32::try_from(nanos).map_err(|_| out_of_range())?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| out_of_range())?;
    let precision = match field.of {
        Type::MicroTime => 6,
        _ => 0,
    };
    Ok(format!("{time:.precision$}").into())
}

fn quantity(name: &'static str, bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut fields = Fields(bytes);
    let mut text = String::new();
    while let Some(pair) = fields.next()? {
        if let (1, Wire::Bytes(bytes)) = pair {
            text = string(bytes, name)?;
        }
    }
    if text.is_empty() {
        text.push('0');
    }
    Ok(text.into())
}

fn int_or_string(name: &'static str, bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut fields = Fields(bytes);
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    while let Some(pair) = fields.next()? {
        match pair {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, Wire::Varint(value)) => number = value.cast_signed(),
            (3, Wire::Bytes(bytes)) => text = string(bytes, name)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

fn raw(name: &'static str, bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut fields = Fields(bytes);
    let mut value = Value::Null;
    while let Some(pair) = fields.next()? {
        if let (1, Wire::Bytes(bytes)) = pair
            && !bytes.is_empty()
        {
            value = serde_json::from_slice(bytes).map_err(|_| Unreadable::NoJson(name))?;
        }
    }
    Ok(value)
}

fn strings(name: &'static str, bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut fields = Fields(bytes);
    let mut list = Vec::new();
    while let Some(pair) = fields.next()? {
        if let (1, Wire::Bytes(bytes)) = pair {
            list.push(Value::String(string(bytes, name)?));
        }
    }
    Ok(Value::Array(list))
}
