//! Parameters, outputs, fields, and their types.

use super::{NOWHERE, Range, Text, Value, name};
use crate::ast::{self, TypeKind};

/// A parameter of a pipeline or a template, an output of a stage, or a field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Param(ast::Param);

impl Param {
    /// One without a default.
    pub fn new(param: impl Into<String>, ty: Type) -> Self {
        Self(ast::Param {
            name: name(param),
            ty: ty.0,
            default: None,
            span: NOWHERE,
        })
    }

    /// Its default.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.0.default = Some(value.into().into());
        self
    }
}

impl From<Param> for ast::Param {
    fn from(param: Param) -> Self {
        param.0
    }
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub struct Type(ast::Type);

impl Type {
    fn of(kind: TypeKind) -> Self {
        Self(ast::Type {
            kind,
            span: NOWHERE,
        })
    }

    fn scalar(word: &str, range: Option<ast::Range>) -> Self {
        let name = name(word);
        let range = range.map(Box::new);
        Self::of(TypeKind::Scalar { name, range })
    }

    /// Any text.
    pub fn string() -> Self {
        Self::scalar("string", None)
    }

    /// A whole number.
    pub fn int() -> Self {
        Self::scalar("int", None)
    }

    /// A whole number within a range.
    pub fn int_in(range: impl Into<Range>) -> Self {
        Self::scalar("int", Some(range.into().into()))
    }

    /// A decimal number, such as `0.95`.
    pub fn number() -> Self {
        Self::scalar("number", None)
    }

    /// `true` or `false`.
    pub fn bool() -> Self {
        Self::scalar("bool", None)
    }

    /// A duration, such as `1h30m`.
    pub fn duration() -> Self {
        Self::scalar("duration", None)
    }

    /// A quantity of Kubernetes, such as `500m` or `1Gi`.
    pub fn quantity() -> Self {
        Self::scalar("quantity", None)
    }

    /// A file that a stage hands on. The default of the output is its name.
    pub fn file() -> Self {
        Self::scalar("file", None)
    }

    /// A folder that a stage hands on. The default of the output is its name.
    pub fn dir() -> Self {
        Self::scalar("dir", None)
    }

    /// One of these strings.
    pub fn one_of<T: Into<Text>>(words: impl IntoIterator<Item = T>) -> Self {
        let words = words.into_iter().map(|word| word.into().into());
        Self::of(TypeKind::Choice(words.collect()))
    }

    /// Several of one type.
    pub fn list(element: Self) -> Self {
        Self::of(TypeKind::List(Box::new(element.0)))
    }

    /// A record of scalars; in a list, the first field is the key.
    pub fn record(fields: impl IntoIterator<Item = Param>) -> Self {
        let fields = fields.into_iter().map(ast::Param::from);
        Self::of(TypeKind::Record(fields.collect()))
    }
}
