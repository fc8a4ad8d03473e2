//! Names and types: the syntax tree becomes a [`Pipeline`].
//!
//! What enters: the files, and what the command line gives. What leaves: a pipeline with as much as
//! could be understood, and diagnostics; where one of them is an error, nothing is planned. What
//! must never happen here: a question about the graph or the cluster.

pub(crate) mod body;
mod declare;
mod expr;
mod fan_out;
mod header;
mod mount;
mod param;
pub(crate) mod passthrough;
mod read;
mod reference;
mod resource;
mod schedule;
mod template;
mod term;
mod unknown;

use std::collections::BTreeSet;

use foldhash::{HashMap, HashSet};
use jiff::tz::TimeZone;
use konductor_dsl::{Diagnostic, Span, ast};

use crate::library::Library;
use crate::pipeline::{
    AddressKey, Approval, Dependency, Ledger, Loop, Output, Param, Pipeline, Reference, Stage,
    State, Target, Term, Workspace,
};
use crate::{Options, rules};
use declare::Names;
use term::Argument;

/// Resolves the pipeline of the root file; `None` without one. A file of templates alone can
/// be checked, but not compiled.
pub(crate) fn resolve(
    library: &Library,
    options: &Options<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Pipeline> {
    let file = library.files.first()?;
    let nothing = ast::Pipeline {
        name: ast::Name {
            text: String::new(),
            span: Span::default(),
        },
        items: Vec::new(),
        unread: Vec::new(),
        span: Span::default(),
    };
    let Some((pipeline, more)) = file.pipelines.split_first() else {
        if file.templates.is_empty() || !options.check {
            diagnostics.push(rules::one_pipeline::missing(file.source));
        }
        Resolver::new(library, options, &nothing, diagnostics).check_templates();
        return None;
    };
    diagnostics.extend(
        more.iter()
            .map(|other| rules::one_pipeline::second(pipeline, other)),
    );
    let mut resolver = Resolver::new(library, options, pipeline, diagnostics);
    resolver.check_templates();
    Some(resolver.pipeline(pipeline))
}

/// What is known while a pipeline is being resolved.
struct Resolver<'a> {
    library: &'a Library,
    options: &'a Options<'a>,
    ast: &'a ast::Pipeline,
    /// The schedule's, for `run.date` and `run.time`.
    zone: Option<TimeZone>,
    names: Names<'a>,
    params: Vec<Param>,
    param_index: Index<'a>,
    /// Parameters with errors: uses of them are not reported.
    broken: HashSet<&'a str>,
    /// The same of outputs, each with its stage.
    broken_outputs: HashSet<(&'a str, String)>,
    ledgers: Vec<Ledger>,
    workspaces: Vec<Workspace>,
    /// Of each stage, what it hands on, before anything else of it is looked at.
    outputs: Vec<Vec<Output>>,
    /// Of each stage, before its header and body are looked at.
    signatures: Vec<Signature>,
    defaults: Vec<&'a ast::Body>,
    /// Bytes of bodies looked at, each as often as it is used.
    work: usize,
    /// Items of all fan-outs so far.
    items: usize,
    /// Names that were compared to find out what was meant.
    compared: usize,
    used: Used,
    /// The outputs that the stage at hand reads, each once.
    reads: Vec<Read>,
    read_keys: HashSet<(usize, usize, AddressKey)>,
    diagnostics: &'a mut Vec<Diagnostic>,
}

/// What something refers to, by index.
#[derive(Default)]
struct Used {
    params: BTreeSet<usize>,
    ledgers: BTreeSet<usize>,
    workspaces: BTreeSet<usize>,
    /// File and place.
    templates: BTreeSet<(usize, usize)>,
}

/// What other stages may know of a stage.
struct Signature {
    loops: Vec<Loop>,
    /// Whether its `for` could not be understood: nothing is known about its items.
    is_broken: bool,
    items: Option<Vec<crate::pipeline::Item>>,
    /// Whether another stage writes its items.
    is_listed: bool,
    outputs: Vec<Output>,
}

/// A use of another stage's output.
struct Read {
    reference: Reference,
}

/// What a reference can mean at some place.
#[derive(Clone, Copy)]
struct Scope<'s> {
    loops: &'s [Loop],
    /// In a template: its parameters, and nothing else.
    arguments: Option<&'s [Argument]>,
    /// The stage that the place belongs to.
    stage: Option<usize>,
    held: &'s [usize],
    mounted: &'s [usize],
    /// What the stage hands on.
    outputs: &'s [Output],
    finally: bool,
}

