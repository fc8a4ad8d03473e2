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

    fn of_character(self, character: char) -> usize {
        match self {
            Self::Utf8 => character.len_utf8(),
            Self::Utf16 => character.len_utf16(),
        }
    }
}

/// About how many bytes lie between two marks.
const MARK_BYTES: usize = 256;

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    starts: Vec<usize>,
    /// Bytes of the text, and how many units are before them, so that none is counted from the start of a long line.
    /// Empty if a unit is a byte.
    marks: Vec<(usize, usize)>,
    encoding: Encoding,
}

impl Lines {
    pub(crate) fn of(text: &str, encoding: Encoding) -> Self {
        let mut starts = vec![0];
        let mut bytes = text.bytes().enumerate().peekable();
        while let Some((at, byte)) = bytes.next() {
            // The protocol has three ends of a line.
            let is_end = match byte {
                b'\n' => true,
                b'\r' => bytes.peek().is_none_or(|(_, next)| *next != b'\n'),
                _ => false,
            };
            if is_end {
                starts.push(at + 1);
            }
        }
        let mut marks = Vec::new();
        if encoding == Encoding::Utf16 && !text.is_ascii() {
            let (mut units, mut next) = (0, 0);
            for (at, character) in text.char_indices() {
                if at >= next {
                    marks.push((at, units));
                    next = at + MARK_BYTES;
                }
                units += character.len_utf16();
            }
        }
        Self {
            starts,
            marks,
            encoding,
        }
    }

    /// The line of a byte, counted from 0.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) - 1
    }

    /// How many units are before a byte.
    fn units(&self, text: &str, offset: usize) -> usize {
        let at = self.marks.partition_point(|(at, _)| *at <= offset);
        match at.checked_sub(1).and_then(|at| self.marks.get(at)) {
            Some((mark, units)) => {
                let between = text.get(*mark..offset).unwrap_or_default();
                units + self.encoding.length(between) as usize
            }
            None => offset,
        }
    }

    /// The position of a byte.
    pub(crate) fn position(&self, text: &str, offset: u32) -> Position {
        let offset = offset as usize;
        let line = self.line_of(offset);
        let column = self.units(text, offset) - self.units(text, self.starts[line]);
        Position {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            character: u32::try_from(column).unwrap_or(u32::MAX),
        }
    }

    /// The byte of a position; one outside of the text, or within a character, is moved back to its nearest place.
    pub(crate) fn offset(&self, text: &str, position: Position) -> usize {
        let line = position.line as usize;
        let Some(start) = self.starts.get(line).copied() else {
            return text.len();
        };
        let end = self.starts.get(line + 1).copied().unwrap_or(text.len());
        let end = start
            + text
                .get(start..end)
                .unwrap_or_default()
                .trim_end_matches(['\n', '\r'])
                .len();
        let target = self.units(text, start) + position.character as usize;
        let mark = self.marks.partition_point(|(_, units)| *units <= target);
        let mark = mark.checked_sub(1).and_then(|mark| self.marks.get(mark));
        let (mut at, mut units) = match mark {
            Some((at, units)) if *at > start => (*at, *units),
            _ => (start, self.units(text, start)),
        };
        for character in text.get(at..end).unwrap_or_default().chars() {
            units += self.encoding.of_character(character);
            if units > target {
                break;
            }
            at += character.len_utf8();
        }
        at.min(end)
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

    #[test]
    fn every_line_end_of_the_protocol_ends_a_line() {
        let lines = Lines::of("a\rb\r\nc\nd\r", Encoding::Utf16);
        assert_eq!(lines.starts, [0, 2, 5, 7, 9]);
    }

    /// Marks change nothing but the time: every position is what counting from the start of its line gives.
    #[test]
    fn positions_on_long_lines_are_those_that_counting_gives() {
        let long = "aß😀".repeat(400);
        let text = format!("{long}\n😀{long}\r{long}");
        for encoding in [Encoding::Utf8, Encoding::Utf16] {
            let lines = Lines::of(&text, encoding);
            for (offset, _) in text.char_indices() {
                let line = lines.line_of(offset);
                let counted = encoding.length(&text[lines.starts[line]..offset]);
                let position = lines.position(&text, u32::try_from(offset).unwrap());
                assert_eq!(
                    (position.line as usize, position.character),
                    (line, counted)
                );
                let is_end = matches!(text.as_bytes()[offset], b'\n' | b'\r');
                assert!(
                    is_end || lines.offset(&text, position) == offset,
                    "{offset}"
                );
            }
        }
    }
}
