//! What the pipeline becomes: its DAG, and from it the Jobs, Gates and Barriers of one run.
//!
//! What enters: a resolved pipeline. What leaves: a [`Plan`] that refers to the pipeline by index.
//! What must never happen here: text of YAML, and a result that depends on hash order.

pub(crate) mod condition;
mod gate;
pub(crate) mod group;
pub(crate) mod job;
pub(crate) mod skip;
pub(crate) mod varies;

use std::collections::hash_map::Entry;

use foldhash::{HashMap, HashSet};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::EdgeRef;

use konductor_dsl::Span;

use crate::limits::{CYCLE_VISITS_MAX, REDUCTION_VISITS_MAX};
use crate::pipeline::{Dependency, Pipeline, State, Target, Term};
use condition::Gates;
use job::Jobs;
use skip::Skips;

/// A run as it is planned: all that lowering reads.
#[derive(Debug)]
pub(crate) struct Planned {
    pub pipeline: Pipeline,
    pub plan: Plan,
    pub namespace: Option<String>,
    /// The time of the schedule's slot that the run is for.
    pub slot: Option<String>,
    /// What makes the Run adopt its objects where kubectl creates them.
    pub nonce: String,
    /// The image of `koncli`, which the wrapper of a command is copied from.
    pub koncli_image: String,
}

/// Everything that one run is made of.
#[derive(Debug)]
pub(crate) struct Plan {
    pub run: String,
    pub jobs: Jobs,
    pub gates: Gates,
    /// For each stage, whether a Barrier stands for it.
    pub stage_barriers: Vec<bool>,
    /// For each group of items, whether a Barrier stands for it.
    pub group_barriers: Vec<bool>,
    /// For each approval, whether it is asked for, and the Gate that it counts from.
    pub approvals: Vec<ApprovalPlan>,
}

/// Plans a run of a pipeline that has no errors.
pub(crate) fn plan(pipeline: &Pipeline, dag: &Dag, run: &str, jobs: Jobs, skips: &Skips) -> Plan {
    gate::plan_gates(pipeline, dag, run, jobs, skips)
}

/// An approval of this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ApprovalPlan {
    /// It is known before the run that nobody is asked: there is no Barrier.
    pub skipped: bool,
    pub gate: Option<usize>,
}

/// A stage or an approval: stages come first.
pub(crate) type Node = usize;

/// One "comes after" between two nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// What is waited for.
    pub from: Node,
    /// What waits.
    pub to: Node,
    /// Where that is written.
    pub span: Span,
    /// The whole of `from` must have ended, unconditionally.
    pub whole: bool,
    /// And it must have succeeded: such edges may be reduced.
    pub plain: bool,
}

/// The dependency graph.
#[derive(Debug)]
pub(crate) struct Dag {
    /// Edges by what waits, in source order. Edges of a node to itself are left out.
    incoming: Vec<Vec<Edge>>,
    /// Groups that wait for each other: without a cycle, each node is a group of its own.
    tangles: Vec<Vec<Node>>,
    /// The longest way from a node that waits for nothing.
    level: Vec<u32>,
}

impl Dag {
    /// Builds the graph and orders it.
    pub(crate) fn of(pipeline: &Pipeline) -> Self {
        let stages = pipeline.stages.len();
        let waits = pipeline
            .stages
            .iter()
            .map(|stage| &stage.after)
            .chain(pipeline.approvals.iter().map(|approval| &approval.after));
        let mut incoming: Vec<Vec<Edge>> = Vec::with_capacity(stages + pipeline.approvals.len());
        for (to, after) in waits.enumerate() {
            let mut edges = Vec::new();
            for dependency in after {
                collect_edges(dependency, to, stages, true, &mut edges);
            }
            incoming.push(edges);
        }
        let mut graph: DiGraph<(), ()> = DiGraph::with_capacity(incoming.len(), incoming.len() * 3);
        for _ in 0..incoming.len() {
            graph.add_node(());
        }
        for edge in incoming.iter().flatten() {
            graph.add_edge(NodeIndex::new(edge.to), NodeIndex::new(edge.from), ());
        }
        // Edges point to what is waited for, so the order of components is the order of running.
        let tangles: Vec<Vec<Node>> = kosaraju_scc(&graph)
            .into_iter()
            .map(|tangle| tangle.into_iter().map(NodeIndex::index).collect())
            .collect();
        let mut level = vec![0; incoming.len()];
        for node in tangles.iter().flatten() {
            let before = graph
                .edges(NodeIndex::new(*node))
                .map(|edge| edge.target().index());
            level[*node] = before.map(|from| level[from] + 1).max().unwrap_or(0);
        }
        Self {
            incoming,
            tangles,
            level,
        }
    }

