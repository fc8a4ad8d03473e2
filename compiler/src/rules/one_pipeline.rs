//! K0210: a file without a pipeline, or with two.

use konductor_dsl::{Code, Diagnostic, SourceId, Span, ast};

/// The root file has none.
pub(crate) fn missing(source: SourceId) -> Diagnostic {
    let span = Span {
        source,
        start: 0,
        end: 0,
    };
    Diagnostic::error(Code::K0210, span, "this file has no pipeline").help(
        "add `pipeline NAME { stage hello { image = \"busybox:1.36\", run = \"echo hello\" } }`",
    )
}

/// A file has a second one.
pub(crate) fn second(first: &ast::Pipeline, second: &ast::Pipeline) -> Diagnostic {
    Diagnostic::error(
        Code::K0210,
        second.name.span,
        "a file has at most one pipeline",
    )
    .here("a second one")
    .label(first.name.span, "the first one")
    .help("move it into a file of its own")
}

/// An imported file has one.
pub(crate) fn imported(pipeline: &ast::Pipeline) -> Diagnostic {
    Diagnostic::error(
        Code::K0210,
        pipeline.name.span,
        "an imported file holds only templates",
    )
    .here("this pipeline would never run")
    .help("move the templates into a file of their own, and import that")
}
