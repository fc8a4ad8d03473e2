//! K0504: a text that can't name an object in the cluster.

use konductor_dsl::{Code, Diagnostic, Span};

/// The name in `pipeline("…")`, `gate("…")` or `barrier("…")`.
pub(crate) fn report(span: Span, name: &str) -> Diagnostic {
    Diagnostic::error(
        Code::K0504,
        span,
        format!("{name:?} can't be the name of an object"),
    )
    .help("write `name` or `namespace/name`: lower case letters, digits and `-`")
}