impl Scope<'_> {
    /// Only parameters exist here.
    const PIPELINE: Scope<'static> = Scope {
        loops: &[],
        arguments: None,
        stage: None,
        held: &[],
        mounted: &[],
        outputs: &[],
        finally: false,
    };
}

impl<'s> Scope<'s> {
    /// In a template: its arguments hide everything else.
    fn template(arguments: Option<&'s [Argument]>, around: Scope<'s>) -> Self {
        Scope {
            loops: &[],
            arguments: Some(arguments.unwrap_or_default()),
            ..around
        }
    }
}

/// When a value must be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    /// Before the run.
    Compile,
    /// When the container starts.
    Run,
}

impl<'a> Resolver<'a> {
    fn new(
        library: &'a Library,
        options: &'a Options<'a>,
        pipeline: &'a ast::Pipeline,
        diagnostics: &'a mut Vec<Diagnostic>,
    ) -> Self {
        let names = Names::collect(pipeline, diagnostics);
        let defaults = pipeline.items.iter().filter_map(|item| match item {
            ast::Item::Defaults(defaults) => Some(&defaults.body),
            _ => None,
        });
        Self {
            library,
            options,
            ast: pipeline,
            zone: schedule::zone(pipeline),
            names,
            params: Vec::new(),
            param_index: Index::default(),
            broken: HashSet::default(),
            broken_outputs: HashSet::default(),
            ledgers: Vec::new(),
            workspaces: Vec::new(),
            outputs: Vec::new(),
            signatures: Vec::new(),
            defaults: defaults.collect(),
            work: 0,
            items: 0,
            compared: 0,
            used: Used::default(),
            reads: Vec::new(),
            read_keys: HashSet::default(),
            diagnostics,
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Reports a second `defaults`.
    fn check_defaults(&mut self) {
        let mut blocks = self.ast.items.iter().filter_map(|item| match item {
            ast::Item::Defaults(defaults) => Some(defaults.keyword),
            _ => None,
        });
        let Some(first) = blocks.next() else { return };
        let seconds = blocks.map(|second| rules::duplicate_attribute::defaults(second, first));
        self.diagnostics.extend(seconds);
    }

    fn pipeline(&mut self, ast: &'a ast::Pipeline) -> Pipeline {
        self.check_defaults();
        self.resolve_params();
        let settings = self.pipeline_attributes();
        let schedule = self.schedule();
        self.resolve_resources();
        for stage in self.names.stages.clone() {
            let outputs = self.outputs(stage);
            self.outputs.push(outputs);
        }
        for (index, stage) in self.names.stages.clone().into_iter().enumerate() {
            let signature = self.signature(index, stage);
            self.signatures.push(signature);
        }
        let is_storeless = settings.store.is_none() && self.options.store.is_none();
        let store = self.store(settings.store);
        // Whoever runs a file that is only checked may name a store.
        if is_storeless && !self.options.check {
            let outputs = self
                .signatures
                .iter()
                .flat_map(|signature| &signature.outputs);
            let reported = rules::missing_store::check(outputs);
            self.diagnostics.extend(reported);
        }
        let approvals = self.names.approvals.clone();
        let mut approvals: Vec<Approval> = approvals
            .into_iter()
            .map(|approval| self.approval(approval))
            .collect();
        let stages = self.names.stages.clone().into_iter().enumerate();
        let mut stages: Vec<Stage> = stages
            .map(|(index, stage)| self.stage(index, stage))
            .collect();
        for (stage, signature) in stages.iter_mut().zip(std::mem::take(&mut self.signatures)) {
            stage.loops = signature.loops;
            stage.items = signature.items;
            stage.body.outputs = signature.outputs;
        }
        name_whole_stages(&mut stages, &mut approvals);
        if !self.diagnostics.iter().any(Diagnostic::is_error) {
            self.unused();
        }
        Pipeline {
            name: name(&ast.name),
            description: settings.description,
            timeout: settings.timeout,
            keep: settings.keep,
            fail_fast: settings.fail_fast,
            schedule,
            params: std::mem::take(&mut self.params),
            ledgers: std::mem::take(&mut self.ledgers),
            workspaces: std::mem::take(&mut self.workspaces),
            store,
            approvals,
            stages,
        }
    }
}

impl Resolver<'_> {
    /// Reports declarations that nothing refers to. After an error it could be the error's fault. An
    /// output that no stage reads is a result, which `koncli status` shows.
    fn unused(&mut self) {
        let used = &self.used;
        let params = self
            .params
            .iter()
            .enumerate()
            .filter(|(i, _)| !used.params.contains(i));
        let params = params.map(|(_, param)| (&param.name, "parameter"));
        let ledgers = self
            .ledgers
            .iter()
            .enumerate()
            .filter(|(i, _)| !used.ledgers.contains(i));
        let ledgers = ledgers.map(|(_, ledger)| (&ledger.name, ledger.kind.word()));
        let workspaces = self.workspaces.iter().enumerate();
        let workspaces = workspaces.filter(|(i, _)| !used.workspaces.contains(i));
        let workspaces = workspaces.map(|(_, workspace)| (&workspace.name, "workspace"));
        let templates = self
            .library
            .files
            .first()
            .into_iter()
            .flat_map(|file| &file.templates);
        let templates = templates
            .enumerate()
            .filter(|(i, _)| !used.templates.contains(&(0, *i)));
        let templates: Vec<_> = templates
            .map(|(_, template)| (name(&template.name), "template"))
            .collect();
        let imports = self.library.root_imports();
        let imports = imports.filter(|(_, file)| used.templates.iter().all(|(of, _)| of != file));
        let imports: Vec<Diagnostic> = imports
            .map(|(import, _)| rules::unused::import(import))
            .collect();
        let templates = templates.iter().map(|(name, what)| (name, *what));
        let all = params.chain(ledgers).chain(workspaces).chain(templates);
        let mut all = all.peekable();
        let declarations = match all.peek() {
            Some(_) => self.declarations(),
            None => HashMap::default(),
        };
        self.diagnostics.extend(all.map(|(name, what)| {
            rules::unused::report(name, what, declarations.get(&name.span).copied())
        }));
        self.diagnostics.extend(imports);
    }
}

impl Resolver<'_> {
    /// Where each parameter, resource and template of the root file is declared, by the place of its
    /// name.
    fn declarations(&self) -> HashMap<Span, Span> {
        let items = self.ast.items.iter().filter_map(|item| match item {
            ast::Item::Param(param) => Some((param.name.span, param.span)),
            ast::Item::Resource(resource) => Some((resource.name.span, resource.span)),
            _ => None,
        });
        let templates = self.library.files.iter().take(1);
        let templates = templates.flat_map(|file| &file.templates);
        let templates = templates.map(|template| (template.name.span, template.span));
        items.chain(templates).collect()
    }
}

