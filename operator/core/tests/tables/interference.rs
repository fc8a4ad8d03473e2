//! Tables of what becomes of Jobs and ledgers that somebody else has touched.

use crate::world::{World, job, now, object, recorded, says_why, short};
use jiff::SignedDuration;
use konductor_api::{Lease, Participant, Semaphore};
use konductor_core::{Decision, Write, job, ledger};
use serde_json::{Value, json};

pub(crate) fn decide(job: &Value, world: &World) -> Decision<job::NoStatus> {
    let job: Participant = serde_json::from_value(job.clone()).unwrap();
    let decision = world.decide(|facts| job::decide(&job, facts, now())).0;
    says_why(&job, &decision);
    decision
}

pub(crate) fn body(decision: &Decision<job::NoStatus>) -> &Value {
    let Write::Patch { body, .. } = &decision.before[0] else {
        panic!("{decision:?}")
    };
    body
}

pub(crate) fn semaphore(permits: u32, holders: &[(&str, u32)]) -> Value {
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

pub(crate) fn holders(semaphore: &Value, world: &World) -> (Vec<String>, Vec<Write>) {
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
pub(crate) fn owned() -> Value {
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
        let input = &body["spec"]["template"]["metadata"]["annotations"]["konductor.io/in-0"];
        assert_eq!(input.as_str(), written, "{value}");
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
