//! What a Job promises to hand on, as its annotation writes it: `rows: int in 0..9, mode?: full|delta`.

mod list;

use std::fmt;
use std::ops::RangeInclusive;

use serde_json::Value;

use self::list::list_problem;
use crate::number::{number_as_json, parse_int, parse_number, parse_quantity};
use crate::{Duration, FileValue};

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
    /// Any text that a variable can hold: one without a NUL character.
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
    /// A file in a store, as a [`FileValue`].
    File,
    /// A folder in a store, as a [`FileValue`].
    Dir,
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
const TYPE_WORDS: [&str; 8] = [
    "string", "int", "number", "bool", "duration", "quantity", "file", "dir",
];
/// Characters of a text that a message repeats.
const SHOWN_MAX: usize = 40;
/// What is wrong with a text that has one.
pub const NUL_PROBLEM: &str = "it has a NUL character, which no variable can hold";

impl OutputType {
    /// Whether a value is of this type, to the letter: a blank or a capital more is another value.
    pub fn admits(&self, value: &str) -> bool {
        match self {
            Self::String => !value.contains('\0'),
            Self::Int(range) => parse_int(value)
                .is_some_and(|int| range.as_ref().is_none_or(|range| range.contains(&int))),
            Self::Number => parse_number(value).is_ok(),
            Self::Bool => matches!(value, "true" | "false"),
            Self::Duration => Duration::new(value).is_ok(),
            Self::Quantity => parse_quantity(value).is_some(),
            Self::Words(words) => words.iter().any(|word| word == value),
            Self::List(item) => list_problem(item, value).is_none(),
            Self::Record(_) => false,
            Self::File | Self::Dir => FileValue::parse(value).is_some(),
        }
    }

    /// Returns what is wrong with a value that is not of this type, or what to write instead, where that is not
    /// plain from the type.
    pub fn instead_of(&self, value: &str) -> Option<String> {
        match self {
            Self::String => value.contains('\0').then(|| NUL_PROBLEM.to_owned()),
            Self::Number => parse_number(value).err().map(|error| error.to_string()),
            Self::List(item) => list_problem(item, value),
            Self::File | Self::Dir => {
                let written = FileValue::parse(value).is_some();
                (!written).then(|| "only konductor writes it".to_owned())
            }
            _ => None,
        }
    }

    /// Returns a value as an element of a JSON list: numbers, bools and lists as such, all else as a string. Numbers keep
    /// their digits, but for zeros in front. `None` if it is not of this type.
    pub fn json(&self, value: &str) -> Option<String> {
        if !self.admits(value) {
            return None;
        }
        match self {
            Self::String | Self::Words(_) | Self::Duration | Self::Quantity => {
                Some(Value::from(value).to_string())
            }
            Self::Int(_) => parse_int(value).map(|int| int.to_string()),
            Self::Number => number_as_json(value).ok(),
            Self::Bool => Some(value.to_owned()),
            Self::List(_) | Self::Record(_) | Self::File | Self::Dir => Some(compact(value)),
        }
    }
}

/// JSON without the blanks between its parts.
fn compact(json: &str) -> String {
    let (mut in_text, mut is_escaped) = (false, false);
    json.chars()
        .filter(|c| {
            let is_quote = *c == '"' && !is_escaped;
            is_escaped = in_text && *c == '\\' && !is_escaped;
            in_text ^= is_quote;
            in_text || is_quote || !c.is_ascii_whitespace()
        })
        .collect()
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
            Self::File => out.write_str("file"),
            Self::Dir => out.write_str("dir"),
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
                "file" => return Some(OutputType::File),
                "dir" => return Some(OutputType::Dir),
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
mod tests;
