//! What the objects of a run are called.

use crate::manifest::Manifests;
use crate::pipeline::Pipeline;

/// The annotation by which Kubernetes' own tools describe an object.
pub(crate) const DESCRIPTION: &str = "kubernetes.io/description";
/// How long a Lease lasts without renewal where its declaration does not say.
pub(crate) const LEASE_TTL_MILLIS: u64 = 30_000;

/// A Semaphore's or Lease's: its own where it is external, else `<pipeline>-<name>`.
pub(crate) fn ledger_name(pipeline: &Pipeline, index: usize) -> String {
    let ledger = &pipeline.ledgers[index];
    if ledger.external {
        ledger.name.text.clone()
    } else {
        format!("{}-{}", pipeline.name.text, ledger.name.text)
    }
}

/// A workspace's claim: its own where it is external, else `<run>-<name>`.
pub(crate) fn workspace_name(all: &Manifests, index: usize) -> String {
    let workspace = &all.pipeline.workspaces[index];
    if workspace.external {
        workspace.name.text.clone()
    } else {
        format!("{}-{}", all.plan.run, workspace.name.text)
    }
}

/// The Barrier over a stage's items: `<run>-<stage>`.
pub(crate) fn barrier_name(all: &Manifests, stage: usize) -> String {
    format!("{}-{}", all.plan.run, all.pipeline.stages[stage].name.text)
}

/// The Barrier at which people arrive: `<run>-<approval>`.
pub(crate) fn approval_name(all: &Manifests, approval: usize) -> String {
    format!(
        "{}-{}",
        all.plan.run, all.pipeline.approvals[approval].name.text
    )
}
