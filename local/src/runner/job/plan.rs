//! One step of the Job controller, as a function of what was observed and the time.
//!
//! A Job and its pods enter; the pods to create and delete, the new status and the time of the
//! next look leave. Applying a plan and planning again converges: the last plan is empty. Nothing
//! here talks to an API server or reads a clock.
//!
//! # Guarantees
//! A pod is counted exactly once. It carries a finalizer; once its end is noted in
//! `status.uncountedTerminatedPods` the finalizer may go, and once that is gone the note becomes
//! part of a counter. A terminal condition is set only when no pod is active, terminating or
//! uncounted.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::failure_policy::{FailureAction, action_for};
use super::indexes::Indexes;
use super::pods::{
    completion_index, is_active, is_deleted, is_terminating, is_tracked, phase, uid,
};
use super::verdict::Verdict;

/// How long a Job waits before it replaces a failed pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackOff {
    /// After the first failure; doubles with every further one.
    pub base: Duration,
    /// Never longer than this.
    pub max: Duration,
}

impl Default for BackOff {
    /// What Kubernetes does: ten seconds, doubling up to six minutes.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(10),
            max: Duration::from_secs(360),
        }
    }
}

/// A pod by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`: another pod of the same name is not meant.
    pub uid: String,
}

/// A pod to be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDeletion {
    /// Which one.
    pub pod: PodRef,
    /// Whether its finalizer goes first, so that its end counts neither as success nor as failure.
    pub uncounted: bool,
}

/// What to do for one Job, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobPlan {
    /// Pods to delete.
    pub delete: Vec<PodDeletion>,
    /// Pods to create; the API server completes `metadata.generateName`.
    pub create: Vec<Pod>,
    /// The Job's status after that.
    pub status: JobStatus,
    /// Pods whose tracking finalizer goes, once the status is written.
    pub release: Vec<PodRef>,
    /// When to look again, unless something happens before.
    pub wake: Option<Timestamp>,
    /// Whether the Job itself is to be deleted: its `ttlSecondsAfterFinished` is over.
    pub expire: bool,
}

/// Decides the next step for `job`, given all pods it controls.
pub fn plan(job: &Job, pods: &[&Pod], now: Timestamp, back_off: BackOff) -> JobPlan {
    let spec = job.spec.clone().unwrap_or_default();
    let status = job.status.clone().unwrap_or_default();
    if spec
        .managed_by
        .as_deref()
        .is_some_and(|by| by != "kubernetes.io/job-controller")
    {
        return JobPlan {
            status,
            ..JobPlan::default()
        };
    }
    let tracked = || {
        pods.iter()
            .filter(|pod| is_tracked(pod))
            .map(|pod| pod_ref(pod))
            .collect()
    };
    if let Some(end) = terminal_time(&status) {
        let ttl = spec
            .ttl_seconds_after_finished
            .map(|seconds| seconds_of(seconds.into()));
        let expiry = ttl.map(|ttl| later(end, ttl));
        let expire =
            expiry.is_some_and(|at| at <= now) && job.metadata.deletion_timestamp.is_none();
        let wake = expiry.filter(|at| *at > now);
        return JobPlan {
            status,
            release: tracked(),
            wake,
            expire,
            ..JobPlan::default()
        };
    }
    if job.metadata.deletion_timestamp.is_some() {
        return JobPlan {
            status,
            release: tracked(),
            ..JobPlan::default()
        };
    }
    // Times are stored to the second; a finer stamp would differ from what is read back.
    let stamp = Timestamp::from_second(now.as_second()).unwrap_or(now);
    Planner::new(job, &spec, status, pods, now, stamp, back_off).plan()
}

/// Everything one plan is made from.
pub(super) struct Planner<'a> {
    pub(super) job: &'a Job,
    pub(super) spec: &'a JobSpec,
    pub(super) pods: &'a [&'a Pod],
    pub(super) now: Timestamp,
    pub(super) stamp: Timestamp,
    pub(super) back_off: BackOff,
    /// What an Indexed Job completes: its indexes are `0..completions`.
    pub(super) indexed: Option<i32>,
    /// Pods that neither ended nor are being deleted.
    pub(super) active: Vec<&'a Pod>,
    pub(super) terminating: usize,
    /// The status being made.
    pub(super) status: JobStatus,
    pub(super) succeeded_uncounted: Vec<String>,
    pub(super) failed_uncounted: Vec<String>,
    pub(super) completed_indexes: Indexes,
    pub(super) failed_indexes: Option<Indexes>,
    pub(super) plan: JobPlan,
}

