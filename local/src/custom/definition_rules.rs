//! What a CustomResourceDefinition must be like to be served.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::constraints::Constraints;
use super::format;
use super::rules::RuleTree;
use crate::field::Path;
use crate::json_path::JsonPath;
use crate::metadata;
use crate::names;
use crate::status::Cause;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// What is wrong with a definition.
pub(super) fn validate(crd: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let spec = &crd["spec"];
    let mut causes = Vec::new();
    let (group, plural) = (text(spec, "group"), text(&spec["names"], "plural"));
    let expected = format!("{plural}.{group}");
    if metadata::name(crd) != expected {
        let path = Path::new("metadata").child("name");
        let why = "must be spec.names.plural+\".\"+spec.group";
        causes.push(path.invalid(metadata::name(crd), why));
    }
    required_name(group, names::subdomain, &path.child("group"), &mut causes);
    if !group.is_empty() && !group.contains('.') {
        let why = "should be a domain with at least one dot";
        causes.push(path.child("group").invalid(group, why));
    }
    match text(spec, "scope") {
        "Namespaced" | "Cluster" => {}
        "" => causes.push(path.child("scope").required("")),
        other => {
            let path = path.child("scope");
            causes.push(path.not_supported(other, &["Cluster", "Namespaced"]));
        }
    }
    validate_names(&spec["names"], &path.child("names"), &mut causes);
    if text(&spec["conversion"], "strategy") != "None" {
        let path = path.child("conversion").child("strategy");
        let strategy = text(&spec["conversion"], "strategy");
        causes.push(path.not_supported(strategy, &["None"]));
    }
    validate_versions(spec, &path, &mut causes);
    causes
}

/// What is wrong with the change of a definition.
pub(super) fn validate_update(crd: &Value, old: &Value) -> Vec<Cause> {
    let path = Path::new("spec");
    let mut causes = Vec::new();
    let mut fixed = |path: Path, new: &Value, old: &Value| {
        if new != old {
            causes.push(path.invalid(new.clone(), "field is immutable"));
        }
    };
    fixed(
        path.child("group"),
        &crd["spec"]["group"],
        &old["spec"]["group"],
    );
    fixed(
        path.child("scope"),
        &crd["spec"]["scope"],
        &old["spec"]["scope"],
    );
    let (names, before) = (&crd["spec"]["names"], &old["spec"]["names"]);
    for field in ["kind", "plural"] {
        fixed(
            path.child("names").child(field),
            &names[field],
            &before[field],
        );
    }
    causes
}

/// Returns the warnings for a definition: formats that nobody checks.
pub(super) fn warn(crd: &Value, old: Option<&Value>) -> Vec<String> {
    let mut formats = unknown_formats(crd);
    if let Some(old) = old {
        let before = unknown_formats(old);
        formats.retain(|format| !before.contains(format));
    }
    formats
        .into_iter()
        .map(|format| format!("unrecognized format {}", crate::field::quote(format)))
        .collect()
}

fn unknown_formats(crd: &Value) -> BTreeSet<&str> {
    let mut formats = BTreeSet::new();
    for version in crd["spec"]["versions"].as_array().into_iter().flatten() {
        collect_unknown_formats(&version["schema"]["openAPIV3Schema"], &mut formats);
    }
    formats
}

fn collect_unknown_formats<'a>(source: &'a Value, formats: &mut BTreeSet<&'a str>) {
    let format = text(source, "format");
    if !format.is_empty() && !format::is_known(text(source, "type"), format) {
        formats.insert(format);
    }
    let properties = source["properties"].as_object().into_iter().flatten();
    let several = ["allOf", "anyOf", "oneOf"]
        .into_iter()
        .flat_map(|word| source[word].as_array().into_iter().flatten());
    let single = ["items", "additionalProperties", "not"].map(|word| &source[word]);
    for below in properties
        .map(|(_, property)| property)
        .chain(several)
        .chain(single)
        .filter(|below| below.is_object())
    {
        collect_unknown_formats(below, formats);
    }
}

