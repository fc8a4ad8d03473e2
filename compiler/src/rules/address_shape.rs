//! K0405: an item address of the wrong shape.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

use crate::value::Type;

/// An address that can be written at some place.
pub(crate) enum Written {
    /// By variables that exist there.
    Variables(String),
    /// By an item, or by variables that the place does not have yet.
    Item {
        /// The first item.
        literals: String,
        /// The variables of the stage it is about.
        variables: String,
    },
}

impl Written {
    /// Says what to write; by variables it is certain.
    fn fixed(&self, diagnostic: Diagnostic, name: &str, rest: &str, address: Span) -> Diagnostic {
        let diagnostic = diagnostic.help(self.help(name, rest));
        match self {
            Self::Variables(variables) => diagnostic.fix(
                format!("write `{name}[{variables}]{rest}`"),
                [Edit::replace(address, format!("[{variables}]"))],
            ),
            Self::Item { .. } => diagnostic,
        }
    }

    /// What to write, behind a name and before a rest.
    fn help(&self, name: &str, rest: &str) -> String {
        match self {
            Self::Variables(variables) => format!("write `{name}[{variables}]{rest}`"),
            Self::Item {
                literals,
                variables,
            } => format!(
                "write `{name}[{literals}]{rest}`, or add `for` to this stage for \
                 `{name}[{variables}]{rest}`"
            ),
        }
    }
}

/// `[…]` behind something that is no stage.
pub(crate) fn not_a_stage(name: &ast::Name, address: Span, ty: &Type) -> Diagnostic {
    let message = format!("`{}` is a value, and has no items", name.text);
    let help = match ty {
        Type::List(_) => format!(
            "write `for x in {}` in the header: a list is used item by item",
            name.text
        ),
        _ => {
            let fix = Edit::replace(address, "");
            return Diagnostic::error(Code::K0405, address, message)
                .fixed("remove the brackets", [fix]);
        }
    };
    Diagnostic::error(Code::K0405, address, message).help(help)
}

/// `[…]` behind a stage without `for`, or an approval.
pub(crate) fn not_a_fan_out(name: &ast::Name, address: Span) -> Diagnostic {
    let message = format!("`{}` has no items", name.text);
    Diagnostic::error(Code::K0405, address, message)
        .here("only a stage with `for` has them")
        .fixed(
            format!("write `{}`", name.text),
            [Edit::replace(address, "")],
        )
}

/// Too few or too many indices.
pub(crate) fn wrong_count(
    name: &ast::Name,
    address: &ast::Address,
    expected: usize,
    written: &Written,
) -> Diagnostic {
    let count = address.indices.len();
    let noun = if expected == 1 { "index" } else { "indices" };
    let message = format!("`{}` takes {expected} {noun}, not {count}", name.text);
    let diagnostic = Diagnostic::error(Code::K0405, address.span, message)
        .here("one for each variable of its `for`");
    let is_every = |index: &ast::Index| matches!(index, ast::Index::Every(_));
    if address.indices.iter().all(is_every) {
        let all = format!("[{}]", vec!["*"; expected].join(", "));
        return diagnostic.fixed(
            format!("write `{}{all}`", name.text),
            [Edit::replace(address.span, all)],
        );
    }
    written.fixed(diagnostic, &name.text, "", address.span)
}

/// An output of a whole fan-out.
pub(crate) fn whole_fan_out(
    reference: &ast::Ref,
    output: &ast::Name,
    written: &Written,
    variables: usize,
) -> Diagnostic {
    let all = vec!["*"; variables].join(", ");
    let name = &reference.head.text;
    let message = format!(
        "`{name}` has several items, each with its own `{}`",
        output.text
    );
    let diagnostic = Diagnostic::error(Code::K0405, reference.span, message).here("which item's?");
    let behind = Span {
        start: reference.head.span.end,
        end: reference.head.span.end,
        ..reference.span
    };
    let rest = format!(".{}", output.text);
    let diagnostic = written.fixed(diagnostic, name, &rest, behind);
    let help = written.help(name, &rest);
    diagnostic.help(format!(
        "{help}, or `{name}[{all}]{rest}` for the list of all"
    ))
}
