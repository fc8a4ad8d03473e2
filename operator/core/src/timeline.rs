//! When what happened in a Run: what its stages waited for, when they ran, and which of it bounded the Run's end.
//!
//! What enters: a Run and the [`RunObjects`] around it, as they are stored, and the time. What leaves: one [`Timeline`].
//! It needs nothing that somebody must have watched, so it is the same for a Run that ended before anybody looked.
//! What must never happen here: a time that nobody has stored. Where a time is missing, a span covers more
//! ([`SpanKind::Started`]), or a row has a note.

mod cause;
mod path;
mod pods;
mod row;

use jiff::{SignedDuration, Timestamp};
use konductor_api::{Participant, Role, Run};
use serde::Serialize;

use crate::outcome::run_end;
use crate::run_graph::{Place, natural};
use crate::run_objects::RunObjects;
use crate::standing::{Standing, State};
use crate::{explain, run_status};

use cause::Causes;
pub use path::{Segment, Share};

/// What a stage does, or waits for, during a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SpanKind {
    /// It waits for its Gate: for other stages, or for what is outside of the Run.
    Waiting,
    /// It waits for an approval, and for nothing else.
    Approval,
    /// It waits for permits of a Semaphore, for a Lease, or in a queue of Kueue.
    Queued,
    /// It has all that it waits for, and konductor starts it.
    Starting,
    /// It was started, and none of its containers runs.
    Pending,
    /// A container of it runs.
    Running,
    /// It was started; no pod is left that says from when on a container ran.
    Started,
    /// Its pod failed, and the next one is not created yet.
    Backoff,
    /// It is suspended: its Run is paused, or somebody suspended it.
    Paused,
    /// Every Job has ended, and the Run's end was not written yet: only on the critical path.
    Ending,
}

impl SpanKind {
    /// Every kind, in the order in which a Job goes through them.
    pub const ALL: [Self; 10] = [
        Self::Waiting,
        Self::Approval,
        Self::Queued,
        Self::Starting,
        Self::Pending,
        Self::Running,
        Self::Started,
        Self::Backoff,
        Self::Paused,
        Self::Ending,
    ];

    /// Returns the word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approval => "approval",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Started => "started",
            Self::Backoff => "backoff",
            Self::Paused => "paused",
            Self::Ending => "ending",
        }
    }
}

/// A stage, or one item of it, during a time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// What it does.
    pub kind: SpanKind,
    /// What it waits for, such as `semaphore/db`, `stage load` or `approval go`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// From when on.
    pub start: Timestamp,
    /// Until when; `None` while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// How that ended, if it is an end: `succeeded`, `failed`, `opened`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Why it ended so, or why it lasts.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A stage, or one item of a fan-out. Its spans follow each other without a gap.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The stage.
    pub stage: String,
    /// The item, of a fan-out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// The Job.
    pub job: String,
    /// Whether it is a finally stage.
    pub finally: bool,
    /// Where it stands.
    pub state: State,
    /// What it waits for, or why it ended as it did.
    pub reason: String,
    /// Whether it is on the critical path.
    pub critical: bool,
    /// What it did, and when.
    pub spans: Vec<Span>,
    /// Which times are missing, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Row {
    /// Returns the row's name for people: `load[eu]`.
    pub fn title(&self) -> String {
        match &self.item {
            Some(item) => format!("{}[{}]", self.stage, explain::cut(item)),
            None => self.stage.clone(),
        }
    }
}

/// When what happened in a Run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// The Run's name.
    pub run: String,
    /// Its pipeline.
    pub pipeline: String,
    /// Its phase.
    pub phase: String,
    /// The attempt that this is about.
    pub attempt: u32,
    /// When it began: the Run's creation, or the begin of a retry.
    pub start: Timestamp,
    /// When it ended; `None` while it lasts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
    /// When somebody looked.
    pub seen: Timestamp,
    /// How long it has been paused, but for a pause that lasts. When each pause was is not stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<String>,
    /// The stages and items: each after those that it waits for.
    pub rows: Vec<Row>,
    /// The critical path, from the begin to the end without a gap: what bounded the Run's end.
    pub critical_path: Vec<Segment>,
    /// What the critical path consists of, the most first.
    pub shares: Vec<Share>,
    /// The same as a sentence, without its full stop; empty for a Run that took no time.
    pub summary: String,
}

impl Timeline {
    /// Returns until when it goes: the Run's end, or when somebody looked.
    pub fn until(&self) -> Timestamp {
        self.end.unwrap_or(self.seen).max(self.start)
    }

