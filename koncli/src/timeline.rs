//! A run's timeline as text, as a picture, and for Perfetto.
//!
//! What enters: the core's timeline. What leaves: text. What must never happen here: a time that the timeline has not, a
//! kind that only its colour shows, or a name that is taken for markup.

mod perfetto;
mod shown;
mod svg;
#[cfg(test)]
mod tests;
mod text;

use jiff::SignedDuration;
use konductor_operator::timeline::{Span, SpanKind, Timeline};

use crate::output;

pub(crate) use perfetto::perfetto;
pub(crate) use svg::{section, svg};
pub(crate) use text::text;

/// How many rows are shown unless all are asked for: what fits on a few screens.
pub(crate) const ROWS_MAX: usize = 100;

/// How long something took, without a fraction that nobody reads: `0s`, `45s`, `2m05s`, `3h10m`.
fn length(length: SignedDuration) -> String {
    output::duration(Some(length))
}

/// What a span is, in words: `queued for semaphore/db`.
pub(crate) fn words(span: &Span) -> String {
    let word = match span.kind {
        SpanKind::Waiting | SpanKind::Approval => "waiting",
        SpanKind::Started => "pending or running",
        SpanKind::Backoff => "back-off before a retry",
        kind => kind.word(),
    };
    match &span.on {
        Some(on) => format!("{word} for {on}"),
        None => word.to_owned(),
    }
}

/// What a run did, in a line: `run/nightly of pipeline etl: Succeeded in 12m31s`.
fn head(timeline: &Timeline) -> String {
    let Timeline {
        run,
        pipeline,
        phase,
        attempt,
        ..
    } = timeline;
    let how = match timeline.end {
        Some(_) => "in",
        None => "for",
    };
    let attempt = match attempt {
        0 | 1 => String::new(),
        later => format!(" (attempt {later})"),
    };
    let makespan = length(timeline.makespan());
    format!("run/{run} of pipeline {pipeline}: {phase} {how} {makespan}{attempt}")
}

/// Steps that people read well on a clock, in seconds.
const STEPS: [i64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200,
    86_400, 172_800, 604_800, 2_592_000, 31_536_000,
];

/// The ticks of an axis for so many seconds, at most this many.
fn ticks(seconds: i64, most: i64) -> Vec<i64> {
    let fits = |step: &&i64| seconds / **step <= most;
    let step = STEPS.iter().find(fits).copied().unwrap_or(i64::MAX);
    let count = seconds / step;
    (0..=count).map(|index| index * step).collect()
}

/// A time on the axis: `0`, `30s`, `5m`, `1h30m`, `2d`.
fn tick(seconds: i64) -> String {
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let parts = [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let text: String = parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if text.is_empty() {
        "0".to_owned()
    } else {
        text
    }
}
