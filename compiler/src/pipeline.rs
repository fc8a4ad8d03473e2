//! The pipeline with every name resolved and every type known: what the rules look at and what the
//! plan is made from.
//!
//! What enters: nothing but what `resolve` puts together. What leaves: plain data. What must never
//! happen here: a name that is still text, unless it is the name of something in the cluster.

mod body;
pub(crate) mod script;

pub use body::ATTRIBUTES;
pub(crate) use body::{
    Action, Body, Entries, EnvValue, Leaf, Mount, Node, Output, Part, Passthrough, Place, Security,
    Toleration,
};

use std::sync::Arc;

use konductor_api::{LedgerKind, StoreSpec};
use konductor_dsl::Span;

use crate::value::{Type, Value};

/// A name where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub text: String,
    pub span: Span,
}

/// The whole pipeline.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub name: Name,
    pub description: Option<Text>,
    pub timeout: Option<Setting>,
    pub keep: Option<Setting>,
    pub fail_fast: Option<Setting>,
    pub schedule: Option<Schedule>,
    pub params: Vec<Param>,
    pub ledgers: Vec<Ledger>,
    pub workspaces: Vec<Workspace>,
    pub store: Option<Store>,
    pub approvals: Vec<Approval>,
    pub stages: Vec<Stage>,
}

impl Pipeline {
    /// Whether every parameter has a value, so that a run can be planned.
    pub(crate) fn is_complete(&self) -> bool {
        self.params.iter().all(|param| param.value.is_some())
            && (self.stages.iter()).all(|stage| stage.items.is_some() || stage.list.is_some())
    }
}

/// When the pipeline runs by itself.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub cron: String,
    /// Where the expression is written.
    pub span: Span,
    pub time_zone: Option<String>,
    pub overlap: Overlap,
    pub catch_up: Option<Setting>,
}

/// What happens if the previous run is still running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Both run.
    Allow,
    /// The new run is left out.
    Skip,
    /// The previous run is cancelled first.
    Replace,
}

/// A parameter.
#[derive(Debug)]
pub(crate) struct Param {
    pub name: Name,
    pub ty: Type,
    /// What it is in this run; unknown where a file is only checked.
    pub value: Option<Value>,
}

/// A Semaphore or a Lease.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub kind: LedgerKind,
    pub name: Name,
    /// It exists in the cluster under its bare name: nothing is emitted.
    pub external: bool,
    /// Of a Semaphore.
    pub permits: Option<Setting>,
    /// Of a Lease.
    pub ttl: Option<Setting>,
}

/// Where files are kept.
#[derive(Debug)]
pub(crate) struct Store {
    pub spec: StoreSpec,
    /// The workspace that it is.
    pub workspace: Option<usize>,
}

/// Storage that stages share.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub name: Name,
    pub external: bool,
    pub size: Option<Setting>,
    /// Mounted by many nodes at once.
    pub many: bool,
    pub storage_class: Option<Text>,
}

/// People who must agree.
#[derive(Debug)]
pub(crate) struct Approval {
    pub name: Name,
    pub after: Vec<Dependency>,
    pub when: Option<Box<When>>,
    pub approvers: Option<Setting>,
    pub timeout: Option<Setting>,
}

/// One stage, its body merged from defaults, templates and its own.
#[derive(Debug)]
pub(crate) struct Stage {
    pub name: Name,
    pub finally: bool,
    pub loops: Vec<Loop>,
    /// The fan-out's items, in source order; unknown where a parameter has no value, and where another stage writes
    /// them. Without `for` there is one, of no values.
    pub items: Option<Vec<Item>>,
    /// The list that another stage writes, if that has the items.
    pub list: Option<Box<List>>,
    /// How many items run at once.
    pub parallel: Option<Setting>,
    pub after: Vec<Dependency>,
    pub when: Option<Box<When>>,
    pub holding: Vec<Hold>,
    pub quorum: Option<Setting>,
    pub body: Body,
}

impl Stage {
    /// Whether it has a `for`.
    pub(crate) fn is_fan_out(&self) -> bool {
        !self.loops.is_empty()
    }

    /// Whether it reads or writes files or folders.
    pub(crate) fn has_files(&self) -> bool {
        let writes = self.body.outputs.iter().any(|output| output.ty.is_file());
        let texts = self.body.texts().map(|(_, text)| text);
        writes
            || texts
                .into_iter()
                .any(|text| text.references().any(Reference::reads_a_file))
    }
}

impl Reference {
    /// Whether it stands for a file or folder of another stage.
    fn reads_a_file(&self) -> bool {
        match &self.source {
            Source::Output { .. } => self.ty.is_file(),
            Source::Argument { value, .. } => match value.as_ref() {
                Term::Reference(reference) => reference.reads_a_file(),
                Term::Text(text) => text.references().any(Self::reads_a_file),
                Term::Value(_) | Term::List(_) | Term::Every | Term::Unknown => false,
            },
            _ => false,
        }
    }
}

