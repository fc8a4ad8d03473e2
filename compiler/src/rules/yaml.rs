//! K0506: YAML that can't be read.

use konductor_dsl::{Code, Diagnostic, Span};

/// What the reader of YAML says.
pub(crate) fn report(span: Span, problem: &str) -> Diagnostic {
    let help = if problem.starts_with("tabs") || problem.contains("found a tab") {
        "indent with spaces: YAML takes no tabs there"
    } else {
        "check the indentation, and put texts with `: ` or `#` in quotes"
    };
    Diagnostic::error(Code::K0506, span, format!("this is not YAML: {problem}")).help(help)
}
