//! K0320: two mounts at one path.

use konductor_dsl::{Code, Diagnostic, Span};

/// The second mount at a path.
pub(crate) fn report(second: Span, first: Span) -> Diagnostic {
    Diagnostic::error(Code::K0320, second, "something is mounted here already")
        .label(first, "first mounted here")
        .help("choose another path")
}
