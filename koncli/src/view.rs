//! A run as people look at it: stages, their states, and what each waits for. It reads no cluster.

mod item;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, Pod};
use konductor_api::condition::{self, Condition, SUCCEEDED};
use konductor_api::{
    Barrier, Gate, Lease, ObjectName, Participant, Role, Run, RunPhase, RunStatus, Semaphore,
    Subject, Target, label,
};
use konductor_operator::{Fact, Objects, Waits, explain, waits_for};
use serde::Serialize;

pub(crate) use self::item::{hold_message, in_the_way, item, state, title};

/// Where a Job stands, in the words of `koncli`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Failed,
    Running,
    /// It was started, and no pod of it runs.
    Pending,
    /// Somebody suspended it after its start.
    Suspended,
    Paused,
    Queued,
    Waiting,
    Cancelled,
    Unreached,
    Skipped,
    Succeeded,
}

impl State {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Running => "running",
            Self::Pending => "pending",
            Self::Suspended => "suspended",
            Self::Paused => "paused",
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Cancelled => "cancelled",
            Self::Unreached => "unreached",
            Self::Skipped => "skipped",
            Self::Succeeded => "succeeded",
        }
    }

    /// Readable without colour.
    pub(crate) fn mark(self) -> char {
        match self {
            Self::Failed => '✗',
            Self::Running => '●',
            Self::Pending => '◌',
            Self::Suspended | Self::Paused => '‖',
            Self::Queued => '◔',
            Self::Waiting => '○',
            Self::Cancelled | Self::Unreached => '⊘',
            Self::Skipped => '−',
            Self::Succeeded => '✓',
        }
    }

    pub(crate) fn has_ended(self) -> bool {
        !matches!(
            self,
            Self::Running
                | Self::Pending
                | Self::Suspended
                | Self::Paused
                | Self::Queued
                | Self::Waiting
        )
    }
}

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
    /// How many successes make it succeed, where not all are needed.
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
    /// Who has what a queued Job waits for, such as `job/a`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) holders: Vec<String>,
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
    /// Where it stands: while items are open, the state that says most; afterwards its end by the table of outcomes.
    pub(crate) fn state(&self) -> State {
        let open = self.items.iter().map(|item| item.state);
        let open = open.filter(|state| !state.has_ended()).min();
        match open {
            // With a quorum, a failure decides nothing.
            Some(open) if self.quorum.is_some() || !self.has(State::Failed) => open,
            Some(_) => State::Failed,
            None => self.end(),
        }
    }

    /// How it ended, if every item has.
    fn end(&self) -> State {
        let succeeded = self.items.iter().map(|item| item.state);
        let succeeded = succeeded.filter(|state| *state == State::Succeeded).count();
        let enough = |quorum: u32| usize::try_from(quorum).is_ok_and(|quorum| succeeded >= quorum);
        if self.quorum.is_some_and(enough) {
            return State::Succeeded;
        }
        let bad = [State::Failed, State::Cancelled, State::Unreached];
        let worst = bad.into_iter().find(|state| self.has(*state));
        match (worst, self.items.is_empty()) {
            (Some(worst), _) => worst,
            (None, true) => State::Waiting,
            (None, false) if succeeded > 0 && self.quorum.is_none() => State::Succeeded,
            (None, false) => State::Skipped,
        }
    }

    fn has(&self, state: State) -> bool {
        self.items.iter().any(|item| item.state == state)
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

    /// How many items have ended.
    pub(crate) fn ended(&self) -> usize {
        self.items
            .iter()
            .filter(|item| item.state.has_ended())
            .count()
    }
}

/// What a view is made of, besides the Run.
#[derive(Debug, Default)]
pub(crate) struct Around {
    pub(crate) jobs: Vec<Participant>,
    pub(crate) barriers: BTreeMap<String, Barrier>,
    pub(crate) gates: BTreeMap<String, Gate>,
    pub(crate) semaphores: BTreeMap<String, Semaphore>,
    pub(crate) leases: BTreeMap<String, Lease>,
    /// The pods of the Jobs.
    pub(crate) pods: Vec<Pod>,
    /// Warnings about Jobs and pods.
    pub(crate) events: Vec<Event>,
    /// Kueue's Workloads.
    pub(crate) workloads: Vec<serde_json::Value>,
    /// The Run itself.
    pub(crate) run: Option<Run>,
}

impl Around {
    /// What keeps a Job from its next step, by what is known here.
    fn waits_for(&self, job: &Participant) -> Option<Waits> {
        waits_for(job, |fact| self.answer(fact), Timestamp::now())
    }

