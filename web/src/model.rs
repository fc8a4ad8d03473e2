//! What the pages show, as plain values: whoever reads a cluster fills them in.

use jiff::{SignedDuration, Timestamp};
use konductor_core::standing::State;

/// Which cluster a page is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The cluster, in the words of the kubeconfig.
    pub cluster: String,
    /// The namespace.
    pub namespace: String,
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub enum Page {
    /// All runs.
    Runs(Runs),
    /// One run.
    Run(Box<Run>),
    /// A stage of a run, or one item of it.
    Stage(Box<Stage>),
    /// Semaphores, leases, barriers and gates.
    Primitives(Primitives),
    /// Schedules.
    Schedules(Vec<Schedule>),
}

/// Why there is no page, or nothing was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub kind: ProblemKind,
    /// What happened, on which object.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

/// What kind of problem there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The object does not exist.
    NotFound,
    /// The viewer has no right to do that.
    Forbidden,
    /// No API server answers.
    Unreachable,
    /// The object's state does not allow it, or the API server refuses it.
    Refused,
}

/// How much a word matters, which its colour shows as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It ended well.
    Good,
    /// It failed.
    Bad,
    /// It is at work.
    Busy,
    /// It waits for something that is not its turn.
    Late,
    /// Nothing to look at.
    Quiet,
}

/// A state as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Badge {
    /// Readable without colour.
    pub mark: char,
    /// The word.
    pub word: String,
    /// Its colour.
    pub tone: Tone,
}

impl From<State> for Badge {
    fn from(state: State) -> Self {
        let tone = match state {
            State::Succeeded => Tone::Good,
            State::Failed => Tone::Bad,
            State::Running => Tone::Busy,
            State::Pending | State::Suspended | State::Paused | State::Queued => Tone::Late,
            State::Waiting | State::Skipped | State::Cancelled | State::Unreached => Tone::Quiet,
        };
        Self {
            mark: state.mark(),
            word: state.word().to_owned(),
            tone,
        }
    }
}

impl Badge {
    /// Returns the badge of a state, with another word.
    pub fn called(state: State, word: &str) -> Self {
        Self {
            word: word.to_owned(),
            ..Self::from(state)
        }
    }
}

/// How long something took, or since when it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Took {
    /// It lasts since then.
    Since(Timestamp),
    /// It took this long.
    For(SignedDuration),
}

/// A picture as SVG markup, made by a renderer that escapes every text in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture(pub String);

/// Something that the viewer may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Cancel a run; finally stages still run.
    Cancel {
        /// The run.
        run: String,
    },
    /// Pause a run.
    Pause {
        /// The run.
        run: String,
    },
    /// Resume a paused run.
    Resume {
        /// The run.
        run: String,
    },
    /// Retry what made a run fail.
    Retry {
        /// The run.
        run: String,
    },
    /// Approve an approval.
    Approve {
        /// The Barrier.
        barrier: String,
    },
    /// Deny an approval.
    Deny {
        /// The Barrier.
        barrier: String,
    },
}

impl Action {
    /// Returns the action that a form names.
    pub fn parse(word: &str, on: &str) -> Option<Self> {
        let (run, barrier) = (on.to_owned(), on.to_owned());
        match word {
            _ if on.is_empty() => None,
            "cancel" => Some(Self::Cancel { run }),
            "pause" => Some(Self::Pause { run }),
            "resume" => Some(Self::Resume { run }),
            "retry" => Some(Self::Retry { run }),
            "approve" => Some(Self::Approve { barrier }),
            "deny" => Some(Self::Deny { barrier }),
            _ => None,
        }
    }

    /// Returns the word by which a form names it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Cancel { .. } => "cancel",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Retry { .. } => "retry",
            Self::Approve { .. } => "approve",
            Self::Deny { .. } => "deny",
        }
    }

    /// Returns the name of what it acts on.
    pub fn on(&self) -> &str {
        match self {
            Self::Cancel { run }
            | Self::Pause { run }
            | Self::Resume { run }
            | Self::Retry { run } => run,
            Self::Approve { barrier } | Self::Deny { barrier } => barrier,
        }
    }
}

/// The runs of a namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// All of them, the newest first.
    pub rows: Vec<RunRow>,
}

/// A run in the list.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRow {
    /// Its name.
    pub name: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Where it stands.
    pub badge: Badge,
    /// How many of its Jobs have ended.
    pub done: u32,
    /// How many Jobs it has.
    pub jobs: u32,
    /// How many of them failed.
    pub failed: u32,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// How long it took.
    pub took: Option<Took>,
    /// Why it did not succeed, or will not.
    pub why: String,
}

