//! Tables of what a Job or a Claim that waits says about it.

use crate::world::{World, ended, job, now, object, recorded, says_why, short};
use konductor_api::{Claim, Participant};
use konductor_core::{Decision, Write, job, ledger};
use serde_json::{Value, json};

fn decide(job: &Value, world: &World) -> Decision<job::NoStatus> {
    let job: Participant = serde_json::from_value(job.clone()).unwrap();
    let decision = world.decide(|facts| job::decide(&job, facts, now())).0;
    says_why(&job, &decision);
    decision
}

/// The phase and the reason that the only write sets; `None` without a write.
fn said(decision: &Decision<job::NoStatus>) -> Option<(String, Option<String>)> {
    let write = decision.before.first()?;
    let Write::Patch { body, .. } = write else {
        panic!("{write:?}")
    };
    let annotations = &body["metadata"]["annotations"];
    let text = |key: &str| annotations[key].as_str().map(str::to_owned);
    Some((
        text("konductor.io/phase").unwrap(),
        text("konductor.io/reason"),
    ))
}

fn gate(phase: &str) -> Value {
    object(
        "Gate",
        "ready",
        json!({"spec": {}, "status": {"phase": phase}}),
    )
}

fn semaphore(permits: u32) -> Value {
    let status = json!({"holders": [{"kind": "Job", "name": "other", "uid": "uid-other",
        "holder": "other", "permits": 1}]});
    object(
        "Semaphore",
        "batch",
        json!({"spec": {"permits": permits}, "status": status}),
    )
}

/// A Job without a Run, and one of a Run, where that says something else.
fn waiting_jobs() -> Vec<(Value, Vec<Value>, &'static str, &'static str, bool)> {
    let gated = |gate: &str| json!({ "konductor.io/gate": gate });
    let holding = |hold: &str| json!({ "konductor.io/hold": hold });
    vec![
        (
            gated("typo"),
            vec![gate("Waiting")],
            "Waiting",
            "gate/typo does not exist",
            true,
        ),
        (
            gated("ready"),
            vec![gate("Waiting")],
            "Waiting",
            "waits for gate/ready",
            false,
        ),
        (
            holding("semaphore/typo"),
            vec![],
            "Queued",
            "semaphore/typo does not exist",
            true,
        ),
        (
            holding("lease/typo"),
            vec![],
            "Queued",
            "lease/typo does not exist",
            true,
        ),
        (
            holding("semaphore/batch=3"),
            vec![semaphore(2)],
            "Queued",
            "semaphore/batch has 2 permits, and this Job asks for 3",
            true,
        ),
        (
            holding("semaphore/batch"),
            vec![semaphore(1)],
            "Queued",
            "waits for semaphore/batch",
            false,
        ),
        // Paused: nobody has to correct anything.
        (
            holding("semaphore/batch=3"),
            vec![semaphore(0)],
            "Queued",
            "waits for semaphore/batch",
            false,
        ),
    ]
}

#[test]
fn a_job_that_waits_says_why_once_and_without_its_position() {
    for (annotations, mut objects, phase, reason, to_correct) in waiting_jobs() {
        let world = World::of(objects.clone());
        let mut work = job("work", annotations, json!({}));
        let expected = Some((phase.to_owned(), Some(reason.to_owned())));
        assert_eq!(said(&decide(&work, &world)), expected);
        let mut of_run = work.clone();
        of_run["metadata"]["labels"] = json!({"konductor.io/run": "r"});
        of_run["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"},
        ]);
        // A Run that does not exist says nothing.
        assert_eq!(said(&decide(&of_run, &world)), expected, "{reason}");
        let run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
        objects.push(recorded(run, [&of_run]));
        let world_of_run = World::of(objects);
        // Of a Run, only what somebody has to correct.
        assert_eq!(
            said(&decide(&of_run, &world_of_run)),
            expected.filter(|_| to_correct),
            "{reason}"
        );
        for work in [&mut work, &mut of_run] {
            work["metadata"]["annotations"]["konductor.io/phase"] = phase.into();
            work["metadata"]["annotations"]["konductor.io/reason"] = reason.into();
        }
        match to_correct {
            true => assert_eq!(said(&decide(&of_run, &world_of_run)), None, "{reason}"),
            // What was corrected is no reason any more.
            false => assert_eq!(
                said(&decide(&of_run, &world_of_run)),
                Some((phase.to_owned(), None)),
                "{reason}"
            ),
        }
        assert_eq!(said(&decide(&work, &world)), None, "{reason}");
    }
}

