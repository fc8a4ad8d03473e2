//! K0305: a value that only the run knows, where it is needed before.

use konductor_dsl::{Code, Diagnostic, Span, ast};

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

/// A fan-out over what only the run knows.
pub(crate) fn loop_over(reference: &ast::Ref) -> Diagnostic {
    Diagnostic::error(
        Code::K0305,
        reference.span,
        "this is known only during the run",
    )
    .here("a fan-out goes over what is known before")
    .help(format!(
        "use a parameter or a list here; a script goes over this one by itself: \
         `printf '%s' \"${{{reference}}}\" | jq -r '.[]' | while read -r x; do …; done`"
    ))
}
