//! What differs between two objects, and what an object consists of, as sets of fields.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::element::Element;
use super::set::FieldSet;
use super::shape::{Shape, item_element};
use crate::schema::{Schema, field_of};

/// What differs: no field is in more than one of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) removed: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) added: FieldSet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Here {
    Same,
    Removed,
    Modified,
    Added,
}

impl Comparison {
    fn attach(&mut self, element: &Element, (here, below): (Here, Comparison)) {
        match here {
            Here::Same => {}
            Here::Removed => self.removed.insert(element.clone()),
            Here::Modified => self.modified.insert(element.clone()),
            Here::Added => self.added.insert(element.clone()),
        }
        self.removed.attach(element.clone(), below.removed);
        self.modified.attach(element.clone(), below.modified);
        self.added.attach(element.clone(), below.added);
    }

    /// Without these fields of the object.
    pub(super) fn without(&self, fields: &[&str]) -> Self {
        Self {
            removed: self.removed.without(fields),
            modified: self.modified.without(fields),
            added: self.added.without(fields),
        }
    }
}

/// What differs between two objects of one schema.
pub(super) fn compare(before: &Value, after: &Value, schema: &Schema) -> Comparison {
    node(Some(before), Some(after), schema).1
}

fn node(before: Option<&Value>, after: Option<&Value>, schema: &Schema) -> (Here, Comparison) {
    let Some(some) = after.or(before) else {
        return (Here::Same, Comparison::default());
    };
    if before == after {
        return (Here::Same, Comparison::default());
    }
    // If an open schema has two shapes, the value is replaced as a whole.
    let shape = match (before, after) {
        (Some(before), Some(after)) if !before.is_null() && !after.is_null() => {
            let shapes = (Shape::of(schema, before), Shape::of(schema, after));
            if shapes.0 == shapes.1 {
                shapes.1
            } else {
                Shape::Whole
            }
        }
        (Some(before), Some(after)) if after.is_null() => Shape::of(schema, before),
        _ => Shape::of(schema, some),
    };
    let empty = |value: Option<&Value>| match value {
        None | Some(Value::Null) => true,
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(items)) => items.is_empty(),
        Some(_) => false,
    };
    if shape == Shape::Whole || (empty(before) && empty(after)) {
        let here = match (before, after) {
            (None, Some(_)) => Here::Added,
            (Some(_), None) => Here::Removed,
            (before, after) if before != after => Here::Modified,
            _ => Here::Same,
        };
        return (here, Comparison::default());
    }
    let below = match shape {
        Shape::Fields => fields(before, after, schema),
        _ => items(before, after, schema),
    };
    let here = match (before, after) {
        (None, _) => Here::Added,
        (_, None) => Here::Removed,
        _ => Here::Same,
    };
    (here, below)
}

fn fields(before: Option<&Value>, after: Option<&Value>, schema: &Schema) -> Comparison {
    let mut comparison = Comparison::default();
    let before = before.and_then(Value::as_object);
    let after = after.and_then(Value::as_object);
    for (name, old) in before.into_iter().flatten() {
        let new = after.and_then(|fields| fields.get(name));
        let below = node(Some(old), new, &field_of(schema, name));
        comparison.attach(&Element::field(name), below);
    }
    let is_new = |name: &str| before.is_none_or(|fields| !fields.contains_key(name));
    for (name, new) in after.into_iter().flatten().filter(|(name, _)| is_new(name)) {
        let below = node(None, Some(new), &field_of(schema, name));
        comparison.attach(&Element::field(name), below);
    }
    comparison
}

fn items(before: Option<&Value>, after: Option<&Value>, schema: &Schema) -> Comparison {
    let mut comparison = Comparison::default();
    let (before, after) = (indexed(before, schema), indexed(after, schema));
    let item_schema = Shape::items(schema);
    let elements: BTreeSet<&Element> = before.keys().chain(after.keys()).collect();
    for element in elements {
        let old = before.get(element).map(Vec::as_slice).unwrap_or_default();
        let new = after.get(element).map(Vec::as_slice).unwrap_or_default();
        let (first_old, first_new) = (old.first().copied(), new.first().copied());
        match (old.len(), new.len()) {
            (0 | 1, 0 | 1) => {
                comparison.attach(element, node(first_old, first_new, &item_schema));
            }
            (2.., 2..) if old == new => {}
            (2.., 2..) => comparison.modified.insert(element.clone()),
            (2.., _) => {
                comparison.attach(element, node(None, first_new, &item_schema));
                comparison.removed.insert(element.clone());
            }
            _ => {
                comparison.attach(element, node(first_old, None, &item_schema));
                comparison.added.insert(element.clone());
            }
        }
    }
    comparison
}

/// The items of a list by what identifies them; what can't be identified is left out.
fn indexed<'a>(list: Option<&'a Value>, schema: &Schema) -> BTreeMap<Element, Vec<&'a Value>> {
    let mut indexed: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for item in list.and_then(Value::as_array).into_iter().flatten() {
        if let Ok(element) = item_element(schema, item) {
            indexed.entry(element).or_default().push(item);
        }
    }
    indexed
}

/// All fields an object consists of.
pub(super) fn field_set(value: &Value, schema: &Schema) -> FieldSet {
    consists(value, schema).1
}

fn consists(value: &Value, schema: &Schema) -> (bool, FieldSet) {
    let mut set = FieldSet::default();
    match Shape::of(schema, value) {
        Shape::Whole => return (true, set),
        Shape::Fields => {
            for (name, value) in value.as_object().into_iter().flatten() {
                let (member, below) = consists(value, &field_of(schema, name));
                let element = Element::field(name);
                let empty = value.is_null() || value.as_object().is_some_and(|map| map.is_empty());
                if member || empty || !schema.properties.contains_key(name) {
                    set.insert(element.clone());
                }
                set.attach(element, below);
            }
        }
        Shape::Items => {
            let item_schema = Shape::items(schema);
            for (element, items) in indexed(Some(value), schema) {
                set.insert(element.clone());
                if let [item] = items.as_slice() {
                    set.attach(element, consists(item, &item_schema).1);
                }
            }
        }
    }
    (false, set)
}

/// The object without these fields; nothing where nothing is left of it.
pub(super) fn remove(value: &Value, schema: &Schema, gone: &FieldSet) -> Option<Value> {
    match (Shape::of(schema, value), value) {
        (Shape::Fields, Value::Object(fields)) => {
            let mut kept = serde_json::Map::new();
            for (name, value) in fields {
                let element = Element::field(name);
                if gone.has(&element) {
                    continue;
                }
                let value = match gone.below(&element) {
                    Some(gone) => {
                        remove(value, &field_of(schema, name), gone).unwrap_or(Value::Null)
                    }
                    None => value.clone(),
                };
                kept.insert(name.clone(), value);
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        (Shape::Items, Value::Array(items)) => {
            let item_schema = Shape::items(schema);
            let mut kept = Vec::new();
            for item in items {
                let Ok(element) = item_element(schema, item) else {
                    kept.push(item.clone());
                    continue;
                };
                if gone.has(&element) {
                    continue;
                }
                kept.extend(match gone.below(&element) {
                    Some(gone) => remove(item, &item_schema, gone),
                    None => Some(item.clone()),
                });
            }
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => Some(value.clone()),
    }
}
