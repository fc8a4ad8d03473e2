//! What stages, templates and defaults do.

use super::value::{attribute, map_of};
use super::{Key, Map, NOWHERE, Param, Text, Value, name, spanned};
use crate::ast::{Attribute, BodyItem, YamlKind};

/// What has body items.
pub trait Items {
    /// The items so far.
    fn items(&mut self) -> &mut Vec<BodyItem>;
}

/// What a stage does: also a template, and what a pipeline's defaults are.
///
/// `env`, `label` and the like may be called again, each adds an entry. What may be given once only
/// is written as often as it was given, and refused by the compiler.
pub trait Body: Items + Sized {
    /// The container image.
    #[must_use]
    fn image(self, image: impl Into<Text>) -> Self {
        self.attribute("image", image.into())
    }

    /// A script for `/bin/sh -eu -c`. References in it become environment variables, so no value is
    /// read as shell code; in double quotes, as by [`Ref::quoted`](super::Ref::quoted), each is one
    /// word. `${HOME}` and `${x}` in literals are the shell's.
    #[must_use]
    fn run(self, script: impl Into<Text>) -> Self {
        self.attribute("run", script.into().script())
    }

    /// What executes the script of `run`, such as `bash` or `python3 -u`.
    #[must_use]
    fn shell(self, shell: impl Into<Text>) -> Self {
        self.attribute("shell", shell.into())
    }

    /// A command and its arguments, without a shell.
    #[must_use]
    fn exec<V: Into<Text>>(self, command: impl IntoIterator<Item = V>) -> Self {
        let words: Vec<Text> = command.into_iter().map(Into::into).collect();
        self.attribute("exec", words)
    }

    /// An environment variable.
    #[must_use]
    fn env(mut self, variable: impl Into<Key>, value: impl Into<Value>) -> Self {
        entry(self.items(), "env", attribute(variable, value));
        self
    }

    /// Declares an output: a line `name=value` in `$KON_OUTPUT`.
    #[must_use]
    fn output(mut self, output: Param) -> Self {
        self.items().push(BodyItem::Output(Box::new(output.into())));
        self
    }

    /// How many more pods an item gets if one fails.
    #[must_use]
    fn retries(self, retries: impl Into<Value>) -> Self {
        self.attribute("retries", retries)
    }

    /// How long its Job may take from start to end, retries included.
    #[must_use]
    fn timeout(self, timeout: impl Into<Value>) -> Self {
        self.attribute("timeout", timeout)
    }

    /// How long a pod may wait for what it needs to start, such as a node or its image.
    #[must_use]
    fn pending(self, pending: impl Into<Value>) -> Self {
        self.attribute("pending", pending)
    }

    /// Its failure does not make the run fail.
    #[must_use]
    fn may_fail(self) -> Self {
        self.attribute("may-fail", true)
    }

    /// Which Pod Security Standard its pods keep: `restricted`, or `baseline` if it is not set.
    #[must_use]
    fn security(self, level: impl Into<Text>) -> Self {
        self.attribute("security", level.into())
    }

    /// How much CPU is requested, such as `500m`.
    #[must_use]
    fn cpu(mut self, cpu: impl Into<Value>) -> Self {
        entry(self.items(), "resources", attribute("cpu", cpu));
        self
    }

    /// How much memory is requested and not exceeded, such as `1Gi`.
    #[must_use]
    fn memory(mut self, memory: impl Into<Value>) -> Self {
        entry(self.items(), "resources", attribute("memory", memory));
        self
    }

    /// Mounts a workspace.
    #[must_use]
    fn mount(mut self, workspace: impl Into<String>, path: impl Into<Text>) -> Self {
        self.items().push(BodyItem::Mount {
            workspace: name(workspace),
            path: path.into().into(),
            span: NOWHERE,
        });
        self
    }

    /// The ServiceAccount of its pods.
    #[must_use]
    fn service_account(self, account: impl Into<Text>) -> Self {
        self.attribute("service-account", account.into())
    }

    /// A label that nodes for its pods must have.
    #[must_use]
    fn node_selector(mut self, label: impl Into<Key>, value: impl Into<Value>) -> Self {
        if let Some(node) = map_of(self.items(), "node", of_body, BodyItem::Attribute)
            && let Some(selector) = map_of(node, "selector", |entry| Some(entry), |entry| entry)
        {
            selector.push(attribute(label, value));
        }
        self
    }

    /// The taints of nodes that its pods tolerate, all of them at once.
    #[must_use]
    fn tolerations(mut self, tolerations: impl IntoIterator<Item = Map>) -> Self {
        let tolerations: Vec<Map> = tolerations.into_iter().collect();
        entry(self.items(), "node", attribute("tolerations", tolerations));
        self
    }

    /// The PriorityClass of its pods.
    #[must_use]
    fn priority_class(self, class: impl Into<Text>) -> Self {
        self.attribute("priority-class", class.into())
    }

    /// The LocalQueue of Kueue that admits it.
    #[must_use]
    fn queue(self, queue: impl Into<Text>) -> Self {
        self.attribute("queue", queue.into())
    }

    /// A label of its Jobs and pods.
    #[must_use]
    fn label(mut self, label: impl Into<Key>, value: impl Into<Value>) -> Self {
        entry(self.items(), "labels", attribute(label, value));
        self
    }

    /// An annotation of its Jobs and pods.
    #[must_use]
    fn annotation(mut self, annotation: impl Into<Key>, value: impl Into<Value>) -> Self {
        entry(self.items(), "annotations", attribute(annotation, value));
        self
    }

    /// Puts a template's body here.
    #[must_use]
    fn uses<K: Into<Key>, V: Into<Value>>(
        mut self,
        template: impl Into<String>,
        arguments: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let mut map = None;
        for (key, value) in arguments {
            Map::add(&mut map, key, value);
        }
        self.items().push(BodyItem::Use {
            template: name(template),
            arguments: map,
            span: NOWHERE,
        });
        self
    }

    /// YAML of a PodSpec, merged into the pod last.
    #[must_use]
    fn pod(self, yaml: impl Into<Text>) -> Self {
        passthrough(self, YamlKind::Pod, yaml.into())
    }

    /// YAML of a Job from `spec:` down, merged into the Job last.
    #[must_use]
    fn job(self, yaml: impl Into<Text>) -> Self {
        passthrough(self, YamlKind::Job, yaml.into())
    }

    /// Sets any attribute, also one that has no method here.
    #[must_use]
    fn attribute(mut self, key: impl Into<Key>, value: impl Into<Value>) -> Self {
        let attribute = attribute(key, value);
        self.items().push(BodyItem::Attribute(attribute));
        self
    }
}

fn of_body(item: &mut BodyItem) -> Option<&mut Attribute> {
    match item {
        BodyItem::Attribute(attribute) => Some(attribute),
        _ => None,
    }
}

/// Adds an entry to the map that an attribute is.
fn entry(items: &mut Vec<BodyItem>, key: &str, entry: Attribute) {
    if let Some(map) = map_of(items, key, of_body, BodyItem::Attribute) {
        map.push(entry);
    }
}

fn passthrough<B: Body>(mut body: B, kind: YamlKind, yaml: Text) -> B {
    body.items().push(BodyItem::Yaml {
        kind: spanned(kind),
        text: yaml.into(),
        span: NOWHERE,
    });
    body
}
