//! K0405: an item address of the wrong shape.

use konductor_dsl::{Code, Diagnostic, Span, ast};

/// `[…]` behind something that is no stage.
pub(crate) fn not_a_stage(name: &ast::Name, address: Span) -> Diagnostic {
    let message = format!("`{}` is a value, and has no items", name.text);
    Diagnostic::error(Code::K0405, address, message).help("remove the brackets")
}

/// `[…]` behind a stage without `for`, or an approval.
pub(crate) fn not_a_fan_out(name: &ast::Name, address: Span) -> Diagnostic {
    let message = format!("`{}` has no items", name.text);
    Diagnostic::error(Code::K0405, address, message)
        .here("only a stage with `for` has them")
        .help(format!("write `{}`", name.text))
}

/// Too few or too many indices.
pub(crate) fn wrong_count(name: &ast::Name, address: &ast::Address, loops: &[&str]) -> Diagnostic {
    let (wished, found) = (loops.len(), address.indices.len());
    let message = format!("`{}` takes {wished} indices, not {found}", name.text);
    Diagnostic::error(Code::K0405, address.span, message).help(format!(
        "write `{}[{}]`: one for each variable of its `for`",
        name.text,
        loops.join(", ")
    ))
}

/// An output of a whole fan-out.
pub(crate) fn whole_fan_out(
    reference: &ast::Ref,
    output: &ast::Name,
    loops: &[&str],
) -> Diagnostic {
    let name = &reference.head.text;
    let message = format!(
        "`{name}` has several items, each with its own `{}`",
        output.text
    );
    Diagnostic::error(Code::K0405, reference.span, message)
        .here("which item's?")
        .help(format!(
            "write `{name}[{}].{}`",
            loops.join(", "),
            output.text
        ))
}
