//! K0408: a fan-out over nothing.

use konductor_dsl::{Code, Diagnostic, ast};

/// A loop over an empty list or range.
pub(crate) fn report(variable: &ast::Loop) -> Diagnostic {
    let span = variable.over.span();
    Diagnostic::error(
        Code::K0408,
        span,
        format!("`{}` goes over nothing", variable.variable.text),
    )
    .here("no elements")
    .help("give it at least one; to leave the stage out, use `when`")
}
