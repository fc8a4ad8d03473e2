//! A Job that was created from what `kubectl get` or a backup had stored of another one: it carries what the operator
//! wrote on that one.
//!
//! Every start changes the spec, so a Job whose spec was never changed was never started by the operator. Annotations that
//! say that it was started are removed, and then it is a new Job. What must not happen: a start past its Gate, or an old
//! output, input or list of items that counts as its own.

use konductor_api::{Participant, annotation, label};
use serde_json::{Map, Value, json};

use super::{NoStatus, patch};
use crate::{Decision, Write, unstarted};

/// What the operator writes at a start or after it. It writes [`annotation::OUTPUTS_KEPT`], too, but a retry creates Jobs
/// with that, and with the indexes that it is of.
const AFTER_A_START: [&str; 7] = [
    annotation::PHASE,
    annotation::REASON,
    annotation::HELD,
    annotation::PRESETS,
    annotation::OUTPUTS,
    annotation::RESUMED,
    annotation::TIMES,
];

/// Removes what the operator wrote on another Job; `None` if it has written it on this one. The pod template can be changed
/// only while the Job is suspended.
pub(super) fn forget(job: &Participant) -> Option<Decision<NoStatus>> {
    if !job.is_copy() {
        return None;
    }
    let job_annotations = job.metadata.annotations.as_ref()?;
    let kept = job.completed_indexes().is_none();
    let kept = kept.then_some(&annotation::OUTPUTS_KEPT);
    let copied = AFTER_A_START.iter().chain(kept);
    let copied = copied.filter(|key| job_annotations.contains_key(**key));
    let annotations: Map<String, Value> =
        copied.map(|key| ((*key).to_owned(), Value::Null)).collect();
    let mut write = patch(job, annotations);
    if job.is_suspended()
        && let Write::Patch { body, .. } = &mut write
    {
        restore_template(job, body);
    }
    Some(Decision {
        before: vec![write],
        ..Decision::default()
    })
}

/// Adds to a patch what makes the pod template as it was before the start of the other Job.
fn restore_template(job: &Participant, body: &mut Value) {
    let mut annotations = unstarted::annotations(job);
    if job.completed_indexes().is_some() {
        // One that a retry has created goes over the list that those are the indexes of.
        annotations.remove(annotation::ITEMS);
    }
    if !annotations.is_empty() {
        body["spec"]["template"]["metadata"]["annotations"] = json!(annotations);
    }
    let template = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let labels = template.and_then(|template| template.labels.as_ref());
    if labels.is_some_and(|labels| labels.contains_key(label::HELD)) {
        body["spec"]["template"]["metadata"]["labels"][label::HELD] = Value::Null;
    }
}
