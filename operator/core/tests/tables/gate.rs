//! Tables of what a Gate decides.

use std::time::Duration;

use crate::world::{World, ended, job, now, object};
use jiff::SignedDuration;
use konductor_api::{Gate, GatePhase, GateStatus, Verdict};
use konductor_core::{Decision, Fact, Write, gate};
use serde_json::{Value, json};

fn with(spec: Value, status: Value) -> Gate {
    let gate = object("Gate", "gate", json!({"spec": spec, "status": status}));
    serde_json::from_value(gate).unwrap()
}

fn jobs(mode: &str, names: &[&str]) -> Value {
    let conditions = names
        .iter()
        .map(|name| json!({"type": "Job", "name": name, "state": "Complete"}));
    json!({"conditions": conditions.collect::<Vec<_>>(), "mode": mode})
}

fn decide(gate: &Gate, world: &World) -> (Decision<GateStatus>, Vec<Fact>) {
    world.decide(|facts| gate::decide(gate, facts, now()))
}

fn phase(gate: &Gate, world: &World) -> GatePhase {
    decide(gate, world).0.status.unwrap().phase
}

/// A Job in one of the ends of the outcome table, or none of them.
fn job_that(name: &str, end: &str) -> Option<Value> {
    Some(match end {
        "succeeded" => job(name, json!({}), ended("Complete")),
        "failed" => job(name, json!({}), ended("Failed")),
        "skipped" => job(name, json!({"konductor.io/phase": "Skipped"}), json!({})),
        "unreached" => job(name, json!({"konductor.io/phase": "Unreached"}), json!({})),
        "cancelled" => job(name, json!({"konductor.io/phase": "Cancelled"}), json!({})),
        "open" => job(name, json!({}), json!({})),
        "missing" => return None,
        other => panic!("{other}"),
    })
}

#[test]
fn a_gate_over_two_jobs_ends_by_the_outcome_table() {
    use GatePhase::{Open, Skipped, Unreached, Waiting};
    let table = [
        ("succeeded", "succeeded", Open, Open),
        ("succeeded", "open", Waiting, Open),
        ("succeeded", "missing", Waiting, Open),
        ("succeeded", "failed", Unreached, Open),
        ("failed", "open", Unreached, Waiting),
        ("failed", "failed", Unreached, Unreached),
        ("skipped", "open", Waiting, Waiting),
        ("skipped", "succeeded", Skipped, Open),
        ("skipped", "skipped", Skipped, Skipped),
        ("skipped", "failed", Unreached, Unreached),
        ("unreached", "open", Unreached, Waiting),
        ("cancelled", "skipped", Unreached, Unreached),
    ];
    for (a, b, all, any) in table {
        let world = World::of([job_that("a", a), job_that("b", b)].into_iter().flatten());
        for (mode, expected) in [("All", all), ("Any", any)] {
            for names in [["a", "b"], ["b", "a"]] {
                let gate = with(jobs(mode, &names), json!({}));
                assert_eq!(
                    phase(&gate, &world),
                    expected,
                    "{mode} of {a}, {b} as {names:?}"
                );
            }
        }
    }
}

/// A Barrier that opened, and whose arrivals it counts.
fn open_barrier(arrivals: &str) -> Value {
    let spec = json!({"expected": 1, "arrivals": arrivals});
    object(
        "Barrier",
        "sign-off",
        json!({"spec": spec, "status": {"phase": "Open"}}),
    )
}

#[test]
fn an_approval_that_anyone_may_give_opens_nothing() {
    let gate = |verified: bool| {
        let condition =
            json!({"type": "Barrier", "name": "sign-off", "state": "Open", "verified": verified});
        with(json!({"conditions": [condition]}), json!({}))
    };
    let table = [
        (true, "Verified", GatePhase::Open),
        (true, "Anyone", GatePhase::Waiting),
        (false, "Anyone", GatePhase::Open),
    ];
    for (verified, arrivals, expected) in table {
        let world = World::of([open_barrier(arrivals)]);
        let (decision, _) = decide(&gate(verified), &world);
        let status = decision.status.unwrap();
        assert_eq!(status.phase, expected, "{verified} {arrivals}");
        let message = &status.condition_statuses[0].message;
        let expected = expected == GatePhase::Waiting;
        assert_eq!(
            message.contains("is not an approval"),
            expected,
            "{message}"
        );
    }
}

