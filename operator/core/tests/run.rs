//! Tables of what a Run decides.
#![expect(clippy::unwrap_used, reason = "a test")]

mod world;

use jiff::SignedDuration;
use konductor_api::{Run, RunOutcome, RunPhase, RunStatus};
use konductor_core::{Decision, run};
use serde_json::{Value, json};
use world::{World, controller, ended, job, now, object, told};

fn with(spec: Value, status: Value) -> Run {
    let mut whole = json!({"pipeline": "p", "jobs": 2});
    for (key, value) in spec.as_object().unwrap() {
        whole[key] = value.clone();
    }
    let run = object("Run", "r", json!({"spec": whole, "status": status}));
    serde_json::from_value(run).unwrap()
}

fn of_run(name: &str, stage: &str, end: &str) -> Value {
    let owned =
        json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}]);
    let mut job = match end {
        "succeeded" => job(name, json!({}), ended("Complete")),
        "failed" => job(name, json!({}), ended("Failed")),
        "running" => job(
            name,
            json!({"konductor.io/phase": "Running"}),
            json!({"spec": {"suspend": false}}),
        ),
        "open" => job(name, json!({}), json!({})),
        reason if reason.starts_with("cancelled ") => {
            let reason = reason.trim_start_matches("cancelled ");
            let annotations =
                json!({"konductor.io/phase": "Cancelled", "konductor.io/reason": reason});
            job(name, annotations, json!({}))
        }
        phase => job(name, json!({"konductor.io/phase": phase}), json!({})),
    };
    job["metadata"]["labels"] = json!({"konductor.io/run": "r", "konductor.io/stage": stage});
    job["metadata"]["ownerReferences"] = owned;
    job
}

fn decide(run: &Run, world: &World) -> Decision<RunStatus> {
    let mut world = world.clone();
    let itself = serde_json::to_value(run).unwrap();
    world.live.add(itself);
    world.decide(|facts| run::decide(run, facts, now())).0
}

fn status(run: &Run, world: &World) -> RunStatus {
    decide(run, world).status.unwrap()
}

#[test]
fn a_run_ends_by_its_stages() {
    use RunPhase::{Failed, Running, Succeeded};
    let table = [
        ("succeeded", "succeeded", Succeeded),
        ("succeeded", "Skipped", Succeeded),
        ("Skipped", "Skipped", Succeeded),
        ("succeeded", "failed", Failed),
        ("failed", "Unreached", Failed),
        ("succeeded", "Unreached", Failed),
        ("failed", "running", Running),
        ("succeeded", "open", Running),
    ];
    for (a, b, expected) in table {
        let world = World::of([of_run("a", "a", a), of_run("b", "b", b)]);
        assert_eq!(
            status(&with(json!({}), json!({})), &world).phase,
            expected,
            "{a}, {b}"
        );
    }
}

#[test]
fn a_run_is_not_over_before_all_its_jobs_exist() {
    let run = with(json!({}), json!({}));
    let world = World::of([of_run("a", "a", "succeeded")]);
    assert_eq!(status(&run, &world).phase, RunPhase::Running);
    // The cache shows the second one, but it is not there.
    let mut world = world;
    world.cached.add(of_run("b", "b", "succeeded"));
    assert_eq!(status(&run, &world).phase, RunPhase::Running);
}

#[test]
fn may_fail_is_forgiven_and_a_quorum_counts_as_a_whole() {
    let mut forgiven = of_run("b", "b", "failed");
    forgiven["metadata"]["labels"]["konductor.io/may-fail"] = "true".into();
    let world = World::of([of_run("a", "a", "succeeded"), forgiven]);
    assert_eq!(
        status(&with(json!({}), json!({})), &world).phase,
        RunPhase::Succeeded
    );
    let items = World::of([of_run("a", "x", "succeeded"), of_run("b", "x", "failed")]);
    for (quorums, expected) in [
        (json!({"x": 1}), RunPhase::Succeeded),
        (json!({"x": 2}), RunPhase::Failed),
        (json!({}), RunPhase::Failed),
    ] {
        let run = with(json!({ "quorums": quorums }), json!({}));
        assert_eq!(status(&run, &items).phase, expected, "{quorums}");
    }
}

#[test]
fn that_it_will_fail_shows_at_once() {
    let world = World::of([of_run("a", "a", "failed"), of_run("b", "b", "running")]);
    let status = status(&with(json!({}), json!({})), &world);
    let failing = status
        .conditions
        .iter()
        .find(|one| one.type_ == "Failing")
        .unwrap();
    assert_eq!(
        (failing.status.as_str(), failing.message.as_str()),
        ("True", "stage a failed")
    );
}

