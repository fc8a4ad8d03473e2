//! Passthrough YAML, merged into a Job as Kubernetes' strategic merge would.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::PodSpec;
use konductor_dsl::ast::YamlKind;
use serde_json::Value as Json;

use crate::eval::Values;
use crate::pipeline::{Leaf, Node, Passthrough};

/// Merges one block into a Job.
///
/// # Errors
/// Where it is not what Kubernetes takes after all.
pub(crate) fn merge(
    job: &mut Job,
    block: &Passthrough,
    values: Values<'_>,
) -> Result<(), serde_json::Error> {
    let json = instantiated(&block.root, values);
    let spec = job.spec.get_or_insert_default();
    match block.kind {
        YamlKind::Pod => {
            let patch: PodSpec = serde_json::from_value(json)?;
            spec.template.spec.get_or_insert_default().merge_from(patch);
        }
        YamlKind::Job => {
            let patch = json
                .get("spec")
                .cloned()
                .unwrap_or_else(|| Json::Object(Default::default()));
            let patch: JobSpec = serde_json::from_value(patch)?;
            spec.merge_from(patch);
        }
    }
    Ok(())
}

fn instantiated(node: &Node, values: Values<'_>) -> Json {
    match node {
        Node::Json(json) => json.clone(),
        Node::Text { text, leaf } => {
            let text = values.text(text).unwrap_or_default();
            match leaf {
                Leaf::Text => text.into(),
                Leaf::Number => text.parse::<i64>().map_or(Json::Null, Json::from),
                Leaf::Bool => (text == "true").into(),
            }
        }
        Node::List(nodes) => nodes
            .iter()
            .map(|node| instantiated(node, values))
            .collect(),
        Node::Map(members) => members
            .iter()
            .map(|(name, node)| (name.clone(), instantiated(node, values)))
            .collect(),
    }
}