/// A list of items known only at run time.
#[derive(Debug)]
pub(crate) struct List {
    /// The output, or the gathered outputs.
    pub reference: Reference,
    /// How many items there may be.
    pub max: Option<Setting>,
}

/// One variable of a `for`.
#[derive(Debug)]
pub(crate) struct Loop {
    pub name: Name,
    pub ty: Type,
    /// It counts a range that begins with 0.
    pub counts_from_zero: bool,
    /// Its values are written out in the file, and each is one word for a shell.
    pub is_plain: bool,
}

/// One element of a fan-out: a value for each variable.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub values: Vec<Value>,
}

impl Item {
    /// How people see it: `eu`, or `linux, 3`.
    pub(crate) fn text(&self) -> String {
        let keys: Vec<String> = self.values.iter().map(Value::key).collect();
        keys.join(", ")
    }
}

/// One entry of `after`, or one that a use of an output added.
#[derive(Clone, Debug)]
pub(crate) struct Dependency {
    pub target: Target,
    pub state: State,
    pub span: Span,
}

/// What a dependency waits for.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// A stage, or some items of it: one, or with [`Term::Every`] in the address several.
    Stage {
        stage: usize,
        address: Option<Vec<Term>>,
    },
    /// An approval.
    Approval(usize),
    /// One of several.
    Any(Vec<Dependency>),
    /// Something in the cluster that does not belong to the run.
    Outside(Outside),
}

/// Something in the cluster that a run waits for and that does not belong to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outside {
    /// A run of another pipeline.
    Pipeline {
        namespace: Option<String>,
        name: String,
        /// How old its end may be, in milliseconds.
        within: Option<u64>,
    },
    Gate {
        namespace: Option<String>,
        name: String,
    },
    Barrier {
        namespace: Option<String>,
        name: String,
    },
}

/// Equal for targets that are surely the same stage, item or approval.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TargetKey {
    Stage(usize, Option<AddressKey>),
    Approval(usize),
}

impl Target {
    /// The key of a stage, an item or an approval.
    pub(crate) fn key(&self) -> Option<TargetKey> {
        match self {
            Self::Stage { stage, address } => {
                let address = address.as_deref().map(address_key);
                Some(TargetKey::Stage(*stage, address))
            }
            Self::Approval(approval) => Some(TargetKey::Approval(*approval)),
            Self::Any(_) | Self::Outside(_) => None,
        }
    }
}

/// Equal for addresses that are surely of the same item.
pub(crate) type AddressKey = Vec<IndexKey>;

/// One index of an address, as [`AddressKey`] compares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum IndexKey {
    Value(String),
    Param(usize, Option<String>),
    Loop(usize, Option<String>),
    /// `*`
    Every,
    /// Known by the place where it is written.
    WrittenAt(Span),
    Unknown,
}

/// Returns a key that is equal for addresses that are surely of the same item.
pub(crate) fn address_key(address: &[Term]) -> AddressKey {
    let index = |term: &Term| match term {
        Term::Value(value) => IndexKey::Value(value.text()),
        Term::Reference(reference) => match &reference.source {
            Source::Param { param, field } => IndexKey::Param(*param, field.clone()),
            Source::Loop {
                variable, field, ..
            } => IndexKey::Loop(*variable, field.clone()),
            Source::Constant { .. }
            | Source::Output { .. }
            | Source::OwnOutput { .. }
            | Source::Token { .. }
            | Source::Workspace { .. }
            | Source::RunOutcome
            | Source::Argument { .. } => IndexKey::WrittenAt(reference.span),
        },
        Term::Text(text) => IndexKey::WrittenAt(text.span),
        Term::Every => IndexKey::Every,
        Term::List(_) | Term::Unknown => IndexKey::Unknown,
    };
    address.iter().map(index).collect()
}

/// Whether both addresses are surely of the same item.
pub(crate) fn same_address(left: &[Term], right: &[Term]) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| match (left, right) {
                (Term::Value(left), Term::Value(right)) => left == right,
                (Term::Reference(left), Term::Reference(right)) => {
                    left.source.is_same_input(&right.source)
                }
                (Term::Every, Term::Every) => true,
                _ => false,
            })
}

/// The end that a dependency waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum State {
    Succeeded,
    Failed,
    Skipped,
    Finished,
}

impl State {
    /// The word for it in the language; `succeeded` is never written.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Finished => "finished",
        }
    }
}

/// A condition, and where it is written.
#[derive(Debug)]
pub(crate) struct When {
    pub expr: Expr,
    /// As it is written in the file, for people: on one line, and not longer than they read.
    pub text: Arc<str>,
    pub span: Span,
}

