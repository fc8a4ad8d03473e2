//! K0309: an interpolation that the shell splits.

use konductor_dsl::{Code, Diagnostic, Edit};

use crate::pipeline::script::Hole;

/// A list, which is JSON: no quotes make words of its elements.
pub(crate) fn list(hole: &Hole) -> Diagnostic {
    Diagnostic::warning(
        Code::K0309,
        hole.span,
        "the shell splits this at whitespace",
    )
    .here("a list is JSON, not words")
    .help(format!(
        "write `printf '%s' {} | jq -r '.[]'`, which prints an element on each line",
        hole.in_double_quotes()
    ))
}

/// A value that becomes several words where it has blanks.
pub(crate) fn report(hole: &Hole) -> Diagnostic {
    Diagnostic::warning(
        Code::K0309,
        hole.span,
        "the shell splits this at whitespace",
    )
    .here("not in double quotes")
    .fixed(
        format!("put it in double quotes: {}", hole.in_double_quotes()),
        [Edit::replace(hole.span, hole.in_double_quotes())],
    )
}