impl<'a> Planner<'a> {
    fn new(
        job: &'a Job,
        spec: &'a JobSpec,
        status: JobStatus,
        pods: &'a [&'a Pod],
        now: Timestamp,
        stamp: Timestamp,
        back_off: BackOff,
    ) -> Self {
        let indexed = (spec.completion_mode.as_deref() == Some("Indexed"))
            .then(|| spec.completions.unwrap_or(1));
        let per_index = indexed.is_some() && spec.backoff_limit_per_index.is_some();
        let indexes = |text: &Option<String>| {
            Indexes::parse(text.as_deref().unwrap_or_default(), indexed.unwrap_or(0))
        };
        Self {
            job,
            spec,
            pods,
            now,
            stamp,
            back_off,
            indexed,
            active: pods.iter().copied().filter(|pod| is_active(pod)).collect(),
            terminating: pods.iter().filter(|pod| is_terminating(pod)).count(),
            completed_indexes: indexes(&status.completed_indexes),
            failed_indexes: per_index.then(|| indexes(&status.failed_indexes)),
            status,
            succeeded_uncounted: Vec::new(),
            failed_uncounted: Vec::new(),
            plan: JobPlan::default(),
        }
    }

    fn plan(mut self) -> JobPlan {
        self.fold_released_pods();
        if self.status.start_time.is_none() && !self.suspended() {
            self.status.start_time = Some(Time(self.stamp));
        }
        self.note_finished_indexes();
        let mut verdict = self.verdict();
        let mut create = Vec::new();
        if verdict.is_some() {
            let active = std::mem::take(&mut self.active);
            self.delete(active, false);
        } else {
            create = self.scale();
            if self.is_complete(create.len()) {
                let message = "Reached expected number of succeeded pods";
                verdict = Some(Verdict::success("CompletionsReached", message));
            } else {
                self.set_suspended_condition();
            }
        }
        self.note_finished_pods(verdict.as_ref(), &create);
        self.write_counters(create.len());
        self.plan.create = create;
        if let Some(verdict) = verdict {
            self.conclude(&verdict);
        }
        self.plan.status = self.status;
        self.plan
    }

    pub(super) fn suspended(&self) -> bool {
        self.spec.suspend == Some(true)
    }

    /// `spec.completions` as the API server defaults it.
    pub(super) fn completions(&self) -> Option<i32> {
        match (self.spec.completions, self.spec.parallelism) {
            (None, None) => Some(1),
            (completions, _) => completions,
        }
    }

    /// Whether a pod that is being deleted is replaced only when it has ended.
    pub(super) fn replaces_only_failed(&self) -> bool {
        self.spec.pod_replacement_policy.as_deref() == Some("Failed")
            || self.spec.pod_failure_policy.is_some()
    }

    pub(super) fn is_failed(&self, pod: &Pod) -> bool {
        match phase(pod) {
            "Failed" => true,
            "Succeeded" => false,
            _ => is_deleted(pod) && !self.replaces_only_failed(),
        }
    }

    pub(super) fn failure_action(&self, pod: &Pod) -> FailureAction {
        action_for(self.spec.pod_failure_policy.as_ref(), pod)
    }

    /// The pod's completion index, if the Job has it.
    pub(super) fn valid_index(&self, pod: &Pod) -> Option<i32> {
        let completions = self.indexed?;
        completion_index(pod).filter(|index| *index < completions)
    }
}

/// Whether a Job of this status is over.
pub(super) fn is_finished(status: &JobStatus) -> bool {
    terminal_time(status).is_some()
}

/// When the Job reached a terminal condition.
fn terminal_time(status: &JobStatus) -> Option<Timestamp> {
    let condition = find_true(status, "Complete").or_else(|| find_true(status, "Failed"))?;
    Some(
        condition
            .last_transition_time
            .as_ref()
            .map(|time| time.0)
            .unwrap_or_default(),
    )
}

pub(super) fn find_true<'s>(status: &'s JobStatus, type_: &str) -> Option<&'s JobCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
}

pub(super) fn pod_ref(pod: &Pod) -> PodRef {
    PodRef {
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: uid(pod).into(),
    }
}

pub(super) fn count(number: usize) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}

pub(super) fn seconds_of(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or(0))
}

pub(super) fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
