//! The loop around [`plan`]: keeps CronJobs and their Jobs in view, and does what the plans say.
//!
//! # Guarantees
//! Nothing polls: changes and the plans' own times wake it. A Job that already exists under its
//! slot's name counts as started, and is not created again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::plan::{CronJobPlan, plan, reference};
use crate::runner::cluster::{Change, Cluster, is_outdated, name, namespace, owner, uid, version};
use crate::{ApiServer, Status};

/// The component whose Events these are.
const COMPONENT: &str = "cronjob-controller";
/// The wait before a failed write is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(5);

/// A running CronJob controller.
#[derive(Debug)]
pub struct CronJobController {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl CronJobController {
    /// Starts to look after the CronJobs of `api`.
    ///
    /// # Assumptions
    /// It is the only CronJob controller there.
    pub fn start(api: &ApiServer) -> Self {
        let cluster = Cluster::new(api.managed_by("kube-controller-manager"));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = stopped => {}
                () = run(cluster) => {}
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

async fn run(cluster: Cluster) {
    loop {
        let (jobs, jobs_version) = cluster.list::<Job>();
        let (cron_jobs, cron_jobs_version) = cluster.list::<CronJob>();
        let jobs_changes = cluster.watch::<Job>(jobs_version);
        let changes = cluster.watch::<CronJob>(cron_jobs_version);
        let mut view = View::new(cluster.clone());
        jobs.into_iter()
            .for_each(|job| view.see_job(Change::Set(job)));
        cron_jobs
            .into_iter()
            .for_each(|cron_job| view.see(Change::Set(cron_job)));
        view.follow(changes, jobs_changes).await;
        tracing::debug!("a watch of the CronJob controller ended: listing again");
    }
}

/// What the controller knows.
struct View {
    cluster: Cluster,
    /// By uid.
    cron_jobs: HashMap<String, Known>,
    /// By the uid of their CronJob, then by their own.
    jobs: HashMap<String, BTreeMap<String, Job>>,
    /// Uids of CronJobs to plan.
    queue: BTreeSet<String>,
}

/// A CronJob: where to find it, what it was due by, and when to look at it.
struct Known {
    namespace: String,
    name: String,
    due: (String, Option<String>),
    wake: Option<Timestamp>,
}

impl View {
    fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            cron_jobs: HashMap::new(),
            jobs: HashMap::new(),
            queue: BTreeSet::new(),
        }
    }

    /// Works until one of the watches ends.
    async fn follow(
        &mut self,
        cron_jobs: impl Stream<Item = Change<CronJob>>,
        jobs: impl Stream<Item = Change<Job>>,
    ) {
        let (mut cron_jobs, mut jobs) = (std::pin::pin!(cron_jobs), std::pin::pin!(jobs));
        loop {
            let idle = self.queue.is_empty();
            let cluster = self.cluster.clone();
            let next = self.cron_jobs.values().filter_map(|entry| entry.wake).min();
            tokio::select! {
                // What has happened is seen before the next plan is made.
                biased;
                change = cron_jobs.next() => match change {
                    Some(change) => self.see(change),
                    None => return,
                },
                change = jobs.next() => match change {
                    Some(change) => self.see_job(change),
                    None => return,
                },
                () = tokio::task::yield_now(), if !idle => self.plan_next(),
                () = cluster.sleep_until(next), if idle => self.wake(),
            }
        }
    }

    fn wake(&mut self) {
        let now = self.cluster.now();
        for (uid, entry) in &mut self.cron_jobs {
            if entry.wake.is_some_and(|wake| wake <= now) {
                entry.wake = None;
                self.queue.insert(uid.clone());
            }
        }
    }

    fn see(&mut self, change: Change<CronJob>) {
        let cron_job = match change {
            Change::Set(cron_job) => cron_job,
            Change::Gone(cron_job) => {
                self.cron_jobs.remove(uid(&cron_job));
                return;
            }
        };
        let spec = &cron_job.spec;
        let due = (spec.schedule.clone(), spec.time_zone.clone());
        let key = uid(&cron_job).to_owned();
        match self.cron_jobs.get_mut(&key) {
            // Another schedule begins with its next slot: it has missed none.
            Some(entry) if entry.due != due => {
                entry.due = due;
                entry.wake = plan(&cron_job, &[], self.cluster.now()).wake;
            }
            Some(_) => {
                self.queue.insert(key);
            }
            None => {
                let entry = Known {
                    namespace: namespace(&cron_job).to_owned(),
                    name: name(&cron_job).to_owned(),
                    due,
                    wake: None,
                };
                self.cron_jobs.insert(key.clone(), entry);
                self.queue.insert(key);
            }
        }
    }

