//! K0404: an item that its stage does not have.

use foldhash::{HashMap, HashSet};
use konductor_dsl::{Code, Diagnostic};

use super::listed;
use crate::eval::Values;
use crate::pipeline::{Dependency, Item, Pipeline, Stage, Target, Term};
use crate::plan::group::{self, Mask};
use crate::plan::job::Jobs;
use crate::plan::varies;
use crate::value::{Value, item_key};

/// Reports addresses of items that do not exist: of dependencies, and of outputs, which are
/// dependencies too. Each place once.
pub(crate) fn check(pipeline: &Pipeline, jobs: &Jobs, diagnostics: &mut Vec<Diagnostic>) {
    let mut search = Search {
        pipeline,
        jobs,
        declared: HashMap::default(),
        groups: HashMap::default(),
    };
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let varies = stage.after.iter().any(varies::of_dependency);
        let planned = jobs.list[jobs.of_stage(index)]
            .iter()
            .filter(|job| job.skipped.is_none());
        let mut open: Vec<&Dependency> = stage.after.iter().collect();
        for job in planned.take(if varies { usize::MAX } else { 1 }) {
            let values = job.values(pipeline);
            open.retain(|dependency| {
                let missing = search.missing(dependency, values);
                let complete = missing.is_empty();
                diagnostics.extend(missing);
                complete
            });
        }
    }
    for dependency in pipeline
        .approvals
        .iter()
        .flat_map(|approval| &approval.after)
    {
        diagnostics.extend(search.missing(dependency, Values::of(pipeline)));
    }
}

struct Search<'a> {
    pipeline: &'a Pipeline,
    jobs: &'a Jobs,
    /// What the items of a stage are called, also those that are left out.
    declared: HashMap<usize, HashSet<String>>,
    /// The keys of the groups that the items of a stage are in, by the variables that are fixed.
    groups: HashMap<(usize, Mask), HashSet<String>>,
}

impl Search<'_> {
    fn missing(&mut self, dependency: &Dependency, values: Values<'_>) -> Vec<Diagnostic> {
        match &dependency.target {
            Target::Any(parts) => parts
                .iter()
                .flat_map(|part| self.missing(part, values))
                .collect(),
            Target::Stage {
                stage,
                address: Some(address),
            } if Term::are_several(address) => {
                let missing = self.missing_group(dependency, *stage, address, values);
                missing.into_iter().collect()
            }
            Target::Stage {
                stage,
                address: Some(address),
            } => {
                let indices: Option<Vec<Value>> =
                    address.iter().map(|term| values.term(term)).collect();
                indices
                    .and_then(|indices| self.missing_at(dependency, *stage, indices))
                    .into_iter()
                    .collect()
            }
            _ => Vec::new(),
        }
    }

    fn missing_group(
        &mut self,
        dependency: &Dependency,
        stage: usize,
        address: &[Term],
        values: Values<'_>,
    ) -> Option<Diagnostic> {
        let target = &self.pipeline.stages[stage];
        let items = target.items.as_deref()?;
        // An empty fan-out is skipped, and so are items that a condition leaves out.
        if Term::are_every(address) || items.is_empty() {
            return None;
        }
        let key = group::key(address, values)?;
        let mask: Mask = address.iter().map(|term| !term.is_every()).collect();
        let groups = self.groups.entry((stage, mask.clone()));
        let groups = groups.or_insert_with(|| {
            let keys = items
                .iter()
                .map(|item| group::key_of_item(&item.values, &mask));
            keys.collect()
        });
        if groups.contains(&key) {
            return None;
        }
        let expected = address.iter().map(|term| match values.term(term) {
            Some(value) => value.key(),
            None => "*".to_owned(),
        });
        let expected = expected.collect::<Vec<_>>().join(", ");
        Some(report(target, items, dependency, &expected))
    }

    fn missing_at(
        &mut self,
        dependency: &Dependency,
        stage: usize,
        expected: Vec<Value>,
    ) -> Option<Diagnostic> {
        let target = &self.pipeline.stages[stage];
        let items = target.items.as_deref()?;
        if self.jobs.whole(stage).is_none() && self.jobs.by_key(stage, &expected).is_some() {
            return None;
        }
        // One that a condition leaves out counts as skipped.
        let declared = self
            .declared
            .entry(stage)
            .or_insert_with(|| items.iter().map(|item| item_key(&item.values)).collect());
        if declared.contains(&item_key(&expected)) {
            return None;
        }
        let expected = Item { values: expected }.text();
        Some(report(target, items, dependency, &expected))
    }
}

fn report(target: &Stage, items: &[Item], dependency: &Dependency, expected: &str) -> Diagnostic {
    let name = &target.name;
    let message = format!("`{}` has no item `{expected}`", name.text);
    let diagnostic = Diagnostic::error(Code::K0404, dependency.span, message)
        .here(format!("no item `{expected}`"));
    let texts: Vec<String> = items.iter().map(Item::text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    diagnostic
        .label(name.span, "this stage")
        .help(format!("its items are {}", listed(&texts, "and")))
}
