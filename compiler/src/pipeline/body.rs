//! What a stage does: its container, and what is merged into its Job.

use konductor_dsl::Span;
use konductor_dsl::ast::YamlKind;

use super::{Name, Setting, Text};
use crate::script::{Interpreter, Script};
use crate::value::{Type, Value};

/// What a stage does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub action: Option<Action>,
    /// What executes a script that has no line `#!…`.
    pub shell: Option<Interpreter>,
    pub image: Option<Text>,
    pub env: Entries<EnvValue>,
    pub outputs: Vec<Output>,
    pub retries: Option<Setting>,
    pub timeout: Option<Setting>,
    /// How long a pod may wait for what it needs to start.
    pub pending: Option<Setting>,
    pub may_fail: Option<Setting>,
    pub cpu: Option<Setting>,
    pub memory: Option<Setting>,
    pub mounts: Vec<Mount>,
    pub service_account: Option<Text>,
    pub priority_class: Option<Text>,
    pub queue: Option<Text>,
    pub labels: Entries<Text>,
    pub annotations: Entries<Text>,
    pub node_selector: Entries<Text>,
    pub tolerations: Option<Vec<Toleration>>,
    /// In the order in which they are merged.
    pub passthrough: Vec<Passthrough>,
}

/// A taint that a stage's pods put up with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toleration {
    pub key: Option<Text>,
    pub operator: Option<String>,
    pub value: Option<Text>,
    pub effect: Option<String>,
}

/// YAML that is merged into the Job.
#[derive(Clone, Debug)]
pub(crate) struct Passthrough {
    pub kind: YamlKind,
    pub root: Node,
    pub span: Span,
    /// Where it says how many pods run at once.
    pub parallelism: Option<Span>,
}

/// A part of passthrough YAML, checked against the schema.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Json(serde_json::Value),
    Text { text: Text, leaf: Leaf },
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// What a text with interpolations becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    Text,
    Number,
    Bool,
}

impl Node {
    /// The member of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }
}

impl Passthrough {
    /// Whether it gives the stage's container an image.
    pub(crate) fn sets_image(&self) -> bool {
        let pod = match self.kind {
            YamlKind::Pod => Some(&self.root),
            YamlKind::Job => {
                let template = self.root.get("spec").and_then(|spec| spec.get("template"));
                template.and_then(|template| template.get("spec"))
            }
        };
        let containers = match pod.and_then(|pod| pod.get("containers")) {
            Some(Node::List(containers)) => containers.as_slice(),
            _ => &[],
        };
        containers.iter().any(|container| {
            let is_main = matches!(container.get("name"), Some(Node::Json(name)) if name == "main");
            is_main && container.get("image").is_some()
        })
    }
}

/// Named values in the order in which they were first given. A stage has a handful of each kind, and
/// most have none.
#[derive(Clone, Debug)]
pub(crate) struct Entries<T>(Vec<(String, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Entries<T> {
    /// Sets a value; one of the same name is replaced in its place.
    pub(crate) fn set(&mut self, name: String, value: T) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets all of another's values.
    pub(crate) fn extend(&mut self, others: Self) {
        if self.0.is_empty() {
            *self = others;
            return;
        }
        for (name, value) in others.0 {
            self.set(name, value);
        }
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The values, in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(_, value)| value)
    }
}

/// How a stage's container starts.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// A script.
    Run(Script),
    /// A program and its arguments.
    Exec(Vec<Text>),
}

/// The value of an environment variable.
#[derive(Clone, Debug)]
pub(crate) enum EnvValue {
    /// Text.
    Text(Text),
    /// A key of a Secret.
    Secret { name: String, key: String },
    /// A key of a ConfigMap.
    Config { name: String, key: String },
}

/// A value that a stage hands on.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub name: Name,
    pub ty: Type,
    pub default: Option<Value>,
}

/// A workspace in a stage's container.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub workspace: usize,
    pub path: String,
    pub span: Span,
}
