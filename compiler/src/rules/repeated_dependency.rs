//! K0415: a dependency that is listed twice.

use foldhash::HashMap;
use konductor_dsl::{Code, Diagnostic, Edit};

use crate::pipeline::Pipeline;

/// Reports repeated entries of `after`.
pub(crate) fn check(pipeline: &Pipeline, diagnostics: &mut Vec<Diagnostic>) {
    let stages = pipeline.stages.iter().map(|stage| &stage.after);
    let approvals = pipeline.approvals.iter().map(|approval| &approval.after);
    for after in stages.chain(approvals).filter(|after| after.len() > 1) {
        let mut seen = HashMap::default();
        for clause in after {
            let Some(key) = clause.target.key() else {
                continue;
            };
            if let Some(first) = seen.insert((key, clause.state), clause.span) {
                let diagnostic =
                    Diagnostic::warning(Code::K0415, clause.span, "this is waited for already")
                        .label(first, "first listed here")
                        .help("remove one of them")
                        .fix("remove it", [Edit::remove(clause.span)]);
                diagnostics.push(diagnostic);
            }
        }
    }
}
