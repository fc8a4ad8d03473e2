//! K0402: a stage that waits for itself.

use konductor_dsl::{Change, Code, Diagnostic, Edit, Span, ast, did_you_mean};

/// A stage in its own `after`.
pub(crate) fn report<'a>(
    name: &ast::Name,
    dependency: Span,
    others: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("`{}` waits for itself", name.text);
    let diagnostic = Diagnostic::error(Code::K0402, name.span, message).here("the stage itself");
    let removal = [Edit::remove(dependency)];
    match did_you_mean(&name.text, others) {
        Some(near) => diagnostic
            .help(format!("write `{near}`, or remove it from `after`"))
            .offer(format!("write `{near}`"), [Edit::replace(name.span, near)])
            .offer("remove it", removal),
        // Another stage may have been meant.
        None => diagnostic
            .help("name another stage, or remove it from `after`")
            .offer("remove it", removal),
    }
}

/// The only entry of `any(…)` goes with it: `any()` can't be read.
pub(crate) fn of_any(reported: &mut Diagnostic, any: Span) {
    if reported.code == Code::K0402 {
        let edits = reported.fixes.iter_mut().flat_map(|fix| &mut fix.edits);
        let removals = edits.filter(|edit| edit.change == Change::Remove);
        removals.for_each(|edit| edit.span = any);
    }
}

/// A stage that uses its own output.
pub(crate) fn own_output(span: Span, name: &ast::Name) -> Diagnostic {
    let message = format!("`{}` uses its own output", name.text);
    Diagnostic::error(Code::K0402, span, message)
        .here("not there before the stage has ended")
        .help("use the output in a stage that comes after this one")
}
