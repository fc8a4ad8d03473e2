//! K0305: a value known only at run time, where it is needed at compile time.

use konductor_dsl::{Code, Diagnostic, Span};

/// An output, token or outcome where the compiler needs the value.
pub(crate) fn report(span: Span, argument: Option<Span>) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::K0305, span, "this is known only at run time")
        .here("needed before it starts")
        .help(
            "use a parameter here; outputs, tokens and `run.outcome` go into `run`, `exec`, `env` \
             and `when`",
        );
    match argument {
        Some(argument) => diagnostic.label(argument, "given here"),
        None => diagnostic,
    }
}
