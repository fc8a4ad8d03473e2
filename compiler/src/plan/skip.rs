//! What is skipped before the run, by the outcome table: an approval, or an item that a condition
//! leaves out, has no object that could say so, so what waits for it is decided here.

use std::collections::BTreeSet;

use foldhash::HashSet;

use super::Dag;
use super::group::{self, Mask};
use crate::eval::{Condition, Truth, Values};
use crate::pipeline::{Dependency, Item, Pipeline, State, Target, Term, When};
use crate::value::{Value, item_key};

/// Why all of a stage is skipped before the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOut {
    /// Its fan-out has no items.
    NoItems,
    /// Its `when` is false, for every item.
    When,
    /// What it waits for is skipped, at least for some items.
    Before,
}

/// What is known to be skipped.
#[derive(Debug)]
pub(crate) struct Skips {
    pub approvals: Vec<bool>,
    /// Stages that are skipped as a whole: none of their items is left, or they never had one.
    pub stages: Vec<Option<LeftOut>>,
    /// Of each other stage, what the items are called that are left out.
    left_out: Vec<HashSet<String>>,
    /// Of each such stage, the groups of items of which none is left.
    empty_groups: Vec<HashSet<String>>,
    masks: Vec<BTreeSet<Mask>>,
}

/// What is known about one clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The run decides.
    Open,
    Holds,
    /// It never holds, and that is no failure.
    Out,
}

impl Skips {
    /// Finds them, in the order of the graph.
    pub(crate) fn of(pipeline: &Pipeline, dag: &Dag) -> Self {
        let stages = pipeline.stages.len();
        let mut skips = Self {
            approvals: vec![false; pipeline.approvals.len()],
            stages: vec![None; stages],
            left_out: vec![HashSet::default(); stages],
            empty_groups: vec![HashSet::default(); stages],
            masks: group::masks(pipeline),
        };
        for node in dag.order() {
            match node.checked_sub(stages) {
                None => skips.stage(pipeline, node),
                Some(index) => {
                    let approval = &pipeline.approvals[index];
                    let values = Values::of(pipeline);
                    skips.approvals[index] =
                        skips.is_false(pipeline, approval.when.as_deref(), values)
                            || skips.is_ruled_out(&approval.after, values);
                }
            }
        }
        skips
    }

    fn stage(&mut self, pipeline: &Pipeline, index: usize) {
        let stage = &pipeline.stages[index];
        if stage.list.is_some() {
            self.listed_stage(pipeline, index);
            return;
        }
        // If a parameter has no value yet, nothing is known about the items.
        let Some(items) = &stage.items else { return };
        let left_out_by = |item: &Item| {
            let values = Values {
                params: &pipeline.params,
                item: &item.values,
            };
            if self.is_false(pipeline, stage.when.as_deref(), values) {
                return Some(LeftOut::When);
            }
            let is_ruled_out = self.is_ruled_out(&stage.after, values);
            is_ruled_out.then_some(LeftOut::Before)
        };
        let left_out: Vec<(&Item, LeftOut)> = items
            .iter()
            .filter_map(|item| Some((item, left_out_by(item)?)))
            .collect();
        let by = left_out.iter().map(|(_, by)| *by);
        let reason = by.reduce(|all, reason| if all == reason { all } else { LeftOut::Before });
        if left_out.len() == items.len() {
            self.stages[index] = Some(reason.unwrap_or(LeftOut::NoItems));
        } else {
            let keys = left_out.iter().map(|(item, _)| item_key(&item.values));
            let keys: HashSet<String> = keys.collect();
            for mask in &self.masks[index] {
                let group = |item: &Item| group::key_of_item(&item.values, mask);
                let is_kept = |item: &&Item| !keys.contains(&item_key(&item.values));
                let kept: HashSet<String> = items.iter().filter(is_kept).map(group).collect();
                let empty = left_out.iter().map(|(item, _)| group(item));
                let empty = empty.filter(|key| !kept.contains(key));
                self.empty_groups[index].extend(empty);
            }
            self.left_out[index] = keys;
        }
    }

    /// A stage whose items are known only at run time is left out as a whole.
    fn listed_stage(&mut self, pipeline: &Pipeline, index: usize) {
        let stage = &pipeline.stages[index];
        let values = Values::of(pipeline);
        if self.is_false(pipeline, stage.when.as_deref(), values) {
            self.stages[index] = Some(LeftOut::When);
        } else if self.is_ruled_out(&stage.after, values) {
            self.stages[index] = Some(LeftOut::Before);
        }
    }

    /// Whether an item is left out of a stage that has others.
    pub(crate) fn leaves_out(&self, stage: usize, item: &[Value]) -> bool {
        let left_out = &self.left_out[stage];
        !left_out.is_empty() && left_out.contains(&item_key(item))
    }

    /// The same for an item by its address, or for all items of a group.
    fn leaves_out_at(&self, stage: usize, address: &[Term], values: Values<'_>) -> bool {
        if self.left_out[stage].is_empty() {
            return false;
        }
        if Term::are_several(address) {
            let key = group::key(address, values);
            return key.is_some_and(|key| self.empty_groups[stage].contains(&key));
        }
        let item: Option<Vec<Value>> = address.iter().map(|term| values.term(term)).collect();
        item.is_some_and(|item| self.leaves_out(stage, &item))
    }

    fn is_ruled_out(&self, after: &[Dependency], values: Values<'_>) -> bool {
        let has_clause = |state: Known| {
            let mut clauses = after.iter();
            clauses.any(|clause| self.known(clause, values) == state)
        };
        has_clause(Known::Out) && !has_clause(Known::Open)
    }

    /// What is known about a clause.
    pub(crate) fn known(&self, clause: &Dependency, values: Values<'_>) -> Known {
        let of_skipped = match clause.state {
            State::Succeeded | State::Failed => Known::Out,
            State::Skipped | State::Finished => Known::Holds,
        };
        match &clause.target {
            Target::Approval(approval) if self.approvals[*approval] => of_skipped,
            Target::Stage {
                stage,
                address: Some(address),
            } if self.leaves_out_at(*stage, address, values) => of_skipped,
            Target::Any(parts) => {
                let has_part = |state: Known| {
                    let mut parts = parts.iter();
                    parts.any(|part| self.known(part, values) == state)
                };
                match (has_part(Known::Holds), has_part(Known::Open)) {
                    (true, _) => Known::Holds,
                    (false, true) => Known::Open,
                    (false, false) => Known::Out,
                }
            }
            Target::Approval(_) | Target::Stage { .. } | Target::Outside(_) => Known::Open,
        }
    }

    fn is_false(&self, pipeline: &Pipeline, when: Option<&When>, values: Values<'_>) -> bool {
        let job_name = |stage: usize, address: &[Term]| {
            (!self.leaves_out_at(stage, address, values)).then(String::new)
        };
        let condition = Condition {
            values,
            pipeline,
            job_name: &job_name,
        };
        when.is_some_and(|when| condition.truth(&when.expr) == Truth::Known(false))
    }
}