#[test]
fn finally_stages_come_after_the_outcome_and_can_fail_the_run() {
    let finally = |end: &str| {
        let mut job = of_run("page", "page", end);
        job["metadata"]["labels"]["konductor.io/role"] = "finally".into();
        job
    };
    let done = || [of_run("a", "a", "succeeded"), of_run("b", "b", "succeeded")];
    let table = [
        ("open", RunPhase::Finalizing),
        ("running", RunPhase::Finalizing),
        ("succeeded", RunPhase::Succeeded),
        ("failed", RunPhase::Failed),
    ];
    for (end, expected) in table {
        let world = World::of(done().into_iter().chain([finally(end)]));
        let status = status(&with(json!({"finallyJobs": 1}), json!({})), &world);
        assert_eq!(
            (status.phase, status.outcome),
            (expected, Some(RunOutcome::Succeeded)),
            "{end}"
        );
    }
}

#[test]
fn cancel_timeout_and_fail_fast_stop_in_one_way() {
    let jobs = [of_run("a", "a", "running"), of_run("b", "b", "open")];
    let stop = [
        "Job/a Cancelled suspend=true",
        "Job/b Cancelled suspend=true",
    ];
    let started = |minutes| {
        let started = now() - SignedDuration::from_mins(minutes);
        json!({"phase": "Running", "attempt": 1, "startedAt": started.to_string()})
    };
    let table = [
        (json!({}), started(5), vec![]),
        (json!({"cancel": true}), started(5), stop.to_vec()),
        (json!({"timeout": "6m"}), started(5), vec![]),
        (json!({"timeout": "5m"}), started(5), stop.to_vec()),
        (json!({"failFast": true}), started(5), vec![]),
    ];
    for (spec, status, expected) in table {
        let decision = decide(&with(spec.clone(), status), &World::of(jobs.clone()));
        assert_eq!(told(&decision.before), expected, "{spec}");
    }
    let failed = [of_run("a", "a", "failed"), of_run("b", "b", "open")];
    let decision = decide(
        &with(json!({"failFast": true}), started(5)),
        &World::of(failed),
    );
    assert_eq!(told(&decision.before), ["Job/b Cancelled suspend=true"]);
}

#[test]
fn the_outcome_says_why_it_was_stopped() {
    let table = [
        (
            "cancelled Cancelled: by hand",
            RunOutcome::Cancelled,
            RunPhase::Cancelled,
        ),
        (
            "cancelled TimedOut: 5m",
            RunOutcome::TimedOut,
            RunPhase::Failed,
        ),
        (
            "cancelled StageFailed: fast",
            RunOutcome::Failed,
            RunPhase::Failed,
        ),
    ];
    for (end, outcome, phase) in table {
        let world = World::of([of_run("a", "a", "succeeded"), of_run("b", "b", end)]);
        let status = status(&with(json!({}), json!({})), &world);
        assert_eq!(
            (status.outcome, status.phase),
            (Some(outcome), phase),
            "{end}"
        );
    }
}

fn message(status: &RunStatus) -> &str {
    let mut conditions = status.conditions.iter();
    &conditions
        .find(|one| one.type_ == "Succeeded")
        .unwrap()
        .message
}

#[test]
fn a_run_says_why_it_ended_and_not_again_how() {
    let by_hand = "cancelled Cancelled: by hand";
    let table = [
        (
            "succeeded",
            "succeeded",
            "every stage succeeded or was skipped",
        ),
        ("failed", "succeeded", "stage a failed"),
        ("failed", "failed", "stages a, b failed"),
        ("failed", "Unreached", "stage a failed"),
        ("succeeded", "Unreached", "stage b did not run"),
        ("Unreached", "Unreached", "stages a, b did not run"),
        (
            "succeeded",
            by_hand,
            "1 of 2 Jobs were stopped or did not start",
        ),
        (
            "succeeded",
            "cancelled TimedOut: 5m",
            "it took longer than 5m",
        ),
    ];
    for (a, b, expected) in table {
        let run = with(json!({"timeout": "5m"}), json!({}));
        let world = World::of([of_run("a", "a", a), of_run("b", "b", b)]);
        let status = status(&run, &world);
        assert_eq!(message(&status), expected, "{a}, {b}");
        let phase = format!("{:?}", status.phase).to_lowercase();
        let repeats = phase != "succeeded" && message(&status).starts_with(&phase);
        assert!(!repeats, "{phase}: {}", message(&status));
    }
}

