//! K0206: a field that does not exist.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast, did_you_mean, meant_end};

use super::listed;
use crate::value::Type;

/// A field that is none of the known ones.
pub(crate) fn report(field: &ast::Name, of: &str, fields: &[&str]) -> Diagnostic {
    let message = format!("`{of}` has no field `{}`", field.text);
    let diagnostic = Diagnostic::error(Code::K0206, field.span, message);
    match did_you_mean(&field.text, fields.iter().copied()) {
        Some(near) => diagnostic.here("unknown").fixed(
            format!("write `{of}.{near}`"),
            [Edit::replace(field.span, near)],
        ),
        None => diagnostic
            .here("unknown")
            .help(format!("use {}", listed(fields, "or"))),
    }
}

/// A word behind a dependency that is no end.
pub(crate) fn state(word: &ast::Name, states: &[&str]) -> Diagnostic {
    let message = format!("`.{}` is not an end that one can wait for", word.text);
    let diagnostic = Diagnostic::error(Code::K0206, word.span, message).here("unknown");
    // With the dot before it.
    let whole = Span {
        start: word.span.start.saturating_sub(1),
        ..word.span
    };
    match (
        did_you_mean(&word.text, states.iter().copied()),
        meant_end(&word.text),
    ) {
        (_, Some("")) => diagnostic.fixed(
            "write the name alone, which waits for success",
            [Edit::replace(whole, "")],
        ),
        (_, Some(end)) => diagnostic.fixed(format!("write `{end}`"), [Edit::replace(whole, end)]),
        (Some(near), None) => {
            diagnostic.fixed(format!("write `.{near}`"), [Edit::replace(word.span, near)])
        }
        (None, None) => diagnostic
            .help("write `.failed`, `.skipped` or `.finished`, or nothing to wait for success"),
    }
}

/// A field of a value that has none.
pub(crate) fn no_fields(field: &ast::Name, of: &ast::Name, ty: &Type) -> Diagnostic {
    let message = format!("`{}` has no fields", of.text);
    Diagnostic::error(Code::K0206, field.span, message)
        .here(format!("`{}` is of type {ty}", of.text))
        .help(format!("write `{}` alone", of.text))
}

/// `run`, `token` or `workspace` without exactly one field.
pub(crate) fn shape(span: Span, word: &str, field: &str) -> Diagnostic {
    let message = format!("`{word}` is followed by one field");
    Diagnostic::error(Code::K0206, span, message).help(format!("write `{word}.{field}`"))
}