#[test]
fn nothing_is_latched_from_the_cache_alone() {
    let mut world = World::of([job_that("b", "open").unwrap()]);
    world.cached.add(job_that("a", "succeeded").unwrap());
    world.live.add(job_that("a", "open").unwrap());
    let (decision, live) = decide(&with(jobs("All", &["a", "b"]), json!({})), &world);
    let status = decision.status.unwrap();
    assert_eq!((status.met, status.phase), (0, GatePhase::Waiting));
    assert_eq!(live.len(), 1, "{live:?}");
}

#[test]
fn only_conditions_that_are_met_while_a_gate_waits_may_wait_for_one_another() {
    let waiting = |generation: i64| json!({"phase": "Waiting", "observedGeneration": generation});
    let many: Vec<String> = (0..500).map(|number| format!("j{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (names, status, ended, expected) in [
        // The first status is what people and `koncli why` look for.
        (&["a", "b"][..], json!({}), &["a"][..], None),
        (&["a", "b"], waiting(1), &["a"], Some(20)),
        (&many, waiting(1), &["j7"], Some(1000)),
        // Its conditions are others.
        (&["a", "b"], waiting(0), &["a"], None),
        // It opens.
        (&["a", "b"], waiting(1), &["a", "b"], None),
    ] {
        let mut gate = with(jobs("All", names), status);
        gate.metadata.generation = Some(1);
        let end = |name: &&str| {
            if ended.contains(name) {
                "succeeded"
            } else {
                "open"
            }
        };
        let jobs = names.iter().filter_map(|name| job_that(name, end(name)));
        let (decision, _) = decide(&gate, &World::of(jobs.collect::<Vec<_>>()));
        assert!(decision.status.is_some());
        let expected = expected.map(Duration::from_millis);
        assert_eq!(decision.progress, expected, "{names:?} {ended:?}");
    }
}

#[test]
fn a_condition_that_was_met_stays_met_although_its_job_is_gone() {
    let latched = json!({"phase": "Waiting", "conditionStatuses": [
        {"target": "job/a", "verdict": "Met"},
        {"target": "job/b", "verdict": "Pending"},
    ]});
    let gate = with(jobs("All", &["a", "b"]), latched);
    let world = World::of([job_that("b", "succeeded").unwrap()]);
    assert_eq!(phase(&gate, &world), GatePhase::Open);
}

#[test]
fn a_gate_that_has_ended_is_left_alone() {
    for ended in ["Open", "Skipped", "Unreached", "Failed"] {
        let gate = with(jobs("All", &["a"]), json!({"phase": ended}));
        let world = World::of([job_that("a", "failed").unwrap()]);
        assert_eq!(decide(&gate, &world).0, Decision::default(), "{ended}");
    }
}

#[test]
fn a_job_is_complete_by_its_condition_and_once_its_outputs_are_stored() {
    let gate = with(jobs("All", &["a"]), json!({}));
    let declared = json!({"konductor.io/outputs-declared": "rows"});
    let stored = json!({"konductor.io/outputs-declared": "rows", "konductor.io/outputs": "{}"});
    let table = [
        (
            job("a", json!({}), json!({"status": {"succeeded": 1}})),
            GatePhase::Waiting,
        ),
        (
            job("a", json!({}), ended("SuccessCriteriaMet")),
            GatePhase::Waiting,
        ),
        (job("a", declared, ended("Complete")), GatePhase::Waiting),
        (job("a", stored, ended("Complete")), GatePhase::Open),
        (
            job("a", json!({}), ended("FailureTarget")),
            GatePhase::Waiting,
        ),
    ];
    for (job, expected) in table {
        assert_eq!(phase(&gate, &World::of([job.clone()])), expected, "{job}");
    }
}

#[test]
fn a_manual_gate_waits_for_a_decision() {
    for (decision, expected) in [
        (json!({}), GatePhase::Waiting),
        (json!({"decision": "Open"}), GatePhase::Open),
        (json!({"decision": "Failed"}), GatePhase::Failed),
    ] {
        assert_eq!(
            phase(&with(decision, json!({})), &World::default()),
            expected
        );
    }
}

#[test]
fn a_gate_fails_at_its_timeout_and_looks_again_then() {
    let mut spec = jobs("All", &["a"]);
    spec["timeout"] = "61m".into();
    let world = World::of([job_that("a", "open").unwrap()]);
    let (decision, _) = decide(&with(spec.clone(), json!({})), &world);
    let a_minute_and_the_second = SignedDuration::from_secs(61);
    assert_eq!(decision.wake, Some(now() + a_minute_and_the_second));
    // It may have been created almost a second after the time that it has.
    spec["timeout"] = "1h".into();
    let (decision, _) = decide(&with(spec.clone(), json!({})), &world);
    assert_eq!(decision.status.unwrap().phase, GatePhase::Waiting);
    assert_eq!(decision.wake, Some(now() + SignedDuration::from_secs(1)));
    spec["timeout"] = "3599s".into();
    let (decision, live) = decide(&with(spec.clone(), json!({})), &world);
    assert_eq!(decision.status.unwrap().phase, GatePhase::Failed);
    assert_eq!(
        live.len(),
        1,
        "the absence of an end is read live: {live:?}"
    );
    // It ended in time, and the cache has not heard of it.
    let mut late = world;
    late.live = World::of([job_that("a", "succeeded").unwrap()]).live;
    assert_eq!(phase(&with(spec, json!({})), &late), GatePhase::Open);
}

#[test]
fn when_is_asked_once_the_conditions_are_met() {
    let done = |rows: &str| {
        let outputs = json!({"rows": rows}).to_string();
        job(
            "a",
            json!({"konductor.io/outputs": outputs}),
            ended("Complete"),
        )
    };
    let mut spec = jobs("All", &["a"]);
    spec["when"] = "int(outputs['a'].rows) > 0".into();
    let gate = with(spec, json!({}));
    for (rows, expected) in [
        ("3", GatePhase::Open),
        ("0", GatePhase::Skipped),
        ("many", GatePhase::Unreached),
    ] {
        assert_eq!(phase(&gate, &World::of([done(rows)])), expected, "{rows}");
    }
}

#[test]
fn another_namespace_is_waited_for_only_with_its_permission() {
    let condition = json!({"type": "Job", "name": "a", "namespace": "other", "state": "Complete"});
    let gate = with(json!({"conditions": [condition]}), json!({}));
    for (allowed, expected) in [
        ("ns", Verdict::Met),
        ("x, ns", Verdict::Met),
        ("x", Verdict::Pending),
        ("", Verdict::Pending),
    ] {
        let mut job = job(
            "a",
            json!({"konductor.io/allow-from": allowed}),
            ended("Complete"),
        );
        job["metadata"]["namespace"] = "other".into();
        let (decision, _) = decide(&gate, &World::of([job]));
        let status = decision.status.unwrap();
        assert_eq!(
            status.condition_statuses[0].verdict, expected,
            "{allowed:?}"
        );
    }
}

#[test]
fn a_selector_waits_for_exactly_its_count() {
    let labelled = |name: &str, end: &str| {
        let mut job = job_that(name, end).unwrap();
        job["metadata"]["labels"] = json!({"app": "x"});
        job
    };
    let condition = json!({"type": "Job", "selector": {"matchLabels": {"app": "x"}}, "count": 2,
        "state": "Complete"});
    let gate = with(json!({"conditions": [condition]}), json!({}));
    for (ends, expected) in [
        (vec!["succeeded"], GatePhase::Waiting),
        (vec!["succeeded", "succeeded"], GatePhase::Open),
        (
            vec!["succeeded", "succeeded", "succeeded"],
            GatePhase::Waiting,
        ),
        (vec!["open", "failed"], GatePhase::Unreached),
        (vec!["succeeded", "skipped"], GatePhase::Skipped),
    ] {
        let names = ["a", "b", "c"];
        let world = World::of(
            names
                .iter()
                .zip(&ends)
                .map(|(name, end)| labelled(name, end)),
        );
        assert_eq!(phase(&gate, &world), expected, "{ends:?}");
    }
}

#[test]
fn when_reads_the_outcome_of_the_run_it_waits_for() {
    let run = |outcome: &str| {
        object(
            "Run",
            "r",
            json!({
                "spec": {"pipeline": "p", "jobs": 1},
                "status": {"phase": "Finalizing", "outcome": outcome, "attempt": 1},
            }),
        )
    };
    let condition = json!({"type": "Run", "name": "r", "state": "Settled"});
    let when = "run.outcome == 'timed-out'";
    let gate = with(json!({"conditions": [condition], "when": when}), json!({}));
    for (outcome, expected) in [
        ("TimedOut", GatePhase::Open),
        ("Failed", GatePhase::Skipped),
    ] {
        assert_eq!(
            phase(&gate, &World::of([run(outcome)])),
            expected,
            "{outcome}"
        );
    }
}

fn of_run(mut object: Value) -> Value {
    object["metadata"]["labels"] = json!({"konductor.io/run": "night"});
    object["metadata"]["annotations"]["konductor.io/nonce"] = "n".into();
    object
}

fn run_of(jobs: &[Value]) -> Value {
    let spec = json!({"pipeline": "p", "jobs": jobs.len()});
    let mut run = object("Run", "night", json!({ "spec": spec }));
    run["metadata"]["annotations"] = json!({"konductor.io/nonce": "n"});
    let world = World::of(jobs.iter().cloned().chain([run.clone()]));
    let typed = serde_json::from_value(run.clone()).unwrap();
    let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
    run["status"] = serde_json::to_value(decision.status.unwrap()).unwrap();
    run
}

fn gate_of_run(spec: Value) -> Gate {
    let gate = serde_json::to_value(with(spec, json!({}))).unwrap();
    serde_json::from_value(of_run(gate)).unwrap()
}

#[test]
fn gate_of_a_run_is_adopted_and_nothing_waits_for_that() {
    let gate = gate_of_run(jobs("All", &["a"]));
    let complete = of_run(job("a", json!({}), ended("Complete")));
    let run = run_of(std::slice::from_ref(&complete));
    let world = World::of([complete.clone(), run]);
    let (decision, _) = decide(&gate, &world);
    assert_eq!(decision.status.unwrap().phase, GatePhase::Open);
    let [Write::Adopt { body, .. }] = decision.after.as_slice() else {
        panic!("{:?}", decision.after)
    };
    let owner = &body["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"]),
        (&json!("Run"), &json!("night"))
    );
    // A label alone gives a Run nothing.
    let mut foreign = gate;
    foreign.metadata.annotations = None;
    let (decision, _) = decide(&foreign, &world);
    assert_eq!(decision.after, []);
}

