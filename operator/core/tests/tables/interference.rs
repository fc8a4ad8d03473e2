//! Tables of what becomes of Jobs and ledgers that somebody else has touched.

use crate::world::{World, ended, job, now, object, recorded, says_why, short};
use jiff::SignedDuration;
use konductor_api::{Barrier, Gate, Lease, Participant, Run, Semaphore};
use konductor_core::{Decision, Write, barrier, gate, job, ledger, run};
use serde_json::{Value, json};

fn decide(job: &Value, world: &World) -> Decision<job::NoStatus> {
    let job: Participant = serde_json::from_value(job.clone()).unwrap();
    let decision = world.decide(|facts| job::decide(&job, facts, now())).0;
    says_why(&job, &decision);
    decision
}

fn body(decision: &Decision<job::NoStatus>) -> &Value {
    let Write::Patch { body, .. } = &decision.before[0] else {
        panic!("{decision:?}")
    };
    body
}

fn semaphore(permits: u32, holders: &[(&str, u32)]) -> Value {
    let holders: Vec<Value> = holders
        .iter()
        .map(|(name, permits)| {
            json!({"kind": "Job", "name": name, "uid": format!("uid-{name}"), "holder": name,
                "permits": permits})
        })
        .collect();
    object(
        "Semaphore",
        "batch",
        json!({"spec": {"permits": permits}, "status": {"holders": holders}}),
    )
}

fn holders(semaphore: &Value, world: &World) -> (Vec<String>, Vec<Write>) {
    let semaphore: Semaphore = serde_json::from_value(semaphore.clone()).unwrap();
    let (decision, _) = world.decide(|facts| ledger::decide_semaphore(&semaphore, facts, now()));
    let status = decision.status.or(semaphore.status).unwrap();
    let named = status.holders.iter();
    let named = named.map(|held| format!("{}={}", held.name, held.permits));
    (named.collect(), decision.before)
}

/// A Job that was started, and that kubectl has suspended since.
fn suspended(rest: Value) -> Value {
    let mut work = job(
        "work",
        json!({
            "konductor.io/gate": "ready",
            "konductor.io/hold": "semaphore/batch",
            "konductor.io/held": "semaphore/batch",
            "konductor.io/phase": "Running",
        }),
        json!({"metadata": {"managedFields": [
            {"manager": "konductor", "time": "2026-03-01T11:00:00Z",
                "fieldsV1": {"f:spec": {"f:template": {}}}},
            {"manager": "kubectl-client-side-apply", "time": "2026-03-01T11:59:00Z",
                "fieldsV1": {"f:spec": {"f:suspend": {}}}},
        ]}}),
    );
    for (key, value) in rest.as_object().unwrap() {
        work["metadata"]["annotations"][key] = value.clone();
    }
    work
}

/// The owner of what belongs to the Run `r`.
fn owned() -> Value {
    json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}])
}

#[test]
fn a_job_that_somebody_suspends_while_it_runs_is_started_again() {
    let work = suspended(json!({}));
    let decision = decide(
        &work,
        &World::of([work.clone(), semaphore(1, &[("work", 1)])]),
    );
    assert_eq!(short(&decision.before), ["Job/work Running suspend=false"]);
    let annotations = &body(&decision)["metadata"]["annotations"];
    assert_eq!(
        annotations["konductor.io/reason"],
        "suspended by kubectl-client-side-apply while it ran; konductor started it again"
    );
    assert_eq!(
        annotations["konductor.io/resumed"],
        "1 2026-03-01T12:00:00Z"
    );
    let event = &decision.events[0];
    assert_eq!(event.reason, "Suspended");
    assert!(
        event
            .note
            .starts_with("kubectl-client-side-apply suspended"),
        "{event:?}"
    );
}

#[test]
fn a_suspended_job_is_left_alone_where_something_wants_it_suspended() {
    let run = |spec: Value| {
        let mut run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
        for (key, value) in spec.as_object().unwrap() {
            run["spec"][key] = value.clone();
        }
        run
    };
    let held = || semaphore(1, &[("work", 1)]);
    let mut of_run = suspended(json!({}));
    of_run["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/role": "main"});
    of_run["metadata"]["ownerReferences"] = owned();
    let mut in_kueue = suspended(json!({}));
    in_kueue["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "batch"});
    let started = ["Job/work Running suspend=false"];
    let table: [(&Value, Value, &[&str]); 5] = [
        (&of_run, run(json!({})), &started),
        (&of_run, run(json!({"pause": true})), &[]),
        (
            &of_run,
            run(json!({"pause": true, "letRunningFinish": true})),
            &started,
        ),
        (&of_run, run(json!({"cancel": true})), &[]),
        (&in_kueue, run(json!({})), &[]),
    ];
    for (work, run, expected) in table {
        let run = recorded(run, [work]);
        let mut world = World::of([work.clone(), held(), run.clone()]);
        assert_eq!(short(&decide(work, &world).before), expected, "{run}");
        // Rule B: by what is so, not by what the cache shows.
        world.cached.runs.clear();
        world.cached.semaphores.clear();
        assert_eq!(short(&decide(work, &world).before), expected, "{run}");
    }
    for phase in ["Paused", "Cancelled", "Failed"] {
        let work = suspended(json!({"konductor.io/phase": phase}));
        let world = World::of([work.clone(), held()]);
        assert_eq!(short(&decide(&work, &world).before), [""; 0], "{phase}");
    }
}

