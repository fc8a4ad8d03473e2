//! Slips of types.

use konductor_grammar::Rule;

use super::{Habit, Place};
use crate::name::is_identifier;

/// Words of other languages for a list.
const LISTS: [&str; 6] = ["array", "list", "seq", "sequence", "set", "tuple"];
/// The names of types.
const TYPES: [&str; 8] = [
    "string", "int", "number", "bool", "duration", "quantity", "file", "dir",
];
const MESSAGE: &str = "this is not how a type is written";

/// `string[]`, `map<string>`, `string?`, `dev | prod`, `enum("a")`
pub(super) fn type_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::kw_in) || place.last(1) != Some(":") {
        return None;
    }
    let name = place.last(0)?;
    let next = place.next().find(|next| is_identifier(next));
    let start = place.before.last()?.start;
    let mut inner = place.next().take_while(|next| *next != ")");
    let has_bounds = inner.any(|next| matches!(next, "," | "."));
    let help = match place.token {
        "[" if LISTS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("write `list<{}>`", next.unwrap_or("string"))
        }
        "[" => format!("write `list<{name}>`"),
        "<" if LISTS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("write `list<{}>`", scalar(next.unwrap_or("string")))
        }
        "<" => {
            "list the fields, as in `{name: string, size: int}`; a list is `list<string>`".into()
        }
        "?" => format!("write `{name}` with a default, as in `{name} = …`"),
        "|" => format!("write `\"{name}\" | \"{}\"`", next.unwrap_or("…")),
        "(" if matches!(name, "int" | "number") && has_bounds => {
            let inner = place.rest().trim_start_matches('(').split(')').next();
            let inner = inner.unwrap_or_default().trim();
            let range = match inner.split_once(',') {
                Some((first, last)) => format!("{}..{}", first.trim(), last.trim()),
                None => inner.to_owned(),
            };
            format!("write `int in {range}`")
        }
        "(" if LISTS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("write `list<{}>`", scalar(next.unwrap_or("string")))
        }
        "(" if TYPES.contains(&name) => {
            let inner = place.rest().trim_start_matches('(').split(')').next();
            let inner = inner.map(str::trim).filter(|inner| !inner.is_empty());
            format!("write `{name} = {}`", inner.unwrap_or("…"))
        }
        "(" => "list the words: `\"a\" | \"b\"`".to_owned(),
        _ => return None,
    };
    Habit::at(start..place.at + place.token.len(), MESSAGE, help)
}

/// A type of another language as it is called here.
fn scalar(word: &str) -> String {
    let lower = word.to_ascii_lowercase();
    let scalar = match lower.as_str() {
        "str" | "text" => "string",
        "integer" => "int",
        "float" | "double" => "number",
        "boolean" => "bool",
        other => other,
    };
    scalar.to_owned()
}

/// `int in [1, 5]`, `string in ["a", "b"]`
pub(super) fn bounds_in_brackets(place: &Place<'_>) -> Option<Habit> {
    let is_type = place.last(0) == Some("in") && place.last(2) == Some(":");
    if place.token != "[" || !is_type {
        return None;
    }
    let inner = place.next().take_while(|next| *next != "]");
    let values: Vec<&str> = inner.filter(|next| *next != ",").collect();
    match values.as_slice() {
        [first, .., last] if !first.starts_with('"') => {
            Habit::help(format!("write `int in {first}..{last}`"))
        }
        words if words.iter().all(|word| word.starts_with('"')) && !words.is_empty() => {
            Habit::help(format!("list the words: `{}`", words.join(" | ")))
        }
        _ => None,
    }
}

/// `int in 1-10`, `int in 1 to 10`, `for i in 3`
pub(super) fn range_without_dots(place: &Place<'_>) -> Option<Habit> {
    if !place.wants(Rule::range_op) {
        return None;
    }
    let first = place.last(0)?;
    let is_number = first.bytes().all(|b| b.is_ascii_digit());
    match place.token {
        "-" | "to" | ":" | "," => {
            let end = place
                .next()
                .find(|next| next.bytes().all(|b| b.is_ascii_digit()));
            Habit::help(format!("write `{first}..{}`", end.unwrap_or("n")))
        }
        "{" if is_number => Habit::help(format!("write `0..<{first}`")),
        _ => None,
    }
}

/// `param string x = "1"`
pub(super) fn type_before_the_name(place: &Place<'_>) -> Option<Habit> {
    let is_type = TYPES.contains(&place.token) || place.token == "str";
    if !place.wants(Rule::param_decl) || !is_type {
        return None;
    }
    let name = place.next().next().filter(|next| is_identifier(next))?;
    Habit::help(format!("write `{name}: {}`", place.token))
}
