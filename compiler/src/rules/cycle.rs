//! K0401: stages that wait for each other.

use konductor_dsl::{Code, Diagnostic};

use crate::limits::CYCLE_SHOWN_MAX;
use crate::pipeline::Pipeline;
use crate::plan::{Dag, Edge};

/// Reports the shortest cycle of each group of stages that wait for each other.
pub(crate) fn check(pipeline: &Pipeline, dag: &Dag, diagnostics: &mut Vec<Diagnostic>) {
    let name = |node: usize| match pipeline.stages.get(node) {
        Some(stage) => stage.name.text.as_str(),
        None => pipeline.approvals[node - pipeline.stages.len()]
            .name
            .text
            .as_str(),
    };
    for mut cycle in dag.cycles() {
        // Begin where the file does, so that the same cycle is always reported the same way.
        let first = (0..cycle.len())
            .min_by_key(|at| cycle[*at].span)
            .unwrap_or(0);
        cycle.rotate_left(first);
        let Some((first, others)) = cycle.split_first() else {
            continue;
        };
        let mut way: Vec<&str> = cycle.iter().map(|edge| name(edge.to)).collect();
        way.push(name(first.to));
        let waits = |edge: &Edge| format!("`{}` waits for `{}`", name(edge.to), name(edge.from));
        let message = format!("these wait for each other: {}", shortened(&way));
        let mut diagnostic = Diagnostic::error(Code::K0401, first.span, message).here(waits(first));
        for edge in others.iter().take(CYCLE_SHOWN_MAX - 1) {
            diagnostic = diagnostic.label(edge.span, waits(edge));
        }
        diagnostics.push(diagnostic.help("remove one of these dependencies"));
    }
}

fn shortened(way: &[&str]) -> String {
    if way.len() <= CYCLE_SHOWN_MAX {
        return way.join(" → ");
    }
    let (head, tail) = (&way[..CYCLE_SHOWN_MAX - 2], &way[way.len() - 2..]);
    format!(
        "{} → … {} more … → {}",
        head.join(" → "),
        way.len() - CYCLE_SHOWN_MAX,
        tail.join(" → ")
    )
}
