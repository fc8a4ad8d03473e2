//! A Run as stages and approvals: what people draw, and the order in which they read.

use std::collections::{BTreeMap, BTreeSet};

use konductor_api::{Arrivals, Barrier, ConditionState, Gate, GateMode, Participant, Role, label};

use super::{How, Link, Node, RunGraph};

/// Something that people see in the graph of a Run.
#[derive(Clone, Debug)]
pub enum Place<'a> {
    /// A stage, with its Jobs.
    Stage {
        /// Its name.
        name: &'a str,
        /// Its Jobs, at least one.
        jobs: Vec<&'a Participant>,
    },
    /// An approval.
    Approval(&'a Barrier),
    /// A Gate that somebody opens, or that belongs to another run.
    Gate(&'a Gate),
    /// Anything else, as people name it.
    Elsewhere(String),
}

/// One place waits for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// What waits.
    pub to: usize,
    /// What is waited for.
    pub from: usize,
    /// The end that is waited for: empty for success, else `failed`, `skipped`, `finished`, or `any` for one of
    /// several.
    pub label: &'static str,
}

/// The places of a Run, and what waits for what.
#[derive(Clone, Debug, Default)]
pub struct Overview<'a> {
    /// The stages, each after those that it waits for; then approvals, then what is elsewhere.
    pub places: Vec<Place<'a>>,
    /// What waits for what, in the order of the waiting places.
    pub edges: BTreeSet<Edge>,
}

impl<'a> RunGraph<'a> {
    /// Returns the Run as stages and approvals.
    pub fn overview(&self) -> Overview<'a> {
        let mut builder = Builder {
            graph: self,
            overview: Overview::default(),
            indexes: BTreeMap::new(),
            stages: BTreeMap::new(),
        };
        for (name, jobs) in &self.of_stage {
            let jobs = jobs.clone();
            builder.add(format!("stage/{name}"), Place::Stage { name, jobs });
        }
        let approvals = self.barriers.iter().filter(|(_, barrier)| {
            let labels = barrier.metadata.labels.as_ref();
            let is_own = labels.and_then(|labels| labels.get(label::RUN));
            is_own.is_some_and(|run| run == self.run) && barrier.spec.arrivals == Arrivals::Verified
        });
        for (name, barrier) in approvals {
            builder.add(format!("barrier/{name}"), Place::Approval(barrier));
        }
        for to in 0..builder.overview.places.len() {
            let mut seen = BTreeSet::new();
            for node in builder.overview.places[to].nodes() {
                for link in self.links(&node) {
                    if let (Node::Gate(gate), How::Gated) = (&link.before, link.how) {
                        builder.gate(gate, to, false, &mut seen);
                    }
                }
            }
        }
        builder.overview.sorted()
    }
}

impl Place<'_> {
    /// What waits in the name of this place.
    fn nodes(&self) -> Vec<Node> {
        match self {
            Self::Stage { jobs, .. } => {
                let jobs = jobs.iter().map(|job| job.name().to_owned());
                jobs.map(Node::Job).collect()
            }
            Self::Approval(barrier) => {
                let name = barrier.metadata.name.clone().unwrap_or_default();
                vec![Node::Barrier(name)]
            }
            Self::Gate(_) | Self::Elsewhere(_) => Vec::new(),
        }
    }

    fn is_finally(&self) -> bool {
        matches!(self, Self::Stage { jobs, .. } if jobs.iter().any(|job| job.role == Role::Finally))
    }
}

struct Builder<'g, 'a> {
    graph: &'g RunGraph<'a>,
    overview: Overview<'a>,
    /// Places by what they are called: `stage/x`, `barrier/x`, `gate/x`.
    indexes: BTreeMap<String, usize>,
    /// The stages of what was waited for before: a fan-out may wait for another one item by item.
    stages: BTreeMap<Node, BTreeSet<&'a str>>,
}

