//! The loop around [`plan`]: keeps Jobs and pods in view, and does what the plans say.
//!
//! # Guarantees
//! One task does everything, and its view contains its own writes as soon as they are made, so
//! that no pod is created twice. A status is written under the version it was planned from; after
//! a conflict the Job is read again. Nothing polls: changes and the plans' own times wake it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::events::Events;
use super::plan::{BackOff, JobPlan, PodDeletion, PodRef, is_finished, plan};
use super::pods::{TRACKING_FINALIZER, is_tracked};
use crate::runner::cluster::{
    self, Change, Cluster, is_outdated, name, namespace, owner, uid, version,
};
use crate::{ApiServer, Status};

/// The wait before a failed write is tried again, doubled after each failure.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// How often the wait is doubled: up to about eight minutes.
const RETRY_DOUBLINGS_MAX: u32 = 9;

/// A running Job controller.
#[derive(Debug)]
pub struct JobController {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl JobController {
    /// Starts to look after the Jobs of `api`; a failed pod is replaced after `back_off`.
    ///
    /// # Assumptions
    /// It is the only Job controller there.
    pub fn start(api: &ApiServer, back_off: BackOff) -> Self {
        let cluster = Cluster::new(api.managed_by("kube-controller-manager"));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = stopped => {}
                () = run(cluster, back_off) => {}
            }
        });
        Self { stop, task }
    }

    /// Stops after the plan that is being carried out.
    pub async fn shutdown(self) {
        drop(self.stop);
        // An error is a panic in the task, which has been reported.
        let _ = self.task.await;
    }
}

async fn run(cluster: Cluster, back_off: BackOff) {
    loop {
        let (pods, pods_version) = cluster.list::<Pod>();
        let (jobs, jobs_version) = cluster.list::<Job>();
        let jobs_changes = cluster.watch::<Job>(jobs_version);
        let pods_changes = cluster.watch::<Pod>(pods_version);
        let mut view = View::new(cluster.clone(), back_off);
        jobs.into_iter()
            .for_each(|job| view.see_job(Change::Set(job)));
        pods.into_iter()
            .for_each(|pod| view.see_pod(Change::Set(pod)));
        view.follow(jobs_changes, pods_changes).await;
        tracing::debug!("a watch of the Job controller ended: listing again");
    }
}

/// What the controller knows.
struct View {
    cluster: Cluster,
    back_off: BackOff,
    /// By uid.
    jobs: HashMap<String, KnownJob>,
    /// By the uid of their Job, then by their own. Of a finished Job, only those to be let go.
    pods: HashMap<String, BTreeMap<String, Pod>>,
    /// Uids of Jobs to plan.
    queue: Queue,
    /// Uids of Jobs to plan later.
    alarms: Alarms,
    /// Failed rounds in a row, by Job.
    failures: HashMap<String, u32>,
}

/// Where to find a Job. The Job itself is read when it is planned: thousands may be waiting.
#[derive(Clone)]
struct KnownJob {
    namespace: String,
    name: String,
    version: u64,
    finished: bool,
}

impl View {
    fn new(cluster: Cluster, back_off: BackOff) -> Self {
        Self {
            cluster,
            back_off,
            jobs: HashMap::new(),
            pods: HashMap::new(),
            queue: Queue::default(),
            alarms: Alarms::default(),
            failures: HashMap::new(),
        }
    }

    /// Works until one of the watches ends.
    async fn follow(
        &mut self,
        jobs: impl Stream<Item = Change<Job>>,
        pods: impl Stream<Item = Change<Pod>>,
    ) {
        let (mut jobs, mut pods) = (std::pin::pin!(jobs), std::pin::pin!(pods));
        loop {
            let idle = self.queue.is_empty();
            let cluster = self.cluster.clone();
            tokio::select! {
                // What has happened is seen before the next plan is made.
                biased;
                change = jobs.next() => match change {
                    Some(change) => self.see_job(change),
                    None => return,
                },
                change = pods.next() => match change {
                    Some(change) => self.see_pod(change),
                    None => return,
                },
                () = tokio::task::yield_now(), if !idle => self.plan_next(),
                () = cluster.sleep_until(self.alarms.next()), if idle => {
                    let due = self.alarms.take_due(cluster.now());
                    due.into_iter().for_each(|uid| self.queue.push(uid));
                }
            }
        }
    }

