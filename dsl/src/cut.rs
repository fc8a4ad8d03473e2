//! Pieces of a text, by bytes.
//!
//! `text[a..b]` panics if an offset stands within a character, and every text here comes from
//! somebody. Clippy refuses it in this crate; this takes its place.

use std::slice::SliceIndex;

/// Slicing that does not panic.
pub(crate) trait Cut {
    /// Returns a piece of the text; nothing if it would not begin and end between characters, which is
    /// a fault of the caller that tests and fuzzers find.
    fn cut(&self, range: impl SliceIndex<str, Output = str>) -> &str;
}

impl Cut for str {
    fn cut(&self, range: impl SliceIndex<str, Output = str>) -> &str {
        let piece = self.get(range);
        debug_assert!(piece.is_some(), "a piece within a character");
        piece.unwrap_or_default()
    }
}
