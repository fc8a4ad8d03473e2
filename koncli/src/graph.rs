//! The dependency graph, as a table, Mermaid, Graphviz, a picture or a document for programs.
//!
//! What enters: the graph of a pipeline, or a run as it is in the cluster. What leaves: text. What must
//! never happen here: a state that only its colour shows.

mod document;
mod layout;
mod of_run;
mod svg;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::SignedDuration;
use konductor_compiler::Graph;
use konductor_compiler::graph::{Node, NodeKind};
use konductor_operator::standing::State;

use crate::output;
use crate::output::width::{NAME_MIN, narrowed, shortened, width, wrapped};

pub(crate) use document::document;
pub(crate) use of_run::of_run;
pub(crate) use svg::{section, svg};

/// A graph, and where each of its nodes stands, if that is of a run.
#[derive(Debug, Default)]
pub(crate) struct Drawn {
    pub(crate) graph: Graph,
    /// The run's name and phase, if it is of one.
    pub(crate) run: Option<(String, String)>,
    /// By node: its state, and how many of its items have ended.
    pub(crate) states: Vec<Option<(State, usize)>>,
    /// By node: how long it has been running, or ran; shown in pictures.
    pub(crate) durations: Vec<Option<SignedDuration>>,
}

impl Drawn {
    /// A pipeline that is not running.
    pub(crate) fn of_file(graph: Graph) -> Self {
        Self {
            run: None,
            states: vec![None; graph.nodes.len()],
            durations: vec![None; graph.nodes.len()],
            graph,
        }
    }

    fn is_of_run(&self) -> bool {
        self.states.iter().any(Option::is_some)
    }

    /// What a node's state is called, such as `● running 1/3`.
    fn state(&self, index: usize) -> Option<String> {
        let (state, ended) = self.states[index]?;
        let node = &self.graph.nodes[index];
        // One Job is all of them.
        let items = node.items.filter(|_| !node.is_listed);
        let items = items.map_or_else(String::new, |all| format!(" {ended}/{all}"));
        Some(format!("{} {}{items}", state.mark(), state.word()))
    }
}

/// The colours of a state: of the face, and of the edge.
fn colors(state: Option<State>) -> (&'static str, &'static str) {
    match state {
        None => ("#f6f8fa", "#57606a"),
        Some(State::Failed) => ("#ffe2e0", "#cf222e"),
        Some(State::Running) => ("#dbeafe", "#0969da"),
        Some(State::Pending | State::Suspended | State::Paused) => ("#fff1c9", "#9a6700"),
        Some(State::Queued) => ("#fff8e1", "#bf8700"),
        Some(State::Waiting) => ("#ffffff", "#57606a"),
        Some(State::Cancelled | State::Unreached) => ("#f3e8e2", "#8a5a44"),
        Some(State::Skipped) => ("#eaeef2", "#6e7781"),
        Some(State::Succeeded) => ("#dcf5e1", "#1a7f37"),
    }
}

/// When it runs by itself, and a table in an order in which the nodes could run, for so many columns if there is a
/// limit.
pub(crate) fn text(drawn: &Drawn, columns: Option<usize>) -> String {
    let table = table(drawn, columns);
    let Some(schedule) = &drawn.graph.schedule else {
        return table;
    };
    let line = format!("schedule: {schedule}");
    let lines = match columns {
        Some(columns) => wrapped(&line, columns),
        None => vec![line],
    };
    format!("{}\n\n{table}", lines.join("\n"))
}

