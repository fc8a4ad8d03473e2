//! A run: where it stands, its graph, its timeline, its stages, and what it handed on.

use std::collections::BTreeMap;

use konductor_core::standing::State;
use maud::{Markup, html};

use super::{
    Context, Section, badge, button, empty, folded, output_rows, pager, picture, says_more, time,
    took, window,
};
use crate::address::{Address, StageFilter};
use crate::model::{Action, Approval, Badge, Run, StageRow};

/// How many failures are shown above everything else.
const FAILURES: usize = 5;

pub(super) fn sections(run: &Run, context: Context<'_>) -> Vec<Section> {
    let none = StageFilter::default();
    let filter = match context.address {
        Address::Run(_, filter) => filter,
        _ => &none,
    };
    vec![
        Section::live("head", head(run, context)),
        Section::live("approvals", approvals(run, context)),
        Section::live("failures", failures(run, true)),
        Section::live("graph", graph(run)),
        Section::fixed("filter", form(run, filter)),
        Section::live("stages", stages(run, filter, context)),
        Section::live("timeline", timeline(run)),
        Section::live("outputs", outputs(run)),
        Section::live(
            "yaml",
            folded("run-yaml", "The Run as it is stored (YAML)", &run.yaml),
        ),
    ]
}

fn head(run: &Run, context: Context<'_>) -> Markup {
    html! {
        nav.crumbs aria-label="Breadcrumb" {
            a href="/" { "Runs" }
            span aria-hidden="true" { "/" }
            a href=(Address::pipeline(&run.pipeline).link()) { (run.pipeline) }
        }
        div.title {
            h1 { (run.name) }
            (badge(&run.badge))
            div.actions { (actions(run, context)) }
        }
        (summary(run, context))
    }
}

/// Returns when a run began, how long it took, and what bounded its end.
pub(crate) fn summary(run: &Run, context: Context<'_>) -> Markup {
    let ended = run.stages.iter().filter(|stage| stage.state.has_ended());
    html! {
        dl.facts {
            div { dt { "Began" } dd { (time(run.began)) } }
            div { dt { "Took" } dd { (took(run.took, context.now)) } }
            div { dt { "Stages ended" } dd.num { (ended.count()) "/" (run.stages.len()) } }
            @if run.attempt > 1 { div { dt { "Attempt" } dd.num { (run.attempt) } } }
        }
        @if !run.message.is_empty() { p.lead { (run.message) } }
        @if !run.summary.is_empty() { p.muted { (sentence(&run.summary)) "." } }
    }
}

/// A sentence begins with a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

fn actions(run: &Run, context: Context<'_>) -> Markup {
    html! {
        @for action in &run.actions {
            @match action {
                Action::Pause { .. } => { (button(action, "Pause", "", context)) }
                Action::Resume { .. } => { (button(action, "Resume", "primary", context)) }
                Action::Retry { .. } => { (button(action, "Retry failed stages", "primary", context)) }
                Action::Cancel { .. } => {
                    details.confirm #confirm-cancel {
                        summary.button.danger { "Cancel…" }
                        div.sheet {
                            p { "Running stages are stopped. Finally stages still run." }
                            (button(action, "Cancel this run", "danger solid", context))
                        }
                    }
                }
                Action::Approve { .. } | Action::Deny { .. } => {}
            }
        }
    }
}

fn approvals(run: &Run, context: Context<'_>) -> Markup {
    html! {
        @if !run.approvals.is_empty() {
            h2 { "Approvals" }
            ul.cards.approvals { @for approval in &run.approvals { (card(approval, context)) } }
        }
    }
}

fn card(approval: &Approval, context: Context<'_>) -> Markup {
    let word = match approval.state {
        State::Succeeded => "approved",
        State::Failed => "not given",
        state => state.word(),
    };
    let (approve, deny) = (
        Action::Approve {
            barrier: approval.barrier.clone(),
        },
        Action::Deny {
            barrier: approval.barrier.clone(),
        },
    );
    html! {
        li.card {
            span.card-head {
                span.strong { (approval.name) }
                (badge(&Badge::called(approval.state, word)))
            }
            span.muted { (approval.given) " of " (approval.needed) " given" }
            @if says_more(&approval.message, approval.given, approval.needed) { span.muted.small { (approval.message) } }
            @if approval.may_answer && !approval.state.has_ended() {
                span.actions {
                    (button(&approve, "Approve", "primary", context))
                    (button(&deny, "Deny", "danger", context))
                }
            }
        }
    }
}

/// Returns the stages that failed, with why.
pub(crate) fn failures(run: &Run, with_links: bool) -> Markup {
    let failed: Vec<&StageRow> = run
        .stages
        .iter()
        .filter(|stage| stage.state == State::Failed)
        .collect();
    html! {
        @if !failed.is_empty() {
            div.failures {
                h2 { (failed.len()) @if failed.len() == 1 { " stage failed" } @else { " stages failed" } }
                ul {
                    @for stage in failed.iter().take(FAILURES) {
                        li {
                            span.mark.bad aria-hidden="true" { "✗" }
                            @if with_links {
                                a.strong id={"failed-" (stage.name)} href=(Address::stage(&run.name, &stage.name).link()) {
                                    (stage.name)
                                }
                            } @else {
                                span.strong { (stage.name) }
                            }
                            @if !stage.why.is_empty() { span { (stage.why) } }
                        }
                    }
                }
                @if failed.len() > FAILURES {
                    @let more = failed.len() - FAILURES;
                    @if with_links {
                        @let all = StageFilter { state: Some("failed".to_owned()), ..StageFilter::default() };
                        a href=(Address::Run(run.name.clone(), all).link()) { (more) " more" }
                    } @else {
                        p.muted { (more) " more are in the list of stages" }
                    }
                }
            }
        }
    }
}

