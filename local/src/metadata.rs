//! What every object has: `metadata`, its rules, and what of it only the server writes.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::field::Path;
use crate::names::{self, NameRule};
use crate::status::Cause;

/// The finalizer of an object whose dependents are to be kept.
pub(crate) const ORPHAN: &str = "orphan";
/// The finalizer of an object that waits until its dependents are gone.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// All annotations of an object together, keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

/// `metadata.field` as text; empty where it is absent.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "uid")
}

pub(crate) fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"]
        .as_i64()
        .unwrap_or_default()
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(crate) fn grace_seconds(object: &Value) -> Option<i64> {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64()
}

pub(crate) fn finalizers(object: &Value) -> impl Iterator<Item = &str> {
    let finalizers = object["metadata"]["finalizers"].as_array();
    finalizers.into_iter().flatten().filter_map(Value::as_str)
}

/// Sets a field of the metadata, or removes it.
pub(crate) fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    match value {
        Some(value) => drop(metadata.insert(field.to_owned(), value)),
        None => drop(metadata.shift_remove(field)),
    }
}

pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let value = (!finalizers.is_empty()).then(|| json!(finalizers));
    set(object, "finalizers", value);
}

/// A time as Kubernetes writes it: in UTC, to the second.
pub(crate) fn time(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Starts the deletion of an object that ends when its finalizers are gone.
pub(crate) fn mark_deleting(object: &mut Value, now: Timestamp) {
    if !is_deleting(object) {
        raise_generation(object);
        set(object, "deletionTimestamp", Some(time(now).into()));
    }
    set(object, "deletionGracePeriodSeconds", Some(0.into()));
}

/// Raises the generation of an object that has one.
pub(crate) fn raise_generation(object: &mut Value) {
    let generation = generation(object);
    if generation > 0 {
        set(object, "generation", Some((generation + 1).into()));
    }
}

/// Removes nulls, and empty names, labels, annotations, finalizers and owners: as a typed client
/// would never have sent them.
pub(crate) fn normalize(object: &mut Value) {
    let Some(metadata) = object["metadata"].as_object_mut() else {
        return;
    };
    metadata.retain(|_, value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    });
}

/// What a new object's metadata never takes from a request.
pub(crate) fn clear_system_fields(metadata: &mut Map<String, Value>) {
    for field in [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "selfLink",
        "resourceVersion",
    ] {
        metadata.shift_remove(field);
    }
}

/// What an update can't change, and so takes from the object as it is.
pub(crate) fn carry_over(object: &mut Value, old: &Value) {
    set(object, "selfLink", None);
    for field in ["creationTimestamp", "deletionTimestamp"] {
        let value = &old["metadata"][field];
        if !value.is_null() {
            set(object, field, Some(value.clone()));
        }
    }
    for field in ["uid", "deletionGracePeriodSeconds"] {
        if object["metadata"][field].is_null() && !old["metadata"][field].is_null() {
            set(object, field, Some(old["metadata"][field].clone()));
        }
    }
}

/// What is wrong with the metadata of an object.
pub(crate) fn validate(object: &Value, namespaced: bool, rule: NameRule) -> Vec<Cause> {
    let path = Path::new("metadata");
    let mut causes = Vec::new();
    let generated = text(object, "generateName");
    if !generated.is_empty() {
        let mistakes = rule.check(generated, true).into_iter();
        causes.extend(mistakes.map(|why| path.child("generateName").invalid(generated, why)));
    }
    let name = name(object);
    if name.is_empty() {
        causes.push(
            path.child("name")
                .required("name or generateName is required"),
        );
    } else {
        let mistakes = rule.check(name, false).into_iter();
        causes.extend(mistakes.map(|why| path.child("name").invalid(name, why)));
    }
    causes.extend(validate_namespace(object, namespaced, &path));
    causes.extend(validate_labels(
        &object["metadata"]["labels"],
        &path.child("labels"),
    ));
    causes.extend(validate_annotations(
        &object["metadata"]["annotations"],
        &path.child("annotations"),
    ));
    causes.extend(validate_owners(object, &path.child("ownerReferences")));
    causes.extend(validate_finalizers(object, &path.child("finalizers")));
    causes
}

fn validate_namespace(object: &Value, namespaced: bool, path: &Path) -> Vec<Cause> {
    let path = path.child("namespace");
    let namespace = namespace(object);
    match (namespaced, namespace.is_empty()) {
        (true, true) => vec![path.required("")],
        (true, false) => names::label(namespace)
            .into_iter()
            .map(|why| path.invalid(namespace, why))
            .collect(),
        (false, true) => Vec::new(),
        (false, false) => vec![path.forbidden("not allowed on this type")],
    }
}

