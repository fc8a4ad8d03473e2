//! The syntax tree: what is written, and where. Nothing is resolved here.

mod body;
mod header;
mod value;

pub use body::*;
pub use header::*;
pub use value::*;

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
    /// The names of templates that could not be read: they still count as declared.
    pub unread: Vec<Name>,
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
    /// The names of declarations that could not be read: they still count as declared.
    pub unread: Vec<Name>,
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
