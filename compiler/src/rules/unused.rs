//! K0601: something that nothing uses.

use konductor_dsl::{Code, Diagnostic};

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
