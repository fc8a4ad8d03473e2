//! Slips of conditions: signs and functions of other languages.

use konductor_grammar::Rule;

use super::{Habit, Place};
use crate::cut::Cut;
use crate::name::is_identifier;

/// Returns what to write behind a stage's name to wait for the end that a word of another language
/// means: nothing for `success`, `.failed` for `error`.
pub fn end(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "success" | "succeeded" | "successful" | "ok" | "passed" | "complete" | "completed"
        | "approved" => "",
        "failure" | "failed" | "fail" | "error" | "errored" | "denied" | "rejected" => ".failed",
        "skip" | "skipped" => ".skipped",
        "done" | "always" | "finish" | "finished" | "ended" | "end" | "exited" => ".finished",
        _ => return None,
    })
}

/// `succeeded(a)`, `after failure(a)`, `after a.failed()`, `always`, `on failure`
pub(super) fn end_of_a_stage(place: &Place<'_>) -> Option<Habit> {
    if place.token == "(" {
        let end = end(place.last(0)?)?;
        let clause = place.clause()?;
        if place.last(1) == Some(".") {
            let name = place.last(2).filter(|name| is_identifier(name));
            return Habit::help(match (clause, name) {
                ("after", Some(name)) => format!("write `{name}{end}`, without parentheses"),
                ("when", Some(name)) => format!("write `after {name}{end}`"),
                _ => return None,
            });
        }
        let mut inner = place.next().take_while(|next| *next != ")");
        let Some(name) = inner.find(|next| is_identifier(next)) else {
            return Habit::help(match end {
                ".failed" => "write `finally stage NAME when run.outcome == \"failed\" { … }`",
                ".finished" => "write `finally stage NAME { … }`: it starts however the run ends",
                _ => "remove it: a stage starts after the success of what it waits for",
            });
        };
        return match clause {
            "after" | "when" => Habit::help(format!("write `after {name}{end}`")),
            _ => None,
        };
    }
    if !place.wants_clause() || place.clause() == Some("when") {
        return None;
    }
    let word = match place.token {
        "on" | "if" => place.next().next()?,
        "always" | "failure" | "failed" | "success" => place.token,
        _ => return None,
    };
    let mut header = place.next().take_while(|next| *next != "{");
    let is_compared = header.any(|next| next == "=");
    match end(word.trim_matches('"'))? {
        _ if is_compared => None,
        ".finished" => {
            Habit::help("write `after NAME.finished`, or `finally stage` for cleaning up")
        }
        end => Habit::help(format!("write `after NAME{end}`")),
    }
}

/// `n === 1`, `n <> 1`, `n =~ "x"`, `n is 1`
pub(super) fn comparison(place: &Place<'_>) -> Option<Habit> {
    if place.clause() != Some("when") {
        return None;
    }
    let (last, next) = (place.last(0), place.next().next());
    let sign =
        |at: std::ops::Range<usize>, sign: &str, help: String| Habit::replace(at, sign, help);
    let word = |meant: &str| sign(place.here(), meant, format!("compare with `{meant}`"));
    let help = match (last, place.token, next) {
        (Some("="), "=", _) => return sign(place.here(), "", "write `==`".to_owned()),
        (Some("<"), ">", _) => return sign(place.with_last()?, "!=", "write `!=`".to_owned()),
        (_, "=", Some("~")) | (_, "~", _) | (_, "matches" | "like", _) => {
            "there are no patterns: compare with `==`, or list the texts: `in [\"a\", \"b\"]`"
        }
        (_, "is" | "eq" | "equals", _) => return word("=="),
        (_, "ne", _) => return word("!="),
        (_, "lt", _) => return word("<"),
        (_, "gt", _) => return word(">"),
        (_, "contains" | "includes" | "has", Some(text)) => {
            let last = last?;
            return Habit::help(format!(
                "write `{text} in {last}` if `{last}` is a list; a text can only be compared with `==`"
            ));
        }
        (_, "not", Some("in")) => return Habit::help(format!("write `!({} in …)`", last?)),
        (_, "<" | ">", _) if place.has("<") || place.has(">") => {
            let before = place.text.cut(..place.at).trim_end();
            let middle = before.rsplit(char::is_whitespace).next()?;
            let rest = place.rest();
            let operand = rest.trim_start_matches(['<', '>', '=']);
            let sign = rest.cut(..rest.len() - operand.len());
            let last = operand.split_whitespace().next().unwrap_or("…");
            return Habit::help(format!("write both: `… && {middle} {sign} {last}`"));
        }
        (_, "?", _) => "write two stages with opposite conditions",
        _ => return None,
    };
    Habit::help(help)
}

const NO_ARITHMETIC: &str = "there is no arithmetic: write the result, or compute it in a script";

/// `n + 1 > 2`, `"a" + "b"`
pub(super) fn arithmetic(place: &Place<'_>) -> Option<Habit> {
    if !matches!(place.token, "+" | "-" | "*" | "/" | "%" | "~") {
        return None;
    }
    if place.clause() == Some("when") {
        return Habit::help(
            "there is no arithmetic: let a stage compute it and write it into an output",
        );
    }
    let is_value = place.has("=") && !place.before.is_empty();
    if is_value && matches!(place.last(0), Some(last) if last.ends_with('"') || is_identifier(last))
    {
        return Habit::help(match place.token {
            "+" => "join texts by interpolation: `\"${a}b\"`; there is no arithmetic",
            _ => NO_ARITHMETIC,
        });
    }
    let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if is_value && place.last(0).is_some_and(is_number) {
        return Habit::help(NO_ARITHMETIC);
    }
    None
}

/// `env { A = secretKeyRef("x", "y") }`, `day = env("DAY")`
pub(super) fn function(place: &Place<'_>) -> Option<Habit> {
    if place.token != "(" {
        return None;
    }
    let word = place.last(0).filter(|word| is_identifier(word))?;
    if place.clause() == Some("when") {
        return Habit::help("a condition has no functions: compare values with `==`, `<` or `in`");
    }
    if place.last(1) != Some("=") {
        return None;
    }
    if word.to_ascii_lowercase().contains("secret") {
        return Habit::help("write `secret(\"NAME\", \"KEY\")`");
    }
    if word.to_ascii_lowercase().contains("config") {
        return Habit::help("write `config(\"NAME\", \"KEY\")`");
    }
    let is_param = matches!(place.before.first(), Some(first) if first.text(place.text) == "param");
    let help = match word {
        "env" | "getenv" if is_param => "remove it, and give the value: `--set NAME=\"$VARIABLE\"`",
        "env" | "getenv" => "a script reads its environment itself: write `$NAME` in `run`",
        _ => "there are no functions: write the value, or compute it in a script",
    };
    let last = place.before.last()?;
    Habit::at(
        last.start..last.end,
        format!("`{word}` is no function"),
        help,
    )
}

/// `run = x == "a" ? "b" : "c"`
pub(super) fn condition_as_a_value(place: &Place<'_>) -> Option<Habit> {
    let is_value = place.last(1) == Some("=") && place.wants(Rule::attribute);
    if is_value && matches!(place.token, "=" | "!" | "<" | ">" | "&" | "|" | "?") {
        return Habit::help(
            "a value is not computed: write two stages with opposite conditions in `when`",
        );
    }
    None
}
