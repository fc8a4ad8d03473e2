//! Slips of strings, values and comments.

use konductor_grammar::Rule;

use super::{Habit, Place};
use crate::cut::Cut;
use crate::name::is_identifier;
use crate::token::Kind;

/// How many characters are repeated to say what to type.
const SHOWN_MAX: usize = 60;

pub(super) fn end_of_file(place: &Place<'_>) -> Option<Habit> {
    if place.found.is_empty() {
        return Habit::help("close what is open with `}`");
    }
    None
}

/// `"say "hello" to all"`
pub(super) fn quote_in_a_string(place: &Place<'_>) -> Option<Habit> {
    let touches = place.before.windows(2).any(|pair| {
        pair[0].kind == Kind::String && pair[1].kind == Kind::Word && pair[0].end == pair[1].start
    });
    if touches {
        return Habit::help("write `\\\"` for a quote in a string, or a block: `\"\"\"…\"\"\"`");
    }
    None
}

/// `'echo hi'`
pub(super) fn single_quotes(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('\'')?;
    let message = "strings are written in double quotes";
    let Some((inner, _)) = inner.split_once('\'') else {
        return Habit::at(place.at..place.at + 1, message, "write `\"…\"`");
    };
    let help = match quoted(inner) {
        Some(quoted) => format!("write `{quoted}`"),
        None => "write `\"…\"`, or a block, in which quotes stand for themselves: `\"\"\"…\"\"\"`"
            .to_owned(),
    };
    Habit::at(place.at..place.at + inner.len() + 2, message, help)
}

/// `// …` and `/* … */`
pub(super) fn other_comment(place: &Place<'_>) -> Option<Habit> {
    let rest = place.rest();
    if !(rest.starts_with("//") || rest.starts_with("/*")) {
        return None;
    }
    let message = format!("`{}` is not expected here", rest.cut(..2));
    Habit::at(place.at..place.at + 2, message, "a comment begins with `#`")
}

/// `image = $tag`
pub(super) fn reference_outside_of_a_string(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('$')?;
    let name = match inner.strip_prefix('{') {
        Some(inner) => inner.split('}').next()?,
        None => inner
            .split(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .next()?,
    };
    let is_reference =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('.').all(is_identifier);
    if is_reference {
        return Habit::help(format!(
            "write `{name}`: outside of a string a name stands for its value"
        ));
    }
    Habit::help("put it into a string: \"${…}\"")
}

/// `image = busybox:1.36`, `import python.kon`, `schedule 0 2 * * *`
pub(super) fn string_without_quotes(place: &Place<'_>) -> Option<Habit> {
    let start = start_of_string(place)?;
    let is_schedule = place.last(0) == Some("schedule");
    let ends = |c: char| match is_schedule {
        true => "{}\n#".contains(c),
        false => c.is_whitespace() || ",;{}[]()".contains(c),
    };
    let raw = place
        .text
        .cut(start..)
        .split(ends)
        .next()
        .unwrap_or_default();
    let raw = raw.trim_end();
    let quoted = quoted(raw).filter(|_| raw.len() > 1)?;
    let (message, help) = (
        format!("`{raw}` has no quotes"),
        format!("write `{quoted}`"),
    );
    Habit::at(start..start + raw.len(), message, help)
}

/// `run = echo hello world`
pub(super) fn words_without_quotes(place: &Place<'_>) -> Option<Habit> {
    const KEYS: [&str; 5] = ["command", "description", "exec", "run", "script"];
    if !place.wants(Rule::open) || place.wants_clause() {
        return None;
    }
    let sign = place
        .before
        .iter()
        .rposition(|token| token.text(place.text) == "=")?;
    let key = place.before.get(sign.checked_sub(1)?)?.text(place.text);
    let first = place
        .before
        .get(sign + 1)
        .filter(|token| token.kind == Kind::Word)?;
    if !KEYS.contains(&key) {
        return None;
    }
    let line = place
        .text
        .get(first.start..)?
        .split(['\n', '}', '#'])
        .next()?
        .trim_end();
    let help = match quoted(line) {
        Some(quoted) => format!("write `{quoted}`"),
        None => "write a text in quotes, or as a block: `\"\"\"…\"\"\"`".to_owned(),
    };
    let message = "this text has no quotes";
    Habit::at(first.start..first.start + line.len(), message, help)
}

/// Where a string begins that has no quotes: here, or where a name or number begins that it seemed to
/// be.
fn start_of_string(place: &Place<'_>) -> Option<usize> {
    if place.wants(Rule::string) && !place.wants(Rule::list) && !place.wants_name() {
        return Some(place.at);
    }
    let no_sign = |c: char| c.is_alphanumeric() || "\"'{}[](),;=<>&|!".contains(c);
    if place.found.contains(no_sign) {
        return None;
    }
    if place.wants(Rule::list) {
        return Some(place.at);
    }
    let before = place.text.cut(..place.at);
    let ends = |c: char| c.is_whitespace() || "=[,".contains(c);
    let start = before.len() - before.rsplit(ends).next()?.len();
    let is_value = match before.cut(..start).trim_end().chars().next_back()? {
        '=' | '[' => true,
        ',' => place.is_in_a_list(),
        _ => false,
    };
    (is_value && start < place.at).then_some(start)
}

/// `image = , …`
pub(super) fn no_value(place: &Place<'_>) -> Option<Habit> {
    if matches!(place.found, "," | "}" | "=") && place.last(0) == Some("=") {
        let key = place.last(1)?;
        return Habit::help(format!("write a value after `{key} =`, or remove it"));
    }
    None
}

/// A text in quotes, to be typed; `None` where it is too long to repeat, or has some of its own.
pub(super) fn quoted(text: &str) -> Option<String> {
    let fits = text.chars().count() <= SHOWN_MAX && !text.contains(['"', '\\', '\n']);
    (fits && !text.is_empty()).then(|| format!("\"{text}\""))
}
