//! K0310: a `${…}` of the shell where there is no shell.

use konductor_dsl::{Code, Diagnostic, Span};

use super::unknown_attribute::kebab;

/// `${HOME}` in a text that no shell reads; `rest` is the text behind the `${`.
pub(crate) fn report(span: Span, rest: &str) -> Diagnostic {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = rest
        .split(|c: char| !is_of_name(c))
        .next()
        .unwrap_or_default();
    let is_name = name.starts_with(|c: char| c.is_ascii_uppercase());
    let diagnostic = Diagnostic::error(
        Code::K0310,
        span,
        "only `run` has a shell that could expand this",
    )
    .here("lower case is ours, the rest is the shell's");
    diagnostic.help(match is_name {
        true => {
            let name = kebab(&name.to_ascii_lowercase());
            format!("write `${{{name}}}`, of a parameter, or `$${{` for the characters themselves")
        }
        false => "write `$${` for the characters themselves".to_owned(),
    })
}
