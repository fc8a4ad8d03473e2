//! K0511: a schedule that never fires.

use konductor_dsl::{Code, Diagnostic, Span};

/// A day that no month has.
pub(crate) fn report(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0511, span, "this never fires: no such day exists")
        .help("choose a day that the month has, or `*`")
}
