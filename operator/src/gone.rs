//! Jobs that the watch has shown to be deleted, as they were then, and what their pods wrote.
//!
//! A Job with a TTL may be gone a moment after its end: what the watch has shown last is then all that
//! says how it ended, until its Run, or whatever waits for it, has taken that in. What is lost with
//! the process is either in the Run's record, or lost for good.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, Run};
use konductor_core::{End, ObjectName, job, job_uid, named_runs, run, run_end};
use kube::runtime::reflector::Store;

use crate::reference::reference;

/// Jobs that are remembered at most: some 50 MB. The oldest are forgotten first.
const JOBS_MAX: usize = 20_000;
/// Pods, and deleted Runs, that are remembered at most.
const OTHERS_MAX: usize = 4_096;

/// What is remembered.
#[derive(Debug, Default)]
pub(crate) struct Gone {
    inner: Mutex<Inner>,
    runs: OnceLock<Store<Run>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By uid.
    jobs: HashMap<String, Arc<Participant>>,
    /// Uids, the oldest first; of some the Job is forgotten already.
    order: VecDeque<String>,
    by_name: HashMap<ObjectName, Vec<String>>,
    /// By each Run that the Job names, by its label or as an owner.
    by_run: HashMap<ObjectName, HashSet<String>>,
    /// The uids of those whose end their Run has recorded.
    recorded: HashSet<String>,
    /// The pods of Jobs, by the Job's uid.
    pods: HashMap<String, Vec<Arc<Pod>>>,
    pods_order: VecDeque<String>,
    /// The uids of Runs that were deleted: their Jobs follow them, and nothing needs those.
    deleted_runs: VecDeque<String>,
}

fn run_names(job: &Participant) -> Vec<ObjectName> {
    let names = named_runs(&job.metadata).into_iter();
    names.map(|name| job.beside(name)).collect()
}

fn uid(job: &Participant) -> String {
    job.metadata.uid.clone().unwrap_or_default()
}

/// Of a Job that is gone, what still counts.
fn stripped(job: &Participant) -> Participant {
    Participant::of(Job {
        metadata: job.metadata.clone(),
        spec: job.spec.as_ref().map(|spec| JobSpec {
            suspend: spec.suspend,
            // What its items wrote is in the order of its indexes.
            completions: spec.completions,
            ..JobSpec::default()
        }),
        status: job.status.clone(),
    })
}

