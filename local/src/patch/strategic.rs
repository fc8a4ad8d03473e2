//! Strategic merge patches: maps are merged, lists are merged by a key where the schema has one.
//!
//! The directives are those of Kubernetes: `$patch: replace|delete`, `$retainKeys`,
//! `$setElementOrder/LIST` and `$deleteFromPrimitiveList/LIST`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::schema::Schema;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_SCALARS: &str = "$deleteFromPrimitiveList/";

/// Merges `patch` into `original`.
///
/// # Errors
/// If a directive is malformed or an item lacks its merge key.
pub(super) fn merge(original: &mut Value, patch: Value, schema: &Schema) -> Result<(), String> {
    match (original.as_object_mut(), patch) {
        (Some(original), Value::Object(patch)) => merge_map(original, patch, schema),
        _ => Err("a strategic merge patch is a JSON object".to_owned()),
    }
}

fn merge_map(
    original: &mut Map<String, Value>,
    mut patch: Map<String, Value>,
    schema: &Schema,
) -> Result<(), String> {
    match patch.shift_remove(DIRECTIVE) {
        None => {}
        Some(directive) if directive == "replace" => {
            *original = patch;
            return Ok(());
        }
        Some(directive) if directive == "delete" => {
            original.clear();
            return Ok(());
        }
        Some(directive) => {
            return Err(format!("unknown patch type: {directive}"));
        }
    }
    retain_keys(original, &mut patch)?;
    let orders: Vec<_> = patch
        .keys()
        .filter_map(|key| key.strip_prefix(ELEMENT_ORDER))
        .map(str::to_owned)
        .collect();
    for name in orders {
        let order = patch.shift_remove(&format!("{ELEMENT_ORDER}{name}"));
        merge_ordered(original, &mut patch, schema, &name, order)?;
    }
    for (key, value) in patch {
        if let Some(name) = key.strip_prefix(DELETE_SCALARS) {
            delete_scalars(original, name, &value)?;
            continue;
        }
        merge_field(original, key, value, schema)?;
    }
    Ok(())
}

fn merge_field(
    original: &mut Map<String, Value>,
    key: String,
    value: Value,
    schema: &Schema,
) -> Result<(), String> {
    let field = schema.field(&key);
    let strategy = field.map(|field| &field.patch);
    let anything = Schema::anything();
    match (original.get_mut(&key), value) {
        (_, Value::Null) => {
            original.shift_remove(&key);
        }
        (Some(Value::Object(before)), Value::Object(patch)) => {
            if strategy.is_some_and(|strategy| strategy.replace) {
                *before = patch;
            } else {
                merge_map(before, patch, field.map_or(&anything, AsRef::as_ref))?;
            }
        }
        (Some(Value::Array(before)), Value::Array(patch)) => {
            if strategy.is_some_and(|strategy| strategy.merge) {
                *before = merge_list(std::mem::take(before), patch, field, &key)?;
            } else {
                *before = patch;
            }
        }
        (_, value) => match plain(value) {
            Some(value) => drop(original.insert(key, value)),
            None => drop(original.shift_remove(&key)),
        },
    }
    Ok(())
}

