//! K0319: a mount path that is not absolute.

use konductor_dsl::{Code, Diagnostic, Span};

/// A path that does not begin with `/`.
pub(crate) fn report(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0319,
        span,
        "a workspace is mounted at an absolute path",
    )
    .help("begin it with `/`, and use no `:`")
}
