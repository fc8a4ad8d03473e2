//! The Jobs of a Run that are gone, for people: what the record still says of them.
//!
//! What enters: a Run, the Jobs that exist, and names that other objects mention. What leaves: the missing Jobs, as
//! far as they are known. What must never happen here: a decision is made by them; they are shown, and a retry is made of
//! what is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{
    JobPhase, NameKey, Participant, Role, Run, StageKey, annotation, key_of, label,
};

use crate::outcome::End;
use crate::run::{Ended, Entry, Record, Stop, recorded};
use crate::words::Named;

/// What stands for the name of a stage that nobody knows any more.
const UNKNOWN: &str = "?";

/// The Jobs that a Run has had, and that are not among those that exist. `mentioned` are names of Jobs that other
/// objects mention, and `gates` those of Gates.
pub(super) fn gone<'a>(
    run: &Run,
    present: &[Arc<Participant>],
    mentioned: impl IntoIterator<Item = &'a str>,
    gates: &BTreeSet<&str>,
) -> Vec<Participant> {
    let record = Record::of(run);
    let status = run.status.as_ref();
    let stored = status.into_iter().flat_map(|status| &status.stages);
    let of_jobs = present.iter().filter_map(|job| job.label(label::STAGE));
    let stages = stored.chain(run.spec.quorums.keys());
    let stages = stages.map(String::as_str).chain(of_jobs);
    let stages: BTreeMap<StageKey, &str> = stages.map(|name| (key_of(name), name)).collect();
    let mentioned = mentioned.into_iter().map(|name| (key_of(name), name));
    let mentioned: BTreeMap<NameKey, &str> = mentioned.collect();
    let present: BTreeSet<NameKey> = present.iter().map(|job| job.key.name).collect();
    let missing = record.entries.iter();
    let missing = missing.filter(|(key, _)| !present.contains(*key));
    let mut unnamed = 0;
    let jobs = missing.map(|(key, entry)| {
        let stage = stages.get(&entry.stage).copied();
        let is_it = |name: &String| key_of(name) == *key;
        let name = mentioned.get(key).map(|name| (*name).to_owned());
        let name = name.or_else(|| whole(run, stage?).filter(is_it));
        unnamed += usize::from(name.is_none());
        shown(run, stage, name, entry, (unnamed, gates))
    });
    jobs.collect()
}

/// A Job that was created in the place of one that the Run has had, as the record knows that one; `None` if it is the Run's
/// own, or has ended in the same way.
pub(crate) fn as_recorded(run: &Run, job: &Participant) -> Option<Participant> {
    let entry = recorded(run, &job.key.name).filter(|entry| !entry.is_of(job))?;
    if entry.ended.is_none() || entry.ended == Ended::of(job) {
        return None;
    }
    let (phase, reason) = words(&entry);
    let declares_outputs = job.declared_outputs.is_some();
    let mut recorded_job = job.clone();
    recorded_job.edit(|job| {
        let annotations = job.metadata.annotations.get_or_insert_default();
        annotations.insert(annotation::PHASE.to_owned(), phase.word().to_owned());
        annotations.insert(annotation::REASON.to_owned(), reason.to_owned());
        if declares_outputs {
            // They were on the other one.
            annotations.insert(annotation::OUTPUTS.to_owned(), "{}".to_owned());
        }
        job.status = status(phase);
    });
    Some(recorded_job)
}

/// The status of a Job that has ended so.
fn status(phase: JobPhase) -> Option<JobStatus> {
    let complete = JobCondition {
        type_: "Complete".to_owned(),
        status: "True".to_owned(),
        ..JobCondition::default()
    };
    (phase == JobPhase::Complete).then(|| JobStatus {
        conditions: Some(vec![complete]),
        ..JobStatus::default()
    })
}

/// The name of the Job that is a whole stage.
fn whole(run: &Run, stage: &str) -> Option<String> {
    Some(format!("{}-{stage}", run.metadata.name.as_deref()?))
}

/// A Job as far as the record knows it.
fn shown(
    run: &Run,
    stage: Option<&str>,
    name: Option<String>,
    entry: &Entry,
    (unnamed, gates): (usize, &BTreeSet<&str>),
) -> Participant {
    let own = run.metadata.name.clone().unwrap_or_default();
    let labels = BTreeMap::from([(label::RUN.to_owned(), own)]);
    let asker = ObjectMeta {
        labels: Some(labels.clone()),
        ..ObjectMeta::default()
    };
    let named = name
        .as_deref()
        .and_then(|name| Named::recorded(&asker, name, entry));
    let (of_name, item) = match named {
        Some(Named::Stage { stage, item }) => (Some(stage), item),
        _ => (None, None),
    };
    let stage = stage.map(str::to_owned).or(of_name);
    let stage = stage.unwrap_or_else(|| UNKNOWN.to_owned());
    let is_whole = name.is_some() && name == whole(run, &stage);
    let item = item.or_else(|| (!is_whole).then(|| UNKNOWN.to_owned()));
    // What has no name needs one that no Job can have.
    let name = name.unwrap_or_else(|| format!("{stage}-{UNKNOWN}{unnamed}"));
    let mut labels = labels;
    labels.insert(label::STAGE.to_owned(), stage);
    if entry.finally {
        labels.insert(label::ROLE.to_owned(), Role::Finally.word().to_owned());
    }
    if entry.may_fail {
        labels.insert(label::MAY_FAIL.to_owned(), "true".to_owned());
    }
    let (phase, reason) = words(entry);
    let mut annotations = BTreeMap::from([
        (annotation::PHASE.to_owned(), phase.word().to_owned()),
        (annotation::REASON.to_owned(), reason.to_owned()),
    ]);
    annotations.extend(item.map(|item| (annotation::ITEM.to_owned(), item)));
    if gates.contains(name.as_str()) {
        annotations.insert(annotation::GATE.to_owned(), name.clone());
    }
    Participant::of(Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: run.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(true),
            ..JobSpec::default()
        }),
        status: status(phase),
    })
}

/// How it ended, and what became of it.
fn words(entry: &Entry) -> (JobPhase, &'static str) {
    let after = "its Job was deleted after it had ended";
    let Some(ended) = entry.ended else {
        let unseen = "its Job was deleted, and the operator has not looked at it since";
        return (JobPhase::Cancelled, unseen);
    };
    match (ended.end, ended.stop) {
        (End::Succeeded, _) => (JobPhase::Complete, after),
        (End::Failed, _) => (JobPhase::Failed, after),
        (End::Skipped, _) => (JobPhase::Skipped, after),
        (End::Unreached, _) => (JobPhase::Unreached, after),
        (End::Cancelled, Some(Stop::Deleted)) => (
            JobPhase::Cancelled,
            "Deleted: its Job was deleted before it had ended",
        ),
        (End::Cancelled, _) => (JobPhase::Cancelled, "its Job was deleted"),
    }
}
