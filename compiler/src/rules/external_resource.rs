//! K0318: an external resource with settings of its own.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

/// A setting of something that is not created here.
pub(crate) fn report(attribute: Span, external: Span, own: &str) -> Diagnostic {
    Diagnostic::error(
        Code::K0318,
        attribute,
        "an external resource has its own settings",
    )
    .here("it exists: this is ignored")
    .help(format!(
        "remove this, or remove `external` to create it with this `{own}`"
    ))
    .offer("remove this", [Edit::remove(attribute)])
    .offer("remove `external`", [Edit::remove(external)])
}
