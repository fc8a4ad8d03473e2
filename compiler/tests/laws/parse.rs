//! Any text is read, and every place that is reported is in it.

use konductor_dsl::{Source, SourceId, parse};

/// Fails where the law does not hold for this text.
pub(crate) fn holds(text: &str) {
    let source = Source {
        id: SourceId(0),
        name: "law.kon".to_owned(),
        text: text.into(),
    };
    let (_, reported) = parse(&source);
    let mut last = 0;
    for one in &reported {
        assert!(
            one.span().start >= last,
            "not in source order: {reported:?}"
        );
        last = one.span().start;
        for label in &one.labels {
            let place = label.span.start as usize..label.span.end as usize;
            assert!(text.get(place).is_some(), "no place in the text: {one:?}");
        }
    }
}
