//! K0208: a value for a parameter that does not exist.

use konductor_dsl::{Code, Diagnostic, ast, did_you_mean};

use super::listed;

/// A value from the command line for no parameter.
pub(crate) fn report(pipeline: &ast::Name, origin: &str, name: &str, names: &[&str]) -> Diagnostic {
    let message = format!(
        "`{}` has no parameter `{name}`, which {origin} gives",
        pipeline.text
    );
    let diagnostic = Diagnostic::error(Code::K0208, pipeline.span, message);
    match did_you_mean(name, names.iter().copied()) {
        Some(near) => diagnostic.help(format!("give `{near}` instead")),
        None if names.is_empty() => diagnostic.help(format!("remove it from {origin}")),
        None => diagnostic.help(format!(
            "remove it from {origin}, or give {}",
            listed(names, "or")
        )),
    }
}
