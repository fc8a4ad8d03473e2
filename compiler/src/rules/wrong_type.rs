//! K0301: a value of the wrong type.

use konductor_dsl::{Code, Diagnostic, Span, ast};

use super::listed;
use crate::value::Type;

/// A value of type `found` where one of type `wished` is wanted.
pub(crate) fn report(span: Span, wished: &Type, found: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {wished}, found {found}"),
    )
    .here(format!("this is of type {found}"))
    .help(format!("write {}", example(wished)))
}

/// A text where another type is wanted.
pub(crate) fn text(span: Span, wished: &Type, written: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {wished}, found a text"),
    )
    .here(format!("expected {wished}"));
    match written {
        Some(written) if wished.is_scalar() && wished.read_text(written).is_ok() => {
            diagnostic.help(format!("write `{written}` without quotes"))
        }
        _ => diagnostic.help(format!("write {}", example(wished))),
    }
}

/// A number where another type is wanted, or one that this type does not have.
pub(crate) fn number(number: &ast::Number, wished: &Type) -> Diagnostic {
    let text = &number.text;
    let message = match wished {
        Type::Int(_) | Type::Number | Type::Duration | Type::Quantity => {
            format!("`{text}` is not {}", a(wished))
        }
        _ => format!("expected {wished}, found the number `{text}`"),
    };
    let help = match wished {
        Type::String => format!("put it in quotes: \"{text}\""),
        // A bare `int` may have been declared because nobody knew better.
        Type::Int(None) if Type::Number.read_text(text).is_ok() => {
            "write a whole number, or declare the type as `number`".to_owned()
        }
        Type::Duration if text.parse::<u64>().is_ok() => {
            format!("say of what: `{text}s`, `{text}m` or `{text}h`")
        }
        _ => format!("write {}", example(wished)),
    };
    Diagnostic::error(Code::K0301, number.span, message).help(help)
}

/// A list where a single value is wanted.
pub(crate) fn list(span: Span, wished: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {wished}, found a list"),
    )
    .help(format!("write {}", example(wished)))
}

/// A `{…}` where a value is wanted.
pub(crate) fn map(span: Span, wished: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {wished}, found `{{…}}`"),
    )
    .help(format!("write {}", example(wished)))
}

/// A value where `{…}` is wanted.
pub(crate) fn no_map(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0301, span, "expected `{…}`")
        .help("write the entries in braces: `{ NAME = \"value\" }`")
}

/// A single value where a list is wanted.
pub(crate) fn no_list(span: Span, found: &Type) -> Diagnostic {
    Diagnostic::error(Code::K0301, span, format!("expected a list, found {found}"))
        .here(format!("this is of type {found}"))
        .help("use a parameter of type `list<…>`, a list `[\"a\", \"b\"]` or a range `0..<n`")
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
pub(crate) fn word(span: Span, words: &[&str]) -> Diagnostic {
    Diagnostic::error(
        Code::K0301,
        span,
        format!("expected {}", listed(words, "or")),
    )
    .help(format!("write {}", listed(words, "or")))
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
    }
}
