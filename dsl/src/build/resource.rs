//! Semaphores, leases, workspaces and approvals.

use super::stage::{after, when};
use super::{Condition, Dep, Key, Map, NOWHERE, Number, Text, Value, name, spanned};
use crate::ast::{self, ResourceKind};

fn resource(kind: ResourceKind, resource: impl Into<String>) -> ast::Resource {
    ast::Resource {
        kind: spanned(kind),
        name: name(resource),
        attributes: None,
        span: NOWHERE,
    }
}

macro_rules! attributes {
    ($($declared:ident),*) => {
        $(
            impl $declared {
                /// Sets any attribute, also one that has no method here.
                #[must_use]
                pub fn attribute(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
                    Map::add(&mut self.0.attributes, key, value);
                    self
                }
            }
        )*
    };
}

attributes!(Semaphore, Lease, Workspace, Approval);

/// A semaphore, shared by all runs of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Semaphore(ast::Resource);

impl Semaphore {
    /// One that needs [`permits`](Self::permits), or to be [`external`](Self::external).
    pub fn new(semaphore: impl Into<String>) -> Self {
        Self(resource(ResourceKind::Semaphore, semaphore))
    }

    /// How many permits there are.
    #[must_use]
    pub fn permits(self, permits: impl Into<Value>) -> Self {
        self.attribute("permits", permits)
    }

    /// Is in the cluster already, under this very name.
    #[must_use]
    pub fn external(self) -> Self {
        self.attribute("external", true)
    }
}

/// A lease, shared by all runs of the pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease(ast::Resource);

impl Lease {
    /// One that one holder has at a time.
    pub fn new(lease: impl Into<String>) -> Self {
        Self(resource(ResourceKind::Lease, lease))
    }

    /// How long a holder has it without renewing.
    #[must_use]
    pub fn ttl(self, ttl: impl Into<Value>) -> Self {
        self.attribute("ttl", ttl)
    }

    /// Is in the cluster already, under this very name.
    #[must_use]
    pub fn external(self) -> Self {
        self.attribute("external", true)
    }
}

/// How many stages may mount a workspace at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// One.
    One,
    /// Any number.
    Many,
}

/// A workspace: a volume that stages of one run share.
#[derive(Clone, Debug, PartialEq)]
pub struct Workspace(ast::Resource);

impl Workspace {
    /// One that needs a [`size`](Self::size), or to be [`external`](Self::external).
    pub fn new(workspace: impl Into<String>) -> Self {
        Self(resource(ResourceKind::Workspace, workspace))
    }

    /// How large it is, such as `10Gi`.
    #[must_use]
    pub fn size(self, size: impl Into<Value>) -> Self {
        self.attribute("size", size)
    }

    /// How many stages may mount it at once.
    #[must_use]
    pub fn access(self, access: Access) -> Self {
        let word = match access {
            Access::One => "one",
            Access::Many => "many",
        };
        self.attribute("access", Value::word(word))
    }

    /// The StorageClass that provides it.
    #[must_use]
    pub fn storage_class(self, class: impl Into<Text>) -> Self {
        self.attribute("storage-class", class.into())
    }

    /// Is in the cluster already, under this very name.
    #[must_use]
    pub fn external(self) -> Self {
        self.attribute("external", true)
    }
}

/// An approval by people.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval(ast::Approval);

impl Approval {
    /// One that begins to count at once, or when what it is [`after`](Self::after) holds.
    pub fn new(approval: impl Into<String>) -> Self {
        Self(ast::Approval {
            name: name(approval),
            clauses: Vec::new(),
            attributes: None,
            span: NOWHERE,
        })
    }

    /// Begins to count only when this holds; more than one must all hold.
    #[must_use]
    pub fn after(mut self, dep: impl Into<Dep>) -> Self {
        after(&mut self.0.clauses, dep);
        self
    }

    /// Is not needed where this is false; more than one must all hold.
    #[must_use]
    pub fn when(mut self, condition: impl Into<Condition>) -> Self {
        when(&mut self.0.clauses, condition);
        self
    }

    /// How many people must approve.
    #[must_use]
    pub fn approvers(self, approvers: impl Into<Value>) -> Self {
        self.attribute("approvers", approvers)
    }

    /// After how long it counts as denied.
    #[must_use]
    pub fn timeout(self, timeout: impl Into<Number>) -> Self {
        self.attribute("timeout", timeout.into())
    }
}

impl From<Semaphore> for ast::Item {
    fn from(semaphore: Semaphore) -> Self {
        Self::Resource(semaphore.0)
    }
}

impl From<Lease> for ast::Item {
    fn from(lease: Lease) -> Self {
        Self::Resource(lease.0)
    }
}

impl From<Workspace> for ast::Item {
    fn from(workspace: Workspace) -> Self {
        Self::Resource(workspace.0)
    }
}

impl From<Approval> for ast::Item {
    fn from(approval: Approval) -> Self {
        Self::Approval(approval.0)
    }
}
