//! K0409: a fan-out with one item twice.

use konductor_dsl::{Code, Diagnostic, Span};

/// Two items that are called the same.
pub(crate) fn report(span: Span, item: &str) -> Diagnostic {
    Diagnostic::error(Code::K0409, span, format!("the item `{item}` comes twice"))
        .help("remove one of them: items are told apart by their values")
}
