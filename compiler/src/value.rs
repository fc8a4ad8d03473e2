//! Values and their types: what a parameter, an output or an attribute can be.
//!
//! What enters: text from the command line, JSON from a file, literals from the source.
//! What leaves: a [`Value`] of the expected [`Type`], or a sentence that says what is wrong with it.

use std::fmt::{self, Write as _};
use std::ops::RangeInclusive;

use konductor_api::number::{
    is_too_large, number_as_json, parse_int, parse_number, parse_quantity,
};
use konductor_api::output::NUL_PROBLEM;
use konductor_api::{Duration, OutputField, OutputType, write_json_list};

use crate::limits::VALUE_BYTES_MAX;

/// The type of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// Any text.
    String,
    /// A whole number, perhaps within bounds.
    Int(Option<RangeInclusive<i64>>),
    /// A decimal number, such as `0.95`.
    Number,
    /// `true` or `false`.
    Bool,
    /// Such as `1h30m`.
    Duration,
    /// Such as `500m` or `1Gi`.
    Quantity,
    /// One of these words.
    Words(Vec<String>),
    /// Several of one type.
    List(Box<Type>),
    /// Named scalars; the first is the key.
    Record(Vec<Field>),
    /// A file that a stage hands on.
    File,
    /// A folder that a stage hands on.
    Dir,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    /// Its name.
    pub name: String,
    /// Its type, a scalar.
    pub ty: Type,
    /// What it is where a record leaves it out.
    pub default: Option<Value>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// Text.
    String(String),
    /// A whole number.
    Int(i64),
    /// A decimal number as it was written.
    Number(String),
    /// True or false.
    Bool(bool),
    /// Milliseconds.
    Duration(u64),
    /// A Kubernetes quantity as it was written.
    Quantity(String),
    /// Several.
    List(Vec<Value>),
    /// Named scalars in the order of the type's fields.
    Record(Vec<(String, Value)>),
}

impl fmt::Display for Type {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => out.write_str("string"),
            Self::Int(None) => out.write_str("int"),
            Self::Int(Some(range)) => write!(out, "int in {}..{}", range.start(), range.end()),
            Self::Number => out.write_str("number"),
            Self::Bool => out.write_str("bool"),
            Self::Duration => out.write_str("duration"),
            Self::Quantity => out.write_str("quantity"),
            Self::Words(words) => out.write_str(&quoted(words, " | ")),
            Self::List(item) => write!(out, "list<{item}>"),
            Self::Record(fields) => {
                out.write_str("{")?;
                for (index, field) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(out, "{comma}{}: {}", field.name, field.ty)?;
                }
                out.write_str("}")
            }
            Self::File => out.write_str("file"),
            Self::Dir => out.write_str("dir"),
        }
    }
}

fn quoted(words: &[String], between: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    quoted.join(between)
}

impl Type {
    /// Reads a value from text as `--set` gives it: a string as it is, a list as JSON or separated
    /// by commas, a record as JSON.
    pub(crate) fn read_text(&self, text: &str) -> Result<Value, String> {
        if text.len() > VALUE_BYTES_MAX {
            return Err(format!("it is longer than {VALUE_BYTES_MAX} bytes"));
        }
        match self {
            Self::List(item) if !text.trim_start().starts_with('[') => {
                let text = text.trim();
                let text = text.strip_suffix(',').unwrap_or(text);
                let parts = text.split(',').map(str::trim);
                if !text.is_empty() && parts.clone().any(str::is_empty) {
                    let help = "write `a,b`, or JSON for an empty text: `[\"a\", \"\"]`";
                    return Err(format!("an element of the list is empty: {help}"));
                }
                let values = parts
                    .filter(|part| !part.is_empty())
                    .map(|part| item.read_text(part));
                values.collect::<Result<Vec<_>, _>>().map(Value::List)
            }
            Self::List(_) | Self::Record(_) => match serde_json::from_str(text) {
                Ok(json) => self.read_json(&json),
                Err(error) => {
                    let example = match self {
                        Self::List(_) => "`[\"a\", \"b\"]`",
                        _ => "`{\"name\": \"a\"}`",
                    };
                    let problem = match error.is_eof() {
                        true => "the JSON ends too early".to_owned(),
                        false if is_too_large(&error) => format!(
                            "its number at character {} is larger than a number can be",
                            error.column()
                        ),
                        false => format!("it is not JSON at character {}", error.column()),
                    };
                    Err(format!("{problem}: write it as in {example}"))
                }
            },
            _ => self.read_scalar(text),
        }
    }

