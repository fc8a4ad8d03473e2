//! Slips of values: lists, numbers with units, blocks of other languages.

use konductor_grammar::Rule;

use super::{Habit, Place};
use crate::cut::Cut;
use crate::name::is_identifier;
use crate::token::{Kind, Token, tokens};

/// Units that durations and quantities have.
const UNITS: [&str; 17] = [
    "s", "m", "h", "d", "ms", "n", "u", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi",
];
/// How many bytes of a list are looked at.
const LIST_MAX: usize = 2_000;

/// `["a" "b"]`
pub(super) fn list_without_commas(place: &Place<'_>) -> Option<Habit> {
    if place.token != "[" || !place.wants(Rule::list) {
        return None;
    }
    let rest = place.text.cut(place.at..);
    let rest = rest.cut(..rest.floor_char_boundary(LIST_MAX));
    let is_value = |token: &Token| matches!(token.kind, Kind::String | Kind::Word);
    let mut before: Option<Token> = None;
    let mut depth = 0_usize;
    for token in tokens(rest).filter(|token| token.kind != Kind::Comment) {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return None;
        }
        if token.text(rest) == "\\" {
            let at = place.at + token.start..place.at + token.end;
            let message = "a backslash does not continue a line";
            return Habit::at(at, message, "remove it: a newline is a space");
        }
        if let Some(left) = before.filter(|left| is_value(left) && is_value(&token)) {
            let (left, right) = (left.text(rest), token.text(rest));
            if [left, right].iter().any(|text| text.contains('\n')) {
                return None;
            }
            let at = place.at + token.start..place.at + token.end;
            let message = format!("expected `,` or `]`, found `{right}`");
            return Habit::at(at, message, format!("write a comma: `{left}, {right}`"));
        }
        before = Some(token);
    }
    None
}

/// `["a"] ["b"]`, `1_000`
pub(super) fn pieces_of_a_value(place: &Place<'_>) -> Option<Habit> {
    if place.token == "[" && place.last(0) == Some("]") {
        return Habit::help("write one list: `[\"a\", \"b\"]`");
    }
    let number = place.last(0)?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let rest = place.token.strip_prefix('_')?.replace('_', "");
    if is_number(number) && is_number(&rest) {
        return Habit::help(format!("write `{number}{rest}`"));
    }
    None
}

/// `param m: number = 1,5`, `10,000`, `1 000`, `1'000`, `1.000,5`
pub(super) fn number_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if place.is_in_a_list() {
        return None;
    }
    let before = place.text.cut(..place.at);
    let separator = match place.token {
        "'" => '\'',
        _ => before
            .chars()
            .next_back()
            .filter(|c| matches!(c, ',' | ' '))?,
    };
    let is_part = |c: char| c.is_ascii_digit() || c == '.' || c == separator;
    let is_digit = |c: char| c.is_ascii_digit();
    let head = before.cut(before.trim_end_matches(is_part).len()..);
    let head = head.rsplit("..").next()?;
    let head = head.trim_start_matches(|c: char| !is_digit(c));
    let rest = place.rest();
    let tail = rest.cut(..rest.len() - rest.trim_start_matches(is_part).len());
    let tail = tail.trim_end_matches(|c: char| !is_digit(c));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let behind = rest.cut(tail.len()..);
    let unit = behind.cut(..behind.len() - behind.trim_start_matches(word).len());
    // Others have no fractions.
    let is_unit = unit.is_empty() || unit.starts_with(char::is_uppercase) && UNITS.contains(&unit);
    if head.is_empty() || tail.is_empty() || !is_unit {
        return None;
    }
    let written = format!("{head}{tail}");
    let number = in_digits(&written, separator)?;
    let at = place.at - head.len()..place.at + tail.len() + unit.len();
    let message = format!("`{written}{unit}` is no number here");
    Habit::at(at, message, format!("write `{number}{unit}`"))
}

/// A number with groups of three digits, or with a comma for its point, as it is written here.
fn in_digits(written: &str, separator: char) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // In `0,500` it is no group.
    let is_grouped = |text: &str, separator: char| {
        let mut groups = text.split(separator);
        let first = groups.next().unwrap_or_default();
        let starts = is_number(first) && first.len() <= 3 && !first.starts_with('0');
        starts && groups.all(|group| is_number(group) && group.len() == 3)
    };
    if is_grouped(written, separator) {
        return Some(written.replace(separator, ""));
    }
    if let Some((whole, fraction)) = written.split_once('.')
        && is_grouped(whole, separator)
        && is_number(fraction)
    {
        return Some(format!("{}.{fraction}", whole.replace(separator, "")));
    }
    let (whole, fraction) = written.split_once(separator).filter(|_| separator == ',')?;
    let is_whole = is_number(whole) || is_grouped(whole, '.');
    (is_whole && is_number(fraction)).then(|| format!("{}.{fraction}", whole.replace('.', "")))
}

