//! Passthrough YAML, merged into a Job as Kubernetes' strategic merge would.

use k8s_openapi::DeepMerge;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::PodSpec;
use konductor_dsl::ast::YamlKind;
use serde_json::Value as Json;

use super::environment::escape;
use crate::eval::Values;
use crate::pipeline::{Leaf, Node, Passthrough, Piece, Text};

/// Merges one block into a Job.
///
/// # Errors
/// If it is not what Kubernetes takes after all.
pub(crate) fn merge(
    job: &mut Job,
    block: &Passthrough,
    values: Values<'_>,
) -> Result<(), serde_json::Error> {
    let json = instantiated(&block.root, values, Field::Other);
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

/// What a part of the YAML is, as far as kubelet reads it in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// Kubelet expands `$(NAME)` in it: `command` and `args` of containers and probes, the values
    /// of `env`, and `subPathExpr`.
    Expanded,
    /// What is started after a container's start or before its end, which is not expanded.
    Lifecycle,
    Environment,
    Other,
}

impl Field {
    /// The same for a member.
    fn member(self, name: &str) -> Self {
        match (self, name) {
            (Self::Lifecycle, _) | (_, "lifecycle") => Self::Lifecycle,
            (_, "env") => Self::Environment,
            (Self::Environment, "value") | (_, "command" | "args" | "subPathExpr") => {
                Self::Expanded
            }
            _ => Self::Other,
        }
    }
}

fn instantiated(node: &Node, values: Values<'_>, field: Field) -> Json {
    match node {
        Node::Json(json) => json.clone(),
        Node::Text { text, leaf } => {
            let text = match field {
                Field::Expanded => expanded(text, values),
                _ => values.text(text).unwrap_or_default(),
            };
            match leaf {
                Leaf::Text => text.into(),
                Leaf::Number => text.parse::<i64>().map_or(Json::Null, Json::from),
                Leaf::Bool => (text == "true").into(),
            }
        }
        Node::List(nodes) => nodes
            .iter()
            .map(|node| instantiated(node, values, field))
            .collect(),
        Node::Map(members) => members
            .iter()
            .map(|(name, node)| (name.clone(), instantiated(node, values, field.member(name))))
            .collect(),
    }
}

/// A text that kubelet expands: what the author wrote is, and values stay as they are.
fn expanded(text: &Text, values: Values<'_>) -> String {
    let mut whole = String::new();
    let mut pieces = text.pieces.iter().peekable();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Literal(literal) => {
                whole.push_str(literal);
                let dollars = literal.len() - literal.trim_end_matches('$').len();
                // A value must not become the name in `$(NAME)`.
                if dollars % 2 == 1 && pieces.peek().is_some() {
                    whole.push('$');
                }
            }
            Piece::Reference(reference) => {
                if let Some(value) = values.source(&reference.source) {
                    escape(&value.text(), &mut whole);
                }
            }
        }
    }
    whole
}
