//! Tables of what an annotated Job decides.

use crate::world::{World, controller, ended, job, now, object, recorded, says_why, short};
use jiff::SignedDuration;
use konductor_api::{Participant, parse_holds};
use konductor_core::{End, Fact, HeldBack, ObjectName, Waits, Write, job, job_end};
use serde_json::{Value, json};

fn decide(job: &Value, world: &World) -> (Vec<Write>, Vec<Fact>) {
    let job: Participant = serde_json::from_value(job.clone()).unwrap();
    let (decision, live) = world.decide(|facts| job::decide(&job, facts, now()));
    says_why(&job, &decision);
    (decision.before, live)
}

#[test]
fn a_decision_says_what_the_job_waits_for() {
    let hold = |name: &str| parse_holds(name).unwrap().remove(0);
    let lease = |held: Value| {
        let holders = json!({"spec": {"ttl": "1m"}, "status": {"holders": held}});
        object("Lease", "db", holders)
    };
    let held =
        json!([{"kind": "Job", "name": "work", "uid": "uid-work", "holder": "work", "permits": 1}]);
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/hold": "lease/db"});
    let work = of_run("work", annotations, json!({}));
    let run = |spec: Value| {
        let mut run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
        for (key, value) in spec.as_object().unwrap() {
            run["spec"][key] = value.clone();
        }
        recorded(run, [&work])
    };
    let (running, paused) = (run(json!({})), run(json!({"pause": true})));
    let cancelled = run(json!({"cancel": true, "pause": true}));
    let open = || gate("Open");
    let table = [
        (vec![], Some(Waits::Gate("ready".to_owned()))),
        (
            vec![gate("Waiting"), paused.clone()],
            Some(Waits::Gate("ready".to_owned())),
        ),
        (
            vec![gate("Failed"), running.clone()],
            Some(Waits::Gate("ready".to_owned())),
        ),
        (vec![open(), paused], Some(Waits::Run(HeldBack::Paused))),
        (
            vec![open(), cancelled],
            Some(Waits::Run(HeldBack::Cancelled)),
        ),
        (
            vec![open(), running.clone()],
            Some(Waits::Hold(hold("lease/db"))),
        ),
        (
            vec![open(), running.clone(), lease(json!([]))],
            Some(Waits::Hold(hold("lease/db"))),
        ),
        (vec![open(), running, lease(held)], None),
    ];
    let work: Participant = serde_json::from_value(work).unwrap();
    for (objects, expected) in table {
        let world = World::of(objects);
        let (decision, _) = world.decide(|facts| job::decide(&work, facts, now()));
        assert_eq!(decision.waits, expected);
        let waits = job::waits_for(&work, |fact| world.live.answer(fact), now());
        assert_eq!(waits, expected, "as koncli asks");
    }
}

fn gate(phase: &str) -> Value {
    object(
        "Gate",
        "ready",
        json!({"spec": {}, "status": {"phase": phase}}),
    )
}

fn holders(holder: Option<&str>) -> Vec<Value> {
    let held = holder.iter().map(|name| {
        json!({"kind": "Job", "name": name, "uid": format!("uid-{name}"), "holder": name,
            "permits": 1})
    });
    held.collect()
}

fn semaphore(holder: Option<&str>) -> Value {
    let status = json!({"holders": holders(holder)});
    object(
        "Semaphore",
        "batch",
        json!({"spec": {"permits": 1}, "status": status}),
    )
}

fn lease(holder: Option<&str>) -> Value {
    let status = json!({"holders": holders(holder), "token": 12});
    object(
        "Lease",
        "schema",
        json!({"spec": {"ttl": "1m"}, "status": status}),
    )
}

#[test]
fn a_job_follows_its_gate() {
    let waiting = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    let table = [
        (vec![], vec!["Job/work Waiting"]),
        (vec![gate("Waiting")], vec!["Job/work Waiting"]),
        (vec![gate("Open")], vec!["Job/work Running suspend=false"]),
        (vec![gate("Skipped")], vec!["Job/work Skipped"]),
        (vec![gate("Unreached")], vec!["Job/work Unreached"]),
        (vec![gate("Failed")], vec!["Job/work Unreached"]),
    ];
    for (objects, expected) in table {
        let (writes, _) = decide(&waiting, &World::of(objects.clone()));
        assert_eq!(short(&writes), expected, "{objects:?}");
    }
}

#[test]
fn a_job_is_not_started_by_a_gate_that_only_the_cache_shows_open() {
    let waiting = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    let mut world = World::of([]);
    world.cached.add(gate("Open"));
    // Deleted and created again meanwhile.
    world.live.add(gate("Waiting"));
    assert_eq!(short(&decide(&waiting, &world).0), ["Job/work Waiting"]);
}

#[test]
fn a_job_is_not_started_by_a_hold_that_only_the_cache_shows() {
    for by_now in [None, Some("other")] {
        for (hold, cached, live) in [
            ("lease/schema", lease(Some("work")), lease(by_now)),
            (
                "semaphore/batch",
                semaphore(Some("work")),
                semaphore(by_now),
            ),
        ] {
            let work = job("work", json!({"konductor.io/hold": hold}), json!({}));
            let mut world = World::of([]);
            world.cached.add(cached);
            world.live.add(live);
            let writes = decide(&work, &world).0;
            assert_eq!(
                short(&writes),
                ["Job/work Queued"],
                "{hold} held by {by_now:?}"
            );
        }
    }
}

