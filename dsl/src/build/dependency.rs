//! What a stage waits for.

use super::reference::address;
use super::{Index, NOWHERE, Number, Text, name, spanned};
use crate::ast::{self, ExternalKind};

/// What must hold before a stage starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Dep(ast::Dep);

impl Dep {
    /// A stage or an approval: it has succeeded, or was given.
    pub fn on(target: impl Into<String>) -> Target {
        Target {
            name: name(target),
            address: None,
            state: None,
        }
    }

    /// One of these holds.
    pub fn any<D: Into<Self>>(deps: impl IntoIterator<Item = D>) -> Self {
        Self(ast::Dep::Any {
            deps: deps.into_iter().map(|dep| dep.into().0).collect(),
            span: NOWHERE,
        })
    }

    /// A run of another pipeline has succeeded: `pipeline` or `namespace/pipeline`.
    pub fn pipeline(pipeline: impl Into<Text>) -> External {
        External::of(ExternalKind::Pipeline, pipeline.into())
    }

    /// A Gate in the cluster is open: `gate` or `namespace/gate`.
    pub fn gate(gate: impl Into<Text>) -> External {
        External::of(ExternalKind::Gate, gate.into())
    }

    /// A Barrier in the cluster is open: `barrier` or `namespace/barrier`.
    pub fn barrier(barrier: impl Into<Text>) -> External {
        External::of(ExternalKind::Barrier, barrier.into())
    }
}

impl From<Dep> for ast::Dep {
    fn from(dep: Dep) -> Self {
        dep.0
    }
}

impl From<&str> for Dep {
    fn from(target: &str) -> Self {
        Self::on(target).into()
    }
}

impl From<String> for Dep {
    fn from(target: String) -> Self {
        Self::on(target).into()
    }
}

/// A stage or an approval that is waited for, and how it must have ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    name: ast::Name,
    address: Option<ast::Address>,
    state: Option<ast::Name>,
}

impl Target {
    /// One item of the stage: one index for each of its loop variables. With [`Index::every`], all items that the
    /// others leave.
    #[must_use]
    pub fn item<I: Into<Index>>(mut self, indices: impl IntoIterator<Item = I>) -> Self {
        self.address = Some(address(indices));
        self
    }

    /// It has failed, or was denied.
    #[must_use]
    pub fn failed(self) -> Self {
        self.ended("failed")
    }

    /// It was skipped.
    #[must_use]
    pub fn skipped(self) -> Self {
        self.ended("skipped")
    }

    /// It has ended, however.
    #[must_use]
    pub fn finished(self) -> Self {
        self.ended("finished")
    }

    fn ended(mut self, state: &str) -> Self {
        self.state = Some(name(state));
        self
    }
}

impl From<Target> for Dep {
    fn from(target: Target) -> Self {
        Self(ast::Dep::Target {
            name: target.name,
            address: target.address,
            state: target.state,
            span: NOWHERE,
        })
    }
}

/// An object in the cluster that is waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct External {
    kind: ExternalKind,
    name: Text,
    within: Option<Number>,
}

impl External {
    fn of(kind: ExternalKind, name: Text) -> Self {
        let within = None;
        Self { kind, name, within }
    }

    /// The run has ended no longer ago than this.
    #[must_use]
    pub fn within(mut self, duration: impl Into<Number>) -> Self {
        self.within = Some(duration.into());
        self
    }
}

impl From<External> for Dep {
    fn from(external: External) -> Self {
        Self(ast::Dep::External {
            kind: spanned(external.kind),
            name: external.name.into(),
            within: external.within.map(ast::Number::from),
            span: NOWHERE,
        })
    }
}
