//! What is skipped before the run: an approval has no object that could say so, so what waits for
//! one that is skipped is decided here, by the outcome table.

use super::Dag;
use crate::eval::{Condition, Truth, Values};
use crate::pipeline::{Dependency, Pipeline, State, Target, When};

/// What is known to be skipped.
#[derive(Debug)]
pub(crate) struct Skips {
    pub approvals: Vec<bool>,
    /// Stages that wait for nothing but skipped approvals, and for one of them in vain.
    pub stages: Vec<bool>,
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
            stages: vec![false; stages],
        };
        for node in dag.order() {
            match node.checked_sub(stages) {
                None => skips.stages[node] = skips.is_ruled_out(&pipeline.stages[node].after),
                Some(index) => {
                    let approval = &pipeline.approvals[index];
                    skips.approvals[index] = is_false(pipeline, approval.when.as_deref())
                        || skips.is_ruled_out(&approval.after);
                }
            }
        }
        skips
    }

    fn is_ruled_out(&self, after: &[Dependency]) -> bool {
        let known = |wanted: Known| after.iter().any(|clause| self.known(clause) == wanted);
        known(Known::Out) && !known(Known::Open)
    }

    /// What is known about a clause.
    pub(crate) fn known(&self, clause: &Dependency) -> Known {
        match &clause.target {
            Target::Approval(approval) if self.approvals[*approval] => match clause.state {
                State::Succeeded | State::Failed => Known::Out,
                State::Skipped | State::Finished => Known::Holds,
            },
            Target::Any(parts) => {
                let known = |wanted: Known| parts.iter().any(|part| self.known(part) == wanted);
                match (known(Known::Holds), known(Known::Open)) {
                    (true, _) => Known::Holds,
                    (false, true) => Known::Open,
                    (false, false) => Known::Out,
                }
            }
            _ => Known::Open,
        }
    }
}

fn is_false(pipeline: &Pipeline, when: Option<&When>) -> bool {
    let job_name: crate::eval::JobName<'_> = &|_, _| Some(String::new());
    let condition = Condition {
        values: Values::of(pipeline),
        pipeline,
        job_name,
    };
    when.is_some_and(|when| condition.truth(&when.expr) == Truth::Known(false))
}
