//! The CustomResourceDefinitions, as `koncli crds` prints them and the chart ships them.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use serde_json::{Value, json};

use crate::{Arrival, Barrier, Claim, Gate, Lease, Run, Semaphore};

/// Every CustomResourceDefinition of konductor, in a stable order.
///
/// A new Barrier, Gate, Claim or Run shows its first phase before the operator has seen it: the
/// schema defaults it. A Semaphore's or Lease's status has no default, because its absence tells
/// the operator that the ledger was never written.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![
        finished(Arrival::crd(), None),
        finished(Barrier::crd(), Some(json!({"phase": "Waiting"}))),
        finished(Claim::crd(), Some(json!({"phase": "Queued"}))),
        finished(Gate::crd(), Some(json!({"phase": "Waiting"}))),
        finished(Lease::crd(), None),
        finished(Run::crd(), Some(json!({"phase": "Running"}))),
        finished(Semaphore::crd(), None),
    ]
}

/// Gives the status its first value, and makes an explicit null the same as an absent field.
fn finished(
    mut crd: CustomResourceDefinition,
    first_status: Option<Value>,
) -> CustomResourceDefinition {
    let schemas = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut());
    for schema in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        drop_what_is_unknown(schema);
        let properties = schema.properties.as_mut();
        if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
            status.default = first_status.clone().map(JSON);
        }
    }
    crd
}

/// Leaves out what the API server does not understand. A null in a field that is not nullable is
/// pruned, so CEL's `has` is the only question that rules need to ask. Formats of numbers without a
/// sign, such as `uint32`, have no meaning there, and each is told as a warning to whoever installs
/// this; what is refused stands in `minimum` and `maximum`.
fn drop_what_is_unknown(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if schema.type_.as_deref() == Some("integer") {
        schema
            .format
            .take_if(|format| !matches!(format.as_str(), "int32" | "int64"));
    }
    for property in schema.properties.iter_mut().flat_map(BTreeMap::values_mut) {
        drop_what_is_unknown(property);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        drop_what_is_unknown(values);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_what_is_unknown(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_is_listed_by_the_category_and_has_what_people_expect() {
        for crd in crds() {
            let name = crd.metadata.name.clone().unwrap_or_default();
            assert_eq!(
                crd.spec.names.categories,
                Some(vec!["konductor".to_owned()]),
                "{name}"
            );
            assert_eq!(crd.spec.scope, "Namespaced", "{name}");
            let version = &crd.spec.versions[0];
            let columns = version
                .additional_printer_columns
                .as_ref()
                .expect("columns");
            assert_eq!(columns.last().expect("a column").name, "Age", "{name}");
            let status = version
                .subresources
                .as_ref()
                .and_then(|s| s.status.as_ref());
            assert_eq!(status.is_some(), name != "arrivals.konductor.io", "{name}");
        }
    }

    /// What people write must be readable as the type that it becomes: one object that is not hides
    /// all others of its kind from whoever lists them.
    fn unbounded(place: &str, schema: &Value, found: &mut Vec<String>) {
        let Some(fields) = schema.as_object() else {
            return;
        };
        let wanted = match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("integer"), _) => &["minimum", "maximum"][..],
            (Some("number"), _) => panic!("{place}: no number here has a fraction"),
            (Some("string"), Some(_)) => &["pattern"],
            _ => &[],
        };
        let missing = wanted.iter().filter(|word| !fields.contains_key(**word));
        found.extend(missing.map(|word| format!("{place}: {word}")));
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            unbounded(&format!("{place}.{name}"), property, found);
        }
        for below in ["items", "additionalProperties"] {
            unbounded(&format!("{place}[]"), &schema[below], found);
        }
    }

    #[test]
    fn every_value_that_people_write_is_one_that_is_read() {
        let mut found = Vec::new();
        for crd in crds() {
            let version = serde_json::to_value(&crd.spec.versions[0]).expect("JSON");
            let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
            assert!(spec.is_object());
            unbounded(&crd.spec.names.kind, spec, &mut found);
        }
        assert_eq!(found, [""; 0], "what bounds it is missing");
    }

    /// The formats of all values below, each with its place.
    fn formats(place: &str, schema: &Value, found: &mut Vec<(String, String)>) {
        let Some(fields) = schema.as_object() else {
            return;
        };
        if let (Some(kind), Some(format)) = (fields["type"].as_str(), schema["format"].as_str()) {
            found.push((place.to_owned(), format!("{kind}/{format}")));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            formats(&format!("{place}.{name}"), property, found);
        }
        for below in ["items", "additionalProperties"] {
            formats(&format!("{place}[]"), &schema[below], found);
        }
    }

    #[test]
    fn every_format_is_one_that_the_api_server_knows() {
        // Of apiextensions-apiserver's list, those that are used here; any other is a warning.
        const KNOWN: [&str; 3] = ["integer/int32", "integer/int64", "string/date-time"];
        let mut found = Vec::new();
        for crd in crds() {
            let version = serde_json::to_value(&crd.spec.versions[0]).expect("JSON");
            let kind = &crd.spec.names.kind;
            formats(kind, &version["schema"]["openAPIV3Schema"], &mut found);
        }
        let unknown: Vec<_> = found
            .iter()
            .filter(|(_, format)| !KNOWN.contains(&format.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(found.len() > KNOWN.len(), "{found:?}");
    }

    #[test]
    fn semaphore_scales_by_its_permits() {
        let crd = Semaphore::crd();
        let subresources = crd.spec.versions[0]
            .subresources
            .clone()
            .expect("subresources");
        let scale = subresources.scale.expect("scale");
        assert_eq!(
            (
                scale.spec_replicas_path.as_str(),
                scale.status_replicas_path.as_str()
            ),
            (".spec.permits", ".status.inUse")
        );
    }
}
