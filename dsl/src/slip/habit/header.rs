//! Slips between a stage's name and its body.

use konductor_grammar::Rule;

use super::{CLAUSE_WORDS, Habit, Place};
use crate::did_you_mean;
use crate::name::is_identifier;

/// Words of others for `after`.
pub(super) const WAITS: [&str; 11] = [
    "depends",
    "depends-on",
    "dependsOn",
    "depends_on",
    "follows",
    "needs",
    "on",
    "requires",
    "wait",
    "wait-for",
    "waits",
];
/// Words of others for the other clauses.
const WORDS: [(&[&str], &str); 3] = [
    (&["if", "unless", "where"], "write `when CONDITION`"),
    (
        &["each", "foreach", "loop", "matrix", "parallel"],
        "write `for NAME in [\"a\", \"b\"]`",
    ),
    (
        &[
            "acquire", "hold", "holds", "lock", "locking", "locks", "mutex", "with",
        ],
        "write `holding NAME`, of a semaphore or lease",
    ),
];

/// `range(3)`, `1..=3`
pub(super) fn other_range(place: &Place<'_>) -> Option<Habit> {
    if place.found == "(" && place.last(0) == Some("range") {
        let count = place.next_number().unwrap_or("n");
        return Habit::help(format!("write `0..<{count}`"));
    }
    if place.found == "=" && place.text[..place.at].ends_with("..") {
        return Habit::help("remove the `=`: both ends of `..` are in it");
    }
    None
}

/// `for region in eu, us {`
pub(super) fn loop_without_brackets(place: &Place<'_>) -> Option<Habit> {
    if place.wants(Rule::kw_in) && place.has("for") && place.has("in") {
        return Habit::help("write a list in brackets: [\"a\", \"b\"]");
    }
    None
}

/// `after { … }`, `after [a, b]`
pub(super) fn after_nothing_or_a_list(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) != Some("after") {
        return None;
    }
    match place.found {
        "{" => Habit::help("name what it waits for, or remove `after`"),
        "[" => Habit::help("write `after a, b`, without brackets"),
        _ => None,
    }
}

/// A header that continues with what is in the body
pub(super) fn body_without_a_brace(place: &Place<'_>) -> Option<Habit> {
    if place.before.is_empty() && place.wants_clause() && matches!(place.next().next(), Some("=")) {
        return Habit::help("end the header with `{`: the body begins here");
    }
    None
}

/// `depends_on a`, `if x`
pub(super) fn clause_of_another_language(place: &Place<'_>) -> Option<Habit> {
    if !place.wants_clause() {
        return None;
    }
    if WAITS.contains(&place.found) {
        let next = place
            .next()
            .find(|next| is_identifier(next) && *next != "on");
        return Habit::help(format!("write `after {}`", next.unwrap_or("STAGE")));
    }
    let (_, help) = WORDS
        .iter()
        .find(|(words, _)| words.contains(&place.found))?;
    Habit::help(*help)
}

/// `after a b`, `after a and b`, `holding db 2`
pub(super) fn names_without_a_comma(place: &Place<'_>) -> Option<Habit> {
    let clause = place
        .clause()
        .filter(|clause| matches!(*clause, "after" | "holding"))?;
    let last = place
        .last(0)
        .filter(|last| !CLAUSE_WORDS.contains(last) && *last != ",")?;
    if !place.wants_clause() {
        return None;
    }
    let is_number = place.found.bytes().all(|b| b.is_ascii_digit());
    if clause == "holding" && is_number {
        return Habit::help(format!("write `{last}({})`", place.found));
    }
    let next = place.next().find(|next| is_identifier(next));
    match place.found {
        "and" | "&" => Habit::help(format!("write a comma: `{last}, {}`", next.unwrap_or("…"))),
        "or" | "|" if clause == "after" => {
            Habit::help(format!("write `any({last}, {})`", next.unwrap_or("…")))
        }
        found if is_identifier(found) && did_you_mean(found, CLAUSE_WORDS).is_none() => {
            Habit::help(format!("write a comma between them: `{last}, {found}`"))
        }
        _ => None,
    }
}

/// `when not ok`
pub(super) fn not_in_a_word(place: &Place<'_>) -> Option<Habit> {
    if place.last(0) == Some("not") && place.clause() == Some("when") {
        return Habit::help(format!("write `!{}`", place.found));
    }
    None
}

/// `a and b`, `x & y`, `- item`, `;`
pub(super) fn sign_of_another_language(place: &Place<'_>) -> Option<Habit> {
    Habit::help(match place.found {
        "&" | "|" => format!("write `{0}{0}`", place.found),
        "and" | "AND" => "write `&&`".to_owned(),
        "or" | "OR" => "write `||`".to_owned(),
        "not" | "NOT" => "write `!`".to_owned(),
        "-" => "list elements are written in brackets: [\"a\", \"b\"]".to_owned(),
        ";" => "remove it: a newline or a comma is enough".to_owned(),
        _ => return None,
    })
}
