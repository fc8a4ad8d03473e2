//! The timeline as a picture: light and dark as the viewer prefers, with no script and no font but the viewer's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use konductor_operator::standing::State;
use konductor_operator::timeline::{Span, SpanKind, Timeline};
use konductor_web::TIMELINE_STYLE;

use super::shown::{Drawn, Shown, shown};
use super::{length, tick, ticks, words};
use crate::output::width::{cut, width};

/// The width of the whole picture: a document shows it unscaled.
const WIDTH: f64 = 1120.0;
/// Around everything.
const MARGIN: f64 = 24.0;
/// The height of a row, and of its bar.
const ROW: f64 = 24.0;
const BAR: f64 = 12.0;
/// The height of the strip that shows the critical path.
const STRIP: f64 = 16.0;
/// What a character of 12 pixels is wide, on average: names are measured by it.
const CHARACTER: f64 = 6.9;
/// Between the names and the chart.
const GAP: f64 = 14.0;
/// The column of lengths at the right.
const LENGTHS: f64 = 62.0;
/// What is longer is cut; the whole name is shown where the pointer rests.
const TITLE_MAX: usize = 34;
/// The narrowest bar that is still seen.
const BAR_MIN: f64 = 1.5;
/// Ticks of the axis.
const TICKS: i64 = 8;
/// The class of what failed.
const FAILED: &str = "bad";
/// Columns of a line of the summary.
const SUMMARY: usize = 150;

/// Lines and dots above the faces, so that kinds differ without their colours.
const PATTERNS: &str = "\
<defs>
<pattern id=\"p-queued\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
<line class=\"ink\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"6\" stroke-width=\"2.4\"/></pattern>
<pattern id=\"p-started\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(-45)\">\
<line class=\"ink\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"5\" stroke-width=\"1.6\"/></pattern>
<pattern id=\"p-approval\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<circle class=\"dot\" cx=\"3\" cy=\"3\" r=\"1.3\"/></pattern>
<pattern id=\"p-backoff\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\">\
<line class=\"ink\" x1=\"0\" y1=\"2.5\" x2=\"5\" y2=\"2.5\" stroke-width=\"2\"/></pattern>
<pattern id=\"p-paused\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\">\
<line class=\"ink\" x1=\"3\" y1=\"0\" x2=\"3\" y2=\"6\" stroke-width=\"3\"/></pattern>
</defs>
";

/// Draws a timeline with at most so many rows, as a document of its own.
pub(crate) fn svg(timeline: &Timeline, most: Option<usize>) -> String {
    drawn(timeline, most, false)
}

/// Draws the same for a page that has the style, and says above it what the run is.
pub(crate) fn section(timeline: &Timeline, most: Option<usize>) -> String {
    drawn(timeline, most, true)
}

fn drawn(timeline: &Timeline, most: Option<usize>, is_section: bool) -> String {
    let shown = shown(timeline, most);
    let longest = shown
        .rows
        .iter()
        .map(|row| width(&row.title).min(TITLE_MAX))
        .max();
    let names = (longest.unwrap_or(0).max(12) as f64 * CHARACTER + 22.0).ceil();
    let summary = wrapped(&timeline.summary);
    let top = match is_section {
        true => MARGIN + 14.0,
        false => MARGIN + 62.0 + 17.0 * summary.len() as f64,
    };
    let strip = if timeline.critical_path.is_empty() {
        0.0
    } else {
        STRIP + 14.0
    };
    let rows_top = top + 10.0 + strip;
    let bottom = rows_top + ROW * shown.rows.len() as f64;
    let legend = legend(&shown, timeline);
    let legend_top = bottom + 30.0;
    let rest = shown.rest();
    let keys = legend_lines(&legend);
    let height =
        legend_top + 20.0 * keys.len() as f64 + if rest.is_some() { 22.0 } else { 0.0 } + 6.0;
    let chart = Chart {
        left: MARGIN + names + GAP,
        width: WIDTH - 2.0 * MARGIN - names - GAP - LENGTHS,
        timeline,
        rows_top,
    };
    let style = match is_section {
        true => String::new(),
        false => format!("<style>{TIMELINE_STYLE}</style>\n"),
    };
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH:.0} {height:.0}\" role=\"img\">\n<title>{}</title>\n{style}\
         {PATTERNS}<rect class=\"bg\" width=\"100%\" height=\"100%\"/>\n",
        escaped(&super::head(timeline))
    );
    if !is_section {
        header(timeline, &summary, &mut text);
    }
    chart.lanes(shown.rows.len(), &mut text);
    chart.axis(top, bottom, &mut text);
    if strip > 0.0 {
        chart.strip(top + 10.0, &mut text);
    }
    for (index, row) in shown.rows.iter().enumerate() {
        chart.row(index, row, &mut text);
    }
    chart.path(&shown.rows, &mut text);
    for (line, entries) in keys.iter().enumerate() {
        key(entries, legend_top + 20.0 * line as f64, &mut text);
    }
    if let Some(rest) = rest {
        let y = legend_top + 20.0 * keys.len() as f64 + 4.0;
        let rest = match is_section {
            true => rest.replace("--all", "`koncli timeline --all`"),
            false => rest,
        };
        let _ = writeln!(
            text,
            "<text class=\"m s\" x=\"{MARGIN}\" y=\"{y:.1}\">{}</text>",
            escaped(&rest)
        );
    }
    text.push_str("</svg>\n");
    text
}

