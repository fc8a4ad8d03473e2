//! The critical path: the chain of spans that bounded the Run's end.
//!
//! It goes backwards: from the row that ended last, through its spans, to the row whose end ended its wait, and so on
//! until the begin. Its segments follow each other without a gap, so their lengths add up to the Run's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::{Built, Frame, Row, SpanKind};

/// Shares that the summary names.
const SHARES_SHOWN: usize = 3;

/// A part of the critical path.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Segment {
    /// The row, by its place among the rows; absent before the first Job, and after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<usize>,
    /// What it does.
    pub kind: SpanKind,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on: Option<String>,
    /// From when on.
    pub start: Timestamp,
    /// Until when.
    pub end: Timestamp,
}

/// How much of the critical path one thing took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// What it was, as the rest of a sentence: `ran stage train`, `waited for semaphore/db`.
    pub what: String,
    /// How long.
    pub seconds: f64,
    /// How much of all of it, in percent, rounded.
    pub percent: u32,
}

/// Returns the critical path, and the rows that are on it.
pub(super) fn path(rows: &[Built], frame: Frame) -> (Vec<Segment>, BTreeSet<usize>) {
    let mut walk = Walk {
        cursor: frame.until,
        start: frame.start,
        segments: Vec::new(),
    };
    let mut seen = BTreeSet::new();
    let mut next = last(rows, frame);
    while let Some(row) = next.filter(|row| seen.insert(*row)) {
        let is_first = seen.len() == 1;
        next = walk.through(rows, row, is_first);
    }
    walk.back_to(walk.start, None, SpanKind::Starting, None);
    walk.segments.reverse();
    (walk.segments, seen)
}

/// The row that ended last; while the Run lasts, the one that has been at work for the longest time.
fn last(rows: &[Built], frame: Frame) -> Option<usize> {
    let all = rows.iter().enumerate();
    if !frame.is_over {
        let open = all.clone().filter_map(|(index, built)| {
            let span = built.row.spans.last()?;
            let is_at_work = span.kind != SpanKind::Waiting;
            let is_open = span.end.is_none();
            is_open.then_some((!is_at_work, span.start, index))
        });
        if let Some((_, _, index)) = open.min() {
            return Some(index);
        }
    }
    let ended = all.filter_map(|(index, built)| {
        let end = built.row.spans.last().and_then(|span| span.end)?;
        let worked = built
            .row
            .spans
            .iter()
            .filter(|span| span.kind != SpanKind::Waiting);
        let worked = worked.map(|span| span.start).max();
        Some((end, worked, index))
    });
    ended.max().map(|(_, _, index)| index)
}

/// The path so far, from its end backwards.
struct Walk {
    cursor: Timestamp,
    start: Timestamp,
    segments: Vec<Segment>,
}

impl Walk {
    /// Goes through a row; returns the one before it.
    fn through(&mut self, rows: &[Built], index: usize, is_first: bool) -> Option<usize> {
        let built = &rows[index];
        let mut wait = None;
        for span in built.row.spans.iter().rev() {
            if span.kind == SpanKind::Waiting {
                wait = Some(span);
                break;
            }
            let end = span.end.unwrap_or(self.cursor);
            // What is between two spans is nobody's, except after the end of all.
            match is_first && self.segments.is_empty() && end < self.cursor {
                true => self.back_to(end, None, SpanKind::Ending, None),
                false => self.back_to(end, Some(index), SpanKind::Starting, None),
            }
            self.back_to(span.start, Some(index), span.kind, span.on.as_ref());
        }
        let on = wait.and_then(|span| span.on.as_ref());
        let before = built.after.filter(|before| *before != index);
        if let Some(before) = before
            && let Some(end) = rows[before].end
        {
            let kind = match wait {
                Some(_) => SpanKind::Waiting,
                None => SpanKind::Starting,
            };
            // What was waited for is on the path itself: what is left is the way from there.
            self.back_to(end, Some(index), kind, None);
            return Some(before);
        }
        if wait.is_some_and(|wait| wait.end.is_none()) && before.is_some() {
            // Both last: it is what is waited for that counts.
            return before;
        }
        if let Some(wait) = wait {
            self.back_to(wait.start, Some(index), wait.kind, on);
        }
        None
    }