impl Gone {
    /// Names the cache of Runs: the Jobs of one that has ended are not remembered.
    pub(crate) fn know(&self, runs: Store<Run>) {
        // It is set once, before the watches are polled.
        let _ = self.runs.set(runs);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves an entry that nothing names, until the oldest are forgotten.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a Job that was deleted, if something may wait for it.
    pub(crate) fn remember(&self, job: &Participant, is_named: bool) {
        let runs = run_names(job);
        let known_runs: Vec<Arc<Run>> = runs.iter().filter_map(|name| self.run(name)).collect();
        let over = !known_runs.is_empty() && known_runs.iter().all(|run| run_end(run).is_some());
        // One that could not be decoded for a while is not gone.
        let is_alive = |uid: &String| {
            let mut known_runs = known_runs.iter();
            known_runs.any(|run| run.metadata.uid.as_ref() == Some(uid))
        };
        let mut inner = self.inner();
        let mut owners = job.metadata.owner_references.iter().flatten();
        let orphaned =
            owners.any(|owner| !is_alive(&owner.uid) && inner.deleted_runs.contains(&owner.uid));
        if over || orphaned || (runs.is_empty() && !is_named) {
            return;
        }
        let uid = uid(job);
        inner.jobs.insert(uid.clone(), Arc::new(stripped(job)));
        inner.order.push_back(uid.clone());
        let name = ObjectName::of(&job.metadata);
        inner.by_name.entry(name).or_default().push(uid.clone());
        for run in runs {
            inner.by_run.entry(run).or_default().insert(uid.clone());
        }
        while inner.order.len() > JOBS_MAX {
            let Some(oldest) = inner.order.pop_front() else {
                break;
            };
            inner.forget(&oldest);
        }
    }

    fn run(&self, name: &ObjectName) -> Option<Arc<Run>> {
        self.runs.get()?.get(&reference(name))
    }

    /// Remembers a pod that was deleted after it had succeeded: its Job's outputs may not be read yet.
    pub(crate) fn remember_pod(&self, pod: &Pod) {
        let status = pod.status.as_ref();
        let succeeded = status.and_then(|status| status.phase.as_deref()) == Some("Succeeded");
        let Some(uid) = job_uid(pod).filter(|_| succeeded) else {
            return;
        };
        let mut inner = self.inner();
        inner
            .pods
            .entry(uid.to_owned())
            .or_default()
            .push(Arc::new(pod.clone()));
        inner.pods_order.push_back(uid.to_owned());
        while inner.pods_order.len() > OTHERS_MAX {
            if let Some(oldest) = inner.pods_order.pop_front() {
                inner.pods.remove(&oldest);
            }
        }
    }

    /// The outputs of a Job are stored: what its pods wrote is not needed any more.
    pub(crate) fn forget_pods(&self, job: &Participant) {
        if job.has_outputs() {
            self.inner().pods.remove(&uid(job));
        }
    }

    /// A Run was deleted, or has ended. What another Run has, too, is kept for that.
    pub(crate) fn forget_run(&self, run: &Run) {
        let name = ObjectName::of(&run.metadata);
        let mut inner = self.inner();
        for uid in inner.by_run.remove(&name).unwrap_or_default() {
            let others = inner.jobs.get(&uid).map(|job| run_names(job));
            let is_anothers = others.into_iter().flatten().any(|run| {
                let uids = inner.by_run.get(&run);
                uids.is_some_and(|uids| uids.contains(&uid))
            });
            if !is_anothers {
                inner.forget(&uid);
            }
        }
    }

    /// Takes note of a Run that was deleted: its Jobs are deleted next.
    pub(crate) fn run_deleted(&self, run: &Run) {
        let mut inner = self.inner();
        inner
            .deleted_runs
            .push_back(run.metadata.uid.clone().unwrap_or_default());
        if inner.deleted_runs.len() > OTHERS_MAX {
            inner.deleted_runs.pop_front();
        }
    }

    /// The Jobs of a Run whose ends it has recorded since it was last asked. What is good and has
    /// written nothing is forgotten.
    pub(crate) fn newly_recorded(&self, run: &Run) -> Vec<Arc<Participant>> {
        let mut inner = self.inner();
        let name = ObjectName::of(&run.metadata);
        let uids = inner.by_run.get(&name).cloned().unwrap_or_default();
        let mut recorded = Vec::new();
        for uid in uids {
            let Some(job) = inner.jobs.get(&uid).cloned() else {
                continue;
            };
            if inner.recorded.contains(&uid) {
                continue;
            }
            let Some(end) = run::recorded_end(run, &job) else {
                continue;
            };
            let writes = job.declared_outputs.is_some();
            if matches!(end, End::Succeeded | End::Skipped) && !writes {
                inner.forget(&uid);
            } else {
                inner.recorded.insert(uid);
            }
            recorded.push(job);
        }
        recorded
    }

    /// The Job of a pod, if it is gone.
    pub(crate) fn job_of(&self, pod: &Pod) -> Option<Arc<Participant>> {
        self.inner().jobs.get(job_uid(pod)?).cloned()
    }

    /// The Jobs of a name, the newest last: those that are gone, and the one that is still shown although a read may not
    /// have found it any more.
    pub(crate) fn named(
        &self,
        name: &ObjectName,
        shown: Vec<Arc<Participant>>,
        pods: impl Fn(&Participant) -> Vec<Arc<Pod>>,
    ) -> Vec<Arc<Participant>> {
        let inner = self.inner();
        let uids = inner.by_name.get(name).into_iter().flatten();
        let jobs = uids.filter_map(|uid| inner.jobs.get(uid).cloned());
        let jobs: Vec<Arc<Participant>> = jobs.chain(shown).collect();
        drop(inner);
        self.with_outputs(jobs, pods)
    }

    /// The Jobs of a namespace that are like this; those that name one Run, if it is given. Whether they belong to it,
    /// their owner's uid says.
    pub(crate) fn matching(
        &self,
        namespace: &str,
        run: Option<&String>,
        is_meant: impl Fn(&Participant) -> bool,
        pods: impl Fn(&Participant) -> Vec<Arc<Pod>>,
    ) -> Vec<Arc<Participant>> {
        let inner = self.inner();
        let is_meant = |job: &&Arc<Participant>| {
            job.metadata.namespace.as_deref() == Some(namespace) && is_meant(job)
        };
        let entry = |job: &Arc<Participant>| (uid(job), Arc::clone(job));
        // In an order that does not depend on the process.
        let jobs: BTreeMap<String, Arc<Participant>> = match run {
            Some(run) => {
                let uids = inner.by_run.get(&ObjectName::new(namespace, run));
                let jobs = uids.into_iter().flatten();
                let jobs = jobs.filter_map(|uid| inner.jobs.get(uid));
                jobs.filter(is_meant).map(entry).collect()
            }
            None => inner.jobs.values().filter(is_meant).map(entry).collect(),
        };
        drop(inner);
        self.with_outputs(jobs.into_values().collect(), pods)
    }

    /// A Job that was complete, and gone before its outputs were stored, has still written them.
    fn with_outputs(
        &self,
        jobs: Vec<Arc<Participant>>,
        pods: impl Fn(&Participant) -> Vec<Arc<Pod>>,
    ) -> Vec<Arc<Participant>> {
        let with_outputs = jobs.into_iter().map(|gone| {
            if !gone.owes_outputs() {
                return gone;
            }
            let mut all = pods(&gone);
            all.extend(
                self.inner()
                    .pods
                    .get(&uid(&gone))
                    .into_iter()
                    .flatten()
                    .cloned(),
            );
            let job = Arc::new(job::with_outputs((*gone).clone(), &all));
            if let Some(kept) = self.inner().jobs.get_mut(&uid(&gone)) {
                *kept = Arc::clone(&job);
            }
            job
        });
        with_outputs.collect()
    }
}

impl Inner {
    fn forget(&mut self, uid: &str) {
        let Some(job) = self.jobs.remove(uid) else {
            return;
        };
        self.pods.remove(uid);
        self.recorded.remove(uid);
        let name = ObjectName::of(&job.metadata);
        if let Some(uids) = self.by_name.get_mut(&name) {
            uids.retain(|other| other != uid);
            if uids.is_empty() {
                self.by_name.remove(&name);
            }
        }
        for run in run_names(&job) {
            if let Some(uids) = self.by_run.get_mut(&run) {
                uids.remove(uid);
                if uids.is_empty() {
                    self.by_run.remove(&run);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn job(name: &str, labels: Value, owner: Option<&str>) -> Participant {
        let owners = owner.map(|run| {
            json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": run, "uid": run}])
        });
        let metadata = json!({
            "name": name, "namespace": "ns", "uid": name, "labels": labels, "ownerReferences": owners,
        });
        serde_json::from_value(json!({ "metadata": metadata })).expect("a Job")
    }

    fn run(name: &str) -> Run {
        let metadata = json!({"name": name, "namespace": "ns", "uid": name});
        let run = json!({"metadata": metadata, "spec": {"pipeline": "p", "jobs": 1}});
        serde_json::from_value(run).expect("a Run")
    }

    #[test]
    fn a_job_that_is_gone_is_found_by_every_run_that_it_names() {
        let gone = Gone::default();
        for job in [
            job("labelled", json!({"konductor.io/run": "r"}), None),
            job("owned", json!({}), Some("r")),
            job("both", json!({"konductor.io/run": "s"}), Some("r")),
            job("neither", json!({}), None),
        ] {
            gone.remember(&job, false);
        }
        let of = |run: &str| {
            let jobs = gone.matching("ns", Some(&run.to_owned()), |_| true, |_| Vec::new());
            let names = jobs.iter().map(|job| job.name().to_owned());
            names.collect::<Vec<_>>()
        };
        assert_eq!(of("r"), ["both", "labelled", "owned"]);
        assert_eq!(of("s"), ["both"]);
        // One that another Run has, too, is kept for that.
        gone.forget_run(&run("s"));
        assert_eq!(of("r"), ["both", "labelled", "owned"]);
        gone.forget_run(&run("r"));
        assert!(gone.inner().jobs.is_empty() && gone.inner().by_run.is_empty());
    }
}
