//! A Job that is gone: its Run's record and the last watch event still say how it ended.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{NameKey, ObjectName, Participant, Run, key_of, label};

use crate::facts::{Facts, Freshness};
use crate::outcome::{End, is_settled, job_end};
use crate::outputs::{OUTPUTS_LOST, outputs_are_lost};
use crate::run::{Ended, Entry, Stop, recorded};
use crate::words::Named;
use crate::{Fact, Needs, owner};

/// A Job that is gone, and has ended.
pub(crate) struct Remembered<'a> {
    pub(crate) ended: Ended,
    /// What the watch has shown last, if it has.
    pub(crate) last: Option<&'a Participant>,
    /// What its Run says of it.
    pub(crate) entry: Option<Entry>,
}

/// What is known of a Job that another object names.
pub(crate) enum Known<'a> {
    /// It exists, and it is the one that is meant.
    Job(&'a Participant),
    /// It is gone, and has ended.
    Ended(Remembered<'a>),
    /// It is gone, and its Run has not said yet what that means; with what its Run says of it.
    Gone(Option<Entry>),
    /// It was never seen.
    Unknown,
}

/// The facts about a Job that may be gone, beside the Job itself.
pub(crate) fn facts(
    asker: &ObjectMeta,
    job: &ObjectName,
    freshness: Freshness,
) -> Vec<(Fact, Freshness)> {
    let mut facts = vec![(Fact::JobGone(job.clone()), Freshness::Cached)];
    facts.extend(run_name(asker, job).map(|run| (Fact::Run(run), freshness)));
    facts
}

/// The Run whose record has a Job: the one of the object that names it, in its own namespace.
fn run_name(asker: &ObjectMeta, job: &ObjectName) -> Option<ObjectName> {
    owner::run_name(asker).filter(|run| run.namespace == job.namespace)
}

fn run_of<'a>(
    asker: &ObjectMeta,
    job: &ObjectName,
    facts: &'a Facts,
    freshness: Freshness,
) -> Result<Option<&'a Run>, Needs> {
    match run_name(asker, job) {
        Some(_) => owner::run_of(asker, facts, freshness),
        None => Ok(None),
    }
}

/// Whether a Job that is gone was still there when this object was created. Whoever deletes all of a file and
/// applies it again must not meet the Jobs of the time before. Times have seconds: what ended within the second of
/// the creation does not count, because the order is unknown then, and a start is worse than a wait.
pub(crate) fn was_there_after(job: &Participant, asker: &ObjectMeta) -> bool {
    if job.metadata.creation_timestamp >= asker.creation_timestamp {
        return true;
    }
    let status = job.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let times = conditions.into_iter().flatten();
    let times = times.filter_map(|condition| condition.last_transition_time.as_ref());
    times.max() > asker.creation_timestamp.as_ref()
}

/// The Jobs of a stage of a Run that exist or that the watch has shown, by the keys of the Run's record. What labels
/// they have does not change, so what the cache shows is enough.
pub(crate) fn of_stage(run: &Run, stage: &str, facts: &Facts) -> Result<BTreeSet<NameKey>, Needs> {
    let ObjectName { namespace, name } = ObjectName::of(&run.metadata);
    let labels = label::of_items(&name, stage, &BTreeMap::new());
    let shown = Fact::JobsLabelled {
        namespace: namespace.clone(),
        labels: labels.clone(),
    };
    let gone = Fact::JobsGone { namespace, labels };
    let all = [shown, gone];
    facts.require(all.iter().map(|fact| (fact.clone(), Freshness::Cached)))?;
    let mut keys = BTreeSet::new();
    for fact in all {
        let jobs = facts.jobs(fact, Freshness::Cached)?.iter();
        let jobs =
            jobs.filter(|job| recorded(run, &job.key.name).is_none_or(|entry| entry.is_of(job)));
        keys.extend(jobs.map(|job| job.key.name));
    }
    Ok(keys)
}