/// The run, how it ended, and what bounded it.
fn header(timeline: &Timeline, summary: &[String], text: &mut String) {
    let Timeline {
        run,
        pipeline,
        phase,
        attempt,
        ..
    } = timeline;
    let took = length(timeline.makespan());
    let how = if timeline.end.is_some() { "in" } else { "for" };
    let attempt = match attempt {
        0 | 1 => String::new(),
        later => format!(" · attempt {later}"),
    };
    let begun = timeline.start.strftime("%Y-%m-%d %H:%M:%S UTC");
    let line = format!("pipeline {pipeline} · {phase} {how} {took}{attempt} · began {begun}");
    let y = MARGIN + 14.0;
    let run = escaped(&cut(run, 90));
    let _ = writeln!(
        text,
        "<text class=\"h\" x=\"{MARGIN}\" y=\"{y:.1}\">{run}</text>"
    );
    let y = y + 20.0;
    let line = escaped(&cut(&line, SUMMARY));
    let _ = writeln!(
        text,
        "<text class=\"m\" x=\"{MARGIN}\" y=\"{y:.1}\">{line}</text>"
    );
    for (index, line) in summary.iter().enumerate() {
        let y = y + 19.0 + 17.0 * index as f64;
        let line = escaped(line);
        let _ = writeln!(text, "<text x=\"{MARGIN}\" y=\"{y:.1}\">{line}</text>");
    }
}

/// Where things are in the picture.
struct Chart<'a> {
    left: f64,
    width: f64,
    timeline: &'a Timeline,
    rows_top: f64,
}

