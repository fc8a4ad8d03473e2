//! How many columns of a terminal a text takes: a character of Chinese takes two, an accent none.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Cuts a text that takes more columns than there are, and ends it with `…`.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut room = columns.saturating_sub(1);
    let mut cut = String::new();
    for c in text.chars() {
        let Some(rest) = room.checked_sub(c.width().unwrap_or(0)) else {
            break;
        };
        room = rest;
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// Fills a text up with blanks.
pub(crate) fn padded(text: &str, columns: usize) -> String {
    let blanks = columns.saturating_sub(width(text));
    text.to_owned() + &" ".repeat(blanks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_and_filled_up_by_the_columns_that_they_take() {
        let table = [
            ("abc", 3, "abc", "abc"),
            ("abcd", 3, "ab…", "abcd"),
            ("ab", 4, "ab", "ab  "),
            ("日本語", 6, "日本語", "日本語"),
            ("日本語", 5, "日本…", "日本語"),
            ("日本語", 4, "日…", "日本語"),
            ("é\u{301}é", 2, "é\u{301}é", "é\u{301}é"),
            ("e\u{301}e\u{301}e", 2, "e\u{301}…", "e\u{301}e\u{301}e"),
        ];
        for (text, columns, expected, filled) in table {
            let found = cut(text, columns);
            assert_eq!(found, expected, "{text} in {columns}");
            assert!(width(&found) <= columns, "{found} in {columns}");
            assert_eq!(padded(text, columns), filled, "{text} in {columns}");
        }
    }
}
