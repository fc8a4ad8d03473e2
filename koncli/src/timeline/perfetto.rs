//! The timeline for ui.perfetto.dev and chrome://tracing: the JSON of Chrome's Trace Event Format.

use konductor_operator::timeline::{Row, Segment, Span, SpanKind, Timeline};
use serde_json::{Value, json};

use super::words;

/// The run is the process, and each row a thread of it.
const RUN: usize = 1;
/// The thread of the critical path; rows follow.
const CRITICAL: usize = 1;

/// Writes a timeline as complete events, a track for each row, and one for the critical path.
pub(crate) fn perfetto(timeline: &Timeline) -> String {
    let mut events = vec![
        name("process_name", 0, &format!("run/{}", timeline.run)),
        name("thread_name", CRITICAL, "critical path"),
        order(CRITICAL),
    ];
    for (index, row) in timeline.rows.iter().enumerate() {
        let track = CRITICAL + 1 + index;
        events.extend([name("thread_name", track, &row.title()), order(track)]);
    }
    let path = timeline.critical_path.iter();
    events.extend(path.map(|segment| critical(segment, timeline)));
    for (index, row) in timeline.rows.iter().enumerate() {
        let track = CRITICAL + 1 + index;
        events.extend(
            row.spans
                .iter()
                .map(|interval| span(interval, row, track, timeline)),
        );
    }
    let trace = json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {
            "run": timeline.run,
            "pipeline": timeline.pipeline,
            "phase": timeline.phase,
            "summary": timeline.summary,
        },
    });
    format!("{trace:#}\n")
}

fn name(what: &str, track: usize, name: &str) -> Value {
    json!({"ph": "M", "name": what, "pid": RUN, "tid": track, "args": {"name": name}})
}

/// Tracks are in the order of the rows.
fn order(track: usize) -> Value {
    json!({"ph": "M", "name": "thread_sort_index", "pid": RUN, "tid": track,
           "args": {"sort_index": track}})
}

fn span(span: &Span, row: &Row, track: usize, timeline: &Timeline) -> Value {
    let end = span.end.unwrap_or(timeline.until()).max(span.start);
    let mut args = json!({"stage": row.stage, "job": row.job, "state": row.state.word()});
    let texts = [
        ("item", row.item.as_deref()),
        ("on", span.on.as_deref()),
        ("outcome", span.outcome),
        (
            "reason",
            Some(span.reason.as_str()).filter(|text| !text.is_empty()),
        ),
        ("note", row.note.as_deref()),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            args[key] = text.into();
        }
    }
    if span.end.is_none() {
        args["open"] = true.into();
    }
    json!({
        "ph": "X",
        "name": words(span),
        "cat": span.kind.word(),
        "pid": RUN,
        "tid": track,
        "ts": span.start.as_microsecond(),
        "dur": end.as_microsecond() - span.start.as_microsecond(),
        "args": args,
    })
}

fn critical(segment: &Segment, timeline: &Timeline) -> Value {
    let stage = segment.row.map(|row| timeline.rows[row].title());
    let kind = match segment.kind {
        SpanKind::Started => "pending or running",
        kind => kind.word(),
    };
    let title = match (&stage, &segment.on) {
        (Some(stage), Some(on)) => format!("{stage}: {kind} for {on}"),
        (Some(stage), None) => format!("{stage}: {kind}"),
        (None, _) => kind.to_owned(),
    };
    let mut args = json!({});
    for (key, text) in [("stage", stage), ("on", segment.on.clone())] {
        if let Some(text) = text {
            args[key] = text.into();
        }
    }
    json!({
        "ph": "X",
        "name": title,
        "cat": segment.kind.word(),
        "pid": RUN,
        "tid": CRITICAL,
        "ts": segment.start.as_microsecond(),
        "dur": segment.end.as_microsecond() - segment.start.as_microsecond(),
        "args": args,
    })
}
