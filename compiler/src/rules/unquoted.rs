//! K0309: an interpolation that the shell splits.

use konductor_dsl::{Code, Diagnostic, Edit};

use crate::pipeline::script::Hole;

/// A value that becomes several words where it has blanks.
pub(crate) fn report(hole: &Hole) -> Diagnostic {
    Diagnostic::warning(Code::K0309, hole.span, "the shell splits this at blanks")
        .here("not in double quotes")
        .fixed(
            format!("put it in double quotes: {}", hole.in_double_quotes()),
            [Edit::replace(hole.span, hole.in_double_quotes())],
        )
}
