//! One step of the CronJob controller, as a function of what was observed and the time.
//!
//! A CronJob and its Jobs enter; the Jobs to delete, the one to create, the new status, the Events
//! and the time of the next look leave. It follows `syncCronJob` of Kubernetes 1.36 line by line:
//! which slots are run after the controller was away, or while a Job runs, is decided there.
//!
//! # Guarantees
//! A slot's Job has the slot in its name, so a slot whose status was lost is not run twice.

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::Resource;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::runner::cluster::{name, namespace, uid};
use crate::schedule::{Schedule, job_of_slot, time_zone};

/// A slot is looked at this long after its time, so that no clock is behind it.
const DELTA: SignedDuration = SignedDuration::from_millis(100);
/// With more slots missed than this, something else is wrong.
const MISSED_MAX: i64 = 100;
/// The annotation by which a Job says which slot it is for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// An Event about a CronJob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedEvent {
    /// Whether somebody should do something.
    pub(super) warning: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// What to do for one CronJob.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CronJobPlan {
    /// Jobs that go: the history is full, or a new one replaces them.
    pub(super) delete: Vec<Job>,
    /// The Job of the slot that is due.
    pub(super) create: Option<Job>,
    /// The status after that.
    pub(super) status: CronJobStatus,
    pub(super) events: Vec<PlannedEvent>,
    /// When to look again, unless something happens before.
    pub(super) wake: Option<Timestamp>,
}

impl CronJobPlan {
    fn event(&mut self, warning: bool, reason: &'static str, message: impl Into<String>) {
        self.events.push(PlannedEvent {
            warning,
            reason,
            message: message.into(),
        });
    }

    fn forget(&mut self, job: &Job) {
        if let Some(active) = &mut self.status.active {
            active.retain(|reference| reference.uid.as_deref() != Some(uid(job)));
        }
    }

    fn is_active(&self, is: impl Fn(&ObjectReference) -> bool) -> bool {
        self.status.active.iter().flatten().any(is)
    }
}

/// Decides the next step for `cron_job`, given all Jobs it controls.
pub(super) fn plan(cron_job: &CronJob, jobs: &[&Job], now: Timestamp) -> CronJobPlan {
    let mut plan = CronJobPlan {
        status: cron_job.status.clone().unwrap_or_default(),
        ..CronJobPlan::default()
    };
    clean_up(cron_job, jobs, &mut plan);
    let left: Vec<&Job> = jobs
        .iter()
        .copied()
        .filter(|job| !plan.delete.iter().any(|gone| uid(gone) == uid(*job)))
        .collect();
    observe(&left, &mut plan);
    let suspended = cron_job.spec.suspend == Some(true);
    if cron_job.metadata.deletion_timestamp.is_none()
        && !suspended
        && let Some((schedule, zone)) = due(cron_job, &mut plan)
    {
        let timing = Timing {
            cron_job,
            schedule: &schedule,
            zone: &zone,
            now,
        };
        start(&timing, &left, &mut plan);
    }
    if plan.status.active.as_ref().is_some_and(Vec::is_empty) {
        plan.status.active = None;
    }
    plan
}

/// How a Job ended: `Complete` or `Failed`.
fn end(job: &Job) -> Option<&str> {
    let conditions = job.status.iter().flat_map(|status| &status.conditions);
    let mut ends = conditions.flatten().filter(|condition| {
        condition.status == "True" && ["Complete", "Failed"].contains(&&*condition.type_)
    });
    ends.next().map(|condition| condition.type_.as_str())
}

/// Ended Jobs beyond the limits go, the oldest first.
fn clean_up(cron_job: &CronJob, jobs: &[&Job], plan: &mut CronJobPlan) {
    let limits = [
        ("Complete", cron_job.spec.successful_jobs_history_limit),
        ("Failed", cron_job.spec.failed_jobs_history_limit),
    ];
    for (how, limit) in limits {
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
            continue;
        };
        let mut ended: Vec<&Job> = jobs
            .iter()
            .copied()
            .filter(|job| end(job) == Some(how))
            .collect();
        ended.sort_by_key(|job| {
            let started = job
                .status
                .as_ref()
                .and_then(|status| status.start_time.as_ref());
            let started = started.map(|time| time.0);
            (started.is_none(), started, name(*job).to_owned())
        });
        for job in &ended[..ended.len().saturating_sub(limit)] {
            plan.forget(job);
            plan.event(
                false,
                "SuccessfulDelete",
                format!("Deleted job {}", name(*job)),
            );
            plan.delete.push((*job).clone());
        }
    }
}