    /// Reads a value from JSON as `--params` gives it.
    pub(crate) fn read_json(&self, json: &serde_json::Value) -> Result<Value, String> {
        use serde_json::Value as Json;
        match (self, json) {
            (Self::List(item), Json::Array(values)) => {
                let values = values.iter().map(|value| item.read_json(value));
                values.collect::<Result<Vec<_>, _>>().map(Value::List)
            }
            (Self::Record(fields), Json::Object(members)) => read_record(fields, members),
            (Self::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
            (Self::Int(_) | Self::Number | Self::Quantity, Json::Number(number)) => {
                self.read_scalar(&number.to_string())
            }
            (Self::List(_) | Self::Record(_) | Self::Bool | Self::Int(_) | Self::Number, other) => {
                Err(format!("{other} is not a value of type {self}"))
            }
            (_, Json::String(text)) => self.read_scalar(text),
            (_, other) => Err(format!("{other} is not a value of type {self}")),
        }
    }

    fn read_scalar(&self, text: &str) -> Result<Value, String> {
        let wrong = || format!("{text:?} is not a value of type {self}");
        match self {
            Self::String if text.contains('\0') => Err(format!("{text:?}: {NUL_PROBLEM}")),
            Self::String => Ok(Value::String(text.to_owned())),
            Self::Bool => match text {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(wrong()),
            },
            Self::Int(_) => {
                let value = Value::Int(parse_int(text).ok_or_else(wrong)?);
                self.admits(&value).map(|()| value)
            }
            Self::Number => match parse_number(text) {
                Ok(_) => Ok(Value::Number(text.to_owned())),
                Err(instead) => Err(format!("{}: {instead}", wrong())),
            },
            Self::Words(_) => {
                let value = Value::String(text.to_owned());
                self.admits(&value).map(|()| value)
            }
            Self::Duration => parse_duration(text).map(Value::Duration).ok_or_else(wrong),
            Self::Quantity => match parse_quantity(text) {
                Some(_) => Ok(Value::Quantity(text.to_owned())),
                None => Err(wrong()),
            },
            Self::List(_) | Self::Record(_) | Self::File | Self::Dir => Err(wrong()),
        }
    }

    /// Whether a value of the right kind is within the type's bounds and words.
    pub(crate) fn admits(&self, value: &Value) -> Result<(), String> {
        match (self, value) {
            (Self::Int(Some(range)), Value::Int(number)) if !range.contains(number) => Err(
                format!("{number} is outside {}..{}", range.start(), range.end()),
            ),
            (Self::Words(words), Value::String(text)) if !words.contains(text) => {
                Err(format!("{text:?} is not one of {}", quoted(words, ", ")))
            }
            (Self::List(item), Value::List(values)) => {
                values.iter().try_for_each(|value| item.admits(value))
            }
            (Self::Record(fields), Value::Record(members)) => {
                let mut pairs = fields.iter().zip(members);
                pairs.try_for_each(|(field, (_, value))| field.ty.admits(value))
            }
            _ => Ok(()),
        }
    }

    /// Whether a value of this type can be used where `expected` is: bounds and words aside.
    pub(crate) fn fits(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::String | Self::Words(_), Self::String | Self::Words(_)) => true,
            (Self::Int(_), Self::Int(_) | Self::Number) => true,
            (Self::List(item), Self::List(other)) => item.fits(other),
            (Self::Record(fields), Self::Record(others)) => {
                fields.len() == others.len()
                    && fields
                        .iter()
                        .zip(others)
                        .all(|(field, other)| field.name == other.name && field.ty.fits(&other.ty))
            }
            _ => self == expected,
        }
    }

    /// Whether a value of this type is a single word to a shell, whatever it is.
    pub(crate) fn is_one_shell_word(&self) -> bool {
        match self {
            Self::Int(_) | Self::Number | Self::Bool | Self::Duration | Self::Quantity => true,
            Self::Words(words) => words.iter().all(|word| is_one_shell_word(word)),
            // Where a process keeps a file, there may be blanks in its path.
            Self::String | Self::List(_) | Self::Record(_) | Self::File | Self::Dir => false,
        }
    }

    /// The bytes of the shortest value as JSON.
    pub(crate) fn json_bytes_min(&self) -> usize {
        match self {
            Self::Int(Some(range)) => {
                let nearest = 0.clamp(*range.start(), *range.end());
                nearest.to_string().len()
            }
            Self::Int(None) | Self::Number => 1,
            Self::Bool => "true".len(),
            Self::String | Self::List(_) => "[]".len(),
            Self::Duration => "\"0s\"".len(),
            Self::Quantity => "\"0\"".len(),
            Self::Words(words) => {
                let shortest = words.iter().map(String::len).min();
                shortest.unwrap_or_default() + 2
            }
            Self::Record(fields) => {
                let of_field = |field: &Field| field.name.len() + 4 + field.ty.json_bytes_min();
                1 + fields.iter().map(of_field).sum::<usize>()
            }
            // Its key has at least five parts with the pod's uid, beside its size and digest.
            Self::File | Self::Dir => 140,
        }
    }

    /// The same for the operator, which checks what a stage wrote.
    pub(crate) fn of_output(&self) -> OutputType {
        match self {
            Self::String => OutputType::String,
            Self::Int(range) => OutputType::Int(range.clone()),
            Self::Number => OutputType::Number,
            Self::Bool => OutputType::Bool,
            Self::Duration => OutputType::Duration,
            Self::Quantity => OutputType::Quantity,
            Self::Words(words) => OutputType::Words(words.clone()),
            Self::List(item) => OutputType::List(Box::new(item.of_output())),
            Self::Record(fields) => {
                let fields = fields.iter().map(|field| OutputField {
                    name: field.name.clone(),
                    ty: field.ty.of_output(),
                });
                OutputType::Record(fields.collect())
            }
            Self::File => OutputType::File,
            Self::Dir => OutputType::Dir,
        }
    }

    /// Whether it is neither a list nor a record, nor a file.
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Record(_)) && !self.is_file()
    }

    /// Whether its values are files or folders.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Self::File | Self::Dir)
    }
}

