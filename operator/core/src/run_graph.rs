//! What waits for what in a Run: one graph, for its retry, its order, its picture and what keeps a stage.
//!
//! What enters: the Jobs, Gates and Barriers of a Run, and those of others that they name. What leaves: for each
//! object the [`Link`]s to what it waits for, and the [`Overview`] of stages. What must never happen here: two readers
//! that disagree about what an object waits for.

mod overview;

use std::collections::{BTreeMap, BTreeSet};

use konductor_api::{
    Barrier, ConditionState, ConditionStatus, Gate, GateCondition, Input, Participant, Subject,
    Target, Verdict, label,
};

use crate::outcome::{End, barrier_end, gate_end, job_end};

pub use overview::{Edge, Overview, Place, natural};

/// Something that waits, or is waited for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A Job.
    Job(String),
    /// All Jobs with these labels.
    Jobs(BTreeMap<String, String>),
    /// A Gate.
    Gate(String),
    /// A Barrier.
    Barrier(String),
    /// The Run itself.
    Run,
    /// Another run, or an object of another namespace, as people name it.
    Elsewhere(String),
}

/// One thing waits for another.
#[derive(Clone, Debug)]
pub struct Link<'a> {
    /// What is waited for.
    pub before: Node,
    /// How.
    pub how: How<'a>,
}

/// How one thing waits for another.
#[derive(Clone, Copy, Debug)]
pub enum How<'a> {
    /// A Job starts, and a Barrier counts, only behind an open Gate.
    Gated,
    /// It is a condition of a Gate.
    Condition {
        /// The end that is waited for.
        state: ConditionState,
        /// What the Gate says of it, if it has looked.
        status: Option<&'a ConditionStatus>,
    },
    /// A Job names the Barrier at which it arrives.
    Arrives,
    /// A Job is one of those that labels select.
    Selected,
    /// A Job's output is read.
    Output,
}

/// What waits for what.
#[derive(Debug, Default)]
pub struct RunGraph<'a> {
    run: &'a str,
    jobs: BTreeMap<&'a str, &'a Participant>,
    of_stage: BTreeMap<&'a str, Vec<&'a Participant>>,
    arriving: BTreeMap<&'a str, Vec<&'a Participant>>,
    gates: BTreeMap<&'a str, &'a Gate>,
    barriers: BTreeMap<&'a str, &'a Barrier>,
}

impl<'a> RunGraph<'a> {
    /// Returns the graph of the Run of this name.
    pub fn of(
        run: &'a str,
        jobs: impl IntoIterator<Item = &'a Participant>,
        gates: impl IntoIterator<Item = &'a Gate>,
        barriers: impl IntoIterator<Item = &'a Barrier>,
    ) -> Self {
        let mut graph = Self {
            run,
            ..Self::default()
        };
        for job in jobs {
            graph.jobs.insert(job.name(), job);
            graph.of_stage.entry(job.stage()).or_default().push(job);
            if let Some(barrier) = job.arrives_at() {
                graph.arriving.entry(barrier).or_default().push(job);
            }
        }
        for gate in gates {
            let name = gate.metadata.name.as_deref().unwrap_or_default();
            graph.gates.insert(name, gate);
        }
        for barrier in barriers {
            let name = barrier.metadata.name.as_deref().unwrap_or_default();
            graph.barriers.insert(name, barrier);
        }
        graph
    }

    /// Returns everything that waits.
    pub(crate) fn nodes(&self) -> BTreeSet<Node> {
        let jobs = self.jobs.keys().map(|name| Node::Job((*name).to_owned()));
        let gates = self.gates.keys().map(|name| Node::Gate((*name).to_owned()));
        let barriers = self.barriers.keys().chain(self.arriving.keys());
        let barriers = barriers.map(|name| Node::Barrier((*name).to_owned()));
        let mut nodes: BTreeSet<Node> = jobs.chain(gates).chain(barriers).collect();
        let of_gates = self.gates.values().flat_map(|gate| gate.subjects());
        nodes.extend(of_gates.filter_map(|subject| match self.node(&subject) {
            node @ Node::Jobs(_) => Some(node),
            _ => None,
        }));
        nodes
    }

