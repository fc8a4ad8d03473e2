//! What a Job promises to hand on, as its annotation writes it: `rows: int in 0..9, mode?: full|delta`.

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;

use crate::Duration;
use crate::number::{parse_int, parse_number, parse_quantity};

/// One entry of the annotation [`crate::annotation::OUTPUTS_DECLARED`].
///
/// `name: type` must be written, and `name?: type` may be left out. A bare `name` promises nothing: it
/// may be left out, and may be any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredOutput {
    /// The name, as in the line `name=value`.
    pub name: String,
    /// What its value must look like; `None` for a bare name.
    pub ty: Option<OutputType>,
    /// It may be left out: whoever reads it has a default.
    pub optional: bool,
}

/// The type of an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputType {
    /// Any text.
    String,
    /// A whole number, perhaps within bounds.
    Int(Option<RangeInclusive<i64>>),
    /// A decimal number, such as `0.95` or `9.1e-05`.
    Number,
    /// `true` or `false`.
    Bool,
    /// Such as `1h30m`.
    Duration,
    /// Such as `500m` or `1Gi`.
    Quantity,
    /// One of these words.
    Words(Vec<String>),
    /// Several of one type, as JSON on one line. The type is a scalar or a record.
    List(Box<OutputType>),
    /// Named scalars, in a list.
    Record(Vec<OutputField>),
}

/// A field of the records of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputField {
    /// Its name.
    pub name: String,
    /// Its type, a scalar.
    pub ty: OutputType,
}

/// An annotation that can't be read as outputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{entry:?} is not an output: write NAME: TYPE, with ? behind the name if it may be left out"
)]
pub struct OutputError {
    /// What could not be read, shortened.
    pub entry: String,
}

/// The words that stand for types. As words of a choice they are written in quotes.
const TYPE_WORDS: [&str; 6] = ["string", "int", "number", "bool", "duration", "quantity"];
/// Characters of a text that a message repeats.
const SHOWN_MAX: usize = 40;

impl OutputType {
    /// Whether a value is of this type, to the letter: a blank or a capital more is another value.
    pub fn admits(&self, value: &str) -> bool {
        match self {
            Self::String => true,
            Self::Int(range) => parse_int(value)
                .is_some_and(|int| range.as_ref().is_none_or(|range| range.contains(&int))),
            Self::Number => parse_number(value).is_ok(),
            Self::Bool => matches!(value, "true" | "false"),
            Self::Duration => Duration::new(value).is_ok(),
            Self::Quantity => parse_quantity(value).is_some(),
            Self::Words(words) => words.iter().any(|word| word == value),
            Self::List(item) => list_problem(item, value).is_none(),
            Self::Record(_) => false,
        }
    }

    /// Returns what is wrong with a value that is not of this type, or what to write instead, where that is not
    /// plain from the type.
    pub fn instead_of(&self, value: &str) -> Option<String> {
        match self {
            Self::Number => parse_number(value).err().map(|error| error.to_string()),
            Self::List(item) => list_problem(item, value),
            _ => None,
        }
    }

    /// Returns a value as an element of a JSON list: numbers, bools and lists as such, all else as a string.
    /// `None` if it is not of this type.
    pub fn json(&self, value: &str) -> Option<Value> {
        if !self.admits(value) {
            return None;
        }
        match self {
            Self::String | Self::Words(_) | Self::Duration | Self::Quantity => Some(value.into()),
            Self::Int(_) => parse_int(value).map(Value::from),
            // As it was written, where JSON would write it so too.
            Self::Number => serde_json::from_str(value)
                .ok()
                .or_else(|| parse_number(value).ok().map(Value::from)),
            Self::Bool => Some((value == "true").into()),
            Self::List(_) | Self::Record(_) => serde_json::from_str(value).ok(),
        }
    }

    /// Whether an element of a list is of this scalar type.
    fn admits_json(&self, json: &Value) -> bool {
        match (self, json) {
            (Self::String, Value::String(_)) | (Self::Bool, Value::Bool(_)) => true,
            (Self::Number, Value::Number(_)) => true,
            (Self::Int(_), Value::Number(number)) => {
                number.is_i64() && self.admits(&number.to_string())
            }
            (Self::Quantity, Value::Number(number)) => self.admits(&number.to_string()),
            (Self::Words(_) | Self::Duration | Self::Quantity, Value::String(text)) => {
                self.admits(text)
            }
            _ => false,
        }
    }

