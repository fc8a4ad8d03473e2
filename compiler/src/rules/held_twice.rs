//! K0410: a semaphore or lease that is held twice.

use konductor_dsl::{Code, Diagnostic, Span, ast};

/// The second mention in one `holding`.
pub(crate) fn report(name: &ast::Name, first: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0410,
        name.span,
        format!("`{}` is held already", name.text),
    )
    .label(first, "first held here")
    .help(format!(
        "write it once, with the sum of permits: `{}(2)`",
        name.text
    ))
}
