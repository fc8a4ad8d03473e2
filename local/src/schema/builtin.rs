//! The schemas of the built-in kinds, as Kubernetes 1.36 publishes them.
//!
//! `schemas/extract` writes the file they are read from. It is read when it is first needed: most
//! of it is descriptions.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::{Schema, Type};

static SOURCE: &str = include_str!("../../schemas/builtin.jsonl");
const REFERENCE: &str = "#/components/schemas/";
/// The schema of schemas refers to itself. It is checked by what reads it.
const RECURSIVE: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// All definitions as they are published, by their names.
pub(crate) static DEFINITIONS: LazyLock<BTreeMap<&'static str, Value>> = LazyLock::new(|| {
    let lines = SOURCE.lines().filter_map(|line| {
        // Each line is `["name",{schema}]`.
        let (name, schema) = line.strip_prefix("[\"")?.split_once("\",")?;
        Some((name, serde_json::from_str(schema.strip_suffix(']')?).ok()?))
    });
    lines.collect()
});

static SCHEMAS: LazyLock<BTreeMap<&'static str, Arc<Schema>>> = LazyLock::new(|| {
    let mut schemas = BTreeMap::new();
    for name in DEFINITIONS.keys() {
        define(name, &mut schemas);
    }
    schemas
});

/// The schema of a definition, such as `io.k8s.api.batch.v1.Job`.
pub(crate) fn schema(definition: &str) -> Option<Arc<Schema>> {
    SCHEMAS.get(definition).cloned()
}

fn define(name: &'static str, schemas: &mut BTreeMap<&'static str, Arc<Schema>>) -> Arc<Schema> {
    if let Some(schema) = schemas.get(name) {
        return schema.clone();
    }
    let mut schema = if name == RECURSIVE {
        Schema::anything()
    } else {
        DEFINITIONS
            .get(name)
            .map_or_else(Schema::anything, |source| resolve(source, schemas))
    };
    schema.definition = Some(name);
    if is_open(name) {
        schema.preserves_unknown = true;
    }
    let schema = Arc::new(schema);
    schemas.insert(name, schema.clone());
    schema
}

/// Whether a definition takes any fields.
fn is_open(name: &str) -> bool {
    [".JSON", ".FieldsV1", ".RawExtension"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
}

/// Reads a schema whose references are to other definitions.
fn resolve(source: &'static Value, schemas: &mut BTreeMap<&'static str, Arc<Schema>>) -> Schema {
    // A reference with something beside it is published as `allOf` with one member.
    let reference = source["$ref"]
        .as_str()
        .or_else(|| source["allOf"][0]["$ref"].as_str());
    if let Some(name) = reference.and_then(|reference| reference.strip_prefix(REFERENCE)) {
        let mut schema = (*define(name, schemas)).clone();
        let own = Schema::parse(source, &mut |_| Arc::default());
        schema.patch = own.patch;
        schema.atomic_map |= own.atomic_map;
        return schema;
    }
    let mut below: Vec<(&'static Value, Arc<Schema>)> = Vec::new();
    let children = source["properties"]
        .as_object()
        .into_iter()
        .flat_map(|properties| properties.values())
        .chain([&source["items"], &source["additionalProperties"]])
        .filter(|child| child.is_object());
    for child in children {
        below.push((child, Arc::new(resolve(child, schemas))));
    }
    let mut schema = Schema::parse(source, &mut |child| {
        let pair = below.iter().find(|(other, _)| std::ptr::eq(*other, child));
        pair.map(|(_, schema)| schema.clone()).unwrap_or_default()
    });
    schema.default = None;
    if source["oneOf"].is_array() {
        schema.kind = Type::Any;
        schema.format = "int-or-string".to_owned();
    }
    schema
}

/// A field's description, as its schema has it.
pub(crate) fn describe(definition: &str, field: &str) -> &'static str {
    let schema = DEFINITIONS.get(definition);
    schema
        .and_then(|schema| schema["properties"][field]["description"].as_str())
        .unwrap_or_default()
}
