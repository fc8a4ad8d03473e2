//! The dependency graph for people: what `koncli graph` draws.

use crate::eval::Values;
use crate::pipeline::{Outside, Pipeline, State, Target};
use crate::plan::job::Jobs;
use foldhash::{HashMap, HashSet};

/// The stages and approvals of a pipeline, and their dependencies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    /// The pipeline's name.
    pub pipeline: String,
    /// When it runs by itself: the cron expression and the time zone.
    pub schedule: Option<String>,
    /// Stages in source order, then approvals.
    pub nodes: Vec<Node>,
    /// Dependencies, by what waits, in source order.
    pub edges: Vec<Edge>,
}

/// A stage or an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// How many items it has; `None` without `for`, or where a parameter has no value.
    pub items: Option<usize>,
    /// Whether their number is known only at run time.
    pub is_listed: bool,
    /// What it holds while it runs.
    pub holding: Vec<String>,
    /// After how many successes of its items what waits for it can start; `None` if it needs all, or where a parameter
    /// has no value.
    pub quorum: Option<i64>,
    /// Its condition, as it is written on one line.
    pub when: Option<String>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A stage.
    Stage,
    /// A finally stage: it starts when every other has ended.
    Finally,
    /// An approval.
    Approval,
    /// Something in the cluster: a Gate, a Barrier or another pipeline.
    External,
}

/// One node waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What is waited for, by its place in the nodes.
    pub from: usize,
    /// What waits.
    pub to: usize,
    /// The end that is waited for: empty for success, else `failed`, `skipped` or `finished`. Of one of several, the
    /// same behind `any`, such as `any` and `any failed`.
    pub label: &'static str,
}

impl Graph {
    /// Counts the items of each fan-out that a condition on its variables leaves.
    pub(crate) fn count(&mut self, pipeline: &Pipeline, jobs: &Jobs) {
        for (index, stage) in pipeline.stages.iter().enumerate() {
            if stage.is_fan_out() && stage.when.is_some() && jobs.whole(index).is_none() {
                let planned = jobs.list[jobs.of_stage(index)].iter();
                self.nodes[index].items = Some(planned.filter(|job| job.skipped.is_none()).count());
            }
        }
    }
}

/// The graph of a pipeline.
pub(crate) fn of(pipeline: &Pipeline) -> Graph {
    let stages = pipeline.stages.iter().map(|stage| Node {
        name: stage.name.text.clone(),
        kind: if stage.finally {
            NodeKind::Finally
        } else {
            NodeKind::Stage
        },
        items: stage
            .items
            .as_ref()
            .filter(|_| stage.is_fan_out())
            .map(Vec::len),
        is_listed: stage.list.is_some(),
        holding: stage
            .holding
            .iter()
            .map(|hold| pipeline.ledgers[hold.ledger].name.text.clone())
            .collect(),
        quorum: Values::of(pipeline).int(&stage.quorum),
        when: stage.when.as_ref().map(|when| when.text.to_string()),
    });
    let approvals = pipeline.approvals.iter().map(|approval| Node {
        name: approval.name.text.clone(),
        kind: NodeKind::Approval,
        items: None,
        is_listed: false,
        holding: Vec::new(),
        quorum: None,
        when: approval.when.as_ref().map(|when| when.text.to_string()),
    });
    let mut builder = Builder {
        stages: pipeline.stages.len(),
        graph: Graph {
            pipeline: pipeline.name.text.clone(),
            schedule: pipeline.schedule.as_ref().map(|schedule| {
                let zone = schedule.time_zone.as_deref().unwrap_or("UTC");
                format!("{} {zone}", schedule.cron)
            }),
            nodes: stages.chain(approvals).collect(),
            edges: Vec::new(),
        },
        edges: HashSet::default(),
        external: HashMap::default(),
    };
    let waits = pipeline.stages.iter().map(|stage| &stage.after);
    let waits = waits.chain(pipeline.approvals.iter().map(|approval| &approval.after));
    for (to, after) in waits.enumerate() {
        builder.edges.clear();
        for dependency in after {
            builder.add(&dependency.target, to, label(dependency.state));
        }
    }
    builder.graph
}

fn label(state: State) -> &'static str {
    match state {
        State::Succeeded => "",
        State::Failed | State::Skipped | State::Finished => state.word(),
    }
}

/// The same, where one of several is enough.
fn label_of_any(state: State) -> &'static str {
    match state {
        State::Succeeded => "any",
        State::Failed => "any failed",
        State::Skipped => "any skipped",
        State::Finished => "any finished",
    }
}

struct Builder {
    /// How many nodes are stages.
    stages: usize,
    graph: Graph,
    /// The edges of the node at hand: what is waited for, and how.
    edges: HashSet<(usize, &'static str)>,
    /// The nodes of what is in the cluster.
    external: HashMap<String, usize>,
}

impl Builder {
    fn add(&mut self, target: &Target, to: usize, label: &'static str) {
        let from = match target {
            Target::Stage { stage, .. } => *stage,
            Target::Approval(approval) => self.stages + approval,
            Target::Any(parts) => {
                for part in parts {
                    self.add(&part.target, to, label_of_any(part.state));
                }
                return;
            }
            Target::Outside(Outside::Pipeline {
                namespace, name, ..
            }) => self.external("pipeline", namespace, name),
            Target::Outside(Outside::Gate { namespace, name }) => {
                self.external("gate", namespace, name)
            }
            Target::Outside(Outside::Barrier { namespace, name }) => {
                self.external("barrier", namespace, name)
            }
        };
        if self.edges.insert((from, label)) {
            self.graph.edges.push(Edge { from, to, label });
        }
    }

    fn external(&mut self, kind: &str, namespace: &Option<String>, name: &str) -> usize {
        let name = match namespace {
            Some(namespace) => format!("{kind} {namespace}/{name}"),
            None => format!("{kind} {name}"),
        };
        let nodes = &mut self.graph.nodes;
        *self.external.entry(name.clone()).or_insert_with(|| {
            nodes.push(Node {
                name,
                kind: NodeKind::External,
                items: None,
                is_listed: false,
                holding: Vec::new(),
                quorum: None,
                when: None,
            });
            nodes.len() - 1
        })
    }
}
