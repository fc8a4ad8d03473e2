//! Tables of what a Barrier decides.

use crate::world::{World, ended, job, now, object, short};
use jiff::SignedDuration;
use konductor_api::{Barrier, BarrierPhase, BarrierStatus};
use konductor_core::{Decision, Fact, barrier};
use serde_json::{Value, json};

fn with(spec: Value, status: Value) -> Barrier {
    let barrier = object("Barrier", "stage", json!({"spec": spec, "status": status}));
    serde_json::from_value(barrier).unwrap()
}

fn arrival(holder: &str, outcome: &str) -> Value {
    object(
        "Arrival",
        &format!("{holder}-{outcome}").to_lowercase(),
        json!({
            "metadata": {"ownerReferences": [{
                "apiVersion": "konductor.io/v1",
                "kind": "Barrier",
                "name": "stage",
                "uid": "uid-stage",
            }]},
            "spec": {"barrier": "stage", "holder": holder, "outcome": outcome},
        }),
    )
}

fn decide(barrier: &Barrier, world: &World) -> (Decision<BarrierStatus>, Vec<Fact>) {
    world.decide(|facts| barrier::decide(barrier, facts, now()))
}

fn phase(barrier: &Barrier, world: &World) -> BarrierPhase {
    decide(barrier, world).0.status.unwrap().phase
}

#[test]
fn a_barrier_ends_by_its_arrivals() {
    use BarrierPhase::{Failed, Open, Skipped, Waiting};
    let table: [(&str, Option<u32>, BarrierPhase); 11] = [
        ("", None, Waiting),
        ("SS", None, Waiting),
        ("SSS", None, Open),
        ("SSSS", None, Open),
        ("SSF", None, Failed),
        ("F", None, Failed),
        ("SSK", None, Skipped),
        ("KF", None, Failed),
        ("SS", Some(2), Open),
        ("SF", Some(2), Waiting),
        ("FF", Some(2), Failed),
    ];
    for (arrivals, quorum, expected) in table {
        let world = World::of(arrivals.chars().enumerate().map(|(index, outcome)| {
            let outcome = match outcome {
                'S' => "Succeeded",
                'F' => "Failed",
                _ => "Skipped",
            };
            arrival(&format!("h{index}"), outcome)
        }));
        let barrier = with(json!({"expected": 3, "quorum": quorum}), json!({}));
        assert_eq!(
            phase(&barrier, &world),
            expected,
            "{arrivals:?} of 3, quorum {quorum:?}"
        );
    }
}

#[test]
fn one_holder_counts_once_and_its_failure_wins() {
    let world = World::of([arrival("a", "Succeeded"), arrival("a", "Failed")]);
    let barrier = with(json!({"expected": 2, "quorum": 1}), json!({}));
    let status = decide(&barrier, &world).0.status.unwrap();
    assert_eq!((status.arrived, status.failed), (0, 1));
}

