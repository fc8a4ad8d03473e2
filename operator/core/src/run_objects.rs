//! The objects of a Run, and those that they wait for, found by name, uid and owner.
//!
//! What enters: objects as somebody has listed them. What leaves: the answer to each [`Fact`] that explains a Job of
//! the Run, and the Run's graph. What must never happen here: a search through all objects for one Job, because a
//! Run has 10,000 of them.

mod gone;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Event, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{Barrier, ConditionKind, Gate, Lease, Participant, Run, Semaphore};
use serde_json::Value;

use crate::run_graph::RunGraph;
use crate::{Fact, Objects};

pub(crate) use gone::as_recorded;

/// What was listed. What may not be read is missing, and explains less.
#[derive(Debug, Default)]
pub struct Listed {
    /// The Run itself.
    pub run: Option<Run>,
    /// Its Jobs.
    pub jobs: Vec<Participant>,
    /// Its Gates, and those of others that it waits for.
    pub gates: Vec<Gate>,
    /// Its Barriers, and those of others that it waits for.
    pub barriers: Vec<Barrier>,
    /// The Semaphores of its namespace.
    pub semaphores: Vec<Semaphore>,
    /// The Leases of its namespace.
    pub leases: Vec<Lease>,
    /// The pods of its Jobs.
    pub pods: Vec<Pod>,
    /// Warnings about its Jobs and pods.
    pub events: Vec<Event>,
    /// Kueue's Workloads.
    pub workloads: Vec<Value>,
}

/// The objects of a Run, and those that they wait for.
#[derive(Debug, Default)]
pub struct RunObjects {
    run: Option<Arc<Run>>,
    jobs: Vec<Arc<Participant>>,
    /// Those that the Run has had, as far as they are known.
    gone: BTreeMap<String, Arc<Participant>>,
    job_by_name: BTreeMap<String, usize>,
    gates: BTreeMap<String, Arc<Gate>>,
    barriers: BTreeMap<String, Arc<Barrier>>,
    semaphores: BTreeMap<String, Arc<Semaphore>>,
    leases: BTreeMap<String, Arc<Lease>>,
    /// By the uid of each of their owners.
    pods: BTreeMap<String, Vec<Arc<Pod>>>,
    /// By the uid of what they are about.
    events: BTreeMap<String, Vec<Event>>,
    /// By the uid of each of their owners.
    workloads: BTreeMap<String, Vec<Value>>,
}

impl From<Listed> for RunObjects {
    fn from(listed: Listed) -> Self {
        let jobs = listed.jobs.into_iter();
        let jobs = jobs.map(|job| match &listed.run {
            Some(run) => as_recorded(run, &job).unwrap_or(job),
            None => job,
        });
        let jobs: Vec<_> = jobs.map(Arc::new).collect();
        let gone = gone(listed.run.as_ref(), &jobs, &listed.gates);
        let by_name = jobs.iter().enumerate();
        let by_name = by_name.map(|(index, job)| (job.name().to_owned(), index));
        let mut pods: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for pod in listed.pods.into_iter().map(Arc::new) {
            for owner in pod.metadata.owner_references.iter().flatten() {
                let of_owner = pods.entry(owner.uid.clone()).or_default();
                of_owner.push(Arc::clone(&pod));
            }
        }
        let mut events: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for event in listed.events {
            let about = event.involved_object.uid.clone().unwrap_or_default();
            events.entry(about).or_default().push(event);
        }
        let mut workloads: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for workload in listed.workloads {
            let owners = workload["metadata"]["ownerReferences"].as_array();
            let owners = owners.into_iter().flatten();
            for owner in owners.filter_map(|owner| owner["uid"].as_str()) {
                let of_owner = workloads.entry(owner.to_owned()).or_default();
                of_owner.push(workload.clone());
            }
        }
        Self {
            run: listed.run.map(Arc::new),
            job_by_name: by_name.collect(),
            jobs,
            gone,
            gates: by(listed.gates, |gate| &gate.metadata),
            barriers: by(listed.barriers, |barrier| &barrier.metadata),
            semaphores: by(listed.semaphores, |semaphore| &semaphore.metadata),
            leases: by(listed.leases, |lease| &lease.metadata),
            pods,
            events,
            workloads,
        }
    }
}

/// The Jobs of a Run that are gone. Its Gates mention their names.
fn gone(
    run: Option<&Run>,
    jobs: &[Arc<Participant>],
    gates: &[Gate],
) -> BTreeMap<String, Arc<Participant>> {
    let Some(run) = run else {
        return BTreeMap::new();
    };
    let conditions = gates.iter().flat_map(|gate| &gate.spec.conditions);
    let of_jobs = conditions.filter(|condition| condition.kind == ConditionKind::Job);
    let mentioned = of_jobs.filter_map(|condition| condition.name.as_deref());
    let gates = gates
        .iter()
        .filter_map(|gate| gate.metadata.name.as_deref());
    let gone = gone::gone(run, jobs, mentioned, &gates.collect());
    by(gone, |job| &job.metadata)
}

fn by<K>(objects: Vec<K>, metadata: impl Fn(&K) -> &ObjectMeta) -> BTreeMap<String, Arc<K>> {
    let named = |object: K| {
        let name = metadata(&object).name.clone().unwrap_or_default();
        (name, Arc::new(object))
    };
    objects.into_iter().map(named).collect()
}

