//! K0309: an interpolation that the shell splits.

use konductor_dsl::{Code, Diagnostic, Span, ast};

/// A value that becomes several words where it has blanks.
pub(crate) fn report(reference: &ast::Ref, span: Span) -> Diagnostic {
    Diagnostic::warning(Code::K0309, span, "the shell splits this at blanks")
        .here("not in double quotes")
        .help(format!("put it in double quotes: \"${{{reference}}}\""))
}