    /// Every node after those that it waits for.
    pub(crate) fn order(&self) -> impl Iterator<Item = Node> + '_ {
        self.tangles.iter().flatten().copied()
    }

    /// Every edge between two nodes, by what waits, in source order.
    pub(crate) fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.incoming.iter().flatten()
    }

    /// Whether one node surely has ended before another starts. Takes from `visits` what it needs;
    /// where nothing is left the answer is yes.
    pub(crate) fn is_before(&self, first: Node, second: Node, visits: &mut usize) -> bool {
        let mut seen = HashSet::default();
        let mut open = vec![second];
        while let Some(node) = open.pop() {
            if node == first || *visits == 0 {
                return true;
            }
            *visits -= 1;
            let before = self.incoming[node].iter().filter(|edge| edge.whole);
            let before = before.filter(|edge| self.level[edge.from] >= self.level[first]);
            open.extend(
                before
                    .map(|edge| edge.from)
                    .filter(|from| seen.insert(*from)),
            );
        }
        false
    }

    /// The shortest cycle of each group of nodes that wait for each other, as its edges: each edge's
    /// `from` is the next one's `to`.
    pub(crate) fn cycles(&self) -> Vec<Vec<Edge>> {
        let mut visits = CYCLE_VISITS_MAX;
        let mut member = vec![usize::MAX; self.incoming.len()];
        let mut cycles = Vec::new();
        for (group, tangle) in self.tangles.iter().enumerate().filter(|(_, t)| t.len() > 1) {
            for node in tangle {
                member[*node] = group;
            }
            let mut starts = tangle.clone();
            starts.sort_unstable();
            let mut shortest: Option<Vec<Edge>> = None;
            for start in starts {
                let bound = shortest.as_ref().map_or(usize::MAX, Vec::len);
                let cycle = self.cycle_through(start, group, &member, bound, &mut visits);
                shortest = cycle.or(shortest);
                if visits == 0 && shortest.is_some() {
                    break;
                }
            }
            cycles.extend(shortest);
        }
        cycles
    }

    /// The shortest cycle through a node, where it is shorter than `bound` edges. Breadth first;
    /// takes from `visits` what it needs, but the first search of a group always ends.
    fn cycle_through(
        &self,
        start: Node,
        group: usize,
        member: &[usize],
        bound: usize,
        visits: &mut usize,
    ) -> Option<Vec<Edge>> {
        let mut reached: HashMap<Node, Edge> = HashMap::default();
        let mut frontier = vec![start];
        let mut length = 0;
        while !frontier.is_empty() && length + 1 < bound {
            length += 1;
            let mut next = Vec::new();
            for node in frontier {
                *visits = visits.saturating_sub(1);
                for edge in self.incoming[node]
                    .iter()
                    .filter(|edge| member[edge.from] == group)
                {
                    if edge.from == start {
                        return Some(way_back(&reached, *edge, start));
                    }
                    if let Entry::Vacant(entry) = reached.entry(edge.from) {
                        entry.insert(*edge);
                        next.push(edge.from);
                    }
                }
            }
            frontier = next;
        }
        None
    }

    /// For each node, the nodes whose whole success it must wait for by itself: those it does not
    /// wait for through another. `through` says whether a node is passed through: one that is
    /// skipped before the run says nothing about what is before it.
    pub(crate) fn reduced(&self, through: impl Fn(Node) -> bool) -> Vec<Vec<Node>> {
        let mut reduced: Vec<Vec<Node>> = vec![Vec::new(); self.incoming.len()];
        let mut seen = vec![usize::MAX; self.incoming.len()];
        for node in self.tangles.iter().flatten().copied() {
            let mut direct: Vec<Node> = self.incoming[node]
                .iter()
                .filter(|edge| edge.plain)
                .map(|edge| edge.from)
                .collect();
            direct.sort_unstable();
            direct.dedup();
            if direct.len() > 1 {
                self.mark_before(node, &direct, &reduced, &through, &mut seen);
                direct.retain(|from| seen[*from] != node);
            }
            reduced[node] = direct;
        }
        reduced
    }

    /// Marks in `seen` what the direct dependencies themselves wait for.
    fn mark_before(
        &self,
        node: Node,
        direct: &[Node],
        reduced: &[Vec<Node>],
        through: &impl Fn(Node) -> bool,
        seen: &mut [usize],
    ) {
        let lowest = direct
            .iter()
            .map(|from| self.level[*from])
            .min()
            .unwrap_or(0);
        let mut stack: Vec<Node> = direct.to_vec();
        let mut visits = REDUCTION_VISITS_MAX;
        while let Some(at) = stack.pop() {
            if self.level[at] <= lowest || !through(at) {
                continue;
            }
            for before in &reduced[at] {
                if visits == 0 {
                    return;
                }
                visits -= 1;
                if seen[*before] != node {
                    seen[*before] = node;
                    stack.push(*before);
                }
            }
        }
    }
}

fn way_back(reached: &HashMap<Node, Edge>, last: Edge, start: Node) -> Vec<Edge> {
    let mut edges = vec![last];
    let mut at = last.to;
    while at != start {
        let Some(edge) = reached.get(&at) else { break };
        edges.push(*edge);
        at = edge.to;
    }
    edges.reverse();
    edges
}

fn collect_edges(
    dependency: &Dependency,
    to: Node,
    stages: usize,
    unconditional: bool,
    edges: &mut Vec<Edge>,
) {
    let (from, whole) = match &dependency.target {
        Target::Stage { stage, address } => {
            let whole = address.as_deref().is_none_or(Term::are_every);
            (*stage, whole)
        }
        Target::Approval(approval) => (stages + approval, true),
        Target::Any(parts) => {
            parts
                .iter()
                .for_each(|part| collect_edges(part, to, stages, false, edges));
            return;
        }
        Target::Outside(_) => return,
    };
    if from != to {
        let whole = whole && unconditional;
        // With a quorum, all items are more than the stage.
        let is_plain = !matches!(
            &dependency.target,
            Target::Stage {
                address: Some(_),
                ..
            }
        );
        let plain = whole && is_plain && dependency.state == State::Succeeded;
        edges.push(Edge {
            from,
            to,
            span: dependency.span,
            whole,
            plain,
        });
    }
}