/// What is known of a Job that `asker` names. If it is not there, the Run of `asker` is the judge of
/// what that means; of a Job outside a Run the watch's last word counts if the Job had ended.
///
/// # Errors
/// What must be observed first.
pub(crate) fn known<'a>(
    asker: &ObjectMeta,
    name: &ObjectName,
    present: Option<&'a Participant>,
    facts: &'a Facts,
    freshness: Freshness,
) -> Result<Known<'a>, Needs> {
    let run = run_of(asker, name, facts, Freshness::Cached)?;
    let entry = run.and_then(|run| recorded(run, &key_of(&name.name)));
    if let Some(job) = present.filter(|job| entry.is_none_or(|entry| entry.is_of(job))) {
        return Ok(Known::Job(job));
    }
    let gone = facts.jobs(Fact::JobGone(name.clone()), Freshness::Cached)?;
    // Rule B: the Job was not found live, and so the Run is asked live, too.
    let Some(run) = run_of(asker, name, facts, freshness)? else {
        let last = gone.last().map(AsRef::as_ref);
        let last = last.filter(|job| was_there_after(job, asker));
        return Ok(match last.map(|job| (Ended::of(job), job)) {
            Some((Some(ended), job)) => Known::Ended(Remembered {
                ended,
                last: Some(job),
                entry: None,
            }),
            Some((None, _)) => Known::Gone(None),
            None => present.map_or(Known::Unknown, Known::Job),
        });
    };
    let Some(entry) = recorded(run, &key_of(&name.name)) else {
        let complete = run.status.as_ref().is_some_and(|status| status.complete);
        return Ok(match present {
            Some(job) => Known::Job(job),
            // Nobody has created it, and the Run does not wait for it any more.
            None if is_settled(run) && !complete => Known::Ended(Remembered {
                ended: Ended::cancelled(Stop::Other),
                last: None,
                entry: None,
            }),
            None => Known::Unknown,
        });
    };
    if let Some(job) = present.filter(|job| entry.is_of(job)) {
        return Ok(Known::Job(job));
    }
    let mut last = gone.iter().filter(|job| entry.is_of(job));
    let last = last.next().map(AsRef::as_ref);
    let ended = entry.ended.or_else(|| last.and_then(Ended::of));
    Ok(ended.map_or(Known::Gone(Some(entry)), |ended| {
        Known::Ended(Remembered {
            ended,
            last,
            entry: Some(entry),
        })
    }))
}

impl Known<'_> {
    /// The name of this Job for people, as `asker` calls it; `None` if it belongs to no stage of the asker's run.
    pub(crate) fn named(&self, asker: &ObjectMeta, job: &str) -> Option<Named> {
        let (last, entry) = match self {
            Known::Job(job) => (Some(*job), None),
            Known::Ended(gone) => (gone.last, gone.entry.as_ref()),
            Known::Gone(entry) => (None, entry.as_ref()),
            Known::Unknown => (None, None),
        };
        let last = last.and_then(|job| Named::job(asker, job));
        last.or_else(|| Named::recorded(asker, job, entry?))
    }
}

/// The outputs of a Job; the inner error says that they were written and are lost, so that no default
/// may stand in for them. `None` if nothing is known of the Job.
pub(crate) fn outputs(
    source: &Known<'_>,
    asker: &ObjectMeta,
    name: &str,
) -> Option<Result<BTreeMap<String, String>, String>> {
    let named = || {
        let named = source.named(asker, name);
        named.unwrap_or_else(|| Named::Object(format!("job/{name}")))
    };
    let (job, end) = match source {
        Known::Job(job) => (Some(*job), None),
        Known::Ended(gone) => (gone.last, Some(gone.ended.end)),
        Known::Gone(_) | Known::Unknown => return None,
    };
    Some(match job {
        // What stands on it before its end is of another Job, from which it was copied.
        Some(job) if job_end(job).is_none() && end != Some(End::Succeeded) => Ok(BTreeMap::new()),
        Some(job) if outputs_are_lost(job) => Err(format!("{}: {OUTPUTS_LOST}", named())),
        Some(job) if job_end(job).is_some() => Ok(job.outputs().unwrap_or_default()),
        // The last that is known of it is from before its end, if anything is.
        Some(_) | None if end == Some(End::Succeeded) => Err(format!(
            "{} was deleted before its outputs were read",
            named()
        )),
        Some(_) | None => Ok(BTreeMap::new()),
    })
}