fn name(ast: &ast::Name) -> crate::pipeline::Name {
    crate::pipeline::Name {
        text: ast.text.clone(),
        span: ast.span,
    }
}

/// Turns each address of all items into one of the stage. With a quorum they differ, and so do their ends: a stage has
/// ended as soon as its outcome is known.
fn name_whole_stages(stages: &mut [Stage], approvals: &mut [Approval]) {
    let has_quorum: Vec<bool> = stages.iter().map(|stage| stage.quorum.is_some()).collect();
    let of_stages = stages.iter_mut().flat_map(|stage| &mut stage.after);
    let of_approvals = approvals
        .iter_mut()
        .flat_map(|approval| &mut approval.after);
    let mut pending: Vec<&mut Dependency> = of_stages.chain(of_approvals).collect();
    while let Some(dependency) = pending.pop() {
        match &mut dependency.target {
            Target::Stage { stage, address } => {
                let is_whole = address.as_deref().is_some_and(Term::are_every);
                if is_whole && !has_quorum[*stage] && dependency.state != State::Finished {
                    *address = None;
                }
            }
            Target::Any(parts) => pending.extend(parts),
            Target::Approval(_) | Target::Outside(_) => {}
        }
    }
}

/// Names and where each is declared.
type Index<'a> = HashMap<&'a str, usize>;