fn read_record(
    fields: &[Field],
    members: &serde_json::Map<String, serde_json::Value>,
) -> Result<Value, String> {
    if let Some(unknown) = members
        .keys()
        .find(|name| fields.iter().all(|f| f.name != **name))
    {
        return Err(format!(
            "{unknown:?} is not a field of {}",
            Type::Record(fields.to_vec())
        ));
    }
    let mut values = Vec::with_capacity(fields.len());
    for field in fields {
        let value = match (members.get(&field.name), &field.default) {
            (Some(json), _) => {
                let read = field.ty.read_json(json);
                read.map_err(|error| format!("field {}: {error}", field.name))?
            }
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(format!("field {} is missing", field.name)),
        };
        values.push((field.name.clone(), value));
    }
    Ok(Value::Record(values))
}

impl Value {
    /// The value as a program receives it: text as it is, lists and records as JSON.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::String(text) | Self::Number(text) | Self::Quantity(text) => text.clone(),
            Self::Int(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::Duration(millis) => Duration::from_millis(*millis).as_str().to_owned(),
            Self::List(_) | Self::Record(_) => self.json(),
        }
    }

    /// The value as JSON, with the digits of its numbers.
    fn json(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        match self {
            Self::Int(_) | Self::Bool(_) => self.text(),
            Self::Number(number) => number_as_json(number).unwrap_or_default(),
            Self::String(_) | Self::Quantity(_) | Self::Duration(_) => text(&self.text()),
            Self::List(values) => {
                let values: Vec<String> = values.iter().map(Self::json).collect();
                write_json_list(&values)
            }
            Self::Record(members) => {
                let members = members.iter();
                let members: Vec<String> = members
                    .map(|(name, value)| format!("{}:{}", text(name), value.json()))
                    .collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    /// The key of a fan-out's item: a record's first field, else the value itself.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Record(members) => members.first().map(|(_, v)| v.text()).unwrap_or_default(),
            other => other.text(),
        }
    }

    /// A record's field.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Record(members) => members
                .iter()
                .find(|(member, _)| member == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

/// A text that no other item of a fan-out has: of values that may contain anything.
pub(crate) fn item_key(values: &[Value]) -> String {
    let mut whole = String::new();
    for value in values {
        let key = value.key();
        // With its length, no value can look like two.
        let _ = write!(whole, "{}:{key}", key.len());
    }
    whole
}

/// Whether a shell takes a text for one word, also where it stands without quotes.
pub(crate) fn is_one_shell_word(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    !text.is_empty() && text.bytes().all(is_plain)
}

/// Milliseconds of a duration such as `1h30m`.
pub(crate) fn parse_duration(text: &str) -> Option<u64> {
    let length = Duration::new(text).ok()?.parse().ok()?;
    u64::try_from(length.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_is_read_by_type() {
        let list = Type::List(Box::new(Type::Int(Some(1..=9))));
        let words = Type::Words(vec!["dev".into(), "prod".into()]);
        let sample = |name: &str| Field {
            name: name.into(),
            ty: Type::String,
            default: None,
        };
        let record = Type::List(Box::new(Type::Record(vec![sample("id"), sample("r1")])));
        let table = [
            (&Type::String, "[1, 2]", Ok("[1, 2]".to_owned())),
            (&list, "1, 2,3", Ok("[1,2,3]".to_owned())),
            (&list, "[1, 2]", Ok("[1,2]".to_owned())),
            (&list, "1,10", Err("10 is outside 1..9".to_owned())),
            (
                &list,
                "[",
                Err("the JSON ends too early: write it as in `[\"a\", \"b\"]`".into()),
            ),
            (
                &words,
                "test",
                Err(r#""test" is not one of "dev", "prod""#.to_owned()),
            ),
            (&Type::Duration, "90m", Ok("1h30m".to_owned())),
            (
                &Type::Duration,
                "90",
                Err(r#""90" is not a value of type duration"#.to_owned()),
            ),
            (
                &record,
                r#"[{"id":"a","r1":"b"}]"#,
                Ok(r#"[{"id":"a","r1":"b"}]"#.to_owned()),
            ),
            (
                &record,
                r#"[{"id":"a"}]"#,
                Err("field r1 is missing".to_owned()),
            ),
            (
                &record,
                r#"[{"id":"a","r1":"b","r2":"c"}]"#,
                Err(r#""r2" is not a field of {id: string, r1: string}"#.to_owned()),
            ),
        ];
        for (ty, text, expected) in table {
            assert_eq!(
                ty.read_text(text).map(|value| value.text()),
                expected,
                "{ty}: {text}"
            );
        }
    }
}
