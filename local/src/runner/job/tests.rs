//! Stories of single Jobs: a world of one Job and its pods, moved by plans and by a made-up kubelet.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::{BackOff, JobPlan, plan, pods};

const START: &str = "2026-01-01T00:00:00Z";

pub(super) struct World {
    pub(super) job: Job,
    pub(super) pods: Vec<Pod>,
    pub(super) now: Timestamp,
    created: usize,
    /// Types of conditions in the order in which they became True.
    pub(super) conditions: Vec<String>,
    wake: Option<Timestamp>,
}

impl World {
    pub(super) fn new(mut spec: Value) -> Self {
        let template = &mut spec["template"];
        if template.is_null() {
            *template = json!({"spec": {"containers": [], "restartPolicy": "Never"}});
        }
        let job = serde_json::from_value(json!({
            "metadata": {"name": "load", "namespace": "etl", "uid": "job-1"},
            "spec": spec,
        }))
        .unwrap();
        let now = START.parse().unwrap();
        let mut world = Self {
            job,
            pods: Vec::new(),
            now,
            created: 0,
            conditions: Vec::new(),
            wake: None,
        };
        world.settle();
        world
    }

    /// Plans and applies until a plan changes nothing.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            let plan = self.plan();
            if self.apply(plan) {
                return;
            }
        }
        panic!("plans do not converge: {:?}", self.plan());
    }

    pub(super) fn plan(&self) -> JobPlan {
        let pods: Vec<&Pod> = self.pods.iter().collect();
        plan(&self.job, &pods, self.now, BackOff::default())
    }

    /// Returns whether the plan was empty.
    pub(super) fn apply(&mut self, plan: JobPlan) -> bool {
        let JobPlan {
            delete,
            create,
            status,
            release,
            wake,
            expire,
        } = plan;
        let unchanged = delete.is_empty()
            && create.is_empty()
            && release.is_empty()
            && self.job.status.clone().unwrap_or_default() == status;
        assert!(!expire, "the Job expired");
        for deletion in delete {
            let (now, pod) = (self.now, self.pod_mut(&deletion.pod.name));
            assert!(
                pods::is_active(pod),
                "{} is deleted twice",
                deletion.pod.name
            );
            pod.metadata.deletion_timestamp = Some(Time(now));
            if deletion.uncounted {
                pod.metadata.finalizers = None;
            }
        }
        for mut pod in create {
            self.created += 1;
            let name = format!(
                "{}{}",
                pod.metadata.generate_name.take().unwrap(),
                self.created
            );
            pod.metadata.uid = Some(format!("uid-{}", self.created));
            pod.metadata.name = Some(name);
            pod.metadata.creation_timestamp = Some(Time(self.now));
            self.pods.push(pod);
        }
        for condition in status
            .conditions
            .iter()
            .flatten()
            .filter(|c| c.status == "True")
        {
            if self.conditions.last() != Some(&condition.type_)
                && !self.conditions.contains(&condition.type_)
            {
                self.conditions.push(condition.type_.clone());
            }
        }
        self.job.status = Some(status);
        for pod in release {
            let pod = self.pod_mut(&pod.name);
            assert!(pods::is_tracked(pod), "{pod:?} is released twice");
            pod.metadata.finalizers = None;
        }
        self.wake = wake;
        unchanged
    }

    pub(super) fn pod_mut(&mut self, name: &str) -> &mut Pod {
        self.pods
            .iter_mut()
            .find(|pod| pod.metadata.name.as_deref() == Some(name))
            .unwrap()
    }

    pub(super) fn names(&self, filter: fn(&Pod) -> bool) -> Vec<&str> {
        let pods = self.pods.iter().filter(|pod| filter(pod));
        pods.map(|pod| pod.metadata.name.as_deref().unwrap())
            .collect()
    }

    /// The kubelet starts every pending pod.
    pub(super) fn start(&mut self) -> &mut Self {
        for pod in self
            .pods
            .iter_mut()
            .filter(|pod| pods::phase(pod) == "Pending")
        {
            pod.status = serde_json::from_value(json!({
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            }))
            .unwrap();
        }
        self.settle();
        self
    }

    /// The pod's only container ends.
    pub(super) fn end(&mut self, name: &str, exit_code: i32) -> &mut Self {
        let finished_at = self.now.to_string();
        let pod = self.pod_mut(name);
        pod.status = serde_json::from_value(json!({
            "phase": if exit_code == 0 { "Succeeded" } else { "Failed" },
            "containerStatuses": [{
                "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": exit_code, "finishedAt": finished_at}},
            }],
        }))
        .unwrap();
        self.settle();
        self
    }

    /// The kubelet ends pods that are being deleted, and they are gone.
    pub(super) fn reap(&mut self) -> &mut Self {
        self.pods
            .retain(|pod| !pods::is_deleted(pod) || pods::is_tracked(pod));
        self.settle();
        self
    }

    pub(super) fn advance(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self.settle();
        self
    }

    pub(super) fn suspend(&mut self, suspend: bool) -> &mut Self {
        self.job.spec.as_mut().unwrap().suspend = Some(suspend);
        self.settle();
        self
    }

    /// Somebody deletes a pod.
    pub(super) fn delete_pod(&mut self, name: &str) -> &mut Self {
        let now = self.now;
        self.pod_mut(name).metadata.deletion_timestamp = Some(Time(now));
        self.settle();
        self
    }

    /// The status without conditions, and the conditions as `Type=Status Reason`.
    pub(super) fn status(&self) -> (Value, Vec<String>) {
        let mut status = serde_json::to_value(self.job.status.clone().unwrap()).unwrap();
        status.as_object_mut().unwrap().remove("conditions");
        let conditions = self
            .job
            .status
            .as_ref()
            .unwrap()
            .conditions
            .iter()
            .flatten();
        let conditions = conditions
            .map(|c| format!("{}={} {}", c.type_, c.status, c.reason.as_deref().unwrap()))
            .collect();
        (status, conditions)
    }

    pub(super) fn seconds_to_wake(&self) -> Option<i64> {
        self.wake
            .map(|wake| wake.duration_since(self.now).as_secs())
    }
}

