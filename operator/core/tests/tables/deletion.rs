//! Tables of deleted objects that somebody's finalizer keeps.

use crate::interference::{decide, holders, semaphore};
use crate::world::{World, ended, job, now, object, short};
use konductor_api::{Barrier, Gate, Run};
use konductor_core::{Write, barrier, gate, run};
use serde_json::{Value, json};

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
