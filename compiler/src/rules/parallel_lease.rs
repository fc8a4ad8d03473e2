//! K0413: a lease that several pods would hold at once.

use konductor_api::LedgerKind;
use konductor_dsl::{Code, Diagnostic};

use crate::pipeline::{Hold, Pipeline, Stage};

/// A stage that holds a lease and runs several pods.
pub(crate) fn check(pipeline: &Pipeline, stage: &Stage, parallelism: i32) -> Option<Diagnostic> {
    let is_lease = |hold: &&Hold| pipeline.ledgers[hold.ledger].kind == LedgerKind::Lease;
    let hold = stage
        .holding
        .iter()
        .find(is_lease)
        .filter(|_| parallelism > 1)?;
    let blocks = stage.body.passthrough.iter();
    let at = blocks.rev().find_map(|block| block.parallelism)?;
    let message = format!(
        "{parallelism} pods of `{}` would hold the lease at once",
        stage.name.text
    );
    Some(
        Diagnostic::error(Code::K0413, at, message)
            .label(hold.span, "a lease has one holder")
            .help("remove `parallelism`, or use `for` on the stage: its items take turns"),
    )
}
