//! The OpenAPI v3 documents: what `kubectl explain` prints and `kubectl apply` validates with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::definition::{Definition, Nature};
use crate::schema::builtin;

const REFERENCE: &str = "#/components/schemas/";
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The document at `/openapi/PATH`, if there is one.
pub(crate) fn answer(definitions: &[Arc<Definition>], path: &str) -> Option<Value> {
    match path {
        "v3" => Some(index(definitions)),
        path => {
            let group_version = path.strip_prefix("v3/")?;
            let served: Vec<_> = definitions
                .iter()
                .filter(|definition| document_path(definition) == group_version)
                .collect();
            (!served.is_empty()).then(|| document(&served))
        }
    }
}

fn document_path(definition: &Definition) -> String {
    let api_version = definition.kind.api_version();
    if definition.kind.group().is_empty() {
        return format!("api/{api_version}");
    }
    format!("apis/{api_version}")
}

/// Where the document of each group version is. The hash lets clients keep what they have read.
fn index(definitions: &[Arc<Definition>]) -> Value {
    let mut groups: BTreeMap<String, Vec<&Arc<Definition>>> = BTreeMap::new();
    for definition in definitions {
        groups
            .entry(document_path(definition))
            .or_default()
            .push(definition);
    }
    let paths: Map<String, Value> = groups
        .into_iter()
        .map(|(path, served)| {
            let hash = Sha256::digest(document(&served).to_string());
            let hash: String = hash.iter().map(|byte| format!("{byte:02X}")).collect();
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({"serverRelativeURL": url}))
        })
        .collect();
    json!({"paths": paths})
}

fn document(served: &[&Arc<Definition>]) -> Value {
    let mut paths = Map::new();
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    let mut names = BTreeSet::from([
        format!("{META}.DeleteOptions"),
        format!("{META}.Status"),
        format!("{META}.ListMeta"),
        format!("{META}.ObjectMeta"),
    ]);
    for definition in served {
        let name = schema_name(definition);
        match &definition.nature {
            Nature::Builtin(_) => drop(names.insert(name.clone())),
            Nature::Custom(custom) => {
                schemas.insert(name.clone(), custom_schema(definition, custom.source()));
            }
        }
        schemas.insert(format!("{name}List"), list_schema(definition, &name));
        paths.extend(operations(definition, &name));
    }
    while let Some(name) = names.pop_first() {
        if schemas.contains_key(&name) {
            continue;
        }
        if let Some(schema) = builtin::DEFINITIONS.get(name.as_str()) {
            references(schema, &mut names);
            schemas.insert(name, schema.clone());
        }
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.3"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn references(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                let name = value.as_str().and_then(|text| text.strip_prefix(REFERENCE));
                match name {
                    Some(name) if key == "$ref" => drop(names.insert(name.to_owned())),
                    _ => references(value, names),
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                references(item, names);
            }
        }
        _ => {}
    }
}

/// The name of a kind's schema: of a custom resource its group backwards, version and kind.
fn schema_name(definition: &Definition) -> String {
    if let (Nature::Builtin(_), Some(name)) = (&definition.nature, definition.schema.definition) {
        return name.to_owned();
    }
    let kind = &definition.kind;
    let mut group: Vec<_> = kind.group().split('.').collect();
    group.reverse();
    format!("{}.{}.{}", group.join("."), kind.version, kind.kind)
}

fn kind_extension(definition: &Definition, list: bool) -> Value {
    let kind = &definition.kind;
    let name = if list {
        definition.list_kind.as_str()
    } else {
        &kind.kind
    };
    json!({"group": kind.group(), "version": kind.version, "kind": name})
}

fn custom_schema(definition: &Definition, source: &Value) -> Value {
    let mut schema = source.clone();
    if !schema.is_object() {
        schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    }
    let type_meta = &builtin::DEFINITIONS["io.k8s.api.core.v1.ConfigMap"]["properties"];
    for field in ["apiVersion", "kind"] {
        schema["properties"][field] = type_meta[field].clone();
    }
    schema["properties"]["metadata"] = json!({
        "description": type_meta["metadata"]["description"],
        "allOf": [{"$ref": format!("{REFERENCE}{META}.ObjectMeta")}],
    });
    schema["x-kubernetes-group-version-kind"] = json!([kind_extension(definition, false)]);
    schema
}

fn list_schema(definition: &Definition, name: &str) -> Value {
    let type_meta = &builtin::DEFINITIONS["io.k8s.api.core.v1.ConfigMap"]["properties"];
    json!({
        "description": format!("{} is a list of {}", definition.list_kind, definition.kind.kind),
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": type_meta["apiVersion"],
            "kind": type_meta["kind"],
            "items": {
                "description": format!("List of {}.", definition.kind.resource.plural),
                "type": "array",
                "items": {"allOf": [{"$ref": format!("{REFERENCE}{name}")}], "default": {}},
            },
            "metadata": {"allOf": [{"$ref": format!("{REFERENCE}{META}.ListMeta")}]},
        },
        "x-kubernetes-group-version-kind": [kind_extension(definition, true)],
    })
}

/// The paths of a kind with their verbs, as far as clients look for them.
fn operations(definition: &Definition, name: &str) -> Vec<(String, Value)> {
    let kind = &definition.kind;
    let base = match kind.group() {
        "" => format!("/api/{}", kind.version),
        group => format!("/apis/{group}/{}", kind.version),
    };
    let plural = &kind.resource.plural;
    let collection = match kind.namespaced {
        true => format!("{base}/namespaces/{{namespace}}/{plural}"),
        false => format!("{base}/{plural}"),
    };
    let content = |name: &str| {
        let schema = json!({"schema": {"$ref": format!("{REFERENCE}{name}")}});
        json!({"application/json": schema, "application/yaml": schema})
    };
    let operation = |action: &str, answer: &str, parameters: &[&str]| {
        let parameters: Vec<_> = parameters
            .iter()
            .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
            .collect();
        json!({
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": content(answer)}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": kind_extension(definition, false),
        })
    };
    let with_body = |mut operation: Value, name: &str| {
        operation["requestBody"] = json!({"content": content(name), "required": true});
        operation
    };
    let writing = ["dryRun", "fieldManager", "fieldValidation"];
    let patching = ["dryRun", "fieldManager", "fieldValidation", "force"];
    let list = format!("{name}List");
    let patch = {
        let mut patch = operation("patch", name, &patching);
        let schema = json!({"schema": {"type": "object"}});
        let mut content = json!({
            "application/json-patch+json": schema,
            "application/merge-patch+json": schema,
            "application/apply-patch+yaml": schema,
        });
        if matches!(definition.nature, Nature::Builtin(_)) {
            content["application/strategic-merge-patch+json"] = schema;
        }
        patch["requestBody"] = json!({"content": content, "required": true});
        patch
    };
    let delete_options = format!("{META}.DeleteOptions");
    let status = format!("{META}.Status");
    vec![
        (
            collection.clone(),
            json!({
                "get": operation("list", &list, &["labelSelector", "fieldSelector", "limit"]),
                "post": with_body(operation("post", name, &writing), name),
            }),
        ),
        (
            format!("{collection}/{{name}}"),
            json!({
                "get": operation("get", name, &[]),
                "put": with_body(operation("put", name, &writing), name),
                "patch": patch,
                "delete": with_body(operation("delete", &status, &["dryRun"]), &delete_options),
            }),
        ),
    ]
}
