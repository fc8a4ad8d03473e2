//! All runs, and how the last ones of each pipeline went.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use super::{Context, Section, badge, duration, empty, pager, progress, time, tone, took, window};
use crate::address::{Address, RunFilter};
use crate::model::{RunRow, Runs, Tone, Took};

/// How many pipelines are shown above the list, those that ran last.
const PIPELINES: usize = 8;
/// How many runs of a pipeline its bars show.
const BARS: usize = 24;
/// The phases that can be filtered by.
const PHASES: [&str; 6] = [
    "running",
    "paused",
    "finalizing",
    "succeeded",
    "failed",
    "cancelled",
];
/// The ages that can be filtered by, in hours.
const AGES: [(u32, &str); 4] = [
    (1, "last hour"),
    (24, "last day"),
    (168, "last week"),
    (720, "last 30 days"),
];

pub(super) fn sections(runs: &Runs, context: Context<'_>) -> Vec<Section> {
    let none = RunFilter::default();
    let filter = match context.address {
        Address::Runs(filter) => filter,
        _ => &none,
    };
    let pipelines = pipelines(&runs.rows);
    vec![
        Section::fixed("heading", html! { h1 { "Runs" } }),
        Section::live("pipelines", cards(&pipelines, filter, context)),
        Section::fixed("filter", form(&pipelines, filter)),
        Section::live("runs", table(runs, filter, context)),
    ]
}

/// Whether a run is listed.
fn is_listed(row: &RunRow, filter: &RunFilter, now: Timestamp) -> bool {
    let is_of = |pipeline: &String| *pipeline == row.pipeline;
    let is_in = |phase: &String| phase.eq_ignore_ascii_case(&row.badge.word);
    let is_young = |hours: u32| {
        let oldest = now.checked_sub(SignedDuration::from_hours(i64::from(hours)));
        oldest.is_ok_and(|oldest| row.created.is_none_or(|created| created >= oldest))
    };
    filter.pipeline.as_ref().is_none_or(is_of)
        && filter.phase.as_ref().is_none_or(is_in)
        && filter.hours.is_none_or(is_young)
}

/// A pipeline with its last runs, the newest first.
struct Pipeline<'a> {
    name: &'a str,
    runs: Vec<&'a RunRow>,
}

/// The pipelines, the one that ran last first.
fn pipelines(rows: &[RunRow]) -> Vec<Pipeline<'_>> {
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pipelines: Vec<Pipeline<'_>> = Vec::new();
    for row in rows {
        let place = *places.entry(row.pipeline.as_str()).or_insert_with(|| {
            pipelines.push(Pipeline {
                name: &row.pipeline,
                runs: Vec::new(),
            });
            pipelines.len() - 1
        });
        if pipelines[place].runs.len() < BARS {
            pipelines[place].runs.push(row);
        }
    }
    pipelines
}

fn length(row: &RunRow, now: Timestamp) -> Option<SignedDuration> {
    match row.took? {
        Took::For(length) => Some(length),
        Took::Since(since) => Some(now.duration_since(since)),
    }
}

