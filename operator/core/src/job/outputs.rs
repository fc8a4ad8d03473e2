//! What a Job wrote: its outputs are stored on it, with its phase, once it is complete; of a Job with items, once it has
//! ended.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use konductor_api::condition::reason;
use konductor_api::{JobPhase, ObjectName, Participant, annotation, job_ended};
use serde_json::{Map, Value, json};

use super::{NoStatus, item_outputs, patch};
use crate::decision::EventType;
use crate::explain;
use crate::facts::{Facts, Freshness};
use crate::outcome::job_end;
use crate::outputs::{OUTPUTS_LOST, read_outputs, termination_message};
use crate::pod::pod_ended;
use crate::{Decided, Decision, Event, Fact};

/// Stores what the succeeded pod wrote, together with the phase, in one patch. A Job whose outputs are
/// not what it declares has failed, although the Job controller says that it is complete.
pub(super) fn store(job: &Participant, facts: &Facts) -> Decided<NoStatus> {
    let place = ObjectName::of(&job.metadata);
    let job_uid = job.metadata.uid.clone().unwrap_or_default();
    let pods = Fact::PodsOf {
        namespace: place.namespace,
        job_uid,
    };
    let pods = facts.pods(pods, Freshness::Live)?;
    let mut decision = Decision::default();
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    let (annotations, problem) = outcome_annotations(job, &pods);
    decision.before.push(patch(job, annotations));
    decision.events.extend(problem.map(|note| Event {
        type_: EventType::Warning,
        reason: reason::INVALID_OUTPUTS,
        note,
    }));
    Ok(decision)
}

/// The phase and the outputs of a Job that has ended, from what its pods wrote, and what is wrong with it. Only a Job
/// with items has outputs although it failed: those of the items that succeeded.
fn outcome_annotations(job: &Participant, pods: &[&Pod]) -> (Map<String, Value>, Option<String>) {
    let message = match &job.items {
        Some(_) => None,
        None => termination_message(pods.iter().copied()),
    };
    let declared = job.declared_outputs.as_ref();
    let declared = declared.map_or(Ok(&[][..]), |all| all.as_deref());
    let read = match (declared, message) {
        (Err(error), _) => Err(format!("{}: {error}", annotation::OUTPUTS_DECLARED)),
        (Ok(declared), _) if job.items.is_some() => {
            item_outputs::read(job, declared, pods.iter().copied())
        }
        (Ok(declared), Some(message)) => read_outputs(message, declared),
        // Bare names promise nothing, so nothing is lost for sure.
        (Ok(declared), None) if declared.iter().all(|output| output.ty.is_none()) => {
            Ok(BTreeMap::new())
        }
        (Ok(_), None) => Err("its pod was deleted before they were read".to_owned()),
    };
    let mut annotations = Map::new();
    let (mut phase, mut why, mut problem) = match read {
        Ok(outputs) => {
            let outputs = json!(outputs).to_string();
            annotations.insert(annotation::OUTPUTS.into(), outputs.into());
            let is_lost = message.is_none() && job.items.is_none();
            let why = is_lost.then(|| OUTPUTS_LOST.to_owned());
            (JobPhase::Complete, why, None)
        }
        Err(problem) => {
            let note = format!("{}: {problem}", reason::INVALID_OUTPUTS);
            (JobPhase::Failed, Some(note), Some(problem))
        }
    };
    if job_ended(job) == Some(false) {
        // Why it failed is worth more than what is wrong with its outputs.
        let failed = explain::failure(job, pods);
        (phase, why, problem) = (JobPhase::Failed, failed.or(why), None);
    }
    if job.outputs_kept().is_some() {
        annotations.insert(annotation::OUTPUTS_KEPT.into(), Value::Null);
    }
    annotations.insert(annotation::PHASE.into(), phase.word().into());
    if why.is_some() || job.reason().is_some() {
        annotations.insert(annotation::REASON.into(), why.into());
    }
    (annotations, problem)
}

/// A Job that is gone after its end, as it would stand if its outputs had been stored before: what its pods
/// wrote still counts. A Job whose pods still run is as it was.
pub fn with_outputs(mut job: Participant, pods: &[std::sync::Arc<Pod>]) -> Participant {
    if job_end(&job).is_some() || job_ended(&job).is_none() || !job.owes_outputs() {
        return job;
    }
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    if termination_message(pods.iter().copied()).is_none() && pods.iter().any(|pod| !pod_ended(pod))
    {
        return job;
    }
    let (written, _) = outcome_annotations(&job, &pods);
    job.edit(|job| {
        let annotations = job.metadata.annotations.get_or_insert_default();
        for (key, value) in written {
            match value {
                Value::String(text) => annotations.insert(key, text),
                _ => annotations.remove(&key),
            };
        }
    });
    job
}
