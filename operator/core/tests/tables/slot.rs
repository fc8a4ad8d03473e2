//! Tables of what becomes of a slot.

use std::collections::BTreeMap;

use jiff::Timestamp;
use konductor_api::{Run, RunPhase};
use konductor_core::slot::{Overlap, Slot, SlotDecision, decide};
use serde_json::json;

const NOW: &str = "2026-03-29T01:00:05Z";

fn slot(overlap: Overlap) -> Slot<'static> {
    Slot {
        pipeline: "night",
        run: "night-29579100",
        time: "2026-03-29T01:00:00Z".parse().unwrap(),
        overlap,
    }
}

/// A run of `pipeline`; `how` is its phase, or `new` where no operator has seen it, or `cancelling`,
/// with `, old` or `, later`.
fn run(pipeline: &str, name: &str, how: &str) -> Run {
    let (how, more) = how.split_once(", ").unwrap_or((how, ""));
    let phase = match how {
        "new" | "cancelling" => "Running",
        phase => phase,
    };
    let mut object = json!({
        "apiVersion": "konductor.io/v1",
        "kind": "Run",
        "metadata": {
            "name": name,
            "creationTimestamp": if more == "old" {
                "2026-03-28T23:59:00Z"
            } else {
                "2026-03-29T00:30:00Z"
            },
        },
        "spec": {
            "pipeline": pipeline,
            "jobs": 2,
            "finallyJobs": 1,
            "cancel": how == "cancelling",
        },
        "status": {"phase": phase, "attempt": 1, "conditions": []},
    });
    if how == "new" {
        object.as_object_mut().unwrap().remove("status");
    }
    if more == "later" {
        // Written in another time zone: what counts is the instant.
        object["metadata"]["annotations"] =
            json!({"konductor.io/slot": "2026-03-29T03:15:00+02:00"});
    }
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_slot_becomes_what_its_schedule_wants() {
    use SlotDecision::{Done, Replace, Skip, Start, Superseded};
    let own = |how| run("night", "night-29579100", how);
    let other = |how| run("night", "night-29579040", how);
    let skip = || Skip("night-29579040".into());
    let replace = || Replace(vec!["night-29579040".into()]);
    let superseded = || Superseded("night-29579040".into());
    let table: Vec<(&str, Vec<Run>, SlotDecision, SlotDecision, SlotDecision)> = vec![
        ("nothing else", vec![], Start, Start, Start),
        (
            "a run that has ended",
            vec![other("Succeeded"), run("night", "by-hand", "Failed")],
            Start,
            Start,
            Start,
        ),
        (
            "another pipeline's",
            vec![run("day", "day-1", "Running")],
            Start,
            Start,
            Start,
        ),
        (
            "a run that has not ended",
            vec![other("Running")],
            Start,
            skip(),
            replace(),
        ),
        (
            "finally stages run",
            vec![other("Finalizing")],
            Start,
            skip(),
            replace(),
        ),
        (
            "no operator has seen it",
            vec![other("new")],
            Start,
            skip(),
            replace(),
        ),
        (
            "it is being cancelled",
            vec![other("cancelling")],
            Start,
            skip(),
            replace(),
        ),
        (
            "two have not ended",
            vec![run("night", "night-z", "Running"), other("Running")],
            Start,
            skip(),
            Replace(vec!["night-29579040".into(), "night-z".into()]),
        ),
        (
            "a later slot's has not ended",
            vec![run("night", "a", "Running"), other("Running, later")],
            Start,
            superseded(),
            superseded(),
        ),
        (
            "a later slot's has ended",
            vec![other("Failed, later")],
            Start,
            Start,
            Start,
        ),
        (
            "neither its own nor another has ended",
            vec![own("Running"), other("Running")],
            Start,
            Start,
            Start,
        ),
        (
            "its own is half there",
            vec![own("Running, old")],
            Start,
            Start,
            Start,
        ),
        (
            "its own has ended",
            vec![own("Failed"), other("Running")],
            Done(RunPhase::Failed),
            Done(RunPhase::Failed),
            Done(RunPhase::Failed),
        ),
        (
            "its own is being cancelled",
            vec![own("cancelling")],
            Done(RunPhase::Running),
            Done(RunPhase::Running),
            Done(RunPhase::Running),
        ),
    ];
    let now: Timestamp = NOW.parse().unwrap();
    for (what, runs, allow, skip, replace) in table {
        let decided = |overlap| decide(&slot(overlap), &runs, &BTreeMap::new(), now);
        assert_eq!(decided(Overlap::Allow), allow, "{what}, allow");
        assert_eq!(decided(Overlap::Skip), skip, "{what}, skip");
        assert_eq!(decided(Overlap::Replace), replace, "{what}, replace");
    }
}

#[test]
fn a_run_that_is_never_created_to_its_end_is_reported() {
    let now: Timestamp = NOW.parse().unwrap();
    let old = "night-29579040".to_owned();
    let runs = [run("night", &old, "Running, old")];
    let decided = |overlap, jobs: &[u32]| {
        let jobs = jobs.iter().map(|count| (old.clone(), *count)).collect();
        decide(&slot(overlap), &runs, &jobs, now)
    };
    let blocked = |jobs| SlotDecision::Blocked {
        run: old.clone(),
        jobs,
        declared: 3,
    };
    for overlap in [Overlap::Skip, Overlap::Replace] {
        // What its status says may be as old as the operator's absence.
        assert_eq!(decided(overlap, &[]), SlotDecision::Count(old.clone()));
        assert_eq!(decided(overlap, &[0]), blocked(0));
        assert_eq!(decided(overlap, &[2]), blocked(2));
    }
    assert_eq!(
        decided(Overlap::Skip, &[3]),
        SlotDecision::Skip(old.clone())
    );
    assert_eq!(
        decided(Overlap::Replace, &[3]),
        SlotDecision::Replace(vec![old.clone()])
    );
    assert_eq!(decided(Overlap::Allow, &[]), SlotDecision::Start);
}
