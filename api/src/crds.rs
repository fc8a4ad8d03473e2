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
/// schema defaults it. A Semaphore's or Lease's status has no default, because its absence says
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
/// sign, such as `uint32`, have no meaning there, and each produces a warning for whoever installs
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

    /// A schema and all below it, each with its place.
    fn all(place: String, schema: &Value) -> Vec<(String, &Value)> {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let named = properties.map(|(name, below)| (format!("{place}.{name}"), below));
        let listed = ["items", "additionalProperties"].map(|word| &schema[word]);
        let listed = listed.into_iter().filter(|below| below.is_object());
        let below = named.chain(listed.map(|below| (format!("{place}[]"), below)));
        let below: Vec<_> = below.flat_map(|(place, below)| all(place, below)).collect();
        std::iter::once((place, schema)).chain(below).collect()
    }

    fn schemas() -> Vec<(String, Value)> {
        let schema = |crd: CustomResourceDefinition| {
            let version = serde_json::to_value(&crd.spec.versions[0]).expect("JSON");
            (
                crd.spec.names.kind,
                version["schema"]["openAPIV3Schema"].clone(),
            )
        };
        crds().into_iter().map(schema).collect()
    }

    /// What people write must be readable as the type that it becomes: one object that is not hides
    /// all others of its kind from whoever lists them.
    fn unbounded((place, schema): (String, &Value)) -> Vec<String> {
        let bounds = match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("integer"), _) => &["minimum", "maximum"][..],
            (Some("number"), _) => panic!("{place}: no number here has a fraction"),
            // An expression may have any text in it.
            (Some("string"), None) if place.ends_with(".when") => &[],
            (Some("string"), _) if schema["enum"].is_null() => &["pattern"],
            _ => &[],
        };
        let missing = bounds.iter().filter(|word| schema[**word].is_null());
        missing.map(|word| format!("{place}: {word}")).collect()
    }

    #[test]
    fn every_value_that_people_write_is_one_that_is_read() {
        let mut missing = Vec::new();
        for (kind, schema) in schemas() {
            let spec = &schema["properties"]["spec"];
            assert!(spec.is_object());
            missing.extend(all(kind, spec).into_iter().flat_map(unbounded));
        }
        assert_eq!(missing, [""; 0], "what bounds it is missing");
    }

    #[test]
    fn every_format_is_one_that_the_api_server_knows() {
        // Of apiextensions-apiserver's list, those that are used here; any other is a warning.
        const KNOWN: [&str; 3] = ["integer/int32", "integer/int64", "string/date-time"];
        let schemas = schemas();
        let schemas = schemas
            .iter()
            .flat_map(|(kind, schema)| all(kind.clone(), schema));
        let formats: Vec<(String, String)> = schemas
            .filter_map(|(place, schema)| {
                let (kind, format) = (schema["type"].as_str()?, schema["format"].as_str()?);
                Some((place, format!("{kind}/{format}")))
            })
            .collect();
        let unknown: Vec<_> = formats
            .iter()
            .filter(|(_, format)| !KNOWN.contains(&format.as_str()))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(formats.len() > KNOWN.len(), "{formats:?}");
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
