//! What stands between a stage's name and its body.

use super::{List, Name, Number, Ref, Str, Value};
use crate::{Span, Spanned};

/// One clause of a header.
#[derive(Clone, Debug, PartialEq)]
pub struct Clause {
    /// What it says.
    pub kind: ClauseKind,
    /// The keyword.
    pub keyword: Span,
    /// The whole.
    pub span: Span,
}

/// What a clause says.
#[derive(Clone, Debug, PartialEq)]
pub enum ClauseKind {
    /// `for x in LIST, …`
    For(Vec<Loop>),
    /// `after DEP, …`
    After(Vec<Dep>),
    /// `when EXPR`
    When(Box<Expr>),
    /// `holding NAME, NAME(n)`
    Holding(Vec<Hold>),
    /// `quorum n`
    Quorum(Bound),
    /// `max n`
    Max(Bound),
    /// `parallel n`
    Parallel(Bound),
}

impl ClauseKind {
    /// The keyword.
    pub fn word(&self) -> &'static str {
        match self {
            Self::For(_) => "for",
            Self::After(_) => "after",
            Self::When(_) => "when",
            Self::Holding(_) => "holding",
            Self::Quorum(_) => "quorum",
            Self::Max(_) => "max",
            Self::Parallel(_) => "parallel",
        }
    }
}

/// `x in LIST`
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The variable.
    pub variable: Name,
    /// What it goes over.
    pub over: Over,
    /// The whole.
    pub span: Span,
}

/// What a loop goes over.
#[derive(Clone, Debug, PartialEq)]
pub enum Over {
    /// `0..<n`
    Range(Range),
    /// `["a", "b"]`
    List(List),
    /// A parameter, or a list that a stage writes.
    Ref(Ref),
}

impl Over {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Self::Range(range) => range.span,
            Self::List(list) => list.span,
            Self::Ref(reference) => reference.span,
        }
    }
}

/// `a..b` or `a..<b`
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// Its start.
    pub start: Bound,
    /// Its end.
    pub end: Bound,
    /// Whether the end is part of it: `..`.
    pub inclusive: bool,
    /// The whole.
    pub span: Span,
}

/// A number or a reference to one.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// A number.
    Number(Number),
    /// A reference.
    Ref(Ref),
}

impl Bound {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Self::Number(number) => number.span,
            Self::Ref(reference) => reference.span,
        }
    }
}

/// One thing that must hold before a stage starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Dep {
    /// `any(DEP, …)`
    Any {
        /// One of them must hold.
        deps: Vec<Dep>,
        /// The whole.
        span: Span,
    },
    /// `pipeline("…") within D`, `gate("…")`, `barrier("…")`
    External {
        /// What kind of object, at the keyword.
        kind: Spanned<ExternalKind>,
        /// Its name.
        name: Str,
        /// How long ago it may have ended.
        within: Option<Number>,
        /// The whole.
        span: Span,
    },
    /// `stage`, `stage[i]`, `stage.failed`, or an approval.
    Target {
        /// The stage's or approval's name.
        name: Name,
        /// One item of it.
        address: Option<Address>,
        /// The suffix, without its dot.
        state: Option<Name>,
        /// The whole.
        span: Span,
    },
}

impl Dep {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Self::Any { span, .. } | Self::External { span, .. } | Self::Target { span, .. } => {
                *span
            }
        }
    }
}

/// An object in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExternalKind {
    /// A run of another pipeline.
    Pipeline,
    /// A Gate.
    Gate,
    /// A Barrier.
    Barrier,
}

/// `[i, j]`
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// One for each loop variable.
    pub indices: Vec<Index>,
    /// The whole, brackets included.
    pub span: Span,
}

impl std::fmt::Display for Address {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let indices: Vec<String> = self.indices.iter().map(Index::to_string).collect();
        write!(out, "[{}]", indices.join(", "))
    }
}

/// One index of an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Index {
    /// `"eu"`
    String(Str),
    /// `3`
    Number(Number),
    /// A variable or a parameter.
    Name(Name),
    /// `*`: each value of the variable.
    Every(Span),
}

impl std::fmt::Display for Index {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String(text) => write!(out, "{:?}", text.plain().unwrap_or_default()),
            Self::Number(number) => out.write_str(&number.text),
            Self::Name(name) => out.write_str(&name.text),
            Self::Every(_) => out.write_str("*"),
        }
    }
}

impl Index {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Self::String(text) => text.span,
            Self::Number(number) => number.span,
            Self::Name(name) => name.span,
            Self::Every(span) => *span,
        }
    }
}

/// `NAME` or `NAME(n)`
#[derive(Clone, Debug, PartialEq)]
pub struct Hold {
    /// The semaphore's or lease's name.
    pub name: Name,
    /// How many permits.
    pub permits: Option<Bound>,
    /// The whole.
    pub span: Span,
}

/// A condition. Parentheses leave no trace but the tree.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// `a || b || …`, two or more.
    Or(Vec<Expr>, Span),
    /// `a && b && …`, two or more.
    And(Vec<Expr>, Span),
    /// `!a`
    Not(Box<Expr>, Span),
    /// `a == b`
    Compare {
        /// The left side.
        left: Value,
        /// How they are compared.
        operator: Spanned<Operator>,
        /// The right side.
        right: Value,
        /// The whole.
        span: Span,
    },
    /// A value that is true or false by itself.
    Value(Value),
}

impl Expr {
    /// Where it is written.
    pub fn span(&self) -> Span {
        match self {
            Self::Or(_, span) | Self::And(_, span) | Self::Not(_, span) => *span,
            Self::Compare { span, .. } => *span,
            Self::Value(value) => value.span(),
        }
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `in`
    In,
}

impl Operator {
    /// As it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::In => "in",
        }
    }
}
