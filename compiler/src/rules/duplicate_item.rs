//! K0409: a fan-out with one item twice.

use konductor_dsl::{Code, Diagnostic, Edit, ast};

/// Two elements that are called the same, by their places in what a loop goes over.
pub(crate) fn report(over: &ast::Over, item: &str, first: usize, second: usize) -> Diagnostic {
    let message = format!("the item `{item}` comes twice");
    let help = "remove one of them: items are distinguished by their values";
    let written = match over {
        ast::Over::List(list) => list.items.get(second).zip(list.items.get(first)),
        ast::Over::Range(_) | ast::Over::Ref(_) => None,
    };
    match written {
        Some((second, first)) => Diagnostic::error(Code::K0409, second.span(), message)
            .label(first.span(), "first listed here")
            .fix("remove it", [Edit::remove(second.span())]),
        None => Diagnostic::error(Code::K0409, over.span(), message).here(format!(
            "elements {} and {}",
            first + 1,
            second + 1
        )),
    }
    .help(help)
}