#[test]
fn a_job_that_succeeds_goes_through_its_criteria_to_complete() {
    let mut world = World::new(json!({"completions": 1, "parallelism": 1}));
    assert_eq!(world.names(pods::is_active), ["load-1"]);
    let started = json!({
        "active": 1, "ready": 0, "startTime": START, "terminating": 0,
        "uncountedTerminatedPods": {},
    });
    assert_eq!(world.status(), (started, vec![]));

    world.start();
    assert_eq!(world.status().0["ready"], 1);

    world.advance(5).end("load-1", 0);
    let done = json!({
        "completionTime": "2026-01-01T00:00:05Z", "ready": 0, "startTime": START, "succeeded": 1,
        "terminating": 0, "uncountedTerminatedPods": {},
    });
    let reached = [
        "SuccessCriteriaMet=True CompletionsReached",
        "Complete=True CompletionsReached",
    ];
    assert_eq!(world.status(), (done, reached.map(String::from).to_vec()));
    assert_eq!(world.conditions, ["SuccessCriteriaMet", "Complete"]);
}

#[test]
fn a_failed_pod_is_noted_before_its_finalizer_goes_and_counted_after() {
    let mut world = World::new(json!({}));
    world.pods[0].status = serde_json::from_value(json!({"phase": "Failed"})).unwrap();
    let noted = world.plan();
    let uncounted = noted.status.uncounted_terminated_pods.clone().unwrap();
    assert_eq!(
        (uncounted.failed, noted.status.failed),
        (Some(vec!["uid-1".to_owned()]), None)
    );
    assert_eq!(noted.release[0].uid, "uid-1");
    world.apply(noted);
    let counted = world.plan();
    let uncounted = counted.status.uncounted_terminated_pods.clone().unwrap();
    assert_eq!((uncounted.failed, counted.status.failed), (None, Some(1)));
}

#[test]
fn failures_are_retried_with_doubling_delays_until_the_limit() {
    let mut world = World::new(json!({"backoffLimit": 2}));
    world.start().end("load-1", 1);
    assert_eq!(
        (world.names(pods::is_active), world.seconds_to_wake()),
        (vec![], Some(10))
    );
    world.advance(9);
    assert_eq!(
        (world.names(pods::is_active), world.seconds_to_wake()),
        (vec![], Some(1))
    );
    world.advance(1).start().end("load-2", 1);
    assert_eq!(world.seconds_to_wake(), Some(20));
    world.advance(20).start().end("load-3", 1);
    let failed = json!({
        "failed": 3, "ready": 0, "startTime": START, "terminating": 0,
        "uncountedTerminatedPods": {},
    });
    let exceeded = [
        "FailureTarget=True BackoffLimitExceeded",
        "Failed=True BackoffLimitExceeded",
    ];
    assert_eq!(
        world.status(),
        (failed, exceeded.map(String::from).to_vec())
    );
    assert_eq!(world.seconds_to_wake(), None);
}

