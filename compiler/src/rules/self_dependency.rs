//! K0402: a stage that waits for itself.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

/// A stage in its own `after`.
pub(crate) fn report(name: &ast::Name, dependency: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0402,
        name.span,
        format!("`{}` waits for itself", name.text),
    )
    .here("the stage itself")
    .help("remove it from `after`")
    .fix("remove it", [Edit::remove(dependency)])
}

/// A stage that uses its own output.
pub(crate) fn own_output(span: Span, name: &ast::Name) -> Diagnostic {
    let message = format!("`{}` uses its own output", name.text);
    Diagnostic::error(Code::K0402, span, message)
        .here("not there before the stage has ended")
        .help("use the output in a stage that comes after this one")
}
