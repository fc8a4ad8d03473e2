//! K0204: an attribute that is given twice.

use konductor_dsl::{Code, Diagnostic, Edit, Sources, Span, ast};

/// A second `defaults`.
pub(crate) fn defaults(second: Span, first: Span) -> Diagnostic {
    Diagnostic::error(Code::K0204, second, "`defaults` is given twice")
        .here("given again here")
        .label(first, "first given here")
        .help("write all defaults into one block")
}

/// The second of two with equal keys.
pub(crate) fn report(second: &ast::Attribute, first: &ast::Attribute) -> Diagnostic {
    let message = format!("`{}` is given twice", second.key.text);
    Diagnostic::error(Code::K0204, second.key.span, message)
        .here("given again here")
        .label(first.key.span, "first given here")
        .help("remove one of them")
        .offer("remove this one", [Edit::remove(second.span)])
        .offer("remove the first one", [Edit::remove(first.span)])
}

/// Where both have the same value, nobody has to choose.
pub(crate) fn fix_repetitions(sources: &Sources, diagnostics: &mut [Diagnostic]) {
    let doubles = diagnostics.iter_mut();
    for diagnostic in doubles.filter(|diagnostic| diagnostic.code == Code::K0204) {
        let written = diagnostic.fixes.iter().map(|fix| {
            let edits = fix.edits.iter();
            let slice = |edit: &Edit| Some(sources.get(edit.span.source)?.slice(edit.span).trim());
            edits.map(slice).collect::<Option<Vec<_>>>()
        });
        let written: Vec<_> = written.collect();
        if let [Some(second), Some(first)] = written.as_slice()
            && second == first
        {
            diagnostic.fixes.truncate(1);
            diagnostic
                .fixes
                .iter_mut()
                .for_each(|fix| fix.certain = true);
        }
    }
}
