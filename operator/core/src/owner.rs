//! The Run that an object belongs to: what kubectl has made is given to it, so that it goes with it.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use konductor_api::{Run, label, run_owner};
use serde_json::json;

use crate::decision::Kind;
use crate::facts::{Facts, Freshness, ObjectName};
use crate::{Decision, Needs, Write};

/// The Run that an object's label names, if it is there.
pub(crate) fn run_of<'a>(
    metadata: &ObjectMeta,
    facts: &'a Facts,
    freshness: Freshness,
) -> Result<Option<&'a Run>, Needs> {
    let Some(name) = run_name(metadata) else {
        return Ok(None);
    };
    Ok(facts.run(&name, freshness)?.map(AsRef::as_ref))
}

/// The name of the Run that an object's label names.
pub(crate) fn run_name(metadata: &ObjectMeta) -> Option<ObjectName> {
    let name = metadata.labels.as_ref()?.get(label::RUN)?;
    Some(ObjectName::new(ObjectName::of(metadata).namespace, name))
}

/// The uid of the Job that controls a pod. Its labels say nothing: whoever may create pods may write
/// any label, and the Job controller looks at this, too.
pub fn job_uid(pod: &Pod) -> Option<&str> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let job = owners.find(|owner| owner.controller == Some(true))?;
    let is_job = job.kind == "Job" && job.api_version.starts_with("batch/");
    is_job.then_some(job.uid.as_str())
}

fn has_run(metadata: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == "Run")
}

/// The owners of an object with its Run added; `None` where it has a Run.
pub(crate) fn with_run(metadata: &ObjectMeta, run: &Run) -> Option<Vec<OwnerReference>> {
    if has_run(metadata) {
        return None;
    }
    let mut owners = metadata.owner_references.clone().unwrap_or_default();
    owners.push(run_owner(run));
    Some(owners)
}

/// The write that gives an object to these owners.
pub(crate) fn give(kind: Kind, metadata: &ObjectMeta, owners: &[OwnerReference]) -> Write {
    Write::Patch {
        kind,
        name: ObjectName::of(metadata),
        status: false,
        body: json!({"metadata": {
            "uid": metadata.uid,
            "resourceVersion": metadata.resource_version,
            "ownerReferences": owners,
        }}),
    }
}

/// The decision to give an object to its Run, before anything else is decided about it; `None` where
/// that is done, or there is no Run.
pub(crate) fn given<S>(
    kind: Kind,
    metadata: &ObjectMeta,
    facts: &Facts,
) -> Result<Option<Decision<S>>, Needs> {
    if has_run(metadata) {
        return Ok(None);
    }
    let owners =
        run_of(metadata, facts, Freshness::Cached)?.and_then(|run| with_run(metadata, run));
    Ok(owners.map(|owners| Decision {
        before: vec![give(kind, metadata, &owners)],
        ..Decision::default()
    }))
}
