//! From a CustomResourceDefinition to the kinds that are served.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Custom;
use super::constraints::Constraints;
use super::definition_rules;
use super::rules::RuleTree;
use crate::definition::{Column, Definition, NO_RULES, Nature, Rules, Usage};
use crate::kind::{Kind, Resource};
use crate::metadata;
use crate::names::NameRule;
use crate::schema::{Schema, Type, builtin};
use crate::subresource::ScalePaths;

/// The finalizer of a definition whose objects are still there.
pub(crate) const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";

/// The rules of CustomResourceDefinitions themselves.
pub(crate) const RULES: Rules = Rules {
    default,
    prepare_create: |crd| {
        let stored = storage_version(crd)["name"].clone();
        crd["status"] = json!({
            "conditions": null,
            "acceptedNames": {"plural": "", "kind": ""},
            "storedVersions": [stored],
        });
    },
    validate: definition_rules::validate,
    validate_update: definition_rules::validate_update,
    warn: definition_rules::warn,
    ..NO_RULES
};

fn default(crd: &mut Value) {
    let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
    let (singular, list) = (kind.to_lowercase(), format!("{kind}List"));
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else {
        return;
    };
    spec.entry("conversion")
        .or_insert_with(|| json!({"strategy": "None"}));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut) {
        names.entry("singular").or_insert_with(|| singular.into());
        names.entry("listKind").or_insert_with(|| list.into());
    }
}

fn versions(crd: &Value) -> impl Iterator<Item = &Value> {
    crd["spec"]["versions"].as_array().into_iter().flatten()
}

fn storage_version(crd: &Value) -> &Value {
    versions(crd)
        .find(|version| version["storage"] == true)
        .unwrap_or(&Value::Null)
}

/// The resource that a definition is of.
pub(crate) fn resource(crd: &Value) -> Resource {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Resource {
        group: text(&crd["spec"]["group"]).into(),
        plural: text(&crd["spec"]["names"]["plural"]).into(),
    }
}

/// The kinds that a valid definition serves, the stored one first.
pub(crate) fn definitions(crd: &Value) -> Vec<Arc<Definition>> {
    let storage = storage_version(crd);
    let others = versions(crd).filter(|version| version["storage"] != true);
    std::iter::once(storage)
        .chain(others)
        .filter(|version| version["served"] == true || version["storage"] == true)
        .map(|version| Arc::new(definition(crd, version, storage)))
        .collect()
}

fn definition(crd: &Value, version: &Value, storage: &Value) -> Definition {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| {
        let texts = value.as_array().into_iter().flatten();
        texts.map(text).collect::<Vec<_>>()
    };
    let kind = Kind {
        resource: resource(crd),
        version: text(&version["name"]).into(),
        kind: text(&names["kind"]).into(),
        namespaced: spec["scope"] == "Namespaced",
    };
    let source = &version["schema"]["openAPIV3Schema"];
    let selectable = version["selectableFields"].as_array().into_iter().flatten();
    Definition {
        api_version: kind.api_version(),
        storage_api_version: format!("{}/{}", kind.group(), text(&storage["name"])),
        singular: text(&names["singular"]),
        list_kind: text(&names["listKind"]),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        name_rule: NameRule::Subdomain,
        has_status: version["subresources"]["status"].is_object(),
        scale: scale(&version["subresources"]["scale"]),
        has_generation: true,
        create_on_update: false,
        unconditional_update: false,
        returns_deleted: false,
        orphans_by_default: false,
        deletes_collections: true,
        selectable: selectable
            .map(|field| text(&field["jsonPath"]).trim_start_matches('.').to_owned())
            .collect(),
        columns: columns(version),
        schema: Arc::new(schema(source)),
        skeleton: json!({"metadata": {}}),
        nature: Nature::Custom(Arc::new(custom(source))),
        usage: Usage::All,
        view: None,
        kind,
    }
}