fn table(drawn: &Drawn, columns: Option<usize>) -> String {
    let graph = &drawn.graph;
    let mut waits = waits(graph);
    let has_when = graph.nodes.iter().any(|node| node.when.is_some());
    let rows = in_order(graph).into_iter().map(|index| {
        let node = &graph.nodes[index];
        let after = std::mem::take(&mut waits[index]);
        let mut row = vec![title(node)];
        if drawn.is_of_run() {
            row.push(drawn.state(index).unwrap_or_default());
        }
        row.push(after.join(", "));
        if has_when {
            row.push(node.when.clone().unwrap_or_default());
        }
        row.push(node.holding.join(", "));
        row
    });
    let headers = [
        ("STAGE", true),
        ("STATE", drawn.is_of_run()),
        ("AFTER", true),
        ("WHEN", has_when),
        ("HOLDING", true),
    ];
    let headers = headers.iter().filter(|(_, is_shown)| *is_shown);
    let headers: Vec<&str> = headers.map(|(header, _)| *header).collect();
    let rows: Vec<Vec<String>> = rows.collect();
    match columns {
        Some(columns) => output::table(&headers, &folded(&headers, &rows, columns), false),
        None => output::table(&headers, &rows, false),
    }
}

/// The rows of a table for so many columns: names are shortened, and what a cell lists continues in the next line.
fn folded(headers: &[&str], rows: &[Vec<String>], columns: usize) -> Vec<Vec<String>> {
    let cells = |column: usize| rows.iter().map(move |row| row[column].as_str());
    let widest = |column: usize| cells(column).map(width).max().unwrap_or(0);
    let longest = |column: usize| {
        let words = cells(column).flat_map(|cell| cell.split(' ').map(width));
        words.max().unwrap_or(0)
    };
    let own = |column: usize, header: &str| widest(column).max(width(header));
    let share = (columns / headers.len().max(1)).saturating_sub(2).max(8);
    // First lists are broken, then names are shortened; last, words of lists are broken.
    let least = |is_last: bool, keeps_names: bool| -> Vec<usize> {
        let all = headers.iter().enumerate();
        all.map(|(column, header)| match *header {
            "STATE" => own(column, header),
            "STAGE" if keeps_names => own(column, header),
            "STAGE" => own(column, header).min(NAME_MIN),
            _ if is_last => longest(column).max(width(header)).min(share),
            _ => longest(column).max(width(header)),
        })
        .collect()
    };
    let all = headers.iter().enumerate();
    let mut widths: Vec<usize> = all.map(|(column, header)| own(column, header)).collect();
    for (is_last, keeps_names) in [(false, true), (false, false), (true, false)] {
        widths = narrowed(&widths, &least(is_last, keeps_names), columns);
    }
    let titles: Vec<&str> = cells(0).collect();
    let titles = shortened(&titles, widths.first().copied().unwrap_or(0));
    let mut all = Vec::new();
    for (row, title) in rows.iter().zip(titles) {
        let others = row.iter().zip(&widths).skip(1);
        let others = others.map(|(cell, columns)| wrapped(cell, *columns));
        let cells: Vec<Vec<String>> = std::iter::once(vec![title]).chain(others).collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(0);
        all.extend((0..lines).map(|line| -> Vec<String> {
            let cells = cells.iter();
            cells
                .map(|cell| cell.get(line).cloned().unwrap_or_default())
                .collect()
        }));
    }
    all
}

/// What each node waits for, as the language writes it.
fn waits(graph: &Graph) -> Vec<Vec<String>> {
    let mut waits = vec![Vec::new(); graph.nodes.len()];
    let mut any = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        let (list, end) = match edge.label.strip_prefix("any") {
            Some(end) => (&mut any, end.trim_start()),
            None => (&mut waits, edge.label),
        };
        let name = &graph.nodes[edge.from].name;
        list[edge.to].push(match end {
            "" => name.clone(),
            end => format!("{name}.{end}"),
        });
    }
    for (waits, any) in waits.iter_mut().zip(any) {
        match any.as_slice() {
            [] => {}
            [name] => waits.push(name.clone()),
            any => waits.push(format!("any({})", any.join(", "))),
        }
    }
    waits
}