#[test]
fn a_run_says_how_many_of_its_jobs_do_not_exist_and_does_not_say_it_twice() {
    let finally = |end: &str| {
        let mut job = of_run("page", "page", end);
        job["metadata"]["labels"]["konductor.io/role"] = "finally".into();
        job
    };
    let main = |name: &str, end: &str| of_run(name, name, end);
    let what_to_do = "if nobody creates them, apply the file again or delete the run";
    let none = "0 of 2 Jobs have ended";
    let table = [
        (
            vec![],
            format!("{none}; 3 of 3 Jobs do not exist yet: {what_to_do}"),
        ),
        (
            vec![main("a", "open")],
            format!("{none}; 2 of 3 Jobs do not exist yet: {what_to_do}"),
        ),
        (
            vec![main("a", "succeeded"), finally("open")],
            format!("1 of 2 Jobs have ended; 1 of 2 Jobs do not exist yet: {what_to_do}"),
        ),
        (
            vec![main("a", "open"), main("b", "open")],
            format!("{none}; 1 of 1 finally Jobs do not exist yet: {what_to_do}"),
        ),
        (
            vec![main("a", "succeeded"), main("b", "succeeded")],
            format!(
                "every stage succeeded or was skipped; 1 of 1 finally Jobs do not exist yet: \
                 {what_to_do}"
            ),
        ),
        (
            vec![main("a", "open"), main("b", "open"), finally("open")],
            none.to_owned(),
        ),
        (
            vec![
                main("a", "open"),
                main("b", "open"),
                main("c", "open"),
                finally("open"),
            ],
            format!(
                "{none}; it declares 3, and 4 have its label konductor.io/run: delete those that \
                 are not its own"
            ),
        ),
    ];
    for (jobs, expected) in table {
        let run = with(json!({"finallyJobs": 1}), json!({}));
        let world = World::of(jobs);
        let told = status(&run, &world);
        assert_eq!(message(&told), expected);
        let run = with(
            json!({"finallyJobs": 1}),
            serde_json::to_value(&told).unwrap(),
        );
        assert_eq!(decide(&run, &world).status, None, "{expected}");
    }
}

#[test]
fn a_cancelled_job_s_pod_keeps_the_run_open() {
    let pod = object(
        "Pod",
        "pod",
        json!({
            "metadata": {"ownerReferences": [controller("uid-b")]},
            "status": {"phase": "Running"},
        }),
    );
    let jobs = [
        of_run("a", "a", "succeeded"),
        of_run("b", "b", "cancelled Cancelled: x"),
    ];
    let run = with(json!({"cancel": true}), json!({}));
    let world = World::of(jobs.into_iter().chain([pod]));
    assert_eq!(status(&run, &world).outcome, None);
}

#[test]
fn pause_suspends_what_runs_and_resuming_starts_it_again() {
    let mut paused = of_run("a", "a", "Paused");
    paused["spec"]["suspend"] = true.into();
    let started = json!({"phase": "Running", "attempt": 1});
    let table = [
        (
            true,
            of_run("a", "a", "running"),
            "Job/a Paused suspend=true",
        ),
        (false, paused, "Job/a Running suspend=false"),
    ];
    for (pause, job, expected) in table {
        let run = with(json!({ "pause": pause }), started.clone());
        assert_eq!(told(&decide(&run, &World::of([job])).before), [expected]);
    }
}

#[test]
fn a_run_that_has_ended_is_left_alone_until_it_is_retried() {
    let ended = json!({"phase": "Failed", "attempt": 1, "outcome": "Failed"});
    let world = World::of([of_run("a", "a", "succeeded"), of_run("b", "b", "open")]);
    assert_eq!(
        decide(&with(json!({}), ended.clone()), &world),
        Decision::default()
    );
    let retried = status(&with(json!({"attempt": 2}), ended), &world);
    assert_eq!(
        (retried.phase, retried.outcome, retried.attempt),
        (RunPhase::Running, None, 2)
    );
}

#[test]
fn a_run_made_by_kubectl_is_given_its_jobs() {
    let mut stray = of_run("a", "a", "running");
    stray["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    let run = with(json!({}), json!({"phase": "Running", "attempt": 1}));
    assert_eq!(told(&decide(&run, &World::of([stray])).before), ["Job/a"]);
}
