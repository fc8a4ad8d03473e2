//! K0304: a type that does not exist or is not allowed here.

use konductor_dsl::{Code, Diagnostic, Edit, Span, ast, did_you_mean};

use crate::limits::FIELDS_MAX;
use crate::value::Type;

const TYPES: [&str; 6] = ["string", "int", "number", "bool", "duration", "quantity"];

/// A word that is no type.
pub(crate) fn unknown(name: &ast::Name) -> Diagnostic {
    let message = format!("`{}` is not a type", name.text);
    let diagnostic = Diagnostic::error(Code::K0304, name.span, message);
    let habit = match name.text.to_lowercase().as_str() {
        "integer" | "int32" | "int64" | "uint" | "long" => Some("write `int`"),
        "float" | "double" | "decimal" | "real" | "float32" | "float64" => Some("write `number`"),
        "str" | "text" => Some("write `string`"),
        "boolean" => Some("write `bool`"),
        "time" | "timeout" => Some("write `duration`"),
        "bytes" | "size" | "memory" => Some("write `quantity`"),
        "enum" | "choice" | "oneof" => Some("list the words: `\"a\" | \"b\"`"),
        "array" | "list" | "strings" | "set" => Some("write `list<string>`"),
        "path" | "files" | "artifact" | "directory" | "folder" => {
            Some("write `file` or `dir` for what a stage hands on, or `string` for a path")
        }
        "map" | "object" | "record" | "struct" => {
            Some("list the fields: `{name: string, size: int}`")
        }
        _ => None,
    };
    if let Some(help) = habit {
        let word = help
            .strip_prefix("write `")
            .and_then(|rest| rest.strip_suffix('`'));
        return match word {
            Some(word) => diagnostic.fixed(help, [Edit::replace(name.span, word)]),
            None => diagnostic.help(help),
        };
    }
    match did_you_mean(&name.text, TYPES) {
        Some(near) => diagnostic.fixed(format!("write `{near}`"), [Edit::replace(name.span, near)]),
        None => diagnostic.help(
            "use `string`, `int`, `number`, `bool`, `duration`, `quantity`, `\"a\" | \"b\"`, `list<…>` or `{field: …}`",
        ),
    }
}

/// A file where only values can be.
pub(crate) fn file_is_no_value(name: &ast::Name) -> Diagnostic {
    let message = format!("`{}` is a type of outputs only", name.text);
    Diagnostic::error(Code::K0304, name.span, message)
        .here("a file can't be given, and is no part of a list or record")
        .help(format!(
            "let a stage hand it on with `output NAME: {}`, or use `string` for a path",
            name.text
        ))
}

/// A file whose name is not fixed, or can't be one.
pub(crate) fn file_name(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0304, span, "this can't be the name of a file")
        .here("letters, digits, `.`, `_` and `-`, at most 100 of them")
        .help("write a plain name, such as `\"lines.txt\"`, or leave it out")
}

/// A word of a choice that was there before.
pub(crate) fn repeated_word(span: Span, word: &str) -> Diagnostic {
    Diagnostic::error(Code::K0304, span, format!("{word:?} is listed twice")).help("remove it")
}

/// A word of a choice that is not fixed.
pub(crate) fn interpolated_word(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0304, span, "a type's words are fixed")
        .help("write the word without `${…}`")
}

/// A list of lists.
pub(crate) fn nested_list(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0304,
        span,
        "a list's elements are scalars or records",
    )
    .help("use `list<string>`, or two variables: `for a in …, b in …`")
}

/// Bounds of something that has none.
pub(crate) fn range_of_no_int(span: Span, ty: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0304,
        span,
        format!("only an int has bounds, not a {ty}"),
    )
    .help("remove `in …`")
}

/// Bounds between which there is nothing.
pub(crate) fn empty_range(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0304, span, "there is no number between these bounds")
        .help("write the smaller one first, such as `1..10`")
}

/// A record in a record.
pub(crate) fn field_is_no_scalar(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0304, span, "a record's fields are scalars")
        .help("use `string`, `int`, `number`, `bool`, `duration`, `quantity` or `\"a\" | \"b\"`")
}

/// A record, or a template, with too many of them.
pub(crate) fn too_many_fields(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0304,
        span,
        format!("more than {FIELDS_MAX} fields or parameters"),
    )
    .help("keep what belongs together in a file, and pass its path")
}

/// A record that a stage hands on.
pub(crate) fn output_is_a_record(span: Span, ty: &Type) -> Diagnostic {
    Diagnostic::error(
        Code::K0304,
        span,
        format!("an output can't be of type {ty}"),
    )
    .here("an output is one value, or a list")
    .help(format!(
        "declare an output for each field, or write `list<{ty}>`"
    ))
}

/// A default of a field in the records that a stage hands on.
pub(crate) fn field_of_output_with_default(field: &ast::Param) -> Diagnostic {
    let message = format!("the field `{}` of an output has a default", field.name.text);
    Diagnostic::error(Code::K0304, field.span, message)
        .here("only the fields of parameters have defaults")
        .help("remove it, and let the script write the field in each record")
}
