//! What a Job wrote: its outputs are stored on it, with its phase, once it is complete; of a Job with items, once it has
//! ended.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use konductor_api::condition::reason;
use konductor_api::{JobPhase, ObjectName, Participant, annotation, job_ended};
use serde_json::{Map, Value, json};

use super::item_outputs::{self, Outputs};
use super::{NoStatus, patch};
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
/// with items has outputs although it failed or was cancelled: those of the items that succeeded.
fn outcome_annotations(job: &Participant, pods: &[&Pod]) -> (Map<String, Value>, Option<String>) {
    let message = match &job.items {
        Some(_) => None,
        None => termination_message(pods.iter().copied()),
    };
    let declared = job.declared_outputs.as_ref();
    let declared = declared.map_or(Ok(&[][..]), |all| all.as_deref());
    let of_items = job.items.as_ref().map(|_| {
        let declared = declared.unwrap_or_default();
        item_outputs::read(job, declared, pods.iter().copied())
    });
    let problem_of_items = of_items.as_ref().map(|of_items| of_items.problem.clone());
    let read = match (declared, message) {
        (Err(error), _) => Err(format!("{}: {error}", annotation::OUTPUTS_DECLARED)),
        (Ok(_), _) if job.items.is_some() => match problem_of_items.flatten() {
            Some(problem) => Err(problem),
            None => Ok(BTreeMap::new()),
        },
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
    if let Some(Outputs { stored, of, .. }) = of_items {
        annotations.insert(annotation::OUTPUTS.into(), json!(stored).to_string().into());
        if of.is_some() || job.outputs_kept().is_some() {
            annotations.insert(annotation::OUTPUTS_KEPT.into(), of.into());
        }
    }
    if is_ended_by_phase(job) {
        // Why it was ended is worth more, too.
        return (annotations, None);
    }
    annotations.insert(annotation::PHASE.into(), phase.word().into());
    if why.is_some() || job.reason().is_some() {
        annotations.insert(annotation::REASON.into(), why.into());
    }
    (annotations, problem)
}

/// Whether the operator has ended a Job, so that the Job controller has no say about its end.
fn is_ended_by_phase(job: &Participant) -> bool {
    match job.phase {
        Some(JobPhase::Cancelled | JobPhase::Failed | JobPhase::Skipped | JobPhase::Unreached) => {
            true
        }
        Some(
            JobPhase::Waiting
            | JobPhase::Queued
            | JobPhase::Running
            | JobPhase::Paused
            | JobPhase::Complete,
        )
        | None => false,
    }
}

/// A Job that is gone, as it would stand if its outputs had been stored before: what its pods wrote still counts, of one
/// with items also if it was deleted before its end. A Job that has ended and whose pods still run is as it was.
pub fn with_outputs(mut job: Participant, pods: &[std::sync::Arc<Pod>]) -> Participant {
    if job_end(&job).is_some() || !job.owes_outputs() {
        return job;
    }
    let pods: Vec<&Pod> = pods.iter().map(AsRef::as_ref).collect();
    if !job.is_over() {
        let declared = job
            .declared_outputs
            .as_ref()
            .filter(|_| job.items.is_some());
        let declared = declared.and_then(|declared| declared.as_deref().ok());
        let kept = declared.and_then(|declared| item_outputs::kept(&job, declared, pods));
        let is_read = declared.is_none() || job.outputs_kept().is_some();
        // As at its end, those that nobody has read by now have failed.
        if let Some(kept) = kept.or((!is_read).then(|| " {}".to_owned())) {
            job.edit(|job| {
                let annotations = job.metadata.annotations.get_or_insert_default();
                annotations.insert(annotation::OUTPUTS_KEPT.to_owned(), kept);
            });
        }
        return job;
    }
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