fn custom(source: &Value) -> Custom {
    Custom {
        // Both were checked when the definition was written.
        constraints: Constraints::parse(source).unwrap_or_default(),
        rules: RuleTree::parse(source, "", &mut Vec::new()),
        source: source.clone(),
    }
}

fn scale(source: &Value) -> Option<ScalePaths> {
    let text = |name: &str| source[name].as_str().map(str::to_owned);
    Some(ScalePaths {
        spec_replicas: text("specReplicasPath")?,
        status_replicas: text("statusReplicasPath")?,
        label_selector: text("labelSelectorPath"),
    })
}

/// The columns that `kubectl get` shows beside the name.
fn columns(version: &Value) -> Vec<Column> {
    let Some(columns) = version["additionalPrinterColumns"].as_array() else {
        return vec![Column {
            name: "Age".to_owned(),
            kind: "date".to_owned(),
            format: String::new(),
            description: crate::schema::builtin::describe(
                "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
                "creationTimestamp",
            )
            .to_owned(),
            priority: 0,
            json_path: ".metadata.creationTimestamp".to_owned(),
        }];
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    columns
        .iter()
        .map(|column| Column {
            name: text(&column["name"]),
            kind: text(&column["type"]),
            format: text(&column["format"]),
            description: text(&column["description"]),
            priority: column["priority"].as_i64().unwrap_or_default(),
            json_path: text(&column["jsonPath"]),
        })
        .collect()
}

/// The schema of the whole object: the definition's, and what every object has.
fn schema(source: &Value) -> Schema {
    let mut schema = parse(source);
    schema.kind = Type::Object;
    if let Some(common) = builtin::schema(CONFIG_MAP) {
        for field in ["apiVersion", "kind", "metadata"] {
            if let Some(of_field) = common.properties.get(field) {
                schema.properties.insert(field.to_owned(), of_field.clone());
            }
        }
    }
    schema
}

fn parse(source: &Value) -> Schema {
    Schema::parse(source, &mut |nested| Arc::new(parse(nested)))
}

/// The status of a definition: whether its names are free, and then it is established.
pub(crate) fn accepted_status(crd: &Value, conflict: Option<&str>, now: Timestamp) -> Value {
    let mut status = crd["status"].clone();
    if !status.is_object() {
        status = json!({});
    }
    let conditions = match conflict {
        None => [
            ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
            (
                "Established",
                "True",
                "InitialNamesAccepted",
                "the initial names have been accepted",
            ),
        ],
        Some(conflict) => [
            ("NamesAccepted", "False", "KindConflict", conflict),
            (
                "Established",
                "False",
                "NotAccepted",
                "not all names are accepted",
            ),
        ],
    };
    let old_conditions = status["conditions"].clone();
    let conditions = conditions.map(|(kind, state, reason, message)| {
        let mut conditions = old_conditions.as_array().into_iter().flatten();
        let before = conditions.find(|condition| condition["type"] == kind);
        let since = before
            .filter(|condition| condition["status"] == state)
            .map_or_else(
                || Value::from(metadata::time(now)),
                |condition| condition["lastTransitionTime"].clone(),
            );
        json!({
            "type": kind,
            "status": state,
            "lastTransitionTime": since,
            "reason": reason,
            "message": message,
        })
    });
    let others = old_conditions
        .as_array()
        .into_iter()
        .flatten()
        .filter(|condition| {
            !["NamesAccepted", "Established"]
                .contains(&condition["type"].as_str().unwrap_or_default())
        });
    status["conditions"] = conditions.iter().chain(others).cloned().collect();
    if conflict.is_none() {
        status["acceptedNames"] = crd["spec"]["names"].clone();
    }
    let stored = storage_version(crd)["name"].clone();
    let versions = status["storedVersions"].as_array_mut();
    match versions {
        Some(versions) if versions.contains(&stored) => {}
        Some(versions) => versions.push(stored),
        None => status["storedVersions"] = json!([stored]),
    }
    status
}
