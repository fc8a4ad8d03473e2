//! Bodies: what a stage does, merged from defaults and its own.

use foldhash::HashMap;
use konductor_dsl::{Span, ast};

use super::declare::Once;
use super::template::uses_any;
use super::term::Use;
use super::{Resolver, Scope, Time};
use crate::limits::{ENTRIES_MAX, FILE_NAME_MAX, RETRIES_MAX, WORK_BYTES_MAX};
use crate::pipeline::script::{Interpreter, Script};
use crate::pipeline::{
    ATTRIBUTES, Action, Body, Entries, EnvValue, Output, Security, Text, Toleration,
};
use crate::rules::{self, kube_text};
use crate::value::Type;

/// The first field with a default of the records of a list.
fn defaulted_field(ty: &ast::Type) -> Option<&ast::Param> {
    let ast::TypeKind::List(item) = &ty.kind else {
        return None;
    };
    match &item.kind {
        ast::TypeKind::Record(fields) => fields.iter().find(|field| field.default.is_some()),
        _ => None,
    }
}

/// The type of a file or folder, if it is one.
pub(super) fn file_type(ty: &ast::Type) -> Option<Type> {
    match &ty.kind {
        ast::TypeKind::Scalar { name, range: None } if name.text == "file" => Some(Type::File),
        ast::TypeKind::Scalar { name, range: None } if name.text == "dir" => Some(Type::Dir),
        _ => None,
    }
}

/// Whether a file can be called this on every system and in every store.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= FILE_NAME_MAX && name.chars().all(is_plain) && !matches!(name, "" | "." | "..")
}

impl<'a> Resolver<'a> {
    /// The outputs that a stage declares: the defaults' and its own.
    pub(super) fn outputs(&mut self, stage: &'a ast::Stage) -> Vec<Output> {
        let mut outputs = Vec::new();
        let mut once = Once::default();
        for item in self
            .all_bodies(stage)
            .into_iter()
            .flat_map(|body| &body.items)
        {
            if let ast::BodyItem::Output(param) = item
                && once.add(&param.name, "output", self.diagnostics)
            {
                match self.declared_output(param) {
                    Some(output) => outputs.push(output),
                    None => {
                        let name = param.name.text.clone();
                        self.broken_outputs.insert((&stage.name.text, name));
                    }
                }
            }
        }
        outputs
    }

    fn declared_output(&mut self, ast: &ast::Param) -> Option<Output> {
        if let Some(ty) = file_type(&ast.ty) {
            return self.file_output(ast, ty);
        }
        let ty = self.ty(&ast.ty)?;
        if let Type::Record(_) = ty {
            self.report(rules::bad_type::output_is_a_record(ast.ty.span, &ty));
            return None;
        }
        if let Some(field) = defaulted_field(&ast.ty) {
            self.report(rules::bad_type::field_of_output_with_default(field));
            return None;
        }
        let default = match &ast.default {
            None => None,
            Some(value) => {
                let term = self.term(value, &ty, Scope::PIPELINE, Time::Compile)?;
                crate::eval::Values {
                    params: &self.params,
                    item: &[],
                }
                .term(&term)
            }
        };
        Some(Output {
            name: super::name(&ast.name),
            ty,
            default,
            file: None,
        })
    }

    /// `output lines: file = "lines.txt"`: what is behind `=` is its name.
    fn file_output(&mut self, ast: &ast::Param, ty: Type) -> Option<Output> {
        let file = match &ast.default {
            None => ast.name.text.clone(),
            Some(ast::Value::String(text))
                if text.plain().is_some_and(|name| is_file_name(&name)) =>
            {
                text.plain().unwrap_or_default()
            }
            Some(other) => {
                self.report(rules::bad_type::file_name(other.span()));
                return None;
            }
        };
        Some(Output {
            name: super::name(&ast.name),
            ty,
            default: None,
            file: Some(file),
        })
    }

    /// The files and folders that a body declares by itself.
    pub(super) fn files_of(&mut self, body: &'a ast::Body) -> Vec<Output> {
        let outputs = body.items.iter().filter_map(|item| match item {
            ast::BodyItem::Output(param) => {
                Some((param, file_type(&param.ty).unwrap_or(Type::String)))
            }
            _ => None,
        });
        let outputs = outputs.map(|(param, ty)| Output {
            name: super::name(&param.name),
            file: ty.is_file().then(|| param.name.text.clone()),
            ty,
            default: None,
        });
        outputs.collect()
    }

