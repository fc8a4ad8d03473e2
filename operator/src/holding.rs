//! Which Jobs and pods have to do with a ledger, by what they say themselves.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{LedgerKind, annotation, ledgers_of, parse_holds};

/// Whether a Job asks for something of a ledger, or holds something of it since it was started.
pub(crate) fn asks_for(job: &Job, kind: LedgerKind, name: &str) -> bool {
    ledgers_of(job).contains(&(kind, name.to_owned()))
}

/// Whether a Pod says that its Job holds something of a ledger.
pub(crate) fn pod_holds(pod: &Pod, kind: LedgerKind, name: &str) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let text = annotations.and_then(|all| all.get(annotation::HELD));
    let holds = text.and_then(|text| parse_holds(text).ok());
    holds
        .unwrap_or_default()
        .iter()
        .any(|hold| hold.kind == kind && hold.name == name)
}
