//! A run as people look at it: stages, their states, and what each waits for. It reads no cluster.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::condition::{self, Condition, SUCCEEDED};
use konductor_api::{Barrier, BarrierPhase, Holder, Participant, Run, shown_item};
use konductor_operator::run_graph::{Place, natural};
use konductor_operator::standing::{ItemStanding, Standing, State};
use konductor_operator::{End, RunObjects, Waits, explain, run_end, run_status, succeeded_indexes};
use serde::{Serialize, Serializer};

/// A run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct View {
    pub(crate) run: String,
    pub(crate) pipeline: String,
    pub(crate) phase: String,
    pub(crate) message: String,
    pub(crate) stages: Vec<Stage>,
}

/// A stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) items: Vec<Item>,
    /// How many of its items have to succeed, where not all have to.
    #[serde(skip)]
    pub(crate) quorum: Option<u32>,
}

/// One Job of a stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) job: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<String>,
    /// The items of a stage that is one Indexed Job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) indexes: Option<Indexes>,
    /// Where the items of an Indexed Job stand; `indexes` says it to programs.
    #[serde(skip)]
    pub(crate) listed: Vec<ItemStanding>,
    pub(crate) state: State,
    /// When its pods were started first, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) started: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Timestamp>,
    /// What it waits for, or why it ended as it did.
    pub(crate) why: String,
    /// What keeps it from starting.
    #[serde(skip)]
    pub(crate) waits: Option<Waits>,
    /// Who has what a queued Job waits for; written as `job/a`.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "holders")]
    pub(crate) holders: Vec<Holder>,
}

/// The indexes of an Indexed Job, written as Kubernetes does: `0-2,5`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Indexes {
    pub(crate) total: i32,
    succeeded: String,
    failed: String,
    /// What the items are called, by index, if another stage has written their list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<String>,
}

impl Item {
    /// When it ended, if it was started and has ended.
    fn ended(&self) -> Option<Timestamp> {
        self.since
            .filter(|_| matches!(self.state, State::Succeeded | State::Failed))
    }

    /// How long its pods have been at work, or were.
    pub(crate) fn duration(&self, now: Timestamp) -> Option<SignedDuration> {
        let end = match self.state {
            State::Running | State::Pending => now,
            _ => self.ended()?,
        };
        Some(end.duration_since(self.started?))
    }
}

impl Stage {
    pub(crate) fn state(&self) -> State {
        State::of_stage(self.items.iter().map(|item| item.state), self.quorum)
    }

    /// How long it has been at work, or was: from its first item's start to its last one's end.
    pub(crate) fn duration(&self, now: Timestamp) -> Option<SignedDuration> {
        let started = self.items.iter().filter_map(|item| item.started).min()?;
        let is_busy = self
            .items
            .iter()
            .any(|item| item.started.is_some() && !item.state.has_ended());
        let end = match is_busy {
            true => now,
            false => self.items.iter().filter_map(Item::ended).max()?,
        };
        Some(end.duration_since(started))
    }

    /// Since when it is in its state: since the last of its items has ended, or since the first has come into this state;
    /// `None` if that is not known of one of them.
    pub(crate) fn since(&self) -> Option<Timestamp> {
        let state = self.state();
        let in_state = self.items.iter().filter(|item| item.state == state);
        let sinces: Option<Vec<Timestamp>> = in_state.map(|item| item.since).collect();
        let have_ended = self.items.iter().all(|item| item.state.has_ended());
        match state {
            // One failure is enough, without a quorum.
            State::Failed if self.quorum.is_none() => sinces?.into_iter().min(),
            _ if have_ended => {
                let all: Option<Vec<Timestamp>> =
                    self.items.iter().map(|item| item.since).collect();
                all?.into_iter().max()
            }
            _ => sinces?.into_iter().min(),
        }
    }

    /// How many items have ended.
    pub(crate) fn ended(&self) -> usize {
        self.items
            .iter()
            .filter(|item| item.state.has_ended())
            .count()
    }
}

/// Looks at a run. Stages are in the order of `order`; those that it does not name follow, each after
/// what it waits for.
pub(crate) fn view(run: &Run, objects: &RunObjects, order: &[String]) -> View {
    let overview = objects.graph().overview();
    let stages = overview.places.iter().filter_map(|place| match place {
        Place::Stage { name, jobs } => Some((*name, jobs)),
        Place::Approval(_) | Place::Gate(_) | Place::Elsewhere(_) => None,
    });
    let mut stages: Vec<Stage> = stages
        .map(|(name, jobs)| {
            let mut items: Vec<Item> = jobs.iter().map(|job| item(job, objects)).collect();
            let name_of = |item: &Item| item.item.clone().unwrap_or_else(|| item.job.clone());
            items.sort_by_cached_key(|item| natural(&name_of(item)));
            Stage {
                quorum: run.spec.quorums.get(name).copied(),
                name: name.to_owned(),
                items,
            }
        })
        .collect();
    let named = order.iter().enumerate();
    let named: BTreeMap<&str, usize> = named.map(|(index, name)| (name.as_str(), index)).collect();
    let place = |stage: &Stage| named.get(stage.name.as_str()).copied();
    stages.sort_by_key(|stage| place(stage).unwrap_or(order.len()));
    let status = run_status(run).cloned().unwrap_or_default();
    View {
        run: run.metadata.name.clone().unwrap_or_default(),
        pipeline: run.spec.pipeline.clone(),
        phase: format!("{:?}", status.phase),
        message: message(&status.conditions, SUCCEEDED).unwrap_or_default(),
        stages,
    }
}