#[test]
fn a_suspended_job_that_its_ledger_has_forgotten_takes_its_turn_again() {
    let work = suspended(json!({}));
    let mut world = World::of([work.clone()]);
    world.cached.add(semaphore(1, &[("work", 1)]));
    world.live.add(semaphore(1, &[("other", 1)]));
    let decision = decide(&work, &world);
    assert_eq!(short(&decision.before), ["Job/work Queued"]);
    assert_eq!(
        body(&decision)["metadata"]["annotations"]["konductor.io/held"],
        Value::Null
    );
}

#[test]
fn a_job_that_is_suspended_again_and_again_is_started_at_intervals() {
    let table = [
        ("2 2026-03-01T11:59:59Z", "3 2026-03-01T12:00:00Z", true),
        ("3 2026-03-01T11:59:51Z", "", false),
        ("3 2026-03-01T11:59:50Z", "4 2026-03-01T12:00:00Z", true),
        ("9 2026-03-01T11:00:00Z", "1 2026-03-01T12:00:00Z", true),
        ("nonsense", "1 2026-03-01T12:00:00Z", true),
    ];
    for (resumed, next, starts) in table {
        let mut work = suspended(json!({"konductor.io/resumed": resumed}));
        let world = World::of([work.clone(), semaphore(1, &[("work", 1)])]);
        let decision = decide(&work, &world);
        let annotations = &body(&decision)["metadata"]["annotations"];
        if starts {
            assert_eq!(short(&decision.before), ["Job/work Running suspend=false"]);
            assert_eq!(annotations["konductor.io/resumed"], next);
            continue;
        }
        assert_eq!(short(&decision.before), ["Job/work Running"]);
        assert_eq!(decision.wake, Some("2026-03-01T12:00:01Z".parse().unwrap()));
        // Said once.
        let reason = annotations["konductor.io/reason"].clone();
        work["metadata"]["annotations"]["konductor.io/reason"] = reason;
        assert_eq!(decide(&work, &world).before, []);
    }
}

#[test]
fn a_job_that_is_started_again_gets_its_values_and_never_silently_a_default() {
    let inputs = json!({
        "konductor.io/inputs": "{\"in-0\": \"extract/rows\"}",
        "konductor.io/presets": "{\"konductor.io/in-0\": \"0\"}",
    });
    let source = job(
        "extract",
        json!({"konductor.io/outputs": "{\"rows\":\"42\"}"}),
        crate::world::ended("Complete"),
    );
    let running = "Job/work Running suspend=false";
    let table = [
        // Applied over: the file's default stands there.
        (Some(&source), "0", running, Some("42")),
        (Some(&source), "42", running, Some("42")),
        (None, "42", running, None),
        (None, "0", "Job/work Failed", None),
    ];
    for (source, value, expected, written) in table {
        let mut work = suspended(inputs.clone());
        work["spec"]["template"] =
            json!({"metadata": {"annotations": {"konductor.io/in-0": value}}});
        let objects = [work.clone(), semaphore(1, &[("work", 1)])];
        let world = World::of(objects.into_iter().chain(source.cloned()));
        let decision = decide(&work, &world);
        assert_eq!(short(&decision.before), [expected], "{value}");
        let body = body(&decision);
        let given = &body["spec"]["template"]["metadata"]["annotations"]["konductor.io/in-0"];
        assert_eq!(given.as_str(), written, "{value}");
        // A retry still finds the defaults.
        assert_eq!(
            body["metadata"]["annotations"].get("konductor.io/presets"),
            None
        );
    }
}

#[test]
fn a_job_that_is_started_again_keeps_its_value_although_what_wrote_it_is_gone() {
    let of_run = |mut job: Value| {
        job["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/role": "main"});
        job["metadata"]["ownerReferences"] = owned();
        job
    };
    let source = of_run(job("extract", json!({}), crate::world::ended("Complete")));
    for (value, expected) in [
        ("42", "Job/work Running suspend=false"),
        ("0", "Job/work Failed"),
    ] {
        let mut work = of_run(suspended(json!({
            "konductor.io/inputs": "{\"in-0\": \"extract/rows\"}",
            "konductor.io/presets": "{\"konductor.io/in-0\": \"0\"}",
        })));
        work["spec"]["template"] =
            json!({"metadata": {"annotations": {"konductor.io/in-0": value}}});
        let run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 2}}));
        let run = recorded(run, [&source, &work]);
        let held = semaphore(1, &[("work", 1)]);
        let objects = [source.clone(), work.clone(), held, run];
        let world = World::of(objects).without_unseen("extract");
        assert_eq!(short(&decide(&work, &world).before), [expected], "{value}");
    }
}