    /// The objects that answer what the operator's core asks about a Job. Only of the run's namespace anything is
    /// known.
    fn answer(&self, fact: &Fact) -> Objects {
        fn one<K: Clone>(found: Option<&K>) -> Vec<Arc<K>> {
            found.cloned().map(Arc::new).into_iter().collect()
        }
        let is = |own: &ObjectName, job: &&Participant| job.name() == own.name;
        match fact {
            Fact::Gate(name) => Objects::Gates(one(self.gates.get(&name.name))),
            Fact::Barrier(name) => Objects::Barriers(one(self.barriers.get(&name.name))),
            Fact::Semaphore(name) => Objects::Semaphores(one(self.semaphores.get(&name.name))),
            Fact::Lease(name) => Objects::Leases(one(self.leases.get(&name.name))),
            Fact::Job(name) => Objects::Jobs(one(self.jobs.iter().find(|job| is(name, job)))),
            Fact::Run(name) => {
                let run = self.run.as_ref();
                let is_it = |run: &&Run| run.metadata.name.as_ref() == Some(&name.name);
                Objects::Runs(one(run.filter(is_it)))
            }
            Fact::PodsOf { job_uid, .. } => {
                let jobs = self.jobs.iter().find(|job| job.uid() == job_uid);
                let pods = jobs.map(|job| self.pods_of(job)).unwrap_or_default();
                Objects::Pods(pods.into_iter().cloned().map(Arc::new).collect())
            }
            _ => Objects::Jobs(Vec::new()),
        }
    }

    fn pods_of(&self, job: &Participant) -> Vec<&Pod> {
        let uid = job.metadata.uid.as_ref();
        let owned = |pod: &&Pod| {
            let owners = pod.metadata.owner_references.iter().flatten();
            owners
                .map(|owner| &owner.uid)
                .any(|owner| Some(owner) == uid)
        };
        self.pods.iter().filter(owned).collect()
    }

    /// Why no pod of a Job runs, in words that are empty where nobody says why; `None` where one runs, or where
    /// the Job is suspended by somebody and not in a queue of Kueue.
    fn pending(&self, job: &Participant, state: State) -> Option<String> {
        let pods = self.pods_of(job);
        let why = explain::pending(job, &pods, &self.events, &self.workloads);
        let runs = match pods.is_empty() {
            // The pods may not be readable, but the Job counts those that are ready.
            true => job.status.as_ref().and_then(|status| status.ready) > Some(0),
            false => explain::open(&pods)
                .iter()
                .any(|pod| !explain::is_pending(&[pod])),
        };
        match why {
            None if state == State::Running && !runs => Some(String::new()),
            why => why,
        }
    }
}

/// Looks at a run. Stages are in the order of `order`; those that it does not name follow, each after
/// what it waits for.
pub(crate) fn view(run: &Run, around: &Around, order: &[String]) -> View {
    let mut stages: Vec<Stage> = order
        .iter()
        .map(|name| Stage {
            name: name.clone(),
            items: Vec::new(),
            quorum: None,
        })
        .collect();
    for job in &around.jobs {
        let name = job.stage().to_owned();
        let item = item(job, around);
        match stages.iter_mut().find(|stage| stage.name == name) {
            Some(stage) => stage.items.push(item),
            None => stages.push(Stage {
                name,
                items: vec![item],
                quorum: None,
            }),
        }
    }
    stages.retain(|stage| !stage.items.is_empty());
    let depths = depths(around);
    stages.sort_by_cached_key(|stage| {
        let known = order.iter().position(|name| *name == stage.name);
        let depth = depths.get(&stage.name).copied();
        (known.unwrap_or(order.len()), depth, natural(&stage.name))
    });
    for stage in &mut stages {
        stage.quorum = run.spec.quorums.get(&stage.name).copied();
        let name = |item: &Item| item.item.clone().unwrap_or_else(|| item.job.clone());
        stage.items.sort_by_cached_key(|item| natural(&name(item)));
    }
    let status = run_status(run).cloned().unwrap_or_default();
    View {
        run: run.metadata.name.clone().unwrap_or_default(),
        pipeline: run.spec.pipeline.clone(),
        phase: format!("{:?}", status.phase),
        message: message(&status.conditions, SUCCEEDED).unwrap_or_default(),
        stages,
    }
}

/// A key that sorts names as people count: `stage-2` before `stage-10`.
pub(crate) fn natural(name: &str) -> Vec<(String, Option<u64>)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit());
        let (text, after) = rest.split_at(text.unwrap_or(rest.len()));
        let digits = after.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = after.split_at(digits.unwrap_or(after.len()));
        // A number that is too long goes behind those that fit.
        let number = (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX));
        key.push((text.to_owned(), number));
        rest = after;
    }
    key
}

