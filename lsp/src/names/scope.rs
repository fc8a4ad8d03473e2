//! What a name means where it stands.

use std::collections::HashMap;

use konductor_compiler::WORKSPACE_SCHEME;
use konductor_dsl::{Sources, Span, ast};

use super::{Kind, Names, Occurrence, Symbol};

/// Attributes whose values are words of the language, and no names.
const WORDS: [&str; 4] = ["access", "effect", "operator", "overlap"];

/// The names of one pipeline.
#[derive(Default)]
struct Pipeline<'a> {
    /// Parameters, stages, approvals and resources share their names.
    declared: HashMap<&'a str, usize>,
    /// Of each stage, by name.
    outputs: HashMap<(usize, &'a str), usize>,
}

/// What names can mean at some place.
#[derive(Clone, Copy)]
struct Scope<'s> {
    pipeline: Option<&'s Pipeline<'s>>,
    /// Loop variables, or in a template its parameters.
    variables: &'s HashMap<&'s str, usize>,
    /// The stage at hand.
    stage: Option<usize>,
}

/// The templates that a file sees.
type Templates<'a> = HashMap<&'a str, usize>;

pub(super) struct Walk<'a> {
    sources: &'a Sources,
    files: &'a [ast::File],
    /// What each file declares by its words, if it could not be read as a whole.
    broken: &'a [Vec<(Kind, ast::Name)>],
    pub(super) names: Names,
    /// The parameters of each template.
    arguments: HashMap<(usize, &'a str), usize>,
    /// The symbols of the templates of each file.
    templates: Vec<Vec<usize>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        sources: &'a Sources,
        files: &'a [ast::File],
        broken: &'a [Vec<(Kind, ast::Name)>],
    ) -> Self {
        Self {
            sources,
            files,
            broken,
            names: Names::default(),
            arguments: HashMap::new(),
            templates: Vec::new(),
        }
    }

    pub(super) fn all(&mut self) {
        for file in self.files {
            let symbols = file.templates.iter().map(|template| {
                let symbol = self.declare(Kind::Template, &template.name, template.span, None);
                for param in &template.params {
                    let owner = Some(symbol);
                    let argument = self.declare(Kind::Argument, &param.name, param.span, owner);
                    let name = param.name.text.as_str();
                    self.arguments.insert((symbol, name), argument);
                }
                symbol
            });
            let symbols = symbols.collect();
            self.templates.push(symbols);
        }
        for (index, file) in self.files.iter().enumerate() {
            let mut visible = self.visible(index);
            let broken = self.broken.get(index).map_or(&[][..], Vec::as_slice);
            for (kind, name) in broken {
                let is_template = *kind == Kind::Template;
                if is_template && self.names.declared_at(name.span).is_none() {
                    let symbol = self.declare(*kind, name, name.span, None);
                    visible.entry(&name.text).or_insert(symbol);
                }
            }
            for (template, symbol) in file.templates.iter().zip(self.templates[index].clone()) {
                self.template(template, symbol, &visible);
            }
            for pipeline in &file.pipelines {
                self.pipeline(pipeline, broken, &visible);
            }
            for (kind, name) in broken {
                if self.names.declared_at(name.span).is_none() {
                    self.declare(*kind, name, name.span, None);
                }
            }
        }
    }

    /// The templates that a file sees: its own, and those of its imports.
    fn visible(&self, index: usize) -> Templates<'a> {
        let file = &self.files[index];
        let imports = file.imports.iter().filter_map(|import| {
            let path = self.imported(index, &import.path.plain()?)?;
            self.sources.iter().position(|source| source.name == path)
        });
        let mut visible = Templates::new();
        for index in std::iter::once(index).chain(imports) {
            let templates = self.files[index].templates.iter();
            for (template, symbol) in templates.zip(&self.templates[index]) {
                visible.entry(&template.name.text).or_insert(*symbol);
            }
        }
        visible
    }

    /// The name of an imported file: relative to the folder of the importing one.
    fn imported(&self, from: usize, path: &str) -> Option<String> {
        let from = self.sources.iter().nth(from)?.name.as_str();
        let mut parts: Vec<&str> = from.split('/').collect();
        parts.pop();
        for part in path.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }

    fn declare(
        &mut self,
        kind: Kind,
        name: &ast::Name,
        whole: Span,
        owner: Option<usize>,
    ) -> usize {
        let symbol = self.names.symbols.len();
        self.names.symbols.push(Symbol {
            kind,
            name: name.text.clone(),
            declared: name.span,
            whole,
            owner,
        });
        self.names.declared.insert(name.span, symbol);
        self.occurs(name.span, symbol);
        symbol
    }

    /// A place means a symbol, if the symbol's name is what is written there.
    fn occurs(&mut self, span: Span, symbol: usize) {
        let written = self
            .sources
            .get(span.source)
            .map(|source| source.slice(span));
        let declaration = self.names.symbols.get(symbol);
        if declaration.is_some_and(|declaration| written == Some(declaration.name.as_str())) {
            self.names.occurrences.push(Occurrence { span, symbol });
        }
    }

    fn uses(&mut self, name: &ast::Name, symbol: Option<usize>) {
        if let Some(symbol) = symbol {
            self.occurs(name.span, symbol);
        }
    }

    fn template(&mut self, template: &'a ast::Template, symbol: usize, visible: &Templates<'a>) {
        let own = template.params.iter().filter_map(|param| {
            let argument = self.arguments.get(&(symbol, param.name.text.as_str()))?;
            Some((param.name.text.as_str(), *argument))
        });
        let variables: HashMap<&str, usize> = own.collect();
        let scope = Scope {
            pipeline: None,
            variables: &variables,
            stage: None,
        };
        for param in &template.params {
            self.param(param, scope);
        }
        self.body(&template.body, scope, visible);
    }

    fn pipeline(
        &mut self,
        pipeline: &'a ast::Pipeline,
        broken: &'a [(Kind, ast::Name)],
        visible: &Templates<'a>,
    ) {
        self.declare(Kind::Pipeline, &pipeline.name, pipeline.span, None);
        let mut names = Pipeline::default();
        for item in &pipeline.items {
            let (kind, name, whole) = match item {
                ast::Item::Param(param) => (Kind::Param, &param.name, param.span),
                ast::Item::Stage(stage) => (Kind::Stage, &stage.name, stage.span),
                ast::Item::Approval(approval) => (Kind::Approval, &approval.name, approval.span),
                ast::Item::Resource(resource) => {
                    let kind = match resource.kind.value {
                        ast::ResourceKind::Semaphore => Kind::Semaphore,
                        ast::ResourceKind::Lease => Kind::Lease,
                        ast::ResourceKind::Workspace => Kind::Workspace,
                    };
                    (kind, &resource.name, resource.span)
                }
                ast::Item::Schedule(_) | ast::Item::Defaults(_) | ast::Item::Attribute(_) => {
                    continue;
                }
            };
            let symbol = self.declare(kind, name, whole, None);
            names.declared.entry(&name.text).or_insert(symbol);
            if let ast::Item::Stage(stage) = item {
                for output in outputs(&stage.body) {
                    let owner = Some(symbol);
                    let output_symbol =
                        self.declare(Kind::Output, &output.name, output.span, owner);
                    let name = output.name.text.as_str();
                    names.outputs.insert((symbol, name), output_symbol);
                }
            }
        }
        for (kind, name) in broken.iter().filter(|(kind, _)| kind.is_declared()) {
            if self.names.declared_at(name.span).is_none() {
                let symbol = self.declare(*kind, name, name.span, None);
                names.declared.entry(&name.text).or_insert(symbol);
            }
        }
        let none = HashMap::new();
        let scope = Scope {
            pipeline: Some(&names),
            variables: &none,
            stage: None,
        };
        for item in &pipeline.items {
            match item {
                ast::Item::Param(param) => self.param(param, scope),
                ast::Item::Stage(stage) => self.stage(stage, scope, visible),
                ast::Item::Approval(approval) => {
                    self.clauses(&approval.clauses, scope);
                    self.map(approval.attributes.as_ref(), scope);
                }
                ast::Item::Resource(resource) => self.map(resource.attributes.as_ref(), scope),
                ast::Item::Schedule(schedule) => {
                    self.text(&schedule.cron, scope);
                    self.map(schedule.attributes.as_ref(), scope);
                }
                ast::Item::Defaults(defaults) => self.body(&defaults.body, scope, visible),
                ast::Item::Attribute(attribute) => {
                    self.attribute(attribute, scope);
                    if attribute.key.text == "store" {
                        self.store(&attribute.value, scope);
                    }
                }
            }
        }
    }

    /// A store in a workspace names it in its URL.
    fn store(&mut self, store: &ast::Value, scope: Scope<'_>) {
        let ast::Value::Map(map) = store else { return };
        for entry in map.entries.iter().filter(|entry| entry.key.text == "url") {
            let ast::Value::String(url) = &entry.value else {
                continue;
            };
            let Some(ast::Part::Text { text, span }) = url.parts.first() else {
                continue;
            };
            let Some(below) = text.strip_prefix(WORKSPACE_SCHEME) else {
                continue;
            };
            let name = below.split('/').next().unwrap_or(below);
            let start = span.start + WORKSPACE_SCHEME.len() as u32;
            let name = ast::Name {
                text: name.to_owned(),
                span: Span {
                    start,
                    end: start + name.len() as u32,
                    ..*span
                },
            };
            self.uses(&name, declared(scope, &name));
        }
    }

    fn stage(&mut self, stage: &'a ast::Stage, scope: Scope<'_>, visible: &Templates<'a>) {
        let owner = scope
            .pipeline
            .and_then(|pipeline| pipeline.declared.get(&*stage.name.text));
        let owner = owner.copied();
        let loops = stage
            .clauses
            .iter()
            .filter_map(|clause| match &clause.kind {
                ast::ClauseKind::For(loops) => Some(loops),
                _ => None,
            });
        let mut variables: HashMap<&str, usize> = HashMap::new();
        for binding in loops.flatten() {
            let symbol = self.declare(Kind::Loop, &binding.variable, binding.span, owner);
            variables.insert(&binding.variable.text, symbol);
        }
        let scope = Scope {
            variables: &variables,
            stage: owner,
            ..scope
        };
        self.clauses(&stage.clauses, scope);
        self.body(&stage.body, scope, visible);
        if let (Some(owner), Some(pipeline)) = (owner, scope.pipeline) {
            self.written(&stage.body, owner, pipeline);
        }
    }

    /// Where a stage's script writes its outputs.
    fn written(&mut self, body: &ast::Body, stage: usize, pipeline: &Pipeline<'_>) {
        let scripts = body.items.iter().filter_map(|item| match item {
            ast::BodyItem::Attribute(attribute) if attribute.key.text == "run" => {
                match &attribute.value {
                    ast::Value::String(text) => Some(text.span),
                    _ => None,
                }
            }
            _ => None,
        });
        for span in scripts {
            let source = self.sources.get(span.source);
            let script = source.map(|source| source.slice(span)).unwrap_or_default();
            for output in outputs(body) {
                let name = output.name.text.as_str();
                let Some(symbol) = pipeline.outputs.get(&(stage, name)).copied() else {
                    continue;
                };
                for at in writes(script, name) {
                    let place = |at: usize| span.start + u32::try_from(at).unwrap_or(u32::MAX);
                    let (start, end) = (place(at), place(at + name.len()));
                    self.occurs(Span { start, end, ..span }, symbol);
                }
            }
        }
    }

    fn clauses(&mut self, clauses: &[ast::Clause], scope: Scope<'_>) {
        for clause in clauses {
            match &clause.kind {
                ast::ClauseKind::For(loops) => {
                    for binding in loops {
                        match &binding.over {
                            ast::Over::Range(range) => self.range(range, scope),
                            ast::Over::List(list) => self.list(list, scope),
                            ast::Over::Ref(reference) => self.reference(reference, scope),
                        }
                    }
                }
                ast::ClauseKind::After(deps) => {
                    deps.iter().for_each(|dep| self.dependency(dep, scope));
                }
                ast::ClauseKind::When(expr) => self.expr(expr, scope),
                ast::ClauseKind::Holding(holds) => {
                    for hold in holds {
                        self.uses(&hold.name, declared(scope, &hold.name));
                        if let Some(permits) = &hold.permits {
                            self.bound(permits, scope);
                        }
                    }
                }
                ast::ClauseKind::Quorum(bound)
                | ast::ClauseKind::Max(bound)
                | ast::ClauseKind::Parallel(bound) => self.bound(bound, scope),
            }
        }
    }

    fn dependency(&mut self, dep: &ast::Dep, scope: Scope<'_>) {
        match dep {
            ast::Dep::Any { deps, .. } => {
                deps.iter().for_each(|dep| self.dependency(dep, scope));
            }
            ast::Dep::External { name, .. } => self.text(name, scope),
            ast::Dep::Target { name, address, .. } => {
                self.uses(name, declared(scope, name));
                self.address(address.as_ref(), scope);
            }
        }
    }

    fn expr(&mut self, expr: &ast::Expr, scope: Scope<'_>) {
        match expr {
            ast::Expr::Or(parts, _) | ast::Expr::And(parts, _) => {
                parts.iter().for_each(|part| self.expr(part, scope));
            }
            ast::Expr::Not(inner, _) => self.expr(inner, scope),
            ast::Expr::Compare { left, right, .. } => {
                self.value(left, scope);
                self.value(right, scope);
            }
            ast::Expr::Value(value) => self.value(value, scope),
        }
    }

    fn body(&mut self, body: &ast::Body, scope: Scope<'_>, visible: &Templates<'a>) {
        for item in &body.items {
            match item {
                ast::BodyItem::Output(param) => self.param(param, scope),
                ast::BodyItem::Mount {
                    workspace, path, ..
                } => {
                    self.uses(workspace, declared(scope, workspace));
                    self.text(path, scope);
                }
                ast::BodyItem::Use {
                    template,
                    arguments,
                    ..
                } => {
                    let symbol = visible.get(&*template.text).copied();
                    self.uses(template, symbol);
                    for entry in arguments.iter().flat_map(|map| &map.entries) {
                        let key = (symbol, entry.key.text.as_str());
                        let argument = key
                            .0
                            .and_then(|symbol| self.arguments.get(&(symbol, key.1)));
                        if let Some(argument) = argument.copied() {
                            self.occurs(entry.key.span, argument);
                        }
                        self.value(&entry.value, scope);
                    }
                }
                ast::BodyItem::Yaml { text, .. } => self.text(text, scope),
                ast::BodyItem::Attribute(attribute) => self.attribute(attribute, scope),
            }
        }
    }

    fn attribute(&mut self, attribute: &ast::Attribute, scope: Scope<'_>) {
        let is_word = matches!(attribute.value, ast::Value::Ref(_));
        if !is_word || !WORDS.contains(&attribute.key.text.as_str()) {
            self.value(&attribute.value, scope);
        }
    }

    fn param(&mut self, param: &ast::Param, scope: Scope<'_>) {
        self.ty(&param.ty, scope);
        if let Some(default) = &param.default {
            self.value(default, scope);
        }
    }

    fn ty(&mut self, ty: &ast::Type, scope: Scope<'_>) {
        match &ty.kind {
            ast::TypeKind::Scalar { range, .. } => {
                if let Some(range) = range {
                    self.range(range, scope);
                }
            }
            ast::TypeKind::List(inner) => self.ty(inner, scope),
            ast::TypeKind::Choice(_) | ast::TypeKind::Record(_) => {}
        }
    }

    fn value(&mut self, value: &ast::Value, scope: Scope<'_>) {
        match value {
            ast::Value::Call { name, key, .. } => {
                self.text(name, scope);
                self.text(key, scope);
            }
            ast::Value::String(text) => self.text(text, scope),
            ast::Value::List(list) => self.list(list, scope),
            ast::Value::Map(map) => self.map(Some(map), scope),
            ast::Value::Ref(reference) => self.reference(reference, scope),
            ast::Value::Bool(_) | ast::Value::Number(_) => {}
        }
    }

    fn list(&mut self, list: &ast::List, scope: Scope<'_>) {
        list.items.iter().for_each(|item| self.value(item, scope));
    }

    fn map(&mut self, map: Option<&ast::Map>, scope: Scope<'_>) {
        let entries = map.into_iter().flat_map(|map| &map.entries);
        entries.for_each(|entry| self.attribute(entry, scope));
    }

    fn text(&mut self, text: &ast::Str, scope: Scope<'_>) {
        for part in &text.parts {
            if let ast::Part::Hole(reference, _) = part {
                self.reference(reference, scope);
            }
        }
    }

    fn range(&mut self, range: &ast::Range, scope: Scope<'_>) {
        self.bound(&range.start, scope);
        self.bound(&range.end, scope);
    }

    fn bound(&mut self, bound: &ast::Bound, scope: Scope<'_>) {
        if let ast::Bound::Ref(reference) = bound {
            self.reference(reference, scope);
        }
    }

    fn address(&mut self, address: Option<&ast::Address>, scope: Scope<'_>) {
        let indices = address.into_iter().flat_map(|address| &address.indices);
        for index in indices {
            match index {
                ast::Index::Name(name) => self.uses(name, value(scope, name)),
                ast::Index::String(text) => self.text(text, scope),
                ast::Index::Every(span) => self.names.every.push(*span),
                ast::Index::Number(_) => {}
            }
        }
    }

    fn reference(&mut self, reference: &ast::Ref, scope: Scope<'_>) {
        self.address(reference.address.as_ref(), scope);
        let head = &reference.head;
        let field = reference.fields.first();
        match (&*head.text, field) {
            ("run", _) => {}
            ("output", Some(field)) => {
                let output = scope
                    .stage
                    .zip(scope.pipeline)
                    .and_then(|(stage, pipeline)| {
                        pipeline.outputs.get(&(stage, field.text.as_str())).copied()
                    });
                self.uses(field, output);
            }
            ("token" | "workspace", Some(field)) => self.uses(field, declared(scope, field)),
            (_, field) => {
                let symbol = value(scope, head);
                self.uses(head, symbol);
                let output = symbol.zip(field).and_then(|(symbol, field)| {
                    let outputs = &scope.pipeline?.outputs;
                    Some((field, *outputs.get(&(symbol, field.text.as_str()))?))
                });
                if let Some((field, output)) = output {
                    self.uses(field, Some(output));
                }
            }
        }
    }
}

