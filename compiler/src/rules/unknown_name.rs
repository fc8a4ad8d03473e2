//! K0201: a name that nothing declares.

use konductor_dsl::{Code, Diagnostic, ast, did_you_mean};

use super::listed;

/// A name that should be that of a `what`.
pub(crate) fn report<'a>(
    name: &ast::Name,
    what: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic = Diagnostic::error(
        Code::K0201,
        name.span,
        format!("`{}` is not declared", name.text),
    )
    .here(format!("no {what} has this name"));
    match did_you_mean(&name.text, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("write `{near}`")),
        None if known.is_empty() => diagnostic.help(format!("declare the {what} `{}`", name.text)),
        None => diagnostic.help(format!("declare it, or use {}", listed(&known, "or"))),
    }
}

/// A name in a template, which sees nothing but its own parameters.
pub(crate) fn in_template<'a>(
    name: &ast::Name,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic = Diagnostic::error(
        Code::K0201,
        name.span,
        format!("`{}` is not declared", name.text),
    )
    .here("a template sees only its own parameters");
    match did_you_mean(&name.text, known.iter().copied()) {
        Some(near) => diagnostic.help(format!("write `{near}`")),
        None => diagnostic.help(format!(
            "add the parameter `{}: string` to the template",
            name.text
        )),
    }
}
