//! Slips of strings, values and comments.

use konductor_grammar::Rule;

use super::{Habit, NAMED_WORDS, Place};
use crate::cut::Cut;
use crate::name::is_identifier;
use crate::token::Kind;

/// How many characters are repeated to say what to type.
const SHOWN_MAX: usize = 60;

pub(super) fn end_of_file(place: &Place<'_>) -> Option<Habit> {
    if place.token.is_empty() {
        let before = place.text.cut(..place.at).trim_end();
        let last = before.rsplit(char::is_whitespace).next();
        if let Some(word) = last.filter(|last| NAMED_WORDS.contains(last)) {
            return Habit::help(format!("give it a name: `{word} NAME`"));
        }
        return Habit::help("close what is open with `}`");
    }
    None
}

/// `"say "hello" to all"`
pub(super) fn quote_in_a_string(place: &Place<'_>) -> Option<Habit> {
    let touches = place.before.windows(2).any(|pair| {
        pair[0].kind == Kind::String && pair[1].kind == Kind::Word && pair[0].end == pair[1].start
    });
    let before = place.text.cut(..place.at);
    let word = before.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if word.len() < before.len() && word.ends_with("\"\"\"") {
        return Habit::help(
            "a block ends at the next `\"\"\"`: write other quotes within it, or put the text into a file of the image",
        );
    }
    if touches {
        return Habit::help("write `\\\"` for a quote in a string, or a block: `\"\"\"…\"\"\"`");
    }
    None
}

/// `'echo hi'`
pub(super) fn single_quotes(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('\'')?;
    let message = "strings are written in double quotes";
    let Some((inner, rest)) = inner.split_once('\'') else {
        return Habit::at(place.at..place.at + 1, message, "write `\"…\"`");
    };
    if rest.starts_with('\'') && !inner.is_empty() {
        let at = place.at..place.at + inner.len() + 2;
        return Habit::at(at, message, "write `\"…\"`, in which `'` stands for itself");
    }
    let at = place.at..place.at + inner.len() + 2;
    match quoted(inner) {
        Some(quoted) => {
            Habit::at(at.clone(), message, format!("write `{quoted}`"))?.writing(at, quoted)
        }
        None => Habit::at(
            at,
            message,
            "write `\"…\"`, or a block, in which quotes stand for themselves: `\"\"\"…\"\"\"`",
        ),
    }
}

/// `// …` and `/* … */`
pub(super) fn other_comment(place: &Place<'_>) -> Option<Habit> {
    let rest = place.rest();
    if !(rest.starts_with("//") || rest.starts_with("/*")) {
        return None;
    }
    let message = format!("`{}` is not expected here", rest.cut(..2));
    let at = place.at..place.at + 2;
    let habit = Habit::at(at.clone(), message, "a comment begins with `#`")?;
    match rest.starts_with("//") {
        true => habit.writing(at, "#"),
        false => Some(habit),
    }
}

/// `run = f"echo {day}"`, `run = r"\d"`
pub(super) fn prefix_of_a_string(place: &Place<'_>) -> Option<Habit> {
    // The string may have been read as a key.
    let window = place.before.windows(3).find(|three| {
        let is_prefix = three[1].kind == Kind::Word && three[1].end - three[1].start <= 2;
        let touches = three[2].kind == Kind::String && three[1].end == three[2].start;
        is_prefix && touches && matches!(three[0].text(place.text), "=" | "," | "[")
    })?;
    let prefix = &window[1];
    let word = prefix.text(place.text);
    let message = format!("a string has no `{word}` in front");
    let at = prefix.start..prefix.end;
    let string = window[2].text(place.text);
    if word.eq_ignore_ascii_case("f") {
        let whole = prefix.start..window[2].end;
        return match of_format_string(string) {
            Some(text) if text == string => {
                Habit::at(at.clone(), message, "remove it")?.writing(at, "")
            }
            Some(text) if text.len() <= SHOWN_MAX => {
                Habit::at(at, message, format!("write `{text}`"))?.writing(whole, text)
            }
            _ => Habit::at(at, message, "remove it, and write each value as `${name}`"),
        };
    }
    match word {
        // What its backslashes mean changes.
        "r" => Habit::at(
            at,
            message,
            "remove it; a block `\"\"\"…\"\"\"` has no escapes",
        ),
        _ => Habit::at(at.clone(), message, "remove it")?.writing(at, ""),
    }
}

/// A string with `{name}` in it as it is written here, `${name}`; `None` if anything else stands in braces.
fn of_format_string(string: &str) -> Option<String> {
    let mut written = String::with_capacity(string.len() + 8);
    let mut rest = string;
    while let Some(at) = rest.find(['{', '}']) {
        written.push_str(rest.cut(..at));
        let tail = rest.cut(at..);
        if written.ends_with('$') && tail.starts_with('{') {
            let end = tail.find('}')? + 1;
            written.push_str(tail.cut(..end));
            rest = tail.cut(end..);
            continue;
        }
        if let Some(double) = ["{{", "}}"].into_iter().find(|two| tail.starts_with(two)) {
            written.push_str(double.cut(1..));
            rest = tail.cut(2..);
            continue;
        }
        let (name, after) = tail.strip_prefix('{')?.split_once('}')?;
        let is_name = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.split('.').all(is_identifier);
        if !is_name {
            return None;
        }
        written.push_str(&format!("${{{name}}}"));
        rest = after;
    }
    written.push_str(rest);
    Some(written)
}

