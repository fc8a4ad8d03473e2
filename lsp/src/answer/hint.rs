//! Inlay hints: how many items a fan-out has, the value of a parameter where it is used, and what an attribute
//! is that is not written.

use std::collections::HashMap;

use gen_lsp_types::{InlayHint, Label, Range};
use konductor_dsl::{Span, ast};

use crate::analysis::Analysis;
use crate::names::Kind;
use crate::words::{self, Place};

/// How many characters of a value are shown.
const VALUE_MAX: usize = 32;

/// The hints within a range, in source order.
pub(crate) fn within(analysis: &Analysis, range: Range) -> Vec<InlayHint> {
    let mut hints = items(analysis);
    hints.extend(values(analysis));
    hints.extend(defaults(analysis));
    hints.sort_by_key(|(at, _)| *at);
    let hints = hints.into_iter().map(|(at, label)| {
        let span = Span {
            start: at,
            end: at,
            ..Span::default()
        };
        InlayHint {
            position: analysis.range(span).start,
            label: Label::String(label),
            kind: None,
            text_edits: None,
            tooltip: None,
            padding_left: Some(true),
            padding_right: None,
            data: None,
        }
    });
    hints
        .filter(|hint| range.start <= hint.position && hint.position <= range.end)
        .collect()
}

fn pipeline_items(analysis: &Analysis) -> impl Iterator<Item = &ast::Item> {
    let pipelines = analysis.root().into_iter().flat_map(|file| &file.pipelines);
    pipelines.flat_map(|pipeline| &pipeline.items)
}

/// How many items each fan-out has.
fn items(analysis: &Analysis) -> Vec<(u32, String)> {
    let nodes = analysis
        .compiled
        .graph
        .iter()
        .flat_map(|graph| &graph.nodes);
    let counts: HashMap<&str, usize> = nodes
        .filter_map(|node| Some((node.name.as_str(), node.items?)))
        .collect();
    let stages = pipeline_items(analysis).filter_map(|item| match item {
        ast::Item::Stage(stage) => Some(stage),
        _ => None,
    });
    let hints = stages.filter_map(|stage| {
        let count = counts.get(stage.name.text.as_str())?;
        let mut clauses = stage.clauses.iter();
        let clause = clauses.find(|clause| matches!(clause.kind, ast::ClauseKind::For(_)))?;
        let plural = if *count == 1 { "" } else { "s" };
        Some((clause.span.end, format!("{count} item{plural}")))
    });
    hints.collect()
}

/// The default of each parameter where it is used, but in texts, which it would tear apart.
fn values(analysis: &Analysis) -> Vec<(u32, String)> {
    let defaults = pipeline_items(analysis).filter_map(|item| match item {
        ast::Item::Param(param) => Some((param.name.span, param.default.as_ref()?.span())),
        _ => None,
    });
    let defaults: HashMap<Span, Span> = defaults.collect();
    let Some(source) = analysis.source(konductor_dsl::SourceId::default()) else {
        return Vec::new();
    };
    let uses = analysis.names.of_root();
    let uses = uses.filter(|(_, symbol)| symbol.kind == Kind::Param);
    let hints = uses.filter_map(|(span, symbol)| {
        let default = *defaults.get(&symbol.declared)?;
        let before = source.text.get(..span.start as usize)?;
        let is_use = span != symbol.declared && !before.ends_with("${");
        is_use.then(|| (span.end, format!("= {}", shortened(source.slice(default)))))
    });
    hints.collect()
}

/// A value on one line.
fn shortened(value: &str) -> String {
    let line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(VALUE_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// What each declaration has for the attributes that it does not name.
fn defaults(analysis: &Analysis) -> Vec<(u32, String)> {
    let mut hints = Vec::new();
    for item in pipeline_items(analysis) {
        let (place, attributes, at) = match item {
            ast::Item::Resource(resource) => {
                let place = match resource.kind.value {
                    ast::ResourceKind::Semaphore => Place::Semaphore,
                    ast::ResourceKind::Lease => Place::Lease,
                    ast::ResourceKind::Workspace => Place::Workspace,
                };
                (place, &resource.attributes, resource.name.span.end)
            }
            ast::Item::Approval(approval) => (
                Place::Approval,
                &approval.attributes,
                approval.name.span.end,
            ),
            ast::Item::Schedule(schedule) => (
                Place::Schedule,
                &schedule.attributes,
                schedule.cron.span.end,
            ),
            ast::Item::Param(_)
            | ast::Item::Stage(_)
            | ast::Item::Defaults(_)
            | ast::Item::Attribute(_) => continue,
        };
        let has = |name: &str| {
            let mut entries = attributes.iter().flat_map(|map| &map.entries);
            entries.any(|entry| entry.key.text == name)
        };
        // What exists in the cluster has the attributes that it has there.
        if has("external") {
            continue;
        }
        let omitted = words::defaults(place).iter();
        let omitted = omitted.filter(|(name, _)| !has(name));
        let omitted: Vec<String> = omitted
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        if !omitted.is_empty() {
            hints.push((at, omitted.join(", ")));
        }
    }
    hints
}
