//! What a server serves: each kind with its names, its subresources and its rules.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::builtin;
use crate::kind::{Kind, Resource};
use crate::names::NameRule;
use crate::status::Cause;

/// A part of an object with a path of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subresource {
    Status,
    Scale,
}

impl Subresource {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "status" => Some(Self::Status),
            "scale" => Some(Self::Scale),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Scale => "scale",
        }
    }
}

/// What is particular to a built-in kind.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// Fills in what a request left out.
    pub(crate) default: fn(&mut Value),
    /// Sets what only the server decides about a new object.
    pub(crate) prepare_create: fn(&mut Value),
    /// Keeps what an update of the whole object can't change.
    pub(crate) prepare_update: fn(&mut Value, &Value),
    pub(crate) validate: fn(&Value) -> Vec<Cause>,
    pub(crate) validate_update: fn(&Value, &Value) -> Vec<Cause>,
    pub(crate) validate_status_update: fn(&Value, &Value) -> Vec<Cause>,
}

impl fmt::Debug for Rules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Rules")
    }
}

/// Rules that change nothing and accept everything.
pub(crate) const NO_RULES: Rules = Rules {
    default: |_| {},
    prepare_create: |_| {},
    prepare_update: |_, _| {},
    validate: |_| Vec::new(),
    validate_update: |_, _| Vec::new(),
    validate_status_update: |_, _| Vec::new(),
};

/// Where the meaning of a kind comes from.
#[derive(Clone, Debug)]
pub(crate) enum Nature {
    Builtin(Rules),
}

/// A kind as it is served in one version.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) kind: Kind,
    pub(crate) singular: String,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) name_rule: NameRule,
    pub(crate) has_status: bool,
    /// Whether `metadata.generation` counts the changes of the spec.
    pub(crate) has_generation: bool,
    /// Whether replacing an object that is not there makes it.
    pub(crate) create_on_update: bool,
    /// Whether an object is replaced without naming the version that is replaced.
    pub(crate) unconditional_update: bool,
    /// Whether a deletion is answered with the object instead of a Status.
    pub(crate) returns_deleted: bool,
    /// Whether dependents are kept where a deletion does not say.
    pub(crate) orphans_by_default: bool,
    pub(crate) nature: Nature,
}

/// All definitions.
#[derive(Debug)]
pub(crate) struct Catalog {
    definitions: RwLock<BTreeMap<Resource, Arc<Definition>>>,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        let definitions = builtin::definitions().into_iter();
        Self {
            definitions: RwLock::new(
                definitions
                    .map(|definition| (definition.kind.resource.clone(), Arc::new(definition)))
                    .collect(),
            ),
        }
    }

    pub(crate) fn get(&self, resource: &Resource) -> Option<Arc<Definition>> {
        let definitions = self
            .definitions
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        definitions.get(resource).cloned()
    }
}
