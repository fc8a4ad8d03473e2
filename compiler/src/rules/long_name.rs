//! K0502: a name that is too long for Kubernetes.

use konductor_dsl::{Code, Diagnostic};

use crate::limits::NAME_MAX;
use crate::pipeline::Pipeline;
use crate::plan::job::Problem;

/// A stage whose name leaves no room in `<run>-<stage>-<item>`.
pub(crate) fn of_stage(pipeline: &Pipeline, run: &str, problem: Problem) -> Diagnostic {
    let Problem::NameTooLong { stage, length, max } = problem;
    let name = &pipeline.stages[stage].name;
    let message = format!(
        "`{run}-{}` has {length} characters: at most {max}",
        name.text
    );
    Diagnostic::error(Code::K0502, name.span, message)
        .here("run and stage together name a Job")
        .help("shorten the name, or give the run a shorter one with `--run`")
}

/// Reports names of shared resources, approvals and workspaces that are too long.
pub(crate) fn check(pipeline: &Pipeline, run: &str, diagnostics: &mut Vec<Diagnostic>) {
    let ledgers = pipeline.ledgers.iter().filter(|ledger| !ledger.external);
    let ledgers = ledgers.map(|ledger| (pipeline.name.text.as_str(), &ledger.name));
    let approvals = pipeline
        .approvals
        .iter()
        .map(|approval| (run, &approval.name));
    let workspaces = pipeline
        .workspaces
        .iter()
        .filter(|w| !w.external)
        .map(|w| (run, &w.name));
    for (prefix, name) in ledgers.chain(approvals).chain(workspaces) {
        let length = prefix.len() + 1 + name.text.len();
        if length > NAME_MAX {
            let message = format!(
                "`{prefix}-{}` has {length} characters: at most {NAME_MAX}",
                name.text
            );
            let diagnostic = Diagnostic::error(Code::K0502, name.span, message)
                .here(format!("named after `{prefix}`"))
                .help("shorten one of the names");
            diagnostics.push(diagnostic);
        }
    }
}

/// A run's name that Kubernetes does not take.
pub(crate) fn of_run(pipeline: &Pipeline, run: &str) -> Diagnostic {
    let message = format!("{run:?} can't be the name of a run");
    Diagnostic::error(Code::K0502, pipeline.name.span, message)
        .help("use lower case letters, digits and `-`, at most 63 characters")
}