    /// What is wrong with one element of a list, if anything.
    fn element_problem(&self, json: &Value) -> Option<String> {
        let Self::Record(fields) = self else {
            return (!self.admits_json(json)).then(|| format!("is {}", shown(json)));
        };
        let Value::Object(members) = json else {
            return Some(format!("is {}, not a record", shown(json)));
        };
        let is_unknown = |name: &&String| fields.iter().all(|field| field.name != **name);
        if let Some(unknown) = members.keys().find(is_unknown) {
            return Some(format!(
                "has the field {}, which is unknown",
                shown_text(unknown)
            ));
        }
        fields
            .iter()
            .find_map(|field| match members.get(&field.name) {
                None => Some(format!("has no field {}", field.name)),
                Some(value) if !field.ty.admits_json(value) => Some(format!(
                    "has {}={}, not of type {}",
                    field.name,
                    shown(value),
                    field.ty
                )),
                Some(_) => None,
            })
    }
}

/// What is wrong with a text that should be a list, if anything.
fn list_problem(item: &OutputType, value: &str) -> Option<String> {
    let elements = match serde_json::from_str(value) {
        Ok(Value::Array(elements)) => elements,
        Ok(_) => return Some("it is not a JSON list: write it as in [1,2]".to_owned()),
        Err(error) if error.is_eof() => {
            return Some("its JSON ends too early: write all of it on one line".to_owned());
        }
        Err(error) => return Some(format!("it is not JSON at character {}", error.column())),
    };
    let mut problems = elements.iter().enumerate();
    problems.find_map(|(index, element)| {
        let problem = item.element_problem(element)?;
        Some(format!("element {} {problem}", index + 1))
    })
}

/// JSON, shortened.
fn shown(json: &Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A name, shortened, in quotes.
fn shown_text(text: &str) -> String {
    shown(&text.into())
}

impl fmt::Display for OutputType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => out.write_str("string"),
            Self::Int(None) => out.write_str("int"),
            Self::Int(Some(range)) => write!(out, "int in {}..{}", range.start(), range.end()),
            Self::Number => out.write_str("number"),
            Self::Bool => out.write_str("bool"),
            Self::Duration => out.write_str("duration"),
            Self::Quantity => out.write_str("quantity"),
            Self::Words(words) => {
                for (index, word) in words.iter().enumerate() {
                    let bar = if index == 0 { "" } else { "|" };
                    if is_plain_word(word) {
                        write!(out, "{bar}{word}")?;
                    } else {
                        write!(out, "{bar}{}", serde_json::json!(word))?;
                    }
                }
                Ok(())
            }
            Self::List(item) => write!(out, "list<{item}>"),
            Self::Record(fields) => {
                out.write_str("{")?;
                for (index, OutputField { name, ty }) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(out, "{comma}{name}: {ty}")?;
                }
                out.write_str("}")
            }
        }
    }
}

/// Whether a name has this character.
fn is_name(c: char) -> bool {
    !c.is_whitespace() && !c.is_control() && c != '='
}

fn is_plain_word(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !word.is_empty() && word.chars().all(plain) && !TYPE_WORDS.contains(&word)
}

impl fmt::Display for DeclaredOutput {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)?;
        match &self.ty {
            None => Ok(()),
            Some(ty) => write!(out, "{}: {ty}", if self.optional { "?" } else { "" }),
        }
    }
}

/// Writes the annotation `konductor.io/outputs-declared`; [`parse_declared_outputs`] reads it.
pub fn format_declared_outputs(outputs: &[DeclaredOutput]) -> String {
    let outputs: Vec<String> = outputs.iter().map(DeclaredOutput::to_string).collect();
    outputs.join(", ")
}

/// Reads the annotation `konductor.io/outputs-declared`.
///
/// # Errors
/// If an entry is malformed.
pub fn parse_declared_outputs(text: &str) -> Result<Vec<DeclaredOutput>, OutputError> {
    let mut cursor = Cursor { rest: text };
    let mut outputs = Vec::new();
    loop {
        cursor.skip_blanks();
        if cursor.rest.is_empty() {
            return Ok(outputs);
        }
        if cursor.take(',') {
            continue;
        }
        let entry = cursor.rest;
        let output = cursor.output().ok_or_else(|| OutputError {
            entry: entry.chars().take(SHOWN_MAX).collect(),
        })?;
        outputs.push(output);
    }
}

/// What is left of the annotation.
struct Cursor<'t> {
    rest: &'t str,
}