/// What has become of the Jobs that were started.
fn observe(jobs: &[&Job], plan: &mut CronJobPlan) {
    for job in jobs {
        let is_active = plan.is_active(|active| active.uid.as_deref() == Some(uid(*job)));
        let Some(how) = end(job) else {
            if !is_active {
                let message = format!(
                    "Saw a job that the controller did not create or forgot: {}",
                    name(*job)
                );
                plan.event(true, "UnexpectedJob", message);
            }
            continue;
        };
        if is_active {
            plan.forget(job);
            let message = format!("Saw completed job: {}, condition: {how}", name(*job));
            plan.event(false, "SawCompletedJob", message);
        }
        let completed = job
            .status
            .as_ref()
            .and_then(|status| status.completion_time.as_ref());
        if how == "Complete"
            && completed.map(|time| time.0)
                > plan.status.last_successful_time.as_ref().map(|time| time.0)
        {
            plan.status.last_successful_time = completed.cloned();
        }
    }
    let active = plan.status.active.clone().unwrap_or_default();
    for gone in active {
        if !jobs
            .iter()
            .any(|job| gone.uid.as_deref() == Some(uid(*job)))
        {
            let name = gone.name.unwrap_or_default();
            plan.event(
                false,
                "MissingJob",
                format!("Active job went missing: {name}"),
            );
            if let Some(active) = &mut plan.status.active {
                active.retain(|reference| reference.uid != gone.uid);
            }
        }
    }
}

/// Returns when it is due, or plans an Event if that is unknown.
fn due(cron_job: &CronJob, plan: &mut CronJobPlan) -> Option<(Schedule, TimeZone)> {
    // Without a time zone, it is that of this cluster: UTC.
    let zone = match cron_job.spec.time_zone.as_deref() {
        None => TimeZone::UTC,
        Some(zone) => match time_zone(zone) {
            Some(zone) => zone,
            None => {
                plan.event(
                    true,
                    "UnknownTimeZone",
                    format!("invalid timeZone: {zone:?}: unknown time zone {zone}"),
                );
                return None;
            }
        },
    };
    let text = &cron_job.spec.schedule;
    match Schedule::parse(text) {
        Ok(schedule) => Some((schedule, zone)),
        Err(why) => {
            let message = format!("unparseable schedule: {text:?} : {why}");
            plan.event(true, "UnparseableSchedule", message);
            None
        }
    }
}

struct Timing<'a> {
    cron_job: &'a CronJob,
    schedule: &'a Schedule,
    zone: &'a TimeZone,
    now: Timestamp,
}

/// The slot that is due now, if any.
enum Recent {
    /// No slot has passed since then.
    None(Timestamp),
    /// The last one that has passed, and whether many have.
    Slot { time: Timestamp, many: bool },
    /// It is never due.
    Never,
}

impl Timing<'_> {
    /// The last slot since the one that was run last, or since the CronJob was made.
    fn recent(&self, last: Option<Timestamp>, within_deadline: bool) -> Recent {
        let created = self.cron_job.metadata.creation_timestamp.as_ref();
        let mut earliest = last.or(created.map(|time| time.0)).unwrap_or(self.now);
        let deadline = self.cron_job.spec.starting_deadline_seconds;
        if within_deadline && let Some(seconds) = deadline {
            let bound = self.now.saturating_sub(SignedDuration::from_secs(seconds));
            earliest = earliest.max(bound.unwrap_or(Timestamp::MIN));
        }
        let next = |time| self.schedule.next(time, self.zone);
        let Some(first) = next(earliest) else {
            return Recent::Never;
        };
        if self.now < first {
            return Recent::None(earliest);
        }
        let second = match next(first) {
            Some(second) if second <= self.now => second,
            _ => {
                return Recent::Slot {
                    time: first,
                    many: false,
                };
            }
        };
        // A guess by the first interval, from where on slots are counted one by one.
        let between = second.duration_since(first).as_secs().max(1);
        let missed = self.now.duration_since(first).as_secs() / between + 1;
        let guess = SignedDuration::from_secs((missed - 2) * between);
        let guess = first.saturating_add(guess).unwrap_or(first);
        let mut time = None;
        let mut at = next(guess);
        while let Some(slot) = at.filter(|slot| *slot <= self.now) {
            time = Some(slot);
            at = next(slot);
        }
        match time {
            Some(time) => Recent::Slot {
                time,
                many: missed > MISSED_MAX,
            },
            None => Recent::None(self.now),
        }
    }

    /// When to look at it next.
    fn wake(&self, last: Option<Timestamp>) -> Option<Timestamp> {
        let after = match self.recent(last, false) {
            Recent::None(earliest) => earliest,
            Recent::Slot { time, .. } => time,
            Recent::Never => self.now,
        };
        let next = self.schedule.next(after, self.zone)?;
        next.saturating_add(DELTA).ok()
    }
}

