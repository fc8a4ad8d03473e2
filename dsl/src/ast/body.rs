//! What a stage, a template, and the defaults say.

use super::{Map, Name, Param, Str, Value};
use crate::{Span, Spanned};

/// `{ … }` of a stage, a template or `defaults`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Body {
    /// What is in it, in source order.
    pub items: Vec<BodyItem>,
    /// The whole, braces included.
    pub span: Span,
}

/// What a body consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum BodyItem {
    /// `output NAME: TYPE = DEFAULT`
    Output(Box<Param>),
    /// `mount WORKSPACE at PATH`
    Mount {
        /// The workspace's name.
        workspace: Name,
        /// Where.
        path: Str,
        /// The whole.
        span: Span,
    },
    /// `use TEMPLATE { … }`
    Use {
        /// The template's name.
        template: Name,
        /// Its arguments.
        arguments: Option<Map>,
        /// The whole.
        span: Span,
    },
    /// `pod """…"""` or `job """…"""`
    Yaml {
        /// Which, at the keyword.
        kind: Spanned<YamlKind>,
        /// The text.
        text: Str,
        /// The whole.
        span: Span,
    },
    /// `image = "…"`, `env { … }` and the like.
    Attribute(Attribute),
}

/// Which part of a Job passthrough YAML is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum YamlKind {
    /// A PodSpec.
    Pod,
    /// A Job from `spec:` down.
    Job,
}

/// `key = value` or `key { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The key, quoted or not, case kept.
    pub key: Key,
    /// The value; `key { … }` has a map.
    pub value: Value,
    /// The whole.
    pub span: Span,
}

/// The key of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key, without quotes.
    pub text: String,
    /// Whether it was quoted.
    pub quoted: bool,
    /// Where it is written.
    pub span: Span,
}
