//! A table of what a Gate and its Job say: the words of the pipeline come first.

use crate::world::{World, ended, job as a_job, now, object, recorded};
use konductor_api::Gate;
use konductor_core::{Write, gate, job};
use serde_json::{Value, json};

/// An object of run `night`.
fn of_run(mut object: Value, labels: Value) -> Value {
    object["metadata"]["labels"] = labels;
    object["metadata"]["labels"]["konductor.io/run"] = "night".into();
    object["metadata"]["annotations"]["konductor.io/nonce"] = "n".into();
    object
}

/// A Job of a stage of the run, in a state.
fn stage(name: &str, state: &str) -> Value {
    let reason = |phase: &str, reason: &str| json!({"konductor.io/phase": phase, "konductor.io/reason": reason});
    let job = match state {
        "open" => a_job(name, json!({}), json!({})),
        "succeeded" => a_job(name, json!({}), ended("Complete")),
        "failed" => a_job(name, json!({}), ended("Failed")),
        "skipped" => a_job(name, reason("Skipped", "when is false"), json!({})),
        "unreached" => a_job(name, reason("Unreached", "stage x failed"), json!({})),
        "cancelled" => a_job(
            name,
            reason("Cancelled", "Cancelled: by somebody"),
            json!({}),
        ),
        "timed out" => a_job(name, reason("Cancelled", "TimedOut: after 1h"), json!({})),
        "deleted" => a_job(name, reason("Cancelled", "Deleted: gate/x"), json!({})),
        other => panic!("{other}"),
    };
    let name = name.strip_prefix("night-").unwrap();
    match name.split_once('-') {
        Some((stage, item)) => of_run(
            job,
            json!({"konductor.io/stage": stage, "konductor.io/item": item}),
        ),
        None => of_run(job, json!({"konductor.io/stage": name})),
    }
}

/// The Barrier of a fan-out, or an approval.
fn barrier(name: &str, spec: Value, phase: &str, reason: &str, message: &str) -> Value {
    let condition = json!({
        "type": "Open", "status": "False", "reason": reason, "message": message,
        "lastTransitionTime": "2026-03-01T11:00:00Z",
    });
    let status = json!({"phase": phase, "conditions": [condition]});
    of_run(
        object("Barrier", name, json!({"spec": spec, "status": status})),
        json!({}),
    )
}

fn fan_out(phase: &str, quorum: Option<u32>) -> Value {
    let labels = json!({"konductor.io/run": "night", "konductor.io/stage": "part"});
    let mut spec = json!({"expected": 3, "jobs": {"matchLabels": labels}});
    if let Some(quorum) = quorum {
        spec["quorum"] = quorum.into();
    }
    let message = "1 of 3 arrived, 2 needed, 2 failed";
    barrier("night-part", spec, phase, "QuorumOutOfReach", message)
}

fn approval(phase: &str, reason: &str) -> Value {
    let spec = json!({"expected": 1, "arrivals": "Verified"});
    barrier("night-go-live", spec, phase, reason, "")
}

fn condition(kind: &str, name: &str, state: &str) -> Value {
    json!({"type": kind, "name": name, "state": state})
}

fn run() -> Value {
    let mut run = object(
        "Run",
        "night",
        json!({"spec": {"pipeline": "p", "jobs": 9}}),
    );
    run["metadata"]["annotations"] = json!({"konductor.io/nonce": "n"});
    run
}

/// What the Gate of stage `next` says, and what the stage's Job says if the Gate has ended.
fn said(spec: Value, objects: Vec<Value>) -> (String, Option<String>) {
    let gate = object("Gate", "night-next", json!({ "spec": spec }));
    let mut gate = of_run(gate, json!({}));
    let world = World::of(objects.clone());
    let typed: Gate = serde_json::from_value(gate.clone()).unwrap();
    let (decision, _) = world.decide(|facts| gate::decide(&typed, facts, now()));
    let status = decision.status.unwrap();
    let message = status.conditions[0].message.clone();
    gate["status"] = serde_json::to_value(status).unwrap();
    let mut next = stage("night-next", "open");
    next["metadata"]["annotations"]["konductor.io/gate"] = "night-next".into();
    let typed = serde_json::from_value(next).unwrap();
    let world = World::of(objects.into_iter().chain([gate]));
    let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
    let reason = decision.before.iter().find_map(|write| match write {
        Write::Patch { body, .. } => {
            let text = &body["metadata"]["annotations"]["konductor.io/reason"];
            Some(text.as_str()?.to_owned())
        }
        _ => None,
    });
    (message, reason)
}

