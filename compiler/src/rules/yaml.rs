//! K0506: YAML that can't be read.

use konductor_dsl::{Code, Diagnostic, Span};

/// What the reader of YAML says.
pub(crate) fn report(span: Span, problem: &str) -> Diagnostic {
    Diagnostic::error(Code::K0506, span, format!("this is not YAML: {problem}"))
        .help("check the indentation, and put texts with `: ` or `#` in quotes")
}
