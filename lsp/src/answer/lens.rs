//! Code lenses: the items, neighbours and holds of each stage. Hovers show them, too.

use std::collections::HashMap;

use gen_lsp_types::{CodeLens, Command};
use konductor_compiler::Graph;

use crate::analysis::Analysis;
use crate::names::Kind;

/// How many neighbours are named.
const SHOWN_MAX: usize = 5;

/// One line above each stage.
pub(crate) fn all(analysis: &Analysis) -> Vec<CodeLens> {
    let Some(facts) = Facts::of(analysis) else {
        return Vec::new();
    };
    let stages = analysis.names.of_kind(Kind::Stage);
    let stages = stages.filter(|(_, symbol)| symbol.declared.source.0 == 0);
    let lenses = stages.filter_map(|(_, symbol)| {
        let facts = facts.about(&symbol.name);
        (!facts.is_empty()).then(|| CodeLens {
            range: analysis.range(symbol.declared),
            command: Some(Command {
                title: facts.join(" · "),
                tooltip: None,
                // Nothing happens on a click.
                command: String::new(),
                arguments: None,
            }),
            data: None,
        })
    });
    lenses.collect()
}

/// The stages and approvals of a pipeline by name, with their neighbours.
pub(crate) struct Facts<'g> {
    graph: &'g Graph,
    nodes: HashMap<&'g str, usize>,
    before: HashMap<usize, Vec<usize>>,
    behind: HashMap<usize, Vec<usize>>,
}

impl<'g> Facts<'g> {
    /// `None` if the file is too broken for a graph.
    pub(crate) fn of(analysis: &'g Analysis) -> Option<Self> {
        let graph = analysis.compiled.graph.as_ref()?;
        let nodes = graph.nodes.iter().enumerate();
        let mut facts = Self {
            graph,
            nodes: nodes.map(|(at, node)| (node.name.as_str(), at)).collect(),
            before: HashMap::new(),
            behind: HashMap::new(),
        };
        for edge in &graph.edges {
            facts.before.entry(edge.to).or_default().push(edge.from);
            facts.behind.entry(edge.from).or_default().push(edge.to);
        }
        Some(facts)
    }

    /// How many items it has, what it waits for, what waits for it, and what it holds.
    pub(crate) fn about(&self, name: &str) -> Vec<String> {
        let Some((at, node)) = self
            .nodes
            .get(name)
            .and_then(|at| Some((at, self.graph.nodes.get(*at)?)))
        else {
            return Vec::new();
        };
        let mut facts = Vec::new();
        match node.items {
            Some(1) => facts.push("1 item".to_owned()),
            Some(items) => facts.push(format!("{items} items")),
            None => {}
        }
        let words = [("runs after", &self.before), ("runs before", &self.behind)];
        for (words, neighbours) in words {
            if let Some(neighbours) = neighbours.get(at) {
                facts.push(format!("{words} {}", self.names(neighbours)));
            }
        }
        if !node.holding.is_empty() {
            facts.push(format!("holds {}", node.holding.join(", ")));
        }
        facts
    }

    /// The names of the first few nodes.
    fn names(&self, nodes: &[usize]) -> String {
        let names = nodes.iter().filter_map(|node| self.graph.nodes.get(*node));
        let mut names: Vec<&str> = names.map(|node| node.name.as_str()).collect();
        names.dedup();
        let shown = names.get(..SHOWN_MAX.min(names.len())).unwrap_or_default();
        match names.len() - shown.len() {
            0 => shown.join(", "),
            more => format!("{} and {more} more", shown.join(", ")),
        }
    }
}
