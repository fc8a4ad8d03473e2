//! K0303: a given value that its parameter does not take.

use konductor_dsl::{Code, Diagnostic, ast};

use super::wrong_type::example;
use crate::value::Type;

/// A value from the command line that can't be read as the parameter's type.
pub(crate) fn report(param: &ast::Name, origin: &str, problem: &str, ty: &Type) -> Diagnostic {
    Diagnostic::error(Code::K0303, param.span, format!("{origin}: {problem}"))
        .here(format!("declared here as {ty}"))
        .help(format!("give {}", example(ty)))
}