    /// The bodies that a stage is made of: the defaults', its own, and what they use.
    pub(super) fn all_bodies(&mut self, stage: &'a ast::Stage) -> Vec<&'a ast::Body> {
        let mut bodies = Vec::with_capacity(2);
        for body in self.defaults.clone().into_iter().chain([&stage.body]) {
            if uses_any(body) {
                bodies.extend(self.layers(body).bodies());
            } else {
                bodies.push(body);
            }
        }
        bodies
    }

    /// Resolves a stage's body, merged with what comes before it.
    pub(super) fn body(&mut self, stage: &'a ast::Stage, scope: Scope<'_>) -> Body {
        let mut body = Body::default();
        for defaults in self.defaults.clone() {
            let layer = self.merged(
                defaults,
                Scope {
                    loops: &[],
                    ..scope
                },
            );
            body.overlay(layer);
        }
        let own = self.merged(&stage.body, scope);
        body.overlay(own);
        self.check_script(&body);
        let mut paths: HashMap<&str, Span> = HashMap::default();
        for mount in &body.mounts {
            if let Some(first) = paths.insert(mount.path.trim_end_matches('/'), mount.span) {
                let reported = rules::mounted_twice::report(mount.span, first);
                self.diagnostics.push(reported);
            }
        }
        body
    }

    /// One body by itself.
    pub(super) fn layer(&mut self, ast: &'a ast::Body, scope: Scope<'_>) -> Body {
        let mut body = Body::default();
        self.work = self.work.saturating_add(ast.span.len());
        if self.work > WORK_BYTES_MAX {
            self.report(rules::large_body::of_pipeline(&self.ast.name));
            return body;
        }
        let mut seen: HashMap<&str, &ast::Attribute> = HashMap::default();
        let mut action_at: Option<&ast::Key> = None;
        for item in &ast.items {
            match item {
                ast::BodyItem::Output(_) => {}
                // A template by itself has no workspaces.
                ast::BodyItem::Mount { .. } if scope.stage.is_none() => {}
                ast::BodyItem::Mount {
                    workspace,
                    path,
                    span,
                } => {
                    body.mounts
                        .extend(self.mount(workspace, path, *span, scope));
                }
                ast::BodyItem::Use { .. } => {}
                ast::BodyItem::Yaml { kind, text, .. } => {
                    body.passthrough
                        .extend(self.passthrough(kind.value, text, scope));
                }
                ast::BodyItem::Attribute(attribute) => {
                    let key = &attribute.key;
                    if let Some(first) = seen.insert(&key.text, attribute) {
                        self.report(rules::duplicate_attribute::report(attribute, first));
                        continue;
                    }
                    if matches!(key.text.as_str(), "run" | "exec") {
                        match action_at {
                            Some(first) => {
                                self.report(rules::run_and_exec::report(key, first));
                                continue;
                            }
                            None => action_at = Some(key),
                        }
                    }
                    if !ATTRIBUTES.contains(&key.text.as_str()) {
                        let is_given = |name: &str| {
                            let is = |item: &ast::BodyItem| matches!(item, ast::BodyItem::Attribute(other) if other.key.text == name);
                            ast.items.iter().any(is)
                        };
                        let report = rules::unknown_attribute::report;
                        self.report(report(key, &ATTRIBUTES, is_given));
                        continue;
                    }
                    self.attribute(attribute, &mut body, scope);
                }
            }
        }
        body
    }

    fn attribute(&mut self, ast: &'a ast::Attribute, body: &mut Body, scope: Scope<'_>) {
        let value = &ast.value;
        match ast.key.text.as_str() {
            "image" => body.image = self.name_value(value, scope),
            "run" => body.action = self.script(value, scope).map(Action::Run),
            "shell" => body.shell = self.shell(value),
            "exec" => body.action = self.exec(value, scope).map(Action::Exec),
            "env" => body.env = self.env(value, scope),
            "retries" => {
                body.retries = self.setting(value, &Type::Int(Some(0..=RETRIES_MAX)), scope);
            }
            "timeout" => body.timeout = self.duration(value, scope),
            "pending" => body.pending = self.duration(value, scope),
            "may-fail" => body.may_fail = self.setting(value, &Type::Bool, scope),
            "resources" => self.resources(value, body, scope),
            "security" => {
                let levels = Security::WORDS.map(str::to_owned);
                body.security = self.setting(value, &Type::Words(levels.to_vec()), scope);
            }
            "service-account" => {
                body.service_account = self.name_value(value, scope);
            }
            "priority-class" => body.priority_class = self.name_value(value, scope),
            "queue" => body.queue = self.name_value(value, scope),
            "labels" => body.labels = self.metadata(value, scope, "label"),
            "annotations" => body.annotations = self.metadata(value, scope, "annotation"),
            "node" => self.node(value, body, scope),
            // Reported above.
            _ => {}
        }
    }

    /// A text that names something: a number is a slip.
    fn name_value(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Text> {
        match value {
            ast::Value::Number(number) => {
                self.report(rules::wrong_type::number(number, &Type::String));
                None
            }
            ast::Value::Bool(literal) => {
                let mistake = rules::wrong_type::report(literal.span, &Type::String, &Type::Bool);
                self.report(mistake);
                None
            }
            _ => self.text_value(value, scope, Time::Compile),
        }
    }

    fn script(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Script> {
        let ast::Value::String(ast) = value else {
            self.report(rules::wrong_type::script(value.span()));
            return None;
        };
        let text = self.text(ast, scope, Time::Run, Use::Script)?;
        text.references()
            .for_each(|reference| self.note_reads(reference));
        Some(Script::new(ast, text))
    }

    /// `shell = "bash"`
    fn shell(&mut self, value: &ast::Value) -> Option<Interpreter> {
        let text = match value {
            ast::Value::String(text) => text.plain(),
            _ => None,
        };
        let interpreter = text.and_then(|text| Interpreter::parse(&text));
        if interpreter.is_none() {
            let word = match value {
                ast::Value::Ref(word) => Interpreter::parse(&word.head.text),
                _ => None,
            };
            self.report(rules::unknown_interpreter::of_shell(value.span(), word));
        }
        interpreter
    }

    /// Looks at the script of a body that is complete: what a `${…}` means in it depends on what
    /// executes it.
    pub(super) fn check_script(&mut self, body: &Body) {
        let Some(Action::Run(script)) = &body.action else {
            return;
        };
        let reported = match script.interpreter(body.shell.as_ref()) {
            Ok(interpreter) if interpreter.reads("").is_none() => {
                rules::quoting::check(script, body)
            }
            Ok(interpreter) => rules::interpolated_script::check(script, &interpreter).collect(),
            Err(line) => vec![rules::unknown_interpreter::of_script(script.head, line)],
        };
        self.diagnostics.extend(reported);
    }

    fn exec(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Vec<Text>> {
        let ast::Value::List(list) = value else {
            self.report(rules::wrong_type::exec(value.span()));
            return None;
        };
        if list.items.is_empty() {
            self.report(rules::wrong_type::exec(list.span));
            return None;
        }
        let words = list.items.iter().map(|item| self.run_text(item, scope));
        words.collect::<Vec<_>>().into_iter().collect()
    }

    /// A text that may hold what is known only at run time.
    fn run_text(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Text> {
        let text = self.text_value(value, scope, Time::Run)?;
        text.references()
            .for_each(|reference| self.note_reads(reference));
        Some(text)
    }

    fn env(&mut self, value: &'a ast::Value, scope: Scope<'_>) -> Entries<EnvValue> {
        let mut env = Entries::default();
        let entries = self.map_entries(value);
        self.diagnostics
            .extend(rules::bad_key::env_of_kubernetes(&entries));
        for entry in entries {
            let key = &entry.key;
            if let Some(problem) = rules::bad_key::env(key) {
                self.report(problem);
                continue;
            }
            let value = match &entry.value {
                ast::Value::Call {
                    kind, name, key, ..
                } => self.call(kind.value, name, key, scope),
                other => self.run_text(other, scope).map(EnvValue::Text),
            };
            if let Some(EnvValue::Text(text)) = &value {
                self.diagnostics
                    .extend(rules::plain_secret::check(key, text));
            }
            if let Some(value) = value {
                env.set(key.text.clone(), value);
            }
        }
        env
    }

    fn call(
        &mut self,
        kind: ast::CallKind,
        name: &ast::Str,
        key: &ast::Str,
        scope: Scope<'_>,
    ) -> Option<EnvValue> {
        let mut plain_text = |text: &ast::Str, kind: kube_text::Kind| {
            let resolved = self.text(text, scope, Time::Compile, Use::Other)?;
            match resolved.plain() {
                Some(plain) if !kind.takes(plain) => {
                    self.report(kube_text::report(text.span, kind, None));
                    None
                }
                Some(plain) => Some(plain.to_owned()),
                None => {
                    self.report(rules::not_here::interpolated_secret(text.span));
                    None
                }
            }
        };
        let name = plain_text(name, kube_text::Kind::Name);
        let key = plain_text(key, kube_text::Kind::Key);
        let (name, key) = (name?, key?);
        Some(match kind {
            ast::CallKind::Secret => EnvValue::Secret { name, key },
            ast::CallKind::Config => EnvValue::Config { name, key },
        })
    }

    /// Labels or annotations.
    fn metadata(&mut self, value: &'a ast::Value, scope: Scope<'_>, what: &str) -> Entries<Text> {
        let mut map = Entries::default();
        for entry in self.map_entries(value) {
            if let Some(problem) = rules::bad_key::metadata(&entry.key, what) {
                self.report(problem);
                continue;
            }
            let Some(text) = self.text_value(&entry.value, scope, Time::Compile) else {
                continue;
            };
            map.set(entry.key.text.clone(), text);
        }
        map
    }

    /// The entries of a map with keys of the author's choice, each once.
    fn map_entries<'m>(&mut self, value: &'m ast::Value) -> Vec<&'m ast::Attribute> {
        let ast::Value::Map(map) = value else {
            self.report(rules::wrong_type::no_map(value.span(), "NAME = \"value\""));
            return Vec::new();
        };
        if map.entries.len() > ENTRIES_MAX {
            self.report(rules::large_body::of_entries(map.span, map.entries.len()));
            return Vec::new();
        }
        let mut seen: HashMap<&str, &ast::Attribute> = HashMap::default();
        let mut entries = Vec::with_capacity(map.entries.len());
        for entry in &map.entries {
            match seen.get(entry.key.text.as_str()) {
                Some(first) => self.report(rules::duplicate_attribute::report(entry, first)),
                None => {
                    seen.insert(&entry.key.text, entry);
                    entries.push(entry);
                }
            }
        }
        entries
    }

    fn resources(&mut self, value: &ast::Value, body: &mut Body, scope: Scope<'_>) {
        let ast::Value::Map(map) = value else {
            self.report(rules::wrong_type::no_map(
                value.span(),
                "cpu = 500m, memory = 1Gi",
            ));
            return;
        };
        for entry in self.entries(map, &["cpu", "memory"]) {
            let before = self.diagnostics.len();
            let setting = self.setting(&entry.value, &Type::Quantity, scope);
            if entry.key.text == "cpu" {
                let reported = &mut self.diagnostics[before..];
                rules::amount::in_cores(reported, entry.value.span());
            }
            let values = crate::eval::Values {
                params: &self.params,
                item: &[],
            };
            let amount = values.quantity(&setting);
            let span = entry.value.span();
            if entry.key.text == "cpu" {
                let reported = amount.and_then(|text| rules::amount::check_cpu(span, &text));
                self.diagnostics.extend(reported);
                body.cpu = setting;
            } else {
                let reported = amount.and_then(|text| rules::amount::check(span, &text));
                self.diagnostics.extend(reported);
                body.memory = setting;
            }
        }
    }

    /// Where a stage's pods may run.
    fn node(&mut self, value: &'a ast::Value, body: &mut Body, scope: Scope<'_>) {
        let ast::Value::Map(map) = value else {
            self.report(rules::wrong_type::no_map(
                value.span(),
                "selector { KEY = \"VALUE\" }",
            ));
            return;
        };
        for entry in self.entries(map, &["selector", "tolerations"]) {
            if entry.key.text == "selector" {
                body.node_selector = self.metadata(&entry.value, scope, "label");
                continue;
            }
            let ast::Value::List(list) = &entry.value else {
                self.report(rules::wrong_type::tolerations(entry.value.span()));
                continue;
            };
            let tolerations = list.items.iter();
            let tolerations = tolerations.filter_map(|item| self.toleration(item, scope));
            body.tolerations = Some(tolerations.collect());
        }
    }

    fn toleration(&mut self, value: &ast::Value, scope: Scope<'_>) -> Option<Toleration> {
        const OPERATORS: [&str; 2] = ["Exists", "Equal"];
        const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        let ast::Value::Map(map) = value else {
            self.report(rules::wrong_type::tolerations(value.span()));
            return None;
        };
        let mut toleration = Toleration::default();
        for entry in self.entries(map, &["key", "operator", "value", "effect"]) {
            let value = &entry.value;
            match entry.key.text.as_str() {
                "key" => toleration.key = self.text_value(value, scope, Time::Compile),
                "value" => toleration.value = self.text_value(value, scope, Time::Compile),
                "operator" => {
                    toleration.operator = self.word(value, &OPERATORS).map(str::to_owned);
                }
                _ => toleration.effect = self.word(value, &EFFECTS).map(str::to_owned),
            }
        }
        Some(toleration)
    }
}