/// What is declared in the pipeline under a name.
fn declared(scope: Scope<'_>, name: &ast::Name) -> Option<usize> {
    scope.pipeline?.declared.get(&*name.text).copied()
}

/// What has a value, or outputs, under a name.
fn value(scope: Scope<'_>, name: &ast::Name) -> Option<usize> {
    let variable = scope.variables.get(&*name.text).copied();
    variable.or_else(|| declared(scope, name))
}

fn outputs(body: &ast::Body) -> impl Iterator<Item = &ast::Param> {
    body.items.iter().filter_map(|item| match item {
        ast::BodyItem::Output(param) => Some(&**param),
        _ => None,
    })
}

/// Where a script writes an output: `NAME=` at the start of a text, as in `echo "rows=$n" >> "$KON_OUTPUT"`. At
/// the start of a command it would be a variable.
fn writes(script: &str, name: &str) -> Vec<usize> {
    if !script.contains("KON_OUTPUT") {
        return Vec::new();
    }
    let written = format!("{name}=");
    let places = script.match_indices(&written).map(|(at, _)| at);
    let starts = ["\"", "'", "\\n", "echo ", "printf "];
    places
        .filter(|at| {
            let before = script.get(..*at).unwrap_or_default();
            starts.iter().any(|start| before.ends_with(start))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_of_an_output_is_not_a_variable() {
        for (script, expected) in [
            (r#"echo "rows=$rows" >> "$KON_OUTPUT""#, vec![6]),
            (r#"echo rows=1 >> "$KON_OUTPUT""#, vec![5]),
            (r#"printf 'a=1\nrows=2\n' >> "$KON_OUTPUT""#, vec![13]),
            (
                r#"rows=1; more_rows=2; echo "$rows" >> "$KON_OUTPUT""#,
                vec![],
            ),
            (r#"echo "rows=1""#, vec![]),
        ] {
            assert_eq!(writes(script, "rows"), expected, "{script}");
        }
    }
}
