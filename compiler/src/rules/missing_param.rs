//! K0209: a parameter that has no value.

use konductor_dsl::{Code, Diagnostic, ast};

use crate::value::Type;

/// A parameter without a default that is not given.
pub(crate) fn report(name: &ast::Name, ty: &Type) -> Diagnostic {
    let example = match ty {
        Type::String | Type::List(_) | Type::Record(_) | Type::File | Type::Dir => "…".to_owned(),
        Type::Int(Some(range)) => range.start().to_string(),
        Type::Int(None) => "1".to_owned(),
        Type::Number => "0.95".to_owned(),
        Type::Bool => "true".to_owned(),
        Type::Duration => "30m".to_owned(),
        Type::Quantity => "1Gi".to_owned(),
        Type::Words(words) => words.first().cloned().unwrap_or_default(),
    };
    let message = format!("the parameter `{}` has no value", name.text);
    Diagnostic::error(Code::K0209, name.span, message)
        .here(format!("of type {ty}, without a default"))
        .help(format!(
            "give it with `--set {}={example}`, or add a default",
            name.text
        ))
}