    /// Returns what something waits for itself.
    pub fn links(&self, node: &Node) -> Vec<Link<'a>> {
        let gated = |name: &str| Link {
            before: Node::Gate(name.to_owned()),
            how: How::Gated,
        };
        let by_job = |job: &&Participant, how| Link {
            before: Node::Job(job.name().to_owned()),
            how,
        };
        match node {
            Node::Job(name) => {
                let Some(&job) = self.jobs.get(name.as_str()) else {
                    return Vec::new();
                };
                let inputs = job.inputs.iter().flatten().flat_map(BTreeMap::values);
                let items = job.items.iter().flatten().map(|items| &items.of);
                let inputs = inputs.chain(items).flat_map(|input| match input {
                    Input::Output { job, .. } => vec![Link {
                        before: Node::Job(job.clone()),
                        how: How::Output,
                    }],
                    Input::Gathered(gathered) => {
                        let items = self.selected(&gathered.labels(self.run));
                        items.map(|job| by_job(&job, How::Output)).collect()
                    }
                    Input::RunOutcome | Input::Unknown(_) => Vec::new(),
                });
                job.gate().map(gated).into_iter().chain(inputs).collect()
            }
            Node::Gate(name) => self.conditions(name),
            Node::Jobs(labels) => {
                let selected = self.selected(labels);
                selected.map(|job| by_job(&job, How::Selected)).collect()
            }
            Node::Barrier(name) => {
                let barrier = self.barriers.get(name.as_str());
                let gate = barrier.and_then(|barrier| barrier.spec.gate.as_deref());
                let labels = barrier.and_then(|barrier| barrier.spec.jobs.as_ref());
                let labels = labels.map(|selector| selector.labels());
                let selected = labels.iter().flat_map(|labels| self.selected(labels));
                let selected = selected.map(|job| by_job(&job, How::Selected));
                let arriving = self.arriving.get(name.as_str()).into_iter().flatten();
                let arriving = arriving.map(|job| by_job(job, How::Arrives));
                let gate = gate.map(gated).into_iter();
                gate.chain(selected).chain(arriving).collect()
            }
            Node::Run | Node::Elsewhere(_) => Vec::new(),
        }
    }

    /// What the conditions of a Gate wait for, in their order.
    fn conditions(&self, gate: &str) -> Vec<Link<'a>> {
        let Some(&gate) = self.gates.get(gate) else {
            return Vec::new();
        };
        let statuses = gate.status.as_ref();
        let statuses = statuses.map_or(&[][..], |status| &status.condition_statuses);
        let conditions = gate.spec.conditions.iter().zip(gate.subjects());
        let conditions = conditions.enumerate();
        let link = |(index, (condition, subject)): (usize, (&GateCondition, Subject))| Link {
            before: self.node(&subject),
            how: How::Condition {
                state: condition.state,
                status: statuses.get(index),
            },
        };
        conditions.map(link).collect()
    }

    fn node(&self, subject: &Subject) -> Node {
        match &subject.target {
            _ if subject.is_foreign => Node::Elsewhere(subject.to_string()),
            Target::Job(name) => Node::Job(name.clone()),
            Target::Jobs { labels, .. } if self.selected(labels).next().is_none() => {
                Node::Elsewhere(subject.to_string())
            }
            Target::Jobs { labels, .. } => Node::Jobs(labels.clone()),
            Target::Barrier { name, .. } => Node::Barrier(name.clone()),
            Target::Gate(name) => Node::Gate(name.clone()),
            Target::Run(name) if name == self.run => Node::Run,
            Target::Run(_) => Node::Elsewhere(subject.to_string()),
            Target::RunOf { pipeline, .. } => Node::Elsewhere(format!("run/{pipeline}")),
        }
    }

    /// The Jobs that carry all of these labels.
    fn selected(
        &self,
        labels: &BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a Participant> + use<'a> {
        // Almost every selector names a stage, and no other Job is looked at.
        let jobs: Vec<&'a Participant> = match labels.get(label::STAGE) {
            Some(stage) => {
                let of_stage = self.of_stage.get(stage.as_str());
                of_stage.into_iter().flatten().copied().collect()
            }
            None => self.jobs.values().copied().collect(),
        };
        let labels = labels.clone();
        jobs.into_iter().filter(move |job| {
            let mut labels = labels.iter();
            labels.all(|(key, value)| job.label(key) == Some(value))
        })
    }

    /// Returns how something ended; `None` while it has not, or if nothing is known of it.
    pub(crate) fn end(&self, node: &Node) -> Option<End> {
        match node {
            Node::Job(name) => job_end(self.jobs.get(name.as_str())?),
            Node::Gate(name) => gate_end(self.gates.get(name.as_str())?),
            Node::Barrier(name) => barrier_end(self.barriers.get(name.as_str())?),
            Node::Jobs(_) | Node::Run | Node::Elsewhere(_) => None,
        }
    }

    /// Returns what something still waits for: conditions that are neither met nor ruled out, and Jobs that have
    /// not ended.
    pub fn pending(&self, node: &Node) -> Vec<Link<'a>> {
        let mut links = self.links(node);
        links.retain(|link| match link.how {
            How::Condition { status, .. } => {
                status.is_some_and(|status| status.verdict == Verdict::Pending)
            }
            How::Selected => self.end(&link.before).is_none(),
            How::Gated | How::Arrives | How::Output => false,
        });
        links
    }
}