fn required_name(name: &str, rule: fn(&str) -> Vec<String>, path: &Path, causes: &mut Vec<Cause>) {
    if name.is_empty() {
        causes.push(path.required(""));
        return;
    }
    let mistakes = rule(name).into_iter();
    causes.extend(mistakes.map(|why| path.invalid(name, why)));
}

fn validate_names(names: &Value, path: &Path, causes: &mut Vec<Cause>) {
    required_name(
        text(names, "plural"),
        names::label,
        &path.child("plural"),
        causes,
    );
    required_name(
        text(names, "singular"),
        names::label,
        &path.child("singular"),
        causes,
    );
    for field in ["kind", "listKind"] {
        let kind = text(names, field).to_lowercase();
        required_name(&kind, names::label, &path.child(field), causes);
    }
    for field in ["shortNames", "categories"] {
        for (index, name) in names[field].as_array().into_iter().flatten().enumerate() {
            let name = name.as_str().unwrap_or_default();
            required_name(name, names::label, &path.child(field).index(index), causes);
        }
    }
}

fn validate_versions(spec: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let path = path.child("versions");
    let versions = spec["versions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let stored = versions.iter().filter(|version| version["storage"] == true);
    if stored.count() != 1 {
        let why = "must have exactly one version marked as storage version";
        causes.push(path.invalid(json!(versions), why));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        let path = path.index(index);
        let name = text(version, "name");
        required_name(name, names::label, &path.child("name"), causes);
        if !seen.insert(name) {
            causes.push(path.child("name").duplicate(name));
        }
        validate_columns(version, &path, causes);
        validate_subresources(
            &version["subresources"],
            &path.child("subresources"),
            causes,
        );
        let source = &version["schema"]["openAPIV3Schema"];
        let path = path.child("schema").child("openAPIV3Schema");
        if !source.is_object() {
            causes.push(path.required("schemas are required"));
            continue;
        }
        validate_structure(source, &path, true, causes);
        if let Err(why) = Constraints::parse(source) {
            causes.push(path.invalid("", why));
        }
        let mut errors = Vec::new();
        RuleTree::parse(source, path.as_str(), &mut errors);
        causes.extend(
            errors
                .into_iter()
                .map(|error| Path::new(&error.path).invalid(error.rule, error.why)),
        );
    }
}

fn validate_columns(version: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let columns = version["additionalPrinterColumns"]
        .as_array()
        .into_iter()
        .flatten();
    for (index, column) in columns.enumerate() {
        let path = path.child("additionalPrinterColumns").index(index);
        if text(column, "name").is_empty() {
            causes.push(path.child("name").required(""));
        }
        let kind = text(column, "type");
        if !COLUMN_TYPES.contains(&kind) {
            causes.push(path.child("type").not_supported(kind, &COLUMN_TYPES));
        }
        required_path(column, "jsonPath", &path, causes);
    }
    let fields = version["selectableFields"].as_array().into_iter().flatten();
    for (index, field) in fields.enumerate() {
        required_path(
            field,
            "jsonPath",
            &path.child("selectableFields").index(index),
            causes,
        );
    }
}

fn required_path(value: &Value, field: &str, path: &Path, causes: &mut Vec<Cause>) {
    let json_path = text(value, field);
    if json_path.is_empty() {
        causes.push(path.child(field).required(""));
    } else if JsonPath::parse(json_path).is_none() {
        let why = "this server reads .a.b, [0], [*], ['name'] and [?(@.a==\"b\")] in paths";
        causes.push(path.child(field).invalid(json_path, why));
    }
}

fn validate_subresources(subresources: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let scale = &subresources["scale"];
    if !scale.is_object() {
        return;
    }
    for (field, below) in [
        ("specReplicasPath", ".spec."),
        ("statusReplicasPath", ".status."),
    ] {
        let json_path = text(scale, field);
        let path = path.child("scale").child(field);
        if json_path.is_empty() {
            causes.push(path.required(""));
        } else if !json_path.starts_with(below) {
            let why = format!(
                "should be a json path under {}",
                below.trim_end_matches('.')
            );
            causes.push(path.invalid(json_path, why));
        }
    }
}

/// A schema says the type of everything in it, so that it can be pruned and merged.
fn validate_structure(source: &Value, path: &Path, root: bool, causes: &mut Vec<Cause>) {
    let kind = text(source, "type");
    let open = source["x-kubernetes-int-or-string"] == true
        || source["x-kubernetes-preserve-unknown-fields"] == true;
    if kind.is_empty() && (root || !open) {
        let why = if root {
            "must not be empty at the root"
        } else {
            "must not be empty for specified object fields"
        };
        causes.push(path.child("type").required(why));
    }
    if root && !kind.is_empty() && kind != "object" {
        causes.push(
            path.child("type")
                .invalid(kind, "must be object at the root"),
        );
    }
    for forbidden in ["$ref", "definitions", "dependencies", "patternProperties"] {
        if !source[forbidden].is_null() {
            causes.push(path.child(forbidden).forbidden("is not supported"));
        }
    }
    if source["uniqueItems"] == true {
        let why =
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        causes.push(path.child("uniqueItems").forbidden(why));
    }
    let properties = &source["properties"];
    if properties.is_object() && source["additionalProperties"].is_object() {
        let why = "additionalProperties and properties are mutual exclusive";
        causes.push(path.child("additionalProperties").forbidden(why));
    }
    validate_list_type(source, path, causes);
    for (name, property) in properties.as_object().into_iter().flatten() {
        if root && name == "metadata" {
            continue;
        }
        let path = path.child(&format!("properties[{name}]"));
        validate_structure(property, &path, false, causes);
    }
    if source["additionalProperties"].is_object() {
        let path = path.child("additionalProperties");
        validate_structure(&source["additionalProperties"], &path, false, causes);
    }
    if kind == "array" && !source["items"].is_object() {
        causes.push(path.child("items").required("must be specified"));
    }
    if source["items"].is_object() {
        validate_structure(&source["items"], &path.child("items"), false, causes);
    }
}

fn validate_list_type(source: &Value, path: &Path, causes: &mut Vec<Cause>) {
    let kind = text(source, "x-kubernetes-list-type");
    let keys = source["x-kubernetes-list-map-keys"].as_array();
    let keys_path = path.child("x-kubernetes-list-map-keys");
    match kind {
        "" | "atomic" | "set" => {
            if keys.is_some() {
                let path = path.child("x-kubernetes-list-type");
                causes
                    .push(path.required("must be map if x-kubernetes-list-map-keys is non-empty"));
            }
        }
        "map" => {
            let items = &source["items"];
            let required = items["required"].as_array();
            for (index, key) in keys.into_iter().flatten().enumerate() {
                let name = key.as_str().unwrap_or_default();
                let property = &items["properties"][name];
                if !property.is_object() {
                    let why = "entries must all be names of item properties";
                    causes.push(keys_path.index(index).invalid(name, why));
                }
                let is_required = required.is_some_and(|required| required.contains(key));
                if !is_required && property["default"].is_null() {
                    let path = path.child("items").child(&format!("properties[{name}]"));
                    let why = "this property is in x-kubernetes-list-map-keys, so it must have a \
                               default or be a required property";
                    causes.push(path.child("default").required(why));
                }
            }
            if keys.is_none_or(Vec::is_empty) {
                let why = "must not be empty if x-kubernetes-list-type is map";
                causes.push(keys_path.required(why));
            }
        }
        other => {
            let path = path.child("x-kubernetes-list-type");
            causes.push(path.not_supported(other, &["atomic", "map", "set"]));
        }
    }
}
