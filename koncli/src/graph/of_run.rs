//! The graph of a run, from its objects in the cluster.

use std::collections::{BTreeMap, BTreeSet};

use konductor_api::{
    Arrivals, Barrier, BarrierPhase, ConditionState, Gate, GateMode, Participant, Role, Run,
    Subject, Target, label,
};
use konductor_compiler::Graph;
use konductor_compiler::graph::{Edge, Node, NodeKind};
use kube::ResourceExt;

use super::Drawn;
use crate::view::{Around, State, View, subjects};

/// Draws a run as it stands.
pub(crate) fn of_run(run: &Run, around: &Around, view: &View) -> Drawn {
    let mut builder = Builder {
        run: run.name_any(),
        around,
        drawn: Drawn::default(),
        known: BTreeMap::new(),
        stage_of: BTreeMap::new(),
        edges: BTreeSet::new(),
    };
    builder.drawn.graph.pipeline = run.spec.pipeline.clone();
    builder.stages(view);
    builder.approvals();
    builder.waits();
    let Builder { drawn, edges, .. } = builder;
    let edges = edges
        .into_iter()
        .map(|(to, from, label)| Edge { from, to, label });
    Drawn {
        graph: Graph {
            edges: edges.collect(),
            ..drawn.graph
        },
        states: drawn.states,
    }
}

struct Builder<'a> {
    run: String,
    around: &'a Around,
    drawn: Drawn,
    /// Nodes by what they are called: `stage/x`, `barrier/x`, `gate/x`.
    known: BTreeMap<String, usize>,
    stage_of: BTreeMap<String, usize>,
    /// What waits, what for, and how.
    edges: BTreeSet<(usize, usize, &'static str)>,
}

