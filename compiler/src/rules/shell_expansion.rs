//! K0310: a `${…}` of the shell where there is no shell.

use konductor_dsl::{Code, Diagnostic, Edit, Span};

/// `${HOME}` in a text that no shell reads.
pub(crate) fn report(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0310,
        span,
        "only `run` has a shell that could expand this",
    )
    .here("lower case is ours, the rest is the shell's")
    .fixed(
        "write `$${` for the characters themselves",
        [Edit::before(span, "$")],
    )
}
