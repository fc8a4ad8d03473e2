//! The Jobs of a run: one for a stage, one for each item, or one that is Indexed.

use std::fmt::Write as _;

use super::gate::dependency_varies;
use super::skip::Skips;
use crate::eval::Values;
use crate::limits::NAME_MAX;
use crate::name;
use crate::pipeline::{
    Action, Body, Entries, EnvValue, Node, Pipeline, Setting, Source, Stage, Target, Term, Text,
    Toleration,
};
use crate::value::Value;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

/// One Job to be.
#[derive(Debug)]
pub(crate) struct JobPlan {
    pub name: String,
    pub stage: usize,
    /// The item it runs, by its place in the stage's items.
    pub item: Option<usize>,
    /// What the item is called in names and labels.
    pub slug: Option<String>,
    /// An Indexed Job's number of items.
    pub completions: Option<u32>,
    /// It is known before the run that it is skipped.
    pub skipped: bool,
}

/// All Jobs of a run, in source order, and where to find a stage's.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub list: Vec<JobPlan>,
    by_stage: Vec<StageJobs>,
}

/// How a stage became Jobs.
#[derive(Debug)]
enum StageJobs {
    /// One Job is the whole stage: there is no `for`, it is Indexed, or all of it is skipped.
    One(usize),
    /// A Job for each item, found by what the items are called in the source.
    Items {
        first: usize,
        count: usize,
        by_key: HashMap<String, usize>,
    },
}

/// Why a stage has no Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// Run and stage together leave no room for what comes after them.
    NameTooLong {
        stage: usize,
        length: usize,
        max: usize,
    },
}

impl Jobs {
    /// Plans the Jobs of every stage.
    ///
    /// # Errors
    /// The stages whose names are too long for this run's name.
    pub(crate) fn of(pipeline: &Pipeline, run: &str, skips: &Skips) -> Result<Self, Vec<Problem>> {
        let addressed = addressed_stages(pipeline);
        let mut planner = Planner {
            list: Vec::with_capacity(pipeline.stages.len()),
            names: HashSet::with_capacity(pipeline.stages.len()),
            problems: Vec::new(),
        };
        let shapes: Vec<Shape> = pipeline
            .stages
            .iter()
            .enumerate()
            .map(|(index, _)| shape(pipeline, index, addressed[index], skips))
            .collect();
        // Whole stages first: their names are what the author wrote, an item's can be changed.
        for (index, (stage, shape)) in pipeline.stages.iter().zip(&shapes).enumerate() {
            planner.reserve(run, index, stage, shape);
        }
        let by_stage = pipeline
            .stages
            .iter()
            .zip(shapes)
            .enumerate()
            .map(|(index, (stage, shape))| planner.add(run, index, stage, shape))
            .collect();
        if planner.problems.is_empty() {
            Ok(Self {
                list: planner.list,
                by_stage,
            })
        } else {
            Err(planner.problems)
        }
    }

    /// Whether one Job is the whole stage.
    pub(crate) fn whole(&self, stage: usize) -> Option<usize> {
        match &self.by_stage[stage] {
            StageJobs::One(job) => Some(*job),
            StageJobs::Items { .. } => None,
        }
    }

    /// The Jobs of a stage.
    pub(crate) fn of_stage(&self, stage: usize) -> std::ops::Range<usize> {
        match &self.by_stage[stage] {
            StageJobs::One(job) => *job..job + 1,
            StageJobs::Items { first, count, .. } => *first..first + count,
        }
    }

    /// The Job of an item; `None` where there is no such item. A stage that is skipped as a whole
    /// has one Job for all.
    pub(crate) fn addressed(
        &self,
        stage: usize,
        address: &[Term],
        values: Values<'_>,
    ) -> Option<usize> {
        if let StageJobs::One(job) = &self.by_stage[stage] {
            return Some(*job);
        }
        let values: Option<Vec<Value>> = address.iter().map(|term| values.term(term)).collect();
        self.by_key(stage, &values?)
    }

    /// The Job of the item with these values.
    pub(crate) fn by_key(&self, stage: usize, values: &[Value]) -> Option<usize> {
        match &self.by_stage[stage] {
            StageJobs::One(job) => Some(*job),
            StageJobs::Items { by_key, .. } => by_key.get(&key(values)).copied(),
        }
    }
}

