//! What is laid out parses to the same tree, and is laid out the same again.
#![no_main]

use konductor_dsl::{Source, SourceId, format, parse};
use libfuzzer_sys::fuzz_target;

#[path = "../../dsl/tests/tree/mod.rs"]
mod tree;

fn source(text: &str) -> Source {
    Source {
        id: SourceId(0),
        name: "fuzz.kon".to_owned(),
        text: text.into(),
    }
}

fuzz_target!(|text: &str| {
    let Ok(once) = format(&source(text)) else {
        return;
    };
    let (before, _) = parse(&source(text));
    let (after, told) = parse(&source(&once));
    assert_eq!(told, [], "{once}");
    assert_eq!(tree::tree(&after), tree::tree(&before), "{once}");
    let twice = format(&source(&once)).expect("it was told of nothing");
    assert_eq!(twice, once);
});
