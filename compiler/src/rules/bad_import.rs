//! K0212: an import that can't be read.

use konductor_dsl::{Code, Diagnostic, Span};

use crate::limits::FILES_MAX;

/// A path that is no relative path below the root file's folder.
pub(crate) fn path(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0212,
        span,
        "this is not a path of a `.kon` file below the pipeline file's folder",
    )
    .help("write a relative path to a file there, such as \"lib/python.kon\"")
}

/// A file that is not there, or is no text.
pub(crate) fn unreadable(span: Span, path: &str, problem: &str) -> Diagnostic {
    Diagnostic::error(
        Code::K0212,
        span,
        format!("`{path}` can't be read: {problem}"),
    )
    .help("check the path: it is relative to the importing file")
}

/// More files than anybody reads.
pub(crate) fn too_many(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0212,
        span,
        format!("more than {FILES_MAX} files are imported"),
    )
    .help("put several templates into one file")
}