/// What a retry created again of an Indexed Job: its indexes are written first, and then it starts.
#[test]
fn job_starts_once_the_indexes_that_succeeded_before_are_in_its_status() {
    let range = |annotations: Value, status: Value| {
        let mut range = job("a", annotations, json!({"status": status}));
        range["spec"]["suspend"] = true.into();
        range["spec"]["completionMode"] = "Indexed".into();
        range["spec"]["completions"] = 4.into();
        range
    };
    let annotations = json!({"konductor.io/completed-indexes": "0-1,3"});
    let (writes, _) = decide(&range(annotations.clone(), json!({})), &World::default());
    let Write::Patch { status, body, .. } = &writes[0] else {
        panic!("{writes:?}");
    };
    assert!(*status && writes.len() == 1, "{writes:?}");
    let written = json!({"completedIndexes": "0-1,3", "succeeded": 3});
    assert_eq!(body["status"], written);
    assert_eq!(body["metadata"]["uid"], "uid-a");
    assert_eq!(body["spec"], Value::Null);

    let (writes, _) = decide(&range(annotations.clone(), written), &World::default());
    let Write::Patch { status, body, .. } = &writes[0] else {
        panic!("{writes:?}");
    };
    assert!(!*status && writes.len() == 1, "{writes:?}");
    assert_eq!(body["spec"]["suspend"], false);

    // Nobody but a person writes this: all of it runs.
    let wrong = json!({"konductor.io/completed-indexes": "0-9"});
    let (writes, _) = decide(&range(wrong, json!({})), &World::default());
    let Write::Patch { status, body, .. } = &writes[0] else {
        panic!("{writes:?}");
    };
    assert!(!*status && body["spec"]["suspend"] == false, "{writes:?}");

    // Neither its Gate nor its permits are forgotten.
    let gated = json!({
        "konductor.io/completed-indexes": "0-1,3", "konductor.io/gate": "ready",
    });
    let world = World::of([gate("Waiting")]);
    let (writes, _) = decide(&range(gated, json!({})), &world);
    assert!(
        writes
            .iter()
            .all(|write| !matches!(write, Write::Patch { status: true, .. })),
        "{writes:?}"
    );
}

#[test]
fn a_job_takes_its_holds_after_its_gate_and_is_given_the_token() {
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/hold": "lease/schema"});
    let mut work = job("work", annotations, json!({}));
    let (writes, _) = decide(&work, &World::of([gate("Open"), lease(None)]));
    assert_eq!(short(&writes), ["Job/work Queued"]);
    work["metadata"]["annotations"]["konductor.io/phase"] = "Queued".into();
    work["metadata"]["annotations"]["konductor.io/reason"] = "waits for lease/schema".into();
    let (writes, _) = decide(&work, &World::of([gate("Open"), lease(Some("other"))]));
    assert_eq!(short(&writes), [""; 0]);
    let (writes, live) = decide(&work, &World::of([gate("Open"), lease(Some("work"))]));
    assert_eq!(short(&writes), ["Job/work Running suspend=false"]);
    assert_eq!(live.len(), 2, "gate and ledger were read live: {live:?}");
    let Write::Patch { body, .. } = &writes[0] else {
        panic!("{writes:?}")
    };
    let template = &body["spec"]["template"]["metadata"]["annotations"];
    assert_eq!(
        template,
        &json!({"token.konductor.io/schema": "12", "konductor.io/held": "lease/schema"})
    );
}

/// A ledger forgets a Job that leaves it: the start keeps since when it has held.
#[test]
fn start_keeps_when_each_ledger_granted() {
    let granted = now() - SignedDuration::from_secs(40);
    let annotations = json!({
        "konductor.io/hold": "lease/schema",
        "konductor.io/times": "ran 2026-03-01T11:00:00Z 2026-03-01T11:05:00Z",
    });
    let mut lease = lease(Some("work"));
    lease["status"]["holders"][0]["since"] = granted.to_string().into();
    let (writes, _) = decide(&job("work", annotations, json!({})), &World::of([lease]));
    let Write::Patch { body, .. } = &writes[0] else {
        panic!("{writes:?}")
    };
    assert_eq!(
        body["metadata"]["annotations"]["konductor.io/times"],
        format!("lease/schema {granted}, ran 2026-03-01T11:00:00Z 2026-03-01T11:05:00Z")
    );
}

#[test]
fn a_job_that_was_started_or_ended_is_never_started_again() {
    for phase in [
        "Running",
        "Paused",
        "Skipped",
        "Unreached",
        "Cancelled",
        "Failed",
        "Complete",
    ] {
        let annotations = json!({"konductor.io/gate": "ready", "konductor.io/phase": phase});
        let work = job("work", annotations, json!({}));
        assert_eq!(
            short(&decide(&work, &World::of([gate("Open")])).0),
            [""; 0],
            "{phase}"
        );
    }
    let by_hand = json!({"konductor.io/gate": "ready"});
    let by_hand = job("work", by_hand, json!({"spec": {"suspend": false}}));
    assert_eq!(
        short(&decide(&by_hand, &World::of([gate("Waiting")])).0),
        ["Job/work Running"]
    );
    let stranger = job("work", json!({}), json!({}));
    assert_eq!(short(&decide(&stranger, &World::of([])).0), [""; 0]);
}

/// The owner of what belongs to the Run `r`.
fn owned() -> Value {
    json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}])
}

#[test]
fn nothing_starts_in_a_run_that_is_paused_or_cancelled() {
    let mut work = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    work["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/role": "main"});
    work["metadata"]["ownerReferences"] = owned();
    let table = [
        (json!({}), vec!["Job/work Running suspend=false"]),
        (json!({"pause": true}), vec!["Job/work Waiting"]),
        (json!({"cancel": true}), vec![]),
        (json!({"cancel": true, "pause": true}), vec![]),
    ];
    for (more, expected) in table {
        let mut spec = json!({"pipeline": "p", "jobs": 1});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        let run = recorded(run_r(spec.clone()), [&work]);
        let (writes, _) = decide(&work, &World::of([gate("Open"), run]));
        assert_eq!(short(&writes), expected, "{more}");
        work["metadata"]
            .as_object_mut()
            .unwrap()
            .remove("ownerReferences");
        let run = object("Run", "r", json!({ "spec": spec }));
        let (writes, _) = decide(&work, &World::of([gate("Open"), run]));
        let started = ["Job/work Running suspend=false"];
        assert_eq!(
            short(&writes),
            started,
            "{more}: a label alone holds nothing"
        );
        work["metadata"]["ownerReferences"] = owned();
    }
}