#[test]
fn condition_on_a_deleted_job_is_met_as_the_job_had_ended() {
    let table = [
        ("Complete", GatePhase::Open),
        ("Failed", GatePhase::Unreached),
    ];
    for (end, expected) in table {
        let gate = gate_of_run(jobs("All", &["a"]));
        let job = of_run(job("a", json!({}), ended(end)));
        let run = run_of(std::slice::from_ref(&job));
        let world = World::of([job, run]);
        assert_eq!(phase(&gate, &world.without("a")), expected);
        assert_eq!(phase(&gate, &world.without_unseen("a")), expected);
    }
    // Whether it counts as cancelled is for the Run to say, and then it is.
    let gate = gate_of_run(jobs("All", &["a"]));
    let open = of_run(job("a", json!({}), json!({})));
    let run = run_of(std::slice::from_ref(&open));
    let world = World::of([open, run.clone()]).without_unseen("a");
    assert_eq!(phase(&gate, &world), GatePhase::Waiting);
    let typed: konductor_api::Run = serde_json::from_value(run.clone()).unwrap();
    let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
    let mut run = run;
    run["status"] = serde_json::to_value(decision.status.unwrap()).unwrap();
    assert_eq!(phase(&gate, &World::of([run])), GatePhase::Unreached);
}