impl Chart<'_> {
    fn x(&self, time: Timestamp) -> f64 {
        let since = time.duration_since(self.timeline.start).as_secs_f64();
        let all = self.timeline.makespan().as_secs_f64();
        let part = if all > 0.0 {
            (since / all).clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.left + part * self.width
    }

    /// The middle of a row.
    fn y(&self, index: usize) -> f64 {
        self.rows_top + ROW * index as f64 + ROW / 2.0
    }

    /// The ground of every second row, below everything else.
    fn lanes(&self, rows: usize, text: &mut String) {
        for index in (1..rows).step_by(2) {
            let _ = writeln!(
                text,
                "<rect class=\"lane\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{ROW}\" rx=\"3\"/>",
                MARGIN - 6.0,
                self.y(index) - ROW / 2.0,
                WIDTH - 2.0 * MARGIN + 12.0
            );
        }
    }

    fn axis(&self, top: f64, bottom: f64, text: &mut String) {
        let seconds = self.timeline.makespan().as_secs();
        for at in ticks(seconds, TICKS) {
            let Ok(time) = self
                .timeline
                .start
                .checked_add(SignedDuration::from_secs(at))
            else {
                break;
            };
            let x = self.x(time);
            let _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\
                 <text class=\"m s n\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
                top - 6.0,
                tick(at)
            );
        }
    }

    /// The critical path as a strip above the rows: it fills the whole time.
    fn strip(&self, y: f64, text: &mut String) {
        let _ = writeln!(
            text,
            "<text class=\"b\" x=\"{:.1}\" y=\"{:.1}\">critical path</text>",
            MARGIN + 18.0,
            y + STRIP / 2.0 + 4.0
        );
        for segment in &self.timeline.critical_path {
            let row = segment.row.map(|row| self.timeline.rows[row].title());
            let span = Span {
                kind: segment.kind,
                on: segment.on.clone(),
                start: segment.start,
                end: Some(segment.end),
                outcome: None,
                reason: String::new(),
            };
            let title = row.unwrap_or_else(|| "the run".to_owned());
            self.bar(&title, &span, (y, STRIP), text);
        }
    }

    fn row(&self, index: usize, row: &Drawn<'_>, text: &mut String) {
        let y = self.y(index);
        let weight = if row.critical { " class=\"b\"" } else { "" };
        let whole = format!("{} {}", row.title, row.state.word());
        let whole = match row.note {
            Some(note) => format!("{whole}: {note}"),
            None => whole,
        };
        let _ = writeln!(
            text,
            "<g><title>{}</title><text class=\"{}\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text>\
             <text{weight} x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            escaped(&whole),
            tone(row.state),
            y + 4.0,
            row.state.mark(),
            MARGIN + 18.0,
            y + 4.0,
            escaped(&cut(&row.title, TITLE_MAX))
        );
        for span in &row.spans {
            self.bar(&row.title, span, (y - BAR / 2.0, BAR), text);
        }
        if let Some(took) = row.took(self.timeline) {
            let _ = writeln!(
                text,
                "<text class=\"m n\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - MARGIN,
                y + 4.0,
                length(took)
            );
        }
    }

    fn bar(&self, title: &str, span: &Span, (top, high): (f64, f64), text: &mut String) {
        let until = self.timeline.until();
        let end = span.end.unwrap_or(until);
        let (from, to) = (self.x(span.start), self.x(end));
        let mut wide = (to - from).max(BAR_MIN);
        let class = match span.outcome {
            Some("failed") if span.kind != SpanKind::Backoff => FAILED,
            _ => span.kind.word(),
        };
        let took = length(end.duration_since(span.start));
        let mut words = format!("{title}: {} {took}", words(span));
        if let Some(outcome) = span.outcome {
            let _ = write!(words, ", {outcome}");
        }
        if !span.reason.is_empty() {
            let _ = write!(words, " ({})", span.reason);
        }
        let at = |time: Timestamp| time.strftime("%H:%M:%S").to_string();
        let _ = match span.end {
            Some(end) => write!(words, "\n{} to {} UTC", at(span.start), at(end)),
            None => write!(words, "\nsince {} UTC", at(span.start)),
        };
        let _ = write!(text, "<g><title>{}</title>", escaped(&words));
        if span.kind == SpanKind::Waiting {
            let y = top + high / 2.0 - 1.0;
            let _ = writeln!(
                text,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"2\"/></g>"
            );
            return;
        }
        // A hair of the background between two spans shows where one ends.
        if wide > 4.0 {
            wide -= 1.0;
        }
        let is_hollow = matches!(
            span.kind,
            SpanKind::Pending | SpanKind::Starting | SpanKind::Ending
        ) && class != FAILED
            && wide > 3.0;
        let inset = if is_hollow { 0.5 } else { 0.0 };
        let place = format!(
            "x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"{:.1}\"",
            from + inset,
            top + inset,
            wide - 2.0 * inset,
            high - 2.0 * inset,
            if wide > 5.0 { 2.0 } else { 0.0 }
        );
        let _ = write!(text, "<rect class=\"{class}\" {place}/>");
        if class == FAILED {
            // Not by its colour alone.
            if wide > 11.0 {
                let (x, y) = (from + wide / 2.0, top + high / 2.0 + 3.2);
                let _ = write!(text, "{}", cross(x, y));
            }
        } else if wide > 5.0 && pattern(span.kind) {
            let _ = write!(
                text,
                "<rect fill=\"url(#p-{})\" {place}/>",
                span.kind.word()
            );
        }
        text.push_str("</g>\n");
    }

    /// The critical path through the rows: below the bars that are on it, and down to the row that follows.
    fn path(&self, rows: &[Drawn<'_>], text: &mut String) {
        let places = rows.iter().enumerate();
        let places =
            places.flat_map(|(index, row)| row.rows.iter().map(move |place| (*place, index)));
        let places: BTreeMap<usize, usize> = places.collect();
        let mut line = String::new();
        let mut before: Option<usize> = None;
        for segment in &self.timeline.critical_path {
            let Some(index) = segment.row.and_then(|row| places.get(&row)).copied() else {
                before = None;
                continue;
            };
            let y = self.y(index) + BAR / 2.0 + 3.0;
            let (from, to) = (self.x(segment.start), self.x(segment.end));
            match before {
                Some(last) if last == index => {}
                Some(_) => {
                    let _ = write!(line, "L{from:.1},{y:.1}");
                }
                None => {
                    let _ = write!(line, "M{from:.1},{y:.1}");
                }
            }
            let _ = write!(line, "L{to:.1},{y:.1}");
            before = Some(index);
        }
        if !line.is_empty() {
            let _ = writeln!(
                text,
                "<path class=\"path\" d=\"{line}\" stroke-linejoin=\"round\"/>"
            );
        }
    }
}