    fn see_job(&mut self, change: Change<Job>) {
        let (Change::Set(job) | Change::Gone(job)) = &change;
        let Some(owner) = owner(job, "CronJob") else {
            return;
        };
        let jobs = self.jobs.entry(owner.uid.clone()).or_default();
        match change {
            Change::Set(job) => {
                let last_version = jobs.get(uid(&job)).map(version);
                if last_version.is_some_and(|last| last >= version(&job)) {
                    return;
                }
                jobs.insert(uid(&job).to_owned(), job);
            }
            Change::Gone(job) => {
                jobs.remove(uid(&job));
            }
        }
        if jobs.is_empty() {
            self.jobs.remove(&owner.uid);
        }
        if self.cron_jobs.contains_key(&owner.uid) {
            self.queue.insert(owner.uid);
        }
    }

    fn plan_next(&mut self) {
        let Some(key) = self.queue.pop_first() else {
            return;
        };
        let Some(entry) = self.cron_jobs.get(&key) else {
            return;
        };
        let cron_job = self.cluster.get::<CronJob>(&entry.namespace, &entry.name);
        let Some(cron_job) = cron_job.filter(|cron_job| *uid(cron_job) == key) else {
            return;
        };
        let jobs = self.jobs.get(&key).into_iter().flat_map(BTreeMap::values);
        let jobs: Vec<&Job> = jobs.collect();
        let plan = plan(&cron_job, &jobs, self.cluster.now());
        let wake = match self.apply(&cron_job, plan) {
            Ok(wake) => wake,
            // What has changed meanwhile is seen, and planned with.
            Err(error) if is_outdated(&error) => return,
            Err(error) => {
                let (namespace, name) = (namespace(&cron_job), name(&cron_job));
                tracing::warn!(namespace, cron_job = name, %error, "a CronJob's plan failed");
                self.cluster.now().saturating_add(RETRY_WAIT).ok()
            }
        };
        if let Some(entry) = self.cron_jobs.get_mut(&key) {
            entry.wake = wake;
        }
    }

    /// Does what the plan says; returns when to plan again, unless something happens before.
    fn apply(
        &mut self,
        cron_job: &CronJob,
        plan: CronJobPlan,
    ) -> Result<Option<Timestamp>, Status> {
        let CronJobPlan {
            delete,
            create,
            mut status,
            events,
            wake,
        } = plan;
        for job in &delete {
            self.cluster
                .delete::<Job>(namespace(job), name(job), uid(job), None)?;
            self.see_job(Change::Gone(job.clone()));
        }
        for event in events {
            let kind = if event.warning { "Warning" } else { "Normal" };
            self.cluster
                .report(cron_job, COMPONENT, kind, event.reason, &event.message);
        }
        if let Some(job) = &create {
            let Some(job) = self.start(cron_job, job)? else {
                return Ok(wake);
            };
            status.active.get_or_insert_default().push(reference(&job));
            self.see_job(Change::Set(job));
        }
        if cron_job.status.clone().unwrap_or_default() != status {
            let planned = CronJob {
                status: Some(status),
                ..cron_job.clone()
            };
            self.cluster.replace_status(&planned)?;
        }
        Ok(wake)
    }

    /// The Job of a slot, which may be there from a try whose status was not written. `None` where
    /// another one has its name.
    fn start(&self, cron_job: &CronJob, job: &Job) -> Result<Option<Job>, Status> {
        match self.cluster.create(job) {
            Ok(job) => {
                let message = format!("Created job {}", name(&job));
                self.cluster
                    .report(cron_job, COMPONENT, "Normal", "SuccessfulCreate", &message);
                Ok(Some(job))
            }
            Err(error) if error.code == 409 => {
                let existing = self.cluster.get::<Job>(namespace(job), name(job));
                let is_own =
                    |job: &Job| owner(job, "CronJob").is_some_and(|o| o.uid == uid(cron_job));
                Ok(existing.filter(is_own))
            }
            Err(error) => {
                let message = format!("Error creating job: {error}");
                self.cluster
                    .report(cron_job, COMPONENT, "Warning", "FailedCreate", &message);
                Err(error)
            }
        }
    }
}
