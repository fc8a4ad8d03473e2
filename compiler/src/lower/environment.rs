//! How values reach a container: as environment variables, never as part of a script's text.
//!
//! What enters: texts with references. What leaves: the command line, the environment, and the
//! annotations by which the operator hands over what is known only at run time. What must never happen
//! here: a value written into a script.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use k8s_openapi::api::core::v1::{
    ConfigMapKeySelector, EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector,
};
use konductor_api::step::{FILES_FOLDER, INPUT_VARIABLE_PREFIX};
use konductor_api::{
    FileKind, Gathered, InputSpec, ItemVariable, OutputSpec, StepSpec, annotation,
};

use super::names::ledger_name;
use crate::eval::Values;
use crate::pipeline::{EnvValue, Output, Piece, Pipeline, Reference, Source, Stage, Term, Text};
use crate::plan::job::base;
use crate::plan::{Planned, varies};

/// Where a container finds the index of its item.
const INDEX_FIELD: &str = "metadata.annotations['batch.kubernetes.io/job-completion-index']";

/// Where programs that use OpenTelemetry look for the span that they are part of.
const TRACEPARENT: &str = "TRACEPARENT";

/// The environment of one Job's container, as it grows with each reference.
pub(crate) struct Environment<'a> {
    all: &'a Planned,
    stage: &'a Stage,
    values: Values<'a>,
    indexed: bool,
    pub variables: Vec<EnvVar>,
    /// By what the source calls the reference, and for a template's parameter which use it is of.
    names: HashMap<String, String>,
    taken: HashSet<String>,
    /// What the operator fetches when the Job starts: `in-0` and where it comes from.
    pub inputs: BTreeMap<String, String>,
    /// Annotations of the pod template that stand until then: an output's default.
    pub presets: BTreeMap<String, String>,
    /// What the wrapper of the command does, as far as references ask for it.
    pub step: StepSpec,
    /// Variables that only the wrapper reads.
    pub step_variables: Vec<EnvVar>,
}

impl<'a> Environment<'a> {
    pub(crate) fn new(
        all: &'a Planned,
        stage: &'a Stage,
        values: Values<'a>,
        indexed: bool,
    ) -> Self {
        Self {
            all,
            stage,
            values,
            indexed,
            variables: Vec::new(),
            names: HashMap::default(),
            taken: HashSet::default(),
            inputs: BTreeMap::new(),
            presets: BTreeMap::new(),
            step: StepSpec::default(),
            step_variables: Vec::new(),
        }
    }

    /// The files and folders that the stage writes, also those that its script does not name: another stage may read
    /// them.
    pub(crate) fn own_outputs(&mut self) {
        let stage = self.stage;
        for output in stage
            .body
            .outputs
            .iter()
            .filter(|output| output.ty.is_file())
        {
            self.variable(&Reference {
                source: Source::OwnOutput {
                    output: output.name.text.clone(),
                },
                ty: output.ty.clone(),
                span: output.name.span,
            });
        }
    }

    /// Returns what the wrapper of the command does; `None` if the command needs none.
    pub(crate) fn step(&mut self, item: Option<&str>) -> Option<StepSpec> {
        let mut step = std::mem::take(&mut self.step);
        if step.items.is_none() && step.inputs.is_empty() && step.outputs.is_empty() {
            return None;
        }
        step.run.clone_from(&self.all.plan.run);
        step.stage.clone_from(&self.stage.name.text);
        step.item = item.map(str::to_owned);
        let store = self.all.pipeline.store.as_ref();
        step.store = store.map(|store| store.spec.clone());
        Some(step)
    }

    /// A script: every reference becomes `${name}`.
    pub(crate) fn script(&mut self, text: &Text) -> String {
        let mut script = String::new();
        for piece in &text.pieces {
            match piece {
                Piece::Literal(literal) => escape(literal, &mut script),
                Piece::Reference(reference) => {
                    let name = self.variable(reference);
                    script.push_str(&format!("${{{name}}}"));
                }
            }
        }
        script
    }

