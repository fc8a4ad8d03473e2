//! The timeline as a chart of characters.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use konductor_operator::timeline::{Span, SpanKind, Timeline};

use super::shown::{Drawn, rank, shown};
use super::{head, length, tick, ticks};
use crate::output::width::{cut, padded, shortened, width};

/// The narrowest chart that says something.
const CHART_MIN: usize = 12;
/// The columns of a length such as `59m59s`, with the blank before it.
const LENGTH: usize = 7;
/// Columns between two ticks, at least.
const TICK: usize = 10;

/// The character of a kind. No two share one, so it is readable without colour.
fn mark(kind: SpanKind) -> char {
    match kind {
        SpanKind::Waiting => '·',
        SpanKind::Approval => '?',
        SpanKind::Queued => '░',
        SpanKind::Starting => ':',
        SpanKind::Pending => '▒',
        SpanKind::Running => '█',
        SpanKind::Started => '▓',
        SpanKind::Backoff => '~',
        SpanKind::Paused => '‖',
        SpanKind::Ending => ' ',
    }
}

/// What a kind is called in the legend.
fn name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Started => "pending or running",
        SpanKind::Backoff => "back-off",
        kind => kind.word(),
    }
}

/// Draws a timeline for so many columns, with at most so many rows.
pub(crate) fn text(timeline: &Timeline, columns: usize, most: Option<usize>) -> String {
    let shown = shown(timeline, most);
    let widest = shown.rows.iter().map(|row| width(&row.title)).max();
    // A long name leaves two thirds to the chart.
    let room = (columns / 3).max(8);
    let names = widest.unwrap_or(0).clamp(5, room);
    // The state's mark, the name, the mark of the critical path, and the length.
    let chart = columns.saturating_sub(names + 5 + LENGTH).max(CHART_MIN);
    let scale = Scale::of(timeline, chart);
    let mut text = wrapped(head(timeline).split(' '), " ", columns);
    if !timeline.summary.is_empty() {
        text.push_str(&wrapped(timeline.summary.split(' '), " ", columns));
    }
    if shown.rows.is_empty() {
        text.push_str("no Job of it exists\n");
        return text;
    }
    text.push('\n');
    let heading = format!(
        "  {} {}",
        padded("STAGE", names + 2),
        padded(&scale.axis(), chart)
    );
    let _ = writeln!(text, "{heading}{:>LENGTH$}", "TIME");
    let titles: Vec<&str> = shown.rows.iter().map(|row| &*row.title).collect();
    let titles = shortened(&titles, names);
    for (row, title) in shown.rows.iter().zip(titles) {
        let star = if row.critical { '*' } else { ' ' };
        let bar = scale.bar(&row.spans);
        let took = row.took(timeline).map(length).unwrap_or_default();
        let line = format!(
            "{} {} {star} {}{took:>LENGTH$}",
            row.state.mark(),
            padded(&title, names),
            padded(&bar, chart),
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if let Some(rest) = shown.rest() {
        text.push('\n');
        text.push_str(&wrapped(rest.split(' '), " ", columns));
    }
    let legend = legend(&shown.rows);
    if !legend.is_empty() {
        text.push('\n');
        text.push_str(&wrapped(legend.iter().map(String::as_str), "  ", columns));
    }
    text
}

/// What the characters mean that are in the chart.
fn legend(rows: &[Drawn<'_>]) -> Vec<String> {
    let spans = rows.iter().flat_map(|row| &row.spans);
    let kinds: BTreeSet<SpanKind> = spans.map(|span| span.kind).collect();
    let kinds = kinds.into_iter().filter(|kind| *kind != SpanKind::Ending);
    let words = kinds.map(|kind| format!("{} {}", mark(kind), name(kind)));
    let critical = rows.iter().any(|row| row.critical);
    let critical = critical.then(|| "* on the critical path".to_owned());
    words.chain(critical).collect()
}

/// Joins parts to lines that fit, each with its end; a part that is too long is cut.
fn wrapped<'a>(parts: impl Iterator<Item = &'a str>, separator: &str, columns: usize) -> String {
    let (mut text, mut line) = (String::new(), String::new());
    for part in parts {
        let part = cut(part, columns);
        if !line.is_empty() && width(&line) + width(separator) + width(&part) > columns {
            text.push_str(&line);
            text.push('\n');
            line.clear();
        }
        if !line.is_empty() {
            line.push_str(separator);
        }
        line.push_str(&part);
    }
    text + &line + "\n"
}

/// Where a time is in the chart.
struct Scale {
    start: Timestamp,
    until: Timestamp,
    millis: i128,
    columns: usize,
}

impl Scale {
    fn of(timeline: &Timeline, columns: usize) -> Self {
        Self {
            start: timeline.start,
            until: timeline.until(),
            millis: timeline.makespan().as_millis().max(1),
            columns,
        }
    }

    /// The place of a time, in thousandths of a column.
    fn place(&self, time: Timestamp) -> usize {
        let since = time.duration_since(self.start).as_millis().max(0);
        let wide = i128::try_from(self.columns).unwrap_or(i128::MAX) * 1000;
        let place = since.saturating_mul(wide) / self.millis;
        usize::try_from(place.clamp(0, wide)).unwrap_or(0)
    }

    /// The times above the chart.
    fn axis(&self) -> String {
        let seconds = i64::try_from(self.millis / 1000).unwrap_or(i64::MAX);
        let most = i64::try_from(self.columns / TICK).unwrap_or(1).max(1);
        let mut axis = String::new();
        for at in ticks(seconds, most) {
            let Ok(time) = self.start.checked_add(jiff::SignedDuration::from_secs(at)) else {
                break;
            };
            let label = tick(at);
            let place = self.place(time) / 1000;
            // One that would lie on another, or go beyond the chart, is left out.
            let has_room = axis.is_empty() || place > width(&axis);
            if has_room && place + width(&label) <= self.columns {
                axis = padded(&axis, place) + &label;
            }
        }
        axis
    }

    /// One character for each column: the kind that fills most of it, or that says most.
    fn bar(&self, spans: &[&Span]) -> String {
        let mut filled = vec![(0_usize, 0_usize, ' '); self.columns];
        for span in spans {
            let from = self.place(span.start);
            let to = self.place(span.end.unwrap_or(self.until)).max(from);
            let first = (from / 1000).min(self.columns - 1);
            let last = (to.saturating_sub(1) / 1000).clamp(first, self.columns - 1);
            for (column, cell) in filled.iter_mut().enumerate().take(last + 1).skip(first) {
                let begin = from.max(column * 1000);
                let end = to.min((column + 1) * 1000);
                // What is shorter than a column is still there, if nothing else is.
                let share = (
                    end.saturating_sub(begin),
                    rank(span.kind) + 1,
                    mark(span.kind),
                );
                let is_more = match span.kind {
                    SpanKind::Waiting => share > *cell,
                    // Work is seen, however short it is beside waiting.
                    _ => cell.2 == mark(SpanKind::Waiting) || share > *cell,
                };
                if is_more {
                    *cell = share;
                }
            }
        }
        let bar: String = filled.into_iter().map(|(_, _, mark)| mark).collect();
        bar
    }
}
