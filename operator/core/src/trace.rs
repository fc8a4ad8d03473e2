//! A Run as a trace of OpenTelemetry: the names of its spans, and what they say.
//!
//! What enters: a Run that has ended, and the [`RunObjects`] around it. What leaves: one [`Trace`], with the times of
//! the [`Timeline`]. What must never happen here: an id that is drawn by lot. Every id is made of uids, so whoever
//! exports a Run again exports the same spans, and a container knows its parent before that was exported.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions for CI/CD, where they have one.

use jiff::Timestamp;
use konductor_api::condition::{self, SUCCEEDED};
use konductor_api::{Participant, Run, RunOutcome};

use crate::outcome::run_status;
use crate::run_objects::RunObjects;
use crate::standing::State;
use crate::timeline::{Row, Span, Timeline, timeline};
pub use crate::trace_ids::{SpanId, TraceId};

/// What a span is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOf {
    /// The Run: it has no parent.
    Run,
    /// A stage, or an item of one.
    Stage,
    /// A part of that: it waits, queues, runs.
    Part,
}

/// A span of a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceSpan {
    /// Its id.
    pub id: SpanId,
    /// Its parent; `None` for the Run's.
    pub parent: Option<SpanId>,
    /// What it is of.
    pub of: SpanOf,
    /// Its name: one of few, so that traces can be compared.
    pub name: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// What else is known, by name.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A Run's attempt as a trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// What is the same for all spans, by name.
    pub resource: Vec<(&'static str, String)>,
    /// The spans, each after its parent.
    pub spans: Vec<TraceSpan>,
}

/// Returns the trace of a Run, which should have ended: what has not ends now.
pub fn trace(run: &Run, objects: &RunObjects, now: Timestamp) -> Trace {
    let timeline = timeline(run, objects, now);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let uid = text(&run.metadata.uid);
    let id = TraceId::of(run);
    let root = of_run(run, &timeline, &uid);
    let mut spans = Vec::with_capacity(1 + timeline.rows.len() * 4);
    let parent = root.id;
    spans.push(root);
    for row in &timeline.rows {
        of_row(row, objects, (id, parent), &timeline, &mut spans);
    }
    Trace {
        id,
        resource: vec![
            ("cicd.pipeline.name", timeline.pipeline.clone()),
            ("cicd.pipeline.run.id", uid),
            ("k8s.namespace.name", text(&run.metadata.namespace)),
        ],
        spans,
    }
}

fn of_run(run: &Run, timeline: &Timeline, uid: &str) -> TraceSpan {
    let status = run_status(run);
    let succeeded = status.and_then(|status| condition::find(&status.conditions, SUCCEEDED));
    let reason = succeeded.map(|condition| condition.reason.clone());
    let outcome = status.and_then(|status| status.outcome);
    let result = match (timeline.phase.as_str(), outcome) {
        ("Succeeded", _) => "success",
        (_, Some(RunOutcome::TimedOut)) => "timeout",
        ("Cancelled", _) => "cancellation",
        _ => "failure",
    };
    let failed = matches!(result, "failure" | "timeout");
    let mut attributes = vec![
        ("cicd.pipeline.action.name", "RUN".to_owned()),
        ("cicd.pipeline.result", result.to_owned()),
        ("konductor.run.name", timeline.run.clone()),
        ("konductor.run.attempt", timeline.attempt.to_string()),
    ];
    if !timeline.summary.is_empty() {
        attributes.push(("konductor.run.bounded_by", timeline.summary.clone()));
    }
    if let (true, Some(reason)) = (failed, reason) {
        attributes.push(("error.type", reason));
    }
    let message = succeeded.map(|condition| condition.message.clone());
    TraceSpan {
        id: SpanId::of(&["run", uid, &timeline.attempt.to_string()]),
        parent: None,
        of: SpanOf::Run,
        name: format!("RUN {}", timeline.pipeline),
        start: timeline.start,
        end: timeline.until(),
        attributes,
        failure: failed.then(|| message.unwrap_or_default()),
    }
}

/// A stage or an item, and its parts. What ended in an earlier attempt has no time in this one.
fn of_row(
    row: &Row,
    objects: &RunObjects,
    (trace, parent): (TraceId, SpanId),
    timeline: &Timeline,
    spans: &mut Vec<TraceSpan>,
) {
    let until = timeline.until();
    let (Some(first), Some(last)) = (row.spans.first(), row.spans.last()) else {
        return;
    };
    let uid = objects.job(&row.job).map(Participant::uid);
    let uid = uid.filter(|uid| !uid.is_empty());
    let id = match uid {
        Some(uid) => SpanId::of_job(uid),
        // Of a Job that was deleted only its name is known.
        None => SpanId::of(&["gone", &trace.to_string(), &row.job]),
    };
    let failed = row.state == State::Failed;
    let mut attributes = vec![
        ("cicd.pipeline.task.name", row.stage.clone()),
        (
            "cicd.pipeline.task.run.result",
            result(row.state).to_owned(),
        ),
        ("k8s.job.name", row.job.clone()),
        ("konductor.stage.critical", row.critical.to_string()),
        ("konductor.stage.state", row.state.word().to_owned()),
    ];
    if let Some(uid) = uid {
        attributes.push(("cicd.pipeline.task.run.id", uid.to_owned()));
        attributes.push(("k8s.job.uid", uid.to_owned()));
    }
    if let Some(item) = &row.item {
        attributes.push(("konductor.stage.item", item.clone()));
    }
    if row.finally {
        attributes.push(("konductor.stage.finally", "true".to_owned()));
    }
    if !row.reason.is_empty() {
        attributes.push(("konductor.stage.reason", row.reason.clone()));
    }
    if failed {
        attributes.push(("error.type", "StageFailed".to_owned()));
    }
    spans.push(TraceSpan {
        id,
        parent: Some(parent),
        of: SpanOf::Stage,
        name: row.stage.clone(),
        start: first.start,
        end: last.end.unwrap_or(until),
        attributes,
        failure: failed.then(|| row.reason.clone()),
    });
    for (index, span) in row.spans.iter().enumerate() {
        spans.push(part(span, id, index, until));
    }
}

fn part(span: &Span, parent: SpanId, index: usize, until: Timestamp) -> TraceSpan {
    let failed = span.outcome == Some(State::Failed.word());
    let mut attributes = Vec::new();
    if let Some(on) = &span.on {
        attributes.push(("konductor.waits_for", on.clone()));
    }
    if let Some(outcome) = span.outcome {
        attributes.push(("konductor.outcome", outcome.to_owned()));
    }
    TraceSpan {
        id: SpanId::of(&["part", &parent.to_string(), &index.to_string()]),
        parent: Some(parent),
        of: SpanOf::Part,
        name: span.kind.word().to_owned(),
        start: span.start,
        end: span.end.unwrap_or(until),
        attributes,
        failure: failed.then(|| span.reason.clone()),
    }
}

/// How a stage ended, in the words of the conventions.
fn result(state: State) -> &'static str {
    match state {
        State::Succeeded => "success",
        State::Failed => "failure",
        State::Skipped | State::Unreached => "skip",
        State::Cancelled
        | State::Running
        | State::Pending
        | State::Suspended
        | State::Paused
        | State::Queued
        | State::Waiting => "cancellation",
    }
}