    /// An argument or an environment variable's value: what is known is written out, for the rest
    /// kubelet puts the variable in.
    pub(crate) fn argument(&mut self, text: &Text) -> String {
        let mut argument = String::new();
        for piece in &text.pieces {
            match piece {
                Piece::Literal(literal) => escape(literal, &mut argument),
                Piece::Reference(reference) => match self.known(reference) {
                    Some(value) => escape(&value, &mut argument),
                    None => {
                        let name = self.variable(reference);
                        argument.push_str(&format!("$({name})"));
                    }
                },
            }
        }
        argument
    }

    /// The author's own variables, after those that they may refer to.
    pub(crate) fn own(&mut self, name: &str, value: &EnvValue) {
        let mut variable = EnvVar {
            name: name.to_owned(),
            ..EnvVar::default()
        };
        match value {
            EnvValue::Text(text) => variable.value = Some(self.argument(text)),
            EnvValue::Secret { name, key } => {
                let selector = SecretKeySelector {
                    name: name.clone(),
                    key: key.clone(),
                    optional: None,
                };
                variable.value_from = Some(EnvVarSource {
                    secret_key_ref: Some(selector),
                    ..Default::default()
                });
            }
            EnvValue::Config { name, key } => {
                let selector = ConfigMapKeySelector {
                    name: name.clone(),
                    key: key.clone(),
                    optional: None,
                };
                variable.value_from = Some(EnvVarSource {
                    config_map_key_ref: Some(selector),
                    ..Default::default()
                });
            }
        }
        self.variables.push(variable);
    }

    /// The place in the run's trace, which the operator writes with the start if it exports traces; empty otherwise. An
    /// author's own stays.
    pub(crate) fn traceparent(&mut self) {
        if self
            .variables
            .iter()
            .any(|variable| variable.name == TRACEPARENT)
        {
            return;
        }
        self.variables.push(EnvVar {
            name: TRACEPARENT.to_owned(),
            value_from: Some(pod_annotation(annotation::TRACEPARENT)),
            ..EnvVar::default()
        });
    }

    fn known(&self, reference: &Reference) -> Option<String> {
        if self.indexed && varies::of_source(&reference.source) {
            return None;
        }
        self.values
            .source(&reference.source)
            .map(|value| value.text())
    }

    /// The name of the variable that carries a reference's value.
    fn variable(&mut self, reference: &Reference) -> String {
        let shown = source_text(&self.all.pipeline, &reference.source);
        let key = match &reference.source {
            Source::Argument { use_id, .. } => {
                format!("{} {} {shown}", use_id.source.0, use_id.start)
            }
            _ => shown.clone(),
        };
        if let Some(name) = self.names.get(&key) {
            return name.clone();
        }
        let name = self.free_name(&shown);
        self.taken.insert(name.clone());
        self.names.insert(key, name.clone());
        let mut variable = EnvVar {
            name: name.clone(),
            ..EnvVar::default()
        };
        let is_listed = self.indexed && self.stage.list.is_some();
        if let (true, Source::Loop { field, .. }) = (is_listed, &reference.source) {
            let items = self.step.items.get_or_insert_default();
            items.variables.push(ItemVariable {
                name: name.clone(),
                field: field.clone(),
            });
            return name;
        }
        match self.known(reference) {
            Some(value) => {
                let mut escaped = String::new();
                escape(&value, &mut escaped);
                variable.value = Some(escaped);
            }
            None => self.fill(&mut variable, &reference.source),
        }
        self.variables.push(variable);
        name
    }

