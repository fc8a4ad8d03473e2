//! K0503: a part of the language that this version does not compile.

use konductor_dsl::{Code, Diagnostic, Span};

/// Something that would otherwise be ignored.
pub(crate) fn report(word: &str, span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0503,
        span,
        format!("`{word}` is not supported by this version"),
    )
    .help("leave it out, or use a newer konductor")
}
