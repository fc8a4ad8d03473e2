//! K0202: a name that is declared twice.

use konductor_dsl::{Code, Diagnostic, Span, ast};

/// The second declaration of a name.
pub(crate) fn report(name: &ast::Name, what: &str, first: Span) -> Diagnostic {
    let message = format!("`{}` is declared twice", name.text);
    Diagnostic::error(Code::K0202, name.span, message)
        .here(format!("this {what} needs another name"))
        .label(first, "first declared here")
        .help(format!("rename one of them, such as `{}-2`", name.text))
}
