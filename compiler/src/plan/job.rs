//! The Jobs of a run: one for a stage, one for each item, or one that is Indexed.

use super::group::{self, Group};
use super::skip::{LeftOut, Skips};
use super::varies::can_be_indexed;
use crate::eval::Values;
use crate::limits::NAME_MAX;
use crate::name;
use crate::pipeline::{Dependency, Pipeline, Stage, Target, Term};
use crate::value::{Value, item_key};
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use konductor_api::limits::ITEMS_MAX_DEFAULT;
use std::collections::BTreeMap;

/// One Job to be.
#[derive(Debug)]
pub(crate) struct JobPlan {
    pub name: String,
    pub stage: usize,
    /// The item it runs, by its place in the stage's items.
    pub item: Option<usize>,
    /// What the item is called in names and labels.
    pub slug: Option<String>,
    /// An Indexed Job's number of items; of one whose list is known only at run time, the one that it has until then.
    pub completions: Option<u32>,
    /// What the labels call the item's values, one for each loop variable if there are several.
    pub variables: Vec<String>,
    /// Why it is skipped, if that is known before the run.
    pub skipped: Option<LeftOut>,
}

/// All Jobs of a run, in source order, and where to find a stage's.
#[derive(Debug)]
pub(crate) struct Jobs {
    pub list: Vec<JobPlan>,
    by_stage: Vec<StageJobs>,
    /// Items that something names together.
    pub groups: Vec<Group>,
    group_by_key: HashMap<(usize, String), usize>,
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
        let by_stage: Vec<StageJobs> = pipeline
            .stages
            .iter()
            .zip(shapes)
            .enumerate()
            .map(|(index, (stage, shape))| planner.add(run, index, stage, shape))
            .collect();
        let mut groups = group::Planner::new(pipeline, run);
        let masks = group::masks(pipeline);
        for (index, (stage, masks)) in pipeline.stages.iter().zip(&masks).enumerate() {
            if let StageJobs::Items { first, count, .. } = &by_stage[index] {
                let jobs = planner.list[*first..first + count].iter();
                let jobs = jobs.map(|job| (job.item, job.variables.as_slice()));
                groups.add(index, stage, masks, *first, jobs);
            }
        }
        if planner.problems.is_empty() {
            Ok(Self {
                list: planner.list,
                by_stage,
                groups: groups.groups,
                group_by_key: groups.by_key,
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

    /// The Job of an item; `None` if the stage has no such item. A stage that is skipped as a whole
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

    /// The group that an address with `*` names; `None` if none of its items has a Job of its own.
    pub(crate) fn group(
        &self,
        stage: usize,
        address: &[Term],
        values: Values<'_>,
    ) -> Option<usize> {
        let key = (stage, group::key(address, values)?);
        self.group_by_key.get(&key).copied()
    }

    /// What an address with `*` names: the variables that it fixes, as labels call their values, and how many items
    /// there are; `None` if none of them is left.
    pub(crate) fn several(
        &self,
        stage: usize,
        address: &[Term],
        values: Values<'_>,
    ) -> Option<(BTreeMap<String, String>, usize)> {
        if self.whole(stage).is_some() {
            return Some((BTreeMap::new(), 0));
        }
        // All items are a group only if something waits for them as such.
        if Term::are_every(address) {
            return Some((BTreeMap::new(), self.of_stage(stage).len()));
        }
        let group = &self.groups[self.group(stage, address, values)?];
        Some((group.fixed.clone(), group.jobs.len()))
    }

    /// The Job of the item with these values.
    pub(crate) fn by_key(&self, stage: usize, values: &[Value]) -> Option<usize> {
        match &self.by_stage[stage] {
            StageJobs::One(job) => Some(*job),
            StageJobs::Items { by_key, .. } => by_key.get(&item_key(values)).copied(),
        }
    }
}

enum Shape {
    Single {
        skipped: Option<LeftOut>,
    },
    Indexed(u32),
    /// One Indexed Job, with so many items at most.
    Listed(u32),
    Items(Vec<usize>),
}

fn shape(pipeline: &Pipeline, index: usize, addressed: bool, skips: &Skips) -> Shape {
    let stage = &pipeline.stages[index];
    if let (Some(list), None) = (&stage.list, skips.stages[index]) {
        let max = Values::of(pipeline).int(&list.max);
        let max = max.and_then(|max| u32::try_from(max).ok());
        return Shape::Listed(max.unwrap_or(ITEMS_MAX_DEFAULT));
    }
    let items = stage.items.as_deref().unwrap_or_default();
    let kept: Vec<usize> = (0..items.len())
        .filter(|item| !skips.leaves_out(index, &items[*item].values))
        .collect();
    let skipped = skips.stages[index].or(kept.is_empty().then_some(LeftOut::NoItems));
    if skipped.is_some() || !stage.is_fan_out() {
        return Shape::Single { skipped };
    }
    if !addressed && can_be_indexed(stage) {
        return Shape::Indexed(u32::try_from(kept.len()).unwrap_or(u32::MAX));
    }
    Shape::Items(kept)
}

/// For each stage, whether something names a single item of it.
fn addressed_stages(pipeline: &Pipeline) -> Vec<bool> {
    let mut addressed = vec![false; pipeline.stages.len()];
    let mut pending: Vec<&Dependency> = Vec::new();
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
                address: Some(address),
            } if !Term::are_every(address) => addressed[*stage] = true,
            Target::Any(parts) => pending.extend(parts),
            Target::Stage { .. } | Target::Approval(_) | Target::Outside(_) => {}
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
            Shape::Indexed(count) | Shape::Listed(count) => {
                NAME_MAX - 1 - (count - 1).to_string().len()
            }
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
            variables: Vec::new(),
            skipped: None,
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
            Shape::Listed(_) => {
                self.list.push(JobPlan {
                    completions: Some(1),
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
        let labels = group::labels(stage);
        for item in &kept {
            let values = &items[*item].values;
            let variables = values.iter().zip(&labels);
            let variables = variables.filter_map(|(value, labels)| labels.get(&value.key()));
            let keys: Vec<String> = values.iter().map(Value::key).collect();
            let names = &mut self.names;
            let slug = name::slug(&keys.join("-"), room, |slug| {
                names.insert(format!("{base}-{slug}"))
            });
            by_key.insert(item_key(values), self.list.len());
            self.list.push(JobPlan {
                name: format!("{base}-{slug}"),
                stage: index,
                item: Some(*item),
                slug: Some(slug),
                completions: None,
                variables: variables.cloned().collect(),
                skipped: None,
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