#[test]
fn a_start_marks_what_is_held_and_takes_the_guard_off() {
    let hold = json!({"konductor.io/hold": "semaphore/batch"});
    let guard = json!({"spec": {"template": {"metadata": {"annotations": {
        "konductor.io/guard": "waiting",
    }}}}});
    let work = job("work", hold, guard);
    let decision = decide(&work, &World::of([semaphore(1, &[("work", 1)])]));
    let body = body(&decision);
    assert_eq!(
        body["metadata"]["annotations"]["konductor.io/held"],
        "semaphore/batch"
    );
    assert_eq!(
        body["spec"]["template"]["metadata"],
        json!({
            "labels": {"konductor.io/held": "true"},
            "annotations": {
                "konductor.io/held": "semaphore/batch",
                "konductor.io/guard": "started",
            },
        })
    );
}

/// Jobs in the ledger with one permit, whose annotation was edited since.
#[test]
fn a_waiting_job_that_asks_for_something_else_is_marked_and_then_struck() {
    for hold in [
        Some("semaphore/other"),
        Some("semaphore/batch=2"),
        Some("nonsense"),
        None,
    ] {
        let mut work = job("work", json!({ "konductor.io/hold": hold }), json!({}));
        if hold.is_none() {
            work["metadata"]["annotations"] = json!({});
        }
        let listed = semaphore(3, &[("work", 1)]);
        let (left, writes) = holders(&listed, &World::of([work.clone()]));
        assert_eq!(left, ["work=1"], "{hold:?}: its Job is marked first");
        assert_eq!(short(&writes), ["Job/work"]);
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        let mark = &body["metadata"]["annotations"]["konductor.io/releases"];
        assert_eq!(mark, "semaphore/batch");

        work["metadata"]["annotations"]["konductor.io/releases"] = mark.clone();
        let (left, writes) = holders(&listed, &World::of([work.clone()]));
        assert_eq!((left, writes), (vec![], vec![]), "{hold:?}");
        // A cache that is behind strikes nobody.
        let mut behind = World::of([]);
        behind.cached.add(work.clone());
        let mut started = work.clone();
        started["metadata"]["annotations"]["konductor.io/phase"] = "Running".into();
        behind.live.add(started);
        assert_eq!(holders(&listed, &behind).0, ["work=1"], "{hold:?}");
    }
}

#[test]
fn a_marked_job_neither_starts_nor_queues_until_its_ledger_has_forgotten_it() {
    let annotations = json!({
        "konductor.io/hold": "semaphore/batch",
        "konductor.io/releases": "semaphore/batch",
    });
    let work = job("work", annotations, json!({}));
    let listed = || semaphore(1, &[("work", 1)]);
    // It asks for exactly this again, and is struck nevertheless: the ledger may be about to.
    assert_eq!(decide(&work, &World::of([listed()])).before, []);
    assert_eq!(holders(&listed(), &World::of([work.clone()])).0, [""; 0]);
    let mut world = World::of([]);
    world.cached.add(semaphore(1, &[]));
    world.live.add(listed());
    assert_eq!(decide(&work, &world).before, [], "not by the cache alone");
    let world = World::of([semaphore(1, &[])]);
    let decision = decide(&work, &world);
    assert_eq!(short(&decision.before), ["Job/work"]);
    assert_eq!(
        body(&decision)["metadata"]["annotations"],
        json!({"konductor.io/releases": null})
    );
    assert_eq!(holders(&semaphore(1, &[]), &World::of([work])).0, [""; 0]);
}

#[test]
fn a_running_job_keeps_its_permit_whatever_its_annotation_says() {
    for hold in [Some("semaphore/other"), Some("semaphore/batch=2"), None] {
        let mut work = job(
            "work",
            json!({"konductor.io/phase": "Running", "konductor.io/held": "semaphore/batch"}),
            json!({"spec": {"suspend": false}}),
        );
        if let Some(hold) = hold {
            work["metadata"]["annotations"]["konductor.io/hold"] = hold.into();
        }
        let (left, writes) = holders(&semaphore(1, &[("work", 1)]), &World::of([work]));
        assert_eq!(
            (left, writes),
            (vec!["work=1".to_owned()], vec![]),
            "{hold:?}"
        );
    }
}