    fn fill(&mut self, variable: &mut EnvVar, source: &Source) {
        match source {
            Source::Loop { .. } => variable.value_from = Some(field(INDEX_FIELD.to_owned())),
            Source::Workspace { workspace } => {
                let mounts = &self.stage.body.mounts;
                let mount = mounts.iter().find(|mount| mount.workspace == *workspace);
                variable.value = mount.map(|mount| mount.path.clone());
            }
            Source::Token { ledger } => {
                let lease = ledger_name(&self.all.pipeline, *ledger);
                variable.value_from = Some(pod_annotation(&format!(
                    "{}{lease}",
                    annotation::TOKEN_PREFIX
                )));
            }
            Source::Output {
                stage,
                address,
                output,
            } => {
                let jobs = &self.all.plan.jobs;
                let declared = &self.all.pipeline.stages[*stage].body.outputs[*output];
                let default = declared.default.as_ref().map(|value| value.text());
                if let Some(kind) = declared.file_kind() {
                    let path = self.file_input(*stage, address, declared, kind, &variable.name);
                    variable.value = Some(path);
                    return;
                }
                if Term::are_several(address) {
                    match self.gathered(*stage, address, &declared.name.text, default) {
                        Some(from) => variable.value_from = Some(self.input(from, None)),
                        // All of them are left out, and write nothing.
                        None => variable.value = Some("[]".to_owned()),
                    }
                    return;
                }
                match jobs.addressed(*stage, address, self.values) {
                    Some(job) => {
                        let from = format!("{}/{}", jobs.list[job].name, declared.name.text);
                        variable.value_from = Some(self.input(from, default));
                    }
                    // The item is left out, and writes nothing.
                    None => {
                        let mut escaped = String::new();
                        escape(&default.unwrap_or_default(), &mut escaped);
                        variable.value = Some(escaped);
                    }
                }
            }
            Source::OwnOutput { output } => {
                let outputs = &self.stage.body.outputs;
                let declared = outputs
                    .iter()
                    .find(|declared| declared.name.text == *output);
                let Some((declared, kind)) =
                    declared.and_then(|declared| Some((declared, declared.file_kind()?)))
                else {
                    return;
                };
                let file = declared.file.as_deref().unwrap_or(output);
                variable.value = Some(format!("{FILES_FOLDER}/out/{output}/{file}"));
                self.step.outputs.push(OutputSpec {
                    name: output.clone(),
                    path: variable.name.clone(),
                    kind,
                });
            }
            Source::RunOutcome => {
                variable.value_from = Some(self.input("run.outcome".to_owned(), None));
            }
            Source::Argument { value, .. } => variable.value = Some(self.term(value)),
            Source::Constant { .. } | Source::Param { .. } => {}
        }
    }

    /// A file or folder that the wrapper fetches before the command starts. Returns its path.
    fn file_input(
        &mut self,
        stage: usize,
        address: &[Term],
        declared: &Output,
        kind: FileKind,
        variable: &str,
    ) -> String {
        let number = self.step.inputs.len();
        let folder = format!("{FILES_FOLDER}/in/{number}");
        let name = declared.file.as_deref().unwrap_or(&declared.name.text);
        let is_gathered = Term::are_several(address);
        let mut value = EnvVar {
            name: format!("{INPUT_VARIABLE_PREFIX}{number}"),
            ..EnvVar::default()
        };
        let from = match is_gathered {
            true => self.gathered(stage, address, &declared.name.text, None),
            false => {
                let jobs = &self.all.plan.jobs;
                let job = jobs.addressed(stage, address, self.values);
                job.map(|job| format!("{}/{}", jobs.list[job].name, declared.name.text))
            }
        };
        match from {
            // The operator gives a list in any case.
            Some(from) if is_gathered => value.value_from = Some(self.input(from, None)),
            // If it wrote none, nothing is fetched, and the reader starts as with a default.
            Some(from) => value.value_from = Some(self.input(from, Some(String::new()))),
            // All items are left out, and write nothing.
            None => value.value = Some(String::new()),
        }
        self.step_variables.push(value);
        let stage = &self.all.pipeline.stages[stage].name.text;
        self.step.inputs.push(InputSpec {
            name: format!("{stage}.{}", declared.name.text),
            path: variable.to_owned(),
            value: format!("{INPUT_VARIABLE_PREFIX}{number}"),
            kind,
            gathered: is_gathered,
        });
        match is_gathered {
            true => folder,
            false => format!("{folder}/{name}"),
        }
    }

