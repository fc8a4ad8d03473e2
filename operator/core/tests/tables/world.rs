//! A world of objects that answers whatever a decision asks: what the cache shows, and what is so.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{
    Arrival, Barrier, Claim, Gate, Lease, LedgerKind, Participant, Run, Semaphore, parse_holds,
};
use konductor_core::job::NoStatus;
use konductor_core::{
    Decided, Decision, Fact, Facts, Freshness, Held, ObjectName, Objects, WaitedFor, Write,
    named_runs,
};
use kube::Resource;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) const NOW: &str = "2026-03-01T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A Run that has recorded these Jobs.
pub(crate) fn recorded<'a>(mut run: Value, jobs: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut world = World::of([run.clone()]);
    for job in jobs {
        world.cached.add(job.clone());
        world.live.add(job.clone());
    }
    let typed = serde_json::from_value(run.clone()).unwrap();
    let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
    run["status"] = serde_json::to_value(decision.status.unwrap()).unwrap();
    run
}

/// One side of the world: the cache's, or what is really so.
#[derive(Clone, Default)]
pub(crate) struct Side {
    pub(crate) jobs: Vec<Arc<Participant>>,
    pub(crate) gates: Vec<Arc<Gate>>,
    pub(crate) barriers: Vec<Arc<Barrier>>,
    pub(crate) runs: Vec<Arc<Run>>,
    pub(crate) claims: Vec<Arc<Claim>>,
    pub(crate) arrivals: Vec<Arc<Arrival>>,
    pub(crate) semaphores: Vec<Arc<Semaphore>>,
    pub(crate) leases: Vec<Arc<Lease>>,
    pub(crate) pods: Vec<Arc<Pod>>,
    /// Jobs that the watch has shown to be deleted; of the cache's side.
    pub(crate) gone: Vec<Arc<Participant>>,
}

fn at<K: Resource<DynamicType = ()>>(objects: &[Arc<K>], name: &ObjectName) -> Vec<Arc<K>> {
    objects
        .iter()
        .filter(|object| ObjectName::of(object.meta()) == *name)
        .cloned()
        .collect()
}

impl Side {
    pub(crate) fn add(&mut self, object: Value) -> &mut Self {
        match object["kind"].as_str().unwrap() {
            "Job" => self.jobs.push(read(object)),
            "Gate" => self.gates.push(read(object)),
            "Barrier" => self.barriers.push(read(object)),
            "Run" => self.runs.push(read(object)),
            "Claim" => self.claims.push(read(object)),
            "Arrival" => self.arrivals.push(read(object)),
            "Semaphore" => self.semaphores.push(read(object)),
            "Lease" => self.leases.push(read(object)),
            "Pod" => self.pods.push(read(object)),
            other => panic!("{other}"),
        }
        self
    }

