//! Texts of others, made harmless for a terminal.
//!
//! Names, messages, annotations, logs and files may hold what a terminal obeys: escape sequences that
//! move the cursor, set its title or write to the clipboard, and marks that turn the direction of a
//! text around. What is shown to people passes through here, and such characters are shown as `\u{1b}`.

use std::borrow::Cow;

use konductor_operator::explain;

/// Whether a terminal, or whoever reads what it shows, could be deceived by a character.
fn is_hostile(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        // Marks that turn the direction around, and that nobody sees.
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        // Separators of lines that break a line for some.
        '\u{2028}' | '\u{2029}' => true,
        // Tags, in which a whole text may hide.
        '\u{e0000}'..='\u{e007f}' => true,
        // C0, DEL and C1, some of which begin a sequence without ESC.
        c => c.is_control(),
    }
}

/// The text with every hostile character spelled out.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hostile(c) {
            true => cleaned.extend(c.escape_unicode()),
            false => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// The text with every hostile character replaced by question marks, as many as it has bytes: places
/// in it stay where they are.
pub(crate) fn clean_in_place(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        // The end of a line on Windows does nothing to a terminal.
        let is_end = c == '\r' && chars.peek() == Some(&'\n');
        match is_hostile(c) && !is_end {
            true => cleaned.extend(std::iter::repeat_n('?', c.len_utf8())),
            false => cleaned.push(c),
        }
    }
    Cow::Owned(cleaned)
}

/// A line of a log for a terminal: colours stay, all else is made harmless. Of a line that its program
/// has written over and over, as progress bars do, the last state is shown.
pub(crate) fn clean_log(line: &str) -> Cow<'_, str> {
    let line = last_state(line);
    if !line.contains(is_hostile) {
        return Cow::Borrowed(line);
    }
    let (mut cleaned, mut rest) = (String::with_capacity(line.len() + 16), line);
    let mut is_colored = false;
    while let Some(c) = rest.chars().next() {
        if let Some(color) = explain::color(rest) {
            cleaned.push_str(color);
            is_colored = true;
            rest = &rest[color.len()..];
            continue;
        }
        match is_hostile(c) {
            true => cleaned.extend(c.escape_unicode()),
            false => cleaned.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    if is_colored {
        // It is nobody else's colour.
        cleaned.push_str("\x1b[0m");
    }
    Cow::Owned(cleaned)
}

/// What is left of a line that its program has written over and over.
pub(crate) fn last_state(line: &str) -> &str {
    let line = line.trim_end_matches('\r');
    line.rsplit('\r').next().unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequences that terminals obey, and marks that deceive readers.
    pub(crate) const HOSTILE: [&str; 14] = [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b]52;c;aGk=\x1b\\",
        "\x1bc",
        "\u{9b}2J",
        "\u{9d}0;title\u{9c}",
        "\u{90}q",
        "\x08\x08\x08",
        "\x07",
        "\x7f",
        "\u{202e}gnp.exe",
        "\u{2066}a\u{2069}",
        "\u{2028}",
        "\u{e0041}",
    ];

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        for hostile in HOSTILE {
            for text in [hostile.to_owned(), format!("before {hostile} after\nnext")] {
                for cleaned in [clean(&text), clean_in_place(&text), clean_log(&text)] {
                    assert!(!cleaned.contains(is_hostile), "{text:?}: {cleaned:?}");
                }
                assert_eq!(clean_in_place(&text).len(), text.len());
                assert_eq!(clean(&clean(&text)), clean(&text));
            }
        }
        assert_eq!(clean("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(clean_in_place("a\u{202e}b\rc\r\n"), "a???b?c\r\n");
        for harmless in ["", "a\tb\n", "Grüße, 世界 👩‍👩‍👧 ✓"] {
            assert!(matches!(clean(harmless), Cow::Borrowed(same) if same == harmless));
        }
    }

    #[test]
    fn logs_keep_their_colours_and_nothing_else() {
        let table = [
            (
                "\x1b[1;31mred\x1b[0m plain",
                "\x1b[1;31mred\x1b[0m plain\x1b[0m",
            ),
            ("\x1b[mreset", "\x1b[mreset\x1b[0m"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("\x1b[31", "\\u{1b}[31"),
            ("\x1b[?25h", "\\u{1b}[?25h"),
            ("10%\r50%\r100%", "100%"),
            ("windows\r", "windows"),
            ("ü\u{9b}31mé", "ü\\u{9b}31mé"),
        ];
        for (line, expected) in table {
            assert_eq!(clean_log(line), expected, "{line:?}");
        }
    }
}