fn cards(pipelines: &[Pipeline<'_>], filter: &RunFilter, context: Context<'_>) -> Markup {
    html! {
        @if !pipelines.is_empty() {
            h2.hidden { "Pipelines" }
            ul.cards {
                @for pipeline in pipelines.iter().take(PIPELINES) {
                    (card(pipeline, filter, context))
                }
            }
            @if pipelines.len() > PIPELINES {
                p.muted.small { (pipelines.len() - PIPELINES) " more pipelines can be chosen in the filter" }
            }
        }
    }
}

fn card(pipeline: &Pipeline<'_>, filter: &RunFilter, context: Context<'_>) -> Markup {
    let is_chosen = filter.pipeline.as_deref() == Some(pipeline.name);
    let ended = pipeline
        .runs
        .iter()
        .filter(|run| matches!(run.took, Some(Took::For(_))));
    let mut lengths: Vec<SignedDuration> =
        ended.filter_map(|run| length(run, context.now)).collect();
    lengths.sort();
    let median = lengths.get(lengths.len() / 2);
    let link = match is_chosen {
        true => Address::Runs(RunFilter::default()),
        false => Address::pipeline(pipeline.name),
    };
    html! {
        li {
            a.card id={"pipeline-" (pipeline.name)} href=(link.link()) aria-current=[is_chosen.then_some("true")] {
                span.card-head {
                    span.strong.cut { (pipeline.name) }
                    @if let Some(last) = pipeline.runs.first() { (badge(&last.badge)) }
                }
                (bars(pipeline))
                span.muted.small {
                    @match median {
                        Some(median) => { "median " span.num { (duration(*median)) } }
                        None => { "no run has ended" }
                    }
                }
            }
        }
    }
}

/// The lengths of the last runs as bars, the newest last: what failed reaches below the line.
fn bars(pipeline: &Pipeline<'_>) -> Markup {
    let ended = |row: &RunRow| match row.took {
        Some(Took::For(length)) => Some(length.as_secs_f64()),
        _ => None,
    };
    let longest = pipeline.runs.iter().filter_map(|row| ended(row));
    let longest = longest.fold(1.0_f64, f64::max);
    let failed = pipeline.runs.iter();
    let failed = failed.filter(|row| row.badge.tone == Tone::Bad).count();
    let label = format!(
        "durations of the last {} runs, {failed} failed",
        pipeline.runs.len()
    );
    html! {
        svg.bars viewBox="0 0 192 34" width="192" height="34" preserveAspectRatio="xMinYMid" role="img" aria-label=(label) {
            line.base x1="0" y1="28.5" x2="192" y2="28.5" {}
            @for (place, row) in pipeline.runs.iter().rev().enumerate() {
                @let x = 8 * place;
                @let height = ended(row).map_or(4.0, |length| (length / longest * 25.0).max(2.0));
                rect class=(tone(row.badge.tone)) x=(x) y=(format!("{:.1}", 28.0 - height)) width="6"
                    height=(format!("{height:.1}")) rx="1" {}
                @if row.badge.tone == Tone::Bad {
                    rect.bad x=(x) y="30" width="6" height="4" rx="1" {}
                }
            }
        }
    }
}

fn form(pipelines: &[Pipeline<'_>], filter: &RunFilter) -> Markup {
    let is_filtered = *filter != RunFilter::default();
    html! {
        form.filter method="get" action="/" role="search" aria-label="Filter runs" {
            label { "Pipeline"
                select name="pipeline" {
                    option value="" { "all" }
                    @for pipeline in pipelines {
                        option value=(pipeline.name) selected[filter.pipeline.as_deref() == Some(pipeline.name)] {
                            (pipeline.name)
                        }
                    }
                }
            }
            label { "State"
                select name="phase" {
                    option value="" { "any" }
                    @for phase in PHASES {
                        option value=(phase) selected[filter.phase.as_deref() == Some(phase)] { (phase) }
                    }
                }
            }
            label { "Created"
                select name="hours" {
                    option value="" { "any time" }
                    @for (hours, words) in AGES {
                        option value=(hours) selected[filter.hours == Some(hours)] { (words) }
                    }
                }
            }
            button.button type="submit" { "Filter" }
            @if is_filtered { a.button.plain href="/" { "Clear" } }
        }
    }
}

fn table(runs: &Runs, filter: &RunFilter, context: Context<'_>) -> Markup {
    // A section is compared as if no time had passed: then every run is young.
    let rows: Vec<&RunRow> = runs
        .rows
        .iter()
        .filter(|row| is_listed(row, filter, context.now))
        .collect();
    let (page, shown) = window(&rows, filter.page);
    let help = match runs.rows.is_empty() {
        true => html! { "Start one with " code { "koncli apply FILE" } "." },
        false => html! { "Choose another filter." },
    };
    html! {
        @if rows.is_empty() {
            (empty("No runs", &help))
        } @else {
            div.table {
                table.rows {
                    thead {
                        tr {
                            th scope="col" { "State" }
                            th scope="col" { "Run" }
                            th scope="col" { "Pipeline" }
                            th scope="col" { "Jobs" }
                            th.right scope="col" { "Took" }
                            th.right scope="col" { "Created" }
                            th scope="col" { "Why" }
                        }
                    }
                    tbody { @for row in shown { (run(row, context)) } }
                }
            }
            (pager(page, rows.len(), "runs", |page| {
                Address::Runs(RunFilter { page, ..filter.clone() }).link()
            }))
        }
    }
}

fn run(row: &RunRow, context: Context<'_>) -> Markup {
    html! {
        tr {
            td { (badge(&row.badge)) }
            th scope="row" { a id={"run-" (row.name)} href=(Address::run(&row.name).link()) { (row.name) } }
            td.muted { (row.pipeline) }
            td { (progress(row.done, row.jobs, row.badge.tone)) }
            td.right { @if let Some(length) = row.took { (took(length, context.now)) } }
            td.right.muted { @if let Some(created) = row.created { (time(created)) } }
            td.why { (row.why) }
        }
    }
}
