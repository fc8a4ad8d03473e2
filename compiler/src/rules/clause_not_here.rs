//! K0211: a header clause where it means nothing.

use konductor_dsl::{Code, Diagnostic, Edit, ast};

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
    .offer(format!("remove `{word}`"), [Edit::remove(clause.span)])
}

/// `max` at a stage whose items are known before the run.
pub(crate) fn max(clause: &ast::Clause) -> Diagnostic {
    Diagnostic::error(
        Code::K0211,
        clause.span,
        "only a list that a stage writes has a `max`",
    )
    .here("what this stage goes over is known before the run")
    .help("remove `max`; it belongs to `for x in STAGE.OUTPUT`")
    .fix("remove `max`", [Edit::remove(clause.span)])
}

/// `parallel` at a stage whose items are known before the run, or without items.
pub(crate) fn parallel(clause: &ast::Clause, has_for: bool) -> Diagnostic {
    let message = "only a fan-out over a list that a stage writes has `parallel`";
    let diagnostic = Diagnostic::error(Code::K0211, clause.span, message);
    match has_for {
        true => diagnostic
            .here("the items of this stage are Jobs of their own")
            .help("declare `semaphore slots { permits = 20 }`, and write `holding slots` in this header"),
        false => diagnostic
            .here("this stage has one item")
            .help("remove `parallel`, or write it at a stage with `for x in STAGE.OUTPUT`")
            .fix("remove `parallel`", [Edit::remove(clause.span)]),
    }
}
