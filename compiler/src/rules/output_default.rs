//! K0313: an output that may be missing and has no default.

use konductor_dsl::{Code, Diagnostic, Span};

/// A use of an output under a clause that can hold without the success of its stage.
pub(crate) fn report(used: Span, clause: Span, declared: Span) -> Diagnostic {
    Diagnostic::error(Code::K0313, used, "this output may be missing")
        .here("used here")
        .label(clause, "can be satisfied although that stage failed")
        .label(declared, "declared without a default")
        .help("give the output a default, such as `output rows: int = 0`")
}

/// A use of an output in a finally stage, which runs also where there is no output.
pub(crate) fn in_finally(used: Span, declared: Span) -> Diagnostic {
    Diagnostic::error(Code::K0313, used, "this output may be missing")
        .here("a finally stage runs also when that stage did not succeed")
        .label(declared, "declared without a default")
        .help("give the output a default, such as `output rows: int = 0`")
}
