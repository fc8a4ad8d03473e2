//! The syntax tree: what is written, and where. Nothing is resolved here.

#![expect(
    clippy::large_enum_variant,
    reason = "boxes hide a tree's shape: only what is rare and large is in one"
)]

use crate::{SourceId, Span, Spanned};

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Which file.
    pub source: SourceId,
    /// `import "…"`, in source order.
    pub imports: Vec<Import>,
    /// `template …`, in source order.
    pub templates: Vec<Template>,
    /// `pipeline …`: at most one is allowed, which is checked later.
    pub pipelines: Vec<Pipeline>,
}

/// A name where it is written. It has the shape of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it is written.
    pub span: Span,
}

/// `import "lib/python.kon"`
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    /// The path, relative to the importing file.
    pub path: Str,
    /// The whole.
    pub span: Span,
}

/// `template NAME(PARAMS) { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// Its name.
    pub name: Name,
    /// Its parameters.
    pub params: Vec<Param>,
    /// Its body.
    pub body: Body,
    /// The whole.
    pub span: Span,
}

/// `pipeline NAME { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: Name,
    /// What is in it, in source order.
    pub items: Vec<Item>,
    /// The whole.
    pub span: Span,
}

/// What a pipeline consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `param NAME: TYPE = VALUE`
    Param(Box<Param>),
    /// `stage NAME … { … }`
    Stage(Stage),
    /// `approval NAME … { … }`
    Approval(Approval),
    /// `semaphore`, `lease` or `workspace`
    Resource(Resource),
    /// `schedule "…" { … }`
    Schedule(Schedule),
    /// `defaults { … }`
    Defaults(Defaults),
    /// `description = "…"` and the like.
    Attribute(Attribute),
}

/// A parameter of a pipeline or a template, or a field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: Type,
    /// Its default.
    pub default: Option<Value>,
    /// The whole.
    pub span: Span,
}

/// `schedule "0 2 * * *" { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The cron expression.
    pub cron: Str,
    /// Time zone, overlap, catch-up.
    pub attributes: Option<Map>,
    /// The whole.
    pub span: Span,
}

/// Which kind of resource is declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// `semaphore`
    Semaphore,
    /// `lease`
    Lease,
    /// `workspace`
    Workspace,
}

/// `semaphore NAME { … }`, `lease NAME { … }`, `workspace NAME { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    /// Its kind, at the keyword.
    pub kind: Spanned<ResourceKind>,
    /// Its name.
    pub name: Name,
    /// Its attributes.
    pub attributes: Option<Map>,
    /// The whole.
    pub span: Span,
}

/// `approval NAME [after …] [when …] { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// Its name.
    pub name: Name,
    /// Its header, in source order; that only `after` and `when` are allowed is checked later.
    pub clauses: Vec<Clause>,
    /// Its attributes.
    pub attributes: Option<Map>,
    /// The whole.
    pub span: Span,
}

/// `defaults { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Its body.
    pub body: Body,
    /// The keyword.
    pub keyword: Span,
    /// The whole.
    pub span: Span,
}

/// `[finally] stage NAME … { … }`
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The word `finally`, where it is one.
    pub finally: Option<Span>,
    /// Its name.
    pub name: Name,
    /// Its header, in source order, repeats included.
    pub clauses: Vec<Clause>,
    /// Its body.
    pub body: Body,
    /// The whole.
    pub span: Span,
}

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
    /// A parameter.
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

/// One index of an address.
#[derive(Clone, Debug, PartialEq)]
pub enum Index {
    /// `"eu"`
    String(Str),
    /// `3`
    Number(Number),
    /// A variable or a parameter.
    Name(Name),
}

impl std::fmt::Display for Index {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::String(text) => write!(out, "{:?}", text.plain().unwrap_or_default()),
            Self::Number(number) => out.write_str(&number.text),
            Self::Name(name) => out.write_str(&name.text),
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
            let indices: Vec<String> = address.indices.iter().map(Index::to_string).collect();
            write!(out, "[{}]", indices.join(", "))?;
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