    /// Returns how long the Run has taken.
    pub fn makespan(&self) -> SignedDuration {
        self.until().duration_since(self.start)
    }
}

/// From when to when the spans of a Run lie.
#[derive(Clone, Copy, Debug)]
struct Frame {
    start: Timestamp,
    until: Timestamp,
    /// Whether the Run has ended, so that nothing lasts.
    is_over: bool,
    /// Since when the Run is paused.
    paused_at: Option<Timestamp>,
}

/// Returns when what happened in a Run, by what is stored in its objects.
pub fn timeline(run: &Run, objects: &RunObjects, now: Timestamp) -> Timeline {
    let status = run_status(run);
    let start = start(run, now);
    let end = status.filter(|_| run_end(run).is_some());
    let end = end.and_then(|status| status.finished_at.as_ref());
    let end = end.map(|time| time.0.max(start));
    let paused_at = status.and_then(|status| status.paused_at.as_ref());
    let frame = Frame {
        start,
        until: end.unwrap_or(now).max(start),
        is_over: end.is_some(),
        paused_at: paused_at.map(|time| time.0),
    };
    let jobs = ordered(objects);
    let mut causes = Causes::of(objects, &jobs);
    let mut built: Vec<Built> = Vec::with_capacity(jobs.len());
    for job in &jobs {
        built.push(build(job, objects, &mut causes, frame, now));
    }
    let (critical_path, on_path) = path::path(&built, frame);
    let mut rows: Vec<Row> = built.into_iter().map(|built| built.row).collect();
    for index in on_path {
        rows[index].critical = true;
    }
    let shares = path::shares(&critical_path, &rows);
    Timeline {
        run: run.metadata.name.clone().unwrap_or_default(),
        pipeline: run.spec.pipeline.clone(),
        phase: format!("{:?}", status.cloned().unwrap_or_default().phase),
        attempt: run.spec.attempt,
        start,
        end,
        seen: now,
        paused_for: status
            .and_then(|status| status.paused_for.as_ref())
            .map(|paused| paused.as_str().to_owned()),
        summary: path::summary(&shares, frame),
        rows,
        critical_path,
        shares,
    }
}

/// When a Run began. Its first attempt began when somebody created it, also if no operator looked for long.
fn start(run: &Run, now: Timestamp) -> Timestamp {
    let seen = run_status(run).and_then(|status| status.started_at.as_ref());
    let created = run.metadata.creation_timestamp.as_ref();
    let first = seen.into_iter().chain(created).map(|time| time.0).min();
    match run.spec.attempt {
        0 | 1 => first.unwrap_or(now),
        _ => seen.map_or(now, |time| time.0),
    }
}

/// The Jobs in the order of their stages, and of their items as people count.
fn ordered(objects: &RunObjects) -> Vec<&Participant> {
    let graph = objects.graph();
    let places = graph.overview().places;
    let stages = places.into_iter().filter_map(|place| match place {
        Place::Stage { jobs, .. } => Some(jobs),
        Place::Approval(_) | Place::Gate(_) | Place::Elsewhere(_) => None,
    });
    let sorted = stages.map(|mut jobs| {
        jobs.sort_by_cached_key(|job| natural(job.item().unwrap_or_else(|| job.name())));
        jobs
    });
    sorted.flatten().collect()
}

/// A row, and what the critical path needs to follow it.
#[derive(Debug)]
struct Built {
    row: Row,
    /// Its end, if that is known.
    end: Option<Timestamp>,
    /// The row whose end ended what this one waited for.
    after: Option<usize>,
}

fn build(
    job: &Participant,
    objects: &RunObjects,
    causes: &mut Causes<'_>,
    frame: Frame,
    now: Timestamp,
) -> Built {
    let standing = Standing::of(job, objects, now);
    let cause = job.gate().map(|gate| causes.of_gate(gate));
    let row::Spans { spans, note } = row::spans(
        job,
        objects,
        (causes.when(job.name()), cause.as_ref()),
        &standing,
        frame,
    );
    Built {
        end: causes.when(job.name()).at(),
        after: cause.and_then(|cause| causes.row_behind(&cause)),
        row: Row {
            stage: job.stage().to_owned(),
            item: job.item().map(str::to_owned),
            job: job.name().to_owned(),
            finally: job.role == Role::Finally,
            state: standing.state,
            reason: standing.why,
            critical: false,
            spans,
            note,
        },
    }
}
