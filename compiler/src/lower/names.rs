//! What the objects of a run are called.

use crate::pipeline::Pipeline;
use crate::plan::Planned;

/// The annotation by which Kubernetes' own tools describe an object.
pub(crate) const DESCRIPTION: &str = "kubernetes.io/description";
/// How long a Lease lasts without renewal where its declaration does not say.
pub(crate) const LEASE_TTL_MILLIS: u64 = 30_000;

/// A Semaphore's or Lease's: its own where it is external, else `<pipeline>-<name>`, or with a point
/// between them where one of the two has a dash. So no two pipelines have one in common: `etl` with
/// `db-main` has `etl.db-main`, and `etl-db` with `main` has `etl-db.main`.
pub(crate) fn ledger_name(pipeline: &Pipeline, index: usize) -> String {
    let ledger = &pipeline.ledgers[index];
    if ledger.external {
        ledger.name.text.clone()
    } else {
        owned_name(&pipeline.name.text, &ledger.name.text)
    }
}

/// Joins two names so that the result determines both.
fn owned_name(owner: &str, name: &str) -> String {
    let between = if owner.contains('-') || name.contains('-') {
        '.'
    } else {
        '-'
    };
    format!("{owner}{between}{name}")
}

/// A workspace's claim: its own where it is external, else `<run>-<name>`.
pub(crate) fn workspace_name(all: &Planned, index: usize) -> String {
    let workspace = &all.pipeline.workspaces[index];
    if workspace.external {
        workspace.name.text.clone()
    } else {
        format!("{}-{}", all.plan.run, workspace.name.text)
    }
}

/// The Barrier over a stage's items: `<run>-<stage>`.
pub(crate) fn barrier_name(all: &Planned, stage: usize) -> String {
    format!("{}-{}", all.plan.run, all.pipeline.stages[stage].name.text)
}

/// The Barrier at which people arrive: `<run>-<approval>`.
pub(crate) fn approval_name(all: &Planned, approval: usize) -> String {
    format!(
        "{}-{}",
        all.plan.run, all.pipeline.approvals[approval].name.text
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn shared_names_contain_their_pipeline_and_their_own_name() {
        let names = ["a", "b", "a-b", "b-a", "a-b-a", "a-a", "b-a-b", "ab"];
        let mut seen = HashMap::new();
        for owner in names {
            for name in names {
                let other = seen.insert(owned_name(owner, name), (owner, name));
                assert_eq!(other, None, "{owner} and {name}");
            }
        }
        assert_eq!(owned_name("etl", "db"), "etl-db");
        assert_eq!(owned_name("etl", "db-main"), "etl.db-main");
    }
}