/// The mark of what failed.
fn cross(x: f64, y: f64) -> String {
    format!("<text class=\"x\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">✗</text>")
}

/// The kinds that have lines or dots.
fn pattern(kind: SpanKind) -> bool {
    matches!(
        kind,
        SpanKind::Queued
            | SpanKind::Started
            | SpanKind::Approval
            | SpanKind::Backoff
            | SpanKind::Paused
    )
}

/// The colour of a state's mark.
fn tone(state: State) -> &'static str {
    match state {
        State::Succeeded => "good",
        State::Failed => "wrong",
        State::Running => "busy",
        State::Pending | State::Suspended | State::Paused | State::Queued => "late",
        State::Waiting | State::Skipped | State::Cancelled | State::Unreached => "m",
    }
}

/// What the legend explains.
#[derive(Clone, Copy)]
enum Sign {
    Kind(SpanKind),
    Failed,
    Path,
}

/// The signs that are in the picture, and what they mean.
fn legend(shown: &Shown<'_>, timeline: &Timeline) -> Vec<Key> {
    let spans = shown.rows.iter().flat_map(|row| &row.spans);
    let failed = spans.clone().any(|span| span.outcome == Some("failed"));
    let of_path = timeline.critical_path.iter().map(|segment| segment.kind);
    let kinds: BTreeSet<SpanKind> = spans.map(|span| span.kind).chain(of_path).collect();
    let kinds = kinds
        .into_iter()
        .map(|kind| (Sign::Kind(kind), meaning(kind)));
    let failed = failed.then_some((Sign::Failed, "failed"));
    let has_path = !timeline.critical_path.is_empty();
    let path = has_path.then_some((Sign::Path, "critical path"));
    kinds.chain(failed).chain(path).collect()
}

fn meaning(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Waiting => "waiting for stages or gates",
        SpanKind::Approval => "waiting for an approval",
        SpanKind::Queued => "queued for permits",
        SpanKind::Starting => "starting",
        SpanKind::Pending => "pending in the cluster",
        SpanKind::Running => "running",
        SpanKind::Started => "pending or running",
        SpanKind::Backoff => "back-off before a retry",
        SpanKind::Paused => "suspended",
        SpanKind::Ending => "ending",
    }
}

/// An entry of the legend, and how wide it is.
type Key = (Sign, &'static str);

fn key_width(name: &str) -> f64 {
    width(name) as f64 * 6.2 + 46.0
}

/// The legend in lines that fit.
fn legend_lines(legend: &[Key]) -> Vec<Vec<Key>> {
    let mut lines: Vec<Vec<Key>> = Vec::new();
    let mut room = 0.0;
    for entry in legend {
        let wide = key_width(entry.1);
        match lines.last_mut() {
            Some(line) if room >= wide => line.push(*entry),
            _ => {
                lines.push(vec![*entry]);
                room = WIDTH - 2.0 * MARGIN;
            }
        }
        room -= wide;
    }
    lines
}

fn key(entries: &[Key], y: f64, text: &mut String) {
    let mut x = MARGIN;
    for (sign, name) in entries {
        let top = y - 10.0;
        let place = format!(
            "x=\"{:.1}\" y=\"{:.1}\" width=\"21\" height=\"11\" rx=\"2\"",
            x + 0.5,
            top + 0.5
        );
        let drawn = match sign {
            Sign::Path => format!("<path class=\"path\" d=\"M{x:.1},{:.1}h22\"/>", top + 6.0),
            Sign::Failed => {
                let cross = cross(x + 11.0, top + 9.2);
                format!("<rect class=\"{FAILED}\" {place}/>{cross}")
            }
            Sign::Kind(SpanKind::Waiting) => format!(
                "<rect class=\"waiting\" x=\"{x:.1}\" y=\"{:.1}\" width=\"22\" height=\"2\"/>",
                top + 5.0
            ),
            Sign::Kind(kind) => {
                let word = kind.word();
                let above = match pattern(*kind) {
                    true => format!("<rect fill=\"url(#p-{word})\" {place}/>"),
                    false => String::new(),
                };
                format!("<rect class=\"{word}\" {place}/>{above}")
            }
        };
        text.push_str(&drawn);
        let _ = writeln!(
            text,
            "<text class=\"m s\" x=\"{:.1}\" y=\"{y:.1}\">{name}</text>",
            x + 29.0
        );
        x += key_width(name);
    }
}

/// Breaks the summary at its commas.
fn wrapped(summary: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in summary.split(", ").filter(|part| !part.is_empty()) {
        match lines.last_mut() {
            Some(line) if width(line) + width(part) + 2 <= SUMMARY => {
                line.push_str(", ");
                line.push_str(part);
            }
            _ => lines.push(cut(part, SUMMARY)),
        }
    }
    lines
}

/// A text in XML: no character of it is markup, and those that XML does not have are replaced.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}
