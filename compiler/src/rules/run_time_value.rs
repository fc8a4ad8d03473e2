//! K0305: a value that only the run knows, where it is needed before.

use konductor_dsl::{Code, Diagnostic, Span};

/// An output, token or outcome where the compiler needs the value.
pub(crate) fn report(span: Span, given: Option<Span>) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::K0305, span, "this is known only during the run")
        .here("needed before it starts")
        .help(
            "use a parameter here; outputs, tokens and `run.outcome` go into `run`, `exec`, `env` \
             and `when`",
        );
    match given {
        Some(given) => diagnostic.label(given, "given here"),
        None => diagnostic,
    }
}
