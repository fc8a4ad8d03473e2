//! K0203: an attribute that does not exist here.

use konductor_dsl::{Code, Diagnostic, ast, did_you_mean};

use super::listed;

/// A key that is none of the known ones.
pub(crate) fn report(key: &ast::Key, known: &[&str]) -> Diagnostic {
    let message = format!("`{}` is not an attribute here", key.text);
    let diagnostic = Diagnostic::error(Code::K0203, key.span, message);
    if key.text == "defaults" {
        let help = "write `defaults { … }` in the pipeline itself, without `=`";
        return diagnostic.here("a declaration").help(help);
    }
    match did_you_mean(&key.text, known.iter().copied()) {
        Some(near) => diagnostic.here("unknown").help(format!("write `{near}`")),
        None => diagnostic
            .here("unknown")
            .help(format!("use {}", listed(known, "or"))),
    }
}
