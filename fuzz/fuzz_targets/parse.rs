//! Any text is read, and every place that is told of is in it.
#![no_main]

use konductor_dsl::{Source, SourceId, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source {
        id: SourceId(0),
        name: "fuzz.kon".to_owned(),
        text: text.into(),
    };
    let (_, told) = parse(&source);
    let mut last = 0;
    for one in &told {
        assert!(one.span().start >= last, "not in source order: {told:?}");
        last = one.span().start;
        for label in &one.labels {
            let place = label.span.start as usize..label.span.end as usize;
            assert!(text.get(place).is_some(), "no place in the text: {one:?}");
        }
    }
});