    /// Leaves it to the wrapper to expand what the kubelet can't: it does not know the variables of the item, nor those
    /// that are made from them.
    pub(crate) fn leave_items(&mut self, variables: &mut [EnvVar], command: &mut [String]) {
        let Some(items) = &self.step.items else {
            return;
        };
        let names = items.variables.iter();
        let mut names: HashSet<String> = names.map(|variable| variable.name.clone()).collect();
        for variable in variables {
            let Some(value) = variable
                .value
                .as_mut()
                .filter(|value| refers(value, &names))
            else {
                continue;
            };
            *value = twice_escaped(value);
            names.insert(variable.name.clone());
            self.step.expands.push(variable.name.clone());
        }
        if command.iter().any(|word| refers(word, &names)) {
            self.step.expands_command = true;
            for word in command {
                *word = twice_escaped(word);
            }
        }
    }

    /// Outputs of several items, as the operator is to gather them; `None` if there are none. A stage that is
    /// skipped as a whole has a Job, and the operator finds no output of it.
    fn gathered(
        &self,
        stage: usize,
        address: &[Term],
        output: &str,
        default: Option<String>,
    ) -> Option<String> {
        let (fixed, _) = self.all.plan.jobs.several(stage, address, self.values)?;
        let gathered = Gathered {
            stage: self.all.pipeline.stages[stage].name.text.clone(),
            fixed,
            output: output.to_owned(),
            default,
        };
        Some(gathered.to_string())
    }

    /// What a template's parameter stands for, if it is known only at run time.
    fn term(&mut self, term: &Term) -> String {
        match term {
            Term::Text(text) => self.argument(text),
            Term::Reference(reference) => format!("$({})", self.variable(reference)),
            Term::Value(_) | Term::List(_) | Term::Every | Term::Unknown => String::new(),
        }
    }

    fn input(&mut self, from: String, default: Option<String>) -> EnvVarSource {
        let key = format!("in-{}", self.inputs.len());
        let annotation = format!("{}{key}", annotation::INPUT_PREFIX);
        self.inputs.insert(key, from);
        let source = pod_annotation(&annotation);
        if let Some(default) = default {
            self.presets.insert(annotation, default);
        }
        source
    }

    fn free_name(&self, shown: &str) -> String {
        let mut name = String::from("kon_");
        for c in shown.chars() {
            let c = if c.is_ascii_alphanumeric() { c } else { '_' };
            if !(c == '_' && name.ends_with('_')) {
                name.push(c);
            }
        }
        let base = name.trim_end_matches('_').to_owned();
        let mut name = base.clone();
        let mut count = 1;
        while self.taken.contains(&name) {
            count += 1;
            name = format!("{base}_{count}");
        }
        name
    }
}

/// Whether the kubelet would put one of these variables into a text, if it knew it.
fn refers(text: &str, names: &HashSet<String>) -> bool {
    let mut rest = text;
    while let Some((_, behind)) = rest.split_once('$') {
        rest = behind;
        if let Some(escaped) = rest.strip_prefix('$') {
            rest = escaped;
        } else if let Some((name, behind)) = rest.strip_prefix('(').and_then(|s| s.split_once(')'))
        {
            if names.contains(name) {
                return true;
            }
            rest = behind;
        }
    }
    false
}

fn twice_escaped(text: &str) -> String {
    let mut escaped = String::new();
    escape(text, &mut escaped);
    escaped
}

