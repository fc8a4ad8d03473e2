//! K0411: a condition on an output that may not be waited for.

use konductor_dsl::{Code, Diagnostic, Span};

/// An output in `when` whose stage is waited for only inside `any(…)`.
pub(crate) fn report(used: Span, clause: Span) -> Diagnostic {
    Diagnostic::error(Code::K0411, used, "nothing says that this output is there")
        .here("used in `when`")
        .label(clause, "waits for one of several")
        .help("add the stage to `after` outside of `any(…)`, such as `stage.finished`")
}