#[test]
fn the_delay_is_capped_at_six_minutes() {
    let mut world = World::new(json!({"backoffLimit": 100}));
    let mut delays = Vec::new();
    for attempt in 1..=8 {
        world.start().end(&format!("load-{attempt}"), 1);
        delays.push(world.seconds_to_wake().unwrap());
        world.advance(*delays.last().unwrap());
    }
    assert_eq!(delays, [10, 20, 40, 80, 160, 320, 360, 360]);
}

#[test]
fn a_success_ends_the_delay() {
    let mut world = World::new(json!({"completions": 3, "parallelism": 2}));
    world.start().end("load-1", 1);
    assert_eq!(world.seconds_to_wake(), Some(10));
    world.advance(1).end("load-2", 0);
    assert_eq!(world.names(pods::is_active), ["load-3", "load-4"]);
}

#[test]
fn no_more_pods_run_than_parallelism_and_remaining_completions_allow() {
    let mut world = World::new(json!({"completions": 5, "parallelism": 2}));
    let mut seen = Vec::new();
    for ended in 1..=5 {
        seen.push(world.names(pods::is_active).join(" "));
        world.start().end(&format!("load-{ended}"), 0);
    }
    assert_eq!(
        seen,
        [
            "load-1 load-2",
            "load-2 load-3",
            "load-3 load-4",
            "load-4 load-5",
            "load-5"
        ]
    );
    assert_eq!(world.conditions, ["SuccessCriteriaMet", "Complete"]);
}

#[test]
fn a_work_queue_is_complete_when_one_succeeded_and_the_rest_ended() {
    let mut world = World::new(json!({"parallelism": 3}));
    world.start().end("load-2", 0);
    assert_eq!(world.names(pods::is_active), ["load-1", "load-3"]);
    world.end("load-1", 1);
    assert_eq!(world.names(pods::is_active), ["load-3"]);
    world.end("load-3", 0);
    assert_eq!(world.status().0["succeeded"], 2);
    assert_eq!(world.conditions, ["SuccessCriteriaMet", "Complete"]);
}

#[test]
fn each_index_is_run_until_it_succeeded_once() {
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 3});
    let mut world = World::new(spec);
    assert_eq!(
        world.names(pods::is_active),
        ["load-0-1", "load-1-2", "load-2-3"]
    );
    world
        .start()
        .end("load-1-2", 1)
        .end("load-2-3", 0)
        .advance(10);
    assert_eq!(
        world.names(pods::is_active),
        ["load-0-1", "load-1-4", "load-3-5"]
    );
    assert_eq!(world.status().0["completedIndexes"], "2");
    world
        .start()
        .end("load-0-1", 0)
        .end("load-1-4", 0)
        .end("load-3-5", 0);
    let (status, _) = world.status();
    assert_eq!(
        (&status["completedIndexes"], &status["succeeded"]),
        (&json!("0-3"), &json!(4))
    );
    assert_eq!(status["failed"], 1);
    assert_eq!(world.conditions, ["SuccessCriteriaMet", "Complete"]);
}

#[test]
fn an_index_fails_alone_after_its_own_limit() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 1,
    }));
    world.start().end("load-0-1", 1);
    assert_eq!(world.seconds_to_wake(), Some(10));
    world.advance(10).start();
    assert_eq!(world.names(pods::is_active), ["load-1-2", "load-0-3"]);
    world.end("load-0-3", 1);
    assert_eq!(world.status().0["failedIndexes"], "0");
    world.end("load-1-2", 0);
    let (status, conditions) = world.status();
    let expected = json!({
        "completedIndexes": "1", "failed": 2, "failedIndexes": "0", "ready": 0, "succeeded": 1,
        "startTime": START, "terminating": 0, "uncountedTerminatedPods": {},
    });
    assert_eq!(status, expected);
    assert_eq!(
        conditions,
        [
            "FailureTarget=True FailedIndexes",
            "Failed=True FailedIndexes"
        ]
    );
}

