//! What ended the wait for a Gate: the last condition that was met, or the first if one is enough.

use std::collections::BTreeMap;

use jiff::Timestamp;
use konductor_api::{Barrier, Gate, GateMode, Participant, Role};

use crate::ended;
use crate::outcome::job_end;
use crate::run_graph::{How, Link, Node, RunGraph};
use crate::run_objects::RunObjects;
use crate::words::Named;

/// How long a Gate may open after its last known condition was met, if it has one whose time is not known: a Gate
/// that takes longer waited for that one.
const GATE_SECONDS: i64 = 2;

/// When something was met. What is later goes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum When {
    /// It has ended, and nobody has stored when.
    Unknown,
    /// Then.
    At(Timestamp),
    /// It has not ended.
    Open,
}

impl When {
    fn of(time: Option<Timestamp>) -> Self {
        time.map_or(Self::Unknown, Self::At)
    }

    /// Returns the time, if it is known.
    pub(super) fn at(self) -> Option<Timestamp> {
        match self {
            Self::At(time) => Some(time),
            Self::Unknown | Self::Open => None,
        }
    }
}

/// By what.
#[derive(Clone, Debug)]
enum By {
    /// A Job of the Run.
    Job(String),
    /// An approval, in words, and since when it was asked for.
    Approval(String, Option<Timestamp>),
    /// Something else, in words.
    Other(String),
}

/// When something was met, by what, and what that came after.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// When.
    pub(super) when: When,
    by: Option<By>,
    /// Of an approval: what else had to be met, which ended last.
    before: Option<Box<Cause>>,
}

impl Cause {
    fn unknown() -> Self {
        Self {
            when: When::Unknown,
            by: None,
            before: None,
        }
    }

    fn other(when: When, words: String) -> Self {
        Self {
            when,
            by: Some(By::Other(words)),
            before: None,
        }
    }

    /// Returns the approval that was waited for last, and from when on nothing else was.
    pub(super) fn approval(&self) -> Option<(&str, Option<Timestamp>)> {
        let Some(By::Approval(words, since)) = &self.by else {
            return None;
        };
        let before = self.before.as_ref().and_then(|before| before.when.at());
        Some((words.as_str(), (*since).max(before)))
    }

    /// The cause of what is not the wait for an approval.
    fn work(&self) -> Option<&Self> {
        match self.by {
            Some(By::Approval(..)) => self.before.as_deref()?.work(),
            _ => Some(self),
        }
    }

    /// Whether an approval is all that is missing.
    pub(super) fn only_approval_is_open(&self) -> bool {
        self.when == When::Open
            && self.approval().is_some()
            && self
                .before
                .as_ref()
                .is_none_or(|before| before.when != When::Open)
    }
}

/// The causes of everything that a Run waits for.
pub(super) struct Causes<'a> {
    objects: &'a RunObjects,
    graph: RunGraph<'a>,
    ends: BTreeMap<&'a str, When>,
    /// Where each Job stands in the timeline.
    places: BTreeMap<&'a str, usize>,
    /// The main Job that ended last.
    last_main: Option<&'a str>,
    by_node: BTreeMap<Node, Cause>,
}