/// How many stages go before each, on the longest way; finally stages come after all others.
fn depths(around: &Around) -> BTreeMap<String, usize> {
    let stage = |job: &Participant| job.label(label::STAGE).map(str::to_owned);
    let stages: BTreeMap<&str, String> = around
        .jobs
        .iter()
        .filter_map(|job| Some((job.metadata.name.as_deref()?, stage(job)?)))
        .collect();
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for job in &around.jobs {
        let Some(stage) = stage(job) else { continue };
        let mut named = BTreeSet::new();
        if let Some(gate) = job.gate() {
            behind(gate, around, &stages, &mut BTreeSet::new(), &mut named);
        }
        named.remove(&stage);
        before.entry(stage).or_default().extend(named);
    }
    let mut depths: BTreeMap<String, usize> = BTreeMap::new();
    // A longest way has no more steps than there are stages, whatever the objects claim.
    for _ in 0..before.len() {
        let mut settled = true;
        for (stage, before) in &before {
            let depth = before.iter().filter_map(|one| depths.get(one)).max();
            let depth = depth.map_or(0, |depth| depth + 1);
            settled &= depths.insert(stage.clone(), depth) == Some(depth);
        }
        if settled {
            break;
        }
    }
    for job in &around.jobs {
        if job.role == Role::Finally
            && let Some(depth) = stage(job).and_then(|stage| depths.get_mut(&stage))
        {
            *depth = usize::MAX;
        }
    }
    depths
}

/// The stages that a Gate waits for, also behind an approval.
fn behind(
    gate: &str,
    around: &Around,
    stages: &BTreeMap<&str, String>,
    seen: &mut BTreeSet<String>,
    named: &mut BTreeSet<String>,
) {
    if !seen.insert(gate.to_owned()) {
        return;
    }
    for subject in around.gates.get(gate).into_iter().flat_map(subjects) {
        if subject.is_foreign {
            continue;
        }
        match &subject.target {
            Target::Job(name) => named.extend(stages.get(name.as_str()).cloned()),
            Target::Jobs { labels, .. } => named.extend(labels.get(label::STAGE).cloned()),
            Target::Gate(name) => behind(name, around, stages, seen, named),
            Target::Barrier { name, .. } => {
                let Some(barrier) = around.barriers.get(name) else {
                    continue;
                };
                let of_stage = barrier.spec.jobs.as_ref();
                let stage = of_stage.and_then(|jobs| jobs.match_labels.get(label::STAGE));
                named.extend(stage.map(|stage| stage.0.clone()));
                if let Some(gate) = &barrier.spec.gate {
                    behind(gate, around, stages, seen, named);
                }
            }
            Target::Run(_) | Target::RunOf { .. } => {}
        }
    }
}

/// What the conditions of a Gate are about, in their order.
pub(crate) fn subjects(gate: &Gate) -> impl Iterator<Item = Subject> {
    let own = gate.metadata.namespace.clone().unwrap_or_default();
    let conditions = gate.spec.conditions.iter();
    conditions.map(move |condition| condition.subject(&own))
}

/// The status of a Run's attempt: what is left from an earlier one says nothing about it.
pub(crate) fn run_status(run: &Run) -> Option<&RunStatus> {
    let status = run.status.as_ref()?;
    (status.attempt == run.spec.attempt).then_some(status)
}

/// Whether a Run has ended, and whether well.
pub(crate) fn run_ended(run: &Run) -> Option<bool> {
    match run_status(run)?.phase {
        RunPhase::Running | RunPhase::Paused | RunPhase::Finalizing => None,
        RunPhase::Succeeded => Some(true),
        RunPhase::Failed | RunPhase::Cancelled => Some(false),
    }
}

/// What a condition says.
pub(crate) fn message(conditions: &[Condition], type_: &str) -> Option<String> {
    condition::find(conditions, type_).map(|found| found.message.clone())
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
            state,
            started,
            since,
            why: String::new(),
            holders: Vec::new(),
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
    fn state_of_a_stage_is_its_end_by_the_table_of_outcomes() {
        use State::{Cancelled, Failed, Running, Skipped, Succeeded, Unreached, Waiting};
        let item = |state| Item {
            job: "j".into(),
            item: None,
            state,
            started: None,
            since: None,
            why: String::new(),
            holders: Vec::new(),
            waits: None,
        };
        for (states, quorum, expected) in [
            (vec![Succeeded, Skipped], None, Succeeded),
            (vec![Skipped, Skipped], None, Skipped),
            (vec![Succeeded, Failed, Unreached], None, Failed),
            (vec![Succeeded, Unreached, Cancelled], None, Cancelled),
            (vec![Succeeded, Unreached, Skipped], None, Unreached),
            (vec![Succeeded, Succeeded, Failed], Some(2), Succeeded),
            (vec![Succeeded, Failed, Skipped], Some(2), Failed),
            (vec![Succeeded, Skipped, Skipped], Some(2), Skipped),
            (vec![Succeeded, Running, Failed], Some(1), Running),
            (vec![Failed, Running, Waiting], None, Failed),
            (vec![Succeeded, Waiting, Running], None, Running),
        ] {
            let stage = Stage {
                name: "s".into(),
                items: states.into_iter().map(item).collect(),
                quorum,
            };
            assert_eq!(stage.state(), expected, "{stage:?}");
        }
    }

    #[test]
    fn names_are_sorted_as_people_count() {
        let mut names = [
            "stage-10", "stage-2", "stage", "stage1", "a-2-10", "a-2-9", "b", "stage-2b",
        ];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(
            names,
            [
                "a-2-9", "a-2-10", "b", "stage", "stage1", "stage-2", "stage-2b", "stage-10"
            ]
        );
    }
}
