//! K0507: a field that Kubernetes does not have.

use konductor_dsl::{Code, Diagnostic, Edit, Span, did_you_mean};

use super::listed;

/// A key that is none of the schema's.
pub(crate) fn report(span: Span, key: &str, known: &[&str]) -> Diagnostic {
    let message = format!("Kubernetes has no field `{key}` here");
    let diagnostic = Diagnostic::error(Code::K0507, span, message).here("unknown");
    match did_you_mean(key, known.iter().copied()) {
        Some(near) => diagnostic.fixed(format!("write `{near}`"), [Edit::replace(span, near)]),
        None => diagnostic.help(format!("use {}", listed(known, "or"))),
    }
}