impl<'a> Causes<'a> {
    /// Finds out when each Job ended.
    pub(super) fn of(objects: &'a RunObjects, jobs: &[&'a Participant]) -> Self {
        let ends = jobs.iter().map(|job| (job.name(), end(job, objects)));
        let ends: BTreeMap<&str, When> = ends.collect();
        let main = jobs.iter().filter(|job| job.role == Role::Main);
        let last = main.max_by_key(|job| ends.get(job.name()).copied());
        let places = jobs.iter().enumerate();
        Self {
            objects,
            graph: objects.graph(),
            places: places.map(|(place, job)| (job.name(), place)).collect(),
            last_main: last.map(|job| job.name()),
            ends,
            by_node: BTreeMap::new(),
        }
    }

    /// Returns when a Job ended.
    pub(super) fn when(&self, job: &str) -> When {
        self.ends.get(job).copied().unwrap_or(When::Open)
    }

    /// Returns what ended the wait for a Gate.
    pub(super) fn of_gate(&mut self, gate: &str) -> Cause {
        self.of_node(&Node::Gate(gate.to_owned()))
    }

    /// Returns the row of the Job that ended a wait, or that keeps it open.
    pub(super) fn row_behind(&self, cause: &Cause) -> Option<usize> {
        let Some(By::Job(name)) = &cause.work()?.by else {
            return None;
        };
        self.places.get(name.as_str()).copied()
    }

    /// Returns what a wait is for, in words; of an approval, what goes before it.
    pub(super) fn words(cause: &Cause, objects: &RunObjects) -> Option<String> {
        match cause.work()?.by.as_ref()? {
            By::Job(name) => {
                let job = objects.job(name)?;
                let named = Named::job(&job.metadata, job);
                Some(named.map_or_else(|| format!("job/{name}"), |named| named.to_string()))
            }
            By::Approval(..) => None,
            By::Other(words) => Some(words.clone()),
        }
    }

    fn of_node(&mut self, node: &Node) -> Cause {
        if let Some(cause) = self.by_node.get(node) {
            return cause.clone();
        }
        // What waits for itself, whatever the objects claim, has no cause.
        self.by_node.insert(node.clone(), Cause::unknown());
        let cause = match node {
            Node::Job(name) => self.of_job(name),
            Node::Jobs(_) => self.last_of(node, None),
            Node::Gate(name) => self.of_conditions(name),
            Node::Barrier(name) => self.of_barrier(name),
            Node::Run => match self.last_main {
                Some(job) => self.of_job(job),
                None => Cause::unknown(),
            },
            Node::Elsewhere(words) => Cause::other(When::Unknown, words.clone()),
        };
        self.by_node.insert(node.clone(), cause.clone());
        cause
    }

    fn of_job(&self, name: &str) -> Cause {
        match self.ends.get(name) {
            Some(when) => Cause {
                when: *when,
                by: Some(By::Job(name.to_owned())),
                before: None,
            },
            None => Cause::other(When::Unknown, format!("job/{name}")),
        }
    }

    /// The Job that ended last among those that are counted, not later than `limit`.
    fn last_of(&self, node: &Node, limit: Option<Timestamp>) -> Cause {
        let links = self.graph.links(node).into_iter();
        let jobs = links.filter_map(|link| match (link.before, link.how) {
            (Node::Job(name), How::Selected | How::Arrives) => Some(self.of_job(&name)),
            _ => None,
        });
        let counted = jobs.filter(|cause| match (cause.when, limit) {
            (When::At(time), Some(limit)) => time <= limit,
            (When::Open, Some(_)) => false,
            _ => true,
        });
        latest(counted).unwrap_or_else(Cause::unknown)
    }

    fn of_barrier(&mut self, name: &str) -> Cause {
        let words = format!("barrier/{name}");
        let Some(barrier) = self.objects.barrier(name) else {
            return Cause::other(When::Unknown, words);
        };
        let when = barrier_end(barrier);
        if let Some(Named::Approval { approval, .. }) = Named::barrier(&barrier.metadata, barrier) {
            let status = barrier.status.as_ref();
            let since = status.and_then(|status| status.started_at.as_ref());
            let since = since.or(barrier.metadata.creation_timestamp.as_ref());
            let gate = barrier.spec.gate.clone();
            return Cause {
                when,
                by: Some(By::Approval(
                    format!("approval {approval}"),
                    since.map(|time| time.0),
                )),
                before: gate.map(|gate| Box::new(self.of_gate(&gate))),
            };
        }
        // With a quorum, the Jobs that end later did not open it.
        let last = self.last_of(&Node::Barrier(name.to_owned()), when.at());
        match last.by {
            Some(_) => Cause {
                when: match when {
                    When::Unknown => last.when,
                    When::At(_) | When::Open => when,
                },
                ..last
            },
            None => Cause::other(when, words),
        }
    }

    fn of_conditions(&mut self, name: &str) -> Cause {
        let words = format!("gate/{name}");
        let Some(gate) = self.objects.gate(name) else {
            return Cause::other(When::Unknown, words);
        };
        let when = gate_end(gate);
        let links = self.graph.links(&Node::Gate(name.to_owned()));
        let causes: Vec<Cause> = links.iter().map(|link| self.of_condition(link)).collect();
        if causes.is_empty() {
            return Cause::other(when, words);
        }
        let is_any = gate.spec.mode == GateMode::Any && when != When::Open;
        let chosen = match is_any {
            true => first(&causes),
            false => last(&causes, when),
        };
        let Some(chosen) = chosen else {
            return Cause::other(when, words);
        };
        let mut cause = causes[chosen].clone();
        if matches!(cause.by, Some(By::Approval(..))) && !is_any {
            let others = causes.iter().enumerate();
            let others = others.filter(|(index, _)| *index != chosen);
            let others = others.map(|(_, cause)| cause.clone());
            let before = cause.before.take().map(|before| *before);
            cause.before = latest(others.chain(before)).map(Box::new);
        }
        // What was met when is the Gate's own time: that is what is waited for.
        if when != When::Unknown {
            cause.when = when;
        }
        cause
    }

    fn of_condition(&mut self, link: &Link<'_>) -> Cause {
        let is_open = match link.how {
            How::Condition { status, .. } => {
                status.is_none_or(|status| status.verdict == konductor_api::Verdict::Pending)
            }
            How::Gated | How::Arrives | How::Selected | How::Output => false,
        };
        let mut cause = self.of_node(&link.before);
        if is_open && matches!(link.before, Node::Elsewhere(_)) {
            cause.when = When::Open;
        }
        cause
    }
}