    pub(crate) fn answer(&self, fact: &Fact) -> Objects {
        let labelled = |meta: &ObjectMeta, labels: &BTreeMap<String, String>| {
            let own = meta.labels.clone().unwrap_or_default();
            labels
                .iter()
                .all(|(key, value)| own.get(key) == Some(value))
        };
        let holds = |meta: &ObjectMeta, keys: &[&str], kind: LedgerKind, name: &str| {
            let annotations = meta.annotations.clone().unwrap_or_default();
            keys.iter().any(|key| {
                let text = annotations.get(*key).cloned().unwrap_or_default();
                let holds = parse_holds(&text).unwrap_or_default();
                holds
                    .iter()
                    .any(|hold| hold.kind == kind && hold.name == name)
            })
        };
        let job_keys = ["konductor.io/hold", "konductor.io/held"];
        match fact {
            Fact::Job(name) => Objects::Jobs(at(&self.jobs, name)),
            Fact::Gate(name) => Objects::Gates(at(&self.gates, name)),
            Fact::Barrier(name) => Objects::Barriers(at(&self.barriers, name)),
            Fact::Run(name) => Objects::Runs(at(&self.runs, name)),
            Fact::Claim(name) => Objects::Claims(at(&self.claims, name)),
            Fact::Arrival(name) => Objects::Arrivals(at(&self.arrivals, name)),
            Fact::Semaphore(name) => Objects::Semaphores(at(&self.semaphores, name)),
            Fact::Lease(name) => Objects::Leases(at(&self.leases, name)),
            Fact::Pod(name) => Objects::Pods(at(&self.pods, name)),
            Fact::JobsShown(run) => {
                let names =
                    |job: &&Arc<Participant>| named_runs(&job.metadata).contains(run.name.as_str());
                Objects::Jobs(self.jobs.iter().filter(names).cloned().collect())
            }
            Fact::JobsLabelled { labels, .. } => {
                let jobs = self
                    .jobs
                    .iter()
                    .filter(|job| labelled(&job.metadata, labels));
                Objects::Jobs(jobs.cloned().collect())
            }
            Fact::JobsGone { labels, .. } => {
                let mut others = labels.clone();
                let run = others.remove("konductor.io/run");
                let names_it = |job: &&Arc<Participant>| match &run {
                    Some(run) => named_runs(&job.metadata).contains(run.as_str()),
                    None => true,
                };
                let gone = self.gone.iter().filter(names_it);
                let gone = gone.filter(|job| labelled(&job.metadata, &others));
                Objects::Jobs(gone.cloned().collect())
            }
            Fact::JobGone(name) => Objects::Jobs(at(&self.gone, name)),
            Fact::ArrivingGone(name) => {
                let arrives = |job: &&Arc<Participant>| {
                    let annotations = job.metadata.annotations.clone().unwrap_or_default();
                    annotations.get("konductor.io/arrive") == Some(&name.name)
                };
                Objects::Jobs(self.gone.iter().filter(arrives).cloned().collect())
            }
            Fact::JobsHolding { kind, name } => {
                let jobs = self
                    .jobs
                    .iter()
                    .filter(|job| holds(&job.metadata, &job_keys, *kind, &name.name));
                Objects::Jobs(jobs.cloned().collect())
            }
            Fact::WaitedFor(_) => {
                let mut names = WaitedFor::default();
                self.jobs.iter().for_each(|job| names.by_job(job));
                self.gates.iter().for_each(|gate| names.by_gate(gate));
                let barriers = self.barriers.iter();
                barriers.for_each(|barrier| names.by_barrier(barrier));
                Objects::WaitedFor(Arc::new(names))
            }
            Fact::ClaimsOn { kind, name } => {
                let asks = |claim: &&Arc<Claim>| {
                    claim.spec.target.kind == *kind && claim.spec.target.name == name.name
                };
                Objects::Claims(self.claims.iter().filter(asks).cloned().collect())
            }
            Fact::ArrivalsAt(name) => {
                let arrivals = self
                    .arrivals
                    .iter()
                    .filter(|arrival| arrival.spec.barrier == name.name);
                Objects::Arrivals(arrivals.cloned().collect())
            }
            Fact::RunsOf(name) => {
                let runs = self
                    .runs
                    .iter()
                    .filter(|run| run.spec.pipeline == name.name);
                Objects::Runs(runs.cloned().collect())
            }
            // What they are is for the core to say.
            Fact::PodsOf { .. } => Objects::Pods(self.pods.clone()),
            Fact::HeldIn(_) => {
                let mut held = Held::default();
                self.jobs.iter().for_each(|job| held.by_job(job));
                let marked = BTreeMap::from([("konductor.io/held".to_owned(), "true".to_owned())]);
                let pods = self.pods.iter();
                let pods = pods.filter(|pod| labelled(&pod.metadata, &marked));
                pods.for_each(|pod| held.by_pod(pod));
                Objects::Held(Arc::new(held))
            }
        }
    }
}

fn read<K: DeserializeOwned>(object: Value) -> Arc<K> {
    Arc::new(serde_json::from_value(object).unwrap())
}

/// What the cache shows, what is so, and what was asked for live.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) cached: Side,
    pub(crate) live: Side,
    pub(crate) facts: Facts,
}

impl World {
    /// A world whose cache is up to date.
    pub(crate) fn of(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut world = Self::default();
        for object in objects {
            world.cached.add(object.clone());
            world.live.add(object);
        }
        world
    }

    /// The same world after a Job was deleted, as the watch has shown it.
    pub(crate) fn without(&self, job: &str) -> Self {
        let mut world = self.clone();
        let is_it =
            |participant: &Arc<Participant>| participant.metadata.name.as_deref() == Some(job);
        let gone: Vec<_> = world
            .cached
            .jobs
            .extract_if(.., |participant| is_it(participant))
            .collect();
        world.cached.gone.extend(gone);
        world.live.jobs.retain(|participant| !is_it(participant));
        world
    }