#[test]
fn too_many_failed_indexes_end_the_job_at_once() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "backoffLimitPerIndex": 0, "maxFailedIndexes": 1,
    }));
    world.start().end("load-0-1", 1);
    assert_eq!(world.conditions, [""; 0]);
    world.end("load-1-2", 1);
    assert_eq!(world.conditions, ["FailureTarget"]);
    assert_eq!(world.names(pods::is_terminating), ["load-2-3"]);
    world.reap();
    let (status, conditions) = world.status();
    assert_eq!(
        (&status["failed"], &status["failedIndexes"]),
        (&json!(3), &json!("0,1"))
    );
    assert_eq!(conditions[1], "Failed=True MaxFailedIndexesExceeded");
}

#[test]
fn a_success_policy_ends_the_job_before_all_indexes_ran() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3,
        "successPolicy": {"rules": [
            {"succeededIndexes": "0,1"}, {"succeededIndexes": "0-2", "succeededCount": 1}]},
    }));
    world.start().end("load-2-3", 0);
    assert_eq!(world.names(pods::is_terminating), ["load-0-1", "load-1-2"]);
    world.reap();
    let (status, conditions) = world.status();
    assert_eq!(
        (&status["succeeded"], &status["failed"]),
        (&json!(1), &Value::Null)
    );
    assert_eq!(
        conditions,
        [
            "SuccessCriteriaMet=True SuccessPolicy",
            "Complete=True SuccessPolicy"
        ]
    );
}

#[test]
fn a_failure_policy_fails_the_job_or_lets_a_failure_pass() {
    let policy = |action: &str| {
        json!({"backoffLimit": 0, "podFailurePolicy": {"rules": [
            {"action": action, "onExitCodes": {"operator": "In", "values": [42]}}]}})
    };
    let mut ignoring = World::new(policy("Ignore"));
    ignoring.start().end("load-1", 42).advance(10);
    assert_eq!(ignoring.names(pods::is_active), ["load-2"]);
    assert_eq!(ignoring.status().0["failed"], Value::Null);

    let mut failing = World::new(policy("FailJob"));
    failing.start().end("load-1", 42);
    let (status, conditions) = failing.status();
    assert_eq!(status["failed"], 1);
    assert_eq!(
        conditions,
        [
            "FailureTarget=True PodFailurePolicy",
            "Failed=True PodFailurePolicy"
        ]
    );
    let message = failing.job.status.unwrap().conditions.unwrap()[1]
        .message
        .clone()
        .unwrap();
    assert_eq!(
        message,
        "Container main for pod etl/load-1 failed with exit code 42 \
         matching FailJob rule at index 0"
    );
}

#[test]
fn fail_index_fails_the_index_whatever_its_limit() {
    let mut world = World::new(json!({
        "completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 9,
        "podFailurePolicy": {"rules": [
            {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}},
            {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}}]},
    }));
    world
        .start()
        .end("load-0-1", 42)
        .end("load-1-2", 7)
        .advance(10);
    assert_eq!(world.status().0["failedIndexes"], "0");
    let retried = world.pods.iter().find(|pod| pods::is_active(pod)).unwrap();
    assert_eq!(
        (
            pods::index_failures(retried),
            pods::index_ignored_failures(retried)
        ),
        (0, 1)
    );
}

#[test]
fn the_deadline_ends_running_pods_and_fails_only_when_they_are_gone() {
    let mut world = World::new(json!({"activeDeadlineSeconds": 30}));
    assert_eq!(world.seconds_to_wake(), Some(31));
    // Its start may have been almost a second after what is stored.
    world.start().advance(30);
    assert_eq!(world.names(pods::is_terminating), [""; 0]);
    world.advance(1);
    assert_eq!(world.names(pods::is_terminating), ["load-1"]);
    let (status, conditions) = world.status();
    assert_eq!(conditions, ["FailureTarget=True DeadlineExceeded"]);
    assert_eq!(
        (&status["terminating"], &status["active"]),
        (&json!(1), &Value::Null)
    );
    world.reap();
    let (status, conditions) = world.status();
    assert_eq!(conditions[1], "Failed=True DeadlineExceeded");
    assert_eq!(
        (&status["terminating"], &status["failed"]),
        (&json!(0), &json!(1))
    );
}