/// `run = "make" && "make test"`
pub(super) fn joined_commands(place: &Place<'_>) -> Option<Habit> {
    if place.token == ";" && place.next().nth(1) == Some("=") {
        return Habit::replace(
            place.here(),
            "",
            "remove it: a newline or a comma is enough",
        );
    }
    let is_sign = matches!(place.token, "&" | "|" | ";" | "<" | ">");
    let joins = place.next().any(|next| next.starts_with('"'));
    let first = place.last(0).filter(|first| first.starts_with('"'))?;
    if is_sign && joins && place.last(1) == Some("=") {
        let first = first.trim_matches('"');
        return Habit::help(match first.len() <= SHOWN_MAX && place.token == "&" {
            true => format!("write one script: `\"{first} && …\"`"),
            false => "write one script, in one string".to_owned(),
        });
    }
    None
}

/// `image = $tag`
pub(super) fn reference_outside_of_a_string(place: &Place<'_>) -> Option<Habit> {
    let inner = place.rest().strip_prefix('$')?;
    if inner.starts_with('(') {
        return Habit::help("a value is not computed: write `$(…)` into `run`, for the shell");
    }
    if let Some(inner) = inner.strip_prefix("{{") {
        let name = inner.split("}}").next()?.trim();
        return Habit::help(match name.strip_prefix("secrets.") {
            Some(key) => format!("write `secret(\"NAME\", \"{key}\")`"),
            None => format!(
                "write `{}`, without `${{{{` and `}}}}`",
                name.rsplit('.').next()?
            ),
        });
    }
    let name = match inner.strip_prefix('{') {
        Some(inner) => inner.split('}').next()?,
        None => inner
            .split(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
            .next()?,
    };
    let is_reference =
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.split('.').all(is_identifier);
    if is_reference {
        let length = match inner.starts_with('{') {
            true => name.len() + "${}".len(),
            false => name.len() + "$".len(),
        };
        return Habit::replace(
            place.at..place.at + length,
            name,
            format!("write `{name}`: outside of a string a name stands for its value"),
        );
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
    if let Some(help) = number_of_another_shape(raw) {
        let message = format!("`{raw}` is no number here");
        return Habit::at(start..start + raw.len(), message, help);
    }
    if let Some(number) = number_without_a_zero(raw) {
        let at = start..start + raw.len();
        let message = format!("`{raw}` is no number here");
        let help = format!("write `{number}`");
        return Habit::at(at.clone(), message, help)?.writing(at, number);
    }
    let is_word = raw.len() > 1 || raw.starts_with(char::is_alphanumeric);
    let quoted = quoted(raw).filter(|_| is_word)?;
    let at = start..start + raw.len();
    let help = format!("write `{quoted}`");
    Habit::at(at.clone(), format!("`{raw}` has no quotes"), help)?.writing(at, quoted)
}

/// `.95`, `-.5`
fn number_without_a_zero(raw: &str) -> Option<String> {
    let (sign, number) = match raw.strip_prefix('-') {
        Some(number) => ("-", number),
        None => ("", raw),
    };
    let digits = number.strip_prefix('.')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| format!("{sign}0.{digits}"))
}

/// `+3`, `50%`, `1:30:00`, `1/2`, `1,5`, `[0..3]`
fn number_of_another_shape(raw: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if let Some(number) = raw.strip_prefix('+').filter(|number| is_number(number)) {
        return Some(format!("write `{number}`"));
    }
    if raw.strip_suffix('%').is_some_and(is_number) {
        return Some(
            "there are no percentages: write a number, or an amount such as `500m`".into(),
        );
    }
    if let Some((first, last)) = raw.split_once("..")
        && is_number(first)
        && is_number(last)
    {
        return Some(format!("write `{raw}`, without brackets"));
    }
    if let Some((first, second)) = raw.split_once('/')
        && is_number(first)
        && is_number(second)
    {
        return Some("there are no fractions: write a decimal number, such as `0.5`".to_owned());
    }
    let parts: Vec<&str> = raw.split(':').collect();
    let is_time = (2..=3).contains(&parts.len()) && parts.iter().all(|part| is_number(part));
    is_time.then(|| {
        let units = ["h", "m", "s"];
        let shown = parts.iter().zip(units);
        let shown = shown.filter(|(part, _)| part.bytes().any(|b| b != b'0'));
        let shown = shown.map(|(part, unit)| format!("{}{unit}", part.trim_start_matches('0')));
        let time: String = shown.collect();
        format!("write `{time}` for a duration, or put it in quotes")
    })
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
        .next()?;
    let line = before_attribute(line).trim_end();
    let message = "this text has no quotes";
    let at = first.start..first.start + line.len();
    match quoted(line) {
        Some(quoted) => {
            Habit::at(at.clone(), message, format!("write `{quoted}`"))?.writing(at, quoted)
        }
        None => Habit::at(
            at,
            message,
            "write a text in quotes, or as a block: `\"\"\"…\"\"\"`",
        ),
    }
}

/// The part of a line in front of another attribute or block: `make all` of `make all retries = 3`.
fn before_attribute(line: &str) -> &str {
    for (at, _) in line.match_indices(['=', '{']) {
        let before = line.cut(..at);
        let is_sign = before.ends_with(' ') && !line.cut(at..).starts_with("==");
        if let Some((front, name)) = before.trim_end().rsplit_once(char::is_whitespace)
            && is_sign
            && is_identifier(name)
        {
            return front;
        }
    }
    line
}

/// Where a string begins that has no quotes: here, or where a name or number begins that it seemed to
/// be.
fn start_of_string(place: &Place<'_>) -> Option<usize> {
    if place.wants(Rule::string) && !place.wants(Rule::list) && !place.wants_name() {
        return Some(place.at);
    }
    let no_sign = |c: char| c.is_alphanumeric() || "\"'{}[](),;=<>&|!".contains(c);
    if place.token.contains(no_sign) {
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
    if matches!(place.token, "," | "}" | "=") && place.last(0) == Some("=") {
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
