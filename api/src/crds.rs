//! The CustomResourceDefinitions, as `koncli crds` prints them and the chart ships them.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
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
        drop_nullable(schema);
        let properties = schema.properties.as_mut();
        if let Some(status) = properties.and_then(|properties| properties.get_mut("status")) {
            status.default = first_status.clone().map(JSON);
        }
    }
    crd
}

/// A null in a field that is not nullable is pruned by the API server, so CEL's `has` is the only
/// question that rules need to ask.
fn drop_nullable(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        drop_nullable(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_nullable(items);
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
