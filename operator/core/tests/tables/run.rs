//! Tables of what a Run decides.

use crate::world::{World, controller, ended, job, now, object, short};
use jiff::SignedDuration;
use konductor_api::{Run, RunOutcome, RunPhase, RunStatus};
use konductor_core::{Decision, Write, run};
use serde_json::{Value, json};

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
fn run_is_failing_as_soon_as_a_stage_fails() {
    let world = World::of([of_run("a", "a", "failed"), of_run("b", "b", "running")]);
    let status = status(&with(json!({}), json!({})), &world);
    let failing = status
        .conditions
        .iter()
        .find(|condition| condition.type_ == "Failing")
        .unwrap();
    assert_eq!(
        (failing.status.as_str(), failing.message.as_str()),
        ("True", "stage a failed (job/a)")
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
        (json!({"timeout": "5m"}), started(5), vec![]),
        (json!({"timeout": "4m"}), started(5), stop.to_vec()),
        (json!({"failFast": true}), started(5), vec![]),
    ];
    for (spec, status, expected) in table {
        let decision = decide(&with(spec.clone(), status), &World::of(jobs.clone()));
        assert_eq!(short(&decision.before), expected, "{spec}");
    }
    let failed = [of_run("a", "a", "failed"), of_run("b", "b", "open")];
    let decision = decide(
        &with(json!({"failFast": true}), started(5)),
        &World::of(failed),
    );
    assert_eq!(short(&decision.before), ["Job/b Cancelled suspend=true"]);
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
        .find(|condition| condition.type_ == "Succeeded")
        .unwrap()
        .message
}