#[test]
fn gate_and_job_name_the_stage_and_how_it_ended() {
    let job = |state: &str| condition("Job", "night-a", state);
    let table = [
        ("open", "Complete", "waits for stage a", false),
        ("open", "Failed", "waits for stage a to fail", false),
        ("open", "Skipped", "waits for stage a to be skipped", false),
        ("open", "Finished", "waits for stage a to end", false),
        ("failed", "Complete", "stage a failed", true),
        ("skipped", "Complete", "stage a was skipped", true),
        ("unreached", "Complete", "stage a was unreached", true),
        ("cancelled", "Complete", "stage a was cancelled", true),
        (
            "timed out",
            "Complete",
            "stage a was cancelled: the run timed out",
            true,
        ),
        ("deleted", "Complete", "stage a was deleted", true),
        ("succeeded", "Failed", "stage a succeeded", true),
        ("succeeded", "Skipped", "stage a succeeded", true),
    ];
    for (how, state, expected, has_ended) in table {
        let objects = vec![run(), stage("night-a", how)];
        let (message, reason) = said(json!({"conditions": [job(state)]}), objects);
        assert_eq!(message, expected, "{how} {state}");
        let expected = has_ended.then(|| expected.to_owned());
        assert_eq!(reason, expected, "{how} {state}");
    }
}

#[test]
fn items_fan_outs_and_approvals_have_their_names_of_the_file() {
    let item = condition("Job", "night-part-2", "Complete");
    let whole = condition("Barrier", "night-part", "Open");
    let go = condition("Barrier", "night-go-live", "Open");
    let counts = "1 of 3 arrived, 2 needed, 2 failed";
    let table = [
        (
            &item,
            stage("night-part-2", "failed"),
            "stage part[2] failed".to_owned(),
        ),
        (
            &item,
            stage("night-part-2", "open"),
            "waits for stage part[2]".to_owned(),
        ),
        (
            &whole,
            fan_out("Waiting", None),
            "waits for stage part".to_owned(),
        ),
        (
            &whole,
            fan_out("Failed", None),
            "stage part failed".to_owned(),
        ),
        (
            &whole,
            fan_out("Failed", Some(2)),
            format!("stage part failed ({counts})"),
        ),
        (
            &whole,
            fan_out("Unreached", None),
            "stage part was unreached".to_owned(),
        ),
        (
            &whole,
            fan_out("Skipped", None),
            "stage part was skipped".to_owned(),
        ),
        (
            &go,
            approval("Waiting", "Waiting"),
            "waits for approval go-live (barrier/night-go-live)".to_owned(),
        ),
        (
            &go,
            approval("Failed", "QuorumOutOfReach"),
            "approval go-live was denied".to_owned(),
        ),
        (
            &go,
            approval("Failed", "TimedOut"),
            "approval go-live timed out".to_owned(),
        ),
        (
            &go,
            approval("Unreached", "GateEnded"),
            "approval go-live was unreached".to_owned(),
        ),
    ];
    for (condition, target, expected) in table {
        let spec = json!({"conditions": [condition]});
        let (message, reason) = said(spec, vec![run(), target.clone()]);
        assert_eq!(message, expected, "{target}");
        if let Some(reason) = reason {
            assert_eq!(reason, expected, "{target}");
        }
    }
}

#[test]
fn any_names_all_that_made_it_impossible() {
    let conditions = ["a", "b", "c", "d", "e"]
        .map(|name| condition("Job", &format!("night-{name}"), "Complete"));
    let table: [(&[(&str, &str)], &str); 4] = [
        (&[("a", "failed"), ("b", "open")], "waits for stage b"),
        (
            &[("a", "open"), ("b", "open")],
            "waits for stage a or stage b",
        ),
        (
            &[("a", "skipped"), ("b", "failed")],
            "stage a was skipped, stage b failed",
        ),
        (
            &[
                ("a", "failed"),
                ("b", "failed"),
                ("c", "failed"),
                ("d", "failed"),
                ("e", "failed"),
            ],
            "stage a failed, stage b failed, stage c failed and 2 more",
        ),
    ];
    for (states, expected) in table {
        let jobs = states
            .iter()
            .map(|(name, state)| stage(&format!("night-{name}"), state));
        let objects: Vec<Value> = jobs.chain([run()]).collect();
        let spec = json!({"mode": "Any", "conditions": &conditions[..states.len()]});
        let (message, _) = said(spec, objects.clone());
        assert_eq!(message, expected, "{states:?}");
        // A part of what a stage waits for is a Gate that nobody wrote: what it says is passed on.
        let part = object("Gate", "night-next-1", json!({"spec": {"conditions": []}}));
        let mut part = of_run(part, json!({}));
        let phase = match expected.starts_with("waits") {
            true => "Waiting",
            false => "Unreached",
        };
        part["status"] = json!({"phase": phase, "conditions": [{
            "type": "Open", "status": "False", "reason": "X", "message": message,
            "lastTransitionTime": "2026-03-01T11:00:00Z",
        }]});
        let spec = json!({"conditions": [condition("Gate", "night-next-1", "Open")]});
        let objects = objects.into_iter().chain([part]).collect();
        assert_eq!(said(spec, objects).0, expected, "{states:?}");
    }
}