    /// Adds a segment from a time to where the path begins so far.
    fn back_to(
        &mut self,
        time: Timestamp,
        row: Option<usize>,
        kind: SpanKind,
        on: Option<&String>,
    ) {
        let time = time.max(self.start);
        if time >= self.cursor {
            return;
        }
        let segment = Segment {
            row,
            kind,
            on: on.cloned(),
            start: time,
            end: self.cursor,
        };
        self.cursor = time;
        match self.segments.last_mut() {
            Some(last) if (last.row, last.kind, &last.on) == (row, kind, &segment.on) => {
                last.start = time;
            }
            _ => self.segments.push(segment),
        }
    }
}

/// Returns what a path consists of, the most first.
pub(super) fn shares(path: &[Segment], rows: &[Row]) -> Vec<Share> {
    let mut lengths: BTreeMap<String, SignedDuration> = BTreeMap::new();
    for segment in path {
        let length = lengths.entry(words(segment, rows)).or_default();
        *length += segment.end.duration_since(segment.start);
    }
    let mut lengths: Vec<(String, SignedDuration)> = lengths.into_iter().collect();
    lengths.sort_by_key(|(_, length)| Reverse(*length));
    let percents = percents(
        &lengths
            .iter()
            .map(|(_, length)| *length)
            .collect::<Vec<_>>(),
    );
    let shares = lengths.into_iter().zip(percents);
    shares
        .map(|((what, length), percent)| Share {
            what,
            seconds: length.as_secs_f64(),
            percent,
        })
        .collect()
}

/// The parts of a whole in percent, rounded so that they add up to 100.
fn percents(parts: &[SignedDuration]) -> Vec<u32> {
    let millis = parts.iter().map(|part| part.as_millis().max(0));
    let millis: Vec<i128> = millis.collect();
    let all = millis.iter().sum::<i128>().max(1);
    let whole = millis.iter().map(|part| part * 100 / all);
    let mut percents: Vec<u32> = whole
        .map(|percent| u32::try_from(percent).unwrap_or(100))
        .collect();
    let missing = 100_u32.saturating_sub(percents.iter().sum());
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|index| Reverse(millis[*index] * 100 % all));
    for index in order.into_iter().take(missing as usize) {
        percents[index] += 1;
    }
    percents
}

/// What a segment is, as the rest of a sentence.
fn words(segment: &Segment, rows: &[Row]) -> String {
    let stage = segment.row.map(|row| rows[row].title()).unwrap_or_default();
    let on = segment.on.as_deref();
    match segment.kind {
        SpanKind::Running => format!("ran stage {stage}"),
        SpanKind::Started => format!("ran stage {stage} or waited for its pods"),
        SpanKind::Pending => format!("waited for the pods of stage {stage}"),
        SpanKind::Backoff => format!("waited to retry stage {stage}"),
        SpanKind::Queued | SpanKind::Approval => format!("waited for {}", on.unwrap_or("permits")),
        SpanKind::Waiting => match on {
            Some(on) => format!("waited for {on}"),
            None => "passed between stages".to_owned(),
        },
        SpanKind::Starting => "passed between stages".to_owned(),
        SpanKind::Paused => format!("held stage {stage} suspended"),
        SpanKind::Ending => "passed after the last stage".to_owned(),
    }
}

/// Returns what bounded the Run, as a sentence without its full stop.
pub(super) fn summary(shares: &[Share], frame: Frame) -> String {
    let shown = shares.iter().filter(|share| share.percent > 0);
    let shown: Vec<String> = shown
        .take(SHARES_SHOWN)
        .enumerate()
        .map(|(index, share)| match index {
            0 => {
                let whole = match frame.is_over {
                    true => "the run's time",
                    false => "the time so far",
                };
                format!("{} % of {whole} {}", share.percent, share.what)
            }
            _ => format!("{} % {}", share.percent, share.what),
        })
        .collect();
    shown.join(", ")
}
