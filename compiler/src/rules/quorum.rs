//! K0407: a quorum that can't be reached.

use konductor_dsl::{Code, Diagnostic, Span};

use crate::eval::Values;
use crate::pipeline::Pipeline;
use crate::plan::job::Jobs;

/// Reports quorums above the number of items.
pub(crate) fn check(pipeline: &Pipeline, jobs: &Jobs, diagnostics: &mut Vec<Diagnostic>) {
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let Some(setting) = &stage.quorum else {
            continue;
        };
        let Some(quorum) = Values::of(pipeline).int(&stage.quorum) else {
            continue;
        };
        let is_skipped = jobs
            .whole(index)
            .is_some_and(|job| jobs.list[job].skipped.is_some());
        let items = jobs.of_stage(index).len();
        if !is_skipped && quorum > i64::try_from(items).unwrap_or(i64::MAX) {
            let message = format!("{quorum} of {items} items can never succeed");
            let diagnostic = Diagnostic::error(Code::K0407, setting.span, message)
                .label(stage.name.span, format!("has {items} items"))
                .help(format!("write `quorum {items}` or less"));
            diagnostics.push(diagnostic);
        }
    }
}

/// A quorum of a stage without items.
pub(crate) fn without_for(span: Span) -> Diagnostic {
    Diagnostic::error(Code::K0407, span, "only a stage with `for` has a quorum")
        .help("write it at the stage with `for` that is waited for, or remove it")
}
