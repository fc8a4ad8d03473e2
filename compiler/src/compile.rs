//! The stages of compiling, one after the other.

use k8s_openapi::api::batch::v1::Job;
use konductor_dsl::{Code, Diagnostic, Sources, Span, ast};

use crate::eval::Values;
use crate::graph::{self, Graph};
use crate::library::{self, Library};
use crate::limits::CONFIG_MAP_BYTES_MAX;
use crate::lower::schedule::Scheduled;
use crate::manifest::{Manifests, Schedule};
use crate::options::Options;
use crate::pipeline::Pipeline;
use crate::plan::job::Jobs;
use crate::plan::skip::Skips;
use crate::plan::{self, Dag, Planned, varies};
use crate::{lower, name, resolve, rules, zone};

/// What became of a pipeline file.
#[derive(Debug)]
pub struct Compiled {
    /// The files that were read: the root and its imports. Diagnostics point into them.
    pub sources: Sources,
    /// The syntax trees of the files, if they were only checked.
    pub files: Vec<ast::File>,
    /// The diagnostics, in source order.
    pub diagnostics: Vec<Diagnostic>,
    /// The dependency graph; `None` if the file is too broken for one.
    pub graph: Option<Graph>,
    /// The objects of the run; `None` where a diagnostic is an error, where the file was only
    /// checked, or where it is a schedule that is to be installed.
    pub manifests: Option<Manifests>,
    /// The objects of the schedule: where the pipeline has one, and no run was asked for by name.
    pub schedule: Option<Schedule>,
    /// Of each stage with `pod` or `job` blocks one Job, where the file was only checked: an API
    /// server knows more about it than its schema does.
    pub merged: Vec<Merged>,
}

/// A Job with YAML of the author in it.
#[derive(Clone, Debug)]
pub struct Merged {
    /// The Job.
    pub job: Job,
    /// Where each block is written.
    pub blocks: Vec<Span>,
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

/// Reports everything about the first file. A parameter without a value is no error: what
/// depends on it is not looked at.
pub fn check(sources: Sources, options: &Options<'_>) -> Compiled {
    let options = Options {
        check: true,
        ..options.clone()
    };
    Compiled {
        manifests: None,
        schedule: None,
        ..compiled(sources, &options)
    }
}

fn compiled(mut sources: Sources, options: &Options<'_>) -> Compiled {
    let mut diagnostics = Vec::new();
    let mut graph = None;
    let mut planned = None;
    let library = Library::load(&mut sources, options, &mut diagnostics);
    let is_broken = diagnostics.iter().any(Diagnostic::is_error);
    let is_empty = library
        .files
        .first()
        .is_none_or(|file| file.pipelines.is_empty());
    let resolved = match is_broken && is_empty {
        true => None,
        false => resolve::resolve(&library, options, &mut diagnostics),
    };
    let mut files = library.files;
    if !options.check {
        // Nobody asks for them, and what follows needs the memory.
        files = Vec::new();
    }
    if let Some(pipeline) = resolved {
        let dag = Dag::of(&pipeline);
        rules::check(&pipeline, &dag, &mut diagnostics);
        let mut unknown = diagnostics
            .iter()
            .filter(|diagnostic| diagnostic.code == Code::K0203);
        let of_image = [
            "image",
            "use",
            "uses",
            "extends",
            "include",
            "template",
            "templateRef",
        ];
        let is_elsewhere =
            unknown.any(|diagnostic| of_image.contains(&written(&sources, diagnostic)));
        if is_broken || is_elsewhere {
            // What is missing may stand in what could not be read, or where it does not belong.
            diagnostics.retain(|diagnostic| diagnostic.code != Code::K0311);
        }
        graph = Some(graph::of(&pipeline));
        if !diagnostics.iter().any(Diagnostic::is_error) {
            planned = planned_run(pipeline, &dag, options, &mut diagnostics);
            if let (Some(graph), Some(planned)) = (&mut graph, &planned) {
                graph.count(&planned.pipeline, &planned.plan.jobs);
            }
        }
    }
    rules::unused::written_otherwise(&sources, &mut diagnostics);
    rules::duplicate_attribute::fix_repetitions(&sources, &mut diagnostics);
    remove_follow_ups(&sources, &mut diagnostics);
    let mut schedule = None;
    let is_schedule = |all: &mut Planned| options.installs() && all.pipeline.schedule.is_some();
    if let Some(scheduled) = planned.take_if(is_schedule) {
        schedule = self::schedule(&scheduled, &sources, options, &mut diagnostics);
    }
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span(), diagnostic.severity, diagnostic.code));
    // One place can be looked at once for each stage that it is about.
    diagnostics.dedup();
    let has_errors = diagnostics.iter().any(Diagnostic::is_error);
    let merged = planned.iter().filter(|_| options.check && !has_errors);
    let merged = merged.flat_map(merged_jobs).collect();
    Compiled {
        merged,
        sources,
        files,
        diagnostics,
        graph,
        manifests: planned.filter(|_| !has_errors).map(Manifests),
        schedule: schedule.filter(|_| !has_errors),
    }
}

/// One Job of each stage that has YAML of the author.
fn merged_jobs(all: &Planned) -> impl Iterator<Item = Merged> + '_ {
    let stages = all.pipeline.stages.iter().enumerate();
    stages.filter_map(|(index, stage)| {
        let first = all.plan.jobs.of_stage(index).next()?;
        let blocks: Vec<Span> = stage.body.passthrough.iter().map(|b| b.span).collect();
        (!blocks.is_empty()).then(|| Merged {
            job: lower::job::job(all, first, &mut Vec::new()),
            blocks,
        })
    })
}