/// The Run `r`.
fn run_r(spec: Value) -> Value {
    object("Run", "r", json!({ "spec": spec }))
}

fn of_run(name: &str, annotations: Value, rest: Value) -> Value {
    let mut job = job(name, annotations, rest);
    job["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/role": "main"});
    job["metadata"]["ownerReferences"] = owned();
    job
}

#[test]
fn job_in_the_place_of_one_that_was_deleted_does_not_start() {
    let work = of_run("work", json!({"konductor.io/gate": "ready"}), json!({}));
    let run = recorded(run_r(json!({"pipeline": "p", "jobs": 1})), [&work]);
    let mut again = work.clone();
    again["metadata"]["uid"] = "uid-other".into();
    for (job, expected) in [
        (work, vec!["Job/work Running suspend=false"]),
        (again, vec!["Job/work Cancelled suspend=true"]),
    ] {
        let (writes, _) = decide(&job, &World::of([gate("Open"), run.clone()]));
        assert_eq!(short(&writes), expected);
    }
}

/// A first stage: nothing but its Run says that it may start.
#[test]
fn job_that_asks_for_nothing_starts_once_its_run_has_recorded_it() {
    let work = of_run("work", json!({}), json!({}));
    let other = of_run("other", json!({}), json!({}));
    let mut earlier = work.clone();
    earlier["metadata"]["uid"] = "uid-earlier".into();
    let spec = |more: Value| {
        let mut spec = json!({"pipeline": "p", "jobs": 1});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        run_r(spec)
    };
    let mut foreign = recorded(spec(json!({})), [&work]);
    foreign["metadata"]["uid"] = "uid-foreign".into();
    let mut over = recorded(spec(json!({})), [&work]);
    over["status"]["phase"] = "Failed".into();
    over["status"]["outcome"] = "Failed".into();
    let held_back = |why: HeldBack| {
        let writes = match why {
            HeldBack::Paused | HeldBack::Replaced | HeldBack::NoRun => {
                vec!["Job/work Waiting".to_owned()]
            }
            _ => vec![],
        };
        (writes, Some(Waits::Run(why)))
    };
    let ended = (vec!["Job/work Cancelled suspend=true".to_owned()], None);
    let started = (vec!["Job/work Running suspend=false".to_owned()], None);
    for (run, expected) in [
        (None, held_back(HeldBack::NoRun)),
        (Some(foreign), held_back(HeldBack::Foreign)),
        (Some(spec(json!({}))), held_back(HeldBack::Unrecorded)),
        (Some(recorded(spec(json!({})), [&work])), started.clone()),
        // Above the limit no record is kept.
        (Some(spec(json!({"jobs": 40_001}))), started),
        (
            Some(recorded(spec(json!({"pause": true})), [&work])),
            held_back(HeldBack::Paused),
        ),
        (Some(recorded(spec(json!({})), [&earlier])), ended.clone()),
        (
            Some(recorded(spec(json!({})), [&other])),
            held_back(HeldBack::Replaced),
        ),
        (
            Some(recorded(spec(json!({"finallyJobs": 1})), [&other])),
            held_back(HeldBack::Replaced),
        ),
        (
            Some(recorded(spec(json!({"jobs": 2})), [&other])),
            held_back(HeldBack::Unrecorded),
        ),
        (Some(over), ended),
    ] {
        let world = World::of(run.clone());
        let typed: Participant = serde_json::from_value(work.clone()).unwrap();
        let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
        assert_eq!(
            (short(&decision.before), decision.waits),
            expected,
            "{run:?}"
        );
    }
}

#[test]
fn job_whose_run_was_created_after_it_does_not_say_that_there_is_none() {
    let mut work = of_run("work", json!({}), json!({}));
    work["metadata"]["annotations"] = json!({
        "konductor.io/phase": "Waiting", "konductor.io/reason": HeldBack::NoRun.to_string(),
    });
    let spec = json!({"pipeline": "p", "jobs": 1});
    let paused = json!({"pipeline": "p", "jobs": 1, "pause": true});
    let mut foreign = run_r(spec.clone());
    foreign["metadata"]["uid"] = "uid-foreign".into();
    for (run, expected) in [
        (None, None),
        (Some(foreign), Some(HeldBack::Foreign)),
        (Some(run_r(spec)), Some(HeldBack::Unrecorded)),
        (
            Some(recorded(run_r(paused), [&work])),
            Some(HeldBack::Paused),
        ),
    ] {
        let (writes, _) = decide(&work, &World::of(run.clone()));
        let said = writes.iter().map(|write| match write {
            Write::Patch { body, .. } => &body["metadata"]["annotations"]["konductor.io/reason"],
            other => panic!("{other:?}"),
        });
        let expected = expected.map(|why| Value::from(why.to_string()));
        assert_eq!(
            said.collect::<Vec<_>>(),
            expected.iter().collect::<Vec<_>>(),
            "{run:?}"
        );
    }
}

/// In a queue of Kueue it is Kueue that starts such a Job.
#[test]
fn job_without_gate_that_was_created_again_is_ended_and_its_runs_own_is_not() {
    let mut work = of_run("work", json!({}), json!({}));
    work["spec"]["suspend"] = false.into();
    let mut again = work.clone();
    again["metadata"]["uid"] = "uid-other".into();
    let running = recorded(run_r(json!({"pipeline": "p", "jobs": 1})), [&work]);
    let ended = |spec: Value| {
        let mut run = running.clone();
        run["spec"] = spec;
        run["status"]["phase"] = "Succeeded".into();
        run["status"]["outcome"] = "Succeeded".into();
        run
    };
    let retried = json!({"pipeline": "p", "jobs": 1, "attempt": 2});
    let stopped = vec!["Job/work Cancelled suspend=true"];
    let spec = json!({"pipeline": "p", "jobs": 1});
    let cancelled = json!({"pipeline": "p", "jobs": 1, "cancel": true});
    for (job, run, expected) in [
        (&work, running.clone(), vec![]),
        (&again, running.clone(), stopped.clone()),
        (&again, ended(spec), stopped.clone()),
        (&again, ended(cancelled), stopped),
        (&again, ended(retried), vec![]),
    ] {
        let (writes, read_live) = decide(job, &World::of([run.clone()]));
        assert_eq!(short(&writes), expected, "{run}");
        let is_live = read_live.iter().any(|fact| matches!(fact, Fact::Run(_)));
        assert!(
            expected.is_empty() || is_live,
            "a Run that only the cache shows"
        );
    }
}

