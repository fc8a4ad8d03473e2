//! K0509: a field that konductor sets itself.

use konductor_dsl::{Code, Diagnostic, Span};

/// A field of passthrough that would break what the compiler set.
pub(crate) fn report(span: Span, key: &str, why: &str) -> Diagnostic {
    Diagnostic::error(Code::K0509, span, format!("`{key}` is set by konductor"))
        .here(why)
        .help("remove it")
}
