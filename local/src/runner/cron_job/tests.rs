//! Which slots of a CronJob get Jobs: tables of plans, and the controller at work in leaping time.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};

use super::CronJobController;
use super::plan::{CronJobPlan, plan, reference};
use crate::runner::bench::{api, create, update};
use crate::runner::cluster::{Cluster, name};
use crate::{ApiServer, Controllers};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A CronJob that was made at 06:30, as `more` has its spec.
fn cron_job(more: Value) -> CronJob {
    let mut spec = json!({
        "schedule": "0 * * * *",
        "concurrencyPolicy": "Allow",
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {}}},
    });
    let fields = more.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(json!({
        "metadata": {
            "name": "night",
            "namespace": "default",
            "uid": "cron-1",
            "creationTimestamp": "2026-06-01T06:30:00Z",
        },
        "spec": spec,
    }))
    .unwrap()
}

/// Carries a plan out, as far as that shows in the CronJob.
fn carry_out(cron_job: &mut CronJob, plan: &CronJobPlan) -> Option<Job> {
    let mut status = plan.status.clone();
    let mut created = plan.create.clone();
    if let Some(job) = &mut created {
        job.metadata.uid = job.metadata.name.clone();
        status.active.get_or_insert_default().push(reference(job));
    }
    cron_job.status = Some(status);
    created
}

fn reasons(plan: &CronJobPlan) -> Vec<&'static str> {
    plan.events.iter().map(|event| event.reason).collect()
}

fn ended(mut job: Job, how: &str, at: &str) -> Job {
    job.status = serde_json::from_value(json!({
        "startTime": at,
        "completionTime": at,
        "conditions": [{"type": how, "status": "True"}],
    }))
    .unwrap();
    job
}

#[test]
fn a_slots_job_is_named_after_it_and_says_when_it_was_due() {
    let cron_job = cron_job(json!({"timeZone": "Europe/Berlin"}));
    let plan = plan(&cron_job, &[], time("2026-06-01T07:00:00.1Z"));
    let job = serde_json::to_value(plan.create.unwrap()).unwrap();
    assert_eq!(
        job["metadata"],
        json!({
            "name": "night-29671620",
            "namespace": "default",
            "labels": {"a": "b"},
            "annotations": {
                "batch.kubernetes.io/cronjob-scheduled-timestamp": "2026-06-01T09:00:00+02:00",
            },
            "ownerReferences": [{
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "name": "night",
                "uid": "cron-1",
                "controller": true,
                "blockOwnerDeletion": true,
            }],
        })
    );
    assert_eq!(
        plan.status.last_schedule_time.unwrap().0,
        time("2026-06-01T07:00:00Z")
    );
    assert_eq!(plan.wake, Some(time("2026-06-01T08:00:00.1Z")));
}

/// The time at which the controller looks, the spec, and what it does: the slot that it starts, and
/// the Events that it creates.
#[test]
fn of_the_slots_that_were_missed_the_last_is_started_within_its_deadline() {
    let table: [(&str, Value, Option<&str>, &[&str]); 9] = [
        ("06:59:59", json!({}), None, &[]),
        ("07:00:00", json!({}), Some("07:00"), &[]),
        ("07:59:59", json!({}), Some("07:00"), &[]),
        // Away for five hours: one Job, for the last slot.
        ("12:20:00", json!({}), Some("12:00"), &[]),
        (
            "12:20:00",
            json!({"startingDeadlineSeconds": 1800}),
            Some("12:00"),
            &[],
        ),
        // A deadline that has passed: the search begins at it, and finds no slot.
        (
            "12:20:00",
            json!({"startingDeadlineSeconds": 600}),
            None,
            &[],
        ),
        ("12:20:00", json!({"suspend": true}), None, &[]),
        (
            "12:20:00",
            json!({"timeZone": "Europe/Nowhere"}),
            None,
            &["UnknownTimeZone"],
        ),
        (
            "12:20:00",
            json!({"schedule": "* * * * *"}),
            Some("12:20"),
            &["TooManyMissedTimes"],
        ),
    ];
    for (now, more, slot, expected) in table {
        let now = time(&format!("2026-06-01T{now}Z"));
        let plan = plan(&cron_job(more.clone()), &[], now);
        let started = plan.status.last_schedule_time.as_ref();
        let started = started.map(|slot| slot.0.strftime("%H:%M").to_string());
        assert_eq!(started.as_deref(), slot, "{now} {more}");
        assert_eq!(plan.create.is_some(), slot.is_some(), "{now} {more}");
        assert_eq!(reasons(&plan), expected, "{now} {more}");
    }
}