#[test]
fn value_of_a_job_that_is_gone_is_its_own_or_nothing_and_never_a_default() {
    let mut reader = of_run(
        "work",
        json!({"konductor.io/gate": "ready",
            "konductor.io/inputs": "{\"in-0\": \"r-source/rows\"}"}),
        json!({}),
    );
    reader["spec"]["template"] =
        json!({"metadata": {"annotations": {"konductor.io/in-0": "a default"}}});
    let of_stage = |annotations: Value, end: &str| {
        let mut job = of_run("r-source", annotations, ended(end));
        job["metadata"]["labels"]["konductor.io/stage"] = "source".into();
        job
    };
    let source = |annotations: Value| of_stage(annotations, "Complete");
    let stored = source(json!({"konductor.io/outputs-declared": "rows",
        "konductor.io/outputs": "{\"rows\": \"7\"}"}));
    let failed = of_stage(json!({}), "Failed");
    for (source, is_shown, expected) in [
        (&stored, true, Some("7")),
        (&stored, false, None),
        (&failed, false, Some("a default")),
    ] {
        let jobs = [source.clone(), reader.clone()];
        let run = recorded(run_r(json!({"pipeline": "p", "jobs": 2})), &jobs);
        let world = World::of(jobs.into_iter().chain([gate("Open"), run]));
        let world = match is_shown {
            true => world.without("r-source"),
            false => world.without_unseen("r-source"),
        };
        let (writes, _) = decide(&reader, &world);
        let Some(Write::Patch { body, .. }) = writes.first() else {
            panic!("{expected:?}")
        };
        let phase = &body["metadata"]["annotations"]["konductor.io/phase"];
        let value = &body["spec"]["template"]["metadata"]["annotations"]["konductor.io/in-0"];
        match expected {
            Some("a default") => assert!(phase == "Running" && value.is_null(), "{body}"),
            Some(expected) => assert_eq!((phase, value), (&"Running".into(), &expected.into())),
            None => assert_eq!(
                (
                    phase,
                    &body["metadata"]["annotations"]["konductor.io/reason"]
                ),
                (
                    &json!("Unreached"),
                    &json!("stage source was deleted before its outputs were read")
                )
            ),
        }
    }
}

#[test]
fn finally_stage_whose_gate_was_deleted_ends_with_a_run_that_was_ended() {
    let mut tidy = of_run("tidy", json!({"konductor.io/gate": "gone"}), json!({}));
    tidy["metadata"]["labels"]["konductor.io/role"] = "finally".into();
    for (outcome, expected) in [
        ("Cancelled", vec!["Job/tidy Cancelled"]),
        ("TimedOut", vec!["Job/tidy Cancelled"]),
        ("Failed", vec!["Job/tidy Waiting"]),
    ] {
        let status = json!({"phase": "Finalizing", "outcome": outcome, "attempt": 1});
        let run = json!({"spec": {"pipeline": "p", "jobs": 1}, "status": status});
        let (writes, _) = decide(&tidy, &World::of([object("Run", "r", run)]));
        assert_eq!(short(&writes), expected, "{outcome}");
    }
}

#[test]
fn what_a_run_ends_is_left_to_it_whatever_its_gate_says() {
    let mut work = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    let status = |more: Value| {
        let mut status = json!({"attempt": 1, "startedAt": "2026-03-01T00:00:00Z"});
        status
            .as_object_mut()
            .unwrap()
            .append(&mut more.as_object().unwrap().clone());
        status
    };
    let (unreached, skipped) = (["Job/work Unreached"], ["Job/work Skipped"]);
    let cancelled = ["Job/work Cancelled suspend=true"];
    let table = [
        (
            "main",
            json!({"cancel": true}),
            status(json!({})),
            "Unreached",
            &[][..],
        ),
        (
            "main",
            json!({"timeout": "1s"}),
            status(json!({})),
            "Unreached",
            &[],
        ),
        (
            "main",
            json!({"timeout": "9999h"}),
            status(json!({})),
            "Unreached",
            &unreached,
        ),
        (
            "main",
            json!({}),
            status(json!({})),
            "Unreached",
            &unreached,
        ),
        (
            "main",
            json!({"cancel": true}),
            status(json!({})),
            "Skipped",
            &skipped,
        ),
        (
            "main",
            json!({"cancel": true}),
            status(json!({"outcome": "Failed"})),
            "Unreached",
            // Its Run has ended without it.
            &cancelled,
        ),
        (
            "finally",
            json!({"cancel": true}),
            status(json!({})),
            "Unreached",
            &unreached,
        ),
    ];
    for (role, more, status, phase, expected) in table {
        work["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/role": role});
        work["metadata"]["ownerReferences"] = owned();
        let mut spec = json!({"pipeline": "p", "jobs": 1});
        spec.as_object_mut()
            .unwrap()
            .append(&mut more.as_object().unwrap().clone());
        let run = object("Run", "r", json!({"spec": spec, "status": status}));
        let (writes, live) = decide(&work, &World::of([gate(phase), run]));
        assert_eq!(short(&writes), expected, "{role} {more} {status} {phase}");
        assert!(
            live.contains(&Fact::Run(ObjectName::new("ns", "r"))),
            "{live:?}"
        );
    }
}