/// The Gates that were followed for one place, each also as one of several.
type Seen = BTreeSet<(String, bool)>;

impl<'a> Builder<'_, 'a> {
    fn add(&mut self, key: String, place: Place<'a>) -> usize {
        let index = self.overview.places.len();
        self.overview.places.push(place);
        self.indexes.insert(key, index);
        index
    }

    /// What a Gate waits for is what `to` waits for; a Gate behind a Gate is no place of its own.
    fn gate(&mut self, name: &str, to: usize, any: bool, seen: &mut Seen) {
        if !seen.insert((name.to_owned(), any)) {
            return;
        }
        let gate = self.graph.gates.get(name).copied();
        let is_own = |gate: &&Gate| {
            let labels = gate.metadata.labels.as_ref();
            let run = labels.and_then(|labels| labels.get(label::RUN));
            run.is_some_and(|run| run == self.graph.run)
        };
        let own = gate.filter(is_own);
        let Some(gate) = own.filter(|gate| !gate.spec.conditions.is_empty()) else {
            let words = format!("gate/{name}");
            let place = gate.map_or_else(|| Place::Elsewhere(words.clone()), Place::Gate);
            let label = if any { "any" } else { "" };
            return self.elsewhere(words, place, to, label);
        };
        let any = any || gate.spec.mode == GateMode::Any && gate.spec.conditions.len() > 1;
        for link in self.graph.conditions(name) {
            self.condition(&link, to, any, seen);
        }
    }

    fn condition(&mut self, link: &Link<'a>, to: usize, any: bool, seen: &mut Seen) {
        let How::Condition { state, .. } = link.how else {
            return;
        };
        let label = match state {
            ConditionState::Failed if any => "any failed",
            ConditionState::Skipped if any => "any skipped",
            ConditionState::Finished if any => "any finished",
            _ if any => "any",
            ConditionState::Failed => "failed",
            ConditionState::Skipped => "skipped",
            ConditionState::Finished => "finished",
            // Every finally stage waits for that, and is drawn as one.
            ConditionState::Settled => return,
            ConditionState::Complete | ConditionState::Open | ConditionState::Succeeded => "",
        };
        match &link.before {
            Node::Gate(name) => self.gate(name, to, any, seen),
            Node::Job(_) | Node::Jobs(_) | Node::Barrier(_) => self.edges(&link.before, to, label),
            Node::Run => {
                let words = format!("run/{}", self.graph.run);
                self.elsewhere(words.clone(), Place::Elsewhere(words), to, label);
            }
            Node::Elsewhere(words) => {
                self.elsewhere(words.clone(), Place::Elsewhere(words.clone()), to, label);
            }
        }
    }

    /// Draws what is waited for as the stages that its Jobs are of, or as the approval that it is.
    fn edges(&mut self, before: &Node, to: usize, label: &'static str) {
        if !self.stages.contains_key(before) {
            let stages = self.stages_of(before);
            self.stages.insert(before.clone(), stages);
        }
        let stages = self.stages.get(before).into_iter().flatten();
        let stages = stages.filter_map(|stage| self.indexes.get(&format!("stage/{stage}")));
        let stages: Vec<usize> = stages.copied().collect();
        if stages.is_empty() {
            let words = match before {
                Node::Job(name) => format!("job/{name}"),
                Node::Barrier(name) => format!("barrier/{name}"),
                // They are followed, or have words of their own.
                Node::Jobs(_) | Node::Gate(_) | Node::Run | Node::Elsewhere(_) => return,
            };
            let place = Place::Elsewhere(words.clone());
            return self.elsewhere(words, place, to, label);
        }
        for from in stages {
            self.edge(from, to, label);
        }
    }

    fn stages_of(&self, node: &Node) -> BTreeSet<&'a str> {
        let links = self.graph.links(node).into_iter();
        let selected = links.filter(|link| matches!(link.how, How::Selected));
        let itself = matches!(node, Node::Job(_)).then(|| node.clone());
        let jobs = selected.map(|link| link.before).chain(itself);
        let stages = jobs.filter_map(|job| match job {
            Node::Job(name) => Some(self.graph.jobs.get(name.as_str())?.stage()),
            _ => None,
        });
        stages.collect()
    }

    fn elsewhere(&mut self, key: String, place: Place<'a>, to: usize, label: &'static str) {
        let index = self.indexes.get(&key).copied();
        let from = index.unwrap_or_else(|| self.add(key, place));
        self.edge(from, to, label);
    }

    fn edge(&mut self, from: usize, to: usize, label: &'static str) {
        // Of a stage whose items wait for one another, only what is before it is drawn.
        if from != to {
            self.overview.edges.insert(Edge { to, from, label });
        }
    }
}

