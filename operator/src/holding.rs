//! Which Jobs and pods have to do with a ledger, by what they say themselves.

use k8s_openapi::api::core::v1::Pod;
use konductor_api::{LedgerKind, Participant};
use konductor_core::held_by_pod;

/// Whether a Job asks for something of a ledger, or holds something of it since it was started.
pub(crate) fn asks_for(job: &Participant, kind: LedgerKind, name: &str) -> bool {
    job.ledgers().contains(&(kind, name))
}

/// Whether a Pod says that its Job holds something of a ledger.
pub(crate) fn pod_holds(pod: &Pod, kind: LedgerKind, name: &str) -> bool {
    let holds = held_by_pod(pod);
    holds
        .iter()
        .any(|hold| hold.kind == kind && hold.name == name)
}
