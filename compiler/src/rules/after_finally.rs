//! K0403: a stage that waits for a finally stage.

use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::Pipeline;
use crate::plan::Dag;

/// Reports stages and approvals that wait for what starts only when they have ended.
pub(crate) fn check(pipeline: &Pipeline, dag: &Dag, diagnostics: &mut Vec<Diagnostic>) {
    let is_finally = |node: usize| pipeline.stages.get(node).is_some_and(|stage| stage.finally);
    for edge in dag
        .edges()
        .filter(|edge| is_finally(edge.from) && !is_finally(edge.to))
    {
        let awaited = &pipeline.stages[edge.from].name;
        let message = format!(
            "`{}` starts only when everything else has ended",
            awaited.text
        );
        let diagnostic = Diagnostic::error(Code::K0403, edge.span, message)
            .here("so this would wait forever")
            .label(awaited.span, "a finally stage")
            .help("make this a `finally stage` too, or remove the dependency");
        diagnostics.push(diagnostic);
    }
}