/// A value without nulls and directives; nothing, where it is itself a directive.
fn plain(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(key, value)| {
                !value.is_null()
                    && !key.starts_with(ELEMENT_ORDER)
                    && !key.starts_with(DELETE_SCALARS)
                    && key != RETAIN_KEYS
            });
            let kept = kept.filter_map(|(key, value)| Some((key, plain(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(items.into_iter().filter_map(plain).collect()),
        other => Some(other),
    }
}

/// Removes the fields that the patch does not list.
fn retain_keys(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
) -> Result<(), String> {
    let Some(keys) = patch.shift_remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let malformed = || "invalid patch format of retainKeys".to_owned();
    let keys: BTreeSet<_> = keys
        .as_array()
        .ok_or_else(malformed)?
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let listed = |key: &str, value: &Value| {
        value.is_null()
            || key.starts_with(DELETE_SCALARS)
            || key.starts_with(ELEMENT_ORDER)
            || keys.contains(key)
    };
    if !patch.iter().all(|(key, value)| listed(key, value)) {
        return Err(malformed());
    }
    original.retain(|key, _| keys.contains(key));
    Ok(())
}

fn delete_scalars(
    original: &mut Map<String, Value>,
    name: &str,
    values: &Value,
) -> Result<(), String> {
    let values = values
        .as_array()
        .ok_or("invalid patch format of primitive list")?;
    if let Some(items) = original.get_mut(name).and_then(Value::as_array_mut) {
        items.retain(|item| !values.contains(item));
    }
    Ok(())
}

/// Merges a list whose order the patch gives.
fn merge_ordered(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    schema: &Schema,
    name: &str,
    order: Option<Value>,
) -> Result<(), String> {
    let Some(Value::Array(order)) = order else {
        return Err("invalid patch format of setElementOrder list".to_owned());
    };
    let field = schema.field(name);
    let key = field.and_then(|field| field.patch.merge_key.as_deref());
    let items = |value: Option<Value>| match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(_) => Err(format!("{name} is not a list")),
    };
    let delete = patch.shift_remove(&format!("{DELETE_SCALARS}{name}"));
    if let Some(values) = delete {
        delete_scalars(original, name, &values)?;
    }
    let before = items(original.get(name).cloned())?;
    let change = items(patch.shift_remove(name))?;
    let live = before.clone().unwrap_or_default();
    let merged = match (before, change) {
        (None, None) => return Ok(()),
        (Some(before), None) => before,
        (None, Some(change)) => change.into_iter().filter_map(plain).collect(),
        (Some(before), Some(change)) => {
            if field.is_some_and(|field| field.patch.merge) {
                merge_list(before, change, field, name)?
            } else {
                change
            }
        }
    };
    original.insert(name.to_owned(), ordered(merged, &order, &live, key).into());
    Ok(())
}

fn merge_list(
    original: Vec<Value>,
    patch: Vec<Value>,
    field: Option<&std::sync::Arc<Schema>>,
    name: &str,
) -> Result<Vec<Value>, String> {
    let key = field.and_then(|field| field.patch.merge_key.as_deref());
    let of_maps = original.iter().chain(&patch).any(Value::is_object);
    if !of_maps {
        let mut merged = original.clone();
        for value in &patch {
            if !merged.contains(value) {
                merged.push(value.clone());
            }
        }
        return Ok(ordered(merged, &patch, &original, None));
    }
    let Some(key) = key else {
        return Err(format!("cannot merge lists without merge key for {name}"));
    };
    let mut merged = original.clone();
    let mut changes = Vec::new();
    let mut replace = false;
    for item in patch {
        let directive = item.get(DIRECTIVE).cloned();
        match directive.as_ref().map(|directive| directive.as_str()) {
            None => changes.push(item),
            Some(Some("delete")) => {
                let key_value = key_of(&item, key)?.clone();
                merged.retain(|item| item.get(key) != Some(&key_value));
            }
            Some(Some("replace")) => replace = true,
            Some(_) => return Err(format!("unknown patch type: {directive:?}")),
        }
    }
    if replace {
        return Ok(changes);
    }
    let anything = Schema::anything();
    let items = field.and_then(|field| field.items.as_deref());
    let items = items.unwrap_or(&anything);
    for change in &changes {
        let key_value = key_of(change, key)?;
        match merged
            .iter_mut()
            .find(|item| item.get(key) == Some(key_value))
        {
            Some(item) => merge(item, change.clone(), items)?,
            None => merged.extend(plain(change.clone())),
        }
    }
    Ok(ordered(merged, &changes, &original, Some(key)))
}

fn key_of<'a>(item: &'a Value, key: &str) -> Result<&'a Value, String> {
    item.get(key)
        .ok_or_else(|| format!("map: {item} does not contain declared merge key: {key}"))
}