#[test]
fn a_job_that_only_its_run_would_start_says_that_there_is_none() {
    let mut work = job("work", json!({}), json!({}));
    work["metadata"]["labels"] = json!({"konductor.io/run": "r"});
    let expected = (
        "Waiting".to_owned(),
        Some("its run does not exist".to_owned()),
    );
    assert_eq!(said(&decide(&work, &World::default())), Some(expected));
    // What does not belong to a Run is left alone.
    let run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
    assert_eq!(said(&decide(&work, &World::of([run]))), None);
    // It may be created after its Jobs.
    work["metadata"]["creationTimestamp"] = "2026-03-01T11:59:56Z".into();
    let decision = decide(&work, &World::default());
    assert_eq!(said(&decision), None);
    assert_eq!(decision.wake, Some("2026-03-01T12:00:01Z".parse().unwrap()));
}

#[test]
fn a_job_that_was_just_created_does_not_say_why_yet() {
    let mut work = job("work", json!({"konductor.io/gate": "typo"}), json!({}));
    work["metadata"]["creationTimestamp"] = "2026-03-01T11:59:56Z".into();
    let decision = decide(&work, &World::default());
    assert_eq!(said(&decision), None);
    assert_eq!(decision.wake, Some("2026-03-01T12:00:01Z".parse().unwrap()));
}

#[test]
fn a_job_behind_a_gate_says_with_its_turn_what_it_waits_for() {
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/hold": "semaphore/batch"});
    let mut work = job("work", annotations, json!({}));
    work["metadata"]["creationTimestamp"] = crate::world::NOW.into();
    let world = World::of([gate("Open"), semaphore(1)]);
    let expected = (
        "Queued".to_owned(),
        Some("waits for semaphore/batch".into()),
    );
    assert_eq!(said(&decide(&work, &world)), Some(expected));
}