impl RunObjects {
    /// Returns the Run itself.
    pub(crate) fn run(&self) -> Option<&Run> {
        self.run.as_deref()
    }

    /// Returns the Jobs of the Run, in the order in which they were listed.
    pub fn jobs(&self) -> &[Arc<Participant>] {
        &self.jobs
    }

    /// Returns the Jobs of the Run, and behind them those that it has had and that were deleted, as far as its record
    /// knows them.
    pub fn jobs_and_gone(&self) -> impl Iterator<Item = &Participant> {
        self.jobs
            .iter()
            .chain(self.gone.values())
            .map(AsRef::as_ref)
    }

    /// Returns the Job of this name, also one that was deleted.
    pub fn job(&self, name: &str) -> Option<&Participant> {
        let gone = || self.gone.get(name);
        self.found_job(name).or_else(gone).map(AsRef::as_ref)
    }

    fn found_job(&self, name: &str) -> Option<&Arc<Participant>> {
        self.jobs.get(*self.job_by_name.get(name)?)
    }

    /// Returns the Gate of this name.
    pub fn gate(&self, name: &str) -> Option<&Gate> {
        self.gates.get(name).map(AsRef::as_ref)
    }

    /// Returns the Barrier of this name.
    pub fn barrier(&self, name: &str) -> Option<&Barrier> {
        self.barriers.get(name).map(AsRef::as_ref)
    }

    /// Returns the Barriers.
    pub fn barriers(&self) -> impl Iterator<Item = &Barrier> {
        self.barriers.values().map(AsRef::as_ref)
    }

    /// Returns the Semaphore of this name.
    pub(crate) fn semaphore(&self, name: &str) -> Option<&Semaphore> {
        self.semaphores.get(name).map(AsRef::as_ref)
    }

    /// Returns the Lease of this name.
    pub(crate) fn lease(&self, name: &str) -> Option<&Lease> {
        self.leases.get(name).map(AsRef::as_ref)
    }

    /// Returns the pods that a Job owns.
    pub(crate) fn pods_of(&self, job: &Participant) -> Vec<&Pod> {
        let pods = self.pods.get(job.uid()).into_iter().flatten();
        pods.map(AsRef::as_ref).collect()
    }

    /// Returns the warnings about a Job and these pods.
    pub(crate) fn events_about(&self, job: &Participant, pods: &[&Pod]) -> Vec<&Event> {
        let of_pods = pods.iter().filter_map(|pod| pod.metadata.uid.as_deref());
        let uids = of_pods.chain([job.uid()]);
        uids.filter_map(|uid| self.events.get(uid))
            .flatten()
            .collect()
    }

    /// Returns Kueue's Workloads of a Job.
    pub(crate) fn workloads_of(&self, job: &Participant) -> Vec<&Value> {
        let workloads = self.workloads.get(job.uid());
        workloads.into_iter().flatten().collect()
    }

    /// Returns the graph of what waits for what.
    pub fn graph(&self) -> RunGraph<'_> {
        let run = self
            .run
            .as_ref()
            .and_then(|run| run.metadata.name.as_deref());
        // Without the Run its Jobs still name it.
        let run = run.or_else(|| self.jobs.first()?.run());
        RunGraph::of(
            run.unwrap_or_default(),
            self.jobs_and_gone(),
            self.gates.values().map(AsRef::as_ref),
            self.barriers.values().map(AsRef::as_ref),
        )
    }

    /// Returns the objects that answer what a decision asks about a Job of the Run. Only of the Run's namespace
    /// anything is known, and of what is deleted nothing.
    pub fn answer(&self, fact: &Fact) -> Objects {
        fn one<K>(object: Option<&Arc<K>>) -> Vec<Arc<K>> {
            object.cloned().into_iter().collect()
        }
        match fact {
            Fact::Job(name) => Objects::Jobs(one(self.found_job(&name.name))),
            Fact::Gate(name) => Objects::Gates(one(self.gates.get(&name.name))),
            Fact::Barrier(name) => Objects::Barriers(one(self.barriers.get(&name.name))),
            Fact::Semaphore(name) => Objects::Semaphores(one(self.semaphores.get(&name.name))),
            Fact::Lease(name) => Objects::Leases(one(self.leases.get(&name.name))),
            Fact::Run(name) => {
                let is_it = |run: &&Arc<Run>| run.metadata.name.as_ref() == Some(&name.name);
                Objects::Runs(one(self.run.as_ref().filter(is_it)))
            }
            Fact::PodsOf { job_uid, .. } => {
                Objects::Pods(self.pods.get(job_uid).cloned().unwrap_or_default())
            }
            Fact::Claim(_) | Fact::ClaimsOn { .. } => Objects::Claims(Vec::new()),
            Fact::Arrival(_) | Fact::ArrivalsAt(_) => Objects::Arrivals(Vec::new()),
            Fact::Pod(_) => Objects::Pods(Vec::new()),
            Fact::RunsOf(_) => Objects::Runs(Vec::new()),
            Fact::WaitedFor(_) => Objects::WaitedFor(Arc::default()),
            Fact::HeldIn(_) => Objects::Held(Arc::default()),
            Fact::JobsLabelled { .. }
            | Fact::JobsShown(_)
            | Fact::JobsGone { .. }
            | Fact::JobGone(_)
            | Fact::ArrivingGone(_)
            | Fact::JobsHolding { .. } => Objects::Jobs(Vec::new()),
        }
    }
}