/// What is wrong with labels.
pub(crate) fn validate_labels(labels: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        let mistakes = names::qualified_name(key).into_iter();
        causes.extend(mistakes.map(|why| path.invalid(key.as_str(), why)));
        let value = value.as_str().unwrap_or_default();
        let mistakes = names::label_value(value).into_iter();
        causes.extend(mistakes.map(|why| path.invalid(value, why)));
    }
    causes
}

/// What is wrong with annotations.
pub(crate) fn validate_annotations(annotations: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut bytes = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        let mistakes = names::qualified_name(&key.to_lowercase()).into_iter();
        causes.extend(mistakes.map(|why| path.invalid(key.as_str(), why)));
        bytes += key.len() + value.as_str().unwrap_or_default().len();
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        causes.push(path.too_long(ANNOTATIONS_BYTES_MAX));
    }
    causes
}

fn validate_owners(object: &Value, path: &Path) -> Vec<Cause> {
    let mut causes = Vec::new();
    let mut controller: Option<String> = None;
    let owners = &object["metadata"]["ownerReferences"];
    for owner in owners.as_array().into_iter().flatten() {
        let field = |name: &str| owner[name].as_str().unwrap_or_default();
        let version = field("apiVersion").rsplit('/').next().unwrap_or_default();
        if version.is_empty() {
            let path = path.child("apiVersion");
            causes.push(path.invalid(field("apiVersion"), "version must not be empty"));
        }
        for name in ["kind", "name", "uid"] {
            if field(name).is_empty() {
                causes.push(path.child(name).invalid("", "must not be empty"));
            }
        }
        if (field("apiVersion"), field("kind")) == ("v1", "Event") {
            let why = "/v1, Kind=Event is disallowed from being an owner";
            causes.push(path.invalid(owner.clone(), why));
        }
        if owner["controller"] == true {
            let current = format!("{}/{}", field("kind"), field("name"));
            if let Some(first) = &controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in \
                     references for {first} and {current}"
                );
                causes.push(path.invalid(owners.clone(), why));
            } else {
                controller = Some(current);
            }
        }
    }
    causes
}

fn validate_finalizers(object: &Value, path: &Path) -> Vec<Cause> {
    let mut causes: Vec<_> = finalizers(object)
        .flat_map(|finalizer| {
            let mistakes = names::qualified_name(finalizer).into_iter();
            mistakes.map(move |why| path.invalid(finalizer, why))
        })
        .collect();
    let has = |name: &str| finalizers(object).any(|finalizer| finalizer == name);
    if has(ORPHAN) && has(FOREGROUND) {
        let why = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        causes.push(path.invalid(object["metadata"]["finalizers"].clone(), why));
    }
    causes
}

/// Finalizers of built-in kinds are Kubernetes' own, or have a domain.
pub(crate) fn validate_standard_finalizers(object: &Value) -> Vec<Cause> {
    let path = Path::new("metadata").child("finalizers");
    finalizers(object)
        .enumerate()
        .filter(|(_, name)| {
            !name.contains('/') && ![ORPHAN, FOREGROUND, "kubernetes"].contains(name)
        })
        .map(|(index, name)| {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            path.index(index).invalid(name, why)
        })
        .collect()
}

/// What is wrong with the change from `old` to `object`.
pub(crate) fn validate_update(object: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("metadata");
    let mut causes = Vec::new();
    if is_deleting(old) {
        let before: BTreeSet<_> = finalizers(old).collect();
        let added: BTreeSet<_> = finalizers(object)
            .filter(|finalizer| !before.contains(finalizer))
            .map(crate::field::quote)
            .collect();
        if !added.is_empty() {
            let added = added.into_iter().collect::<Vec<_>>().join(", ");
            causes.push(path.child("finalizers").forbidden(format!(
                "no new finalizers can be added if the object is being deleted, found new \
                 finalizers []string{{{added}}}"
            )));
        }
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let value = &object["metadata"][field];
        if *value != old["metadata"][field] {
            causes.push(
                path.child(field)
                    .invalid(value.clone(), "field is immutable"),
            );
        }
    }
    let metadata = &object["metadata"];
    causes.extend(validate_labels(&metadata["labels"], &path.child("labels")));
    causes.extend(validate_annotations(
        &metadata["annotations"],
        &path.child("annotations"),
    ));
    causes.extend(validate_owners(object, &path.child("ownerReferences")));
    causes
}
