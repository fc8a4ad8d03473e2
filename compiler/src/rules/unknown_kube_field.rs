//! K0507: a field that Kubernetes does not have.

use konductor_dsl::{Code, Diagnostic, Edit, Span, did_you_mean};

use super::listed;

/// A key that is none of the schema's.
pub(crate) fn report(span: Span, key: &str, fields: &[&str]) -> Diagnostic {
    let message = format!("Kubernetes has no field `{key}` here");
    let diagnostic = Diagnostic::error(Code::K0507, span, message).here("unknown");
    let is_pod = fields.contains(&"containers");
    let help = match key {
        "spec" | "template" if is_pod => {
            Some("remove it: `pod` has the fields of a PodSpec right away, and `job` a `spec`")
        }
        "metadata" if is_pod => {
            Some("write `labels { … }` or `annotations { … }` in the stage's body, without YAML")
        }
        "apiVersion" | "kind" if is_pod => {
            Some("remove it: `pod` has the fields of a PodSpec right away")
        }
        _ => None,
    };
    if let Some(help) = help {
        return diagnostic.help(help);
    }
    match did_you_mean(key, fields.iter().copied()) {
        Some(near) => diagnostic.fixed(format!("write `{near}`"), [Edit::replace(span, near)]),
        None => diagnostic.help(format!("use {}", listed(fields, "or"))),
    }
}
