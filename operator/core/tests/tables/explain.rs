//! The table of causes: what the cluster writes about a Job and its pods, and what konductor says.

use k8s_openapi::api::core::v1::{Event, Pod};
use konductor_api::Participant;
use konductor_core::explain;
use serde_json::{Value, json};

fn pods(all: &[Value]) -> Vec<Pod> {
    all.iter()
        .map(|pod| serde_json::from_value(pod.clone()).unwrap())
        .collect()
}

fn job(rest: Value) -> Participant {
    let mut job =
        json!({"metadata": {"name": "work", "uid": "uid-work"}, "spec": {"template": {}}});
    for (key, value) in rest.as_object().unwrap() {
        job[key] = value.clone();
    }
    serde_json::from_value(job).unwrap()
}

fn failed_job(reason: &str, message: &str) -> Participant {
    let failed = json!({"type": "Failed", "status": "True", "reason": reason, "message": message});
    job(json!({
        "status": {"conditions": [failed]},
        "spec": {"activeDeadlineSeconds": 30, "template": {}},
    }))
}

fn container(name: &str, state: Value) -> Value {
    json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
        "state": state})
}

fn ended(name: &str, code: i32, reason: &str, message: &str) -> Value {
    let state = json!({"exitCode": code, "reason": reason, "message": message});
    container(name, json!({ "terminated": state }))
}

fn failed_pod(status: Value) -> Value {
    let mut status = status;
    status["phase"] = "Failed".into();
    json!({
        "metadata": {"name": "work-x", "creationTimestamp": "2026-03-01T12:00:00Z"},
        "spec": {
            "containers": [],
            "initContainers": [
                {"name": "fetch"},
                {"name": "proxy", "restartPolicy": "Always"},
            ],
        },
        "status": status,
    })
}

#[test]
fn attempts_of_a_job_are_counted_and_those_of_its_indexes_are_not() {
    let tried = |failed: i32, mode: &str| {
        job(json!({
            "spec": {"backoffLimit": 2, "completionMode": mode, "template": {}},
            "status": {"failed": failed},
        }))
    };
    for (failed, mode, expected) in [
        (0, "NonIndexed", None),
        (1, "NonIndexed", Some("retry 1 of 2")),
        (2, "NonIndexed", Some("retry 2 of 2")),
        (3, "NonIndexed", None),
        (1, "Indexed", None),
    ] {
        let retry = explain::retry(&tried(failed, mode));
        assert_eq!(retry.as_deref(), expected, "{failed} {mode}");
    }
    let ended = json!({"containerStatuses": [ended("main", 1, "Error", "no")]});
    let all = pods(&[failed_pod(ended)]);
    for (failed, retries, expected) in [
        (3, 2, "exit code 1 after 2 retries: no"),
        (1, 2, "exit code 1: no"),
        (1, 0, "exit code 1: no"),
    ] {
        let condition =
            json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"});
        let job = job(json!({
            "spec": {"backoffLimit": retries, "template": {}},
            "status": {"failed": failed, "conditions": [condition]},
        }));
        let why = explain::failure(&job, &[&all[0]]);
        assert_eq!(why.as_deref(), Some(expected));
    }
}

