//! K0307: two values that can't be compared like this.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use crate::value::Type;

/// `<` and the like for a type that has no order, or a comparison of lists.
pub(crate) fn not_ordered(span: Span, operator: ast::Operator, ty: &Type) -> Diagnostic {
    let message = format!(
        "values of type {ty} can't be compared with `{}`",
        operator.text()
    );
    let help = match ty {
        Type::String => "declare it as `number` or `int` to compare sizes, or use `==` or `!=`",
        ty if ty.is_scalar() => "use `==` or `!=`",
        ty if ty.is_file() => {
            "let a stage look into it, and write the answer as an output, such as `output found: bool`"
        }
        _ => "use `x in LIST`",
    };
    Diagnostic::error(Code::K0307, span, message).help(help)
}

/// A duration or quantity known only at run time.
pub(crate) fn of_output(span: Span, ty: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0307,
        span,
        format!("an output of type {ty} can't be compared"),
    )
    .help("declare the output as `int` or `number`, in one unit")
}

/// A list known only at run time.
pub(crate) fn of_list(reference: &ast::Ref) -> Diagnostic {
    let message = format!("`{reference}` is a list, which `when` can't read");
    Diagnostic::error(Code::K0307, reference.span, message)
        .here("known only at run time")
        .help(
            "let a stage compute the answer from the list, and write it as an output, such as \
             `output found: bool`",
        )
}