#[test]
fn arrivals_count_for_the_barrier_whose_uid_owns_them() {
    let mut other = arrival("a", "Succeeded");
    other["metadata"]["ownerReferences"][0]["uid"] = "an earlier one".into();
    let mut fresh = arrival("b", "Succeeded");
    fresh["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("ownerReferences");
    let mut old = fresh.clone();
    old["metadata"]["name"] = "c-succeeded".into();
    old["spec"]["holder"] = "c".into();
    old["metadata"]["creationTimestamp"] = "2026-03-01T10:00:00Z".into();
    let barrier = with(json!({"expected": 2}), json!({}));
    let (decision, _) = decide(&barrier, &World::of([other, fresh, old]));
    assert_eq!(decision.status.unwrap().arrived, 1);
    // The one without an owner counts if it is not older than the Barrier, and nothing waits for that
    // the Barrier owns it.
    assert_eq!(decision.before, []);
    assert_eq!(short(&decision.after), ["adopt Arrival/b-succeeded"]);
}

#[test]
fn job_that_was_gone_before_it_could_arrive_arrives() {
    let complete = job(
        "a",
        json!({"konductor.io/arrive": "stage"}),
        ended("Complete"),
    );
    let barrier = with(json!({"expected": 2}), json!({}));
    let (decision, _) = decide(&barrier, &World::of([complete]).without("a"));
    assert_eq!(short(&decision.before), ["arrive job/a Succeeded"]);
}

#[test]
fn job_that_was_gone_before_the_barrier_was_created_does_not_arrive() {
    let mut old = job(
        "a",
        json!({"konductor.io/arrive": "stage"}),
        ended("Complete"),
    );
    old["metadata"]["creationTimestamp"] = "2026-03-01T10:00:00Z".into();
    old["metadata"]["labels"] = json!({"batch": "x"});
    old["status"]["conditions"][0]["lastTransitionTime"] = "2026-03-01T10:30:00Z".into();
    let gone = World::of([old]).without("a");
    let (decision, _) = decide(&with(json!({"expected": 1}), json!({})), &gone);
    assert_eq!(short(&decision.before), [""; 0]);
    // Nor is it one of the Jobs that a Barrier selects.
    let selects = json!({"expected": 1, "jobs": {"matchLabels": {"batch": "x"}}});
    assert_eq!(
        phase(&with(selects, json!({})), &gone),
        BarrierPhase::Waiting
    );
}

#[test]
fn an_arrival_that_was_withdrawn_does_not_open_it() {
    let mut world = World::of([arrival("a", "Succeeded")]);
    world.cached.add(arrival("b", "Succeeded"));
    assert_eq!(
        phase(&with(json!({"expected": 2}), json!({})), &world),
        BarrierPhase::Waiting
    );
}

#[test]
fn a_barrier_that_has_ended_is_left_alone() {
    for ended in ["Open", "Skipped", "Unreached", "Failed"] {
        let barrier = with(json!({"expected": 1}), json!({"phase": ended}));
        for world in [
            World::of([]),
            World::of([arrival("a", "Succeeded")]),
            World::of([arrival("a", "Failed")]),
        ] {
            assert_eq!(decide(&barrier, &world).0, Decision::default(), "{ended}");
        }
    }
}

#[test]
fn approvals_count_only_what_is_verified() {
    let mut verified = arrival("a", "Succeeded");
    verified["spec"]["verified"] = true.into();
    let barrier = with(json!({"expected": 2, "arrivals": "Verified"}), json!({}));
    let world = World::of([verified, arrival("b", "Succeeded")]);
    assert_eq!(decide(&barrier, &world).0.status.unwrap().arrived, 1);
}

#[test]
fn jobs_end_a_barrier_by_the_rule_of_a_fan_out() {
    use BarrierPhase::{Failed, Open, Skipped, Unreached, Waiting};
    let table: [(&str, Option<u32>, BarrierPhase); 14] = [
        ("SS", None, Waiting),
        ("SSS", None, Open),
        ("SSSS", None, Waiting),
        ("SSo", None, Waiting),
        ("Foo", None, Failed),
        ("Uoo", None, Waiting),
        ("USS", None, Unreached),
        ("UFS", None, Failed),
        ("KKS", None, Open),
        ("KKK", None, Skipped),
        ("SSo", Some(2), Open),
        ("SFF", Some(2), Failed),
        ("SFo", Some(2), Waiting),
        ("SKK", Some(2), Skipped),
    ];
    for (ends, quorum, expected) in table {
        let world = World::of(ends.chars().enumerate().map(|(index, end)| {
            let name = format!("j{index}");
            let mut job = match end {
                'S' => job(&name, json!({}), ended("Complete")),
                'F' => job(&name, json!({}), ended("Failed")),
                'K' => job(&name, json!({"konductor.io/phase": "Skipped"}), json!({})),
                'U' => job(&name, json!({"konductor.io/phase": "Unreached"}), json!({})),
                _ => job(&name, json!({}), json!({})),
            };
            job["metadata"]["labels"] = json!({"stage": "x"});
            job
        }));
        let spec = json!({
            "expected": 3,
            "quorum": quorum,
            "jobs": {"matchLabels": {"stage": "x"}},
        });
        let barrier = with(spec, json!({}));
        assert_eq!(
            phase(&barrier, &world),
            expected,
            "{ends:?} of 3, quorum {quorum:?}"
        );
    }
}

/// A Barrier over the items of one region, two of four.
#[test]
fn a_barrier_over_some_items_of_a_stage_ends_by_them_alone() {
    use BarrierPhase::{Failed, Open, Waiting};
    let run_owner =
        json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}]);
    let of_run = |mut object: Value, region: &str| {
        object["metadata"]["labels"] = json!({
            "konductor.io/run": "r", "konductor.io/role": "main", "konductor.io/stage": "build",
            "item.konductor.io/region": region,
        });
        object["metadata"]["ownerReferences"] = run_owner.clone();
        object
    };
    // How each ended: of the region `eu` a and b. Which are gone, and which of these nobody has seen.
    let table = [
        ("SSoo", "", "", Open),
        ("SSFF", "", "", Open),
        ("SoSS", "", "", Waiting),
        ("SFSS", "", "", Failed),
        ("SSoo", "a", "", Open),
        ("SSoo", "a", "a", Open),
        ("FSSS", "a", "a", Failed),
        // Whether a or c was which, nobody knows: the worse is taken.
        ("SSFS", "ac", "ac", Failed),
        ("SSSS", "ac", "ac", Open),
        ("SSFS", "ac", "a", Open),
    ];
    for (ends, gone, unseen, expected) in table {
        let jobs = ends.chars().zip(["a", "b", "c", "d"]).map(|(end, name)| {
            let rest = match end {
                'S' => ended("Complete"),
                'F' => ended("Failed"),
                _ => json!({}),
            };
            let region = if name < "c" { "eu" } else { "us" };
            of_run(job(name, json!({}), rest), region)
        });
        let jobs: Vec<Value> = jobs.collect();
        let spec = json!({"spec": {"pipeline": "p", "jobs": 4}});
        let run = crate::world::recorded(object("Run", "r", spec), &jobs);
        let mut world = World::of(jobs.into_iter().chain([run]));
        for name in ["a", "b", "c", "d"] {
            if unseen.contains(name) {
                world = world.without_unseen(name);
            }
        }
        for name in ["a", "b", "c", "d"] {
            if gone.contains(name) && !unseen.contains(name) {
                world = world.without(name);
            }
        }
        let spec = json!({"expected": 2, "jobs": {"matchLabels": {
            "konductor.io/run": "r", "konductor.io/stage": "build",
            "item.konductor.io/region": "eu",
        }}});
        let barrier = object("Barrier", "stage", json!({"spec": spec}));
        let barrier = serde_json::from_value(of_run(barrier, "eu")).unwrap();
        assert_eq!(
            phase(&barrier, &world),
            expected,
            "{ends}, gone {gone}, unseen {unseen}"
        );
    }
}

