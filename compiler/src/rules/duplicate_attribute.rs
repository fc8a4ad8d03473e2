//! K0204: an attribute that is given twice.

use konductor_dsl::{Code, Diagnostic, Span, ast};

/// A second `defaults`.
pub(crate) fn defaults(second: Span, first: Span) -> Diagnostic {
    Diagnostic::error(Code::K0204, second, "`defaults` is given twice")
        .here("given again here")
        .label(first, "first given here")
        .help("write all defaults into one block")
}

/// The second of two equal keys.
pub(crate) fn report(key: &ast::Key, first: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0204,
        key.span,
        format!("`{}` is given twice", key.text),
    )
    .here("given again here")
    .label(first, "first given here")
    .help("remove one of them")
}
