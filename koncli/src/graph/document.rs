//! A graph for programs.

use konductor_compiler::graph::NodeKind;
use konductor_operator::standing::State;
use serde::Serialize;

use super::Drawn;

/// A graph as `-o json` writes it. `docs/output.md` lists its fields.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'a> {
    pipeline: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
    nodes: Vec<Node<'a>>,
    edges: Vec<Edge<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    name: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    items: Option<usize>,
    /// Whether another stage writes the list of its items.
    listed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    quorum: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    holding: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<i64>,
}

#[derive(Debug, Serialize)]
struct Edge<'a> {
    from: &'a str,
    to: &'a str,
    end: &'static str,
    any: bool,
}

/// Returns what the drawings have, with names in place of marks.
pub(crate) fn document(drawn: &Drawn) -> Document<'_> {
    let graph = &drawn.graph;
    let (run, phase) = drawn
        .run
        .as_ref()
        .map(|(run, phase)| (&**run, &**phase))
        .unzip();
    // No time zone has a blank in its name.
    let schedule = graph.schedule.as_deref();
    let (schedule, time_zone) = schedule.and_then(|text| text.rsplit_once(' ')).unzip();
    let nodes = graph.nodes.iter().enumerate().map(|(index, node)| {
        let state = drawn.states[index];
        Node {
            name: &node.name,
            kind: match node.kind {
                NodeKind::Stage => "stage",
                NodeKind::Finally => "finally",
                NodeKind::Approval => "approval",
                NodeKind::External => "elsewhere",
            },
            items: node.items,
            listed: node.is_listed,
            quorum: node.quorum,
            when: node.when.as_deref(),
            holding: &node.holding,
            state: state.map(|(state, _)| state),
            // One Job is all items of a list.
            ended: state
                .filter(|_| node.items.is_some() && !node.is_listed)
                .map(|(_, ended)| ended),
            seconds: drawn.durations[index].map(|length| length.as_secs()),
        }
    });
    let edges = graph.edges.iter().map(|edge| {
        let any = edge.label.strip_prefix("any").map(str::trim_start);
        Edge {
            from: &graph.nodes[edge.from].name,
            to: &graph.nodes[edge.to].name,
            end: match any.unwrap_or(edge.label) {
                "" => "succeeded",
                end => end,
            },
            any: any.is_some(),
        }
    });
    Document {
        pipeline: &graph.pipeline,
        run,
        phase,
        schedule,
        time_zone,
        nodes: nodes.collect(),
        edges: edges.collect(),
    }
}
