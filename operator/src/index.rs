//! Who refers to whom: it turns one event into the few objects it concerns.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, Holder, HolderKind, Lease, LedgerKind, Participant, Run,
    Semaphore, Subject, Target, annotation, label,
};
use konductor_core::{ObjectName, job_uid, named_runs};

use crate::fair::{CLAIMS_AT_ONCE, RECONCILES_AT_ONCE};
use crate::gone::Gone;
use crate::memory::Memory;

/// The kinds that the operator watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Watched {
    Job,
    Pod,
    Arrival,
    Barrier,
    Claim,
    Gate,
    Lease,
    Run,
    Semaphore,
}

impl Watched {
    /// Every kind.
    pub(crate) const ALL: [Self; 9] = [
        Self::Job,
        Self::Pod,
        Self::Arrival,
        Self::Barrier,
        Self::Claim,
        Self::Gate,
        Self::Lease,
        Self::Run,
        Self::Semaphore,
    ];

    /// The kinds that are decided about.
    pub(crate) const DECIDED: [Self; 7] = [
        Self::Job,
        Self::Barrier,
        Self::Claim,
        Self::Gate,
        Self::Lease,
        Self::Run,
        Self::Semaphore,
    ];

    /// How many of this kind are reconciled at once.
    pub(crate) fn at_once(self) -> usize {
        match self {
            Self::Claim => CLAIMS_AT_ONCE,
            _ => RECONCILES_AT_ONCE,
        }
    }

    /// The kind, as Kubernetes writes it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Pod => "Pod",
            Self::Arrival => "Arrival",
            Self::Barrier => "Barrier",
            Self::Claim => "Claim",
            Self::Gate => "Gate",
            Self::Lease => "Lease",
            Self::Run => "Run",
            Self::Semaphore => "Semaphore",
        }
    }
}

impl From<LedgerKind> for Watched {
    fn from(kind: LedgerKind) -> Self {
        match kind {
            LedgerKind::Lease => Self::Lease,
            LedgerKind::Semaphore => Self::Semaphore,
        }
    }
}

/// Something that can be referred to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// An object, by its name.
    Named(Watched, ObjectName),
    /// Jobs with a label, by namespace, key and value.
    Labelled(String, String, String),
    /// The Runs of a pipeline.
    Pipeline(ObjectName),
    /// An object, by its uid: a Job by itself, its pods and the ledgers that it holds of.
    Uid(String),
    /// The Run that an object's label names.
    OfRun(ObjectName),
}

/// One object that refers to others.
pub(crate) type Referrer = (Watched, ObjectName);

/// Who refers to whom. Each name is kept once, however many refer to it and whatever it refers to.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: HashMap<Arc<Referrer>, Box<[Arc<Key>]>>,
    referrers: HashMap<Arc<Key>, BTreeSet<Arc<Referrer>>>,
}

impl Index {
    /// Replaces what is known of one object.
    pub(crate) fn set(&mut self, referrer: Referrer, keys: Vec<Key>) {
        let old_keys = self.keys.get(&referrer);
        if old_keys.is_some_and(|old_keys| old_keys.iter().map(|key| &**key).eq(&keys)) {
            return;
        }
        self.remove(&referrer);
        if keys.is_empty() {
            return;
        }
        let referrer = Arc::new(referrer);
        let keys = keys.into_iter().map(|key| {
            let entry = self.referrers.get_key_value(&key);
            let key = entry.map_or_else(|| Arc::new(key), |(key, _)| Arc::clone(key));
            let referrers = self.referrers.entry(Arc::clone(&key)).or_default();
            referrers.insert(Arc::clone(&referrer));
            key
        });
        let keys = keys.collect();
        self.keys.insert(referrer, keys);
    }

    /// Forgets an object.
    pub(crate) fn remove(&mut self, referrer: &Referrer) {
        for key in self.keys.remove(referrer).unwrap_or_default() {
            if let Some(referrers) = self.referrers.get_mut(&key) {
                referrers.remove(referrer);
                if referrers.is_empty() {
                    self.referrers.remove(&key);
                }
            }
        }
    }

    /// Forgets every object of a kind that is not among these.
    pub(crate) fn retain(&mut self, kind: Watched, alive: &BTreeSet<ObjectName>) {
        let gone: Vec<Arc<Referrer>> = self
            .keys
            .keys()
            .filter(|referrer| referrer.0 == kind && !alive.contains(&referrer.1))
            .cloned()
            .collect();
        for referrer in gone {
            self.remove(&referrer);
        }
    }

    /// Those of a kind that refer to this.
    pub(crate) fn referring(&self, key: &Key, kind: Watched) -> Vec<ObjectName> {
        let referrers = self.referrers.get(key).into_iter().flatten();
        referrers
            .filter(|referrer| referrer.0 == kind)
            .map(|referrer| referrer.1.clone())
            .collect()
    }
}

