//! `koncli graph`: who waits for whom, as text, Mermaid or DOT.

use std::fmt::Write as _;

use konductor_compiler::Graph;
use konductor_compiler::graph::{Node, NodeKind};

use crate::arguments::{Drawing, GraphSelection};
use crate::exit::{Failure, USAGE};
use crate::{diagnostics, load, output};

/// Draws a pipeline file.
pub(crate) fn graph(selection: &GraphSelection) -> Result<(), Failure> {
    let compiled = load::checked(&selection.file, &selection.params)?;
    diagnostics::tell(&compiled);
    let Some(graph) = compiled.graph.as_ref().filter(|_| !compiled.has_errors()) else {
        return Err(Failure::silent(USAGE));
    };
    output::data(&match selection.drawing {
        Drawing::Text => text(graph),
        Drawing::Mermaid => mermaid(graph),
        Drawing::Dot => dot(graph),
    });
    Ok(())
}

/// A table in an order in which they could run.
fn text(graph: &Graph) -> String {
    let rows = in_order(graph).into_iter().map(|index| {
        let node = &graph.nodes[index];
        let after = graph
            .edges
            .iter()
            .filter(|edge| edge.to == index)
            .map(|edge| {
                let name = &graph.nodes[edge.from].name;
                match edge.label {
                    "" => name.clone(),
                    label => format!("{name}.{label}"),
                }
            });
        let after: Vec<String> = after.collect();
        vec![title(node), after.join(", "), node.holding.join(", ")]
    });
    output::table(
        &["STAGE", "AFTER", "HOLDING"],
        &rows.collect::<Vec<_>>(),
        false,
    )
}

/// Every node after what it waits for, else as in the file; finally stages last. There are no
/// cycles: those are errors.
fn in_order(graph: &Graph) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    let mut missing = vec![0_usize; graph.nodes.len()];
    let mut dependants = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        missing[edge.to] += 1;
        dependants[edge.from].push(edge.to);
    }
    let last = |index: &usize| (graph.nodes[*index].kind == NodeKind::Finally, *index);
    let mut ready: std::collections::BTreeSet<(bool, usize)> = (0..graph.nodes.len())
        .filter(|index| missing[*index] == 0)
        .map(|one| last(&one))
        .collect();
    while let Some((_, index)) = ready.pop_first() {
        order.push(index);
        for dependant in &dependants[index] {
            missing[*dependant] -= 1;
            if missing[*dependant] == 0 {
                ready.insert(last(dependant));
            }
        }
    }
    order
}

fn title(node: &Node) -> String {
    let items = node
        .items
        .map(|items| format!(" [{items}]"))
        .unwrap_or_default();
    let kind = match node.kind {
        NodeKind::Stage => "",
        NodeKind::Finally => " (finally)",
        NodeKind::Approval => " (approval)",
        NodeKind::External => " (elsewhere)",
    };
    format!("{}{items}{kind}", node.name)
}

fn mermaid(graph: &Graph) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (index, node) in graph.nodes.iter().enumerate() {
        let title = title(node).replace('"', "#quot;");
        let shape = match node.kind {
            NodeKind::Stage => format!("[\"{title}\"]"),
            NodeKind::Finally => format!("[/\"{title}\"/]"),
            NodeKind::Approval => format!("{{{{\"{title}\"}}}}"),
            NodeKind::External => format!("([\"{title}\"])"),
        };
        let _ = writeln!(text, "  n{index}{shape}");
    }
    for edge in &graph.edges {
        let label = if edge.label.is_empty() {
            String::new()
        } else {
            format!("|{}|", edge.label)
        };
        let _ = writeln!(text, "  n{} -->{label} n{}", edge.from, edge.to);
    }
    text
}

fn dot(graph: &Graph) -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "digraph \"{}\" {{\n  rankdir=LR;\n",
        quoted(&graph.pipeline)
    );
    for (index, node) in graph.nodes.iter().enumerate() {
        let shape = match node.kind {
            NodeKind::Stage => "box",
            NodeKind::Finally => "parallelogram",
            NodeKind::Approval => "hexagon",
            NodeKind::External => "ellipse",
        };
        let title = quoted(&title(node));
        let _ = writeln!(text, "  n{index} [label=\"{title}\", shape={shape}];");
    }
    for edge in &graph.edges {
        let label = if edge.label.is_empty() {
            String::new()
        } else {
            format!(" [label=\"{}\"]", edge.label)
        };
        let _ = writeln!(text, "  n{} -> n{}{label};", edge.from, edge.to);
    }
    text.push_str("}\n");
    text
}
