//! K0311: an attribute that must be given.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::pipeline::{Body, Passthrough, Pipeline, Stage};
use crate::value::Type;

/// A declaration without what it needs.
pub(crate) fn report(name: &ast::Name, attribute: &str, example: &str) -> Diagnostic {
    let message = format!("`{}` needs `{attribute}`", name.text);
    Diagnostic::error(Code::K0311, name.span, message)
        .here(format!("`{attribute}` is missing"))
        .help(format!("add `{example}`"))
}

/// A record without one of its fields.
pub(crate) fn field(span: Span, field: &str, ty: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0311,
        span,
        format!("the field `{field}` of {ty} is missing"),
    )
    .help(format!("add `{field} = …`"))
}

/// Puts what is missing in one more element of a list beside what was reported of the ones before it. Only the first
/// places are shown.
pub(crate) fn joins(missing: &Diagnostic, reported: &mut [Diagnostic]) -> bool {
    const PLACES_MAX: usize = 3;
    let same =
        |other: &&mut Diagnostic| other.code == missing.code && other.message == missing.message;
    let Some(first) = reported.iter_mut().find(same) else {
        return false;
    };
    if first.labels.len() < PLACES_MAX {
        *first = first.clone().label(missing.span(), "and of this one");
    }
    true
}

/// Reports stages with files, and without a command that could be wrapped.
pub(crate) fn check_command(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    // A script with a mistake is no script.
    if diagnostics.iter().any(Diagnostic::is_error) {
        return;
    }
    let stages = pipeline.stages.iter();
    let is_wrapped = |stage: &&Stage| stage.has_files() || stage.list.is_some();
    for stage in stages.filter(|stage| stage.body.action.is_none() && is_wrapped(stage)) {
        let name = &stage.name.text;
        let (has, what) = match stage.list {
            Some(_) => (
                "goes over a list that a stage writes, and has",
                "what picks the item",
            ),
            None => ("has files, and", "what fetches and stores files"),
        };
        let message = format!("`{name}` {has} neither `run` nor `exec`");
        let diagnostic = Diagnostic::error(Code::K0311, stage.name.span, message)
            .here(format!(
                "{what} can't be put around an image's own entrypoint"
            ))
            .help("write what the image starts: `exec = [\"program\", \"argument\"]`");
        diagnostics.push(diagnostic);
    }
}

/// Reports stages that have no image.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let has_image =
        |body: &Body| body.image.is_some() || body.passthrough.iter().any(Passthrough::sets_image);
    for stage in pipeline
        .stages
        .iter()
        .filter(|stage| !has_image(&stage.body))
    {
        let message = format!("`{}` has no image", stage.name.text);
        let diagnostic = Diagnostic::error(Code::K0311, stage.name.span, message)
            .here("no container image to run in")
            .help("add `image = \"busybox:1.36\"` to it, or to `defaults` for all stages");
        diagnostics.push(diagnostic);
    }
}