/// What an object refers to.
pub(crate) trait Refers {
    /// Its kind.
    const KIND: Watched;
    /// What it refers to.
    fn keys(&self) -> Vec<Key>;
    /// The watch has shown it at this time, by the operator's clock.
    fn was_shown(&self, _memory: &Memory, _now: Timestamp) {}
    /// It was deleted: what it was may still count.
    fn was_deleted(&self, _gone: &Gone, _index: &Index) {}
}

fn of_run(metadata: &ObjectMeta) -> Option<Key> {
    let run = metadata.labels.as_ref()?.get(label::RUN)?;
    Some(Key::OfRun(ObjectName::new(namespace(metadata), run)))
}

fn named(kind: Watched, namespace: &str, name: impl Into<String>) -> Key {
    Key::Named(kind, ObjectName::new(namespace, name))
}

fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().unwrap_or_default()
}

/// What a Job refers to that is to let go of a ledger.
pub(crate) fn released(kind: LedgerKind, ledger: &ObjectName) -> Key {
    Key::Labelled(
        ledger.namespace.clone(),
        annotation::RELEASES.to_owned(),
        format!("{kind}/{}", ledger.name),
    )
}

impl Refers for Participant {
    const KIND: Watched = Watched::Job;

    fn keys(&self) -> Vec<Key> {
        let ns = namespace(&self.metadata);
        let mut keys: Vec<Key> = self
            .metadata
            .uid
            .clone()
            .map(Key::Uid)
            .into_iter()
            .collect();
        if let Some(gate) = self.gate() {
            keys.push(named(Watched::Gate, ns, gate));
        }
        if let Some(barrier) = self.arrives_at() {
            keys.push(named(Watched::Barrier, ns, barrier));
        }
        for (kind, name) in self.ledgers() {
            keys.push(named(kind.into(), ns, name));
        }
        for mark in self.releases.iter().flatten() {
            keys.push(released(mark.kind, &ObjectName::new(ns, &mark.name)));
        }
        // Also one that owns it while its label is gone or names another: it still counts this Job.
        for run in named_runs(&self.metadata) {
            keys.push(named(Watched::Run, ns, run));
        }
        if let Some(run) = self.run() {
            keys.push(Key::Labelled(
                ns.to_owned(),
                label::RUN.to_owned(),
                run.to_owned(),
            ));
        }
        keys
    }

    fn was_deleted(&self, gone: &Gone, index: &Index) {
        let name = ObjectName::of(&self.metadata);
        let labels = self.metadata.labels.iter().flatten();
        let by_label = labels
            .map(|(key, value)| Key::Labelled(name.namespace.clone(), key.clone(), value.clone()));
        let mut keys = by_label.chain([Key::Named(Watched::Job, name.clone())]);
        let is_named = keys.any(|key| {
            let waits = |kind| !index.referring(&key, kind).is_empty();
            waits(Watched::Gate) || waits(Watched::Barrier)
        });
        gone.remember(self, is_named || self.arrives_at().is_some());
    }
}

impl Refers for k8s_openapi::api::core::v1::Pod {
    const KIND: Watched = Watched::Pod;

    fn keys(&self) -> Vec<Key> {
        let job = job_uid(self).map(|uid| Key::Uid(uid.to_owned()));
        job.into_iter().collect()
    }

    fn was_deleted(&self, gone: &Gone, _: &Index) {
        gone.remember_pod(self);
    }
}

impl Refers for Arrival {
    const KIND: Watched = Watched::Arrival;

    fn keys(&self) -> Vec<Key> {
        vec![named(
            Watched::Barrier,
            namespace(&self.metadata),
            &self.spec.barrier,
        )]
    }
}

impl Refers for Barrier {
    const KIND: Watched = Watched::Barrier;

    fn keys(&self) -> Vec<Key> {
        let ns = namespace(&self.metadata);
        let gate = self
            .spec
            .gate
            .iter()
            .map(|gate| named(Watched::Gate, ns, gate));
        let selector = self
            .spec
            .jobs
            .iter()
            .map(|jobs| labelled(ns, &jobs.labels()));
        gate.chain(selector).chain(of_run(&self.metadata)).collect()
    }
}

/// One label of a selector: a Job with it may be one that it selects. A run's is the rarest.
fn labelled(namespace: &str, labels: &BTreeMap<String, String>) -> Key {
    let rarest = labels
        .get_key_value(label::RUN)
        .or_else(|| labels.first_key_value());
    let (key, value) = rarest.map_or_else(Default::default, |(key, value)| {
        (key.clone(), value.clone())
    });
    Key::Labelled(namespace.to_owned(), key, value)
}