#[test]
fn gate_outside_a_run_believes_what_the_watch_has_shown_and_waits_for_what_nobody_saw() {
    let gate = with(jobs("All", &["a"]), json!({}));
    let complete = World::of([job("a", json!({}), ended("Complete"))]);
    assert_eq!(phase(&gate, &complete.without("a")), GatePhase::Open);
    assert_eq!(
        phase(&gate, &complete.without_unseen("a")),
        GatePhase::Waiting
    );
    let open = World::of([job("a", json!({}), json!({}))]);
    assert_eq!(phase(&gate, &open.without("a")), GatePhase::Waiting);
}

/// `kubectl delete -f` and `kubectl apply -f` of one file: what ended before does not open what is new.
#[test]
fn gate_outside_a_run_does_not_believe_a_job_that_was_gone_before_it_was_created() {
    let gate = with(jobs("All", &["a"]), json!({}));
    for (ended_at, expected) in [
        ("10:59:59", GatePhase::Waiting),
        ("11:00:00", GatePhase::Waiting),
        ("11:00:01", GatePhase::Open),
    ] {
        let mut old = job("a", json!({}), ended("Complete"));
        old["metadata"]["creationTimestamp"] = "2026-03-01T10:00:00Z".into();
        old["status"]["conditions"][0]["lastTransitionTime"] =
            format!("2026-03-01T{ended_at}Z").into();
        let gone = World::of([old]).without("a");
        assert_eq!(phase(&gate, &gone), expected, "{ended_at}");
    }
}

