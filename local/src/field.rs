//! What is wrong with a field, in the words of Kubernetes.
//!
//! A path and a value enter; a [`Cause`] with the text that every client shows leaves.

use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::status::Cause;

/// Where a field is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn child(&self, name: &str) -> Self {
        if self.0.is_empty() {
            return Self(name.to_owned());
        }
        Self(format!("{}.{name}", self.0))
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    pub(crate) fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn cause(&self, reason: &'static str, kind: &str, value: Option<&Value>, why: &str) -> Cause {
        let mut message = kind.to_owned();
        if let Some(value) = value {
            // Writing to a String can't fail.
            let _ = write!(message, ": {}", Quoted(value));
        }
        if !why.is_empty() {
            message.push_str(": ");
            message.push_str(why);
        }
        Cause {
            reason,
            message,
            field: Some(if self.0.is_empty() {
                "<nil>".to_owned()
            } else {
                self.0.clone()
            }),
        }
    }

    pub(crate) fn invalid(&self, value: impl Into<Value>, why: impl AsRef<str>) -> Cause {
        self.cause(
            "FieldValueInvalid",
            "Invalid value",
            Some(&value.into()),
            why.as_ref(),
        )
    }

    /// A value that is too much to show.
    pub(crate) fn omitted(&self, why: impl AsRef<str>) -> Cause {
        self.cause("FieldValueInvalid", "Invalid value", None, why.as_ref())
    }

    pub(crate) fn type_invalid(&self, value: impl Into<Value>, why: impl AsRef<str>) -> Cause {
        self.cause(
            "FieldValueTypeInvalid",
            "Invalid value",
            Some(&value.into()),
            why.as_ref(),
        )
    }

    pub(crate) fn required(&self, why: impl AsRef<str>) -> Cause {
        self.cause("FieldValueRequired", "Required value", None, why.as_ref())
    }

    pub(crate) fn forbidden(&self, why: impl AsRef<str>) -> Cause {
        self.cause("FieldValueForbidden", "Forbidden", None, why.as_ref())
    }

    pub(crate) fn duplicate(&self, value: impl Into<Value>) -> Cause {
        self.cause(
            "FieldValueDuplicate",
            "Duplicate value",
            Some(&value.into()),
            "",
        )
    }

    /// A value that is not one of `supported`, which come sorted.
    pub(crate) fn not_supported(&self, value: impl Into<Value>, supported: &[&str]) -> Cause {
        let quoted: Vec<_> = supported.iter().map(|name| quote(name)).collect();
        let why = if quoted.is_empty() {
            String::new()
        } else {
            format!("supported values: {}", quoted.join(", "))
        };
        self.cause(
            "FieldValueNotSupported",
            "Unsupported value",
            Some(&value.into()),
            &why,
        )
    }

    pub(crate) fn too_long(&self, bytes_max: usize) -> Cause {
        self.cause(
            "FieldValueTooLong",
            "Too long",
            None,
            &format!("may not be more than {bytes_max} bytes"),
        )
    }

    pub(crate) fn too_many(&self, count: usize, count_max: usize) -> Cause {
        let items = if count_max == 1 { "item" } else { "items" };
        self.cause(
            "FieldValueTooMany",
            "Too many",
            Some(&count.into()),
            &format!("must have at most {count_max} {items}"),
        )
    }

    pub(crate) fn not_found(&self, value: impl Into<Value>) -> Cause {
        self.cause("FieldValueNotFound", "Not found", Some(&value.into()), "")
    }
}

/// A value as messages show it: strings quoted as Go does, everything else as JSON.
struct Quoted<'a>(&'a Value);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::String(text) => formatter.write_str(&quote(text)),
            other => formatter.write_str(&sorted_json(other)),
        }
    }
}

/// JSON with sorted keys, as Go writes maps.
pub(crate) fn sorted_json(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut keys: Vec<_> = fields.iter().collect();
                keys.sort_by_key(|(key, _)| *key);
                let fields = keys
                    .into_iter()
                    .map(|(key, value)| (key.clone(), sorted(value)));
                Value::Object(fields.collect())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Quotes a text as Go's `%q` does.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            character if character.is_control() && character.is_ascii() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(character));
            }
            character if character.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