/// What tells an item apart, unambiguously.
pub(crate) fn key(values: &[Value]) -> String {
    let mut whole = String::new();
    for value in values {
        let key = value.key();
        // With its length, no value can look like two.
        let _ = write!(whole, "{}:{key}", key.len());
    }
    whole
}

enum Shape {
    Single { skipped: bool },
    Indexed(u32),
    Items(Vec<usize>),
}

fn shape(pipeline: &Pipeline, index: usize, addressed: bool, skips: &Skips) -> Shape {
    let stage = &pipeline.stages[index];
    let items = stage.items.as_deref().unwrap_or_default();
    let kept: Vec<usize> = (0..items.len())
        .filter(|item| !skips.leaves_out(index, &items[*item].values))
        .collect();
    if kept.is_empty() || skips.stages[index] {
        return Shape::Single { skipped: true };
    }
    if !stage.is_fan_out() {
        return Shape::Single { skipped: false };
    }
    if !addressed && can_be_indexed(stage) {
        return Shape::Indexed(u32::try_from(kept.len()).unwrap_or(u32::MAX));
    }
    Shape::Items(kept)
}

/// Whether one Indexed Job does what a Job for each item would: nothing but the index itself, in the
/// container's own program, may depend on the item. Everything that a body can have is looked at.
fn can_be_indexed(stage: &Stage) -> bool {
    let [only] = stage.loops.as_slice() else {
        return false;
    };
    let Body {
        action,
        // A word, without interpolations.
        shell: _,
        image,
        env,
        outputs,
        retries,
        timeout,
        pending,
        may_fail,
        cpu,
        memory,
        // Their paths are resolved outside of the fan-out.
        mounts: _,
        service_account,
        priority_class,
        queue,
        labels,
        annotations,
        node_selector,
        tolerations,
        passthrough,
    } = &stage.body;
    let settings = [retries, timeout, pending, may_fail, cpu, memory];
    let texts = [image, service_account, priority_class, queue];
    let tolerated = tolerations.iter().flatten().flat_map(|toleration| {
        let Toleration {
            key,
            operator: _,
            value,
            effect: _,
        } = toleration;
        [key, value]
    });
    let entries = [labels, annotations, node_selector];
    let mut varying = texts
        .into_iter()
        .chain(tolerated)
        .flatten()
        .chain(entries.into_iter().flat_map(Entries::values));
    let program: Vec<&Text> = match action {
        Some(Action::Run(script)) => vec![&script.text],
        Some(Action::Exec(words)) => words.iter().collect(),
        None => Vec::new(),
    };
    let variables = env.values().filter_map(|value| match value {
        EnvValue::Text(text) => Some(text),
        EnvValue::Secret { .. } | EnvValue::Config { .. } => None,
    });
    let mut program = program.into_iter().chain(variables);
    only.counts_from_zero
        && stage.holding.is_empty()
        && stage.quorum.is_none()
        && stage.when.is_none()
        && outputs.is_empty()
        && !stage.after.iter().any(dependency_varies)
        && !settings
            .into_iter()
            .flatten()
            .any(|setting: &Setting| term_varies(&setting.term))
        && !varying.any(text_varies)
        && !passthrough.iter().any(|block| node_varies(&block.root))
        && !program.any(|text| text.references().any(|r| reads_by_item(&r.source)))
}

fn node_varies(node: &Node) -> bool {
    match node {
        Node::Json(_) => false,
        Node::Text { text, leaf: _ } => text_varies(text),
        Node::List(nodes) => nodes.iter().any(node_varies),
        Node::Map(members) => members.iter().any(|(_, node)| node_varies(node)),
    }
}

/// Whether it is an output, and which one depends on the item.
fn reads_by_item(source: &Source) -> bool {
    match source {
        Source::Output { .. } => source_varies(source),
        Source::Argument { value, .. } => term_reads_by_item(value),
        _ => false,
    }
}

fn term_reads_by_item(term: &Term) -> bool {
    match term {
        Term::Value(_) | Term::Unknown => false,
        Term::Reference(reference) => reads_by_item(&reference.source),
        Term::Text(text) => text.references().any(|r| reads_by_item(&r.source)),
        Term::List(terms) => terms.iter().any(term_reads_by_item),
    }
}

/// Whether a term depends on the item.
pub(crate) fn term_varies(term: &Term) -> bool {
    match term {
        Term::Value(_) | Term::Unknown => false,
        Term::Reference(reference) => source_varies(&reference.source),
        Term::Text(text) => text_varies(text),
        Term::List(terms) => terms.iter().any(term_varies),
    }
}