impl Overview<'_> {
    /// Puts each stage after those that it waits for, on the longest way; finally stages come last.
    fn sorted(self) -> Self {
        let depths = self.depths();
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by_cached_key(|&index| match &self.places[index] {
            Place::Stage { name, .. } => (0, depths[index], natural(name)),
            // These stay as they are.
            Place::Approval(_) => (1, 0, Vec::new()),
            Place::Gate(_) | Place::Elsewhere(_) => (2, 0, Vec::new()),
        });
        let mut place_of = vec![0; order.len()];
        for (place, &index) in order.iter().enumerate() {
            place_of[index] = place;
        }
        let edges = self.edges.into_iter().map(|edge| Edge {
            to: place_of[edge.to],
            from: place_of[edge.from],
            label: edge.label,
        });
        let mut places: Vec<Option<Place<'_>>> = self.places.into_iter().map(Some).collect();
        let places = order.into_iter().filter_map(|index| places[index].take());
        Self {
            places: places.collect(),
            edges: edges.collect(),
        }
    }

    /// How many stages go before each place, on the longest way. What waits for itself, whatever the objects
    /// claim, comes after everything else.
    fn depths(&self) -> Vec<usize> {
        let mut after = vec![Vec::new(); self.places.len()];
        let mut open_before = vec![0_usize; self.places.len()];
        for edge in &self.edges {
            after[edge.from].push(edge.to);
            open_before[edge.to] += 1;
        }
        let mut depths = vec![0; self.places.len()];
        let is_first = |index: &usize| open_before[*index] == 0;
        let mut ready: Vec<usize> = (0..self.places.len()).filter(is_first).collect();
        while let Some(index) = ready.pop() {
            let own = usize::from(matches!(self.places[index], Place::Stage { .. }));
            for &next in &after[index] {
                depths[next] = depths[next].max(depths[index] + own);
                open_before[next] -= 1;
                if open_before[next] == 0 {
                    ready.push(next);
                }
            }
        }
        for (index, place) in self.places.iter().enumerate() {
            if place.is_finally() || open_before[index] > 0 {
                depths[index] = usize::MAX;
            }
        }
        depths
    }
}

/// Returns a key that sorts names as people count: `stage-2` before `stage-10`.
pub fn natural(name: &str) -> Vec<(String, Option<u64>)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit());
        let (text, after) = rest.split_at(text.unwrap_or(rest.len()));
        let digits = after.find(|c: char| !c.is_ascii_digit());
        let (digits, after) = after.split_at(digits.unwrap_or(after.len()));
        // A number that is too long goes behind those that fit.
        let number = (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX));
        key.push((text.to_owned(), number));
        rest = after;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_people_count() {
        let mut names = [
            "stage-10", "stage-2", "stage", "stage1", "a-2-10", "a-2-9", "b", "stage-2b",
        ];
        names.sort_by_cached_key(|name| natural(name));
        assert_eq!(
            names,
            [
                "a-2-9", "a-2-10", "b", "stage", "stage1", "stage-2", "stage-2b", "stage-10"
            ]
        );
    }
}
