//! K0319: a path where no workspace can be mounted.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

/// `/`, where the files of the image are.
pub(crate) fn root(path: &ast::Str, workspace: &str) -> Diagnostic {
    let message = "a workspace at `/` would hide the files of the image";
    Diagnostic::error(Code::K0319, path.span, message)
        .help(format!("write a folder, such as `\"/{workspace}\"`"))
}

/// A path that leads out of a folder again: where it ends depends on the links of the image.
pub(crate) fn climbs(path: &ast::Str) -> Diagnostic {
    let message = "the path of a workspace has a `..` in it";
    Diagnostic::error(Code::K0319, path.span, message).help("write the path without `..`")
}

/// A path where pods have what konductor puts beside the command.
pub(crate) fn reserved(path: &ast::Str, workspace: &str) -> Diagnostic {
    let message = "konductor keeps files of its own below `/kon`";
    Diagnostic::error(Code::K0319, path.span, message)
        .help(format!("choose another folder, such as `\"/{workspace}\"`"))
}

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
