//! Any YAML, with the place of each node.

use std::ops::Range;

use konductor_dsl::{Diagnostic, Span};
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value as Json};
use serde_saphyr::{Error, Location, Options, Spanned};

use crate::rules;

/// Why a text is no YAML.
#[derive(Debug)]
pub struct NotYaml {
    /// Where, as far as the parser knows.
    pub at: Option<Location>,
    /// What is wrong, in a few words.
    pub problem: String,
}

impl NotYaml {
    /// Reports it, at a place in a file.
    pub fn report(&self, span: Span) -> Diagnostic {
        rules::yaml::report(span, &self.problem)
    }
}

impl From<Error> for NotYaml {
    fn from(error: Error) -> Self {
        let error = error.without_snippet();
        let problem = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
        let problem = problem.lines().next().unwrap_or_default();
        Self {
            at: error.location(),
            problem: problem
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// Where something is in a text, as far as its first line goes; `None` if the parser does not know.
pub fn range(text: &str, at: Location) -> Option<Range<usize>> {
    let span = at.span();
    let to_usize = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    let (start, end) = match (span.byte_offset(), span.byte_len()) {
        (Some(start), Some(length)) => {
            let start = to_usize(start);
            (start, start.saturating_add(to_usize(length)))
        }
        _ => {
            let mut lines = text.split_inclusive('\n');
            let before = to_usize(at.line().checked_sub(1)?);
            let start: usize = lines.by_ref().take(before).map(str::len).sum();
            let line = lines.next().unwrap_or_default();
            let column = to_usize(at.column().saturating_sub(1));
            let mut characters = line.char_indices().skip(column);
            let (column, length) = characters
                .next()
                .map_or((line.len(), 1), |(column, c)| (column, c.len_utf8()));
            (start + column, start + column + length)
        }
    };
    let line = text.get(start..end).unwrap_or_default().lines().next();
    let length = line.unwrap_or_default().trim_end().len().max(1);
    Some(start..start + length)
}

fn options() -> Options {
    serde_saphyr::options! {
        legacy_octal_numbers: true,
        reject_unsupported_tags: true,
    }
}

/// Reads one document.
///
/// # Errors
/// If it is no YAML, or more than one document.
pub fn parse(text: &str) -> Result<Placed, NotYaml> {
    Ok(serde_saphyr::from_str_with_options(text, options())?)
}

/// Reads every document that is not empty.
///
/// # Errors
/// If one is not YAML.
pub fn parse_all(text: &str) -> Result<Vec<Placed>, NotYaml> {
    Ok(serde_saphyr::from_multiple_with_options(text, options())?)
}

/// A node of YAML.
#[derive(Debug)]
pub struct Placed {
    /// What it is.
    pub value: Kind,
    /// Where it is.
    pub place: Location,
}

/// What a node is: JSON's kinds.
#[derive(Debug)]
pub enum Kind {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Placed>),
    /// A map, in the order of the text.
    Map(Vec<(Spanned<String>, Placed)>),
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self {
            value: spanned.value,
            place: spanned.referenced,
        })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Kind, D::Error> {
        Kind::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Kind, E> {
        Number::from_f64(value)
            .map(Kind::Number)
            .ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Kind, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Kind::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Kind, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Kind::Map(members))
    }
}

impl Placed {
    /// A member of a map: where its key is, and its value.
    pub fn member(&self, key: &str) -> Option<(Location, &Self)> {
        let Kind::Map(members) = &self.value else {
            return None;
        };
        let mut members = members.iter();
        let (key, value) = members.find(|(name, _)| name.value == key)?;
        Some((key.referenced, value))
    }

    /// The same, some levels down.
    pub fn at(&self, path: &[&str]) -> Option<(Location, &Self)> {
        let (last, before) = path.split_last()?;
        let parent = before
            .iter()
            .try_fold(self, |node, key| Some(node.member(key)?.1))?;
        parent.member(last)
    }

    /// The text of a member; empty without one.
    pub fn text(&self, key: &str) -> &str {
        match self.member(key).map(|(_, value)| &value.value) {
            Some(Kind::Text(text)) => text,
            _ => "",
        }
    }

    /// The same without places.
    pub fn to_json(&self) -> Json {
        match &self.value {
            Kind::Null => Json::Null,
            Kind::Bool(value) => Json::Bool(*value),
            Kind::Number(number) => Json::Number(number.clone()),
            Kind::Text(text) => Json::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(members) => {
                let members = members.iter();
                Json::Object(
                    members
                        .map(|(key, value)| (key.value.clone(), value.to_json()))
                        .collect(),
                )
            }
        }
    }
}
