//! Values of attributes, parameters and conditions.

use std::time::Duration;

use super::{NOWHERE, Number, Ref, Text, spanned};
use crate::ast;
use crate::name::is_identifier;

/// A value: a text, a number, a bool, a list, a map, or a reference.
#[derive(Clone, Debug, PartialEq)]
pub struct Value(ast::Value);

impl Value {
    /// One of an attribute's own words, as `skip` in `overlap = skip`.
    pub fn word(word: impl Into<String>) -> Self {
        Ref::to(word).into()
    }

    /// A key of a Secret, as the whole value of an environment variable.
    pub fn secret(name: impl Into<Text>, key: impl Into<Text>) -> Self {
        Self::call(ast::CallKind::Secret, name.into(), key.into())
    }

    /// A key of a ConfigMap, as the whole value of an environment variable.
    pub fn config(name: impl Into<Text>, key: impl Into<Text>) -> Self {
        Self::call(ast::CallKind::Config, name.into(), key.into())
    }

    fn call(kind: ast::CallKind, name: Text, key: Text) -> Self {
        Self(ast::Value::Call {
            kind: spanned(kind),
            name: name.into(),
            key: key.into(),
            span: NOWHERE,
        })
    }
}

impl From<Value> for ast::Value {
    fn from(value: Value) -> Self {
        value.0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Text::from(text).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Text::from(text).into()
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self(ast::Value::String(text.into()))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self(ast::Value::Bool(spanned(value)))
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Self(ast::Value::Number(number.into()))
    }
}

impl From<Duration> for Value {
    fn from(duration: Duration) -> Self {
        Number::from(duration).into()
    }
}

impl From<Ref> for Value {
    fn from(reference: Ref) -> Self {
        Self(ast::Value::Ref(reference.into()))
    }
}

impl From<&Ref> for Value {
    fn from(reference: &Ref) -> Self {
        reference.clone().into()
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Self(ast::Value::Map(map.0))
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self(ast::Value::List(list(values)))
    }
}

impl<V: Into<Value>, const N: usize> From<[V; N]> for Value {
    fn from(values: [V; N]) -> Self {
        Self(ast::Value::List(list(values)))
    }
}

pub(super) fn list<V: Into<Value>>(values: impl IntoIterator<Item = V>) -> ast::List {
    ast::List {
        items: values.into_iter().map(|value| value.into().0).collect(),
        span: NOWHERE,
    }
}

/// A map: keys and their values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map(ast::Map);

impl Map {
    /// A map without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry.
    #[must_use]
    pub fn with(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        self.0.entries.push(attribute(key, value));
        self
    }

    /// Adds an entry to what is built; the first one makes the map.
    pub(super) fn add(map: &mut Option<ast::Map>, key: impl Into<Key>, value: impl Into<Value>) {
        let map = map.get_or_insert_default();
        map.entries.push(attribute(key, value));
    }
}

/// The key of an attribute, case kept. It is quoted where it is no identifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Key(ast::Key);

impl Key {
    /// A key in quotes, needed or not.
    pub fn quoted(text: impl Into<String>) -> Self {
        Self(ast::Key {
            text: text.into(),
            quoted: true,
            span: NOWHERE,
        })
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        // In a pipeline, `defaults {` would begin the other thing.
        let quoted = !is_identifier(&text) || text == "defaults";
        Self(ast::Key {
            text,
            quoted,
            span: NOWHERE,
        })
    }
}

pub(super) fn attribute(key: impl Into<Key>, value: impl Into<Value>) -> ast::Attribute {
    ast::Attribute {
        key: key.into().0,
        value: value.into().0,
        span: NOWHERE,
    }
}

/// The map of an attribute, created if it does not exist yet.
pub(super) fn map_of<'a, I>(
    items: &'a mut Vec<I>,
    key: &str,
    of: fn(&mut I) -> Option<&mut ast::Attribute>,
    to: fn(ast::Attribute) -> I,
) -> Option<&'a mut Vec<ast::Attribute>> {
    let is_it = |item: &mut I| {
        of(item).is_some_and(|attribute| {
            attribute.key.text == key && matches!(attribute.value, ast::Value::Map(_))
        })
    };
    let place = items.iter_mut().position(is_it).unwrap_or_else(|| {
        items.push(to(attribute(key, Map::new())));
        items.len() - 1
    });
    match &mut of(items.get_mut(place)?)?.value {
        ast::Value::Map(map) => Some(&mut map.entries),
        _ => None,
    }
}
