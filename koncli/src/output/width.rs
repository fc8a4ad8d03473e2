//! How many columns of a terminal a text takes: a character of Chinese takes two, an accent none.

use std::collections::BTreeMap;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Names are not shortened to less in tables. States and numbers are no wider, so they are never shortened.
pub(crate) const NAME_MIN: usize = 12;

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

/// Shortens names that take more columns than there are: in the middle, because names of one kind often begin alike. No
/// two different names become the same.
pub(crate) fn shortened(names: &[&str], columns: usize) -> Vec<String> {
    let mut taken: BTreeMap<String, &str> = BTreeMap::new();
    let mut shortened = Vec::with_capacity(names.len());
    for name in names {
        let mut short = middle(name, columns, "");
        let mut again = 2;
        while taken.get(&short).is_some_and(|other| other != name) {
            short = middle(name, columns, &format!("~{again}"));
            again += 1;
        }
        taken.insert(short.clone(), name);
        shortened.push(short);
    }
    shortened
}

/// Leaves a name's begin and end, and puts `…` between them; `mark` follows.
fn middle(name: &str, columns: usize, mark: &str) -> String {
    if width(name) <= columns && mark.is_empty() {
        return name.to_owned();
    }
    let room = columns.saturating_sub(1 + width(mark));
    let fits = |texts: &[&str], room: usize| -> String {
        let mut rest = room;
        let taken = texts.iter().map_while(|text| {
            rest = rest.checked_sub(width(text))?;
            Some(*text)
        });
        taken.collect()
    };
    let characters: Vec<&str> = name
        .char_indices()
        .map(|(at, c)| &name[at..at + c.len_utf8()])
        .collect();
    let end: Vec<&str> = characters.iter().rev().copied().collect();
    let end: String = fits(&end, room / 2).chars().rev().collect();
    let begin = fits(&characters, room - room / 2);
    format!("{begin}…{end}{mark}")
}

/// Breaks a text at its blanks into lines of so many columns. A word that is longer is broken too.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    if width(text) <= columns {
        return vec![text.to_owned()];
    }
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if !line.is_empty() && width(&line) + c.width().unwrap_or(0) > columns {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// Takes from the widest columns of a table until all fit, with two blanks between them; none becomes narrower than its
/// least width.
pub(crate) fn narrowed(widths: &[usize], least: &[usize], columns: usize) -> Vec<usize> {
    let mut widths = widths.to_vec();
    let between = 2 * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + between > columns {
        let own = widths.iter_mut().zip(least);
        let wide = own.filter(|(width, least)| **width > **least);
        let Some((widest, _)) = wide.max_by_key(|(width, _)| **width) else {
            break;
        };
        *widest -= 1;
    }
    widths
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
            let short = cut(text, columns);
            assert_eq!(short, expected, "{text} in {columns}");
            assert!(width(&short) <= columns, "{short} in {columns}");
            assert_eq!(padded(text, columns), filled, "{text} in {columns}");
        }
    }

    #[test]
    fn shortened_names_fit_and_stay_different() {
        let all = [
            "build-all-the-things-linux",
            "build-all-the-things-mac",
            "build-all-the-parts-of-linux",
            "build",
            "build",
            "日本語日本語日本語",
        ];
        assert_eq!(
            shortened(&all[..2], 20),
            ["build-all-…ngs-linux", "build-all-…hings-mac"]
        );
        for columns in 6..40 {
            let short = shortened(&all, columns);
            for (index, (name, own)) in short.iter().zip(all).enumerate() {
                assert!(width(name) <= columns, "{name} in {columns}");
                let mut before = short[..index].iter().zip(all);
                let is_same = before.any(|(other, of)| other == name && of != own);
                assert!(!is_same, "{short:?} in {columns}");
            }
        }
    }

    #[test]
    fn lines_end_at_blanks_and_lose_nothing() {
        assert_eq!(
            wrapped("waits for gate/big-one", 10),
            ["waits for", "gate/big-o", "ne"]
        );
        assert_eq!(wrapped("a b", 10), ["a b"]);
        assert_eq!(wrapped("", 10), [""]);
    }

    #[test]
    fn the_widest_columns_become_narrower_first() {
        assert_eq!(narrowed(&[30, 10, 5], &[12, 10, 5], 40), [21, 10, 5]);
        assert_eq!(narrowed(&[30, 10, 5], &[12, 10, 5], 20), [12, 10, 5]);
        assert_eq!(narrowed(&[3, 4], &[3, 4], 20), [3, 4]);
    }
}
