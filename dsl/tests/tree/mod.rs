//! What two files have in common that mean the same.

use konductor_dsl::ast::File;

/// A syntax tree without places.
pub(crate) fn tree(file: &File) -> String {
    let written = format!("{file:?}");
    let mut tree = String::with_capacity(written.len());
    let mut rest = &*written;
    while let Some(at) = rest.find("Span { source: SourceId(") {
        tree.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find(" }").expect("a span is closed");
        rest = &rest[end + 2..];
    }
    tree + rest
}