#[test]
fn a_ledger_that_is_created_again_enters_those_whose_pods_still_work() {
    let pod = |phase: &str, held: &str| {
        object(
            "Pod",
            "work-x",
            json!({
                "metadata": {
                    "labels": {"konductor.io/held": "true"},
                    "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "work",
                    "uid": "uid-work", "controller": true}],

                    "annotations": {"konductor.io/held": held, "token.konductor.io/batch": "7"},
                },
                "status": {"phase": phase},
            }),
        )
    };
    let cancelled = job(
        "work",
        json!({"konductor.io/hold": "semaphore/batch=2", "konductor.io/phase": "Cancelled"}),
        json!({}),
    );
    // Its annotation was removed while it ran.
    let edited = job(
        "work",
        json!({"konductor.io/held": "semaphore/batch=2", "konductor.io/phase": "Running"}),
        json!({"spec": {"suspend": false}}),
    );
    let next = job(
        "next",
        json!({"konductor.io/hold": "semaphore/batch"}),
        json!({}),
    );
    let held = "semaphore/batch=2, semaphore/other";
    let table = [
        (vec![pod("Running", held)], vec!["work=2"]),
        (vec![pod("Running", held), cancelled], vec!["work=2"]),
        (vec![pod("Pending", held), edited.clone()], vec!["work=2"]),
        (vec![edited], vec!["work=2"]),
        (vec![pod("Succeeded", held)], vec!["next=1"]),
        (vec![pod("Running", "semaphore/other")], vec!["next=1"]),
    ];
    for (index, (objects, expected)) in table.into_iter().enumerate() {
        let mut new = semaphore(2, &[]);
        new.as_object_mut().unwrap().remove("status");
        let world = World::of(objects.into_iter().chain([next.clone()]));
        assert_eq!(holders(&new, &world).0, expected, "case {index}");
    }
    let lease = object("Lease", "batch", json!({"spec": {"ttl": "1m"}}));
    let lease: Lease = serde_json::from_value(lease).unwrap();
    let world = World::of([pod("Running", "lease/batch")]);
    let (decision, _) = world.decide(|facts| ledger::decide_lease(&lease, facts, now()));
    let status = decision.status.unwrap();
    assert_eq!((status.holders.len(), status.token), (1, Some(7)));
}

#[test]
fn turns_of_the_same_second_go_by_ordinal_and_then_by_name() {
    let item = |name: &str, ordinal: Option<&str>| {
        let mut item = job(
            name,
            json!({"konductor.io/hold": "semaphore/batch"}),
            json!({}),
        );
        // Uids are random: here they go the other way.
        item["metadata"]["uid"] = format!("{}-{name}", 9 - name.len()).into();
        if let Some(ordinal) = ordinal {
            item["metadata"]["annotations"]["konductor.io/ordinal"] = ordinal.into();
        }
        item
    };
    let all = || {
        [
            item("zz", Some("10")),
            item("yyyy", Some("9")),
            item("a", None),
            item("bbb", Some("many")),
        ]
    };
    for (permits, expected) in [
        (1, vec!["yyyy=1"]),
        (2, vec!["yyyy=1", "zz=1"]),
        (3, vec!["yyyy=1", "zz=1", "a=1"]),
        (4, vec!["yyyy=1", "zz=1", "a=1", "bbb=1"]),
    ] {
        assert_eq!(
            holders(&semaphore(permits, &[]), &World::of(all())).0,
            expected
        );
    }
}

#[test]
fn a_semaphore_with_as_many_holders_as_it_can_list_has_nothing_available() {
    let names: Vec<String> = (0..1024).map(|number| format!("j{number}")).collect();
    let held: Vec<(&str, u32)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let jobs = names.iter().map(|name| {
        job(
            name,
            json!({"konductor.io/hold": "semaphore/batch", "konductor.io/phase": "Running"}),
            json!({"spec": {"suspend": false}}),
        )
    });
    let full: Semaphore = serde_json::from_value(semaphore(2000, &held)).unwrap();
    let world = World::of(jobs);
    let (decision, _) = world.decide(|facts| ledger::decide_semaphore(&full, facts, now()));
    let status = serde_json::to_value(decision.status.unwrap()).unwrap();
    assert_eq!(status["available"], 0);
    assert_eq!(status["phase"], "Full");
    assert_eq!(status["conditions"][0]["reason"], "LedgerFull");
    assert_eq!(
        status["conditions"][0]["message"],
        "1024 of 2000 permits are held, by 1024 holders: a Semaphore lists no more"
    );
}

fn pending_job(rest: Value) -> Value {
    let mut work = job(
        "work",
        json!({"konductor.io/phase": "Running", "konductor.io/pending-timeout": "10m"}),
        json!({
            "spec": {"suspend": false},
            "status": {"active": 1, "ready": 0, "startTime": "2026-03-01T11:49:59Z"},
        }),
    );
    for (key, value) in rest.as_object().unwrap() {
        work["status"][key] = value.clone();
    }
    work
}

fn pod_of_work(phase: &str) -> Value {
    let state = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    object(
        "Pod",
        "work-x",
        json!({
            "metadata": {"ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "work",
                    "uid": "uid-work", "controller": true}]},
            "status": {"phase": phase, "containerStatuses": [{"name": "main", "image": "",
                "imageID": "", "ready": false, "restartCount": 0, "state": state}]},
        }),
    )
}