    fn see_job(&mut self, change: Change<Job>) {
        let (Change::Set(job) | Change::Gone(job)) = &change;
        let uid = uid(job).to_owned();
        let last_version = self.jobs.get(&uid).map(|job| job.version);
        match change {
            Change::Set(job) => {
                let version = version(&job);
                if last_version.is_some_and(|last| last >= version) {
                    return;
                }
                let finished = job.status.as_ref().is_some_and(is_finished);
                let (namespace, name) = (namespace(&job).to_owned(), name(&job).to_owned());
                let job = KnownJob {
                    namespace,
                    name,
                    version,
                    finished,
                };
                self.jobs.insert(uid.clone(), job);
                if finished && let Some(pods) = self.pods.get_mut(&uid) {
                    pods.retain(|_, pod| is_tracked(pod));
                    if pods.is_empty() {
                        self.pods.remove(&uid);
                    }
                }
            }
            Change::Gone(_) => {
                self.jobs.remove(&uid);
                self.failures.remove(&uid);
                self.alarms.set(&uid, None);
            }
        }
        self.queue.push(uid);
    }

    fn see_pod(&mut self, change: Change<Pod>) {
        let (Change::Set(pod) | Change::Gone(pod)) = &change;
        let Some(owner) = owner(pod, "Job") else {
            return;
        };
        let uid = uid(pod).to_owned();
        let last_version = self
            .pods
            .get(&owner.uid)
            .and_then(|pods| pods.get(&uid))
            .map(version);
        match change {
            Change::Set(pod) => {
                let finished = self.jobs.get(&owner.uid).is_some_and(|job| job.finished);
                if last_version.is_some_and(|last| last >= version(&pod)) {
                    return;
                }
                if finished && !is_tracked(&pod) {
                    return self.forget_pod(&owner.uid, &uid);
                }
                self.pods
                    .entry(owner.uid.clone())
                    .or_default()
                    .insert(uid, pod);
                self.queue.push(owner.uid);
            }
            Change::Gone(_) => self.forget_pod(&owner.uid, &uid),
        }
    }

    fn plan_next(&mut self) {
        let Some(uid) = self.queue.pop() else { return };
        let known_job = self.jobs.get(&uid);
        let job = known_job.and_then(|known_job| {
            self.cluster
                .get::<Job>(&known_job.namespace, &known_job.name)
        });
        let job = job.filter(|job| cluster::uid(job) == uid);
        let done = match &job {
            Some(job) => {
                let pods = self.pods.get(&uid).into_iter().flat_map(BTreeMap::values);
                let pods: Vec<&Pod> = pods.collect();
                let plan = plan(job, &pods, self.cluster.now(), self.back_off);
                self.apply(job, plan)
            }
            None => self.release_orphans(&uid).map(|()| None),
        };
        let wake = match done {
            Ok(wake) => {
                self.failures.remove(&uid);
                wake
            }
            Err(Failure { reason, error }) => {
                match &job {
                    Some(job) => Events::of(&self.cluster, job).failed(reason, &error.to_string()),
                    None => tracing::warn!(job = uid, %error, "pods of a deleted Job not released"),
                }
                let failures = self.failures.entry(uid.clone()).or_default();
                let wait = RETRY_WAIT * (1 << (*failures).min(RETRY_DOUBLINGS_MAX));
                *failures += 1;
                Some(
                    self.cluster
                        .now()
                        .saturating_add(wait)
                        .unwrap_or(Timestamp::MAX),
                )
            }
        };
        self.alarms.set(&uid, wake);
    }

    /// Does what the plan says; returns when to plan again, unless something happens before.
    fn apply(&mut self, job: &Job, plan: JobPlan) -> Result<Option<Timestamp>, Failure> {
        let JobPlan {
            delete,
            create,
            mut status,
            release,
            wake,
            expire,
        } = plan;
        let cluster = self.cluster.clone();
        let events = Events::of(&cluster, job);
        for PodDeletion { pod, uncounted } in &delete {
            if *uncounted {
                self.release(namespace(job), uid(job), pod)?;
            }
            self.delete(job, pod)?;
            events.deleted(&pod.name);
        }
        let mut outcome = Ok(wake);
        for pod in &create {
            match self.cluster.create(pod) {
                Ok(pod) => {
                    events.created(name(&pod));
                    self.see_pod(Change::Set(pod));
                }
                Err(error) => {
                    // The others are tried too, and the status says how many there are.
                    status.active = status.active.map(|n| n - 1).filter(|active| *active > 0);
                    outcome = Err(Failure {
                        reason: "FailedCreate",
                        error,
                    });
                }
            }
        }
        if job.status.as_ref() != Some(&status) {
            let planned = Job {
                status: Some(status),
                ..job.clone()
            };
            match self.cluster.replace_status(&planned) {
                Ok(written) => {
                    events.conditions(written.status.as_ref());
                    self.see_job(Change::Set(written));
                }
                Err(error) if is_outdated(&error) => {
                    self.queue.push(uid(job).to_owned());
                    return outcome;
                }
                Err(error) => {
                    return Err(Failure {
                        reason: "FailedStatus",
                        error,
                    });
                }
            }
        }
        for pod in &release {
            self.release(namespace(job), uid(job), pod)?;
        }
        if expire {
            self.cluster
                .delete::<Job>(namespace(job), name(job), uid(job), None)
                .map_err(|error| Failure {
                    reason: "FailedDelete",
                    error,
                })?;
        }
        outcome
    }