#[test]
fn a_failure_names_its_cause_with_the_last_line_that_was_written() {
    let main = |code, reason, message| {
        failed_pod(json!({"containerStatuses": [ended("main", code, reason, message)]}))
    };
    let mut indexed = main(4, "Error", "shard is empty\n");
    indexed["metadata"]["annotations"] = json!({"batch.kubernetes.io/job-completion-index": "3"});
    let mut later = main(5, "Error", "");
    later["metadata"]["annotations"] = json!({"batch.kubernetes.io/job-completion-index": "10"});
    let mut retried = main(1, "Error", "first try");
    retried["metadata"]["creationTimestamp"] = "2026-03-01T11:00:00Z".into();
    let backoff = || {
        failed_job(
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
    };
    let table = [
        (
            vec![main(3, "Error", "Traceback:\nValueError: no rows\n\n")],
            "exit code 3: ValueError: no rows",
        ),
        (
            vec![main(137, "OOMKilled", "")],
            "OOMKilled (exit code 137)",
        ),
        (
            vec![main(128, "StartError", "exec: \"/nope\": no such file")],
            "StartError (exit code 128): exec: \"/nope\": no such file",
        ),
        // As runc writes it into the container's log: an image for arm64 on a node with amd64.
        (
            vec![main(1, "Error", "exec /bin/sh: exec format error\n")],
            "exit code 1: exec /bin/sh: exec format error: the image may be for another kind of processor than the node has",
        ),
        // In a stage with files, koncli starts the command.
        (
            vec![main(
                125,
                "Error",
                "konductor: /bin/app can't be started: Exec format error (os error 8)",
            )],
            "exit code 125: konductor: /bin/app can't be started: Exec format error (os error 8): the image may be for \
             another kind of processor than the node has",
        ),
        (
            vec![main(1, "Error", "\u{1b}[31mred\u{7}")],
            "exit code 1: red\\u{7}",
        ),
        (
            vec![failed_pod(
                json!({"initContainerStatuses": [ended("fetch", 22, "Error", "404")]}),
            )],
            "exit code 22 in init container fetch: 404",
        ),
        (
            vec![failed_pod(json!({
                "initContainerStatuses": [ended("proxy", 1, "Error", "port in use")],
                "containerStatuses": [ended("main", 0, "Completed", "")],
            }))],
            "exit code 1 in sidecar proxy: port in use",
        ),
        (
            vec![failed_pod(
                json!({"reason": "Evicted", "message": "The node was low on resource: memory."}),
            )],
            "pod ended (Evicted): The node was low on resource: memory.",
        ),
        (
            vec![failed_pod(json!({
                "conditions": [{"type": "DisruptionTarget", "status": "True",
                    "reason": "PreemptionByScheduler", "message": "preempting to accommodate a higher priority pod"}],
                "containerStatuses": [ended("main", 137, "Error", "")],
            }))],
            "evicted (PreemptionByScheduler): preempting to accommodate a higher priority pod",
        ),
        (vec![later, indexed], "index 3: exit code 4: shard is empty"),
        (
            vec![retried, main(2, "Error", "second try")],
            "exit code 2: second try",
        ),
        (vec![], "Job has reached the specified backoff limit"),
    ];
    for (all, expected) in table {
        let all = pods(&all);
        let all: Vec<&Pod> = all.iter().collect();
        assert_eq!(
            explain::failure(&backoff(), &all).as_deref(),
            Some(expected)
        );
    }
    let late = failed_job(
        "DeadlineExceeded",
        "Job was active longer than specified deadline",
    );
    let ended_by_it = pods(&[main(143, "Error", "")]);
    assert_eq!(
        explain::failure(&late, &[&ended_by_it[0]]).as_deref(),
        Some("it ran longer than its timeout of 30s")
    );
    assert_eq!(explain::failure(&job(json!({})), &[]), None);
}

#[test]
fn the_value_of_an_output_is_no_cause_of_a_failure() {
    let declares = |outputs: &str| {
        job(json!({"metadata": {"name": "work", "uid": "uid-work",
            "annotations": {"konductor.io/outputs-declared": outputs}}}))
    };
    let written = "psql: connection refused\nrows = 12\nrows=13\n";
    let pod = failed_pod(json!({"containerStatuses": [ended("main", 3, "Error", written)]}));
    let pod = pods(&[pod]);
    let refused = "exit code 3: psql: connection refused";
    for (outputs, expected) in [
        ("rows: int", refused),
        ("count: int", "exit code 3: rows=13"),
        // Which of them are outputs, nobody knows.
        ("rows: no-such-type", refused),
    ] {
        let why = explain::failure(&declares(outputs), &[&pod[0]]);
        assert_eq!(why.as_deref(), Some(expected));
    }
}

#[test]
fn the_value_of_an_output_is_shown_of_no_container_that_is_restarted() {
    let declares = job(json!({"metadata": {"name": "work", "uid": "uid-work",
        "annotations": {"konductor.io/outputs-declared": "token: string"}}}));
    let secret = "s3cr3t".repeat(400);
    // The kubelet has cut the name off.
    let rest = format!("{secret}\ntoken=s3cr3t\n");
    for message in ["token=s3cr3t\n", " token = s3cr3t\n\n", rest.as_str()] {
        let mut main = container("main", json!({"waiting": {"reason": "CrashLoopBackOff"}}));
        main["restartCount"] = 3.into();
        main["lastState"] =
            json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}});
        let mut pod = failed_pod(json!({"containerStatuses": [main]}));
        for phase in ["Pending", "Running"] {
            pod["status"]["phase"] = phase.into();
            let pod = pods(std::slice::from_ref(&pod));
            let said = match phase {
                "Pending" => explain::pending(&declares, &[&pod[0]], &[], &[]),
                _ => explain::restarting(&declares, &[&pod[0]]),
            };
            let expected = "CrashLoopBackOff after 3 restarts: exit code 1";
            assert_eq!(said.as_deref(), Some(expected), "{phase}");
        }
    }
}

