//! Any text is read, every place that is reported is in it, and what the grammar refuses has an error.

use konductor_dsl::{Diagnostic, Source, SourceId, parse};
use konductor_grammar::{KonductorParser, Rule};
use pest::Parser as _;

/// Fails where the law does not hold for this text.
pub(crate) fn holds(text: &str) {
    let source = Source {
        id: SourceId(0),
        name: "law.kon".to_owned(),
        text: text.into(),
    };
    let (_, reported) = parse(&source);
    // Whether the grammar takes it, as a whole and without recovery.
    if !reported.iter().any(Diagnostic::is_error) {
        let parsed = KonductorParser::parse(Rule::file, text);
        assert!(parsed.is_ok(), "no error is reported: {parsed:?}");
    }
    let mut last = 0;
    for diagnostic in &reported {
        assert!(
            diagnostic.span().start >= last,
            "not in source order: {reported:?}"
        );
        last = diagnostic.span().start;
        for label in &diagnostic.labels {
            let place = label.span.start as usize..label.span.end as usize;
            assert!(
                text.get(place).is_some(),
                "no place in the text: {diagnostic:?}"
            );
        }
    }
}
