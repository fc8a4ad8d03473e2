//! Drops the fields that a schema does not know.

use serde_json::Value;

use super::Schema;
use crate::field::Path;

const METADATA_FIELDS: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops what `schema` does not know from an object with `apiVersion`, `kind` and `metadata`, and
/// returns the paths of what was dropped, sorted.
pub(crate) fn prune(object: &mut Value, schema: &Schema) -> Vec<String> {
    let mut unknown = Vec::new();
    if schema.preserves_unknown {
        return unknown;
    }
    if let Value::Object(fields) = object {
        let root = Path::default();
        retain(fields, schema, true, &root, &mut unknown);
    }
    unknown.sort();
    unknown
}

fn walk(value: &mut Value, schema: &Schema, path: &Path, unknown: &mut Vec<String>) {
    match value {
        Value::Object(fields) => retain(fields, schema, schema.embedded, path, unknown),
        Value::Array(items) => {
            if let Some(schema) = &schema.items {
                for (index, item) in items.iter_mut().enumerate() {
                    walk(item, schema, &path.index(index), unknown);
                }
            }
        }
        _ => {}
    }
}

fn retain(
    fields: &mut serde_json::Map<String, Value>,
    schema: &Schema,
    embedded: bool,
    path: &Path,
    unknown: &mut Vec<String>,
) {
    fields.retain(|name, value| {
        if embedded && METADATA_FIELDS.contains(&name.as_str()) {
            return true;
        }
        match schema.field(name) {
            Some(schema) => {
                walk(value, schema, &path.child(name), unknown);
                true
            }
            None if schema.preserves_unknown => true,
            None => {
                unknown.push(path.child(name).as_str().to_owned());
                false
            }
        }
    });
}
