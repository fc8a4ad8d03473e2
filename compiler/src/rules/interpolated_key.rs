//! K0333: an interpolation in a key of YAML.

use konductor_dsl::{Code, Diagnostic, Span};

/// `${pool}: x`
pub(crate) fn report(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0333, span, "a key can't have an interpolation")
        .here("keys are the same in every run")
        .help("write the key out, and put the value behind it: `key: ${…}`")
}
