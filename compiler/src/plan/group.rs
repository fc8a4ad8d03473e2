//! Items of a fan-out that an address with `*` names together.
//!
//! What enters: addresses, and the items of the stages that they are about. What leaves: for each value of the
//! variables that an address fixes, the items that it leaves. What must never happen here: two groups with one name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use foldhash::{HashMap, HashSet};

use crate::eval::Values;
use crate::limits::NAME_MAX;
use crate::name;
use crate::pipeline::{Dependency, Item, Pipeline, Stage, Target, Term};
use crate::value::Value;

/// For each loop variable, whether an address fixes it.
pub(crate) type Mask = Vec<bool>;

/// Items of a stage that something names together.
#[derive(Debug)]
pub(crate) struct Group {
    pub stage: usize,
    /// The Barrier's that stands for it.
    pub name: String,
    /// How people call its items: `linux, *`.
    pub items: String,
    /// The fixed variables, and how the labels of the items call their values.
    pub fixed: BTreeMap<String, String>,
    /// Its Jobs, in the order of the items.
    pub jobs: Vec<usize>,
}

/// The key of the group that an address names; `None` where one of its values is not known.
pub(crate) fn key(address: &[Term], values: Values<'_>) -> Option<String> {
    let mut whole = String::new();
    for term in address {
        match term {
            Term::Every => whole.push('*'),
            term => push(&values.term(term)?, &mut whole),
        }
    }
    Some(whole)
}

/// The key of the group that an item is in.
pub(crate) fn key_of_item(item: &[Value], mask: &Mask) -> String {
    let mut whole = String::new();
    for (value, is_fixed) in item.iter().zip(mask) {
        match is_fixed {
            true => push(value, &mut whole),
            false => whole.push('*'),
        }
    }
    whole
}

fn push(value: &Value, whole: &mut String) {
    let key = value.key();
    // With its length, no value can look like two.
    let _ = write!(whole, "{}:{key}", key.len());
}

/// For each stage, which variables are fixed in addresses with `*`.
pub(crate) fn masks(pipeline: &Pipeline) -> Vec<BTreeSet<Mask>> {
    let mut masks = vec![BTreeSet::new(); pipeline.stages.len()];
    let stages = pipeline.stages.iter().flat_map(|stage| &stage.after);
    let approvals = pipeline.approvals.iter();
    let mut pending: Vec<&Dependency> = stages
        .chain(approvals.flat_map(|approval| &approval.after))
        .collect();
    while let Some(dependency) = pending.pop() {
        match &dependency.target {
            Target::Stage {
                stage,
                address: Some(address),
            } if address.iter().any(Term::is_every) => {
                let mask = address.iter().map(|term| !term.is_every()).collect();
                masks[*stage].insert(mask);
            }
            Target::Any(parts) => pending.extend(parts),
            Target::Stage { .. } | Target::Approval(_) | Target::Outside(_) => {}
        }
    }
    masks
}

/// Plans the groups of all stages.
pub(crate) struct Planner {
    /// Names of Barriers.
    names: HashSet<String>,
    run: String,
    pub groups: Vec<Group>,
    pub by_key: HashMap<(usize, String), usize>,
}

impl Planner {
    pub(crate) fn new(pipeline: &Pipeline, run: &str) -> Self {
        let stages = pipeline.stages.iter().map(|stage| &stage.name.text);
        let approvals = pipeline.approvals.iter();
        let approvals = approvals.map(|approval| &approval.name.text);
        let names = stages.chain(approvals).map(|name| format!("{run}-{name}"));
        Self {
            names: names.collect(),
            run: run.to_owned(),
            groups: Vec::new(),
            by_key: HashMap::default(),
        }
    }

    /// Groups the Jobs of a stage, which begin at `first`: of each its item, by its place, and what labels call the
    /// item's values.
    pub(crate) fn add<'j>(
        &mut self,
        index: usize,
        stage: &Stage,
        masks: &BTreeSet<Mask>,
        first: usize,
        jobs: impl Iterator<Item = (Option<usize>, &'j [String])> + Clone,
    ) {
        let items = stage.items.as_deref().unwrap_or_default();
        for mask in masks {
            for (offset, (item, variables)) in jobs.clone().enumerate() {
                let Some(item) = item.and_then(|item| items.get(item)) else {
                    continue;
                };
                let key = (index, key_of_item(&item.values, mask));
                let group = self.by_key.get(&key).copied();
                let group = group.unwrap_or_else(|| {
                    let group = self.group(index, stage, mask, item, variables);
                    self.groups.push(group);
                    self.by_key.insert(key, self.groups.len() - 1);
                    self.groups.len() - 1
                });
                self.groups[group].jobs.push(first + offset);
            }
        }
    }

    fn group(
        &mut self,
        index: usize,
        stage: &Stage,
        mask: &Mask,
        item: &Item,
        variables: &[String],
    ) -> Group {
        let base = format!("{}-{}", self.run, stage.name.text);
        let values = item.values.iter().zip(mask);
        let shown = values.map(|(value, is_fixed)| match is_fixed {
            true => value.key(),
            false => "*".to_owned(),
        });
        let shown: Vec<String> = shown.collect();
        let variables = stage.loops.iter().zip(variables).zip(mask);
        let fixed = variables.filter(|(_, is_fixed)| **is_fixed);
        let fixed =
            fixed.map(|((variable, value), _)| (variable.name.text.as_str(), value.as_str()));
        let fixed: Vec<(&str, &str)> = fixed.collect();
        let slugs: Vec<&str> = fixed.iter().map(|(_, value)| *value).collect();
        let called = match slugs.as_slice() {
            [] => "all".to_owned(),
            slugs => slugs.join("-"),
        };
        let room = NAME_MAX
            .saturating_sub(base.len() + 1)
            .max(crate::limits::SLUG_MIN);
        let names = &mut self.names;
        let slug = name::slug(&called, room, |slug| names.insert(format!("{base}-{slug}")));
        Group {
            stage: index,
            name: format!("{base}-{slug}"),
            items: shown.join(", "),
            fixed: fixed
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            jobs: Vec::new(),
        }
    }
}

/// What the values of each loop variable are called in labels, if there are several variables: no two of one variable
/// are called the same.
pub(crate) fn labels(stage: &Stage) -> Vec<HashMap<String, String>> {
    if stage.loops.len() < 2 {
        return Vec::new();
    }
    let items = stage.items.as_deref().unwrap_or_default();
    let variables = 0..stage.loops.len();
    let labels = variables.map(|variable| {
        let mut labels: HashMap<String, String> = HashMap::default();
        let mut taken = HashSet::default();
        for value in items.iter().filter_map(|item| item.values.get(variable)) {
            labels.entry(value.key()).or_insert_with_key(|key| {
                name::slug(key, NAME_MAX, |slug| taken.insert(slug.to_owned()))
            });
        }
        labels
    });
    labels.collect()
}
