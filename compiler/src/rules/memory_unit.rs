//! K0315: an amount of memory that is less than a byte.

use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::{Setting, Term};
use crate::value::Value;

/// `memory = 500m`, which Kubernetes reads as half a byte.
pub(crate) fn check(memory: &Setting) -> Option<Diagnostic> {
    let Term::Value(Value::Quantity(text)) = &*memory.term else {
        return None;
    };
    let digits = text.strip_suffix('m')?;
    Some(
        Diagnostic::error(
            Code::K0315,
            memory.span,
            format!("`{text}` is less than a byte"),
        )
        .here("`m` means a thousandth")
        .help(format!("write `{digits}Mi`")),
    )
}