#[test]
fn job_in_the_place_of_a_deleted_one_does_not_meet_a_condition() {
    let gate = gate_of_run(jobs("All", &["a"]));
    let failed = of_run(job("a", json!({}), ended("Failed")));
    let run = run_of(std::slice::from_ref(&failed));
    let mut again = of_run(job("a", json!({}), ended("Complete")));
    again["metadata"]["uid"] = "uid-other".into();
    assert_eq!(phase(&gate, &World::of([again, run])), GatePhase::Unreached);
}

/// Who wrote the condition in a pipeline reads it as it is there, and what its values were.
#[test]
fn when_that_keeps_a_gate_closed_is_shown_as_its_author_wrote_it() {
    let done = |name: &str, stage: Option<&str>, outputs: Value| {
        let mut job = job(
            name,
            json!({"konductor.io/outputs": outputs.to_string(), "konductor.io/nonce": "n"}),
            ended("Complete"),
        );
        if let Some(stage) = stage {
            job["metadata"]["labels"] =
                json!({"konductor.io/run": "night", "konductor.io/stage": stage});
        }
        job
    };
    let message = |when: &str, written: Option<&str>, jobs: Vec<Value>| {
        let names: Vec<&str> = jobs
            .iter()
            .filter_map(|job| job["metadata"]["name"].as_str())
            .collect();
        let mut spec = self::jobs("All", &names);
        spec["when"] = when.into();
        let mut gate = with(spec, json!({}));
        if let Some(written) = written {
            gate.metadata.labels = Some([("konductor.io/run".into(), "night".into())].into());
            gate.metadata.annotations = Some([("konductor.io/when".into(), written.into())].into());
        }
        let (decision, _) = decide(&gate, &World::of(jobs));
        let status = decision.status.unwrap();
        assert_eq!(decision.events[0].note, status.conditions[0].message);
        status.conditions[0].message.clone()
    };
    let of_stage = |value: Value| vec![done("night-measure", Some("measure"), value)];
    let free = "int(outputs['night-measure']['free']) < 100";
    let with_default = "('night-measure' in outputs && 'free' in outputs['night-measure'] ? \
                        int(outputs['night-measure']['free']) : 500) < 100";
    let mut item = done("night-part-eu", Some("part"), json!({"free": "7"}));
    item["metadata"]["annotations"]["konductor.io/item"] = "eu".into();
    let many = "outputs['night-measure'].a == outputs['night-measure'].b && \
                outputs['night-measure'].c == outputs['night-measure'].d";
    let table = [
        (
            message(
                free,
                Some("measure.free < 100"),
                of_stage(json!({"free": "250"})),
            ),
            "when measure.free < 100: measure.free was 250",
        ),
        (
            message(
                with_default,
                Some("measure.free < 100"),
                of_stage(json!({})),
            ),
            "when measure.free < 100: measure.free was not written",
        ),
        (
            message(
                "int(outputs['night-part-eu']['free']) > 10",
                Some("part[r].free > least"),
                vec![item],
            ),
            "when part[r].free > least: part[eu].free was 7",
        ),
        (
            message(
                "outputs['night-measure'].a == 'x'",
                Some("measure.a == \"x\""),
                of_stage(json!({"a": "no\u{1b}[2J way"})),
            ),
            "when measure.a == \"x\": measure.a was \"no\\u{1b}[2J way\"",
        ),
        (
            message(
                many,
                Some("m"),
                of_stage(json!({"a": "1", "b": "2", "c": "", "d": "4"})),
            ),
            "when m: measure.a was 1, measure.b was 2, measure.c was \"\", and 1 more",
        ),
        // What people write into the annotation is shown on one line, and no longer than a message.
        (
            message(
                free,
                Some(&format!("x\n\u{1b}{}", "y".repeat(400))),
                of_stage(json!({"free": "250"})),
            ),
            &format!("when x \\u{{1b}}{}…: measure.free was 250", "y".repeat(237)),
        ),
        (
            message(
                free,
                Some("measure.free < 100"),
                of_stage(json!({"free": "much"})),
            ),
            "when measure.free < 100 has no answer: a value that it reads is not a whole number",
        ),
        // A Gate that somebody made by hand shows its CEL.
        (
            message(
                "int(outputs['a'].rows) > 0",
                None,
                vec![done("a", None, json!({"rows": "0"}))],
            ),
            "when int(outputs['a'].rows) > 0: outputs['a'].rows was 0",
        ),
        (
            message("1 > 2", None, vec![done("a", None, json!({}))]),
            "when 1 > 2 is false",
        ),
    ];
    for (message, expected) in table {
        assert_eq!(message, expected);
    }
}

