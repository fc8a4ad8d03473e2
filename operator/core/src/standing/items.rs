//! Where each item of an Indexed Job stands.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use konductor_api::Participant;
use konductor_api::condition::reason;

use super::State;
use crate::explain;
use crate::job::{items_done, items_succeeded, parse_indexes, wrong_outputs};
use crate::run_objects::RunObjects;

/// Why an item has failed whose pod succeeded, where nothing else says it.
const UNREAD: &str = "its outputs are lost, or there was no room for them";

/// Where an item stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemStanding {
    /// What it is called: its index, if no list gives it a name.
    pub name: String,
    /// Its state. One that waits for its turn while others run is [`State::Waiting`].
    pub state: State,
    /// What it waits for, or why it ended as it did; may be empty.
    pub why: String,
}

impl ItemStanding {
    /// Returns where the items of an Indexed Job stand, in the order of their indexes; none of another Job, or while
    /// their list is not known.
    pub fn all(job: &Participant, objects: &RunObjects) -> Vec<Self> {
        let names = names(job);
        if names.is_empty() {
            return Vec::new();
        }
        let status = job.status.as_ref();
        let (done, succeeded) = (items_done(job), items_succeeded(job));
        let failed = status.and_then(|status| status.failed_indexes.as_deref());
        let failed = indexes(job, failed);
        let mut pods: BTreeMap<usize, Vec<&Pod>> = BTreeMap::new();
        for pod in objects.pods_of(job) {
            let index = explain::index(pod).and_then(|index| usize::try_from(index).ok());
            if let Some(index) = index {
                pods.entry(index).or_default().push(pod);
            }
        }
        for tries in pods.values_mut() {
            tries.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
        }
        let whole = State::of(job);
        let items = names.into_iter().enumerate().map(|(index, name)| {
            let tries = pods.get(&index).map(Vec::as_slice).unwrap_or_default();
            let last = tries.last();
            let failure = || last.and_then(|pod| explain::pod_failure(job, pod));
            let wrong = || wrong_outputs(job, tries.iter().copied());
            let wrong = || wrong().map(|why| format!("{}: {why}", reason::INVALID_OUTPUTS));
            let (state, why) = if succeeded.contains(&index) {
                match wrong().filter(|_| !job.has_outputs()) {
                    Some(why) => (State::Failed, Some(why)),
                    None => (State::Succeeded, None),
                }
            } else if done.contains(&index) {
                // Its pod succeeded, and what it wrote does not count.
                match (wrong(), whole) {
                    (Some(why), _) => (State::Failed, Some(why)),
                    (None, State::Failed) => (State::Failed, Some(UNREAD.to_owned())),
                    (None, _) if tries.is_empty() => (State::Failed, Some(UNREAD.to_owned())),
                    // It was counted after its stage had been ended.
                    (None, other) => (other, None),
                }
            } else if failed.contains(&index) {
                (State::Failed, failure())
            } else {
                match whole {
                    // The Job was ended as a whole.
                    State::Failed => match failure() {
                        Some(why) => (State::Failed, Some(why)),
                        None => (State::Cancelled, Some("its stage failed before".to_owned())),
                    },
                    State::Running => at_work(job, tries, objects),
                    other => (other, None),
                }
            };
            Self {
                name,
                state,
                why: why.unwrap_or_default(),
            }
        });
        items.collect()
    }
}

/// What the items of an Indexed Job are called.
fn names(job: &Participant) -> Vec<String> {
    if job.items.is_some() {
        // Until it has its list, nobody knows how many there are.
        return job.item_names();
    }
    let spec = job.spec.as_ref();
    let indexed = spec.filter(|spec| spec.completion_mode.as_deref() == Some("Indexed"));
    let total = indexed
        .and_then(|spec| spec.completions)
        .unwrap_or_default();
    (0..total).map(|index| index.to_string()).collect()
}

/// An item of a Job that runs, by the pods that were created for it, the last one last.
fn at_work(job: &Participant, tries: &[&Pod], objects: &RunObjects) -> (State, Option<String>) {
    let open = explain::open(tries);
    if open.is_empty() {
        let failure = tries.last().and_then(|pod| explain::pod_failure(job, pod));
        return match failure {
            Some(why) => {
                let why = format!("its last pod failed, and another one follows: {why}");
                (State::Pending, Some(why))
            }
            None if tries.is_empty() => (State::Waiting, Some("waits for its turn".to_owned())),
            // It succeeded, and the Job controller has not counted it.
            None => (State::Running, None),
        };
    }
    if !explain::is_pending(&open) {
        return (State::Running, explain::restarting(job, &open));
    }
    let events = objects.events_about(job, &open);
    (
        State::Pending,
        explain::pending(job, &open, &events, &objects.workloads_of(job)),
    )
}

fn indexes(job: &Participant, text: Option<&str>) -> BTreeSet<usize> {
    let completions = job.spec.as_ref().and_then(|spec| spec.completions);
    parse_indexes(text.unwrap_or_default(), completions.unwrap_or_default()).unwrap_or_default()
}