#[test]
fn a_job_whose_pods_can_t_start_for_too_long_fails_with_the_cause() {
    let work = pending_job(json!({}));
    let decision = decide(&work, &World::of([work.clone(), pod_of_work("Pending")]));
    assert_eq!(short(&decision.before), ["Job/work Failed suspend=true"]);
    let reason = &body(&decision)["metadata"]["annotations"]["konductor.io/reason"];
    assert_eq!(
        reason,
        "PendingTimedOut: no pod could start within 10m: \
         ImagePullBackOff: no such image"
    );
    assert_eq!(decision.events[0].reason, "PendingTimedOut");
    // Without any pod, as with a quota that refuses them.
    let decision = decide(&work, &World::of([work.clone()]));
    assert_eq!(short(&decision.before), ["Job/work Failed suspend=true"]);
}

#[test]
fn a_job_whose_pods_run_have_run_or_still_have_time_continues() {
    let table = [
        (pending_job(json!({})), Some("Running"), None),
        (pending_job(json!({"ready": 1})), Some("Pending"), None),
        (pending_job(json!({"failed": 1})), Some("Pending"), None),
        (
            pending_job(json!({"startTime": null})),
            Some("Pending"),
            None,
        ),
        (
            pending_job(json!({"startTime": "2026-03-01T11:50:00Z"})),
            Some("Pending"),
            Some("2026-03-01T12:00:01Z".parse().unwrap()),
        ),
    ];
    for (work, phase, wake) in table {
        let pods = phase.map(pod_of_work);
        let decision = decide(&work, &World::of(pods.into_iter().chain([work.clone()])));
        assert_eq!((decision.before, decision.wake), (vec![], wake), "{work}");
    }
    // The default is for those that take part.
    let stranger = {
        let mut work = pending_job(json!({}));
        work["metadata"]["annotations"] = json!({});
        work
    };
    let mut of_run = stranger.clone();
    of_run["metadata"]["labels"] = json!({"konductor.io/run": "r"});
    for (work, limit, expected) in [
        (&stranger, Some(SignedDuration::from_secs(600)), &[][..]),
        (&of_run, None, &[]),
        (
            &of_run,
            Some(SignedDuration::from_secs(600)),
            &["Job/work Failed suspend=true"],
        ),
    ] {
        let mut world = World::of([work.clone(), pod_of_work("Pending")]);
        world.facts.pending_timeout = limit;
        assert_eq!(short(&decide(work, &world).before), expected, "{limit:?}");
    }
}

#[test]
fn a_job_that_failed_says_why_once() {
    let mut work = job(
        "work",
        json!({"konductor.io/hold": "semaphore/batch"}),
        json!({}),
    );
    let failed = json!({"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit"});
    work["status"] = json!({ "conditions": [failed] });
    let mut pod = pod_of_work("Failed");
    pod["status"]["containerStatuses"][0]["state"] =
        json!({"terminated": {"exitCode": 3, "message": "no rows"}});
    for (objects, reason) in [
        (vec![pod], "exit code 3: no rows"),
        (vec![], "Job has reached the specified backoff limit"),
    ] {
        let decision = decide(&work, &World::of(objects));
        assert_eq!(short(&decision.before), ["Job/work Failed"]);
        let annotations = &body(&decision)["metadata"]["annotations"];
        assert_eq!(annotations["konductor.io/reason"], reason);
    }
    for phase in ["Failed", "Cancelled"] {
        let mut said = work.clone();
        said["metadata"]["annotations"]["konductor.io/phase"] = phase.into();
        assert_eq!(decide(&said, &World::default()).before, [], "{phase}");
    }
    let mut stranger = work;
    stranger["metadata"]["annotations"] = json!({});
    assert_eq!(decide(&stranger, &World::default()).before, []);
}