/// A pod of a Job, which ended like this.
fn ended_pod(job: &str, code: i32, message: &str) -> Value {
    let state = json!({"terminated": {"exitCode": code, "reason": "Error", "message": message}});
    let main = json!({"name": "main", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": state});
    object(
        "Pod",
        &format!("{job}-x"),
        json!({
            "metadata": {"ownerReferences": [controller(&format!("uid-{job}"))]},
            "status": {"phase": "Failed", "containerStatuses": [main]},
        }),
    )
}

#[test]
fn failed_run_names_its_first_stage_with_the_cause_and_counts_the_others() {
    let of = |name: &str, stage: &str, end: &str, ordinal: &str| {
        let mut job = of_run(name, stage, end);
        job["metadata"]["annotations"]["konductor.io/ordinal"] = ordinal.into();
        job
    };
    let said = |mut job: Value, phase: &str, reason: &str| {
        job["metadata"]["annotations"]["konductor.io/phase"] = phase.into();
        job["metadata"]["annotations"]["konductor.io/reason"] = reason.into();
        job
    };
    let pod = || ended_pod("z", 3, "starting\npsql: connection refused\n");
    let of_item = |mut job: Value| {
        job["metadata"]["annotations"]["konductor.io/item"] = "eu west".into();
        job
    };
    let table = [
        // The order of the source, not of names.
        (
            vec![
                of("z", "z", "failed", "0"),
                of("a", "a", "failed", "1"),
                pod(),
            ],
            "stage z failed (job/z): exit code 3: psql: connection refused; 1 other stage failed: a",
        ),
        // What the Job says needs no pod.
        (
            vec![
                said(
                    of("a", "a", "failed", "0"),
                    "Failed",
                    "OOMKilled (exit code 137)",
                ),
                of("b", "b", "succeeded", "1"),
            ],
            "stage a failed (job/a): OOMKilled (exit code 137)",
        ),
        // What was said about it while it ran is no cause.
        (
            vec![
                said(
                    of("a", "a", "failed", "0"),
                    "Running",
                    "suspended by kubectl",
                ),
                of("b", "b", "succeeded", "1"),
            ],
            "stage a failed (job/a)",
        ),
        (
            vec![
                of("b", "load", "succeeded", "0"),
                of_item(of("z", "load", "failed", "1")),
                pod(),
            ],
            "stage load failed (job/z, item eu west): exit code 3: psql: connection refused",
        ),
    ];
    for (objects, expected) in table {
        let status = status(&with(json!({}), json!({})), &World::of(objects));
        assert_eq!(message(&status), expected);
        assert!(
            status
                .conditions
                .iter()
                .any(|condition| condition.type_ == "Failing"
                    && condition.status == "True"
                    && condition.message == expected)
        );
    }
    let long = said(of("a", "a", "failed", "0"), "Failed", &"é".repeat(5000));
    let world = World::of([long, of("b", "b", "succeeded", "1")]);
    let status = status(&with(json!({}), json!({})), &world);
    assert!(message(&status).len() < 1024, "it is bounded");
}

#[test]
fn run_waits_for_the_pods_of_a_job_that_kueue_started_too_early() {
    let mut early = of_run("b", "b", "open");
    early["metadata"]["annotations"]["kueue.x-k8s.io/admission-gated-by"] =
        "konductor.io/gate".into();
    early["spec"]["suspend"] = false.into();
    let mut pod = ended_pod("b", 0, "");
    for (phase, expected) in [("Running", RunPhase::Running), ("Failed", RunPhase::Failed)] {
        pod["status"]["phase"] = phase.into();
        let world = World::of([of_run("a", "a", "succeeded"), early.clone(), pod.clone()]);
        let decision = decide(&with(json!({}), json!({})), &world);
        assert_eq!(decision.status.unwrap().phase, expected, "{phase}");
    }
}

#[test]
fn run_message_gives_the_reason_without_repeating_the_phase() {
    let by_hand = "cancelled Cancelled: by hand";
    let table = [
        (
            "succeeded",
            "succeeded",
            "every stage succeeded or was skipped",
        ),
        ("failed", "succeeded", "stage a failed (job/a)"),
        (
            "failed",
            "failed",
            "stage a failed (job/a); 1 other stage failed: b",
        ),
        ("failed", "Unreached", "stage a failed (job/a)"),
        ("succeeded", "Unreached", "stage b was unreached"),
        (
            "Unreached",
            "Unreached",
            "stage a was unreached; 1 other stage did not run: b",
        ),
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
fn a_run_that_succeeded_says_what_failed_and_what_allows_it() {
    let forgiven = |name: &str, end: &str| {
        let mut job = of_run(name, name, end);
        job["metadata"]["labels"]["konductor.io/may-fail"] = "true".into();
        job
    };
    let item = |name: &str, end: &str| of_run(name, "items", end);
    let by_stage = "which may-fail allows";
    let table = [
        (
            vec![forgiven("a", "failed"), of_run("b", "b", "succeeded")],
            format!("1 Job failed, {by_stage}"),
        ),
        (
            vec![forgiven("a", "failed"), forgiven("b", "Unreached")],
            format!("2 Jobs did not succeed, {by_stage}"),
        ),
        (
            vec![item("a", "failed"), item("b", "succeeded")],
            "1 Job failed, which a quorum allows".to_owned(),
        ),
        (
            vec![forgiven("a", "Skipped"), of_run("b", "b", "succeeded")],
            "every stage succeeded or was skipped".to_owned(),
        ),
    ];
    for (jobs, expected) in table {
        let run = with(json!({"quorums": {"items": 1}}), json!({}));
        let status = status(&run, &World::of(jobs));
        assert_eq!(status.phase, RunPhase::Succeeded, "{expected}");
        assert_eq!(message(&status), expected);
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
    let what_to_do = "if nobody creates them, apply the file again or cancel the run";
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
            format!("{none}; job/c does not count: the run has had all the Jobs that it declares"),
        ),
    ];
    for (jobs, expected) in table {
        let run = with(json!({"finallyJobs": 1}), json!({}));
        let world = World::of(jobs);
        let status = status(&run, &world);
        assert_eq!(message(&status), expected);
        let run = with(
            json!({"finallyJobs": 1}),
            serde_json::to_value(&status).unwrap(),
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

/// A suspension clears when a Job was started: the patch that suspends it keeps that.
#[test]
fn stop_keeps_from_when_to_when_a_job_ran() {
    let begun = now() - SignedDuration::from_mins(3);
    let ran = format!("ran {begun} {}", now());
    let mut running = of_run("a", "a", "running");
    running["status"]["startTime"] = begun.to_string().into();
    let waiting = || of_run("b", "b", "open");
    let started = json!({"phase": "Running", "attempt": 1});
    let ended = format!("ended {}", now());
    let table = [
        ("pause", running.clone(), Some(ran.clone())),
        ("cancel", running, Some(format!("{ran}, {ended}"))),
        ("cancel", waiting(), Some(ended)),
    ];
    for (how, job, expected) in table {
        let run = with(json!({ how: true }), started.clone());
        let writes = decide(&run, &World::of([job])).before;
        let Write::Patch { body, .. } = &writes[0] else {
            panic!("{writes:?}")
        };
        let times = body["metadata"]["annotations"]["konductor.io/times"].as_str();
        assert_eq!(times, expected.as_deref(), "{how}");
    }
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
        assert_eq!(short(&decide(&run, &World::of([job])).before), [expected]);
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

/// A Job that kubectl has created: nothing owns it, and it carries the nonce of its Run.
fn by_kubectl(mut job: Value) -> Value {
    job["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    job["metadata"]["annotations"]["konductor.io/nonce"] = "n".into();
    job
}

#[test]
fn run_made_by_kubectl_adopts_its_jobs_and_nothing_waits_for_that() {
    let mut run = with(json!({}), json!({"phase": "Running", "attempt": 1}));
    run.metadata.annotations = Some([("konductor.io/nonce".into(), "n".into())].into());
    let jobs = [
        by_kubectl(of_run("a", "a", "running")),
        by_kubectl(of_run("b", "b", "open")),
    ];
    let decision = decide(&run, &World::of(jobs));
    assert_eq!(short(&decision.before), [""; 0]);
    assert_eq!(short(&decision.after), ["adopt Job/a", "adopt Job/b"]);
    let status = decision.status.unwrap();
    assert_eq!(
        (status.running, status.waiting, status.complete),
        (1, 1, true)
    );
}

#[test]
fn job_with_only_a_runs_label_is_neither_counted_nor_touched() {
    let mut stray = of_run("c", "c", "running");
    stray["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    stray["metadata"]["creationTimestamp"] = now().to_string().into();
    let mut foreign = of_run("d", "d", "running");
    foreign["metadata"]["ownerReferences"][0]["uid"] = "uid-of-another".into();
    let own = [of_run("a", "a", "succeeded"), of_run("b", "b", "succeeded")];
    // Nor does it take the place of one that is not there yet.
    let early = [
        of_run("a", "a", "succeeded"),
        stray.clone(),
        foreign.clone(),
    ];
    let counted = status(&with(json!({}), json!({})), &World::of(early));
    assert_eq!((counted.succeeded, counted.running), (1, 0));
    let jobs = own.into_iter().chain([stray, foreign]);
    let run = with(json!({"cancel": true}), json!({}));
    let decision = decide(&run, &World::of(jobs));
    assert_eq!((decision.before, decision.after), (vec![], vec![]));
    let status = decision.status.unwrap();
    assert_eq!((status.phase, status.succeeded), (RunPhase::Succeeded, 2));
}

/// The Run, as the operator has written it after it has seen this world.
fn seen(spec: &Value, world: &World) -> Run {
    let run = with(spec.clone(), json!({}));
    let status = status(&run, world);
    with(spec.clone(), serde_json::to_value(status).unwrap())
}

#[test]
fn deleted_job_counts_as_it_had_ended_and_as_cancelled_before_that() {
    use RunOutcome::{Failed, Succeeded};
    let table = [
        ("succeeded", Succeeded, 0),
        ("Skipped", Succeeded, 0),
        ("failed", Failed, 0),
        ("Unreached", Failed, 0),
        ("open", Failed, 1),
        ("Queued", Failed, 1),
        ("running", Failed, 1),
    ];
    for (end, outcome, deleted) in table {
        let before = World::of([of_run("a", "a", end), of_run("b", "b", "running")]);
        let run = seen(&json!({}), &before);
        let after = World::of([of_run("a", "a", end), of_run("b", "b", "succeeded")]);
        for after in [after.without("a"), after.without_unseen("a")] {
            let status = status(&run, &after);
            assert_eq!(
                (status.outcome, status.deleted, status.complete),
                (Some(outcome), deleted, true),
                "{end}"
            );
        }
    }
}

#[test]
fn deletion_that_is_on_its_way_is_waited_for() {
    let before = World::of([of_run("a", "a", "running"), of_run("b", "b", "succeeded")]);
    let run = seen(&json!({}), &before);
    // It has succeeded and is gone, and the cache shows neither yet.
    let mut late = before.clone();
    late.live.jobs.remove(0);
    assert_eq!(decide(&run, &late).status, None);
    // Nor where it is looked live, because another one is missing.
    let both = World::of([of_run("a", "a", "running"), of_run("b", "b", "running")]);
    let mut one_on_its_way = both.without_unseen("b");
    one_on_its_way.live.jobs.clear();
    let looked = status(&seen(&json!({}), &both), &one_on_its_way);
    assert_eq!((looked.outcome, looked.deleted), (None, 1));
    // The watch shows both.
    let mut ended = before.without("a");
    ended.cached.gone.clear();
    let gone = serde_json::from_value(of_run("a", "a", "succeeded")).unwrap();
    ended.cached.gone.push(std::sync::Arc::new(gone));
    assert_eq!(status(&run, &ended).outcome, Some(RunOutcome::Succeeded));
}

#[test]
fn job_that_is_shown_for_the_first_time_when_it_is_gone_counts() {
    let world = World::of([of_run("a", "a", "succeeded"), of_run("b", "b", "succeeded")]);
    let run = with(json!({}), json!({}));
    let status = status(&run, &world.without("a"));
    assert_eq!(status.outcome, Some(RunOutcome::Succeeded));
}

#[test]
fn deleted_job_of_a_stage_that_may_fail_is_forgiven_also_by_an_operator_that_never_saw_it() {
    let mut forgiven = of_run("a", "a", "running");
    forgiven["metadata"]["labels"]["konductor.io/may-fail"] = "true".into();
    let world = World::of([forgiven, of_run("b", "b", "succeeded")]);
    let run = seen(&json!({}), &world);
    let status = status(&run, &world.without_unseen("a"));
    assert_eq!(status.outcome, Some(RunOutcome::Succeeded));
}

#[test]
fn quorum_counts_items_that_are_gone() {
    let items = World::of([of_run("a", "x", "succeeded"), of_run("b", "x", "running")]);
    for (quorum, outcome) in [(1, RunOutcome::Succeeded), (2, RunOutcome::Failed)] {
        let spec = json!({"quorums": {"x": quorum}});
        let run = seen(&spec, &items);
        let gone = items.without_unseen("a").without_unseen("b");
        assert_eq!(status(&run, &gone).outcome, Some(outcome), "{quorum}");
    }
}

#[test]
fn run_created_in_part_ends_when_it_is_cancelled_or_times_out() {
    let table = [
        (
            json!({"cancel": true}),
            RunOutcome::Cancelled,
            RunPhase::Cancelled,
        ),
        (
            json!({"timeout": "5m"}),
            RunOutcome::TimedOut,
            RunPhase::Failed,
        ),
    ];
    for (spec, outcome, phase) in table {
        let mut whole = spec.clone();
        whole["finallyJobs"] = 1.into();
        let started = (now() - SignedDuration::from_mins(6)).to_string();
        let run = with(
            whole,
            json!({"phase": "Running", "attempt": 1, "startedAt": started}),
        );
        let world = World::of([of_run("a", "a", "succeeded")]);
        let status = status(&run, &world);
        assert_eq!(
            (status.outcome, status.phase, status.cancelled),
            (Some(outcome), phase, 2),
            "{spec}"
        );
    }
    // Whoever creates the Jobs may still be at work.
    let mut young = of_run("a", "a", "succeeded");
    young["metadata"]["creationTimestamp"] =
        json!((now() - SignedDuration::from_secs(3)).to_string());
    let run = with(json!({"cancel": true}), json!({}));
    let decision = decide(&run, &World::of([young]));
    assert_eq!(decision.status.unwrap().outcome, None);
    assert_eq!(decision.wake, Some(now() + SignedDuration::from_secs(7)));
}

#[test]
fn job_in_the_place_of_a_deleted_one_is_ended_and_does_not_count() {
    let before = World::of([of_run("a", "a", "succeeded"), of_run("b", "b", "running")]);
    let run = seen(&json!({}), &before);
    let mut again = before.without("a");
    let mut other = of_run("a", "a", "running");
    other["metadata"]["uid"] = "uid-other".into();
    again.cached.add(other.clone());
    again.live.add(other);
    let decision = decide(&run, &again);
    assert_eq!(short(&decision.before), ["Job/a Cancelled suspend=true"]);
    let status = decision
        .status
        .unwrap_or_else(|| run.status.clone().unwrap());
    assert_eq!((status.succeeded, status.running), (1, 1));
}

#[test]
fn deleted_job_keeps_the_run_open_until_its_last_pod_has_ended() {
    let pod = object(
        "Pod",
        "pod",
        json!({
            "metadata": {"ownerReferences": [controller("uid-b")]},
            "status": {"phase": "Running"},
        }),
    );
    let jobs = [of_run("a", "a", "succeeded"), of_run("b", "b", "running")];
    let world = World::of(jobs.into_iter().chain([pod]));
    let run = seen(&json!({}), &world);
    assert_eq!(status(&run, &world.without("b")).outcome, None);
}

#[test]
fn retried_run_keeps_what_is_gone_and_counts_only_jobs_of_its_attempt() {
    let first = World::of([of_run("a", "a", "succeeded"), of_run("b", "b", "failed")]);
    let run = seen(&json!({}), &first);
    let first = first.without_unseen("a");
    let begin = konductor_core::retry::Begin::Failed;
    let retry = konductor_core::retry::retry(&run, &first.live.jobs, &[], &[], begin).unwrap();
    let kept = konductor_core::retry::kept(&run, [], &retry.jobs);
    let status = serde_json::to_value(run.status.unwrap()).unwrap();
    let run = with(json!({"attempt": 2, "kept": kept}), status);
    // The cache still shows the Job of the first attempt.
    let mut late = first.clone();
    late.live.jobs.clear();
    let waiting = self::status(&run, &late);
    assert_eq!((waiting.succeeded, waiting.failed), (1, 0));
    // Nor does it count once something of the second is recorded.
    let spec = json!({"jobs": 3, "attempt": 2, "kept": run.spec.kept});
    let begun = with(spec, serde_json::to_value(waiting).unwrap());
    let mut other = of_run("c", "c", "running");
    other["metadata"]["annotations"]["konductor.io/attempt"] = "2".into();
    late.cached.add(other.clone());
    late.live.add(other);
    let going = self::status(&begun, &late);
    assert_eq!((going.succeeded, going.running, going.failed), (1, 1, 0));
    let mut again = of_run("b", "b", "succeeded");
    again["metadata"]["uid"] = "uid-b-2".into();
    again["metadata"]["annotations"]["konductor.io/attempt"] = "2".into();
    assert_eq!(
        self::status(&run, &World::of([again])).outcome,
        Some(RunOutcome::Succeeded)
    );
}

#[test]
fn timeout_stands_still_while_the_run_is_paused() {
    let started = (now() - SignedDuration::from_mins(10)).to_string();
    let paused_at = (now() - SignedDuration::from_mins(7)).to_string();
    let status_before = json!({"phase": "Paused", "attempt": 1, "startedAt": started,
        "pausedAt": paused_at, "pausedFor": "1m"});
    let world = World::of([of_run("a", "a", "open"), of_run("b", "b", "open")]);
    let paused = decide(
        &with(
            json!({"pause": true, "timeout": "2m"}),
            status_before.clone(),
        ),
        &world,
    );
    assert_eq!((paused.before, paused.wake), (vec![], None));
    let resumed = decide(
        &with(json!({"timeout": "3m"}), status_before.clone()),
        &world,
    );
    let status = resumed.status.unwrap();
    assert_eq!(status.paused_for.unwrap().as_str(), "8m");
    // Ten minutes less eight are two: one is left, and the second that is never cut short.
    let left = SignedDuration::from_secs(61);
    assert_eq!(resumed.wake, Some(now() + left));
    let late = decide(&with(json!({"timeout": "90s"}), status_before), &world);
    assert_eq!(short(&late.before).len(), 2);
}

#[test]
fn cancel_ends_a_run_that_is_paused() {
    use RunPhase::{Cancelled, Finalizing, Paused};
    let finally = |end: &str| {
        let mut job = of_run("page", "page", end);
        job["metadata"]["labels"]["konductor.io/role"] = "finally".into();
        job
    };
    let paused_at = (now() - SignedDuration::from_mins(7)).to_string();
    let going = json!({"phase": "Paused", "attempt": 1, "pausedAt": paused_at});
    let mut settled = going.clone();
    settled["outcome"] = "Cancelled".into();
    let stopped = "cancelled Cancelled: its run was cancelled";
    let both = [
        "Job/a Cancelled suspend=true",
        "Job/b Cancelled suspend=true",
    ];
    let table = [
        // Whether it is cancelled, how its Jobs stand, what is written, its phase.
        (false, &going, ["Paused", "open", "open"], vec![], Paused),
        (
            true,
            &going,
            ["Paused", "open", "open"],
            both.to_vec(),
            RunPhase::Running,
        ),
        (true, &going, [stopped, stopped, "open"], vec![], Finalizing),
        (
            true,
            &settled,
            [stopped, stopped, "running"],
            vec![],
            Finalizing,
        ),
        (
            true,
            &settled,
            [stopped, stopped, "succeeded"],
            vec![],
            Cancelled,
        ),
    ];
    for (cancel, status_before, [a, b, page], expected, phase) in table {
        let spec = json!({"finallyJobs": 1, "pause": true, "cancel": cancel, "timeout": "1h"});
        let paused = |name: &str, end: &str| {
            let mut job = of_run(name, name, end);
            job["spec"]["suspend"] = true.into();
            job
        };
        let world = World::of([paused("a", a), paused("b", b), finally(page)]);
        let decision = decide(&with(spec, status_before.clone()), &world);
        assert_eq!(short(&decision.before), expected, "{a}, {b}, {page}");
        let status = decision.status.unwrap();
        assert_eq!(status.phase, phase, "{a}, {b}, {page}");
        // The pause ends with the cancel, and its time is kept.
        assert_eq!(status.paused_at.is_some(), !cancel, "{a}, {b}, {page}");
        assert_eq!(status.paused_for.is_some(), cancel, "{a}, {b}, {page}");
    }
}

#[test]
fn pause_that_lets_what_runs_finish_suspends_nothing() {
    let started = json!({"phase": "Running", "attempt": 1});
    let run = with(json!({"pause": true, "letRunningFinish": true}), started);
    let world = World::of([of_run("a", "a", "running"), of_run("b", "b", "open")]);
    let decision = decide(&run, &world);
    assert_eq!(decision.before, []);
    assert_eq!(decision.status.unwrap().phase, RunPhase::Paused);
}

#[test]
fn finally_stage_that_hangs_is_ended_by_a_second_cancel() {
    let mut finally = of_run("page", "page", "running");
    finally["metadata"]["labels"]["konductor.io/role"] = "finally".into();
    let done = [of_run("a", "a", "succeeded"), of_run("b", "b", "succeeded")];
    let world = World::of(done.into_iter().chain([finally]));
    let status_before = json!({"phase": "Finalizing", "attempt": 1, "outcome": "Cancelled"});
    for (cancel_finally, expected) in [
        (false, vec![]),
        (true, vec!["Job/page Cancelled suspend=true"]),
    ] {
        let spec = json!({"finallyJobs": 1, "cancel": true, "cancelFinally": cancel_finally});
        let decision = decide(&with(spec, status_before.clone()), &world);
        assert_eq!(short(&decision.before), expected);
    }
}

#[test]
fn finally_stage_that_was_not_reached_does_not_fail_the_run() {
    let finally = |name: &str, end: &str| {
        let mut job = of_run(name, name, end);
        job["metadata"]["labels"]["konductor.io/role"] = "finally".into();
        job
    };
    let done = [of_run("a", "a", "succeeded"), of_run("b", "b", "succeeded")];
    for (end, phase) in [
        ("Unreached", RunPhase::Succeeded),
        ("Skipped", RunPhase::Succeeded),
        ("failed", RunPhase::Failed),
        ("cancelled Deleted: x", RunPhase::Failed),
    ] {
        let world = World::of(done.clone().into_iter().chain([finally("page", end)]));
        let status = status(&with(json!({"finallyJobs": 1}), json!({})), &world);
        assert_eq!(status.phase, phase, "{end}");
    }
}

#[test]
fn run_says_that_a_started_job_has_no_pod() {
    let started = |name: &str, at: &str, counts: Value| {
        let mut job = of_run(name, "load", "running");
        job["status"] = json!({"startTime": format!("2026-03-01T11:59:{at}Z")});
        for (key, value) in counts.as_object().unwrap() {
            job["status"][key] = value.clone();
        }
        job
    };
    let one_job = "0 of 2 Jobs have ended; stage load has no pod: `kubectl describe job a` shows who refuses it";
    let two_jobs = "0 of 2 Jobs have ended; stage load has no pod, and 1 more Job has none: \
                    `kubectl describe job a` shows who refuses it";
    let nothing = "0 of 2 Jobs have ended";
    let other = of_run("b", "b", "open");
    let table = [
        (vec![started("a", "49", json!({})), other.clone()], one_job),
        (
            vec![started("a", "49", json!({})), started("b", "40", json!({}))],
            two_jobs,
        ),
        (vec![started("a", "50", json!({})), other.clone()], nothing),
        (
            vec![started("a", "49", json!({"active": 1})), other.clone()],
            nothing,
        ),
        (
            vec![started("a", "49", json!({"terminating": 1})), other.clone()],
            nothing,
        ),
        (
            vec![started("a", "49", json!({"failed": 1})), other.clone()],
            nothing,
        ),
        (vec![of_run("a", "load", "running"), other], nothing),
    ];
    for (jobs, expected) in table {
        let status = status(&with(json!({}), json!({})), &World::of(jobs.clone()));
        let mut conditions = status.conditions.iter();
        let succeeded = conditions
            .find(|condition| condition.type_ == "Succeeded")
            .unwrap();
        assert_eq!(succeeded.message, expected, "{jobs:?}");
    }
    let early = vec![started("a", "50", json!({})), of_run("b", "b", "open")];
    let decision = decide(&with(json!({}), json!({})), &World::of(early));
    assert_eq!(decision.wake, Some(now() + SignedDuration::from_secs(1)));
}

/// Whatever kept the stages from running is named before those that it kept, in whatever order the source has them.
#[test]
fn run_message_names_what_kept_its_stages_from_running() {
    let of = |stage: &str, end: &str, ordinal: usize, reason: &str| {
        let mut job = of_run(stage, stage, end);
        job["metadata"]["annotations"]["konductor.io/ordinal"] = ordinal.to_string().into();
        if !reason.is_empty() {
            job["metadata"]["annotations"]["konductor.io/reason"] = reason.into();
        }
        job
    };
    let fail_fast = "cancelled StageFailed: a stage failed, and its run fails fast";
    let table = [
        // A second-hand reason comes first in the source.
        (
            vec![
                of("b", "Unreached", 0, "stage a was unreached"),
                of("a", "Unreached", 1, "approval go was denied"),
                of("c", "Unreached", 2, "stage b was unreached"),
            ],
            "stage a was unreached: approval go was denied; 2 other stages did not run: b, c",
        ),
        (
            vec![
                of("b", "Unreached", 0, "stage a[x] was unreached"),
                of(
                    "a",
                    "Unreached",
                    1,
                    "gate/r-a ended without opening: not open after 1h",
                ),
            ],
            "stage a was unreached: gate/r-a ended without opening: not open after 1h; \
             1 other stage did not run: b",
        ),
        // A stage whose name begins as another's does.
        (
            vec![
                of("b", "Unreached", 0, "stage a-2 wrote no output rows"),
                of("a", "Unreached", 1, "approval go timed out"),
            ],
            "stage b was unreached: stage a-2 wrote no output rows; 1 other stage did not run: a",
        ),
        (
            vec![
                of("a", fail_fast, 0, ""),
                of("b", "failed", 1, ""),
                of("c", "Unreached", 2, "stage b failed"),
            ],
            "stage b failed (job/b)",
        ),
        // Anybody may write an annotation.
        (
            vec![
                of(
                    "a",
                    "Unreached",
                    0,
                    &format!("x\u{1b}[2J\n{}", "é".repeat(400)),
                ),
                of("b", "succeeded", 1, ""),
            ],
            &format!("stage a was unreached: x\\u{{1b}}[2J {}…", "é".repeat(234)),
        ),
    ];
    for (jobs, expected) in table {
        let run = with(json!({"jobs": jobs.len()}), json!({}));
        let status = status(&run, &World::of(jobs));
        assert_eq!(message(&status), expected);
    }
}

#[test]
fn run_message_names_the_stage_that_was_deleted_once() {
    let job = |stage: &str, end: &str, reason: &str| {
        let mut job = of_run(&format!("r-{stage}"), stage, end);
        job["metadata"]["annotations"]["konductor.io/reason"] = reason.into();
        job
    };
    let before = [
        job("a", "running", ""),
        job("b", "open", ""),
        job("c", "open", ""),
    ];
    let spec = json!({"jobs": 3});
    let run = seen(&spec, &World::of(before));
    let stages: Vec<&str> = run
        .status
        .iter()
        .flat_map(|status| &status.stages)
        .map(String::as_str)
        .collect();
    assert_eq!(stages, ["a", "b", "c"]);
    let after = |c: &str| {
        World::of([
            job("a", "running", ""),
            job("b", "Unreached", "stage a was deleted"),
            job("c", c, ""),
        ])
    };
    let deleted = "stage a was deleted before it had ended";
    for (world, expected) in [
        (
            after("succeeded").without("r-a"),
            format!("{deleted} (job/r-a); 1 other stage did not run: b"),
        ),
        // What was never seen keeps the name that the status has.
        (
            after("succeeded").without_unseen("r-a"),
            format!("{deleted}; 1 other stage did not run: b"),
        ),
        (
            after("failed").without("r-a"),
            format!("{deleted} (job/r-a); 1 other stage failed: c; 1 other stage did not run: b"),
        ),
        (
            after("succeeded").without("r-a").without("r-c"),
            format!("{deleted} (job/r-a); 1 other stage did not run: b"),
        ),
    ] {
        assert_eq!(message(&status(&run, &world)), expected);
    }
    // What nobody can look up any more stays as it was said.
    let failing = after("running").without("r-a");
    let status_before = serde_json::to_value(status(&run, &failing)).unwrap();
    let run_later = with(spec, status_before);
    let later = decide(&run_later, &failing.without_unseen("r-b")).status;
    let later = later.or_else(|| run_later.status.clone()).unwrap();
    let mut conditions = later.conditions.iter();
    let failing = conditions
        .find(|condition| condition.type_ == "Failing")
        .unwrap();
    assert_eq!(
        failing.message,
        format!("{deleted} (job/r-a); 1 other stage did not run: b")
    );
    let both = World::of([
        job("a", "running", ""),
        job("b", "open", ""),
        job("c", "succeeded", ""),
    ]);
    let both = both.without("r-a").without("r-b");
    assert_eq!(
        message(&status(&run, &both)),
        format!(
            "{deleted} (job/r-a); 1 other stage did not run: b; 1 other Job was deleted before it had ended"
        )
    );
}

#[test]
fn run_message_names_the_finally_stage_that_was_deleted() {
    let mut tidy = of_run("tidy", "tidy", "running");
    tidy["metadata"]["labels"]["konductor.io/role"] = "finally".into();
    let main = || [of_run("a", "a", "succeeded"), of_run("b", "b", "succeeded")];
    let world = World::of(main().into_iter().chain([tidy]));
    let spec = json!({"finallyJobs": 1});
    let run = seen(&spec, &world);
    let status = status(&run, &world.without("tidy"));
    assert_eq!(
        message(&status),
        "finally stage tidy was deleted before it had ended (job/tidy)"
    );
}

/// etcd takes requests of up to 1.5 MiB.
#[test]
fn largest_run_with_a_record_fits_into_etcd() {
    use konductor_core::limits::{NAMED_STAGES_MAX, RECORDED_JOBS_MAX};
    let record = "A".repeat(18 * usize::try_from(RECORDED_JOBS_MAX).unwrap());
    let names: Vec<String> = (0..NAMED_STAGES_MAX).map(|n| format!("{n:063}")).collect();
    let quorums: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| (name.clone(), 100_000.into()))
        .collect();
    let fields: serde_json::Map<String, Value> = names
        .iter()
        .map(|name| (format!("f:{name}"), json!({})))
        .collect();
    let run = json!({
        "metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:quorums": fields}}}]},
        "spec": {"pipeline": "p", "jobs": RECORDED_JOBS_MAX, "quorums": quorums, "kept": record},
        "status": {"record": record, "stages": names},
    });
    let other_fields = 32 << 10;
    assert!(run.to_string().len() + other_fields < 3 << 19);
}