    fn delete(&mut self, job: &Job, pod: &PodRef) -> Result<(), Failure> {
        self.cluster
            .delete::<Pod>(namespace(job), &pod.name, &pod.uid, None)
            .map_err(|error| Failure {
                reason: "FailedDelete",
                error,
            })?;
        match self.live_pod(namespace(job), pod) {
            Some(live) => self.see_pod(Change::Set(live)),
            None => self.forget_pod(uid(job), &pod.uid),
        }
        Ok(())
    }

    /// Takes the tracking finalizer off a pod.
    fn release(&mut self, namespace: &str, job_uid: &str, pod: &PodRef) -> Result<(), Failure> {
        while let Some(mut live) = self.live_pod(namespace, pod) {
            let tracked = is_tracked(&live);
            live.metadata.finalizers.iter_mut().for_each(|all| {
                all.retain(|finalizer| finalizer != TRACKING_FINALIZER);
            });
            let released = if tracked {
                self.cluster.replace(&live)
            } else {
                Ok(live)
            };
            match released {
                Ok(pod) => {
                    self.see_pod(Change::Set(pod));
                    return Ok(());
                }
                Err(error) if is_outdated(&error) => {}
                Err(error) => {
                    return Err(Failure {
                        reason: "FailedRelease",
                        error,
                    });
                }
            }
        }
        self.forget_pod(job_uid, &pod.uid);
        Ok(())
    }

    /// Lets the pods of a Job go that is gone itself.
    fn release_orphans(&mut self, job_uid: &str) -> Result<(), Failure> {
        let pods = self
            .pods
            .get(job_uid)
            .into_iter()
            .flat_map(BTreeMap::values);
        let tracked: Vec<Pod> = pods.filter(|pod| is_tracked(pod)).cloned().collect();
        for pod in &tracked {
            let owner = owner(pod, "Job")
                .map(|owner| owner.name)
                .unwrap_or_default();
            let live = self.cluster.get::<Job>(namespace(pod), &owner);
            if let Some(job) = live.filter(|job| uid(job) == job_uid) {
                // It is only not in view yet.
                self.see_job(Change::Set(job));
                return Ok(());
            }
            let reference = PodRef {
                name: name(pod).into(),
                uid: uid(pod).into(),
            };
            self.release(namespace(pod), job_uid, &reference)?;
        }
        Ok(())
    }

    fn live_pod(&self, namespace: &str, pod: &PodRef) -> Option<Pod> {
        self.cluster
            .get::<Pod>(namespace, &pod.name)
            .filter(|live| uid(live) == pod.uid)
    }

    fn forget_pod(&mut self, job_uid: &str, pod_uid: &str) {
        if let Some(pods) = self.pods.get_mut(job_uid)
            && pods.remove(pod_uid).is_some()
        {
            self.queue.push(job_uid.to_owned());
            if pods.is_empty() {
                self.pods.remove(job_uid);
            }
        }
    }
}

/// A write that failed, and the reason of the event about it.
struct Failure {
    reason: &'static str,
    error: Status,
}

/// Uids in the order of their arrival, each at most once.
#[derive(Default)]
struct Queue {
    order: VecDeque<String>,
    members: HashSet<String>,
}

impl Queue {
    fn push(&mut self, uid: String) {
        if self.members.insert(uid.clone()) {
            self.order.push_back(uid);
        }
    }

    fn pop(&mut self) -> Option<String> {
        let uid = self.order.pop_front()?;
        self.members.remove(&uid);
        Some(uid)
    }

    fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

/// Uids by the time at which to look at them, at most one time each.
#[derive(Default)]
struct Alarms {
    by_time: BTreeSet<(Timestamp, String)>,
    by_uid: HashMap<String, Timestamp>,
}

impl Alarms {
    fn set(&mut self, uid: &str, time: Option<Timestamp>) {
        if let Some(old) = self.by_uid.remove(uid) {
            self.by_time.remove(&(old, uid.to_owned()));
        }
        if let Some(time) = time {
            self.by_uid.insert(uid.to_owned(), time);
            self.by_time.insert((time, uid.to_owned()));
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(time, _)| *time)
    }

    fn take_due(&mut self, now: Timestamp) -> Vec<String> {
        let due: Vec<String> = self
            .by_time
            .iter()
            .take_while(|(time, _)| *time <= now)
            .map(|(_, uid)| uid.clone())
            .collect();
        due.iter().for_each(|uid| self.set(uid, None));
        due
    }
}
