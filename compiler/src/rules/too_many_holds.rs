//! K0418: more semaphores and leases than one stage can hold.

use konductor_dsl::{Code, Diagnostic, Span};

use crate::limits::HOLDS_MAX;

/// The first one too many.
pub(crate) fn report(span: Span) -> Diagnostic {
    let message = format!("a stage holds at most {HOLDS_MAX} semaphores and leases");
    Diagnostic::error(Code::K0418, span, message)
        .here("one too many")
        .help("let one semaphore stand for what is always held together")
}