/// Whether a text depends on the item.
pub(crate) fn text_varies(text: &Text) -> bool {
    text.references()
        .any(|reference| source_varies(&reference.source))
}

/// Whether a reference depends on the item.
pub(crate) fn source_varies(source: &Source) -> bool {
    match source {
        Source::Loop { .. } => true,
        Source::Output { address, .. } => address.iter().any(term_varies),
        Source::Argument { value, .. } => term_varies(value),
        _ => false,
    }
}

/// For each stage, whether something names a single item of it.
fn addressed_stages(pipeline: &Pipeline) -> Vec<bool> {
    let mut addressed = vec![false; pipeline.stages.len()];
    let mut pending: Vec<&crate::pipeline::Dependency> = Vec::new();
    pending.extend(pipeline.stages.iter().flat_map(|stage| &stage.after));
    pending.extend(
        pipeline
            .approvals
            .iter()
            .flat_map(|approval| &approval.after),
    );
    while let Some(dependency) = pending.pop() {
        match &dependency.target {
            Target::Stage {
                stage,
                address: Some(_),
            } => addressed[*stage] = true,
            Target::Any(parts) => pending.extend(parts),
            _ => {}
        }
    }
    addressed
}

struct Planner {
    list: Vec<JobPlan>,
    names: HashSet<String>,
    problems: Vec<Problem>,
}

impl Planner {
    fn reserve(&mut self, run: &str, index: usize, stage: &Stage, shape: &Shape) {
        let name = base(run, stage);
        let max = match shape {
            Shape::Single { .. } => NAME_MAX,
            // A pod's host name ends in the index.
            Shape::Indexed(count) => NAME_MAX - 1 - (count - 1).to_string().len(),
            Shape::Items(_) => NAME_MAX - 1 - crate::limits::SLUG_MIN,
        };
        if name.len() > max {
            self.problems.push(Problem::NameTooLong {
                stage: index,
                length: name.len(),
                max,
            });
        }
        if !matches!(shape, Shape::Items(_)) {
            self.names.insert(name);
        }
    }

    fn add(&mut self, run: &str, index: usize, stage: &Stage, shape: Shape) -> StageJobs {
        let first = self.list.len();
        let base = base(run, stage);
        let whole = JobPlan {
            name: base.clone(),
            stage: index,
            item: None,
            slug: None,
            completions: None,
            skipped: false,
        };
        let kept = match shape {
            Shape::Single { skipped } => {
                self.list.push(JobPlan { skipped, ..whole });
                return StageJobs::One(first);
            }
            Shape::Indexed(count) => {
                self.list.push(JobPlan {
                    completions: Some(count),
                    ..whole
                });
                return StageJobs::One(first);
            }
            Shape::Items(kept) => kept,
        };
        let room = NAME_MAX
            .saturating_sub(base.len() + 1)
            .max(crate::limits::SLUG_MIN);
        let mut by_key = HashMap::with_capacity(kept.len());
        let items = stage.items.as_deref().unwrap_or_default();
        for item in &kept {
            let values = &items[*item].values;
            let keys: Vec<String> = values.iter().map(Value::key).collect();
            let names = &mut self.names;
            let slug = name::slug(&keys.join("-"), room, |slug| {
                names.insert(format!("{base}-{slug}"))
            });
            by_key.insert(key(values), self.list.len());
            self.list.push(JobPlan {
                name: format!("{base}-{slug}"),
                stage: index,
                item: Some(*item),
                slug: Some(slug),
                completions: None,
                skipped: false,
            });
        }
        StageJobs::Items {
            first,
            count: kept.len(),
            by_key,
        }
    }
}

/// `<run>-<stage>`.
pub(crate) fn base(run: &str, stage: &Stage) -> String {
    format!("{run}-{}", stage.name.text)
}

impl JobPlan {
    /// The values that this Job's texts are evaluated with.
    pub(crate) fn values<'a>(&self, pipeline: &'a Pipeline) -> Values<'a> {
        let items = pipeline.stages[self.stage].items.as_deref();
        let item = self
            .item
            .and_then(|item| items?.get(item))
            .map(|item| item.values.as_slice());
        Values {
            params: &pipeline.params,
            item: item.unwrap_or_default(),
        }
    }

    /// Whether the whole stage runs as this one Indexed Job.
    pub(crate) fn is_indexed(&self) -> bool {
        self.completions.is_some()
    }
}
