//! Lists whose items must differ: sets, and lists that are maps by some of their items' fields.

use serde_json::{Map, Value};

use crate::field::Path;
use crate::schema::{ListType, Schema, field_of};
use crate::status::Cause;

/// Finds items that are there twice, in the whole tree.
pub(super) fn check(value: &Value, schema: &Schema, path: &Path, causes: &mut Vec<Cause>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let declared = schema.properties.contains_key(name);
                let path = if declared {
                    path.child(name)
                } else {
                    path.key(name)
                };
                check(value, &field_of(schema, name), &path, causes);
            }
        }
        Value::Array(items) => {
            check_items(items, schema, path, causes);
            if let Some(schema) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    check(item, schema, &path.index(index), causes);
                }
            }
        }
        _ => {}
    }
}

fn check_items(items: &[Value], schema: &Schema, path: &Path, causes: &mut Vec<Cause>) {
    let identity = |item: &Value| match &schema.list_type {
        ListType::Atomic => None,
        ListType::Set => Some(item.clone()),
        ListType::Map(keys) => {
            let pairs = keys.iter().filter_map(|key| {
                let value = item.get(key)?;
                Some((key.clone(), value.clone()))
            });
            Some(Value::Object(pairs.collect::<Map<_, _>>()))
        }
    };
    let mut seen: Vec<Value> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let Some(identity) = identity(item) else {
            return;
        };
        if seen.contains(&identity) {
            causes.push(path.index(index).duplicate(identity));
        } else {
            seen.push(identity);
        }
    }
}