#[test]
fn a_job_that_was_created_from_a_stored_copy_is_a_new_job() {
    let copied = |annotations: Value, rest: Value| {
        let mut copy = job("work", annotations, json!({"metadata": {"generation": 1}}));
        for (key, value) in rest.as_object().unwrap() {
            copy["spec"][key] = value.clone();
        }
        copy
    };
    let running = json!({
        "konductor.io/gate": "closed", "konductor.io/hold": "semaphore/batch",
        "konductor.io/held": "semaphore/batch", "konductor.io/phase": "Running",
        "konductor.io/reason": "suspended", "konductor.io/times": "ended 2026-03-01T11:00:00Z",
    });
    let phase = |phase: &str| json!({"konductor.io/gate": "closed", "konductor.io/phase": phase});
    let written = json!({
        "konductor.io/outputs-declared": "rows", "konductor.io/outputs": "{\"rows\":\"1\"}",
        "konductor.io/phase": "Complete",
    });
    let runs = json!({"suspend": false});
    let table: [(Value, Value, &[&str]); 9] = [
        (
            running.clone(),
            json!({}),
            &["phase", "reason", "held", "times"],
        ),
        (running, runs.clone(), &["phase", "reason", "held", "times"]),
        (phase("Running"), json!({}), &["phase"]),
        (phase("Paused"), json!({}), &["phase"]),
        (written, runs.clone(), &["phase", "outputs"]),
        // What the operator writes on a Job that it has not started.
        (phase("Waiting"), json!({}), &[]),
        (phase("Cancelled"), json!({}), &[]),
        (phase("Skipped"), json!({}), &[]),
        // It was created without `suspend: true`, and that is said already.
        (phase("Running"), runs, &[]),
    ];
    for (annotations, spec, expected) in table {
        let copy = copied(annotations, spec);
        let removed = |copy: &Value| {
            let decision = decide(copy, &World::of([copy.clone(), semaphore(1, &[])]));
            let Some(Write::Patch { body, .. }) = decision.before.first() else {
                return Vec::new();
            };
            let annotations = body["metadata"]["annotations"].as_object().unwrap();
            let phase = annotations.get("konductor.io/phase");
            let is_forgotten = phase.is_some_and(Value::is_null);
            assert!(!is_forgotten || body["spec"].is_null(), "{body}");
            let nulls = annotations.iter().filter(|(_, value)| value.is_null());
            nulls
                .map(|(key, _)| key["konductor.io/".len()..].to_owned())
                .collect()
        };
        assert_eq!(removed(&copy), expected, "{copy}");
        // One whose spec was changed may have been started.
        let mut started = copy.clone();
        started["metadata"]["generation"] = 2.into();
        assert!(
            !removed(&started).contains(&"phase".to_owned()),
            "{started}"
        );
        let mut in_kueue = copy;
        in_kueue["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "batch"});
        assert!(
            !removed(&in_kueue).contains(&"phase".to_owned()),
            "{in_kueue}"
        );
    }
}

/// What a start of the first one has written into the pod template would count as defaults.
#[test]
fn a_copy_has_the_pod_template_from_before_the_start_of_the_first() {
    let stored = json!({
        "konductor.io/gate": "closed", "konductor.io/phase": "Running",
        "konductor.io/inputs": r#"{"in-0": "gone/rows", "in-1": "gone/size"}"#,
        "konductor.io/presets": r#"{"konductor.io/in-1": "7"}"#,
    });
    let template = json!({
        "annotations": {
            "konductor.io/in-0": "42", "konductor.io/in-1": "8", "konductor.io/held": "lease/db",
            "konductor.io/guard": "started", "konductor.io/traceparent": "00-1-2-01",
            "token.konductor.io/db": "3", "example.com/own": "x",
        },
        "labels": {"konductor.io/held": "true", "example.com/own": "x"},
    });
    let restored = json!({
        "annotations": {
            "konductor.io/in-0": null, "konductor.io/in-1": "7", "konductor.io/held": null,
            "konductor.io/guard": "waiting", "konductor.io/traceparent": null,
            "token.konductor.io/db": null,
        },
        "labels": {"konductor.io/held": null},
    });
    // The pod template of a Job that runs can't be changed.
    for (suspend, expected) in [(true, restored), (false, Value::Null)] {
        let rest = json!({
            "metadata": {"generation": 1},
            "spec": {"suspend": suspend, "template": {"metadata": template}},
        });
        let copy = job("work", stored.clone(), rest);
        let decision = decide(&copy, &World::of([copy.clone()]));
        let body = body(&decision);
        let annotations = &body["metadata"]["annotations"];
        assert_eq!(annotations.get("konductor.io/presets"), Some(&Value::Null));
        let template = body
            .pointer("/spec/template/metadata")
            .unwrap_or(&Value::Null);
        assert_eq!(*template, expected, "suspend: {suspend}");
    }
}

#[test]
fn a_deleted_job_that_a_finalizer_keeps_counts_as_deleted() {
    let deleted = |finalizers: Value, annotations: Value, rest: Value| {
        let mut work = job("work", annotations, rest);
        work["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:00Z".into();
        work["metadata"]["finalizers"] = finalizers;
        work
    };
    let others = json!(["foregroundDeletion", "example.com/keep"]);
    let own = json!(["foregroundDeletion", "orphan"]);
    let hold = json!({"konductor.io/hold": "semaphore/batch"});
    let running = json!({
        "konductor.io/hold": "semaphore/batch", "konductor.io/held": "semaphore/batch",
        "konductor.io/phase": "Running",
    });
    let runs = json!({"spec": {"suspend": false}});
    let table: [(Value, Value, Value, &[&str]); 6] = [
        (
            others.clone(),
            hold.clone(),
            json!({}),
            &["Job/work Cancelled"],
        ),
        (
            others.clone(),
            running.clone(),
            runs.clone(),
            &["Job/work Cancelled"],
        ),
        (own, running.clone(), runs.clone(), &[]),
        (json!([]), hold, json!({}), &[]),
        (others.clone(), running.clone(), ended("Complete"), &[]),
        (
            others.clone(),
            json!({"konductor.io/phase": "Cancelled"}),
            json!({}),
            &[],
        ),
    ];
    for (finalizers, annotations, rest, expected) in table {
        let work = deleted(finalizers, annotations, rest);
        let world = World::of([work.clone(), semaphore(1, &[("work", 1)])]);
        let decision = decide(&work, &world);
        assert_eq!(short(&decision.before), expected, "{work}");
        if let [Write::Patch { body, .. }, ..] = &decision.before[..] {
            let reason = "Deleted: its Job is being deleted; the finalizer example.com/keep keeps the object";
            assert_eq!(
                body["metadata"]["annotations"]["konductor.io/reason"],
                reason
            );
        }
    }
    // Its permit is free with its last pod.
    let mut work = deleted(others, running, runs);
    work["metadata"]["annotations"]["konductor.io/phase"] = "Cancelled".into();
    let world = World::of([work]);
    assert_eq!(holders(&semaphore(1, &[("work", 1)]), &world).0, [""; 0]);
}

#[test]
fn a_job_gets_the_labels_back_by_which_its_run_finds_it() {
    let labels = json!({
        "konductor.io/run": "r", "konductor.io/stage": "load", "konductor.io/role": "finally",
    });
    let mut work = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    work["metadata"]["labels"] = labels.clone();
    work["metadata"]["ownerReferences"] = owned();
    let spec = json!({"spec": {"pipeline": "p", "jobs": 0, "finallyJobs": 1}});
    let run = recorded(object("Run", "r", spec), [&work]);
    let written = |work: &Value, run: &Value| {
        let decision = decide(work, &World::of([work.clone(), run.clone()]));
        match decision.before.first() {
            Some(Write::Patch { body, .. }) => body["metadata"]["labels"].clone(),
            _ => Value::Null,
        }
    };
    assert_eq!(written(&work, &run), Value::Null);
    for known in [
        json!({}),
        json!({"konductor.io/run": "other", "konductor.io/stage": "x"}),
        json!({"konductor.io/stage": "load"}),
    ] {
        work["metadata"]["labels"] = known;
        assert_eq!(written(&work, &run), labels);
        // A Run owns what is no part of it, too, and another Run may have its name.
        let mut unrecorded = run.clone();
        unrecorded["status"]["record"] = "".into();
        assert_eq!(written(&work, &unrecorded), Value::Null);
        let mut replaced = run.clone();
        replaced["metadata"]["uid"] = "uid-other".into();
        assert_eq!(written(&work, &replaced), Value::Null);
    }
}

/// Between the removal of the label and its return, the Run finds the Job by its owner reference alone.
#[test]
fn a_job_without_the_label_of_its_run_does_not_count_as_deleted() {
    let mut work = job(
        "work",
        json!({"konductor.io/phase": "Running"}),
        json!({"spec": {"suspend": false}}),
    );
    work["metadata"]["labels"] = json!({"konductor.io/run": "r"});
    work["metadata"]["ownerReferences"] = owned();
    let run = recorded(
        object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}})),
        [&work],
    );
    let labelled = |labels: Value| {
        let mut work = work.clone();
        work["metadata"]["labels"] = labels;
        work
    };
    let mut other = labelled(json!({}));
    other["metadata"]["uid"] = "uid-other".into();
    let mut ended = labelled(json!({}));
    ended["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
    let with = json!({"konductor.io/run": "r"});
    let table = [
        // What the watch has shown last, what is so, and how many count as deleted.
        (
            Some(labelled(json!({}))),
            Some(labelled(json!({}))),
            0,
            "Running",
        ),
        (
            Some(labelled(json!({"konductor.io/run": "s"}))),
            Some(labelled(json!({}))),
            0,
            "Running",
        ),
        (
            Some(labelled(with.clone())),
            Some(labelled(json!({}))),
            0,
            "Running",
        ),
        (
            Some(labelled(json!({}))),
            Some(labelled(with)),
            0,
            "Running",
        ),
        (Some(ended.clone()), Some(ended), 0, "Succeeded"),
        // Another Job of its name is another Job.
        (Some(other.clone()), Some(other), 1, "Failed"),
        (None, None, 1, "Failed"),
    ];
    for (cached, live, deleted, phase) in table {
        let mut world = World::of([run.clone()]);
        for (side, job) in [(&mut world.cached, cached.clone()), (&mut world.live, live)] {
            if let Some(job) = job {
                side.add(job);
            }
        }
        let typed = serde_json::from_value(run.clone()).unwrap();
        let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
        let status = decision.status.or(typed.status).unwrap();
        let found = (status.deleted, format!("{:?}", status.phase));
        assert_eq!(found, (deleted, phase.to_owned()), "{cached:?}");
    }
}