/// Starts the slot that is due, as the policy says.
fn start(timing: &Timing<'_>, jobs: &[&Job], plan: &mut CronJobPlan) {
    let last = plan.status.last_schedule_time.as_ref().map(|time| time.0);
    plan.wake = timing.wake(last);
    let slot = match timing.recent(last, true) {
        Recent::None(_) => return,
        Recent::Never => {
            let message = format!("invalid schedule: {}", timing.cron_job.spec.schedule);
            return plan.event(true, "InvalidSchedule", message);
        }
        Recent::Slot { time, many } => {
            if many {
                let message = "too many missed start times. Set or decrease \
                               .spec.startingDeadlineSeconds or check clock skew";
                plan.event(true, "TooManyMissedTimes", message);
            }
            time
        }
    };
    let spec = &timing.cron_job.spec;
    let deadline = spec
        .starting_deadline_seconds
        .map(SignedDuration::from_secs);
    if deadline.is_some_and(|after| slot.saturating_add(after).is_ok_and(|at| at < timing.now)) {
        let shown = slot.strftime("%a, %d %b %Y %H:%M:%S %z");
        let message = format!("Missed scheduled time to start a job: {shown}");
        return plan.event(true, "MissSchedule", message);
    }
    let job = job(timing, slot);
    if last == Some(slot) || plan.is_active(|active| active.name.as_deref() == Some(name(&job))) {
        return;
    }
    let active = plan.status.active.clone().unwrap_or_default();
    if spec.concurrency_policy.as_deref() == Some("Forbid") && !active.is_empty() {
        let message = "Not starting job because prior execution is running and concurrency policy \
                       is Forbid";
        return plan.event(false, "JobAlreadyActive", message);
    }
    if spec.concurrency_policy.as_deref() == Some("Replace") {
        for old in jobs {
            if active
                .iter()
                .any(|reference| reference.uid.as_deref() == Some(uid(*old)))
            {
                plan.forget(old);
                plan.event(
                    false,
                    "SuccessfulDelete",
                    format!("Deleted job {}", name(*old)),
                );
                plan.delete.push((*old).clone());
            }
        }
    }
    plan.status.last_schedule_time = Some(Time(slot));
    plan.create = Some(job);
    plan.wake = timing.wake(Some(slot));
}

/// The Job of a slot.
fn job(timing: &Timing<'_>, slot: Timestamp) -> Job {
    let cron_job = timing.cron_job;
    let template = &cron_job.spec.job_template;
    let metadata = template.metadata.clone().unwrap_or_default();
    let zoned = slot.to_zoned(timing.zone.clone());
    // As Go writes RFC 3339.
    let shown = match zoned.offset() == Offset::UTC {
        true => slot.to_string(),
        false => zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
    };
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert(SCHEDULED.to_owned(), shown);
    Job {
        metadata: ObjectMeta {
            name: Some(job_of_slot(name(cron_job), slot)),
            namespace: Some(namespace(cron_job).to_owned()),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![OwnerReference {
                api_version: CronJob::API_VERSION.to_owned(),
                kind: CronJob::KIND.to_owned(),
                name: name(cron_job).to_owned(),
                uid: uid(cron_job).to_owned(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// How a CronJob's status names one of its Jobs.
pub(super) fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some(Job::API_VERSION.to_owned()),
        kind: Some(Job::KIND.to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        resource_version: job.metadata.resource_version.clone(),
        field_path: None,
    }
}