fn graph(run: &Run) -> Markup {
    html! {
        h2 { "Graph" }
        @match &run.graph {
            Some(graph) => {
                div.panel.graph #graph-panel tabindex="0" role="region" aria-label="Dependency graph" {
                    (picture(graph))
                }
            }
            None => {
                p.muted {
                    "The graph has too many nodes to be read. "
                    code { "koncli graph run/" (run.name) " --as svg" }
                    " draws it."
                }
            }
        }
    }
}

fn timeline(run: &Run) -> Markup {
    html! {
        h2 { "Timeline" }
        div.panel.timeline #timeline-panel tabindex="0" role="region" aria-label="Timeline" { (picture(&run.timeline)) }
    }
}

/// Returns what the stages of a run handed on.
pub(crate) fn outputs(run: &Run) -> Markup {
    html! {
        @if !run.outputs.is_empty() {
            h2 { "Outputs" }
            (output_rows(&run.outputs, true))
        }
    }
}

fn form(run: &Run, filter: &StageFilter) -> Markup {
    html! {
        div.heading {
            h2 { "Stages" }
            form.filter method="get" action=(Address::run(&run.name).link()) role="search" aria-label="Filter stages" {
                @if let Some(state) = &filter.state { input type="hidden" name="state" value=(state); }
                label { span.hidden { "Name" }
                    input type="search" name="name" placeholder="Find a stage" autocomplete="off"
                        value=(filter.name.clone().unwrap_or_default());
                }
                button.button type="submit" { "Find" }
            }
        }
    }
}

fn stages(run: &Run, filter: &StageFilter, context: Context<'_>) -> Markup {
    let is_named = |stage: &&StageRow| {
        let name = filter.name.as_deref();
        name.is_none_or(|name| stage.name.contains(name))
    };
    let is_in = |stage: &&StageRow| {
        let state = filter.state.as_deref();
        state.is_none_or(|state| stage.state.word() == state)
    };
    let rows: Vec<&StageRow> = run.stages.iter().filter(is_named).filter(is_in).collect();
    let mut counts: BTreeMap<State, usize> = BTreeMap::new();
    for stage in run.stages.iter().filter(is_named) {
        *counts.entry(stage.state).or_default() += 1;
    }
    let link = |filter: StageFilter| Address::Run(run.name.clone(), filter).link();
    let (page, shown) = window(&rows, filter.page);
    html! {
        nav.chips aria-label="Stages by state" {
            @let all = StageFilter { state: None, page: 0, ..filter.clone() };
            a.chip #chip-all href=(link(all)) aria-current=[filter.state.is_none().then_some("true")] {
                "all " span.num { (counts.values().sum::<usize>()) }
            }
            @for (state, count) in &counts {
                @let of = StageFilter { state: Some(state.word().to_owned()), page: 0, ..filter.clone() };
                @let is_chosen = filter.state.as_deref() == Some(state.word());
                a.chip id={"chip-" (state.word())} href=(link(of)) aria-current=[is_chosen.then_some("true")] {
                    (badge(&Badge::from(*state))) " " span.num { (count) }
                }
            }
        }
        @if rows.is_empty() {
            (empty("No stages", &html! { "No stage of this run has this name and state." }))
        } @else {
            (rows_of(&run.name, shown.iter().copied(), context))
            (pager(page, rows.len(), "stages", |page| link(StageFilter { page, ..filter.clone() })))
        }
    }
}

/// Returns stages or items as a table, each with a link to its page.
pub(super) fn rows_of<'a>(
    run: &str,
    rows: impl IntoIterator<Item = &'a StageRow>,
    context: Context<'_>,
) -> Markup {
    rows_with(Some(run), rows, context)
}

/// Returns the stages of a run as a table without links.
pub(crate) fn stages_of_report(run: &Run, most: usize, context: Context<'_>) -> Markup {
    let mut rows: Vec<&StageRow> = run.stages.iter().collect();
    if rows.len() > most {
        // What failed or waits says more than what succeeded.
        rows.sort_by_key(|stage| stage.state);
    }
    let left_out = rows.len().saturating_sub(most);
    html! {
        (rows_with(None, rows.into_iter().take(most), context))
        @if left_out > 0 { p.muted { (left_out) " more stages are left out" } }
    }
}

fn rows_with<'a>(
    run: Option<&str>,
    rows: impl IntoIterator<Item = &'a StageRow>,
    context: Context<'_>,
) -> Markup {
    html! {
        div.table {
            table.rows {
                thead {
                    tr {
                        th scope="col" { "State" }
                        th scope="col" { "Stage" }
                        th.right scope="col" { "Items" }
                        th.right scope="col" { "Took" }
                        th.right scope="col" { "Since" }
                        th scope="col" { "Why" }
                    }
                }
                tbody {
                    @for row in rows { (stage_row(run, row, context)) }
                }
            }
        }
    }
}

fn stage_row(run: Option<&str>, row: &StageRow, context: Context<'_>) -> Markup {
    html! {
        tr {
            td { (badge(&Badge::from(row.state))) }
            th scope="row" {
                @match run {
                    Some(run) => {
                        a id={"stage-" (row.name)} href=(Address::stage(run, &row.name).link()) { (row.name) }
                    }
                    None => { (row.name) }
                }
            }
            td.right.num { @if row.items > 1 { (row.ended) "/" (row.items) } }
            td.right { @if let Some(length) = row.took { (took(length, context.now)) } }
            td.right.muted { @if let Some(since) = row.since { (time(since)) } }
            td.why { (row.why) }
        }
    }
}