#[test]
fn one_container_of_several_is_named() {
    let pod = failed_pod(json!({"containerStatuses": [
        ended("main", 0, "Completed", ""), ended("proxy", 2, "Error", "port in use")]}));
    let pod = pods(&[pod]);
    let why = explain::failure(&job(json!({})), &[&pod[0]]);
    assert_eq!(
        why.as_deref(),
        Some("exit code 2 in container proxy: port in use")
    );
}

#[test]
fn a_container_that_is_restarted_again_and_again_says_how_it_ends() {
    let mut proxy = container(
        "proxy",
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}),
    );
    proxy["restartCount"] = 3.into();
    proxy["lastState"] = json!({"terminated": {"exitCode": 1, "reason": "Error",
        "message": "port in use\n"}});
    let expected = "CrashLoopBackOff after 3 restarts: exit code 1 in sidecar proxy: port in use";
    let mut pod = failed_pod(json!({ "initContainerStatuses": [proxy] }));
    for (phase, pending, restarting) in [
        ("Pending", Some(expected), None),
        ("Running", None, Some(expected)),
        ("Failed", None, None),
    ] {
        pod["status"]["phase"] = phase.into();
        let pod = pods(std::slice::from_ref(&pod));
        let said = explain::pending(&job(json!({})), &[&pod[0]], &[], &[]);
        assert_eq!(said.as_deref(), pending, "{phase}");
        assert_eq!(
            explain::restarting(&job(json!({})), &[&pod[0]]).as_deref(),
            restarting,
            "{phase}"
        );
    }
}

#[test]
fn a_long_message_is_cut_at_a_character() {
    let text = "é".repeat(1000);
    let pod = failed_pod(json!({"containerStatuses": [ended("main", 1, "Error", &text)]}));
    let pod = pods(&[pod]);
    let why = explain::failure(&job(json!({})), &[&pod[0]]).unwrap();
    assert!(why.ends_with("éé…") && why.chars().count() < 300, "{why}");
}

fn event(uid: &str, reason: &str, message: &str, time: &str) -> Event {
    let event = json!({
        "metadata": {"name": "e"},
        "involvedObject": {"uid": uid},
        "reason": reason,
        "message": message,
        "lastTimestamp": time,
    });
    serde_json::from_value(event).unwrap()
}

