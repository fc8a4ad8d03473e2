//! K0415: a dependency that is listed twice.

use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::{Dependency, Pipeline};

/// Tells entries of `after` that say the same.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let stages = pipeline.stages.iter().map(|stage| &stage.after);
    let approvals = pipeline.approvals.iter().map(|approval| &approval.after);
    for after in stages.chain(approvals) {
        for (index, second) in after.iter().enumerate() {
            let same = |first: &&Dependency| {
                first.target.is(&second.target) && first.state == second.state
            };
            if let Some(first) = after[..index].iter().find(same) {
                let diagnostic =
                    Diagnostic::warning(Code::K0415, second.span, "this is waited for already")
                        .label(first.span, "first listed here")
                        .help("remove one of them");
                diagnostics.push(diagnostic);
            }
        }
    }
}
