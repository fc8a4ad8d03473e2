//! K0312: a body with both `run` and `exec`.

use konductor_dsl::{Code, Diagnostic, ast};

/// The second of the two.
pub(crate) fn report(second: &ast::Key, first: &ast::Key) -> Diagnostic {
    Diagnostic::error(
        Code::K0312,
        second.span,
        "a stage has `run` or `exec`, not both",
    )
    .here("given again here")
    .label(first.span, "first given here")
    .help("keep `run` for a script, `exec` for a program without a shell")
}