#[test]
fn inputs_come_from_stored_outputs_and_a_missing_one_fails_closed() {
    let annotations = json!({
        "konductor.io/gate": "ready",
        "konductor.io/inputs": "{\"in-0\": \"extract/rows\"}",
    });
    let extract = |outputs: &str| {
        job(
            "extract",
            json!({"konductor.io/outputs": outputs}),
            ended("Complete"),
        )
    };
    let preset = json!({"spec": {"template": {"metadata": {"annotations": {
        "konductor.io/in-0": "0",
    }}}}});
    let table = [
        (
            "{\"rows\":\"42\"}",
            json!({}),
            "Job/work Running suspend=false",
            Some("42"),
        ),
        ("{}", json!({}), "Job/work Unreached", None),
        ("not json", json!({}), "Job/work Unreached", None),
        ("{}", preset.clone(), "Job/work Running suspend=false", None),
    ];
    // What stands on a Job before it has ended is of another one.
    let copied = job(
        "extract",
        json!({"konductor.io/outputs": "{\"rows\":\"42\"}"}),
        json!({}),
    );
    for (rest, expected) in [
        (json!({}), "Job/work Unreached"),
        (preset, "Job/work Running suspend=false"),
    ] {
        let work = job("work", annotations.clone(), rest);
        let (writes, _) = decide(&work, &World::of([gate("Open"), copied.clone()]));
        assert_eq!(short(&writes), [expected]);
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        assert_eq!(body.pointer("/spec/template/metadata/annotations"), None);
    }
    for (outputs, rest, expected, value) in table {
        let work = job("work", annotations.clone(), rest);
        let (writes, _) = decide(&work, &World::of([gate("Open"), extract(outputs)]));
        assert_eq!(short(&writes), [expected], "{outputs}");
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        let input = &body["spec"]["template"]["metadata"]["annotations"]["konductor.io/in-0"];
        assert_eq!(input.as_str(), value, "{outputs}");
    }
}

/// The items of stage `count`, in the order of their names backwards, and what each has written; and a reader.
fn gathering(reads: &str, role: &str) -> (Vec<Value>, Value) {
    let item = |name: &str, ordinal: u32, rest: Value, outputs: Value| {
        let mut annotations = json!({
            "konductor.io/outputs-declared": "n: int, tag?: string, parts?: list<string>",
            "konductor.io/item": name,
            "konductor.io/ordinal": ordinal.to_string(),
        });
        if !outputs.is_null() {
            annotations["konductor.io/outputs"] = outputs.to_string().into();
        }
        let mut job = of_run(&format!("r-count-{name}"), annotations, rest);
        let labels = &mut job["metadata"]["labels"];
        labels["konductor.io/stage"] = "count".into();
        let region = if name.starts_with('e') { "eu" } else { "us" };
        labels["item.konductor.io/region"] = region.into();
        job
    };
    let skipped = json!({"metadata": {"annotations": {"konductor.io/phase": "Skipped"}}});
    let items = vec![
        item(
            "e1",
            12,
            ended("Complete"),
            json!({"n": "12", "tag": "a\"b"}),
        ),
        item(
            "u1",
            3,
            ended("Complete"),
            json!({"n": "003", "parts": "[\"x\"]"}),
        ),
        item("e2", 7, ended("Failed"), Value::Null),
        item("u2", 8, skipped, Value::Null),
        item(
            "e3",
            9,
            ended("Complete"),
            json!({"n": "-9", "parts": "[]"}),
        ),
    ];
    let inputs = json!({"in-0": reads}).to_string();
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/inputs": inputs});
    let mut reader = of_run("r-total", annotations, json!({}));
    reader["metadata"]["labels"]["konductor.io/role"] = role.into();
    (items, reader)
}

/// What a reader of gathered outputs starts with, or why it does not start.
fn gathered(
    items: &[Value],
    reader: &Value,
    change: impl Fn(World) -> World,
) -> Result<String, String> {
    let jobs: Vec<Value> = items.iter().chain([reader]).cloned().collect();
    let is_last = reader["metadata"]["labels"]["konductor.io/role"] == "finally";
    let run = json!({
        "pipeline": "p",
        "jobs": jobs.len() - usize::from(is_last),
        "finallyJobs": usize::from(is_last),
    });
    let run = recorded(run_r(run), &jobs);
    let world = World::of(jobs.into_iter().chain([gate("Open"), run]));
    let (writes, live) = decide(reader, &change(world));
    let [Write::Patch { body, .. }] = writes.as_slice() else {
        panic!("{writes:?}")
    };
    let annotations = &body["metadata"]["annotations"];
    let reason = annotations["konductor.io/reason"].as_str();
    match annotations["konductor.io/phase"].as_str() {
        Some("Running") => {
            assert_eq!(body["spec"]["suspend"], false);
            let is_list = |fact: &Fact| matches!(fact, Fact::JobsLabelled { .. });
            assert!(live.iter().any(is_list), "items are read live: {live:?}");
            let template = &body["spec"]["template"]["metadata"]["annotations"];
            let list = template["konductor.io/in-0"].as_str();
            Ok([list, reason]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(" "))
        }
        _ => Err(reason.unwrap_or_default().to_owned()),
    }
}