/// Under what condition a node runs, and what it holds: lines of their own in a picture.
fn details(node: &Node) -> impl Iterator<Item = String> + use<> {
    let when = node.when.as_ref().map(|when| format!("when {when}"));
    let is_empty = node.holding.is_empty();
    let holds = (!is_empty).then(|| format!("holds {}", node.holding.join(", ")));
    when.into_iter().chain(holds)
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
    let mut ready: BTreeSet<(bool, usize)> = (0..graph.nodes.len())
        .filter(|index| missing[*index] == 0)
        .map(|index| last(&index))
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
    let items = match (node.items, node.is_listed) {
        (Some(items), _) => match node.quorum {
            Some(quorum) => format!(" [{items}, quorum {quorum}]"),
            None => format!(" [{items}]"),
        },
        (None, true) => " [n at run time]".to_owned(),
        (None, false) => String::new(),
    };
    let kind = match node.kind {
        NodeKind::Stage => "",
        NodeKind::Finally => " (finally)",
        NodeKind::Approval => " (approval)",
        NodeKind::External => " (elsewhere)",
    };
    format!("{}{items}{kind}", node.name)
}

/// A flowchart for Markdown.
pub(crate) fn mermaid(drawn: &Drawn) -> String {
    let graph = &drawn.graph;
    let mut text = "flowchart LR\n".to_owned();
    if let Some(schedule) = &graph.schedule {
        let _ = writeln!(text, "  schedule([\"schedule {schedule}\"])");
    }
    let escaped = |text: &str| {
        let text = text.replace('&', "#amp;").replace('"', "#quot;");
        text.replace('<', "#lt;").replace('>', "#gt;")
    };
    for (index, node) in graph.nodes.iter().enumerate() {
        let mut title = escaped(&title(node));
        for line in details(node).chain(drawn.state(index)) {
            title = format!("{title}<br/>{}", escaped(&line));
        }
        let shape = match node.kind {
            NodeKind::Stage => format!("[\"{title}\"]"),
            NodeKind::Finally => format!("[/\"{title}\"/]"),
            NodeKind::Approval => format!("{{{{\"{title}\"}}}}"),
            NodeKind::External => format!("([\"{title}\"])"),
        };
        let class = drawn.states[index].map(|(state, _)| format!(":::{}", state.word()));
        let _ = writeln!(text, "  n{index}{shape}{}", class.unwrap_or_default());
    }
    for edge in &graph.edges {
        let label = if edge.label.is_empty() {
            String::new()
        } else {
            format!("|{}|", edge.label)
        };
        let _ = writeln!(text, "  n{} -->{label} n{}", edge.from, edge.to);
    }
    let states: BTreeSet<State> = drawn
        .states
        .iter()
        .flatten()
        .map(|(state, _)| *state)
        .collect();
    for state in states {
        let (face, edge) = colors(Some(state));
        let word = state.word();
        let _ = writeln!(
            text,
            "  classDef {word} fill:{face},stroke:{edge},color:#1f2328"
        );
    }
    text
}

/// For Graphviz.
pub(crate) fn dot(drawn: &Drawn) -> String {
    let graph = &drawn.graph;
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let mut text = format!(
        "digraph \"{}\" {{\n  rankdir=LR;\n",
        quoted(&graph.pipeline)
    );
    if let Some(schedule) = &graph.schedule {
        let schedule = quoted(schedule);
        let _ = writeln!(
            text,
            "  schedule [label=\"schedule {schedule}\", shape=ellipse];"
        );
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let shape = match node.kind {
            NodeKind::Stage => "box",
            NodeKind::Finally => "parallelogram",
            NodeKind::Approval => "hexagon",
            NodeKind::External => "ellipse",
        };
        let mut title = quoted(&title(node));
        for line in details(node) {
            title = format!("{title}\\n{}", quoted(&line));
        }
        let (title, style) = match drawn.state(index) {
            None => (title, String::new()),
            Some(state) => {
                let (face, edge) = colors(drawn.states[index].map(|(state, _)| state));
                let style = format!(", style=filled, fillcolor=\"{face}\", color=\"{edge}\"");
                (format!("{title}\\n{state}"), style)
            }
        };
        let _ = writeln!(
            text,
            "  n{index} [label=\"{title}\", shape={shape}{style}];"
        );
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

#[cfg(test)]
mod tests;
