//! K0301: a value of the wrong type.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast, did_you_mean};

use super::listed;
use crate::value::Type;

/// A value of type `actual` where one of type `expected` is needed.
pub(crate) fn report(span: Span, expected: &Type, actual: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {expected}, found {actual}"),
    )
    .here(format!("this is of type {actual}"))
    .help(format!("write {}", example(expected)))
}

/// A text where another type is wanted.
pub(crate) fn text(span: Span, expected: &Type, written: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {expected}, found a text"),
    )
    .here(format!("expected {expected}"));
    match written {
        Some(written) if expected.is_scalar() && expected.read_text(written).is_ok() => diagnostic
            .fixed(
                format!("write `{written}` without quotes"),
                [Edit::replace(span, written)],
            ),
        _ => diagnostic.help(format!("write {}", example(expected))),
    }
}

/// Whether a number is written as other languages write octal ones, or texts such as months.
pub(crate) fn has_leading_zero(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let rest = digits.strip_prefix('0');
    rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// A number where another type is wanted, or one that this type does not have.
pub(crate) fn number(number: &ast::Number, expected: &Type) -> Diagnostic {
    let text = &number.text;
    let is_number = matches!(expected, Type::Int(_) | Type::Number);
    if is_number && has_leading_zero(text) {
        let message = format!("`{text}` begins with a zero that means nothing");
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", text.as_str()),
        };
        let digits = digits.trim_start_matches('0');
        let zero = if digits.starts_with(|c: char| c.is_ascii_digit()) {
            ""
        } else {
            "0"
        };
        let help = format!("write `{sign}{zero}{digits}`; with the zero it is a text: \"{text}\"");
        return Diagnostic::error(Code::K0301, number.span, message).help(help);
    }
    let message = match expected {
        Type::Int(_) | Type::Number | Type::Duration | Type::Quantity => {
            format!("`{text}` is not {}", a(expected))
        }
        _ => format!("expected {expected}, found the number `{text}`"),
    };
    let diagnostic = Diagnostic::error(Code::K0301, number.span, message);
    if let Some(most) = most(text, expected) {
        let mut large = diagnostic.help(most);
        large.message = format!("`{text}` is too large");
        return large;
    }
    let replace = |text: &str| [Edit::replace(number.span, text)];
    let help = match expected {
        Type::String => {
            let quoted = format!("\"{text}\"");
            return diagnostic.fixed(format!("put it in quotes: {quoted}"), replace(&quoted));
        }
        // A bare `int` may have been declared because nobody knew better.
        Type::Int(None) if Type::Number.read_text(text).is_ok() => {
            "write a whole number, or declare the type as `number`".to_owned()
        }
        Type::Duration if text.parse::<u64>() == Ok(0) => {
            "write a number with a unit, such as `30s`, or remove it".to_owned()
        }
        Type::Duration if text.parse::<u64>().is_ok() => {
            let help = format!("add a unit: `{text}s`, `{text}m` or `{text}h`");
            let units = ["s", "m", "h"].map(|unit| format!("{text}{unit}"));
            return units
                .iter()
                .fold(diagnostic.help(help), |diagnostic, written| {
                    diagnostic.fix(format!("write `{written}`"), replace(written))
                });
        }
        Type::Duration => match duration_of_another_spelling(text) {
            Some(duration) => {
                let fix = replace(&duration);
                return diagnostic.fixed(format!("write `{duration}`"), fix);
            }
            None => format!("write {}", example(expected)),
        },
        Type::Quantity => match quantity_of_another_spelling(text) {
            Some((binary, decimal)) => {
                return diagnostic
                    .help(format!("write `{binary}`, or `{decimal}`"))
                    .fix(format!("write `{binary}`"), replace(&binary))
                    .fix(format!("write `{decimal}`"), replace(&decimal));
            }
            None => format!("write {}", example(expected)),
        },
        _ => format!("write {}", example(expected)),
    };
    diagnostic.help(help)
}

/// What to write for a number that is written as it should be, and too large.
fn most(text: &str, expected: &Type) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.strip_suffix(unit)?;
    match expected {
        Type::Int(_) if unit.is_empty() && !digits.is_empty() && digits.parse::<i64>().is_err() => {
            Some(format!("write at most {}", i64::MAX))
        }
        Type::Duration if matches!(unit, "s" | "m" | "h" | "d") && !digits.is_empty() => {
            Some("write a shorter duration, such as `24h` or `30d`".to_owned())
        }
        _ => None,
    }
}

/// A list where a single value is wanted.
pub(crate) fn list(span: Span, expected: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {expected}, found a list"),
    )
    .help(format!("write {}", example(expected)))
}

/// A `{…}` where a value is wanted.
pub(crate) fn map(span: Span, expected: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {expected}, found `{{…}}`"),
    )
    .help(format!("write {}", example(expected)))
}

/// A value where `{…}` is wanted, with these entries.
pub(crate) fn no_map(span: Span, entries: &str) -> Diagnostic {
    Diagnostic::error(Code::K0301, span, "expected `{…}`")
        .help(format!("write the entries in braces: `{{ {entries} }}`"))
}

/// A single value where a list is wanted.
pub(crate) fn no_list(span: Span, ty: &Type) -> Diagnostic {
    Diagnostic::error(Code::K0301, span, format!("expected a list, found {ty}"))
        .here(format!("this is of type {ty}"))
        .help("use a parameter of type `list<…>`, a list `[\"a\", \"b\"]` or a range `0..<n`")
}

/// A loop over an output that is no list.
pub(crate) fn no_list_of(reference: &ast::Ref, output: &str, ty: &Type) -> Diagnostic {
    let stage = &reference.head.text;
    let item = match ty {
        Type::File | Type::Dir => "string".to_owned(),
        other => other.to_string(),
    };
    let diagnostic = no_list(reference.span, ty);
    diagnostic.help(format!(
        "let `{stage}` write a list: declare `output {output}: list<{item}>`"
    ))
}