/// The compiler knows that a part of what it waits for is left out; nobody wrote a `when`.
#[test]
fn gate_that_the_compiler_has_ruled_out_says_so() {
    let mut spec = jobs("All", &["a"]);
    spec["when"] = "false".into();
    let mut gate = with(spec, json!({}));
    let world = World::of([job_that("a", "succeeded").unwrap()]);
    let message = |gate: &Gate| {
        let status = decide(gate, &world).0.status.unwrap();
        status.conditions[0].message.clone()
    };
    assert_eq!(message(&gate), "when false is false");
    gate.metadata.labels = Some([("konductor.io/run".into(), "night".into())].into());
    assert_eq!(message(&gate), "what it waits for was skipped");
}

#[test]
fn missing_object_of_the_run_says_that_the_pipeline_is_applied_again() {
    let missing = |kind: &str, name: &str| {
        let condition = json!({"type": kind, "name": name, "state": "Open"});
        let mut gate = with(json!({"conditions": [condition]}), json!({}));
        let labels = [
            ("konductor.io/run", "night"),
            ("konductor.io/pipeline", "etl"),
        ];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
        gate.metadata.labels = Some(labels.into());
        let (decision, _) = decide(&gate, &World::default());
        decision.status.unwrap().conditions[0].message.clone()
    };
    let again = "; apply the pipeline again with `--run night`";
    for (kind, name, expected) in [
        (
            "Gate",
            "night-load-a1",
            format!("waits for gate/night-load-a1, which does not exist{again}"),
        ),
        (
            "Barrier",
            "night-go",
            format!("waits for barrier/night-go, which does not exist{again}"),
        ),
        (
            "Gate",
            "closed",
            "waits for gate/closed, which does not exist".to_owned(),
        ),
        (
            "Gate",
            "nightly",
            "waits for gate/nightly, which does not exist".to_owned(),
        ),
    ] {
        assert_eq!(missing(kind, name), expected);
    }
}
