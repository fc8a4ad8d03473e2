//! K0601: something that nothing uses.

use konductor_dsl::{Code, Diagnostic, Span};

use crate::pipeline::Name;

/// A declaration that has no effect.
pub(crate) fn report(name: &Name, what: &str) -> Diagnostic {
    Diagnostic::warning(
        Code::K0601,
        name.span,
        format!("the {what} `{}` is never used", name.text),
    )
    .help("remove it")
}

/// An import of which no template is used.
pub(crate) fn import(path: Span) -> Diagnostic {
    Diagnostic::warning(Code::K0601, path, "nothing of this import is used").help("remove it")
}