    /// The same world, seen by an operator that was not there when the Job was deleted.
    pub(crate) fn without_unseen(&self, job: &str) -> Self {
        let mut world = self.without(job);
        world.cached.gone.clear();
        world
    }

    /// Asks until there is a decision; returns it and what was read live.
    pub(crate) fn decide<S>(
        &self,
        decide: impl Fn(&Facts) -> Decided<S>,
    ) -> (Decision<S>, Vec<Fact>) {
        let mut facts = self.facts.clone();
        let mut live = Vec::new();
        for _ in 0..16 {
            match decide(&facts) {
                Ok(decision) => return (decision, live),
                Err(needs) => {
                    for (fact, freshness) in needs {
                        let side = match freshness {
                            _ if fact.is_remembered() => &self.cached,
                            Freshness::Cached => &self.cached,
                            Freshness::Live => {
                                live.push(fact.clone());
                                &self.live
                            }
                        };
                        let answer = side.answer(&fact);
                        facts.record(fact, freshness, answer);
                    }
                }
            }
        }
        panic!("no decision");
    }
}

/// The owner of a pod that the Job with this uid controls.
pub(crate) fn controller(job_uid: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "name": "any", "uid": job_uid, "controller": true,
    })
}

/// The object with this kind and name, and everything else from `rest`.
pub(crate) fn object(kind: &str, name: &str, rest: Value) -> Value {
    let mut object = json!({
        "apiVersion": if kind == "Job" { "batch/v1" } else if kind == "Pod" { "v1" } else { "konductor.io/v1" },
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": format!("uid-{name}"),
            "resourceVersion": "100",
            "creationTimestamp": "2026-03-01T11:00:00Z",
        },
    });
    merge(&mut object, rest);
    object
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A Job with annotations.
pub(crate) fn job(name: &str, annotations: Value, rest: Value) -> Value {
    let mut job = object(
        "Job",
        name,
        json!({
            "metadata": {"annotations": annotations},
            "spec": {"suspend": true, "template": {}},
        }),
    );
    merge(&mut job, rest);
    job
}

/// The status of a Job that the Job controller has ended.
pub(crate) fn ended(condition: &str) -> Value {
    json!({"status": {"conditions": [{"type": condition, "status": "True"}]}})
}

/// A short form of writes, for comparison.
pub(crate) fn short(writes: &[Write]) -> Vec<String> {
    writes
        .iter()
        .map(|write| match write {
            Write::Patch {
                kind, name, body, ..
            } => {
                let meta = &body["metadata"];
                assert!(
                    meta["uid"].is_string() && meta["resourceVersion"].is_string(),
                    "{body}"
                );
                let mut text = format!("{kind:?}/{}", name.name);
                if let Some(phase) = body["status"]["phase"].as_str() {
                    text.push_str(&format!(" {phase}"));
                }
                if let Some(phase) = meta["annotations"]["konductor.io/phase"].as_str() {
                    text.push_str(&format!(" {phase}"));
                }
                if let Some(suspend) = body["spec"]["suspend"].as_bool() {
                    text.push_str(&format!(" suspend={suspend}"));
                }
                text
            }
            Write::Adopt { kind, name, .. } => format!("adopt {kind:?}/{}", name.name),
            Write::CreateArrival(arrival) => {
                format!("arrive {} {:?}", arrival.spec.holder, arrival.spec.outcome)
            }
            Write::Delete {
                kind,
                name,
                uid,
                version,
            } => {
                assert!(!uid.is_empty() && version.is_some(), "{name:?}");
                format!("delete {kind:?}/{}", name.name)
            }
        })
        .collect()
}

/// A law: a Job that waits, and about which nothing is written, has a reason that can be asked for.
pub(crate) fn says_why(job: &Participant, decision: &Decision<NoStatus>) {
    let asks = job.gate().is_some() || !job.holds().is_empty();
    let is_over = job.is_over() || job.metadata.deletion_timestamp.is_some();
    if decision.before.is_empty() && asks && !is_over && job.may_start() && job.is_suspended() {
        assert!(decision.waits.is_some(), "{job:?}");
    }
}