#[test]
fn a_job_that_is_deleted_without_the_label_of_its_run_has_ended_as_it_had() {
    let mut work = job("work", json!({}), ended("Complete"));
    work["metadata"]["ownerReferences"] = owned();
    let mut labelled = work.clone();
    labelled["metadata"]["labels"] = json!({"konductor.io/run": "r"});
    labelled.as_object_mut().unwrap().remove("status");
    let mut stranger = work.clone();
    stranger["metadata"]["name"] = "stranger".into();
    stranger["metadata"]["uid"] = "uid-stranger".into();
    let spec = json!({"spec": {"pipeline": "p", "jobs": 1}});
    let phase = |of_record: &[&Value], gone: &Value| {
        let run = recorded(object("Run", "r", spec.clone()), of_record.iter().copied());
        let mut world = World::of([run.clone()]);
        let name = gone["metadata"]["name"].as_str().unwrap();
        world.cached.add(gone.clone());
        world.live.add(gone.clone());
        let world = world.without(name);
        let typed = serde_json::from_value(run).unwrap();
        let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
        let status = decision.status.or(typed.status).unwrap();
        (status.deleted, format!("{:?}", status.phase))
    };
    assert_eq!(phase(&[&labelled], &work), (0, "Succeeded".to_owned()));
    // What a Run only owns is no part of it.
    let (deleted, phase) = phase(&[], &stranger);
    assert_eq!(deleted, 0);
    assert_ne!(phase, "Succeeded");
}

