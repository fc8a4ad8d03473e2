//! How many columns of a terminal a text takes: a character of Chinese takes two, an accent none.

use std::collections::BTreeMap;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Names are not shortened to less in tables. States and numbers are no wider, so they are never shortened.
pub(crate) const NAME_MIN: usize = 12;
/// A text beside or below something is not broken into shorter lines than this, however narrow the terminal is.
const ROOM_MIN: usize = 20;

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

/// The words of a text. What stands in backticks is one word if it fits into a line, because people copy it.
fn words(text: &str, columns: usize) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut is_open = false;
    for word in text.split_whitespace() {
        match words.last_mut() {
            Some(command) if is_open => command.extend([" ", word]),
            _ => words.push(word.to_owned()),
        }
        is_open ^= word.matches('`').count() % 2 == 1;
    }
    let parts = |word: String| -> Vec<String> {
        match width(&word) <= columns {
            true => vec![word],
            false => word.split(' ').map(str::to_owned).collect(),
        }
    };
    words.into_iter().flat_map(parts).collect()
}

/// Returns `lead` and a text. If they don't fit into so many columns, the text is broken at its blanks, and what follows
/// its first line begins after `indentation` blanks. Without a number of columns nothing is broken.
pub(crate) fn hanging(
    lead: &str,
    text: &str,
    indentation: usize,
    columns: Option<usize>,
) -> String {
    let Some(columns) = columns.filter(|columns| width(lead) + width(text) > *columns) else {
        return format!("{lead}{text}\n");
    };
    let room = |taken: usize| columns.saturating_sub(taken).max(ROOM_MIN);
    let mut lines = broken(text, room(width(lead)), room(indentation)).into_iter();
    let first = format!("{lead}{}", lines.next().unwrap_or_default());
    let mut all = format!("{}\n", first.trim_end());
    let indentation = " ".repeat(indentation);
    all.extend(lines.map(|line| format!("{indentation}{line}\n")));
    all
}

/// Breaks a text at its blanks into lines of so many columns. A word that is longer is broken too.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    match width(text) <= columns {
        true => vec![text.to_owned()],
        false => broken(text, columns, columns),
    }
}

/// Breaks a text whose first line has another number of columns than those after it.
fn broken(text: &str, first: usize, columns: usize) -> Vec<String> {
    let mut room = first.max(1);
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text, columns) {
        let is_first = lines.is_empty() && line.is_empty() && room < columns;
        let blank = usize::from(!line.is_empty());
        if (blank == 1 || is_first) && width(&line) + blank + width(&word) > room {
            lines.push(std::mem::take(&mut line));
            room = columns;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if !line.is_empty() && width(&line) + c.width().unwrap_or(0) > room {
                lines.push(std::mem::take(&mut line));
                room = columns;
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
    fn a_command_in_backticks_stays_in_one_line_if_it_fits_into_one() {
        let text = "run it again (`koncli retry r`), or `wait for it`";
        assert_eq!(
            wrapped(text, 20),
            ["run it again", "(`koncli retry r`),", "or `wait for it`"]
        );
        assert_eq!(
            wrapped("so `koncli retry run`", 12),
            ["so `koncli", "retry run`"]
        );
        assert_eq!(wrapped("a ` is no command", 9), ["a ` is no", "command"]);
    }

    #[test]
    fn a_line_hangs_below_its_lead_and_is_as_it_is_in_a_pipe() {
        let text = "waits for what somebody else has";
        assert_eq!(
            hanging("  ", text, 4, Some(28)),
            "  waits for what somebody\n    else has\n"
        );
        for columns in [None, Some(34), Some(80)] {
            assert_eq!(hanging("  ", text, 4, columns), format!("  {text}\n"));
        }
        // A command that fits into no line but the second begins there.
        assert_eq!(
            hanging("    help: ", "`koncli retry r --from a`", 4, Some(30)),
            "    help:\n    `koncli retry r --from a`\n"
        );
        // A terminal of no use does not make a line of each letter.
        let lines = hanging("  ", text, 4, Some(3));
        assert_eq!(lines.lines().count(), 2, "{lines}");
    }

    #[test]
    fn the_widest_columns_become_narrower_first() {
        assert_eq!(narrowed(&[30, 10, 5], &[12, 10, 5], 40), [21, 10, 5]);
        assert_eq!(narrowed(&[30, 10, 5], &[12, 10, 5], 20), [12, 10, 5]);
        assert_eq!(narrowed(&[3, 4], &[3, 4], 20), [3, 4]);
    }
}