/// A script that is no text.
pub(crate) fn script(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0301, span, "`run` takes the text of a script")
        .help("write `run = \"…\"`, or `exec = [\"program\", \"argument\"]` for a program without a shell")
}

/// A command line that is no list of texts.
pub(crate) fn exec(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        "`exec` takes a program and its arguments as a list",
    )
    .help("write `exec = [\"program\", \"argument\"]`, or `run = \"…\"` for a script")
}

/// Something that is no list of tolerations.
pub(crate) fn tolerations(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0301, span, "expected a list of tolerations")
        .help("write `tolerations = [{key = \"gpu\", operator = Exists, effect = NoSchedule}]`")
}

/// Something that is none of an attribute's words.
pub(crate) fn word(span: Span, words: &[&str], written: Option<&str>) -> Diagnostic {
    let message = format!("expected {}", listed(words, "or"));
    let diagnostic = Diagnostic::error(Code::K0301, span, message);
    let meant = match written.map(str::to_ascii_lowercase).as_deref() {
        Some("forbid" | "queue" | "wait") => Some("skip"),
        Some("cancel" | "cancelolder") => Some("replace"),
        Some("readwritemany" | "readonlymany" | "rwx") => Some("many"),
        Some("readwriteonce" | "rwo") => Some("one"),
        Some(written) => did_you_mean(written, words.iter().copied()),
        None => None,
    };
    match meant.filter(|meant| words.contains(meant)) {
        Some(meant) => diagnostic.fixed(format!("write `{meant}`"), [Edit::replace(span, meant)]),
        None => diagnostic.help(format!("write {}", listed(words, "or"))),
    }
}

/// A condition in quotes.
pub(crate) fn condition_in_quotes(span: Span, written: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::K0301, span, "expected a condition, found a text");
    let plain = written.filter(|text| text.len() <= 60 && !text.contains(['"', '\n']));
    match plain {
        Some(plain) => {
            let plain = plain.replace('\'', "\"");
            let fix = Edit::replace(span, plain.as_str());
            diagnostic.fixed(format!("write it without quotes: `{plain}`"), [fix])
        }
        None => diagnostic.help("write it without quotes, as in `n > 3 && mode == \"full\"`"),
    }
}

/// A value that is no condition by itself.
pub(crate) fn no_condition(reference: &ast::Ref, ty: &Type) -> Diagnostic {
    let with = match ty {
        Type::Int(_) | Type::Number => "`> 0`".to_owned(),
        Type::List(_) => "a text that is `in` it".to_owned(),
        Type::Words(words) => format!("`== \"{}\"`", words.first().map_or("…", String::as_str)),
        _ => "`== \"…\"`".to_owned(),
    };
    let message = format!("expected a condition, found {ty}");
    Diagnostic::error(Code::K0301, reference.span, message)
        .here(format!("this is of type {ty}"))
        .help(format!("compare it, such as with {with}"))
}

/// `30min`, `1.5h`, `2w` as they are written here.
fn duration_of_another_spelling(text: &str) -> Option<String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => 1,
        "m" | "min" | "mins" | "minute" | "minutes" => 60,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600,
        "d" | "day" | "days" => 86_400,
        "w" | "week" | "weeks" => 604_800,
        _ => return None,
    };
    let seconds = number * f64::from(seconds);
    if !(1.0..1e9).contains(&seconds) || seconds.fract() != 0.0 {
        return None;
    }
    let mut rest = format!("{seconds:.0}").parse::<u64>().ok()?;
    let mut written = String::new();
    for (length, unit) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= length {
            written.push_str(&format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    Some(written)
}

/// `2GB` and `2g` as they are written here: by 1,024, and by 1,000.
fn quantity_of_another_spelling(text: &str) -> Option<(String, String)> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let number = text
        .strip_suffix(unit)
        .filter(|number| !number.is_empty())?;
    let first = unit.to_ascii_lowercase();
    let first = first.trim_end_matches('b').trim_end_matches('i');
    let (binary, decimal) = match first {
        "k" => ("Ki", "k"),
        "m" => ("Mi", "M"),
        "g" => ("Gi", "G"),
        "t" => ("Ti", "T"),
        _ => return None,
    };
    Some((format!("{number}{binary}"), format!("{number}{decimal}")))
}

fn a(ty: &Type) -> String {
    match ty {
        Type::Int(_) => "a whole number".to_owned(),
        Type::Number => "a decimal number".to_owned(),
        Type::Duration => "a duration".to_owned(),
        Type::Quantity => "a quantity".to_owned(),
        other => format!("of type {other}"),
    }
}

/// What a value of a type looks like.
pub(crate) fn example(ty: &Type) -> String {
    match ty {
        Type::String => "a text in quotes".to_owned(),
        Type::Int(None) => "a whole number, such as `3`".to_owned(),
        Type::Int(Some(range)) => {
            format!("a whole number from {} to {}", range.start(), range.end())
        }
        Type::Number => "a number, such as `3` or `0.95`".to_owned(),
        Type::Bool => "`true` or `false`".to_owned(),
        Type::Duration => "a number with a unit, such as `30s`, `1h30m` or `2d`".to_owned(),
        Type::Quantity => "a quantity, such as `500m` or `1Gi`".to_owned(),
        Type::Words(_) => format!("one of {ty}").replace(" | ", ", "),
        Type::List(_) => "a list in brackets".to_owned(),
        Type::Record(_) => format!("the fields of {ty} in braces"),
        Type::File | Type::Dir => format!("the output of a stage of type {ty}"),
    }
}