/// Sorts the items that `order` has by its order, and puts the others where `live` has them, as
/// far as that goes together.
fn ordered(merged: Vec<Value>, order: &[Value], live: &[Value], key: Option<&str>) -> Vec<Value> {
    let identity = |item: &Value| match key {
        Some(key) => item.get(key).cloned().unwrap_or_default(),
        None => item.clone(),
    };
    let position = |list: &[Value], item: &Value| {
        let item_identity = identity(item);
        list.iter()
            .position(|other| identity(other) == item_identity)
    };
    let (mut named, mut others): (Vec<_>, Vec<_>) = merged
        .into_iter()
        .partition(|item| position(order, item).is_some());
    named.sort_by_key(|item| position(order, item));
    others.sort_by_key(|item| position(live, item));
    let mut sorted = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    let mut named = named.into_iter().peekable();
    while let (Some(other), Some(next)) = (others.peek(), named.peek()) {
        let other_first = matches!(
            (position(live, other), position(live, next)),
            (Some(other), Some(next)) if other < next
        );
        sorted.extend(if other_first {
            others.next()
        } else {
            named.next()
        });
    }
    sorted.extend(others);
    sorted.extend(named);
    sorted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::builtin;

    fn patched(original: Value, patch: Value) -> Value {
        let schema = builtin::schema("io.k8s.api.core.v1.PodSpec").expect("a schema");
        let mut value = original;
        merge(&mut value, patch, &schema).expect("a valid patch");
        value
    }

    #[test]
    fn lists_with_a_merge_key_are_merged_by_it() {
        let original = json!({"containers": [
            {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]},
            {"name": "b", "image": "b:1"},
        ]});
        let patch = json!({"containers": [
            {"name": "a", "env": [{"name": "Y", "value": "2"}]},
            {"name": "c", "image": "c:1"},
        ]});
        assert_eq!(
            patched(original, patch),
            json!({"containers": [
                // What the patch adds comes before what only the object has, as in Kubernetes.
                {"name": "a", "image": "a:1", "env": [
                    {"name": "Y", "value": "2"}, {"name": "X", "value": "1"},
                ]},
                {"name": "c", "image": "c:1"},
                {"name": "b", "image": "b:1"},
            ]})
        );
    }

    #[test]
    fn directives_delete_replace_order_and_retain() {
        let original = json!({"containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]});
        let cases = [
            (
                json!({"containers": [{"name": "b", "$patch": "delete"}]}),
                json!({"containers": [{"name": "a"}, {"name": "c"}]}),
            ),
            (
                json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}),
                json!({"containers": [{"name": "z"}]}),
            ),
            (
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}),
                json!({"containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}]}),
            ),
        ];
        for (patch, expected) in cases {
            assert_eq!(
                patched(original.clone(), patch.clone()),
                expected,
                "{patch}"
            );
        }
        let volume = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
        let patch = json!({"volumes": [
            {"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}},
        ]});
        assert_eq!(
            patched(volume, patch),
            json!({"volumes": [{"name": "v", "configMap": {"name": "c"}}]})
        );
    }

    #[test]
    fn atomic_lists_are_replaced_and_nulls_delete() {
        let original = json!({"tolerations": [{"key": "a"}], "nodeName": "n", "hostname": "h"});
        let patch = json!({"tolerations": [{"key": "b"}], "nodeName": null});
        assert_eq!(
            patched(original, patch),
            json!({"tolerations": [{"key": "b"}], "hostname": "h"})
        );
    }

    #[test]
    fn an_item_without_its_merge_key_is_an_error() {
        let schema = builtin::schema("io.k8s.api.core.v1.PodSpec").expect("a schema");
        let mut value = json!({"containers": [{"name": "a"}]});
        let error = merge(&mut value, json!({"containers": [{"image": "x"}]}), &schema);
        assert_eq!(
            error.expect_err("a missing key"),
            "map: {\"image\":\"x\"} does not contain declared merge key: name"
        );
    }
}
