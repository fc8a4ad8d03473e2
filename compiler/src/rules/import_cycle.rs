//! K0213: files that import each other.

use konductor_dsl::{Code, Diagnostic, Span};

/// An import that leads back to its own file.
pub(crate) fn report(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0213,
        span,
        "this import leads back to the file it is in",
    )
    .help("move what both files need into a third one")
}