/// The text that a diagnostic is about.
fn written<'s>(sources: &'s Sources, diagnostic: &Diagnostic) -> &'s str {
    let source = sources.get(diagnostic.span().source);
    source.map_or("", |source| source.slice(diagnostic.span()))
}

/// Removes what only follows from something that is reported, too.
fn remove_follow_ups(sources: &Sources, diagnostics: &mut Vec<Diagnostic>) {
    // An unused parameter names the place where its value was meant.
    let unused = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code == Code::K0601);
    let places = unused.flat_map(|diagnostic| diagnostic.labels.iter().map(|label| label.span));
    let places: Vec<Span> = places.collect();
    // What can't be a name is not declared either.
    let is_no_name =
        |diagnostic: &&Diagnostic| matches!(diagnostic.code, Code::K0104 | Code::K0108);
    let words = diagnostics.iter().filter(is_no_name);
    let words: Vec<&str> = words
        .map(|diagnostic| written(sources, diagnostic))
        .collect();
    // A parameter that a refused text names in a wrong way is used once that text is mended.
    let refused = diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.code == Code::K0334);
    let refused: Vec<Span> = refused.map(Diagnostic::span).collect();
    let is_refused = |at: Span| {
        let mut refused = refused.iter();
        refused.any(|span| span.source == at.source && span.start <= at.start && at.end <= span.end)
    };
    diagnostics.retain(|diagnostic| match diagnostic.code {
        Code::K0601 => !diagnostic.labels.iter().any(|label| is_refused(label.span)),
        Code::K0106 => diagnostic.is_error() || !places.contains(&diagnostic.span()),
        Code::K0201 | Code::K0206 => !words.contains(&written(sources, diagnostic)),
        _ => true,
    });
}

/// The objects of a pipeline's schedule.
fn schedule(
    all: &Planned,
    sources: &Sources,
    options: &Options<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Schedule> {
    let pipeline = &all.pipeline;
    let params = pipeline
        .params
        .iter()
        .filter(|param| options.gives(&param.name.text));
    let set = params.filter_map(|param| {
        let text = param.value.as_ref()?.text();
        Some((param.name.text.clone(), text))
    });
    let declared = pipeline.schedule.as_ref()?;
    let files = library::relative_files(sources);
    let bytes = files.iter().map(|(_, text)| text.len()).sum();
    if bytes > CONFIG_MAP_BYTES_MAX {
        diagnostics.push(rules::bad_schedule::large_files(declared.span, bytes));
    }
    let catch_up = Values::of(pipeline).millis(&declared.catch_up);
    let scheduled = Scheduled {
        pipeline,
        namespace: options.namespace.as_deref(),
        schedule: declared,
        catch_up: catch_up.map(|millis| millis.div_ceil(1_000)),
        files,
        set: set.collect(),
        image: &options.koncli_image,
        store: options.store.as_deref(),
    };
    Some(Schedule {
        name: pipeline.name.text.clone(),
        objects: lower::schedule::objects(&scheduled),
    })
}

/// From a resolved pipeline without errors to what it is made of.
fn planned_run(
    mut pipeline: Pipeline,
    dag: &Dag,
    options: &Options<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Planned> {
    let run = if options.installs() && pipeline.schedule.is_some() {
        // Every slot's name must fit: minutes since 1970 have eight digits until 2160.
        format!("{}-00000000", pipeline.name.text)
    } else {
        options.run_name(&pipeline.name.text)
    };
    if !name::is_object_name(&run) {
        diagnostics.push(rules::long_name::of_run(&pipeline, &run));
        return None;
    }
    let skips = Skips::of(&pipeline, dag);
    let jobs = match Jobs::of(&pipeline, &run, &skips) {
        Ok(jobs) => jobs,
        Err(problems) => {
            let diagnostic = problems
                .into_iter()
                .map(|p| rules::long_name::of_stage(&pipeline, &run, p));
            diagnostics.extend(diagnostic);
            return None;
        }
    };
    rules::check_run(&pipeline, &jobs, &run, diagnostics);
    if diagnostics.iter().any(Diagnostic::is_error) || !pipeline.is_complete() {
        return None;
    }
    let plan = plan::plan(&pipeline, dag, &run, jobs, &skips);
    for (index, stage) in pipeline.stages.iter_mut().enumerate() {
        let whole = plan.jobs.whole(index);
        if stage.is_fan_out() && whole.is_some_and(|job| plan.jobs.list[job].skipped.is_some()) {
            stage.body = varies::without_item(std::mem::take(&mut stage.body));
        }
    }
    let schedule = pipeline.schedule.as_ref();
    let zone = schedule.and_then(|schedule| zone::named(schedule.time_zone.as_deref()?));
    diagnostics.extend(rules::large_body::check_conditions(&pipeline, &plan));
    let mut planned = Planned {
        pipeline,
        plan,
        namespace: options.namespace.clone(),
        slot: options.slot.then(|| zone::time(options.now, zone.as_ref())),
        nonce: String::new(),
        koncli_image: options.koncli_image.clone(),
    };
    planned.nonce = lower::nonce(&planned);
    rules::kube_value::check(&planned, diagnostics);
    Some(planned)
}
