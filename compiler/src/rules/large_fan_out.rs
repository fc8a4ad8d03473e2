//! K0501: a fan-out or a run that is too large.

use konductor_dsl::{Code, Diagnostic, Span};

use crate::limits::{
    FINALLY_JOBS_MAX, ITEMS_MAX, ITEMS_TOTAL_MAX, JOBS_MAX, LOOPS_MAX, QUORUMS_MAX,
};
use crate::pipeline::Pipeline;
use crate::plan::job::Jobs;

/// Too many items.
pub(crate) fn report(span: Span, count: &str) -> Diagnostic {
    let message = format!("{count} items are too many: at most {ITEMS_MAX}");
    Diagnostic::error(Code::K0501, span, message)
        .help("let one item do more: each is a pod that has to be started")
}

/// Too many variables in one `for`.
pub(crate) fn too_many_variables(span: Span) -> Diagnostic {
    Diagnostic::error(
        Code::K0501,
        span,
        format!("a `for` has at most {LOOPS_MAX} variables"),
    )
    .help("use a list of records, such as `for x in targets` with `x.os` and `x.arch`")
}

/// Too many items in all fan-outs together.
pub(crate) fn too_many_items(span: Span) -> Diagnostic {
    let message = format!("all fan-outs together have more than {ITEMS_TOTAL_MAX} items");
    Diagnostic::error(Code::K0501, span, message)
        .help("let one item do more: each is a pod that has to be started")
}

/// Reports a run of too many Jobs.
pub(crate) fn check(pipeline: &Pipeline, jobs: &Jobs, diagnostics: &mut Vec<Diagnostic>) {
    let is_finally = |stage: usize| pipeline.stages[stage].finally;
    let finally = jobs.list.iter().filter(|job| is_finally(job.stage)).count();
    let main = jobs.list.len() - finally;
    let quorums = pipeline
        .stages
        .iter()
        .filter(|stage| stage.quorum.is_some())
        .count();
    let counts = [
        (main, JOBS_MAX, "Jobs"),
        (finally, FINALLY_JOBS_MAX, "Jobs of finally stages"),
        (quorums, QUORUMS_MAX, "stages with a quorum"),
    ];
    for (count, max, what) in counts.into_iter().filter(|(count, max, _)| count > max) {
        let message = format!("{count} {what} are too many for one run: at most {max}");
        let diagnostic = Diagnostic::error(Code::K0501, pipeline.name.span, message)
            .help("split the pipeline, and join the parts with `after pipeline(\"…\")`");
        diagnostics.push(diagnostic);
    }
}
