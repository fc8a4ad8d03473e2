//! What a Job promises to hand on, as its annotation writes it: `rows: int in 0..9, mode?: full|delta`.

use std::fmt;
use std::ops::RangeInclusive;

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
        }
    }
}

impl OutputType {
    /// What to write instead of a value that is not of this type, where that is not plain from the type.
    pub fn instead_of(&self, value: &str) -> Option<String> {
        match self {
            Self::Number => parse_number(value).err().map(|error| error.to_string()),
            _ => None,
        }
    }
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
        }
    }
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
        let is_name = |c: char| !c.is_whitespace() && !c.is_control() && c != '=';
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

    fn ty(&mut self) -> Option<OutputType> {
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
        let (start, end) = self.until(&[',']).split_once("..")?;
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