/// The condition that was met first, of those whose time is known.
fn first(causes: &[Cause]) -> Option<usize> {
    let at = |cause: &Cause| cause.when.at();
    let times = causes.iter().enumerate();
    let times = times.filter_map(|(index, cause)| Some((at(cause)?, index)));
    let first = times.min().map(|(_, index)| index);
    first.or_else(|| causes.iter().position(|cause| cause.by.is_some()))
}

/// The condition that was met last. One whose time is not known was it if the Gate opened long after all others.
fn last(causes: &[Cause], gate: When) -> Option<usize> {
    let indexes = 0..causes.len();
    let is_unknown = |index: &usize| {
        causes[*index].when == When::Unknown && matches!(causes[*index].by, Some(By::Other(_)))
    };
    let unknown = indexes.clone().find(is_unknown);
    // Of several that are open, work goes before people: an approval may be given at any time.
    let last = indexes.max_by_key(|index| {
        let cause = &causes[*index];
        let is_work = !matches!(cause.by, Some(By::Approval(..)));
        (cause.when, is_work, std::cmp::Reverse(*index))
    })?;
    match (unknown, causes[last].when, gate) {
        (Some(unknown), When::At(time), When::At(gate))
            if gate.as_second() - time.as_second() > GATE_SECONDS =>
        {
            Some(unknown)
        }
        _ => Some(last),
    }
}

fn latest(causes: impl Iterator<Item = Cause>) -> Option<Cause> {
    causes.max_by_key(|cause| (cause.when, matches!(cause.by, Some(By::Job(_)))))
}

/// When a Gate ended.
pub(super) fn gate_end(gate: &Gate) -> When {
    match crate::outcome::gate_end(gate) {
        Some(_) => When::of(ended::gate_ended(gate)),
        None => When::Open,
    }
}

fn barrier_end(barrier: &Barrier) -> When {
    match crate::outcome::barrier_end(barrier) {
        Some(_) => When::of(ended::barrier_ended(barrier)),
        None => When::Open,
    }
}

/// When a Job ended.
fn end(job: &Participant, objects: &RunObjects) -> When {
    match job_end(job) {
        Some(_) => When::of(ended::job_ended(job, objects)),
        None => When::Open,
    }
}
