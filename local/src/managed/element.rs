//! One step of the path to a field.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

/// One step to a field, as `fieldsV1` writes it: `f:name`, `k:{"name":"a"}`, `v:"a"` or `i:0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Element(Box<str>);

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self(format!("f:{name}").into())
    }

    pub(super) fn key(keys: &Map<String, Value>) -> Self {
        // Sorted, so that the same key is the same text.
        let sorted: BTreeMap<_, _> = keys.iter().collect();
        let text = serde_json::to_string(&sorted).unwrap_or_default();
        Self(format!("k:{text}").into())
    }

    pub(super) fn value(value: &Value) -> Self {
        Self(format!("v:{value}").into())
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" | "i" => Some(Self(text.into())),
            "k" => match serde_json::from_str(rest).ok()? {
                Value::Object(keys) => Some(Self::key(&keys)),
                _ => None,
            },
            "v" => serde_json::from_str(rest)
                .ok()
                .map(|value| Self::value(&value)),
            _ => None,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn field_name(&self) -> Option<&str> {
        self.0.strip_prefix("f:")
    }
}

impl fmt::Display for Element {
    /// As messages write paths: `.name`, `[name="a"]`, `[="a"]`, `[0]`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((kind, rest)) = self.0.split_once(':') else {
            return Ok(());
        };
        match kind {
            "f" => write!(formatter, ".{rest}"),
            "k" => {
                let keys: Map<String, Value> = serde_json::from_str(rest).unwrap_or_default();
                let keys: Vec<_> = keys
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                write!(formatter, "[{}]", keys.join(","))
            }
            "v" => write!(formatter, "[={rest}]"),
            _ => write!(formatter, "[{rest}]"),
        }
    }
}
