//! K0414: dependencies that never hold together.

use foldhash::HashMap;
use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::{Dependency, Pipeline, State, Target};

/// Reports stages that wait for two ends of one stage.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let stages = pipeline.stages.iter().map(|stage| &stage.after);
    let approvals = pipeline.approvals.iter().map(|approval| &approval.after);
    for after in stages.chain(approvals) {
        diagnostics.extend(of_header(pipeline, after));
    }
}

fn of_header(pipeline: &Pipeline, after: &[Dependency]) -> Vec<Diagnostic> {
    let mut reported = Vec::new();
    let mut states = after.iter().map(|clause| clause.state);
    let first_state = states.next();
    if states.all(|state| Some(state) == first_state) {
        // Only different ends exclude each other; most headers wait for success alone.
        return reported;
    }
    // The first clause about each target, and for each stage the first that rules out the rest.
    let mut first: HashMap<_, &Dependency> = HashMap::default();
    let mut whole: HashMap<usize, &Dependency> = HashMap::default();
    let mut failed_item: HashMap<usize, &Dependency> = HashMap::default();
    for clause in after
        .iter()
        .filter(|clause| clause.state != State::Finished)
    {
        let Some(key) = clause.target.key() else {
            continue;
        };
        let earlier = *first.entry(key).or_insert(clause);
        let mut other = (earlier.state != clause.state).then_some(earlier);
        // A fan-out without a quorum succeeds only where none of its items fails.
        if let Target::Stage { stage, address } = &clause.target
            && pipeline.stages[*stage].quorum.is_none()
        {
            match (address, clause.state) {
                (None, State::Succeeded) => {
                    other = other.or(failed_item.get(stage).copied());
                    whole.entry(*stage).or_insert(clause);
                }
                (Some(_), State::Failed) => {
                    other = other.or(whole.get(stage).copied());
                    failed_item.entry(*stage).or_insert(clause);
                }
                _ => {}
            }
        }
        reported.extend(other.map(|other| report(other, clause)));
    }
    reported
}

fn report(first: &Dependency, second: &Dependency) -> Diagnostic {
    Diagnostic::error(Code::K0414, second.span, "these can never all be satisfied")
        .here(wanted(second.state))
        .label(first.span, wanted(first.state))
        .help("keep one of them, write `.finished` for any end, or `any(…)` for either")
}

fn wanted(state: State) -> &'static str {
    match state {
        State::Succeeded => "holds when it has succeeded",
        State::Failed => "holds when it has failed",
        State::Skipped => "holds when it was skipped",
        State::Finished => "holds when it has ended",
    }
}
