//! The stages of compiling, one after the other.

use konductor_dsl::{Diagnostic, Sources};

use crate::graph::{self, Graph};
use crate::library::Library;
use crate::manifest::Manifests;
use crate::options::Options;
use crate::pipeline::Pipeline;
use crate::plan::job::Jobs;
use crate::plan::skip::Skips;
use crate::plan::{self, Dag};
use crate::{name, resolve, rules};

/// What became of a pipeline file.
#[derive(Debug)]
pub struct Compiled {
    /// The files that were read: the root and its imports. Diagnostics point into them.
    pub sources: Sources,
    /// What there is to tell, in source order.
    pub diagnostics: Vec<Diagnostic>,
    /// Who waits for whom; `None` where the file is too broken to say.
    pub graph: Option<Graph>,
    /// The objects of the run; `None` where a diagnostic is an error, or where the file was only
    /// checked.
    pub manifests: Option<Manifests>,
}

impl Compiled {
    /// Whether any diagnostic is an error.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// Compiles the pipeline of the first file. Every parameter needs a value.
pub fn compile(sources: Sources, options: &Options<'_>) -> Compiled {
    compiled(sources, options)
}

/// Tells what there is to tell about the first file. A parameter without a value is no error: what
/// depends on it is not looked at.
pub fn check(sources: Sources, options: &Options<'_>) -> Compiled {
    let options = Options {
        check: true,
        ..options.clone()
    };
    Compiled {
        manifests: None,
        ..compiled(sources, &options)
    }
}

fn compiled(mut sources: Sources, options: &Options<'_>) -> Compiled {
    let mut diagnostics = Vec::new();
    let mut graph = None;
    let mut manifests = None;
    let library = Library::load(&mut sources, options, &mut diagnostics);
    let is_broken = diagnostics.iter().any(Diagnostic::is_error);
    let is_empty = library
        .files
        .first()
        .is_none_or(|file| file.pipelines.is_empty());
    if !(is_broken && is_empty)
        && let Some(pipeline) = resolve::resolve(&library, options, &mut diagnostics)
    {
        drop(library);
        let dag = Dag::of(&pipeline);
        rules::check(&pipeline, &dag, &mut diagnostics);
        graph = Some(graph::of(&pipeline));
        if !diagnostics.iter().any(Diagnostic::is_error) {
            manifests = back(pipeline, &dag, options, &mut diagnostics);
        }
    }
    diagnostics.sort_by_key(|told| (told.span(), told.severity, told.code));
    // One place can be looked at once for each stage that it is about.
    diagnostics.dedup();
    let manifests = manifests.filter(|_| !diagnostics.iter().any(Diagnostic::is_error));
    Compiled {
        sources,
        diagnostics,
        graph,
        manifests,
    }
}

/// From a resolved pipeline without errors to what it is made of.
fn back(
    pipeline: Pipeline,
    dag: &Dag,
    options: &Options<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Manifests> {
    let run = options.run_name(&pipeline.name.text);
    if !name::is_object_name(&run) {
        diagnostics.push(rules::long_name::of_run(&pipeline, &run));
        return None;
    }
    let skips = Skips::of(&pipeline, dag);
    let jobs = match Jobs::of(&pipeline, &run, &skips) {
        Ok(jobs) => jobs,
        Err(problems) => {
            let told = problems
                .into_iter()
                .map(|p| rules::long_name::of_stage(&pipeline, &run, p));
            diagnostics.extend(told);
            return None;
        }
    };
    rules::check_run(&pipeline, &jobs, &run, diagnostics);
    if diagnostics.iter().any(Diagnostic::is_error) || !pipeline.is_complete() {
        return None;
    }
    let plan = plan::plan(&pipeline, dag, &run, jobs, &skips);
    diagnostics.extend(rules::large_body::check_conditions(&pipeline, &plan));
    let manifests = Manifests {
        pipeline,
        plan,
        namespace: options.namespace.clone(),
    };
    rules::kube_value::check(&manifests, diagnostics);
    Some(manifests)
}