#[test]
fn deleted_stage_is_named_by_the_record() {
    let part = stage("night-part-2", "open");
    let mut run = run();
    let decide = |run: &Value, world: World| {
        let typed: konductor_api::Run = serde_json::from_value(run.clone()).unwrap();
        let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
        serde_json::to_value(decision.status.unwrap()).unwrap()
    };
    run["spec"]["jobs"] = 1.into();
    run["status"] = decide(&run, World::of([run.clone(), part.clone()]));
    run["status"] = decide(&run, World::of([run.clone()]));
    let spec = json!({"conditions": [condition("Job", "night-part-2", "Complete")]});
    assert_eq!(said(spec, vec![run]).0, "stage part[2] was deleted");
}

#[test]
fn objects_of_no_run_or_of_another_keep_their_names() {
    let mut elsewhere = stage("night-a", "failed");
    elsewhere["metadata"]["labels"]["konductor.io/run"] = "day".into();
    let by_hand = a_job("by-hand", json!({}), ended("Failed"));
    let open = a_job("by-hand", json!({}), json!({}));
    let table = [
        ("night-a", elsewhere, "job/night-a failed"),
        ("by-hand", by_hand, "job/by-hand failed"),
        ("by-hand", open, "waits for job/by-hand to be Complete"),
    ];
    for (name, object, expected) in table {
        let spec = json!({"conditions": [condition("Job", name, "Complete")]});
        assert_eq!(said(spec, vec![run(), object]).0, expected);
    }
}

#[test]
fn job_outside_a_run_says_which_gate_it_was() {
    let gate = json!({
        "spec": {"conditions": [condition("Job", "a", "Complete")]},
        "status": {"phase": "Unreached", "conditions": [{
            "type": "Open", "status": "False", "reason": "ConditionFailed",
            "message": "job/a failed", "lastTransitionTime": "2026-03-01T11:00:00Z",
        }]},
    });
    let by_hand = a_job("by-hand", json!({"konductor.io/gate": "go"}), json!({}));
    let typed = serde_json::from_value(by_hand).unwrap();
    let world = World::of([object("Gate", "go", gate)]);
    let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
    let Write::Patch { body, .. } = &decision.before[0] else {
        panic!("{:?}", decision.before)
    };
    assert_eq!(
        body["metadata"]["annotations"]["konductor.io/reason"],
        "gate/go ended without opening: job/a failed"
    );
}

/// A Gate of the run that has ended, or opened.
fn ended_gate(name: &str, phase: &str, reason: &str, message: &str) -> Value {
    let gate = json!({
        "spec": {"conditions": []},
        "status": {"phase": phase, "conditions": [{
            "type": "Open", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": "2026-03-01T11:00:00Z",
        }]},
    });
    of_run(object("Gate", name, gate), json!({}))
}

#[test]
fn missing_output_names_the_stage_that_did_not_write_it() {
    let mut next = stage("night-next", "open");
    next["metadata"]["annotations"]["konductor.io/gate"] = "night-next".into();
    next["metadata"]["annotations"]["konductor.io/inputs"] =
        r#"{"in-0": "night-part-2/rows"}"#.into();
    let mut lost = stage("night-part-2", "succeeded");
    lost["metadata"]["annotations"]["konductor.io/reason"] =
        "its pod was gone before its outputs were read".into();
    let table = [
        (
            stage("night-part-2", "succeeded"),
            "stage part[2] wrote no output rows",
        ),
        (
            lost,
            "stage part[2]: its pod was gone before its outputs were read",
        ),
    ];
    for (source, expected) in table {
        let gate = ended_gate("night-next", "Open", "ConditionsMet", "");
        let world = World::of([recorded(run(), [&next, &source]), gate, source]);
        let typed = serde_json::from_value(next.clone()).unwrap();
        let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
        let Write::Patch { body, .. } = &decision.before[0] else {
            panic!("{:?}", decision.before)
        };
        let reason = &body["metadata"]["annotations"]["konductor.io/reason"];
        assert_eq!(reason, expected);
    }
}

#[test]
fn approval_behind_a_gate_that_did_not_open_says_which_stage_it_was() {
    let mut approval = approval("Waiting", "Waiting");
    approval["spec"]["gate"] = "night-before".into();
    approval["status"].take();
    let typed: konductor_api::Barrier = serde_json::from_value(approval).unwrap();
    for (phase, reason, message, expected) in [
        (
            "Unreached",
            "ConditionFailed",
            "stage a failed",
            "stage a failed",
        ),
        (
            "Failed",
            "TimedOut",
            "it timed out",
            "gate/night-before ended without opening: it timed out",
        ),
    ] {
        let gate = ended_gate("night-before", phase, reason, message);
        let world = World::of([run(), gate]);
        let (decision, _) =
            world.decide(|facts| konductor_core::barrier::decide(&typed, facts, now()));
        let status = decision.status.unwrap();
        assert_eq!(status.conditions[0].message, expected);
    }
}