/// The list that a stage goes over, as the operator is to read it, and what stands in if nobody wrote it.
pub(super) fn list(all: &Planned, reference: &Reference) -> (String, Option<String>) {
    let Source::Output {
        stage,
        address,
        output,
    } = &reference.source
    else {
        return (String::new(), None);
    };
    let from = &all.pipeline.stages[*stage];
    let declared = &from.body.outputs[*output];
    let default = declared.default.as_ref().map(|value| value.text());
    let values = Values::of(&all.pipeline);
    if Term::are_several(address) {
        let several = all.plan.jobs.several(*stage, address, values);
        let gathered = Gathered {
            stage: from.name.text.clone(),
            fixed: several.map(|(fixed, _)| fixed).unwrap_or_default(),
            output: declared.name.text.clone(),
            default,
        };
        return (gathered.to_string(), None);
    }
    let job = all.plan.jobs.addressed(*stage, address, values);
    // One that is left out writes nothing, and no Job has this name.
    let job = job.map_or_else(
        || base(&all.plan.run, from),
        |job| all.plan.jobs.list[job].name.clone(),
    );
    (format!("{job}/{}", declared.name.text), default)
}

fn pod_annotation(name: &str) -> EnvVarSource {
    field(format!("metadata.annotations['{name}']"))
}

fn field(path: String) -> EnvVarSource {
    let selector = ObjectFieldSelector {
        api_version: None,
        field_path: path,
    };
    EnvVarSource {
        field_ref: Some(selector),
        ..Default::default()
    }
}

/// Appends a text so that kubelet, which expands `$(NAME)` and turns `$$` into `$`, passes it on unchanged
/// unchanged.
pub(super) fn escape(text: &str, into: &mut String) {
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, after) = rest.split_at(dollar + 1);
        into.push_str(before);
        if after.is_empty() || after.starts_with(['$', '(']) {
            into.push('$');
        }
        rest = after;
    }
    into.push_str(rest);
}

/// A reference as the source writes it: `extract[region].rows`.
pub(crate) fn source_text(pipeline: &Pipeline, source: &Source) -> String {
    let with_field = |name: &str, field: &Option<String>| match field {
        Some(field) => format!("{name}.{field}"),
        None => name.to_owned(),
    };
    match source {
        Source::Constant { name, .. } => (*name).to_owned(),
        Source::Param { param, field } => with_field(&pipeline.params[*param].name.text, field),
        Source::Loop { name, field, .. } => with_field(name, field),
        Source::Output {
            stage,
            address,
            output,
        } => {
            let stage = &pipeline.stages[*stage];
            let index: Vec<String> = address
                .iter()
                .map(|term| term_text(pipeline, term))
                .collect();
            let index = if index.is_empty() {
                String::new()
            } else {
                format!("[{}]", index.join(", "))
            };
            format!(
                "{}{index}.{}",
                stage.name.text, stage.body.outputs[*output].name.text
            )
        }
        Source::OwnOutput { output } => format!("output.{output}"),
        Source::Token { ledger } => format!("token.{}", pipeline.ledgers[*ledger].name.text),
        Source::Workspace { workspace } => {
            format!("workspace.{}", pipeline.workspaces[*workspace].name.text)
        }
        Source::RunOutcome => "run.outcome".to_owned(),
        Source::Argument { name, .. } => name.clone(),
    }
}

fn term_text(pipeline: &Pipeline, term: &Term) -> String {
    match term {
        Term::Value(value) => value.text(),
        Term::Reference(reference) => source_text(pipeline, &reference.source),
        Term::Every => "*".to_owned(),
        Term::Text(_) | Term::List(_) | Term::Unknown => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_text_survives_kubelets_expansion() {
        let table = [
            ("plain", "plain"),
            ("$HOME ${x}", "$HOME ${x}"),
            ("$(date)", "$$(date)"),
            ("echo $$", "echo $$$$"),
            ("$$(x)", "$$$$(x)"),
            ("5$", "5$$"),
        ];
        for (text, expected) in table {
            let mut escaped = String::new();
            escape(text, &mut escaped);
            assert_eq!(escaped, expected, "{text}");
        }
    }
}
