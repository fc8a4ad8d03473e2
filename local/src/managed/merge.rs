//! Merges what is applied into what is there, and checks that it can be.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::Element;
use super::shape::{Shape, item_element};
use crate::schema::{Schema, Type, field_of};

/// What is wrong with an object that is to be applied: fields the schema does not know, values of
/// another type, items that are there twice.
pub(super) fn check(value: &Value, schema: &Schema, path: &str, mistakes: &mut Vec<String>) {
    let place = |what: String| {
        if path.is_empty() {
            what
        } else {
            format!("{path}: {what}")
        }
    };
    if value.is_null() {
        return;
    }
    match (schema.kind, value) {
        (Type::Object | Type::Any, Value::Object(fields)) => {
            let open = schema.preserves_unknown || schema.kind == Type::Any;
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                if schema.field(name).is_none() && !open {
                    mistakes.push(format!("{path}: field not declared in schema"));
                    continue;
                }
                check(value, &field_of(schema, name), &path, mistakes);
            }
        }
        (Type::Array, Value::Array(items)) => check_items(items, schema, path, mistakes),
        (Type::Object, other) => mistakes.push(place(format!("expected map, got &{}", go(other)))),
        (Type::Array, other) => mistakes.push(place(format!("expected list, got &{}", go(other)))),
        (Type::String, Value::String(_))
        | (Type::Integer | Type::Number, Value::Number(_))
        | (Type::Boolean, Value::Bool(_))
        | (Type::Any | Type::IntOrString, _) => {}
        (Type::String, other) => {
            mistakes.push(place(format!("expected string, got &{}", go(other))));
        }
        (Type::Integer | Type::Number, other) => {
            let kind = match other {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            mistakes.push(place(format!(
                "expected numeric (int or float), got {kind}"
            )));
        }
        (Type::Boolean, other) => {
            mistakes.push(place(format!("expected boolean, got &{}", go(other))));
        }
    }
}

/// A value as Go prints the wrapper of it.
fn go(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{{{text}}}"),
        other => format!("{{{other}}}"),
    }
}

fn check_items(items: &[Value], schema: &Schema, path: &str, mistakes: &mut Vec<String>) {
    let item_schema = Shape::items(schema);
    let mut seen = Vec::new();
    for (index, item) in items.iter().enumerate() {
        if Shape::of(schema, &Value::Array(Vec::new())) != Shape::Items {
            check(item, &item_schema, &format!("{path}[{index}]"), mistakes);
            continue;
        }
        match item_element(schema, item) {
            Err(why) => {
                mistakes.push(format!("{path}: element {index}: {why}"));
                return;
            }
            Ok(element) => {
                if seen.contains(&element) {
                    mistakes.push(format!("{path}: duplicate entries for key {element}"));
                }
                check(item, &item_schema, &format!("{path}{element}"), mistakes);
                seen.push(element);
            }
        }
    }
}

/// What is there with what is applied merged into it.
pub(super) fn merge(live: &Value, applied: &Value, schema: &Schema) -> Value {
    node(Some(live), Some(applied), schema).unwrap_or(Value::Null)
}

fn node(live: Option<&Value>, applied: Option<&Value>, schema: &Schema) -> Option<Value> {
    let some = applied.or(live)?;
    let shape = match (live, applied) {
        (Some(live), Some(applied)) if applied.is_null() => Shape::of(schema, live),
        _ => Shape::of(schema, some),
    };
    let empty = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    if shape == Shape::Whole || (empty(live) && empty(applied)) {
        return Some(some.clone());
    }
    if shape == Shape::Fields {
        return fields(live, applied, schema);
    }
    items(live, applied, schema)
}

fn fields(live: Option<&Value>, applied: Option<&Value>, schema: &Schema) -> Option<Value> {
    let live = live.and_then(Value::as_object);
    let applied = applied.and_then(Value::as_object);
    let mut merged = Map::new();
    for (name, value) in live.into_iter().flatten() {
        let new = applied.and_then(|fields| fields.get(name));
        let below = node(Some(value), new, &field_of(schema, name));
        merged.extend(below.map(|value| (name.clone(), value)));
    }
    let is_new = |name: &str| live.is_none_or(|fields| !fields.contains_key(name));
    for (name, value) in applied
        .into_iter()
        .flatten()
        .filter(|(name, _)| is_new(name))
    {
        let below = node(None, Some(value), &field_of(schema, name));
        merged.extend(below.map(|value| (name.clone(), value)));
    }
    (!merged.is_empty()).then_some(Value::Object(merged))
}

/// The items of a list with what identifies them.
struct Items<'a> {
    elements: Vec<Element>,
    values: Vec<&'a Value>,
    /// The item of each identity; nothing where several have it.
    by_element: BTreeMap<Element, Option<&'a Value>>,
}

impl<'a> Items<'a> {
    fn of(list: Option<&'a Value>, schema: &Schema) -> Self {
        let mut items = Items {
            elements: Vec::new(),
            values: Vec::new(),
            by_element: BTreeMap::new(),
        };
        for item in list.and_then(Value::as_array).into_iter().flatten() {
            let Ok(element) = item_element(schema, item) else {
                continue;
            };
            let single = !items.by_element.contains_key(&element);
            items
                .by_element
                .insert(element.clone(), single.then_some(item));
            items.elements.push(element);
            items.values.push(item);
        }
        items
    }

    fn has(&self, element: &Element) -> bool {
        self.by_element.contains_key(element)
    }

    fn get(&self, element: &Element) -> Option<&'a Value> {
        self.by_element.get(element).copied().flatten()
    }
}

/// Merges lists: what is applied comes in its order, what is only there stays where it is between.
fn items(live: Option<&Value>, applied: Option<&Value>, schema: &Schema) -> Option<Value> {
    let (live, applied) = (Items::of(live, schema), Items::of(applied, schema));
    let item_schema = Shape::items(schema);
    let mut shared = applied.elements.iter().filter(|element| live.has(element));
    let mut next_shared = shared.next();
    let mut merged = Vec::new();
    let mut done: Vec<&Element> = Vec::new();
    let (mut left, mut right) = (0, 0);
    while left < live.elements.len() || right < applied.elements.len() {
        if let (Some(here), Some(there)) = (live.elements.get(left), applied.elements.get(right)) {
            if here == there {
                done.push(there);
                merged.extend(node(live.get(here), applied.get(there), &item_schema));
                (left, right) = (left + 1, right + 1);
                next_shared = shared.next();
                continue;
            }
            if applied.has(here) && next_shared.is_some_and(|next| next != here) {
                // It comes later in what is applied.
                left += 1;
                continue;
            }
        }
        if let Some(here) = live.elements.get(left) {
            if !applied.has(here) {
                merged.extend(node(Some(live.values[left]), None, &item_schema));
                left += 1;
                continue;
            }
            if done.contains(&here) {
                left += 1;
            }
        }
        if let Some(there) = applied.elements.get(right) {
            done.push(there);
            merged.extend(node(live.get(there), applied.get(there), &item_schema));
            right += 1;
            if next_shared == Some(there) {
                next_shared = shared.next();
            }
        }
    }
    (!merged.is_empty()).then_some(Value::Array(merged))
}