#[test]
fn a_mistake_in_annotations_is_named_with_what_to_write_and_keeps_the_job_from_starting() {
    let table = [
        (
            json!({"konductor.io/gate": "gate/publish"}),
            "konductor.io/gate: \"gate/publish\" is not the name of a Gate: write publish",
        ),
        (
            json!({"konductor.io/gate": " "}),
            "konductor.io/gate is empty: write the name of a Gate",
        ),
        (
            json!({"konductor.io/holds": "semaphore/batch"}),
            "konductor.io/holds is not known; did you mean konductor.io/hold?",
        ),
        (
            json!({"konductor.io/gate": "ready", "konductor.io/Hold": "semaphore/batch"}),
            "konductor.io/Hold is not known; did you mean konductor.io/hold?",
        ),
        (
            json!({"konductor.io/gate": "ready", "konductor.io/arrive": "barrier/loaded"}),
            "konductor.io/arrive: \"barrier/loaded\" is not the name of a Barrier: write loaded",
        ),
        (
            json!({"konductor.io/gate": "ready", "konductor.io/arrive": ""}),
            "konductor.io/arrive is empty: write the name of a Barrier",
        ),
        (
            json!({"konductor.io/gate": "ready", "konductor.io/arrive": "All Done"}),
            "konductor.io/arrive: \"All Done\" is not the name of a Barrier: a name has lower-case \
             letters, digits, `-` and `.`",
        ),
        (
            json!({"konductor.io/gate": "ready", "konductor.io/arrive": "barrier/All Done"}),
            "konductor.io/arrive: \"barrier/All Done\" is not the name of a Barrier: a name has \
             lower-case letters, digits, `-` and `.`",
        ),
        (
            json!({"konductor.io/gate": "Ready"}),
            "konductor.io/gate: \"Ready\" is not the name of a Gate: a name has lower-case letters, \
             digits, `-` and `.`",
        ),
        (
            json!({"konductor.io/gate": "a\u{1b}[2J"}),
            "konductor.io/gate: \"a\\u{1b}[2J\" is not the name of a Gate: a name has lower-case \
             letters, digits, `-` and `.`",
        ),
        (
            json!({"konductor.io/hold": "semaphore/Batch"}),
            "konductor.io/hold: \"semaphore/Batch\" is not a hold: write semaphore/NAME, \
             semaphore/NAME=PERMITS or lease/NAME",
        ),
        (
            json!({"konductor.io/gate": "ready", "konductor.io/pending-timeout": "10 minutes"}),
            "konductor.io/pending-timeout: \"10 minutes\" is not a duration: write one such as 10m",
        ),
        (
            json!({"konductor.io/pending_timeout": "10m"}),
            "konductor.io/pending_timeout is not known; did you mean konductor.io/pending-timeout?",
        ),
        (
            json!({"konductor.io/hold": ""}),
            "konductor.io/hold is empty: write semaphore/NAME, semaphore/NAME=PERMITS or lease/NAME",
        ),
        (
            json!({"konductor.io/hold": "batch"}),
            "konductor.io/hold: \"batch\" is not a hold: write semaphore/NAME, \
             semaphore/NAME=PERMITS or lease/NAME",
        ),
        (
            json!({"konductor.io/inputs": "[]"}),
            "konductor.io/inputs is not a JSON object of strings",
        ),
        (
            json!({"konductor.io/inputs": "{\"in-0\": \"rows\"}"}),
            "input \"in-0\": \"rows\" is neither JOB/OUTPUT nor STAGE[*]/OUTPUT",
        ),
    ];
    for (annotations, reason) in table {
        let mut work = job("work", annotations, json!({}));
        let world = World::of([gate("Open"), semaphore(2)]);
        let decision = decide(&work, &world);
        let expected = ("Waiting".to_owned(), Some(reason.to_owned()));
        assert_eq!(said(&decision), Some(expected));
        let events: Vec<&str> = decision.events.iter().map(|event| event.reason).collect();
        assert_eq!(events, ["Invalid"], "{reason}");
        work["metadata"]["annotations"]["konductor.io/reason"] = reason.into();
        assert_eq!(said(&decide(&work, &world)), None, "{reason}");
    }
}

#[test]
fn a_job_that_runs_without_what_it_asks_for_says_so() {
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/hold": "semaphore/batch"});
    let not_suspended = json!({"spec": {"suspend": false}});
    let created = job("work", annotations.clone(), not_suspended.clone());
    let mut started = created.clone();
    started["metadata"]["generation"] = 2.into();
    let (why, by_hand) = (
        "it was not suspended; create it with `suspend: true`",
        "somebody else started it",
    );
    let table = [
        (&created, "Waiting", "gate/ready, semaphore/batch", why),
        (&created, "Open", "semaphore/batch", why),
        (&started, "Open", "semaphore/batch", by_hand),
    ];
    for (work, phase, missing, why) in table {
        let decision = decide(work, &World::of([gate(phase), semaphore(2)]));
        let reason = format!("runs without {missing}: {why}");
        let expected = ("Running".to_owned(), Some(reason.clone()));
        assert_eq!(said(&decision), Some(expected));
        assert_eq!(decision.events[0].reason, "Unprotected");
        assert_eq!(decision.events[0].note, reason);
    }
    let mut held = semaphore(2);
    held["status"]["holders"][0]["uid"] = "uid-work".into();
    let decision = decide(&started, &World::of([gate("Open"), held]));
    assert_eq!(said(&decision), Some(("Running".to_owned(), None)));
    assert_eq!(decision.events, []);
}

fn claim(permits: u32, created: &str) -> Value {
    object(
        "Claim",
        "ask",
        json!({
            "metadata": {"creationTimestamp": created},
            "spec": {"target": {"kind": "Semaphore", "name": "batch"}, "holder": "me",
                "permits": permits},
        }),
    )
}

