//! K0302: a value outside what its type allows.

use konductor_dsl::{Code, Diagnostic, Span};

use super::wrong_type::example;
use crate::value::Type;

/// A value that is not within the bounds or the words of its type.
pub(crate) fn report(span: Span, problem: &str, expected: &Type) -> Diagnostic {
    Diagnostic::error(Code::K0302, span, problem)
        .here("not allowed here")
        .help(format!("write {}", example(expected)))
}

/// A duration that Kubernetes can't count.
pub(crate) fn short_duration(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0302, span, "this is shorter than a second")
        .here("Kubernetes counts whole seconds")
        .help("write `1s` or more, or remove it")
}
