//! K0414: dependencies that never hold together.

use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::{Dependency, Pipeline, State, Target};

/// Tells stages that wait for two ends of one stage.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let stages = pipeline.stages.iter().map(|stage| &stage.after);
    let approvals = pipeline.approvals.iter().map(|approval| &approval.after);
    for after in stages.chain(approvals) {
        for (index, second) in after.iter().enumerate() {
            let first = after[..index]
                .iter()
                .find(|first| exclude(pipeline, first, second));
            diagnostics.extend(first.map(|first| report(first, second)));
        }
    }
}

fn report(first: &Dependency, second: &Dependency) -> Diagnostic {
    Diagnostic::error(Code::K0414, second.span, "these can never hold together")
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

fn exclude(pipeline: &Pipeline, first: &Dependency, second: &Dependency) -> bool {
    if first.state == State::Finished || second.state == State::Finished {
        return false;
    }
    if first.target.is(&second.target) {
        return first.state != second.state;
    }
    // A fan-out without a quorum succeeds only where none of its items fails.
    let fails = |item: &Dependency, whole: &Dependency| match (&item.target, &whole.target) {
        (
            Target::Stage {
                stage,
                address: Some(_),
            },
            Target::Stage {
                stage: of,
                address: None,
            },
        ) => {
            stage == of
                && item.state == State::Failed
                && whole.state == State::Succeeded
                && pipeline.stages[*stage].quorum.is_none()
        }
        _ => false,
    };
    fails(first, second) || fails(second, first)
}
