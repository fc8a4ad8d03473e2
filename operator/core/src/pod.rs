//! A pod of a Job: whose it is, whether it still works, and what it says that its Job holds.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Hold, annotation, parse_holds};

/// The uid of the Job that controls a pod. Its labels say nothing: whoever may create pods may write
/// any label, and the Job controller looks at this, too.
pub fn job_uid(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let job = owners.find(|owner| owner.controller == Some(true))?;
    let is_job = job.kind == "Job" && job.api_version.starts_with("batch/");
    is_job.then_some(job.uid.as_str())
}

/// Whether a pod will never work again.
pub(crate) fn pod_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// When the last container of a pod ended, as far as its status says.
pub(crate) fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let ended = statuses.iter().filter_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        terminated.finished_at.as_ref()
    });
    ended.map(|time| time.0).max()
}

/// What a pod says that its Job holds.
pub(crate) fn held_by_pod(pod: &Pod) -> Vec<Hold> {
    let annotations = pod.metadata.annotations.as_ref();
    let text = annotations.and_then(|all| all.get(annotation::HELD));
    text.and_then(|text| parse_holds(text).ok())
        .unwrap_or_default()
}
