//! Places in a text as editors count them: lines from 0, and columns in UTF-16 units or bytes.

use gen_lsp_types::{Position, Range};
use konductor_dsl::Span;

/// What columns count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Bytes.
    Utf8,
    /// UTF-16 units, which every client understands.
    #[default]
    Utf16,
}

impl Encoding {
    /// How long a text is.
    pub(crate) fn length(self, text: &str) -> u32 {
        let length = match self {
            Self::Utf8 => text.len(),
            // Most texts are, and then nothing has to be counted.
            Self::Utf16 if text.is_ascii() => text.len(),
            Self::Utf16 => text.chars().map(char::len_utf16).sum(),
        };
        u32::try_from(length).unwrap_or(u32::MAX)
    }

    /// The byte of a line at a column; a column behind the end, or within a character, is moved back.
    fn byte(self, line: &str, column: u32) -> usize {
        let mut counted = 0;
        for (at, character) in line.char_indices() {
            counted += match self {
                Self::Utf8 => character.len_utf8(),
                Self::Utf16 => character.len_utf16(),
            };
            if counted > column as usize {
                return at;
            }
        }
        line.len()
    }
}

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
    encoding: Encoding,
}

impl Lines {
    pub(crate) fn of(text: &str, encoding: Encoding) -> Self {
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(newlines).collect(),
            encoding,
        }
    }

    /// What a line says, without what ends it.
    fn line<'t>(&self, text: &'t str, line: usize) -> &'t str {
        let start = self.starts.get(line).copied().unwrap_or(text.len());
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let line = text.get(start..end).unwrap_or_default();
        line.trim_end_matches(['\n', '\r'])
    }

    /// The line of a byte, counted from 0.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) - 1
    }

    /// The position of a byte.
    pub(crate) fn position(&self, text: &str, offset: u32) -> Position {
        let offset = offset as usize;
        let line = self.line_of(offset);
        let before = text.get(self.starts[line]..offset).unwrap_or_default();
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            character: self.encoding.length(before),
        }
    }

    /// The byte of a position; one outside of the text is moved to its nearest place.
    pub(crate) fn offset(&self, text: &str, position: Position) -> usize {
        let line = position.line as usize;
        match self.starts.get(line) {
            Some(start) => {
                start
                    + self
                        .encoding
                        .byte(self.line(text, line), position.character)
            }
            None => text.len(),
        }
    }

    pub(crate) fn range(&self, text: &str, span: Span) -> Range {
        Range {
            start: self.position(text, span.start),
            end: self.position(text, span.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_what_was_agreed() {
        let text = "aß😀b\r\nc\n";
        let at = |line, character| Position { line, character };
        let table = [
            (0, at(0, 0), at(0, 0)),
            (3, at(0, 2), at(0, 3)),
            (7, at(0, 4), at(0, 7)),
            (8, at(0, 5), at(0, 8)),
            (10, at(1, 0), at(1, 0)),
            (12, at(2, 0), at(2, 0)),
        ];
        for (offset, utf16, utf8) in table {
            for (encoding, expected) in [(Encoding::Utf16, utf16), (Encoding::Utf8, utf8)] {
                let lines = Lines::of(text, encoding);
                assert_eq!(lines.position(text, offset), expected, "{offset}");
                assert_eq!(lines.offset(text, expected), offset as usize, "{offset}");
            }
        }
    }

    #[test]
    fn positions_outside_of_the_text_are_moved_into_it() {
        let text = "a😀\r\nb";
        let lines = Lines::of(text, Encoding::Utf16);
        let table = [((0, 2), 1), ((0, 9), 5), ((1, 9), 8), ((7, 0), 8)];
        for ((line, character), expected) in table {
            assert_eq!(lines.offset(text, Position { line, character }), expected);
        }
    }
}
