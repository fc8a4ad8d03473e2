//! What is laid out parses to the same tree, and is laid out the same again.

use konductor_dsl::{Source, SourceId, format, parse};

#[path = "../../../dsl/tests/tree/mod.rs"]
mod tree;

fn source(text: &str) -> Source {
    Source {
        id: SourceId(0),
        name: "law.kon".to_owned(),
        text: text.into(),
    }
}

/// Fails where the law does not hold for this text.
pub(crate) fn holds(text: &str) {
    let Ok(once) = format(&source(text)) else {
        return;
    };
    let (before, _) = parse(&source(text));
    let (after, reported) = parse(&source(&once));
    assert_eq!(reported, [], "{once}");
    assert_eq!(tree::tree(&after), tree::tree(&before), "{once}");
    let twice = format(&source(&once));
    assert_eq!(twice.as_deref(), Ok(once.as_str()));
}
