//! A syntax error in the user's words: what was expected, what is there, and what to type.

mod habit;
mod lookalike;
mod place;

use konductor_grammar::{Rule, words};
use pest::error::{Error, ErrorVariant, InputLocation};

use crate::cut::Cut;
use crate::{Code, Diagnostic, Edit, Source, Span};
use place::Place;

pub use habit::condition::end as meant_end;

/// The words that begin something in a pipeline.
pub(crate) const ITEM_WORDS: [&str; 9] = [
    "approval",
    "defaults",
    "finally",
    "lease",
    "param",
    "schedule",
    "semaphore",
    "stage",
    "workspace",
];
/// The words that a name follows.
const NAMED_WORDS: [&str; 8] = [
    "approval",
    "lease",
    "param",
    "pipeline",
    "semaphore",
    "stage",
    "template",
    "workspace",
];
/// The words that begin a clause of a header.
const CLAUSE_WORDS: [&str; 7] = [
    "after", "for", "holding", "max", "parallel", "quorum", "when",
];

/// Turns a pest error into a diagnostic; `offset` is where the parsed text begins in the file.
pub(crate) fn diagnose(source: &Source, error: &Error<Rule>, offset: usize) -> Diagnostic {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => offset + at,
    };
    let text = &*source.text;
    let at = skip_blanks(text, at);
    if let Some(c) = text.get(at..).and_then(|rest| rest.chars().next())
        && let Some((message, help, meant)) = lookalike::of(c)
    {
        let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let span = Span {
            source: source.id,
            start: place(at),
            end: place(at + c.len_utf8()),
        };
        let diagnostic = Diagnostic::error(Code::K0110, span, message);
        let mut edits = vec![Edit::replace(span, meant)];
        if meant == "\"" {
            // Without its other end, the string would not be closed.
            let Some(end) = lookalike::end_of_string(text.cut(at + c.len_utf8()..)) else {
                return diagnostic.help(help);
            };
            let start = span.end + u32::try_from(end.start).unwrap_or(u32::MAX);
            let end = span.end + u32::try_from(end.end).unwrap_or(u32::MAX);
            edits.push(Edit::replace(Span { start, end, ..span }, meant));
        }
        return diagnostic.fixed(help, edits);
    }
    let (token, length) = token_at(text, at);
    let rules = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => &[],
    };
    let place = Place::new(text, at, token.as_deref().unwrap_or_default(), rules);
    let habit = habit::find(&place);
    let written = habit.as_ref().and_then(|habit| habit.written.clone());
    let message = habit.as_ref().and_then(|habit| habit.message.clone());
    let at = written.unwrap_or(at..at + length);
    let span = Span {
        source: source.id,
        start: u32::try_from(at.start).unwrap_or(u32::MAX),
        end: u32::try_from(at.end).unwrap_or(u32::MAX),
    };
    let message = message.unwrap_or_else(|| {
        let expected = expected(&place);
        match (&*expected, token.as_deref()) {
            ("", None) => "the file ends too early".to_owned(),
            ("", Some(token)) => format!("`{token}` is not expected here"),
            (expected, None) => format!("expected {expected}, and the file ends"),
            (expected, Some(token)) => format!("expected {expected}, found `{token}`"),
        }
    });
    let diagnostic = Diagnostic::error(Code::K0101, span, message);
    let Some(habit) = habit else {
        return diagnostic;
    };
    match habit.fix {
        Some((at, text)) => {
            let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
            let at = Span {
                start: place(at.start),
                end: place(at.end),
                ..span
            };
            diagnostic.fixed(habit.help, [Edit::replace(at, text)])
        }
        None => diagnostic.help(habit.help),
    }
}

/// Past blanks and comments: where the next token begins.
fn skip_blanks(text: &str, mut at: usize) -> usize {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let is_blank = |c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{FEFF}');
        let blank = rest.len() - rest.trim_start_matches(is_blank).len();
        at += blank;
        if text.get(at..).is_some_and(|rest| rest.starts_with('#')) {
            at += text.cut(at..).find('\n').unwrap_or(text.len() - at);
        } else {
            return at.min(text.len());
        }
    }
}

/// The token at a place, and how long it is.
fn token_at(text: &str, at: usize) -> (Option<String>, usize) {
    let rest = text.get(at..).unwrap_or_default();
    let Some(first) = rest.chars().next() else {
        return (None, 0);
    };
    let length = if first.is_alphanumeric() || first == '_' {
        rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
            .unwrap_or(rest.len())
    } else if first == '"' {
        let end = rest
            .cut(1..)
            .find(['"', '\n'])
            .map_or(rest.len(), |end| end + 2);
        end.min(rest.len())
    } else {
        first.len_utf8()
    };
    let shown: String = rest.cut(..length).chars().take(40).collect();
    (Some(shown.trim_end().to_owned()), length)
}

/// What would have been accepted, in words.
fn expected(place: &Place<'_>) -> String {
    let mut all: Vec<&str> = place.rules.iter().filter_map(|rule| words(*rule)).collect();
    all.sort_unstable();
    all.dedup();
    let has = |word: &str| all.iter().any(|words| words.starts_with(word));
    if has("a list") && has("a number") {
        return "a value".to_owned();
    }
    if all == ["`{`"] && !place.follows_declared_name() {
        // The grammar has no rule for the sign that it most likely is.
        return "`=` or `{`".to_owned();
    }
    if let Some(param) = all.iter().find(|word| word.starts_with("a parameter,")) {
        return (*param).to_owned();
    }
    // An attribute may stand wherever a stage's contents may: the shorter list helps more.
    if all.len() > 4
        && let Some(attribute) = all.iter().find(|word| word.starts_with("an attribute"))
    {
        return format!("`}}` or {attribute}");
    }
    if all.len() > 4 {
        all.retain(|word| word.starts_with('`'));
    }
    all.sort_by_key(|word| *word != "`{`");
    match all.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
