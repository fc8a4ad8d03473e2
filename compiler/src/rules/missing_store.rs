//! K0321: files without a store, or a store that can't be used.

use konductor_api::step::WORKSPACE_SCHEME;
use konductor_dsl::{Code, Diagnostic, Span, did_you_mean};

use crate::pipeline::Output;

/// What the URL of a store begins with, but for a workspace.
const SCHEMES: [&str; 2] = ["s3://", "file:///"];

/// Reports the first file of a pipeline that has no store.
pub(crate) fn check<'o>(outputs: impl IntoIterator<Item = &'o Output>) -> Option<Diagnostic> {
    let file = outputs.into_iter().find(|output| output.ty.is_file())?;
    let message = format!(
        "the {} `{}` has no store to be kept in",
        file.ty, file.name.text
    );
    let diagnostic = Diagnostic::error(Code::K0321, file.name.span, message)
        .here("stages run on different nodes")
        .help(
            "add `store { url = \"s3://BUCKET/PREFIX\" }` to the pipeline, or name one with --store; \
             `koncli run` needs none",
        );
    Some(diagnostic)
}

/// What is wrong with the URL of a store; `None` if nothing is.
pub(crate) fn problem(url: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let below = match url.strip_prefix(WORKSPACE_SCHEME) {
        Some(below) => below,
        None => match SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme)) {
            Some(below) => below,
            None => {
                return Some(
                    "write `s3://BUCKET/PREFIX`, `workspace:NAME/PREFIX` or `file:///FOLDER`",
                );
            }
        },
    };
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("write each part of the path once, without `.` and `..`");
    }
    (!below.chars().all(is_plain)).then_some("use letters, digits, `.`, `_`, `-` and `/`")
}

/// A URL that names no store.
pub(crate) fn unusable(span: Span, url: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::K0321, span, format!("`{url}` names no store"))
        .here("not the URL of a store")
        .help(help)
}

/// A store in a workspace that does not exist.
pub(crate) fn workspace<'a>(
    span: Span,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("the store is in the workspace `{name}`, which does not exist");
    let diagnostic = Diagnostic::error(Code::K0321, span, message).here("not declared");
    match did_you_mean(name, known) {
        Some(near) => diagnostic.help(format!("write `{WORKSPACE_SCHEME}{near}`")),
        None => diagnostic.help(format!(
            "declare it: `workspace {name} {{ size = 10Gi, access = many }}`"
        )),
    }
}
