//! Values, texts and types.

use super::{Address, Attribute, Name, Param, Range};
use crate::{Span, Spanned};

/// `{ key = value … }`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// Its entries, in source order, repeats included.
    pub entries: Vec<Attribute>,
    /// The whole, braces included.
    pub span: Span,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `secret("name", "key")` or `config("name", "key")`
    Call {
        /// Which, at the keyword.
        kind: Spanned<CallKind>,
        /// The object's name.
        name: Str,
        /// The key in it.
        key: Str,
        /// The whole.
        span: Span,
    },
    /// `"…"` or `"""…"""`
    String(Str),
    /// `true` or `false`
    Bool(Spanned<bool>),
    /// `3`, `500m`, `1h30m`
    Number(Number),
    /// `[…]`
    List(List),
    /// `{…}`
    Map(Map),
    /// A reference, or a bare word where the attribute's type has words.
    Ref(Ref),
}

impl Value {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Self::Call { span, .. } => *span,
            Self::String(text) => text.span,
            Self::Bool(value) => value.span,
            Self::Number(number) => number.span,
            Self::List(list) => list.span,
            Self::Map(map) => map.span,
            Self::Ref(reference) => reference.span,
        }
    }
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// A Secret.
    Secret,
    /// A ConfigMap.
    Config,
}

/// `[…]`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// Its elements.
    pub items: Vec<Value>,
    /// The whole, brackets included.
    pub span: Span,
}

/// A number with or without a unit, as it is written: what `m` means depends on the attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// As it is written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// `name`, `name.field`, `stage[i].output`, `token.lease`, `run.date`
#[derive(Clone, Debug, PartialEq)]
pub struct Ref {
    /// The first name; it may be `run`, `token` or `workspace`.
    pub head: Name,
    /// An item.
    pub address: Option<Address>,
    /// What follows, without the dots.
    pub fields: Vec<Name>,
    /// The whole.
    pub span: Span,
}

impl std::fmt::Display for Ref {
    /// As it is written, without odd spaces.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.head.text)?;
        if let Some(address) = &self.address {
            write!(out, "{address}")?;
        }
        self.fields
            .iter()
            .try_for_each(|field| write!(out, ".{}", field.text))
    }
}

/// A string: its text and the interpolations in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Str {
    /// Its parts, in order; a block has one for each line, so a place in it is found again.
    pub parts: Vec<Part>,
    /// Whether it is `"""…"""`.
    pub block: bool,
    /// The whole, quotes included.
    pub span: Span,
}

/// A part of a string.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text, escapes read.
    Text {
        /// The text.
        text: String,
        /// Where it is written.
        span: Span,
    },
    /// `${` that is the shell's: `${HOME}`, `${#x}`, `${1}`. Only the two characters; what follows is
    /// text.
    Shell(Span),
    /// `${reference}`
    Hole(Ref, Span),
}

impl Str {
    /// The text, where it has no interpolation. The shell's `${` is part of it.
    pub fn plain(&self) -> Option<String> {
        let mut all = String::new();
        for part in &self.parts {
            match part {
                Part::Text { text, .. } => all.push_str(text),
                Part::Shell(_) => all.push_str("${"),
                Part::Hole(..) => return None,
            }
        }
        Some(all)
    }
}

/// A type, and where it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// Which.
    pub kind: TypeKind,
    /// Where it is written.
    pub span: Span,
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `string`, `int in 1..9`, or a name that is no type, which is checked later.
    Scalar {
        /// The word.
        name: Name,
        /// Its range.
        range: Option<Box<Range>>,
    },
    /// `"a" | "b"`
    Choice(Vec<Str>),
    /// `list<T>`
    List(Box<Type>),
    /// `{a: string, b: int}`
    Record(Vec<Param>),
}
