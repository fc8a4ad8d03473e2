//! K0319: a mount path that is not absolute.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

/// A path that does not begin with `/`.
pub(crate) fn report(path: &ast::Str) -> Diagnostic {
    let span = path.span;
    let diagnostic = Diagnostic::error(
        Code::K0319,
        span,
        "a workspace is mounted at an absolute path",
    )
    .help("begin it with `/`, and use no `:`");
    match path.plain() {
        Some(plain) if !path.block && !plain.contains(':') => {
            let begin = Span {
                end: span.start + 1,
                ..span
            };
            let written = format!("\"/{plain}\"");
            diagnostic.fix(format!("write {written}"), [Edit::behind(begin, "/")])
        }
        _ => diagnostic,
    }
}
