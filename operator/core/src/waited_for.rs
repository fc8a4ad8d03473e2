//! What the unfinished objects of a namespace name: no TTL deletes that.
//!
//! What enters: the Jobs, Gates and Barriers of one namespace, each once. What leaves: the names of what they wait
//! for, so that the objects need not be kept, and each question costs the same however many there are. What must
//! never happen here: a waiter that is left out.

use std::collections::BTreeSet;

use konductor_api::{Barrier, Gate, ObjectName, Participant, Target};

use crate::kind::Kind;
use crate::outcome::{barrier_end, gate_end, job_end};

/// What the unfinished objects of a namespace name, for all the objects whose TTL is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitedFor(BTreeSet<(Kind, ObjectName)>);

impl WaitedFor {
    /// Takes in a Job: the Gate that it waits for, and the Barrier at which it arrives.
    pub fn by_job(&mut self, job: &Participant) {
        if job_end(job).is_some() {
            return;
        }
        let gate = job.gate().map(|name| (Kind::Gate, name));
        let barrier = job.arrives_at().map(|name| (Kind::Barrier, name));
        let named = [gate, barrier].into_iter().flatten();
        self.0
            .extend(named.map(|(kind, name)| (kind, job.beside(name))));
    }

    /// Takes in a Gate: what its conditions name. A Job's TTL is Kubernetes' own, and a condition on any run of a
    /// pipeline names no Run.
    pub fn by_gate(&mut self, gate: &Gate) {
        if gate_end(gate).is_some() {
            return;
        }
        let namespace = ObjectName::of(&gate.metadata).namespace;
        for condition in &gate.spec.conditions {
            let subject = condition.subject(&namespace);
            let named = match &subject.target {
                Target::Gate(name) => (Kind::Gate, name),
                Target::Barrier { name, .. } => (Kind::Barrier, name),
                Target::Run(name) => (Kind::Run, name),
                Target::Job(_) | Target::Jobs { .. } | Target::RunOf { .. } => continue,
            };
            self.0.insert((named.0, subject.place(named.1)));
        }
    }

    /// Takes in a Barrier: the Gate that it waits for.
    pub fn by_barrier(&mut self, barrier: &Barrier) {
        if barrier_end(barrier).is_some() {
            return;
        }
        if let Some(gate) = &barrier.spec.gate {
            let namespace = ObjectName::of(&barrier.metadata).namespace;
            let gate = ObjectName::new(namespace, gate);
            self.0.insert((Kind::Gate, gate));
        }
    }

    /// Returns whether something unfinished names this object.
    pub(crate) fn contains(&self, kind: Kind, name: &ObjectName) -> bool {
        self.0.contains(&(kind, name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn object<K: DeserializeOwned>(annotations: Value, spec: Value, phase: &str) -> K {
        let metadata = json!({"name": "x", "namespace": "ns", "annotations": annotations});
        let object = json!({"metadata": metadata, "spec": spec, "status": {"phase": phase}});
        serde_json::from_value(object).unwrap()
    }

    fn job(phase: &str) -> Participant {
        let annotations = json!({
            "konductor.io/gate": "g", "konductor.io/arrive": "b", "konductor.io/phase": phase,
        });
        object(annotations, json!({"template": {}}), phase)
    }

    fn names(names: &WaitedFor) -> Vec<String> {
        let words = |(kind, name): &(Kind, ObjectName)| {
            format!("{kind:?} {}/{}", name.namespace, name.name)
        };
        names.0.iter().map(words).collect()
    }

    #[test]
    fn what_unfinished_objects_name_is_waited_for_in_the_namespace_that_they_mean() {
        let conditions = json!([
            {"type": "Barrier", "name": "b2", "state": "Open"},
            {"type": "Run", "name": "r", "state": "Settled"},
            {"type": "Gate", "name": "g2", "namespace": "other", "state": "Open"},
            {"type": "Job", "name": "j", "state": "Complete"},
            {"type": "Run", "pipeline": "p", "state": "Succeeded"},
        ]);
        let spec = json!({"conditions": conditions});
        let gate = |phase| object::<Gate>(json!({}), spec.clone(), phase);
        let spec = json!({"expected": 1, "gate": "g3"});
        let barrier = |phase| object::<Barrier>(json!({}), spec.clone(), phase);
        let mut waited_for = WaitedFor::default();
        waited_for.by_job(&job("Skipped"));
        waited_for.by_gate(&gate("Failed"));
        waited_for.by_barrier(&barrier("Open"));
        assert_eq!(waited_for, WaitedFor::default());
        waited_for.by_job(&job("Waiting"));
        waited_for.by_gate(&gate("Waiting"));
        waited_for.by_barrier(&barrier("Waiting"));
        let expected = [
            "Gate ns/g",
            "Gate ns/g3",
            "Gate other/g2",
            "Barrier ns/b",
            "Barrier ns/b2",
            "Run ns/r",
        ];
        assert_eq!(names(&waited_for), expected);
    }
}
