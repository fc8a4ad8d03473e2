//! What a stage does: its container, and what is merged into its Job.

use konductor_api::FileKind;
use konductor_dsl::Span;
use konductor_dsl::ast::YamlKind;

use super::script::{Interpreter, Script};
use super::{Name, Setting, Text};
use crate::value::{Type, Value};

/// What a body may set.
pub const ATTRIBUTES: [&str; 17] = [
    "image",
    "run",
    "exec",
    "shell",
    "env",
    "retries",
    "timeout",
    "pending",
    "may-fail",
    "resources",
    "security",
    "service-account",
    "priority-class",
    "queue",
    "labels",
    "annotations",
    "node",
];

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
    /// Which of the Pod Security Standards its pods keep.
    pub security: Option<Setting>,
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

impl Body {
    /// Lays another body over this one: scalars replace, maps merge by key, mounts append, `run` and
    /// `exec` replace each other.
    pub(crate) fn overlay(&mut self, above: Self) {
        fn replace<T>(below: &mut Option<T>, above: Option<T>) {
            if above.is_some() {
                *below = above;
            }
        }
        let Self {
            action,
            shell,
            image,
            env,
            outputs,
            retries,
            timeout,
            pending,
            may_fail,
            cpu,
            memory,
            security,
            mounts,
            service_account,
            priority_class,
            queue,
            labels,
            annotations,
            node_selector,
            tolerations,
            passthrough,
        } = above;
        replace(&mut self.action, action);
        replace(&mut self.shell, shell);
        replace(&mut self.image, image);
        replace(&mut self.retries, retries);
        replace(&mut self.timeout, timeout);
        replace(&mut self.pending, pending);
        replace(&mut self.may_fail, may_fail);
        replace(&mut self.cpu, cpu);
        replace(&mut self.memory, memory);
        replace(&mut self.security, security);
        replace(&mut self.service_account, service_account);
        replace(&mut self.priority_class, priority_class);
        replace(&mut self.queue, queue);
        self.env.extend(env);
        self.labels.extend(labels);
        self.annotations.extend(annotations);
        replace(&mut self.tolerations, tolerations);
        self.node_selector.extend(node_selector);
        self.passthrough.extend(passthrough);
        self.outputs.extend(outputs);
        self.mounts.extend(mounts);
    }

    /// Every part in which an interpolation may be, in the order in which a Job has them. What a
    /// body depends on is always computed from these, so that no attribute can be forgotten.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let Self {
            action,
            // A word.
            shell: _,
            image,
            env,
            // Names, types and values.
            outputs: _,
            retries,
            timeout,
            pending,
            may_fail,
            cpu,
            memory,
            security,
            // Their paths are the same for all items.
            mounts: _,
            service_account,
            priority_class,
            queue,
            labels,
            annotations,
            node_selector,
            tolerations,
            passthrough,
        } = self;
        let (place, program): (Place, &[Text]) = match action {
            None => (Place::Argument, &[]),
            Some(Action::Run(script)) => (Place::Script, std::slice::from_ref(&script.text)),
            Some(Action::Exec(words)) => (Place::Argument, words.as_slice()),
        };
        let program = program.iter().map(move |text| (place, text));
        let variables = env.values().filter_map(|value| match value {
            EnvValue::Text(text) => Some((Place::Variable, text)),
            EnvValue::Secret { .. } | EnvValue::Config { .. } => None,
        });
        let single = [
            (Place::Image, image),
            (Place::ServiceAccount, service_account),
            (Place::PriorityClass, priority_class),
            (Place::Queue, queue),
        ];
        let single = single
            .into_iter()
            .filter_map(|(place, text)| Some((place, text.as_ref()?)));
        let maps = [
            (Place::Label, labels),
            (Place::Annotation, annotations),
            (Place::NodeSelector, node_selector),
        ];
        let maps = maps
            .into_iter()
            .flat_map(|(place, map)| map.values().map(move |text| (place, text)));
        let taints = tolerations.iter().flatten().flat_map(Toleration::texts);
        let texts = program
            .chain(variables)
            .chain(single)
            .chain(maps)
            .chain(taints);
        let settings = [retries, timeout, pending, may_fail, cpu, memory, security];
        texts
            .map(|(place, text)| Part::Text(place, text))
            .chain(settings.into_iter().flatten().map(Part::Setting))
            .chain(passthrough.iter().map(Part::Yaml))
    }

    /// The texts among its [parts](Self::parts), and what each is for.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Place, &Text)> {
        self.parts().filter_map(|part| match part {
            Part::Text(place, text) => Some((place, text)),
            Part::Setting(_) | Part::Yaml(_) => None,
        })
    }
}

/// Which of Kubernetes' Pod Security Standards the pods of a stage keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Security {
    /// What pods without a security context keep.
    Baseline,
    /// No root, no capabilities, no more rights than at the start.
    Restricted,
}

impl Security {
    /// The words of the attribute.
    pub(crate) const WORDS: [&str; 2] = ["baseline", "restricted"];

    pub(crate) fn parse(word: &str) -> Option<Self> {
        match word {
            "baseline" => Some(Self::Baseline),
            "restricted" => Some(Self::Restricted),
            _ => None,
        }
    }
}

/// A part of a body in which an interpolation may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part<'b> {
    Text(Place, &'b Text),
    Setting(&'b Setting),
    Yaml(&'b Passthrough),
}

/// What a text of a body is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Script,
    Argument,
    /// The value of an environment variable.
    Variable,
    Image,
    ServiceAccount,
    PriorityClass,
    Queue,
    Label,
    Annotation,
    NodeSelector,
    TaintKey,
    TaintValue,
}

impl Place {
    /// Whether the kubelet fills a value in that only the pod knows.
    pub(crate) fn is_of_program(self) -> bool {
        match self {
            Self::Script | Self::Argument | Self::Variable => true,
            Self::Image
            | Self::ServiceAccount
            | Self::PriorityClass
            | Self::Queue
            | Self::Label
            | Self::Annotation
            | Self::NodeSelector
            | Self::TaintKey
            | Self::TaintValue => false,
        }
    }
}

/// A taint that a stage's pods put up with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toleration {
    pub key: Option<Text>,
    pub operator: Option<String>,
    pub value: Option<Text>,
    pub effect: Option<String>,
}

impl Toleration {
    /// Its texts, and what each is for.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (Place, &Text)> {
        let Self {
            key,
            // Words.
            operator: _,
            value,
            effect: _,
        } = self;
        let key = key.iter().map(|text| (Place::TaintKey, text));
        key.chain(value.iter().map(|text| (Place::TaintValue, text)))
    }
}

/// YAML that is merged into the Job.
#[derive(Clone, Debug)]
pub(crate) struct Passthrough {
    pub kind: YamlKind,
    pub root: Node,
    pub span: Span,
    /// Where it says how many pods run at once.
    pub parallelism: Option<Span>,
    /// Every image that it names, of whatever kind of container or volume.
    pub images: Vec<Text>,
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
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, slot)) => *slot = value,
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

    /// Keeps the values of which this is true.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.0.retain(|(_, value)| keep(value));
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
    /// The name of its file or folder, if it is one.
    pub file: Option<String>,
}

impl Output {
    /// What it is, if it is a file or folder.
    pub(crate) fn file_kind(&self) -> Option<FileKind> {
        match self.ty {
            Type::File => Some(FileKind::File),
            Type::Dir => Some(FileKind::Dir),
            _ => None,
        }
    }
}

/// A workspace in a stage's container.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    pub workspace: usize,
    pub path: String,
    pub span: Span,
}
