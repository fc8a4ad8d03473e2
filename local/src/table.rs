//! Objects as rows, for `kubectl get`.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::age;
use crate::builtin::print;
use crate::definition::{Column, Definition, Nature};
use crate::json_path::JsonPath;
use crate::metadata;
use crate::schema::builtin::describe;
use crate::store::Version;

/// What of each object comes with its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    #[default]
    Metadata,
    Object,
    Nothing,
}

/// The columns of a kind.
pub(crate) fn columns(definition: &Definition) -> Value {
    if matches!(definition.nature, Nature::Builtin(_)) {
        return print::columns(&definition.kind);
    }
    let mut columns = vec![json!({
        "name": "Name",
        "type": "string",
        "format": "name",
        "description": describe("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "name"),
        "priority": 0,
    })];
    columns.extend(definition.columns.iter().map(|column| {
        let description = if column.description.is_empty() {
            format!(
                "Custom resource definition column (in JSONPath format): {}",
                column.json_path
            )
        } else {
            column.description.clone()
        };
        json!({
            "name": column.name,
            "type": column.kind,
            "format": column.format,
            "description": description,
            "priority": column.priority,
        })
    }));
    Value::Array(columns)
}

/// Objects as a table, still without the metadata of a list.
pub(crate) fn table(
    definition: &Definition,
    versions: &[&Version],
    include: Include,
    now: Timestamp,
) -> Value {
    let rows: Vec<_> = versions
        .iter()
        .map(|version| {
            let value = definition.serve(&version.value);
            let mut row = json!({"cells": cells(definition, &value, now)});
            match include {
                Include::Nothing => row["object"] = Value::Null,
                Include::Object => row["object"] = version.managed.merged_into(&value),
                Include::Metadata => {
                    let whole = version.managed.merged_into(&value);
                    row["object"] = json!({
                        "kind": "PartialObjectMetadata",
                        "apiVersion": "meta.k8s.io/v1",
                        "metadata": whole["metadata"],
                    });
                }
            }
            row
        })
        .collect();
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {},
        "columnDefinitions": columns(definition),
        "rows": rows,
    })
}

fn cells(definition: &Definition, value: &Value, now: Timestamp) -> Vec<Value> {
    if matches!(definition.nature, Nature::Builtin(_)) {
        return print::cells(&definition.kind, value, now);
    }
    let mut cells = vec![json!(metadata::name(value))];
    let columns = definition.columns.iter();
    cells.extend(columns.map(|column| cell(column, value, now)));
    cells
}

/// The first value at the column's path, if it is of the column's type.
fn cell(column: &Column, value: &Value, now: Timestamp) -> Value {
    let Some(path) = JsonPath::parse(&column.json_path) else {
        return Value::Null;
    };
    let Some(first) = path.find(value).first().copied() else {
        return Value::Null;
    };
    match (column.kind.as_str(), first) {
        (_, Value::Null) => Value::Null,
        ("string", Value::String(text)) => json!(text),
        ("string", other) => json!(other.to_string()),
        ("integer", Value::Number(number)) => match number.as_i64() {
            Some(integer) => json!(integer),
            // As Go converts: towards zero.
            None => json!(number.as_f64().unwrap_or_default().trunc()),
        },
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) => first.clone(),
        ("date", Value::String(time)) if time.parse::<Timestamp>().is_ok() => {
            json!(age::since(time, now))
        }
        ("date", Value::String(_)) => json!("<invalid>"),
        _ => Value::Null,
    }
}