#[test]
fn a_job_whose_pods_can_t_start_says_why() {
    let pending = |status: Value| {
        let mut status = status;
        status["phase"] = "Pending".into();
        json!({"metadata": {"name": "work-x", "uid": "uid-pod"}, "spec": {"containers": []},
            "status": status})
    };
    let waits = |reason: &str, message: &str| {
        let state = json!({"waiting": {"reason": reason, "message": message}});
        pending(json!({"containerStatuses": [container("main", state)]}))
    };
    let events = [
        event(
            "uid-work",
            "FailedCreate",
            "Error creating: pods is forbidden: old",
            "2026-03-01T11:00:00Z",
        ),
        event(
            "uid-work",
            "FailedCreate",
            "Error creating: pods \"work-x\" is forbidden: exceeded quota: small",
            "2026-03-01T12:00:00Z",
        ),
        event(
            "uid-else",
            "FailedCreate",
            "not this one",
            "2026-03-01T13:00:00Z",
        ),
        event(
            "uid-pod",
            "FailedMount",
            "secret \"nope\" not found",
            "2026-03-01T12:00:00Z",
        ),
    ];
    let unscheduled = json!({"conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]});
    let running = json!({"metadata": {}, "status": {"phase": "Running"}});
    let table = [
        (
            vec![],
            Some("its pods are refused: pods \"work-x\" is forbidden: exceeded quota: small"),
        ),
        (
            vec![pending(unscheduled)],
            Some("Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."),
        ),
        (
            vec![waits(
                "ImagePullBackOff",
                "Back-off pulling image \"nope:1\"",
            )],
            Some("ImagePullBackOff: Back-off pulling image \"nope:1\""),
        ),
        // An image that has no variant for the node's processor.
        (
            vec![waits(
                "ErrImagePull",
                "failed to pull and unpack image \"acme/etl:4\": no match for platform in manifest: not found",
            )],
            Some(
                "ErrImagePull: failed to pull and unpack image \"acme/etl:4\": no match for platform in manifest: not found",
            ),
        ),
        (
            vec![waits(
                "CreateContainerConfigError",
                "secret \"nope\" not found",
            )],
            Some("CreateContainerConfigError: secret \"nope\" not found"),
        ),
        (
            vec![waits("ContainerCreating", "")],
            Some("FailedMount: secret \"nope\" not found"),
        ),
        (
            vec![{
                let mut other = waits("ContainerCreating", "");
                other["metadata"]["uid"] = "uid-other".into();
                other
            }],
            Some("a container is being created"),
        ),
        (vec![waits("ImagePullBackOff", "x"), running], None),
        (
            vec![failed_pod(
                json!({"containerStatuses": [ended("main", 3, "Error", "no")]}),
            )],
            Some("its last pod failed, and another one follows: exit code 3: no"),
        ),
        (
            vec![
                failed_pod(
                    json!({"conditions": [{"type": "DisruptionTarget", "status": "True",
                    "reason": "TerminationByKubelet", "message": "low on memory"}]}),
                ),
                waits("ErrImagePull", "no"),
            ],
            Some(
                "ErrImagePull: no (the pod before was evicted (TerminationByKubelet): low on memory)",
            ),
        ),
    ];
    for (all, expected) in table {
        let all = pods(&all);
        let all: Vec<&Pod> = all.iter().collect();
        let events: Vec<&Event> = events.iter().collect();
        let said = explain::pending(&job(json!({})), &all, &events, &[]);
        assert_eq!(said.as_deref(), expected);
    }
    assert_eq!(
        explain::pending(&job(json!({})), &[], &[], &[]),
        None,
        "on its way"
    );
}

#[test]
fn a_job_in_a_queue_of_kueue_says_what_its_workload_says() {
    let queued = job(json!({
        "metadata": {"uid": "uid-work", "labels": {"kueue.x-k8s.io/queue-name": "batch"}},
        "spec": {"suspend": true, "template": {}},
    }));
    let workload = |uid: &str, message: &str| {
        json!({
            "metadata": {"ownerReferences": [{"uid": uid}]},
            "status": {"conditions": [
                {"type": "QuotaReserved", "status": "False", "message": message},
            ]},
        })
    };
    let all = [
        workload("uid-else", "no"),
        workload("uid-work", "insufficient quota for cpu"),
    ];
    assert_eq!(
        explain::pending(&queued, &[], &[], &[&all[0], &all[1]]).as_deref(),
        Some("waits in Kueue's queue batch: insufficient quota for cpu")
    );
    assert_eq!(
        explain::pending(&queued, &[], &[], &[]).as_deref(),
        Some("waits in Kueue's queue batch")
    );
}