#[test]
fn gathered_outputs_are_those_of_items_that_succeeded_in_their_order() {
    let table = [
        ("count[*]/n", Ok("[3,-9,12]")),
        ("count[region=eu,*]/n", Ok("[-9,12]")),
        ("count[region=us,*]/n", Ok("[3]")),
        ("count[region=ap,*]/n", Ok("[]")),
        ("count[*]/tag = ", Ok(r#"["","","a\"b"]"#)),
        (r#"count[*]/parts = ["y"]"#, Ok(r#"[["x"],[],["y"]]"#)),
        ("count[*]/tag", Err("stage count[u1] wrote no output tag")),
        (
            "count[*]/missing = 1",
            Err("stage count[u1] wrote no output missing"),
        ),
        ("other[*]/n", Ok("[]")),
        (
            "count[eu]/n",
            Err(r#"input "in-0": "count[eu]/n" is neither JOB/OUTPUT nor STAGE[*]/OUTPUT"#),
        ),
    ];
    for (reads, expected) in table {
        let (items, reader) = gathering(reads, "main");
        let list = gathered(&items, &reader, |world| world);
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(list, expected, "{reads}");
    }
}

#[test]
fn gathered_outputs_lack_no_item_that_succeeded() {
    let shown = |name: &'static str| move |world: World| world.without(name);
    let unseen = |name: &'static str| move |world: World| world.without_unseen(name);
    let lost = "an item of count was deleted before its outputs were read";
    let (items, reader) = gathering("count[*]/n", "main");
    let all = || Ok("[3,-9,12]".to_owned());
    assert_eq!(gathered(&items, &reader, shown("r-count-u1")), all());
    assert_eq!(gathered(&items, &reader, unseen("r-count-e2")), all());
    let list = gathered(&items, &reader, unseen("r-count-u1"));
    assert_eq!(list, Err(lost.to_owned()));

    let (items, last) = gathering("count[*]/n", "finally");
    let list = gathered(&items, &last, unseen("r-count-u1"));
    assert_eq!(list, Ok(format!("[-9,12] runs with defaults: {lost}")));

    let (mut items, reader) = gathering("count[*]/n", "main");
    items[0]["status"] = json!({});
    let list = gathered(&items, &reader, |world| world);
    assert_eq!(list, Err("stage count[e1] has not ended".to_owned()));
    let list = gathered(&items, &reader, unseen("r-count-e1"));
    assert_eq!(
        list,
        Err("count[*].n lacks an item that has not ended".to_owned())
    );

    // Somebody else's Job with the labels of an item is none.
    let (mut items, reader) = gathering("count[*]/n", "main");
    items[0]["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    assert_eq!(
        gathered(&items, &reader, |world| world),
        Ok("[3,-9]".to_owned())
    );
}

#[test]
fn gathered_outputs_have_a_limit() {
    let (mut items, reader) = gathering("count[*]/tag = ", "main");
    let tag = "x".repeat(40_000);
    for item in [0, 4] {
        items[item]["metadata"]["annotations"]["konductor.io/outputs"] =
            json!({"n": "1", "tag": tag}).to_string().into();
    }
    let expected = "its inputs are 80010 bytes, of which count[*].tag is 80010; at most 65536 fit";
    let list = gathered(&items, &reader, |world| world);
    assert_eq!(list, Err(expected.to_owned()));
}

fn succeeded_pod(message: &str, containers: usize) -> Value {
    let statuses = (0..containers).map(|index| {
        json!({
            "name": if index == 0 { "main".to_owned() } else { format!("c{index}") },
            "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0, "message": message}},
        })
    });
    json!({
        "metadata": {"ownerReferences": [controller("uid-work")]},
        "status": {"phase": "Succeeded", "containerStatuses": statuses.collect::<Vec<_>>()},
    })
}

#[test]
fn outputs_are_stored_with_the_phase_in_one_patch() {
    let table = [
        ("rows", Some("rows=7\nother=1\n"), "{\"rows\":\"7\"}"),
        ("rows", Some(""), "{}"),
        ("rows", None, "{}"),
        ("rows: int", Some("rows=7\n"), "{\"rows\":\"7\"}"),
        ("rows?: int", Some("other=1\n"), "{}"),
    ];
    for (declared, message, expected) in table {
        let work = job(
            "work",
            json!({"konductor.io/outputs-declared": declared}),
            ended("Complete"),
        );
        let pods = message.map(|message| object("Pod", "pod", succeeded_pod(message, 1)));
        let (writes, _) = decide(&work, &World::of(pods));
        assert_eq!(short(&writes), ["Job/work Complete"], "{declared}");
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        assert_eq!(
            body["metadata"]["annotations"]["konductor.io/outputs"], expected,
            "{declared}"
        );
    }
}

#[test]
fn a_complete_job_has_failed_if_its_outputs_are_not_what_it_declares() {
    let long = format!("rows={}", "7".repeat(4_100));
    let table = [
        (
            "rows: int",
            Some(("rows=7 rows\n", 1)),
            "rows=\"7 rows\" is not of type int",
        ),
        ("rows: int", Some(("", 1)), "rows was not written"),
        (
            "rows?: bool",
            Some(("rows=True", 1)),
            "rows=\"True\" is not of type bool",
        ),
        (
            "rows?: string",
            Some((&long[..4_096], 1)),
            "together they are 4096 bytes or more, and were cut by the kubelet",
        ),
        (
            "rows?: string",
            Some((&long[..3_072], 4)),
            "together they are 3072 bytes or more, and were cut by the kubelet",
        ),
        (
            "rows?: int",
            None,
            "its pod was deleted before they were read",
        ),
        (
            "rows: int in",
            Some(("rows=7\n", 1)),
            "konductor.io/outputs-declared: \"rows: int in\" is not an output: \
             write NAME: TYPE, with ? behind the name if it may be left out",
        ),
    ];
    for (declared, pod, expected) in table {
        let work = job(
            "work",
            json!({"konductor.io/outputs-declared": declared}),
            ended("Complete"),
        );
        let pods = pod.map(|(message, count)| object("Pod", "pod", succeeded_pod(message, count)));
        let (writes, _) = decide(&work, &World::of(pods));
        assert_eq!(short(&writes), ["Job/work Failed"], "{declared}");
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        let annotations = &body["metadata"]["annotations"];
        assert_eq!(
            annotations["konductor.io/reason"],
            format!("InvalidOutputs: {expected}")
        );
        assert_eq!(annotations.get("konductor.io/outputs"), None);
        let mut stored = work.clone();
        stored["metadata"]["annotations"]["konductor.io/phase"] = "Failed".into();
        let typed: Participant = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(job_end(&typed), Some(End::Failed));
        let (writes, _) = decide(&stored, &World::of([]));
        assert_eq!(short(&writes), Vec::<String>::new(), "{declared}");
    }
}

#[test]
fn a_pod_that_the_job_does_not_control_leaves_no_output() {
    let declared = json!({"konductor.io/outputs-declared": "rows"});
    let work = job("work", declared, ended("Complete"));
    let labels = json!({"batch.kubernetes.io/controller-uid": "uid-work",
        "batch.kubernetes.io/job-name": "work"});
    let pod = |name: &str, owners: Value, rows: u32| {
        object(
            "Pod",
            name,
            json!({
                "metadata": {"labels": labels, "ownerReferences": owners},
                "status": {"phase": "Succeeded", "containerStatuses": [{
                    "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": 0, "message": format!("rows={rows}")}},
                }]},
            }),
        )
    };
    let mut not_the_controller = controller("uid-work");
    not_the_controller["controller"] = false.into();
    let mut another_kind = controller("uid-work");
    another_kind["kind"] = "ReplicaSet".into();
    let forged = [
        json!([]),
        json!([controller("uid-other")]),
        json!([not_the_controller]),
        json!([another_kind]),
    ];
    for owners in forged {
        let real = pod("z-real", json!([controller("uid-work")]), 5);
        for (world, expected) in [
            (
                vec![pod("a-forged", owners.clone(), 31337), real],
                r#"{"rows":"5"}"#,
            ),
            (vec![pod("a-forged", owners.clone(), 31337)], "{}"),
        ] {
            let (writes, _) = decide(&work, &World::of(world));
            let Write::Patch { body, .. } = &writes[0] else {
                panic!("{writes:?}")
            };
            let outputs = &body["metadata"]["annotations"]["konductor.io/outputs"];
            assert_eq!(outputs, expected, "{owners}");
        }
    }
}

#[test]
fn too_many_inputs_are_refused_before_anything_is_read_for_them() {
    let inputs = |count: usize| {
        let entries: serde_json::Map<String, Value> = (0..count)
            .map(|n| (format!("in-{n}"), format!("job-{n}/rows").into()))
            .collect();
        let annotations = json!({
            "konductor.io/gate": "ready",
            "konductor.io/inputs": Value::Object(entries).to_string(),
        });
        job("work", annotations, json!({}))
    };
    let reads = |count| {
        let (writes, live) = decide(&inputs(count), &World::of([gate("Open")]));
        let jobs = live.iter().filter(|fact| matches!(fact, Fact::Job(_)));
        (jobs.count(), writes)
    };
    let (read, writes) = reads(257);
    assert_eq!(read, 0);
    assert_eq!(short(&writes), ["Job/work Unreached"]);
    let Write::Patch { body, .. } = &writes[0] else {
        panic!("{writes:?}")
    };
    assert_eq!(
        body["metadata"]["annotations"]["konductor.io/reason"],
        "konductor.io/inputs has 257 entries; a Job reads at most 256"
    );
    assert_eq!(reads(256).0, 256);
}

#[test]
fn a_job_arrives_at_its_barrier_with_its_own_end_once() {
    let barrier = |phase: &str| {
        object(
            "Barrier",
            "all",
            json!({"spec": {"expected": 2}, "status": {"phase": phase}}),
        )
    };
    let arrive = json!({"konductor.io/arrive": "all"});
    let skipped = json!({"konductor.io/arrive": "all", "konductor.io/phase": "Skipped"});
    let table = [
        (
            job("work", arrive.clone(), ended("Complete")),
            vec!["arrive job/work Succeeded"],
        ),
        (
            job("work", arrive.clone(), ended("Failed")),
            vec!["arrive job/work Failed", "Job/work Failed"],
        ),
        (
            job("work", skipped, json!({})),
            vec!["arrive job/work Skipped"],
        ),
        (
            job("work", arrive.clone(), json!({"spec": {"suspend": false}})),
            vec![],
        ),
    ];
    for (work, expected) in table {
        let world = World::of([barrier("Waiting"), work.clone()]);
        assert_eq!(short(&decide(&work, &world).0), expected, "{work}");
    }
    let work = job("work", arrive, ended("Complete"));
    let world = World::of([barrier("Open"), work.clone()]);
    assert_eq!(short(&decide(&work, &world).0), [""; 0]);
    let (writes, _) = decide(&work, &World::of([barrier("Waiting"), work.clone()]));
    let Write::CreateArrival(arrival) = &writes[0] else {
        panic!("{writes:?}")
    };
    let arrived = serde_json::to_value(arrival).unwrap();
    let world = World::of([barrier("Waiting"), work.clone(), arrived]);
    assert_eq!(short(&decide(&work, &world).0), [""; 0]);
}

#[test]
fn a_start_that_stays_refused_ends_the_job() {
    let work = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    for (seconds, expected) in [
        (29, "Job/work Running suspend=false"),
        (30, "Job/work Failed"),
    ] {
        let mut world = World::of([gate("Open")]);
        let since = now() - SignedDuration::from_secs(seconds);
        world.facts.start_refused = Some((since, "quota exceeded".into()));
        assert_eq!(short(&decide(&work, &world).0), [expected], "{seconds} s");
    }
}

#[test]
fn a_job_in_a_queue_of_kueue_is_let_go_without_touching_suspend() {
    let annotations = json!({
        "konductor.io/gate": "ready",
        "kueue.x-k8s.io/admission-gated-by": "other.io/gate,konductor.io/gate",
    });
    let mut work = job("work", annotations, json!({}));
    work["metadata"]["labels"] = json!({"kueue.x-k8s.io/queue-name": "batch"});
    let (writes, _) = decide(&work, &World::of([gate("Open")]));
    assert_eq!(short(&writes), ["Job/work Running"]);
    let Write::Patch { body, .. } = &writes[0] else {
        panic!("{writes:?}")
    };
    let left = &body["metadata"]["annotations"]["kueue.x-k8s.io/admission-gated-by"];
    assert_eq!(left, "other.io/gate");
}

#[test]
fn a_job_that_was_started_against_our_word_has_failed() {
    let annotations = json!({
        "konductor.io/gate": "ready",
        "konductor.io/outputs-declared": "rows",
        "kueue.x-k8s.io/admission-gated-by": "konductor.io/gate",
    });
    let other = "other.io/gate";
    // What its list says, whether it is suspended, its own end, and what becomes of it.
    let table = [
        (
            "konductor.io/gate",
            true,
            json!({}),
            Some("Job/work Waiting"),
        ),
        (
            "konductor.io/gate",
            false,
            json!({}),
            Some("Job/work Failed"),
        ),
        (
            "other.io/gate, konductor.io/gate",
            false,
            json!({}),
            Some("Job/work Failed"),
        ),
        (
            "konductor.io/gate",
            false,
            ended("Complete"),
            Some("Job/work Failed"),
        ),
        (
            "konductor.io/gate",
            true,
            ended("Complete"),
            Some("Job/work Failed"),
        ),
        (other, false, json!({}), Some("Job/work Running")),
    ];
    for (list, suspended, status, expected) in table {
        let mut work = job("work", annotations.clone(), status);
        work["metadata"]["annotations"]["kueue.x-k8s.io/admission-gated-by"] = list.into();
        work["spec"]["suspend"] = suspended.into();
        let (writes, _) = decide(&work, &World::of([gate("Waiting")]));
        assert_eq!(
            short(&writes),
            Vec::from_iter(expected),
            "{list} {suspended}"
        );
        let read: Participant = serde_json::from_value(work).unwrap();
        let failed = expected == Some("Job/work Failed");
        assert_eq!(job_end(&read) == Some(End::Failed), failed);
    }
}

#[test]
fn holds_that_can_t_be_parsed_are_reported_once() {
    let work = job("work", json!({"konductor.io/hold": "batch"}), json!({}));
    let (writes, _) = decide(&work, &World::of([]));
    let Write::Patch { body, .. } = &writes[0] else {
        panic!("{writes:?}")
    };
    let reason = body["metadata"]["annotations"]["konductor.io/reason"]
        .as_str()
        .unwrap();
    assert!(reason.contains("semaphore/NAME"), "{reason}");
    let mut already_reported = work;
    already_reported["metadata"]["annotations"]["konductor.io/reason"] = reason.into();
    assert_eq!(decide(&already_reported, &World::of([])).0, []);
}

#[test]
fn a_finally_stage_is_given_the_outcome_of_its_run() {
    let annotations = json!({
        "konductor.io/gate": "ready",
        "konductor.io/inputs": "{\"in-0\": \"run.outcome\"}",
    });
    let mut work = job("work", annotations, json!({}));
    work["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/role": "finally"});
    for (status, expected, value) in [
        (
            json!({"phase": "Finalizing", "outcome": "Failed", "attempt": 1}),
            "Job/work Running suspend=false",
            Some("failed"),
        ),
        (
            json!({"phase": "Running", "attempt": 1}),
            "Job/work Unreached",
            None,
        ),
    ] {
        let spec = json!({"pipeline": "p", "jobs": 1, "cancel": true});
        let run = object("Run", "r", json!({"spec": spec, "status": status}));
        let (writes, _) = decide(&work, &World::of([gate("Open"), run]));
        assert_eq!(short(&writes), [expected]);
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        let input = &body["spec"]["template"]["metadata"]["annotations"]["konductor.io/in-0"];
        assert_eq!(input.as_str(), value);
    }
}

/// A finally stage runs in any case, and its defaults are for that; it says what they stand for.
#[test]
fn finally_stage_runs_with_the_default_of_a_value_that_is_lost() {
    let mut reader = of_run(
        "work",
        json!({"konductor.io/gate": "ready",
            "konductor.io/inputs": "{\"in-0\": \"r-source/rows\"}"}),
        json!({}),
    );
    reader["metadata"]["labels"]["konductor.io/role"] = "finally".into();
    reader["spec"]["template"] =
        json!({"metadata": {"annotations": {"konductor.io/in-0": "a default"}}});
    let mut source = of_run(
        "r-source",
        json!({"konductor.io/outputs-declared": "rows", "konductor.io/outputs": "{\"rows\": \"7\"}"}),
        ended("Complete"),
    );
    source["metadata"]["labels"]["konductor.io/stage"] = "source".into();
    let jobs = [source, reader.clone()];
    let spec = json!({"pipeline": "p", "jobs": 1, "finallyJobs": 1});
    let run = recorded(run_r(spec), &jobs);
    let world = World::of(jobs.into_iter().chain([gate("Open"), run]));
    let lost = "runs with defaults: stage source was deleted before its outputs were read";
    for (world, value, note) in [
        (world.without("r-source"), Some("7"), None),
        (world.without_unseen("r-source"), None, Some(lost)),
    ] {
        let typed = serde_json::from_value(reader.clone()).unwrap();
        let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
        let Some(Write::Patch { body, .. }) = decision.before.first() else {
            panic!("{decision:?}")
        };
        let annotations = &body["metadata"]["annotations"];
        assert_eq!(annotations["konductor.io/phase"], "Running");
        assert_eq!(annotations["konductor.io/reason"].as_str(), note);
        let input = &body["spec"]["template"]["metadata"]["annotations"]["konductor.io/in-0"];
        assert_eq!(input.as_str(), value);
        let notes: Vec<&str> = decision
            .events
            .iter()
            .map(|event| event.note.as_str())
            .collect();
        assert_eq!(notes, Vec::from_iter(note));
    }
    // Without a default it can't run.
    reader["spec"]["template"] = json!({});
    let (writes, _) = decide(&reader, &world.without_unseen("r-source"));
    assert_eq!(short(&writes), ["Job/work Unreached"]);
}
