//! Which rows are shown, where there is no room for all: the same for text and pictures.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use konductor_operator::standing::State;
use konductor_operator::timeline::{Row, Span, SpanKind, Timeline};

/// A row as it is drawn: an item, or all items of a stage.
#[derive(Clone, Debug)]
pub(super) struct Drawn<'a> {
    pub(super) title: String,
    pub(super) state: State,
    pub(super) critical: bool,
    /// The rows of the timeline that it stands for, by their places.
    pub(super) rows: Vec<usize>,
    /// What is drawn, the last above the others.
    pub(super) spans: Vec<&'a Span>,
    pub(super) note: Option<&'a str>,
}

impl Drawn<'_> {
    /// How long it was at work: from its first start to its end.
    pub(super) fn took(&self, timeline: &Timeline) -> Option<SignedDuration> {
        let kinds = [
            SpanKind::Pending,
            SpanKind::Running,
            SpanKind::Started,
            SpanKind::Backoff,
        ];
        let spans = self.spans.iter().filter(|span| kinds.contains(&span.kind));
        let start = spans.clone().map(|span| span.start).min()?;
        let end = spans
            .map(|span| span.end.unwrap_or(timeline.until()))
            .max()?;
        Some(end.duration_since(start))
    }
}

/// The rows that are drawn, and how many are not.
#[derive(Clone, Debug)]
pub(super) struct Shown<'a> {
    pub(super) rows: Vec<Drawn<'a>>,
    /// How many stages have their items in one row.
    pub(super) folded: usize,
    /// How many rows are left out.
    pub(super) left_out: usize,
}

impl Shown<'_> {
    /// What is missing, and what shows it: `12 stages are folded into a row each; --all shows their items`.
    pub(super) fn rest(&self) -> Option<String> {
        let folded = match self.folded {
            0 => None,
            1 => Some("1 stage has its items in one row".to_owned()),
            more => Some(format!("{more} stages have their items in one row")),
        };
        let left_out = match self.left_out {
            0 => None,
            1 => Some("1 row is left out".to_owned()),
            more => Some(format!("{more} rows are left out")),
        };
        let parts: Vec<String> = folded.into_iter().chain(left_out).collect();
        let is_empty = parts.is_empty();
        (!is_empty).then(|| format!("{}; --all shows everything", parts.join(", ")))
    }
}

/// Chooses what is drawn: all rows, if there are few; else a row for each stage; and of more stages those on the critical
/// path, those that failed or last, and those that took longest.
pub(super) fn shown(timeline: &Timeline, most: Option<usize>) -> Shown<'_> {
    let most = most.unwrap_or(usize::MAX);
    let all = timeline.rows.iter().enumerate();
    let own = |(place, row)| drawn(&[(place, row)], false);
    if timeline.rows.len() <= most {
        return Shown {
            rows: all.map(own).collect(),
            folded: 0,
            left_out: 0,
        };
    }
    let mut stages: Vec<Vec<(usize, &Row)>> = Vec::new();
    for (place, row) in all {
        match stages.last_mut() {
            Some(last) if last[0].1.stage == row.stage => last.push((place, row)),
            _ => stages.push(vec![(place, row)]),
        }
    }
    let rows: Vec<Drawn<'_>> = stages
        .iter()
        .map(|rows| drawn(rows, rows.len() > 1))
        .collect();
    let mut ranked: Vec<usize> = (0..rows.len()).collect();
    ranked.sort_by_cached_key(|index| {
        let row = &rows[*index];
        let says_much = !row.state.has_ended() || row.state == State::Failed;
        let length = row
            .spans
            .iter()
            .filter(|span| span.kind != SpanKind::Waiting);
        let length = length.map(|span| {
            span.end
                .unwrap_or(timeline.until())
                .duration_since(span.start)
        });
        let length: SignedDuration = length.sum();
        (!row.critical, !says_much, std::cmp::Reverse(length), *index)
    });
    let left_out = ranked.len().saturating_sub(most);
    let kept: BTreeSet<usize> = ranked.into_iter().take(most).collect();
    let rows = rows.into_iter().enumerate();
    let rows = rows.filter(|(index, _)| kept.contains(index));
    let rows: Vec<Drawn<'_>> = rows.map(|(_, row)| row).collect();
    Shown {
        folded: rows.iter().filter(|row| row.rows.len() > 1).count(),
        rows,
        left_out,
    }
}

fn drawn<'a>(rows: &[(usize, &'a Row)], is_folded: bool) -> Drawn<'a> {
    let mut spans: Vec<&Span> = rows.iter().flat_map(|(_, row)| &row.spans).collect();
    if is_folded {
        // What says most is drawn last, above the others.
        spans.sort_by_key(|span| rank(span.kind));
    }
    let title = match rows {
        [(_, row)] => row.title(),
        _ => format!("{} [{}]", rows[0].1.stage, rows.len()),
    };
    Drawn {
        title,
        state: State::of_stage(rows.iter().map(|(_, row)| row.state), None),
        critical: rows.iter().any(|(_, row)| row.critical),
        rows: rows.iter().map(|(place, _)| *place).collect(),
        spans,
        note: rows.iter().find_map(|(_, row)| row.note.as_deref()),
    }
}

/// How much a kind says, where several are at one place.
pub(super) fn rank(kind: SpanKind) -> usize {
    let order = [
        SpanKind::Ending,
        SpanKind::Waiting,
        SpanKind::Starting,
        SpanKind::Approval,
        SpanKind::Queued,
        SpanKind::Paused,
        SpanKind::Pending,
        SpanKind::Started,
        SpanKind::Running,
        SpanKind::Backoff,
    ];
    order
        .iter()
        .position(|other| *other == kind)
        .unwrap_or_default()
}
