//! K0419: a fan-out over a list known only at run time, where its items are needed at compile time.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

use crate::eval::Values;
use crate::pipeline::{Hold, Part, Pipeline, Stage};
use crate::plan::varies;
use crate::value::Type;

/// Reports what depends on an item of such a list and is needed before the run.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    for stage in pipeline.stages.iter().filter(|stage| stage.list.is_some()) {
        diagnostics.extend(stage.when.as_deref().and_then(|when| {
            let at = varies::place_in_expr(&when.expr)?;
            Some(of_item(at, "a stage is skipped as a whole").help(
                "let the stage that writes the list leave out what is not needed, or ask in the script",
            ))
        }));
        let holding = stage.holding.iter();
        let by_item = |hold: &&Hold| {
            let permits = hold.permits.as_ref();
            permits.is_some_and(|permits| varies::of_term(&permits.term))
        };
        diagnostics.extend(holding.filter(by_item).map(|hold| {
            of_item(hold.span, "the stage holds it once, for all its items")
                .help("write a number, or a parameter")
        }));
        let after = stage.after.iter();
        let after = after.filter(|clause| varies::of_dependency(clause));
        diagnostics.extend(after.map(|clause| {
            of_item(clause.span, "the stage starts as a whole")
                .help("wait for the whole stage, or do both in one script")
        }));
        let parts = stage.body.parts();
        diagnostics.extend(parts.filter_map(|part| of_body(&part)));
        diagnostics.extend(parallelism(pipeline, stage));
    }
}

fn of_item(at: Span, why: &str) -> Diagnostic {
    let message = "the items of this list are known only at run time";
    Diagnostic::error(Code::K0419, at, message).here(why)
}

fn of_body(part: &Part<'_>) -> Option<Diagnostic> {
    let at = varies::place_before_start(part)?;
    Some(of_item(at, "needed before it starts").help(
        "an item goes into `run`, `exec` and `env`; for anything else, use a parameter or a list here",
    ))
}

/// `parallelism` in YAML, which the start of the stage overwrites; or a lease, if several items would hold it at once.
fn parallelism(pipeline: &Pipeline, stage: &Stage) -> Option<Diagnostic> {
    let mut blocks = stage.body.passthrough.iter();
    if let Some(at) = blocks.find_map(|block| block.parallelism) {
        let message = "how many items run at once is set when their list is known";
        return Some(
            Diagnostic::error(Code::K0419, at, message)
                .help("remove it, and write `parallel n` in the header of the stage"),
        );
    }
    let is_lease =
        |hold: &&Hold| pipeline.ledgers[hold.ledger].kind == konductor_api::LedgerKind::Lease;
    let hold = stage.holding.iter().find(is_lease)?;
    let parallel = stage.parallel.as_ref().map(|parallel| parallel.span);
    let is_one = Values::of(pipeline).int(&stage.parallel) == Some(1);
    if is_one || parallel.is_some() && Values::of(pipeline).int(&stage.parallel).is_none() {
        return None;
    }
    let message = format!(
        "items of `{}` would hold the lease at once",
        stage.name.text
    );
    let diagnostic =
        Diagnostic::error(Code::K0419, hold.span, message).here("a lease has one holder");
    Some(match parallel {
        Some(at) => diagnostic.fixed("write `parallel 1`", [Edit::replace(at, "1")]),
        None => diagnostic.fixed(
            "write `parallel 1` behind it",
            [Edit::behind(hold.span, " parallel 1")],
        ),
    })
}

/// Another variable beside the one that goes over such a list.
pub(crate) fn with_others(reference: &ast::Ref) -> Diagnostic {
    let message = "a list that a stage writes is gone over alone";
    Diagnostic::error(Code::K0419, reference.span, message)
        .here("its length is known only at run time")
        .help(format!(
            "write `for x in {reference}` alone; let the stage that writes it write the combinations"
        ))
}

/// Gathered outputs that are no scalars.
pub(crate) fn no_item(reference: &ast::Ref, ty: &Type) -> Diagnostic {
    let message = format!("an element of this list is of type `{ty}`, and can be no item");
    Diagnostic::error(Code::K0419, reference.span, message)
        .here("an item is a scalar or a record")
        .help("let a stage between them write one list, and go over that")
}

/// A quorum of a stage whose items nobody has counted.
pub(crate) fn quorum(span: Span) -> Diagnostic {
    let message = "a fan-out over a list that a stage writes has no quorum";
    Diagnostic::error(Code::K0419, span, message)
        .here("it is one Job, which succeeds if all items do")
        .help(
            "remove it; write `may-fail = true` in the body and `after STAGE.finished` where some failures do no harm",
        )
}

/// One item of a stage whose items nobody knows.
pub(crate) fn address(name: &ast::Name, address: Span) -> Diagnostic {
    let name = &name.text;
    let message = format!("the items of `{name}` are known only at run time");
    Diagnostic::error(Code::K0419, address, message)
        .here("none of them can be named")
        .help(format!(
            "write `{name}` for the stage, or `{name}[*].OUTPUT` to read the outputs of all its items"
        ))
}

/// An output of all its items.
pub(crate) fn whole(reference: &ast::Ref, output: &ast::Name) -> Diagnostic {
    let name = &reference.head.text;
    let message = format!(
        "`{name}` has several items, each with its own `{}`",
        output.text
    );
    let behind = Span {
        start: reference.head.span.end,
        end: reference.head.span.end,
        ..reference.span
    };
    Diagnostic::error(Code::K0419, reference.span, message)
        .here("which item's?")
        .fixed(
            format!("write `{name}[*].{}` for the list of all", output.text),
            [Edit::replace(behind, "[*]")],
        )
}
