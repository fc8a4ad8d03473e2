//! A syntax error in the user's words: what was expected, what is there, and what to type.

use konductor_grammar::{Rule, words};
use pest::error::{Error, ErrorVariant, InputLocation};

use crate::{Code, Diagnostic, Source, Span, did_you_mean};

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

/// Turns a pest error into a diagnostic; `offset` is where the parsed text begins in the file.
pub(crate) fn diagnose(source: &Source, error: &Error<Rule>, offset: usize) -> Diagnostic {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => offset + at,
    };
    let text = &*source.text;
    let at = skip_blanks(text, at);
    let (found, length) = token_at(text, at);
    let span = Span {
        source: source.id,
        start: u32::try_from(at).unwrap_or(u32::MAX),
        end: u32::try_from(at + length).unwrap_or(u32::MAX),
    };
    let expected = expected(error);
    let message = match (&*expected, found.as_deref()) {
        ("", None) => "the file ends too early".to_owned(),
        ("", Some(found)) => format!("`{found}` is not expected here"),
        (expected, None) => format!("expected {expected}, and the file ends"),
        (expected, Some(found)) => format!("expected {expected}, found `{found}`"),
    };
    let mut diagnostic = Diagnostic::error(Code::K0101, span, message);
    if let Some(help) = hint(text, at, found.as_deref().unwrap_or_default()) {
        diagnostic = diagnostic.help(help);
    }
    diagnostic
}

/// Past blanks and comments: where the next token begins.
fn skip_blanks(text: &str, mut at: usize) -> usize {
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let blank = rest.len() - rest.trim_start().len();
        at += blank;
        if text.get(at..).is_some_and(|rest| rest.starts_with('#')) {
            at += text[at..].find('\n').unwrap_or(text.len() - at);
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
        let end = rest[1..]
            .find(['"', '\n'])
            .map_or(rest.len(), |end| end + 2);
        end.min(rest.len())
    } else {
        first.len_utf8()
    };
    let shown: String = rest[..length].chars().take(40).collect();
    (Some(shown.trim_end().to_owned()), length)
}

/// What would have been accepted, in words.
fn expected(error: &Error<Rule>) -> String {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        return String::new();
    };
    let mut all: Vec<&str> = positives.iter().filter_map(|rule| words(*rule)).collect();
    all.sort_unstable();
    all.dedup();
    // An attribute may stand wherever a stage's contents may: the shorter list helps more.
    if all.len() > 4 {
        let attribute = all.iter().position(|word| word.starts_with("an attribute"));
        match attribute {
            Some(index) => all = vec![all[index], "`}`"],
            None => {
                all.sort_by_key(|word| *word != "`{`");
                all.truncate(4);
            }
        }
    }
    match all.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// What to type, where the slip is a usual one.
fn hint(text: &str, at: usize, found: &str) -> Option<String> {
    let before = text[..at].trim_end();
    let word_before = before
        .rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
        .next()
        .unwrap_or_default();
    let same_line = &before[before.rfind('\n').map_or(0, |newline| newline + 1)..];
    let lower = found.to_lowercase();
    Some(match found {
        ":" => format!("write `{word_before} = …`: attributes are set with `=`"),
        "'" => "strings are written in double quotes: \"…\"".to_owned(),
        "=" if same_line.contains("when") => "compare with `==`".to_owned(),
        "&" | "|" => format!("write `{found}{found}`"),
        "-" => "list elements are written in brackets: [\"a\", \"b\"]".to_owned(),
        ";" => "remove it: a newline or a comma is enough".to_owned(),
        "$" => "put it into a string: \"${…}\"".to_owned(),
        "" => "close what is open with `}`".to_owned(),
        _ if matches!(lower.as_str(), "and" | "or" | "not") => {
            let sign = match lower.as_str() {
                "and" => "&&",
                "or" => "||",
                _ => "!",
            };
            format!("write `{sign}`")
        }
        _ if matches!(
            lower.as_str(),
            "depends_on" | "depends-on" | "needs" | "requires"
        ) =>
        {
            "write `after STAGE` in the stage's header".to_owned()
        }
        _ if matches!(
            word_before,
            "depends_on" | "depends-on" | "needs" | "requires"
        ) =>
        {
            "write `after STAGE` in the stage's header".to_owned()
        }
        _ => {
            let meant = did_you_mean(word_before, ITEM_WORDS)
                .filter(|meant| *meant != word_before)
                .or_else(|| did_you_mean(found, CLAUSE_WORDS).filter(|meant| *meant != found));
            return meant.map(|meant| format!("did you mean `{meant}`?"));
        }
    })
}

const CLAUSE_WORDS: [&str; 5] = ["after", "for", "holding", "quorum", "when"];