impl<'t> Cursor<'t> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn take(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What comes before one of these characters.
    fn until(&mut self, ends: &[char]) -> &'t str {
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken.trim()
    }

    fn output(&mut self) -> Option<DeclaredOutput> {
        let name = self.until(&[',', ':', '?', '|', '"']);
        if name.is_empty() || !name.chars().all(is_name) {
            return None;
        }
        let optional = self.take('?');
        self.skip_blanks();
        let ty = match self.take(':') {
            true => Some(self.ty()?),
            false if optional => return None,
            false => None,
        };
        self.skip_blanks();
        let ends = self.rest.is_empty() || self.take(',');
        ends.then(|| DeclaredOutput {
            name: name.to_owned(),
            optional: optional || ty.is_none(),
            ty,
        })
    }

    /// A scalar, or a list of scalars or records.
    fn ty(&mut self) -> Option<OutputType> {
        self.skip_blanks();
        let Some(rest) = self.rest.strip_prefix("list<") else {
            return self.scalar();
        };
        self.rest = rest;
        self.skip_blanks();
        let item = match self.take('{') {
            true => self.record()?,
            false => self.scalar()?,
        };
        self.skip_blanks();
        self.take('>').then(|| OutputType::List(Box::new(item)))
    }

    /// The fields of a record, behind its brace.
    fn record(&mut self) -> Option<OutputType> {
        let mut fields: Vec<OutputField> = Vec::new();
        loop {
            let name = self.until(&[':', ',', '}', '"']);
            if name.is_empty() || !name.chars().all(is_name) || !self.take(':') {
                return None;
            }
            let ty = self.scalar()?;
            let name = name.to_owned();
            fields.push(OutputField { name, ty });
            self.skip_blanks();
            if self.take('}') {
                return Some(OutputType::Record(fields));
            }
            if !self.take(',') {
                return None;
            }
        }
    }

    fn scalar(&mut self) -> Option<OutputType> {
        self.skip_blanks();
        let mut words = Vec::new();
        let mut quoted = false;
        loop {
            self.skip_blanks();
            quoted |= self.rest.starts_with('"');
            words.push(self.word()?);
            self.skip_blanks();
            if !self.take('|') {
                break;
            }
        }
        if let ([only], false) = (words.as_slice(), quoted) {
            match only.as_str() {
                "string" => return Some(OutputType::String),
                "number" => return Some(OutputType::Number),
                "bool" => return Some(OutputType::Bool),
                "duration" => return Some(OutputType::Duration),
                "quantity" => return Some(OutputType::Quantity),
                "int" => return self.range().map(OutputType::Int),
                _ => {}
            }
        }
        Some(OutputType::Words(words))
    }

    /// One word of a choice, or the name of a type.
    fn word(&mut self) -> Option<String> {
        if !self.rest.starts_with('"') {
            let plain = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            let end = self.rest.find(plain).unwrap_or(self.rest.len());
            let (word, rest) = self.rest.split_at(end);
            self.rest = rest;
            return (!word.is_empty()).then(|| word.to_owned());
        }
        let mut stream = serde_json::Deserializer::from_str(self.rest).into_iter::<String>();
        let word = stream.next()?.ok()?;
        let offset = stream.byte_offset();
        self.rest = self.rest.get(offset..)?;
        Some(word)
    }

    /// `in 0..9`, where it is there.
    fn range(&mut self) -> Option<Option<RangeInclusive<i64>>> {
        let Some(rest) = self.rest.strip_prefix("in ") else {
            return Some(None);
        };
        self.rest = rest;
        let (start, end) = self.until(&[',', '>', '}']).split_once("..")?;
        let range = parse_int(start)?..=parse_int(end)?;
        (!range.is_empty()).then_some(Some(range))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(name: &str, ty: OutputType, optional: bool) -> DeclaredOutput {
        DeclaredOutput {
            name: name.to_owned(),
            ty: Some(ty),
            optional,
        }
    }

    fn list(item: OutputType) -> OutputType {
        OutputType::List(Box::new(item))
    }

    fn samples() -> OutputType {
        let field = |name: &str, ty| OutputField {
            name: name.to_owned(),
            ty,
        };
        OutputType::Record(vec![
            field("name", OutputType::String),
            field("reads", OutputType::Int(Some(1..=9))),
            field("mode", words(&["full", "delta"])),
        ])
    }

    fn words(words: &[&str]) -> OutputType {
        OutputType::Words(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn declared_outputs_are_read_back_as_they_were_written() {
        let all = [
            output("a", OutputType::String, false),
            output("b", OutputType::Int(None), true),
            output("c", OutputType::Int(Some(-5..=i64::MAX)), false),
            output("d", OutputType::Number, true),
            output("e", OutputType::Bool, false),
            output("f", OutputType::Duration, false),
            output("g", OutputType::Quantity, true),
            output("h", words(&["full", "delta", "v1.2"]), false),
            output("i", words(&["int"]), false),
            output(
                "j",
                words(&["a, b?: c", "x|y", "\"", "", "é\n", "string"]),
                true,
            ),
            DeclaredOutput {
                name: "k".to_owned(),
                ty: None,
                optional: true,
            },
            output("l", list(OutputType::String), false),
            output("m", list(OutputType::Int(Some(0..=9))), true),
            output("n", list(words(&["full", "a>b}"])), false),
            output("o", list(samples()), true),
        ];
        for first in &all {
            for second in &all {
                let both = [first.clone(), second.clone()];
                let text = format_declared_outputs(&both);
                assert_eq!(
                    parse_declared_outputs(&text).as_deref(),
                    Ok(&both[..]),
                    "{text}"
                );
            }
        }
        let text = format_declared_outputs(&all[..8]);
        assert_eq!(
            text,
            "a: string, b?: int, c: int in -5..9223372036854775807, d?: number, e: bool, \
             f: duration, g?: quantity, h: full|delta|v1.2"
        );
        let text = format_declared_outputs(&all[11..]);
        assert_eq!(
            text,
            "l: list<string>, m?: list<int in 0..9>, n: list<full|\"a>b}\">, \
             o?: list<{name: string, reads: int in 1..9, mode: full|delta}>"
        );
    }

    #[test]
    fn bare_names_promise_nothing() {
        let names = parse_declared_outputs("rows, ok,,").map(|all| {
            let bare = |one: &DeclaredOutput| one.ty.is_none() && one.optional;
            assert!(all.iter().all(bare), "{all:?}");
            all.into_iter().map(|one| one.name).collect::<Vec<_>>()
        });
        assert_eq!(names, Ok(vec!["rows".to_owned(), "ok".to_owned()]));
        assert_eq!(parse_declared_outputs(""), Ok(Vec::new()));
    }

    #[test]
    fn malformed_declarations_are_refused() {
        let table = [
            "rows int",
            "rows:",
            "rows?",
            ": int",
            "rows: int in 9..0",
            "rows: int in 0",
            "a: b|",
            "a: \"b",
            "a: b c",
            "a=b",
            "a: int in 0..9 x",
            "a: +",
            "a: list<",
            "a: list<>",
            "a: list<int",
            "a: list<list<int>>",
            "a: {b: int}",
            "a: list<{}>",
            "a: list<{b}>",
            "a: list<{b: int>",
            "a: list<{b: {c: int}}>",
            "a: list<{b: list<int>}>",
        ];
        for text in table {
            assert!(parse_declared_outputs(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_of_a_type_to_the_letter() {
        let int = OutputType::Int(Some(0..=9));
        let table = [
            (&OutputType::String, vec!["", " x", "é"], vec![]),
            (
                &int,
                vec!["0", "9", "007"],
                vec![
                    "10",
                    "-1",
                    " 1",
                    "1 ",
                    "+1",
                    "1.0",
                    "",
                    "0x1",
                    "1e0",
                    "99999999999999999999",
                ],
            ),
            (
                &OutputType::Int(None),
                vec!["-9223372036854775808"],
                vec!["9223372036854775808", "-", "１"],
            ),
            (
                &OutputType::Number,
                vec!["0.95", "-1", "9.1e-05", "1E6", "10"],
                vec![
                    "", ".5", "5.", "nan", "inf", "Infinity", "1e999", "+1", "0x1", " 1", "1,5",
                    "1e", "--1",
                ],
            ),
            (
                &OutputType::Bool,
                vec!["true", "false"],
                vec!["True", "yes", "1", "true ", ""],
            ),
            (
                &OutputType::Duration,
                vec!["5m", "1h30m"],
                vec!["5 m", "5", "m", ""],
            ),
            (
                &OutputType::Quantity,
                vec!["1Gi", "500m", "0.5"],
                vec!["1 Gi", "1gi", "-1", ""],
            ),
            (
                &words(&["low", "high"]),
                vec!["low"],
                vec!["High", "low ", ""],
            ),
        ];
        for (ty, right, wrong) in table {
            for value in right {
                assert!(ty.admits(value), "{ty}: {value:?}");
            }
            for value in wrong {
                assert!(!ty.admits(value), "{ty}: {value:?}");
            }
        }
    }

    #[test]
    fn lists_are_json_whose_wrong_element_is_named() {
        let table = [
            (list(OutputType::String), "[]", None),
            (list(OutputType::String), r#" [ "a", "é" ] "#, None),
            (list(OutputType::Int(None)), "[1,-2]", None),
            (list(OutputType::Number), "[1,0.5,1e3]", None),
            (list(OutputType::Bool), "[true,false]", None),
            (list(OutputType::Duration), r#"["5m"]"#, None),
            (list(OutputType::Quantity), r#"["1Gi",2,0.5]"#, None),
            (list(words(&["a"])), r#"["a"]"#, None),
            (
                list(samples()),
                r#"[{"mode":"full","name":"a","reads":1}]"#,
                None,
            ),
            (
                list(OutputType::String),
                r#"["a",1]"#,
                Some("element 2 is 1"),
            ),
            (
                list(OutputType::String),
                r#"[["a"]]"#,
                Some(r#"element 1 is ["a"]"#),
            ),
            (
                list(OutputType::String),
                "[null]",
                Some("element 1 is null"),
            ),
            (
                list(OutputType::Int(Some(0..=9))),
                "[1,10]",
                Some("element 2 is 10"),
            ),
            (
                list(OutputType::Int(None)),
                "[1.0]",
                Some("element 1 is 1.0"),
            ),
            (
                list(OutputType::Int(None)),
                r#"["1"]"#,
                Some(r#"element 1 is "1""#),
            ),
            (
                list(OutputType::Duration),
                r#"["5m","5 m"]"#,
                Some(r#"element 2 is "5 m""#),
            ),
            (
                list(OutputType::String),
                r#""a""#,
                Some("it is not a JSON list: write it as in [1,2]"),
            ),
            (
                list(OutputType::String),
                r#"{"a":1}"#,
                Some("it is not a JSON list: write it as in [1,2]"),
            ),
            (
                list(OutputType::String),
                "a,b",
                Some("it is not JSON at character 1"),
            ),
            (
                list(OutputType::String),
                "['a']",
                Some("it is not JSON at character 2"),
            ),
            (
                list(OutputType::String),
                r#"["a","#,
                Some("its JSON ends too early: write all of it on one line"),
            ),
            (
                list(samples()),
                r#"[{"name":"a","reads":1}]"#,
                Some("element 1 has no field mode"),
            ),
            (
                list(samples()),
                r#"[{"name":"a","reads":1,"mode":"full","x":1}]"#,
                Some(r#"element 1 has the field "x", which is unknown"#),
            ),
            (
                list(samples()),
                r#"[{"name":"a","reads":0,"mode":"full"}]"#,
                Some("element 1 has reads=0, not of type int in 1..9"),
            ),
            (
                list(samples()),
                r#"["a"]"#,
                Some(r#"element 1 is "a", not a record"#),
            ),
        ];
        for (ty, value, problem) in table {
            assert_eq!(ty.instead_of(value).as_deref(), problem, "{ty}: {value}");
            assert_eq!(ty.admits(value), problem.is_none(), "{ty}: {value}");
        }
        let long = format!("[\"{}\"]", "é".repeat(1_000));
        let expected = format!("element 1 is \"{}…", "é".repeat(39));
        assert_eq!(list(OutputType::Bool).instead_of(&long), Some(expected));
        let deep = "[".repeat(100_000);
        assert!(!list(OutputType::String).admits(&deep));
    }

    #[test]
    fn values_become_elements_of_a_list() {
        let table = [
            (OutputType::String, "1", r#""1""#),
            (OutputType::String, "a\"b", r#""a\"b""#),
            (OutputType::Int(None), "007", "7"),
            (OutputType::Number, "9.1e-05", "0.000091"),
            (OutputType::Number, "00.5", "0.5"),
            (OutputType::Bool, "true", "true"),
            (OutputType::Duration, "5m", r#""5m""#),
            (OutputType::Quantity, "1Gi", r#""1Gi""#),
            (words(&["a"]), "a", r#""a""#),
            (
                list(samples()),
                r#"[ {"reads":1,"name":"a","mode":"full"} ]"#,
                r#"[{"reads":1,"name":"a","mode":"full"}]"#,
            ),
        ];
        for (ty, value, expected) in table {
            let json = ty.json(value).map(|json| json.to_string());
            assert_eq!(json.as_deref(), Some(expected), "{ty}: {value}");
        }
        assert_eq!(OutputType::Int(None).json("x"), None);
        assert_eq!(list(OutputType::Bool).json("[1]"), None);
    }

    #[test]
    fn hostile_declarations_end_in_time() {
        let deep = "a: \"".repeat(20_000);
        assert!(parse_declared_outputs(&deep).is_err());
        let long = "a?: b|c, ".repeat(20_000);
        assert_eq!(
            parse_declared_outputs(&long).map(|all| all.len()),
            Ok(20_000)
        );
    }
}