/// Permits, or a Lease, that a stage holds while it runs.
#[derive(Debug)]
pub(crate) struct Hold {
    pub ledger: usize,
    pub permits: Option<Setting>,
    pub span: Span,
}

/// A scalar that an attribute takes: written as a literal, or as a parameter or loop variable.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub term: Box<Term>,
    pub span: Span,
}

/// A text with interpolations.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub pieces: Vec<Piece>,
    pub span: Span,
}

/// A part of a text.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Literal(String),
    Reference(Box<Reference>),
}

/// A use of something's value.
#[derive(Clone, Debug)]
pub(crate) struct Reference {
    pub source: Source,
    pub ty: Type,
    pub span: Span,
}

/// Where a value comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Known from the start: `run.name`, `run.date`.
    Constant { name: &'static str, value: Value },
    /// A parameter, or a field of it.
    Param { param: usize, field: Option<String> },
    /// A loop variable of the stage, or a field of it.
    Loop {
        variable: usize,
        name: String,
        field: Option<String>,
        /// See [`Loop::is_plain`].
        is_plain: bool,
    },
    /// What another stage hands on; with [`Term::Every`] in the address, the list of what several items do.
    Output {
        stage: usize,
        address: Vec<Term>,
        output: usize,
    },
    /// The path to which the stage itself writes a file or folder. Its script names it before the outputs of templates
    /// and defaults are put together, so by name.
    OwnOutput { output: String },
    /// The fencing token of a held Lease.
    Token { ledger: usize },
    /// The path of a mounted workspace.
    Workspace { workspace: usize },
    /// How the run's stages ended.
    RunOutcome,
    /// What a template's parameter stands for.
    Argument {
        name: String,
        value: Box<Term>,
        /// Distinguishes the uses of a template.
        use_id: Span,
    },
}

impl Source {
    /// Whether both are the same parameter or loop variable, or the same field of it.
    pub(crate) fn is_same_input(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Param { param, field },
                Self::Param {
                    param: other,
                    field: other_field,
                },
            ) => param == other && field == other_field,
            (
                Self::Loop {
                    variable, field, ..
                },
                Self::Loop {
                    variable: other,
                    field: other_field,
                    ..
                },
            ) => variable == other && field == other_field,
            _ => false,
        }
    }

    /// Whether it is known only at run time.
    pub(crate) fn is_run_time(&self) -> bool {
        match self {
            Self::Output { .. }
            | Self::OwnOutput { .. }
            | Self::Token { .. }
            | Self::RunOutcome => true,
            Self::Argument { value, .. } => value.is_run_time(),
            Self::Constant { .. }
            | Self::Param { .. }
            | Self::Loop { .. }
            | Self::Workspace { .. } => false,
        }
    }
}

/// A value in an expression, an address or an attribute.
#[derive(Clone, Debug)]
pub(crate) enum Term {
    Value(Value),
    Reference(Box<Reference>),
    Text(Text),
    List(Vec<Term>),
    /// `*` in an address: each value of the loop variable.
    Every,
    /// Of a template that is looked at by itself.
    Unknown,
}

impl Term {
    /// Whether it is known only at run time.
    pub(crate) fn is_run_time(&self) -> bool {
        match self {
            Self::Value(_) | Self::Every | Self::Unknown => false,
            Self::Reference(reference) => reference.source.is_run_time(),
            Self::Text(text) => text.references().any(|r| r.source.is_run_time()),
            Self::List(terms) => terms.iter().any(Self::is_run_time),
        }
    }

    /// Whether it is `*`.
    pub(crate) fn is_every(&self) -> bool {
        matches!(self, Self::Every)
    }

    /// Whether an address names all items of its stage.
    pub(crate) fn are_every(address: &[Self]) -> bool {
        !address.is_empty() && address.iter().all(Self::is_every)
    }

    /// Whether an address names several items, so that their outputs are a list.
    pub(crate) fn are_several(address: &[Self]) -> bool {
        address.iter().any(Self::is_every)
    }
}

impl Text {
    /// The references in it, in order.
    pub(crate) fn references(&self) -> impl Iterator<Item = &Reference> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Reference(reference) => Some(reference.as_ref()),
        })
    }

    /// How many bytes are written out in it.
    pub(crate) fn literal_bytes(&self) -> usize {
        let bytes = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => text.len(),
            Piece::Reference(_) => 0,
        });
        bytes.sum()
    }

    /// The text, where nothing in it is a reference.
    pub(crate) fn plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }
}

/// A condition.
#[derive(Clone, Debug)]
pub(crate) enum Expr {
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    /// A value that is true or false by itself.
    Bool(Term),
    Compare {
        operator: Operator,
        left: Term,
        right: Term,
    },
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
}