#[test]
fn a_job_that_starts_before_what_it_reads_has_ended_says_that_it_needs_a_gate() {
    let running = json!({"spec": {"suspend": false}});
    let extract = job(
        "extract",
        json!({"konductor.io/outputs-declared": "rows: int"}),
        running,
    );
    let inputs = json!({
        "konductor.io/hold": "semaphore/batch",
        "konductor.io/inputs": "{\"in-0\": \"extract/rows\"}",
    });
    let items = json!({"konductor.io/items": "{\"of\": \"extract/rows\"}"});
    let indexed = json!({"spec": {"completionMode": "Indexed", "completions": 1}});
    let why = "a Job that reads its outputs needs a Gate with the condition that it is Complete";
    for (work, expected) in [
        (job("work", inputs, json!({})), "job/extract has not ended"),
        (
            job("work", items, indexed),
            "output rows of job/extract is not written, as the Job has not ended",
        ),
    ] {
        let held = semaphore(1, &[("work", 1)]);
        let decision = decide(&work, &World::of([work.clone(), extract.clone(), held]));
        assert_eq!(short(&decision.before), ["Job/work Unreached"]);
        let reason = &body(&decision)["metadata"]["annotations"]["konductor.io/reason"];
        assert_eq!(*reason, format!("{expected}: {why}"));
    }
}

#[test]
fn what_a_finalizer_keeps_is_decided_about_until_it_is_gone() {
    let deleted = |object: &Value, finalizers: Value| {
        let mut object = object.clone();
        object["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:00Z".into();
        object["metadata"]["finalizers"] = finalizers;
        object
    };
    let done = job("done", json!({}), ended("Complete"));
    let work = job(
        "work",
        json!({"konductor.io/hold": "semaphore/batch"}),
        json!({}),
    );
    let condition = json!({"type": "Job", "name": "done", "state": "Complete"});
    let gate = object("Gate", "go", json!({"spec": {"conditions": [condition]}}));
    let barrier = object("Barrier", "b", json!({"spec": {"expected": 1}}));
    let run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
    let world = World::of([done, work]);
    let is_decided = |object: &Value| {
        let object = object.clone();
        match object["kind"].as_str().unwrap() {
            "Gate" => {
                let gate: Gate = serde_json::from_value(object).unwrap();
                let decision = world.decide(|facts| gate::decide(&gate, facts, now())).0;
                decision.status.is_some()
            }
            "Barrier" => {
                let barrier: Barrier = serde_json::from_value(object).unwrap();
                let decision = world
                    .decide(|facts| barrier::decide(&barrier, facts, now()))
                    .0;
                decision.status.is_some()
            }
            "Run" => {
                let run: Run = serde_json::from_value(object).unwrap();
                let decision = world.decide(|facts| run::decide(&run, facts, now())).0;
                decision.status.is_some()
            }
            _ => holders(&object, &world).0 == ["work=1"],
        }
    };
    for object in [gate, barrier, run, semaphore(1, &[])] {
        assert!(is_decided(&object), "{object}");
        let kept = deleted(&object, json!(["foregroundDeletion", "example.com/keep"]));
        assert!(is_decided(&kept), "{kept}");
        for finalizers in [json!([]), json!(["foregroundDeletion"]), json!(["orphan"])] {
            let leaving = deleted(&object, finalizers);
            assert!(!is_decided(&leaving), "{leaving}");
        }
    }
}

#[test]
fn what_a_finalizer_keeps_is_not_deleted_again_by_its_ttl() {
    let ended = json!({
        "spec": {"conditions": [], "ttlAfterFinished": "1s"},
        "status": {"phase": "Open", "finishedAt": "2026-03-01T11:00:00Z"},
    });
    let mut gate = object("Gate", "go", ended);
    let written = |gate: &Value| {
        let gate: Gate = serde_json::from_value(gate.clone()).unwrap();
        let decision = World::default()
            .decide(|facts| gate::decide(&gate, facts, now()))
            .0;
        short(&decision.before)
    };
    assert_eq!(written(&gate), ["delete Gate/go"]);
    gate["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:00Z".into();
    gate["metadata"]["finalizers"] = json!(["example.com/keep"]);
    assert_eq!(written(&gate), [""; 0]);
}