impl Builder<'_> {
    fn add(&mut self, key: String, node: Node, state: Option<(State, usize)>) -> usize {
        let index = self.drawn.graph.nodes.len();
        self.drawn.graph.nodes.push(node);
        self.drawn.states.push(state);
        self.known.insert(key, index);
        index
    }

    fn stages(&mut self, view: &View) {
        for stage in &view.stages {
            let jobs: Vec<&Participant> = stage
                .items
                .iter()
                .filter_map(|item| {
                    let mut all = self.around.jobs.iter();
                    all.find(|job| job.name_any() == item.job)
                })
                .collect();
            let first = jobs.first();
            let is_finally = first.is_some_and(|job| job.role == Role::Finally);
            let is_fan_out = stage.items.iter().any(|item| item.item.is_some());
            let node = Node {
                name: stage.name.clone(),
                kind: match is_finally {
                    true => NodeKind::Finally,
                    false => NodeKind::Stage,
                },
                items: is_fan_out.then_some(stage.items.len()),
                holding: first
                    .iter()
                    .flat_map(|job| job.holds())
                    .map(|hold| hold.name.clone())
                    .collect(),
            };
            let state = Some((stage.state(), stage.ended()));
            let index = self.add(format!("stage/{}", stage.name), node, state);
            for item in &stage.items {
                self.stage_of.insert(item.job.clone(), index);
            }
        }
    }

    fn approvals(&mut self) {
        let run = self.run.clone();
        let approvals = self.around.barriers.values().filter(|barrier| {
            let is_own = barrier.labels().get(label::RUN) == Some(&run);
            is_own && barrier.spec.arrivals == Arrivals::Verified
        });
        for barrier in approvals {
            let name = barrier.name_any();
            let own = name.strip_prefix(&format!("{}-", self.run));
            let node = Node {
                name: own.unwrap_or(&name).to_owned(),
                kind: NodeKind::Approval,
                items: None,
                holding: Vec::new(),
            };
            let state = Some((approval_state(barrier), 0));
            self.add(format!("barrier/{name}"), node, state);
        }
    }

    fn waits(&mut self) {
        let around = self.around;
        for job in &around.jobs {
            if let (Some(gate), Some(&to)) = (job.gate(), self.stage_of.get(&job.name_any())) {
                self.gate(gate, to, false, &mut BTreeSet::new());
            }
        }
        for barrier in around.barriers.values() {
            let to = self.known.get(&format!("barrier/{}", barrier.name_any()));
            if let (Some(gate), Some(&to)) = (&barrier.spec.gate, to) {
                self.gate(gate, to, false, &mut BTreeSet::new());
            }
        }
    }

    /// What a Gate waits for is what `to` waits for; a Gate behind a Gate is no node of its own.
    fn gate(&mut self, name: &str, to: usize, any: bool, seen: &mut BTreeSet<String>) {
        if !seen.insert(name.to_owned()) {
            return;
        }
        let around = self.around;
        let known = around.gates.get(name);
        let own = known.filter(|gate| gate.labels().get(label::RUN) == Some(&self.run));
        let Some(gate) = own.filter(|gate| !gate.spec.conditions.is_empty()) else {
            let state = known.map(gate_state);
            return self.elsewhere(&format!("gate/{name}"), to, "", state);
        };
        let any = any || gate.spec.mode == GateMode::Any && gate.spec.conditions.len() > 1;
        for (condition, subject) in gate.spec.conditions.iter().zip(subjects(gate)) {
            let label = match condition.state {
                _ if any => "any",
                ConditionState::Failed => "failed",
                ConditionState::Skipped => "skipped",
                ConditionState::Finished => "finished",
                ConditionState::Settled => continue,
                ConditionState::Complete | ConditionState::Open | ConditionState::Succeeded => "",
            };
            self.subject(&subject, to, label, any, seen);
        }
    }

    fn subject(
        &mut self,
        subject: &Subject,
        to: usize,
        label: &'static str,
        any: bool,
        seen: &mut BTreeSet<String>,
    ) {
        let words = subject.to_string();
        match &subject.target {
            _ if subject.is_foreign => self.elsewhere(&words, to, label, None),
            Target::Job(name) => match self.stage_of.get(name) {
                Some(&from) => self.edge(from, to, label),
                None => self.elsewhere(&words, to, label, None),
            },
            Target::Gate(name) => self.gate(name, to, any, seen),
            Target::Barrier { name, .. } => self.barrier(name, to, label),
            Target::Jobs { .. } | Target::Run(_) => self.elsewhere(&words, to, label, None),
            Target::RunOf { pipeline, .. } => {
                self.elsewhere(&format!("run/{pipeline}"), to, label, None);
            }
        }
    }

    fn barrier(&mut self, name: &str, to: usize, label: &'static str) {
        let stage = self.around.barriers.get(name).and_then(|barrier| {
            let jobs = barrier.spec.jobs.as_ref()?;
            let stage = jobs.match_labels.get(label::STAGE)?;
            self.known.get(&format!("stage/{}", stage.0)).copied()
        });
        let known = self.known.get(&format!("barrier/{name}")).copied();
        match stage.or(known) {
            Some(from) => self.edge(from, to, label),
            None => self.elsewhere(&format!("barrier/{name}"), to, label, None),
        }
    }

    fn elsewhere(&mut self, name: &str, to: usize, label: &'static str, state: Option<State>) {
        let known = self.known.get(name).copied();
        let from = known.unwrap_or_else(|| {
            let node = Node {
                name: name.to_owned(),
                kind: NodeKind::External,
                items: None,
                holding: Vec::new(),
            };
            self.add(name.to_owned(), node, state.map(|state| (state, 0)))
        });
        self.edge(from, to, label);
    }

    fn edge(&mut self, from: usize, to: usize, label: &'static str) {
        // Of a stage whose items wait for one another, only what is before it is drawn.
        if from != to {
            self.edges.insert((to, from, label));
        }
    }
}

fn approval_state(barrier: &Barrier) -> State {
    match barrier.status.as_ref().map(|status| status.phase) {
        None | Some(BarrierPhase::Waiting) => State::Waiting,
        Some(BarrierPhase::Open) => State::Succeeded,
        Some(BarrierPhase::Skipped) => State::Skipped,
        Some(BarrierPhase::Unreached) => State::Unreached,
        Some(BarrierPhase::Failed) => State::Failed,
    }
}

fn gate_state(gate: &Gate) -> State {
    use konductor_api::GatePhase;
    match gate.status.as_ref().map(|status| status.phase) {
        None | Some(GatePhase::Waiting) => State::Waiting,
        Some(GatePhase::Open) => State::Succeeded,
        Some(GatePhase::Skipped) => State::Skipped,
        Some(GatePhase::Unreached) => State::Unreached,
        Some(GatePhase::Failed) => State::Failed,
    }
}