#[test]
fn suspending_deletes_the_pods_and_resuming_starts_new_ones() {
    let mut world = World::new(json!({"suspend": true, "activeDeadlineSeconds": 30}));
    let waiting = json!({"ready": 0, "terminating": 0, "uncountedTerminatedPods": {}});
    assert_eq!(
        world.status(),
        (
            waiting.clone(),
            vec!["Suspended=True JobSuspended".to_owned()]
        )
    );
    assert_eq!(
        (world.names(|_| true), world.seconds_to_wake()),
        (vec![], None)
    );

    world.advance(100).suspend(false);
    let (status, conditions) = world.status();
    assert_eq!(status["startTime"], "2026-01-01T00:01:40Z");
    assert_eq!(conditions, ["Suspended=False JobResumed"]);
    assert_eq!(world.seconds_to_wake(), Some(31));

    world.start().suspend(true);
    assert_eq!(world.status().0["terminating"], 1);
    assert_eq!(world.names(pods::is_terminating), ["load-1"]);
    world.reap();
    assert_eq!(
        world.status(),
        (waiting, vec!["Suspended=True JobSuspended".to_owned()])
    );

    world.advance(7).suspend(false);
    assert_eq!(world.status().0["startTime"], "2026-01-01T00:01:47Z");
    assert_eq!(world.names(pods::is_active), ["load-2"]);
    world.start().end("load-2", 0);
    assert_eq!(world.status().0["failed"], Value::Null);
}

#[test]
fn a_deleted_pod_is_replaced_at_once_or_when_it_ended() {
    let mut eager = World::new(json!({}));
    eager.start().delete_pod("load-1");
    assert_eq!(eager.names(pods::is_active), ["load-2"]);
    assert_eq!(eager.status().0["failed"], 1);

    let mut patient = World::new(json!({"podReplacementPolicy": "Failed"}));
    patient.start().delete_pod("load-1");
    let (status, _) = patient.status();
    assert_eq!(
        (patient.names(pods::is_active), &status["terminating"]),
        (vec![], &json!(1))
    );
    patient.end("load-1", 143).reap().advance(10);
    assert_eq!(patient.names(pods::is_active), ["load-2"]);
    assert_eq!(patient.status().0["failed"], 1);
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    let template = json!({"spec": {"containers": [], "restartPolicy": "OnFailure"}});
    let mut world = World::new(json!({"backoffLimit": 2, "template": template}));
    world.start();
    for (restarts, ended) in [(1, false), (2, true)] {
        world.pods[0].status = serde_json::from_value(json!({
            "phase": "Running",
            "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": true,
                "restartCount": restarts}],
        }))
        .unwrap();
        world.settle();
        assert_eq!(world.names(pods::is_terminating).len(), usize::from(ended));
    }
    assert_eq!(
        world.status().1,
        ["FailureTarget=True BackoffLimitExceeded"]
    );
}

#[test]
fn a_finished_job_expires_after_its_time_to_live() {
    let mut world = World::new(json!({"ttlSecondsAfterFinished": 60}));
    world.start().end("load-1", 0);
    assert_eq!(world.seconds_to_wake(), Some(60));
    world.advance(59);
    assert_eq!(world.seconds_to_wake(), Some(1));
    world.now += SignedDuration::from_secs(1);
    assert!(world.plan().expire);
    world.job.metadata.deletion_timestamp = Some(Time(world.now));
    assert!(!world.plan().expire);
}

#[test]
fn pods_of_a_deleted_job_are_let_go() {
    let mut world = World::new(json!({}));
    world.start();
    world.job.metadata.deletion_timestamp = Some(Time(world.now));
    world.settle();
    assert_eq!(world.names(pods::is_tracked), [""; 0]);
    assert_eq!(world.names(pods::is_active), ["load-1"]);
}

#[test]
fn a_job_managed_by_another_controller_is_left_alone() {
    let world = World::new(json!({"managedBy": "example.com/queue"}));
    assert_eq!(
        (world.pods.len(), world.job.status),
        (0, Some(Default::default()))
    );
}

#[test]
fn less_parallelism_takes_back_the_pods_that_lose_least() {
    let mut world = World::new(json!({"completions": 9, "parallelism": 1}));
    world.start().advance(1);
    world.job.spec.as_mut().unwrap().parallelism = Some(3);
    world.settle();
    world.start();
    world.job.spec.as_mut().unwrap().parallelism = Some(1);
    world.settle();
    assert_eq!(world.names(pods::is_active), ["load-1"]);
    world.reap();
    assert_eq!(world.status().0["failed"], Value::Null);
}

#[test]
fn a_second_pod_of_an_index_is_removed() {
    let mut world = World::new(json!({"completionMode": "Indexed", "completions": 2}));
    let mut twin = world.pods[0].clone();
    twin.metadata.name = Some("load-0-twin".into());
    twin.metadata.uid = Some("uid-twin".into());
    world.start();
    world.pods.push(twin);
    world.settle();
    assert_eq!(world.names(pods::is_active), ["load-0-1"]);
}
