//! K0402: a stage that waits for itself.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast};

/// A stage in its own `after`.
pub(crate) fn report(name: &ast::Name, dependency: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0402,
        name.span,
        format!("`{}` waits for itself", name.text),
    )
    .here("the stage itself")
    .help("remove it from `after`")
    .fix("remove it", [Edit::remove(dependency)])
}

/// The only entry of `any(…)` goes with it: `any()` can't be read.
pub(crate) fn of_any(reported: &mut Diagnostic, any: Span) {
    if reported.code == Code::K0402 {
        let edits = reported.fixes.iter_mut().flat_map(|fix| &mut fix.edits);
        edits.for_each(|edit| edit.span = any);
    }
}

/// A stage that uses its own output.
pub(crate) fn own_output(span: Span, name: &ast::Name) -> Diagnostic {
    let message = format!("`{}` uses its own output", name.text);
    Diagnostic::error(Code::K0402, span, message)
        .here("not there before the stage has ended")
        .help("use the output in a stage that comes after this one")
}