#[test]
fn a_running_job_is_handled_by_the_policy() {
    let table: [(&str, bool, usize, &[&str]); 3] = [
        ("Allow", true, 0, &[]),
        ("Forbid", false, 0, &["JobAlreadyActive"]),
        ("Replace", true, 1, &["SuccessfulDelete"]),
    ];
    for (policy, starts, deleted, expected) in table {
        let mut cron_job = cron_job(json!({"concurrencyPolicy": policy}));
        let first = plan(&cron_job, &[], time("2026-06-01T07:00:00.1Z"));
        let job = carry_out(&mut cron_job, &first).unwrap();
        // Looked at again for another reason, the slot is not started twice.
        let again = plan(&cron_job, &[&job], time("2026-06-01T07:10:00Z"));
        assert_eq!((again.create, again.delete.len()), (None, 0), "{policy}");
        let next = plan(&cron_job, &[&job], time("2026-06-01T08:00:00.1Z"));
        assert_eq!(next.create.is_some(), starts, "{policy}");
        assert_eq!(next.delete.len(), deleted, "{policy}");
        assert_eq!(reasons(&next), expected, "{policy}");
        // As soon as it has ended, a slot that was held up starts, late.
        if policy == "Forbid" {
            let job = ended(job, "Complete", "2026-06-01T08:20:00Z");
            let late = plan(&cron_job, &[&job], time("2026-06-01T08:20:01Z"));
            assert_eq!(name(late.create.as_ref().unwrap()), "night-29671680");
            assert_eq!(reasons(&late), ["SawCompletedJob"]);
        }
    }
}

#[test]
fn ended_jobs_beyond_the_limits_go_the_oldest_first() {
    let mut cron_job = cron_job(json!({}));
    let mut jobs = Vec::new();
    for hour in 7..17 {
        let all: Vec<&Job> = jobs.iter().collect();
        let plan = plan(
            &cron_job,
            &all,
            time(&format!("2026-06-01T{hour:02}:00:01Z")),
        );
        let job = carry_out(&mut cron_job, &plan).unwrap();
        let gone: Vec<&str> = plan.delete.iter().map(name).collect();
        jobs.retain(|job| !gone.contains(&name(job)));
        let how = if hour % 2 == 0 { "Complete" } else { "Failed" };
        jobs.push(ended(job, how, &format!("2026-06-01T{hour:02}:01:00Z")));
    }
    let all: Vec<&Job> = jobs.iter().collect();
    let last = plan(&cron_job, &all, time("2026-06-01T16:30:00Z"));
    let left: Vec<&str> = jobs
        .iter()
        .filter(|job| !last.delete.contains(job))
        .map(name)
        .collect();
    // Three that succeeded, at 12, 14 and 16, and one that failed, at 15.
    assert_eq!(
        left,
        [
            "night-29671920",
            "night-29672040",
            "night-29672100",
            "night-29672160"
        ]
    );
    assert_eq!(
        last.status.last_successful_time.unwrap().0,
        time("2026-06-01T16:01:00Z")
    );
}

/// Slots of Jobs that are there, in UTC.
fn slots(api: &ApiServer) -> Vec<String> {
    let (jobs, _) = Cluster::new(api.clone()).list::<Job>();
    let minutes = jobs.iter().map(|job| {
        let (_, minutes) = name(job).rsplit_once('-').unwrap();
        Timestamp::from_second(minutes.parse::<i64>().unwrap() * 60).unwrap()
    });
    let mut slots: Vec<String> = minutes.map(|slot| slot.to_string()).collect();
    slots.sort();
    slots
}

#[tokio::test(start_paused = true)]
async fn slots_become_jobs_when_their_time_comes_and_go_with_their_cron_job() {
    let api = api();
    let controllers = Controllers::start(&api);
    let cron = CronJobController::start(&api);
    let template = json!({"spec": {"template": {"spec": {
        "restartPolicy": "Never",
        "containers": [{"name": "main", "image": "busybox:1.36"}],
    }}}});
    let created = create::<CronJob>(
        &api,
        json!({
            "metadata": {"name": "every"},
            "spec": {"schedule": "*/10 * * * *", "jobTemplate": template},
        }),
    );
    let made = created.metadata.creation_timestamp.unwrap().0;
    let first = 600 - made.as_second().rem_euclid(600);
    let expected = |count: i64| -> Vec<String> {
        let slot = |n| made.as_second() + first + n * 600;
        let slots = (0..count).map(|n| Timestamp::from_second(slot(n)).unwrap());
        slots.map(|slot| slot.to_string()).collect()
    };
    let wait = u64::try_from(first).unwrap();
    tokio::time::sleep(Duration::from_secs(wait + 1)).await;
    assert_eq!(slots(&api), expected(1));
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(slots(&api), expected(3));
    // Suspended, it starts nothing; afterwards, of what was missed only the last.
    let suspend = |suspend| {
        update::<CronJob>(&api, "every", |cron_job| {
            cron_job.spec.suspend = Some(suspend)
        })
    };
    suspend(true);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(slots(&api), expected(3));
    suspend(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut all = expected(3);
    all.extend(expected(9).pop());
    assert_eq!(slots(&api), all);
    let cron_job = Cluster::new(api.clone())
        .get::<CronJob>("default", "every")
        .unwrap();
    let active = cron_job.status.unwrap().active.unwrap();
    assert_eq!(active.len(), 4);
    let (events, _) = Cluster::new(api.clone()).list::<Event>();
    let created = events
        .iter()
        .filter(|event| event.reason.as_deref() == Some("SuccessfulCreate"));
    assert_eq!(created.count(), 4, "{events:#?}");
    let options = crate::DeleteOptions {
        propagation: Some(crate::Propagation::Background),
        ..crate::DeleteOptions::default()
    };
    api.delete(&crate::kind::CRON_JOB, "default", "every", &options)
        .unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(slots(&api), [""; 0]);
    cron.shutdown().await;
    controllers.shutdown().await;
}
