//! A stage of a run, or one item: why it is where it is, what it did, and what it prints.

use maud::{Markup, html};

use super::run::rows_of;
use super::{Context, Section, badge, folded, output_rows, pager, time, took, window};
use crate::address::Address;
use crate::model::{Badge, Log, SpanRow, Stage};

pub(super) fn sections(stage: &Stage, logs: &[Log], context: Context<'_>) -> Vec<Section> {
    let page = match context.address {
        Address::Stage(_, _, page) => *page,
        _ => 0,
    };
    vec![
        Section::live("head", head(stage, context)),
        Section::live("why", why(stage)),
        Section::live("items", items(stage, page, context)),
        Section::live("spans", spans(&stage.spans, context)),
        Section::live("outputs", outputs(stage)),
        // Its lines come by themselves: it is replaced only when there are other pods.
        Section::about("log", &stage.pods, logs_of(stage, logs)),
        Section::live("yaml", yaml(stage)),
    ]
}

fn head(stage: &Stage, context: Context<'_>) -> Markup {
    let name = &stage.row.name;
    // The item of a stage has its stage above it.
    let parent = name.split_once('[').map(|(stage, _)| stage);
    html! {
        nav.crumbs aria-label="Breadcrumb" {
            a href="/" { "Runs" }
            span aria-hidden="true" { "/" }
            a href=(Address::run(&stage.run).link()) { (stage.run) }
            @if let Some(parent) = parent {
                span aria-hidden="true" { "/" }
                a href=(Address::stage(&stage.run, parent).link()) { (parent) }
            }
        }
        div.title { h1 { (name) } (badge(&Badge::from(stage.row.state))) }
        dl.facts {
            @if let Some(length) = stage.row.took { div { dt { "Took" } dd { (took(length, context.now)) } } }
            @if let Some(since) = stage.row.since { div { dt { (stage.row.state.word()) " since" } dd { (time(since)) } } }
            @if stage.row.items > 1 {
                div { dt { "Items ended" } dd.num { (stage.row.ended) "/" (stage.row.items) } }
            }
        }
    }
}

fn why(stage: &Stage) -> Markup {
    html! {
        @if !stage.why.is_empty() {
            h2 { "Why" }
            div.panel.why-chain tabindex="0" role="region" aria-label="Why" {
                @for (depth, line) in &stage.why {
                    p class={"depth-" (depth.min(&8))} { (line) }
                }
            }
        }
    }
}

fn items(stage: &Stage, page: usize, context: Context<'_>) -> Markup {
    let (page, shown) = window(&stage.items, page);
    html! {
        @if stage.items.len() > 1 {
            h2 { "Items" }
            (rows_of(&stage.run, shown, context))
            (pager(page, stage.items.len(), "items", |page| {
                Address::Stage(stage.run.clone(), stage.row.name.clone(), page).link()
            }))
        }
    }
}

fn spans(spans: &[SpanRow], context: Context<'_>) -> Markup {
    html! {
        @if !spans.is_empty() {
            h2 { "What it did" }
            div.table {
                table {
                    thead {
                        tr {
                            th scope="col" { "What" }
                            th.right scope="col" { "From" }
                            th.right scope="col" { "Took" }
                            th scope="col" { "Reason" }
                        }
                    }
                    tbody {
                        @for span in spans {
                            tr {
                                td { (span.what) }
                                td.right.num { (span.start.strftime("%H:%M:%S").to_string()) }
                                td.right { (took(span.took, context.now)) }
                                td.why { (span.reason) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn outputs(stage: &Stage) -> Markup {
    html! {
        @if !stage.outputs.is_empty() {
            h2 { "Outputs" }
            (output_rows(&stage.outputs, stage.items.len() > 1))
        }
    }
}

fn logs_of(stage: &Stage, logs: &[Log]) -> Markup {
    html! {
        h2 { "Logs" }
        @if logs.is_empty() {
            p.muted { @if stage.pods.is_empty() { "No pod of this stage is left." } @else { "Nothing was printed." } }
        }
        @for (place, log) in logs.iter().enumerate() {
            h3.log-title { (log.title) }
            pre.log id={"log-" (place)} tabindex="0" aria-label={"Log of " (log.title)} { (log.text) }
        }
    }
}

fn yaml(stage: &Stage) -> Markup {
    html! {
        @for (name, text) in &stage.yaml {
            (folded(&format!("yaml-{name}"), &format!("job/{name} as it is stored (YAML)"), text))
        }
    }
}