#[test]
fn a_claim_that_is_queued_says_why_once() {
    let full: Vec<Value> = (0..1024)
        .map(|number| {
            json!({"kind": "Claim", "name": format!("c{number}"), "uid": format!("u{number}"),
                "holder": "h", "permits": 1})
        })
        .collect();
    let mut crowded = semaphore(2000);
    crowded["status"]["holders"] = full.into();
    let mut granted = semaphore(1);
    granted["status"]["holders"][0]["uid"] = "uid-ask".into();
    let table = [
        (
            1,
            vec![],
            Some("NotFound"),
            "semaphore/batch does not exist",
        ),
        (
            3,
            vec![semaphore(2)],
            Some("TooManyPermits"),
            "semaphore/batch has 2 permits, and this Claim asks for 3",
        ),
        (
            1,
            vec![semaphore(1)],
            Some("Queued"),
            "waits for semaphore/batch",
        ),
        (
            1,
            vec![crowded],
            Some("LedgerFull"),
            "semaphore/batch has 1024 holders, as many as it can list",
        ),
        // It is about to be Queued.
        (1, vec![granted], None, ""),
    ];
    for (permits, objects, reason, message) in table {
        let world = World::of(objects);
        let decide = |ask: &Value| {
            let ask: Claim = serde_json::from_value(ask.clone()).unwrap();
            world
                .decide(|facts| ledger::decide_claim(&ask, facts, now()))
                .0
        };
        let mut ask = claim(permits, "2026-03-01T11:59:58Z");
        let decision = decide(&ask);
        let Some(reason) = reason else {
            assert_eq!(decision.before, []);
            continue;
        };
        assert_eq!(short(&decision.before), ["Claim/ask Queued"]);
        let Write::Patch { body, .. } = &decision.before[0] else {
            panic!("{decision:?}")
        };
        assert_eq!(body["status"]["message"], message);
        assert_eq!(body["status"]["conditions"][0]["reason"], reason);
        assert_eq!(body["status"]["conditions"][0]["status"], "False");
        ask["status"] = body["status"].clone();
        assert_eq!(decide(&ask).before, [], "{message}");
        let new = decide(&claim(permits, "2026-03-01T11:59:59Z"));
        assert_eq!(new.before, []);
        assert_eq!(new.wake, Some("2026-03-01T12:00:01Z".parse().unwrap()));
    }
}

/// A text of an annotation may have 256 KiB, and a reason is one line.
#[test]
fn long_mistake_in_an_annotation_is_shortened() {
    let long = "A".repeat(100_000);
    for key in ["gate", "arrive", "hold", "pending-timeout"] {
        let mut annotations = json!({"konductor.io/gate": "ready"});
        annotations[format!("konductor.io/{key}")] = long.clone().into();
        let work = job("work", annotations, json!({}));
        let (_, reason) = said(&decide(&work, &World::default())).unwrap();
        assert!(reason.unwrap().len() < 512, "{key}");
    }
}

/// It runs to its end, because nothing had to start it, and then it can't arrive.
#[test]
fn ended_job_that_can_arrive_nowhere_says_so_once() {
    let mistake = "konductor.io/arrive: \"All Done\" is not the name of a Barrier: a name has lower-case \
                   letters, digits, `-` and `.`";
    let mut work = job(
        "work",
        json!({"konductor.io/arrive": "All Done"}),
        ended("Complete"),
    );
    let decision = decide(&work, &World::default());
    let expected = ("Complete".to_owned(), Some(mistake.to_owned()));
    assert_eq!(said(&decision), Some(expected));
    assert_eq!(decision.events.len(), 1);
    work["metadata"]["annotations"]["konductor.io/reason"] = mistake.into();
    assert_eq!(said(&decide(&work, &World::default())), None);
    // Why it failed is worth more.
    let failed = job(
        "work",
        json!({"konductor.io/arrive": "All Done"}),
        ended("Failed"),
    );
    let (phase, reason) = said(&decide(&failed, &World::default())).unwrap();
    assert_eq!((phase.as_str(), reason), ("Failed", None));
}