/// A run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Where it stands.
    pub badge: Badge,
    /// Why it ended as it did.
    pub message: String,
    /// The attempt, from 1.
    pub attempt: u32,
    /// When it began.
    pub began: Timestamp,
    /// How long it took.
    pub took: Took,
    /// What bounded its end, as a sentence without its full stop.
    pub summary: String,
    /// The graph; `None` if it has too many nodes to be read.
    pub graph: Option<Picture>,
    /// The timeline.
    pub timeline: Picture,
    /// The stages, each after what it waits for.
    pub stages: Vec<StageRow>,
    /// The approvals.
    pub approvals: Vec<Approval>,
    /// What its Jobs hand on.
    pub outputs: Vec<Output>,
    /// The Run as it is stored.
    pub yaml: String,
    /// What the viewer may do now.
    pub actions: Vec<Action>,
}

/// A stage in the list of a run, or an item in the list of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageRow {
    /// Its name: `load`, or `load[eu]`.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// How many of its items have ended.
    pub ended: usize,
    /// How many items it has.
    pub items: usize,
    /// How long it took.
    pub took: Option<Took>,
    /// Since when it is in its state.
    pub since: Option<Timestamp>,
    /// What it waits for, or why it ended as it did.
    pub why: String,
}

/// An approval of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// Its name in the pipeline.
    pub name: String,
    /// Its Barrier.
    pub barrier: String,
    /// Where it stands.
    pub state: State,
    /// How many have approved.
    pub given: u32,
    /// How many have to.
    pub needed: u32,
    /// What its Barrier says.
    pub message: String,
    /// Whether the viewer may answer.
    pub may_answer: bool,
}

/// A value that a Job hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The stage or item.
    pub stage: String,
    /// The output's name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A stage of a run, or one item of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    /// The run.
    pub run: String,
    /// The stage or item, as it is named.
    pub row: StageRow,
    /// What keeps it from starting or why it ended so: each line with its depth.
    pub why: Vec<(usize, String)>,
    /// Its items, if there are several.
    pub items: Vec<StageRow>,
    /// What it did, and when.
    pub spans: Vec<SpanRow>,
    /// Its pods, by their names, the one that says most first. Another list means other logs.
    pub pods: Vec<String>,
    /// What it hands on.
    pub outputs: Vec<Output>,
    /// Its Jobs as they are stored: each with its name.
    pub yaml: Vec<(String, String)>,
}

/// What a stage did during a time.
#[derive(Clone, Debug, PartialEq)]
pub struct SpanRow {
    /// What, in words: `queued for semaphore/db`.
    pub what: String,
    /// From when on.
    pub start: Timestamp,
    /// How long.
    pub took: Took,
    /// How it ended, and why.
    pub reason: String,
}

/// What a pod printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The item and the pod.
    pub title: String,
    /// The last lines.
    pub text: String,
}

/// Semaphores, leases, barriers and gates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Primitives {
    /// Semaphores.
    pub semaphores: Vec<Semaphore>,
    /// Leases.
    pub leases: Vec<Lease>,
    /// Barriers, those that wait first.
    pub barriers: Vec<Barrier>,
    /// Gates, those that wait first.
    pub gates: Vec<Gate>,
}

/// A holder or a waiter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// Such as `job/load`.
    pub name: String,
    /// Who that is, for people, if it says more.
    pub holder: String,
    /// The page of its stage.
    pub link: Option<String>,
    /// How many permits.
    pub permits: u32,
    /// Since when.
    pub since: Option<Timestamp>,
}

/// A Semaphore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Semaphore {
    /// Its name.
    pub name: String,
    /// How many permits there are.
    pub permits: u32,
    /// How many are in use.
    pub in_use: u32,
    /// The holders.
    pub holders: Vec<Party>,
    /// The waiters, the oldest first.
    pub queue: Vec<Party>,
}

/// A Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// How long a grant lasts without renewal.
    pub ttl: String,
    /// The holder.
    pub holder: Option<Party>,
    /// When its grant ends, unless it is renewed; a Job holds until it ends.
    pub expires: Option<Timestamp>,
    /// The fencing token of the last grant.
    pub token: Option<i64>,
    /// The waiters, the oldest first.
    pub queue: Vec<Party>,
}

/// A Barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// Its phase.
    pub phase: String,
    /// How many have arrived.
    pub arrived: u32,
    /// How many have to.
    pub needed: u32,
    /// How many failed.
    pub failed: u32,
    /// The run it belongs to.
    pub run: Option<String>,
    /// Whether it is an approval that the viewer may answer now.
    pub may_answer: bool,
    /// What it says.
    pub message: String,
}

/// A Gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// Its phase.
    pub phase: String,
    /// The run it belongs to.
    pub run: Option<String>,
    /// Its conditions, each with whether it is met.
    pub conditions: Vec<(Badge, String)>,
    /// What it says.
    pub message: String,
}

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Its name, which is the pipeline's.
    pub name: String,
    /// When, as cron writes it.
    pub cron: String,
    /// The time zone.
    pub zone: String,
    /// Whether it starts nothing until it is resumed.
    pub is_suspended: bool,
    /// The next slots.
    pub next: Vec<String>,
    /// The last slots with their runs, the newest first.
    pub last: Vec<(String, String, Badge)>,
}