/// An event of what answers to this key concerns the Gate.
impl From<&Subject> for Key {
    fn from(subject: &Subject) -> Self {
        let named = |kind, name| Self::Named(kind, subject.place(name));
        match &subject.target {
            Target::Job(name) => named(Watched::Job, name),
            Target::Jobs { labels, .. } => labelled(&subject.namespace, labels),
            Target::Barrier { name, .. } => named(Watched::Barrier, name),
            Target::Gate(name) => named(Watched::Gate, name),
            Target::Run(name) => named(Watched::Run, name),
            Target::RunOf { pipeline, .. } => Self::Pipeline(subject.place(pipeline)),
        }
    }
}

impl Refers for Claim {
    const KIND: Watched = Watched::Claim;

    fn keys(&self) -> Vec<Key> {
        let ns = namespace(&self.metadata);
        let pod = self
            .spec
            .pod
            .iter()
            .map(|pod| named(Watched::Pod, ns, &pod.name));
        pod.chain([named(
            self.spec.target.kind.into(),
            ns,
            &self.spec.target.name,
        )])
        .collect()
    }

    /// Its time runs from the moment in which its renewal was shown, however long its ledger waits for a turn.
    fn was_shown(&self, memory: &Memory, now: Timestamp) {
        memory.renewal_seen(self, now);
    }
}

impl Refers for Gate {
    const KIND: Watched = Watched::Gate;

    fn keys(&self) -> Vec<Key> {
        let own = namespace(&self.metadata);
        let conditions = self.spec.conditions.iter();
        let subjects = conditions.map(|condition| Key::from(&condition.subject(own)));
        subjects.chain(of_run(&self.metadata)).collect()
    }
}

fn holders(metadata: &ObjectMeta, holders: &[Holder]) -> Vec<Key> {
    let jobs = holders.iter().filter(|held| held.kind == HolderKind::Job);
    jobs.flat_map(|held| {
        let name = named(Watched::Job, namespace(metadata), &held.name);
        [name, Key::Uid(held.uid.clone())]
    })
    .collect()
}

impl Refers for Lease {
    const KIND: Watched = Watched::Lease;

    fn keys(&self) -> Vec<Key> {
        let held = self.status.as_ref().map(|status| status.holders.as_slice());
        holders(&self.metadata, held.unwrap_or_default())
    }
}

impl Refers for Semaphore {
    const KIND: Watched = Watched::Semaphore;

    fn keys(&self) -> Vec<Key> {
        let held = self.status.as_ref().map(|status| status.holders.as_slice());
        holders(&self.metadata, held.unwrap_or_default())
    }
}

impl Refers for Run {
    const KIND: Watched = Watched::Run;

    fn keys(&self) -> Vec<Key> {
        let ns = namespace(&self.metadata);
        vec![Key::Pipeline(ObjectName::new(ns, &self.spec.pipeline))]
    }

    fn was_deleted(&self, gone: &Gone, _: &Index) {
        gone.run_deleted(self);
        gone.forget_run(self);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// An event of a Job queues the Runs that it refers to.
    #[test]
    fn a_job_refers_to_the_run_of_its_label_and_to_the_one_that_owns_it() {
        let owned =
            json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "u"}]);
        let table = [
            (json!({"konductor.io/run": "r"}), owned.clone(), vec!["r"]),
            (json!({"konductor.io/run": "r"}), json!([]), vec!["r"]),
            (json!({}), owned.clone(), vec!["r"]),
            (json!({"konductor.io/run": "s"}), owned, vec!["r", "s"]),
            (json!({}), json!([]), vec![]),
        ];
        for (labels, owners, expected) in table {
            let metadata = json!({"name": "j", "namespace": "ns", "labels": labels, "ownerReferences": owners});
            let job: Participant =
                serde_json::from_value(json!({ "metadata": metadata })).expect("a Job");
            let runs: Vec<Key> = job
                .keys()
                .into_iter()
                .filter(|key| matches!(key, Key::Named(Watched::Run, _)))
                .collect();
            let expected: Vec<Key> = expected
                .into_iter()
                .map(|run| named(Watched::Run, "ns", run))
                .collect();
            assert_eq!(runs, expected, "{metadata}");
        }
    }

    #[test]
    fn index_follows_an_object_that_refers_to_something_else() {
        let mut index = Index::default();
        let [gate, old, new] = ["gate", "old", "new"].map(|name| ObjectName::new("ns", name));
        let key = |name: &ObjectName| Key::Named(Watched::Job, name.clone());
        let referrer = (Watched::Gate, gate.clone());
        index.set(referrer.clone(), vec![key(&old)]);
        index.set(referrer.clone(), vec![key(&new)]);
        assert_eq!(index.referring(&key(&old), Watched::Gate), []);
        assert_eq!(index.referring(&key(&new), Watched::Gate), [gate]);
        index.retain(Watched::Gate, &BTreeSet::new());
        assert_eq!(index.referring(&key(&new), Watched::Gate), []);
        assert!(index.keys.is_empty() && index.referrers.is_empty());
    }
}
