//! K0215: a template's parameter that is not given.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::value::Type;

/// A use without a value for a parameter that has no default.
pub(crate) fn report(used: Span, param: &ast::Name, ty: &Type) -> Diagnostic {
    Diagnostic::error(Code::K0215, used, format!("`{}` is not given", param.text))
        .label(param.span, format!("of type {ty}, without a default"))
        .help(format!(
            "add `{} = …` in the braces of this `use`",
            param.text
        ))
}