/// Where one Job of a stage stands, since when, and why.
pub(crate) fn item(job: &Participant, objects: &RunObjects) -> Item {
    let standing = Standing::of(job, objects, Timestamp::now());
    Item {
        job: job.name().to_owned(),
        item: job.item().map(str::to_owned),
        indexes: indexes(job),
        listed: ItemStanding::all(job, objects),
        state: standing.state,
        started: standing.started,
        since: standing.since,
        why: standing.why,
        waits: standing.waits,
        holders: standing.holders,
    }
}

/// How a Job is named among the items of its stage: `extract[eu]`.
pub(crate) fn title(job: &Participant) -> String {
    let stage = job.stage();
    match job.item() {
        Some(item) => format!("{stage}[{}]", shown_item(item)),
        None => stage.to_owned(),
    }
}

/// How a pod is named among those of its Job, which has this title and items with these names: `extract[eu]`, or
/// `extract[2]` if the Job is Indexed and its items have no names.
pub(crate) fn of_pod(title: &str, names: &[String], pod: &Pod) -> String {
    let Some(index) = explain::index(pod) else {
        return title.to_owned();
    };
    let name = usize::try_from(index).ok().and_then(|at| names.get(at));
    match name {
        Some(name) => format!("{title}[{name}]"),
        None => format!("{title}[{index}]"),
    }
}

/// How far the indexes of an Indexed Job have come.
pub(crate) fn indexes(job: &Participant) -> Option<Indexes> {
    let spec = job.spec.as_ref()?;
    let is_indexed = spec.completion_mode.as_deref() == Some("Indexed");
    let status = job.status.clone().unwrap_or_default();
    Some(Indexes {
        total: spec.completions.filter(|_| is_indexed)?,
        succeeded: succeeded_indexes(job),
        failed: status.failed_indexes.unwrap_or_default(),
        names: job.item_names(),
    })
}

fn holders<S: Serializer>(holders: &[Holder], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(holders.iter().map(ToString::to_string))
}

/// Whether a Barrier counts nothing yet, because its Gate has not opened.
pub(crate) fn waits_for_gate(barrier: &Barrier) -> bool {
    let status = barrier.status.as_ref();
    barrier.spec.gate.is_some()
        && status.is_none_or(|status| {
            status.phase == BarrierPhase::Waiting && status.started_at.is_none()
        })
}

/// Whether a Run has ended, and whether well.
pub(crate) fn run_ended(run: &Run) -> Option<bool> {
    run_end(run).map(|end| end == End::Succeeded)
}

/// What a condition says.
pub(crate) fn message(conditions: &[Condition], type_: &str) -> Option<String> {
    condition::find(conditions, type_).map(|condition| condition.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_takes_from_its_first_start_to_its_last_end() {
        let at = |second| Timestamp::from_second(second).ok();
        let item = |state, started, since| Item {
            job: "j".into(),
            item: None,
            indexes: None,
            state,
            started,
            since,
            why: String::new(),
            holders: Vec::new(),
            listed: Vec::new(),
            waits: None,
        };
        let stage = |items| Stage {
            name: "s".into(),
            items,
            quorum: None,
        };
        let seconds = |stage: Stage| stage.duration(at(100)?).map(|length| length.as_secs());
        let ended = item(State::Succeeded, at(10), at(30));
        let other = item(State::Failed, at(5), at(25));
        let waiting = item(State::Waiting, None, at(1));
        let running = item(State::Running, at(40), at(40));
        assert_eq!(seconds(stage(vec![ended.clone(), other])), Some(25));
        assert_eq!(
            seconds(stage(vec![ended.clone(), waiting.clone()])),
            Some(20)
        );
        assert_eq!(seconds(stage(vec![ended, running])), Some(90));
        assert_eq!(seconds(stage(vec![waiting])), None);
    }

    #[test]
    fn a_stage_has_its_state_since_its_first_item_has_it_or_its_last_has_ended() {
        use State::{Cancelled, Failed, Queued, Running, Skipped, Succeeded, Waiting};
        let item = |(state, since): &(State, i64)| Item {
            job: "j".into(),
            item: None,
            indexes: None,
            state: *state,
            started: None,
            since: Timestamp::from_second(*since).ok().filter(|_| *since > 0),
            why: String::new(),
            holders: Vec::new(),
            listed: Vec::new(),
            waits: None,
        };
        for (items, quorum, expected) in [
            (vec![(Queued, 9), (Queued, 4), (Waiting, 1)], None, Some(4)),
            (vec![(Queued, 9), (Queued, 0)], None, None),
            (vec![(Running, 5), (Succeeded, 3)], None, Some(5)),
            (
                vec![(Succeeded, 5), (Succeeded, 8), (Skipped, 2)],
                None,
                Some(8),
            ),
            (
                vec![(Failed, 7), (Cancelled, 9), (Failed, 6)],
                None,
                Some(6),
            ),
            (vec![(Failed, 7), (Succeeded, 9)], Some(2), Some(9)),
            (vec![(Cancelled, 7), (Cancelled, 0)], None, None),
        ] {
            let stage = Stage {
                name: "s".into(),
                items: items.iter().map(item).collect(),
                quorum,
            };
            let since = stage.since().map(|time| time.as_second());
            assert_eq!(since, expected, "{items:?}");
        }
    }
}