#[test]
fn a_timeout_counts_from_the_opening_of_its_gate() {
    let gate = |status: Value| object("Gate", "after", json!({"spec": {}, "status": status}));
    let barrier = with(
        json!({"expected": 1, "gate": "after", "timeout": "30m"}),
        json!({}),
    );
    let table = [
        (json!({"phase": "Waiting"}), BarrierPhase::Waiting, None),
        (
            json!({"phase": "Open", "openedAt": "2026-03-01T11:40:00Z"}),
            BarrierPhase::Waiting,
            Some(now() + SignedDuration::from_secs(601)),
        ),
        (
            json!({"phase": "Open", "openedAt": "2026-03-01T11:29:59Z"}),
            BarrierPhase::Failed,
            None,
        ),
        // The Gate may have opened almost a second after the time that it has.
        (
            json!({"phase": "Open", "openedAt": "2026-03-01T11:30:00Z"}),
            BarrierPhase::Waiting,
            Some(now() + SignedDuration::from_secs(1)),
        ),
        (json!({"phase": "Skipped"}), BarrierPhase::Skipped, None),
        (json!({"phase": "Unreached"}), BarrierPhase::Unreached, None),
        (json!({"phase": "Failed"}), BarrierPhase::Unreached, None),
    ];
    for (status, expected, wake) in table {
        let (decision, _) = decide(&barrier, &World::of([gate(status.clone())]));
        assert_eq!(decision.status.unwrap().phase, expected, "{status}");
        assert_eq!(decision.wake, wake, "{status}");
    }
}

#[test]
fn what_has_ended_is_deleted_after_its_ttl_unless_somebody_waits_for_it() {
    let done = json!({"phase": "Open", "finishedAt": "2026-03-01T11:30:00Z"});
    let gate = |phase: &str| {
        let conditions = json!([{"type": "Barrier", "name": "stage", "state": "Open"}]);
        object(
            "Gate",
            "g",
            json!({"spec": {"conditions": conditions}, "status": {"phase": phase}}),
        )
    };
    let table = [
        ("1h", "Open", vec![]),
        ("30m", "Open", vec![]),
        ("1799s", "Open", vec!["delete Barrier/stage"]),
        ("1799s", "Waiting", vec![]),
    ];
    for (ttl, waiting, expected) in table {
        let barrier = with(
            json!({"expected": 1, "ttlAfterFinished": ttl}),
            done.clone(),
        );
        // The cache shows nothing that waits.
        let mut world = World::default();
        world.live.add(gate(waiting));
        let (decision, _) = decide(&barrier, &world);
        assert_eq!(short(&decision.before), expected, "{ttl} {waiting}");
    }
}