/// `timeout = 30 m`, `retries = 3 attempts`
pub(super) fn unit_after_a_blank(place: &Place<'_>) -> Option<Habit> {
    let (unit, number) = (place.before.last()?, place.last(1)?);
    let word = unit.text(place.text);
    let is_number = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if place.last(2) != Some("=") || !is_number || !is_identifier_like(word) {
        return None;
    }
    let at = unit.start..unit.end;
    if UNITS.contains(&word) {
        let message = "a unit stands right behind its number";
        return Habit::at(at, message, format!("write `{number}{word}`"));
    }
    let unit = match word.to_ascii_lowercase().as_str() {
        "second" | "seconds" | "sec" | "secs" => "s",
        "minute" | "minutes" | "min" | "mins" => "m",
        "hour" | "hours" | "hr" | "hrs" => "h",
        "day" | "days" => "d",
        _ => "",
    };
    if !unit.is_empty() {
        let message = "a unit is one letter, right behind its number";
        let whole = place.before.get(place.before.len().checked_sub(2)?)?.start..at.end;
        let help = format!("write `{number}{unit}`");
        return Habit::at(at, message, help)?.writing(whole, format!("{number}{unit}"));
    }
    let message = format!("`{word}` is not expected behind a number");
    Habit::at(at, message, format!("write `{number}` alone"))
}

/// `run = |`, `run = <<EOF`
pub(super) fn block_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) == Some("=") && matches!(place.token, "|" | ">" | "<") {
        return Habit::help("write a text of several lines as a block: `\"\"\"` … `\"\"\"`");
    }
    None
}

/// `image = `busybox``
pub(super) fn back_quotes(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('`')?;
    let (inner, _) = inner.split_once('`').unwrap_or((inner.trim_end(), ""));
    let help = match super::text::quoted(inner) {
        Some(quoted) => format!("write `{quoted}`"),
        None => "write `\"…\"`".to_owned(),
    };
    Habit::help(help)
}

/// `0...4`, `0..<n - 1`
pub(super) fn range_of_another_language(place: &Place<'_>) -> Option<Habit> {
    let before = place.text.cut(..place.at);
    if place.token == "." && before.ends_with("..") {
        let first = before
            .trim_end_matches('.')
            .rsplit(char::is_whitespace)
            .next();
        let last = place
            .rest()
            .trim_start_matches('.')
            .split(|c: char| !c.is_ascii_alphanumeric());
        let last = { last }.next().filter(|last| !last.is_empty());
        let (first, last) = (first.unwrap_or("0"), last.unwrap_or("4"));
        return Habit::help(format!(
            "write `{first}..{last}`, which has both ends, or `{first}..<{last}`, which has no {last}"
        ));
    }
    if matches!(place.token, "-" | "+" | "*" | "/") && place.clause() == Some("for") {
        return Habit::help("there is no arithmetic here: declare a parameter for the number");
    }
    if place.token == "%" && place.clause() == Some("quorum") {
        return Habit::help("write how many items, as in `quorum 2`");
    }
    None
}

/// `param t: [string]`
pub(super) fn type_in_brackets(place: &Place<'_>) -> Option<Habit> {
    if place.token != "[" || !place.wants(Rule::type_) {
        return None;
    }
    if place
        .next()
        .next()
        .is_some_and(|next| next.starts_with('"'))
    {
        let words = place.next().take_while(|next| *next != "]");
        let words: Vec<&str> = words.filter(|word| word.starts_with('"')).collect();
        return Habit::help(format!("list the words: `{}`", words.join(" | ")));
    }
    let inner = place.next().find(|next| is_identifier(next));
    Habit::help(format!("write `list<{}>`", inner.unwrap_or("string")))
}

/// `secret("db/password")`, `secret(db, password)`
pub(super) fn secret_of_one_text(place: &Place<'_>) -> Option<Habit> {
    if let (Some("("), Some(kind @ ("secret" | "config"))) = (place.last(0), place.last(1))
        && is_identifier_like(place.token)
    {
        let mut next = place.next();
        let key = match (next.next(), next.next()) {
            (Some(","), Some(key)) => key.trim_matches('"'),
            (Some(")"), _) => "KEY",
            _ => return None,
        };
        return Habit::help(format!("write `{kind}(\"{}\", \"{key}\")`", place.token));
    }
    let kind = place
        .last(0)
        .filter(|kind| matches!(*kind, "secret" | "config"))?;
    if place.token != "(" {
        return None;
    }
    let text = place
        .next()
        .find(|next| next.starts_with('"'))?
        .trim_matches('"');
    let (name, key) = text.split_once(['/', '.', ':']).unwrap_or((text, "KEY"));
    Habit::help(format!("write `{kind}(\"{name}\", \"{key}\")`"))
}

fn is_identifier_like(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
}
