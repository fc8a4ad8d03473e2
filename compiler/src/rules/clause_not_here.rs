//! K0211: a header clause where it means nothing.

use konductor_dsl::{Code, Diagnostic, ast};

/// An approval's header with something else than `after` and `when`.
pub(crate) fn report(clause: &ast::Clause) -> Diagnostic {
    let word = clause.kind.word();
    Diagnostic::error(
        Code::K0211,
        clause.keyword,
        format!("an approval takes no `{word}`"),
    )
    .here("only a stage can have this")
    .help(format!(
        "remove `{word}`, or put it on the stage that comes after the approval"
    ))
}
