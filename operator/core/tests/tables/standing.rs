//! A Run among its objects: where its Jobs stand, in which order its stages come, and what waits for what.

use std::time::{Duration, Instant};

use crate::world::now;
use k8s_openapi::api::batch::v1::Job;
use konductor_api::Participant;
use konductor_core::job::waits_for;
use konductor_core::run_graph::Place;
use konductor_core::standing::{ItemStanding, Standing, State};
use konductor_core::{HeldBack, Listed, RunObjects, Waits};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn metadata(name: &str, stage: Option<&str>) -> Value {
    let mut labels = json!({"konductor.io/run": "r"});
    if let Some(stage) = stage {
        labels["konductor.io/stage"] = stage.into();
    }
    json!({"name": name, "namespace": "ns", "uid": format!("uid-{name}"), "labels": labels})
}

fn job(name: &str, stage: &str, annotations: Value) -> Participant {
    let mut metadata = metadata(name, Some(stage));
    metadata["annotations"] = annotations;
    read(json!({"metadata": metadata, "spec": {"suspend": true, "template": {}}}))
}

fn gate<T: DeserializeOwned>(name: &str, mode: &str, conditions: Value) -> T {
    let statuses: Vec<Value> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|_| json!({"target": "", "message": "waits", "verdict": "Pending"}))
        .collect();
    read(json!({
        "metadata": metadata(name, None), "spec": {"mode": mode, "conditions": conditions},
        "status": {"phase": "Waiting", "met": 0, "total": 1, "conditionStatuses": statuses},
    }))
}

fn barrier<T: DeserializeOwned>(name: &str, spec: Value) -> T {
    read(json!({"metadata": metadata(name, None), "spec": spec}))
}

fn behind(gate: &str) -> Value {
    json!({ "konductor.io/gate": gate })
}

/// `load-2` and `load-10` follow `fetch`; `ask` is asked after both, `ship` follows it or a Gate that somebody
/// opens, and `tidy` is a finally stage whose name comes first.
fn objects() -> RunObjects {
    let on =
        |kind: &str, name: &str, state: &str| json!({"type": kind, "name": name, "state": state});
    let mut tidy = job("r-a-tidy", "a-tidy", behind("settled"));
    tidy.edit(|job| {
        let labels = job.metadata.labels.get_or_insert_default();
        labels.insert("konductor.io/role".to_owned(), "finally".to_owned());
    });
    RunObjects::from(Listed {
        jobs: vec![
            job("r-ship", "ship", behind("after-ask")),
            tidy,
            job("r-load-10", "load-10", behind("fetched")),
            job("r-load-2", "load-2", behind("fetched")),
            job("r-fetch-b", "fetch", json!({})),
            job("r-fetch-a", "fetch", json!({})),
        ],
        gates: vec![
            gate("fetched", "All", json!([on("Barrier", "r-fetch", "Open")])),
            gate(
                "before-ask",
                "All",
                json!([
                    on("Job", "r-load-2", "Complete"),
                    on("Job", "r-load-10", "Failed"),
                ]),
            ),
            gate(
                "after-ask",
                "Any",
                json!([on("Barrier", "r-ask", "Open"), on("Gate", "go", "Open")]),
            ),
            gate("go", "All", json!([])),
            gate("settled", "All", json!([on("Run", "r", "Settled")])),
        ],
        barriers: vec![
            barrier(
                "r-fetch",
                json!({"expected": 2, "jobs": {"matchLabels": {
                    "konductor.io/run": "r", "konductor.io/stage": "fetch",
                }}}),
            ),
            barrier(
                "r-ask",
                json!({"expected": 1, "arrivals": "Verified", "gate": "before-ask"}),
            ),
        ],
        ..Listed::default()
    })
}

/// Each is a Job that nothing of konductor starts: the decision about it is empty, and says why.
#[test]
fn job_that_konductor_does_not_start_says_what_it_waits_for() {
    let edited = |annotations: Value, edit: fn(&mut Job)| {
        let mut job = job("a", "a", annotations);
        job.edit(edit);
        job
    };
    let phase = |phase: &str| json!({ "konductor.io/phase": phase });
    let queue = |job: &mut Job| {
        let labels = job.metadata.labels.get_or_insert_default();
        labels.insert("kueue.x-k8s.io/queue-name".to_owned(), "batch".to_owned());
    };
    let deletion = |job: &mut Job| {
        job.metadata.deletion_timestamp = job.metadata.creation_timestamp.clone();
        job.metadata
            .deletion_timestamp
            .get_or_insert(read(json!(crate::world::NOW)));
    };
    let admission = || Waits::Admission("batch".to_owned());
    let table = [
        (
            edited(json!({}), |_| {}),
            Some(Waits::Run(HeldBack::NoRun)),
            State::Waiting,
        ),
        (
            edited(json!({}), |job| job.metadata.labels = None),
            Some(Waits::Suspended),
            State::Suspended,
        ),
        (edited(json!({}), queue), Some(admission()), State::Pending),
        (
            edited(phase("Running"), queue),
            Some(admission()),
            State::Pending,
        ),
        (
            edited(phase("Paused"), |_| {}),
            Some(Waits::Run(HeldBack::Paused)),
            State::Paused,
        ),
        (
            edited(json!({"konductor.io/gate": "g"}), deletion),
            Some(Waits::Deletion),
            State::Waiting,
        ),
        (
            edited(json!({}), |job| {
                job.spec.get_or_insert_default().suspend = Some(false)
            }),
            None,
            State::Pending,
        ),
    ];
    let objects = RunObjects::default();
    for (job, waits, state) in table {
        let said = waits_for(&job, |fact| objects.answer(fact), now());
        assert_eq!(said, waits, "{:?}", job.metadata);
        let standing = Standing::of(&job, &objects, now());
        assert_eq!(standing.state, state, "{:?}", job.metadata);
        assert_eq!(
            standing.why.is_empty(),
            waits.is_none() || state == State::Paused
        );
    }
}

#[test]
fn stages_come_after_what_they_wait_for_and_edges_say_which_end() {
    let objects = objects();
    let overview = objects.graph().overview();
    let names: Vec<String> = overview
        .places
        .iter()
        .map(|place| match place {
            Place::Stage { name, jobs } => format!("{name} {}", jobs.len()),
            Place::Approval(barrier) => format!("{:?}", barrier.metadata.name),
            Place::Gate(gate) => format!("gate {:?}", gate.metadata.name),
            Place::Elsewhere(words) => words.clone(),
        })
        .collect();
    let expected = [
        "fetch 2",
        "load-2 1",
        "load-10 1",
        "ship 1",
        "a-tidy 1",
        "Some(\"r-ask\")",
        "gate Some(\"go\")",
    ];
    assert_eq!(names, expected);
    let edges = overview.edges.iter();
    let edges: Vec<_> = edges.map(|edge| (edge.from, edge.to, edge.label)).collect();
    let expected = [
        (0, 1, ""),
        (0, 2, ""),
        (5, 3, "any"),
        (6, 3, "any"),
        (1, 5, ""),
        (2, 5, "failed"),
    ];
    assert_eq!(edges, expected);
}

#[test]
fn objects_that_wait_for_each_other_have_a_place_in_the_order_too() {
    let on = |name: &str| json!([{"type": "Job", "name": name, "state": "Complete"}]);
    let objects = RunObjects::from(Listed {
        jobs: vec![
            job("a", "a", behind("ga")),
            job("b", "b", behind("gb")),
            job("c", "c", json!({})),
        ],
        gates: vec![gate("ga", "All", on("b")), gate("gb", "All", on("a"))],
        ..Listed::default()
    });
    let overview = objects.graph().overview();
    let names = overview.places.iter().map(|place| match place {
        Place::Stage { name, .. } => *name,
        other => panic!("{other:?}"),
    });
    assert_eq!(names.collect::<Vec<_>>(), ["c", "a", "b"]);
}

#[test]
fn ten_thousand_jobs_are_explained_within_a_second() {
    const JOBS: usize = 10_000;
    let name = |index: usize| format!("r-work-{index}");
    let pod = |index: usize| {
        read(json!({
            "metadata": {"name": name(index), "uid": format!("pod-{index}"), "ownerReferences": [
                {"apiVersion": "batch/v1", "kind": "Job", "name": name(index),
                    "uid": format!("uid-{}", name(index)), "controller": true},
            ]},
            "status": {"phase": "Pending"},
        }))
    };
    let event = |index: usize| {
        read(json!({
            "metadata": {}, "reason": "FailedMount", "message": "no such volume",
            "involvedObject": {"uid": format!("pod-{index}")},
        }))
    };
    // One half was started, and its pods can't start. The other waits for all of it, with a Gate each.
    let waits = |index: usize| index.is_multiple_of(2);
    let job = |index: usize| match waits(index) {
        true => job(&name(index), "work", behind(&name(index))),
        false => {
            let phase = json!({"konductor.io/phase": "Running"});
            let mut job = job(&name(index), "load", phase);
            job.edit(|job| job.spec.get_or_insert_default().suspend = Some(false));
            job
        }
    };
    let condition = json!([{"type": "Barrier", "name": "r-load", "state": "Open"}]);
    let gate = |index: usize| gate(&name(index), "All", condition.clone());
    let load = json!({"matchLabels": {"konductor.io/stage": "load"}});
    let listed = || Listed {
        jobs: (0..JOBS).map(job).collect(),
        gates: (0..JOBS).filter(|index| waits(*index)).map(gate).collect(),
        barriers: vec![barrier(
            "r-load",
            json!({"expected": JOBS / 2, "jobs": load}),
        )],
        pods: (0..JOBS).filter(|index| !waits(*index)).map(pod).collect(),
        events: (0..JOBS)
            .filter(|index| !waits(*index))
            .map(event)
            .collect(),
        ..Listed::default()
    };
    let once = || {
        let listed = listed();
        let begin = Instant::now();
        let objects = RunObjects::from(listed);
        let standings: Vec<Standing> = objects
            .jobs()
            .iter()
            .map(|job| Standing::of(job, &objects, now()))
            .collect();
        let overview = objects.graph().overview();
        let took = begin.elapsed();
        for (index, standing) in standings.iter().enumerate() {
            match waits(index) {
                true => assert_eq!(standing.waits, Some(Waits::Gate(name(index)))),
                false => assert_eq!(
                    (standing.state, standing.why.as_str()),
                    (State::Pending, "FailedMount: no such volume")
                ),
            }
        }
        assert_eq!((overview.places.len(), overview.edges.len()), (2, 1));
        took
    };
    // The best of three, as others use this machine too.
    let took = once().min(once()).min(once());
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn state_of_a_stage_is_its_end_by_the_table_of_outcomes() {
    use State::{Cancelled, Failed, Running, Skipped, Succeeded, Unreached, Waiting};
    for (states, quorum, expected) in [
        (vec![Succeeded, Skipped], None, Succeeded),
        (vec![Skipped, Skipped], None, Skipped),
        (vec![Succeeded, Failed, Unreached], None, Failed),
        (vec![Succeeded, Unreached, Cancelled], None, Cancelled),
        (vec![Succeeded, Unreached, Skipped], None, Unreached),
        (vec![Succeeded, Succeeded, Failed], Some(2), Succeeded),
        (vec![Succeeded, Failed, Skipped], Some(2), Failed),
        (vec![Succeeded, Skipped, Skipped], Some(2), Skipped),
        (vec![Succeeded, Running, Failed], Some(1), Running),
        (vec![Failed, Running, Waiting], None, Failed),
        (vec![Succeeded, Waiting, Running], None, Running),
        (vec![], None, Waiting),
    ] {
        let state = State::of_stage(states.iter().copied(), quorum);
        assert_eq!(state, expected, "{states:?} {quorum:?}");
    }
}

/// A stage whose Job was deleted is shown as its run's record knows it.
#[test]
fn deleted_jobs_of_a_run_are_shown_as_the_record_knows_them() {
    let labels = |stage: &str| json!({"konductor.io/run": "r", "konductor.io/stage": stage});
    let owner =
        json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}]);
    let job = |name: &str, stage: &str, phase: &str| {
        let mut job = crate::world::job(name, json!({"konductor.io/phase": phase}), json!({}));
        job["metadata"]["labels"] = labels(stage);
        job["metadata"]["ownerReferences"] = owner.clone();
        job
    };
    let mut complete = job("r-first", "first", "Complete");
    complete["status"] = json!({"conditions": [{"type": "Complete", "status": "True"}]});
    let jobs = [
        complete,
        job("r-load", "load", "Running"),
        job("r-part-eu-west", "part", "Skipped"),
        job("r-part-us", "part", "Running"),
        job("r-last", "last", "Unreached"),
        job("r-stays", "stays", "Running"),
    ];
    let run = crate::world::object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 6}}));
    let decide = |run: &serde_json::Value, world: &crate::world::World| {
        let mut world = world.clone();
        world.live.add(run.clone());
        let typed: konductor_api::Run = serde_json::from_value(run.clone()).unwrap();
        let (decision, _) =
            world.decide(|facts| konductor_core::run::decide(&typed, facts, crate::world::now()));
        let mut run = run.clone();
        run["status"] = serde_json::to_value(decision.status.unwrap()).unwrap();
        run
    };
    let mut all = crate::world::World::of(jobs);
    let mut run = decide(&run, &all);
    for name in ["r-first", "r-load", "r-part-eu-west", "r-part-us", "r-last"] {
        all = all.without_unseen(name);
    }
    run = decide(&run, &all);
    let on = |name: &str| json!({"type": "Job", "name": name, "state": "Complete"});
    let objects = RunObjects::from(Listed {
        run: serde_json::from_value(run).unwrap(),
        jobs: all.live.jobs.iter().map(|job| (**job).clone()).collect(),
        gates: vec![gate("r-stays", "All", json!([on("r-part-eu-west")]))],
        ..Listed::default()
    });
    let lines: Vec<String> = objects
        .jobs_and_gone()
        .skip(1)
        .map(|job| {
            let standing = Standing::of(job, &objects, crate::world::now());
            let item = job.item().unwrap_or_default();
            format!(
                "{} {}[{item}] {:?}: {}",
                job.name(),
                job.stage(),
                standing.state,
                standing.why
            )
        })
        .collect();
    let before = "Deleted: its Job was deleted before it had ended";
    let after = "its Job was deleted after it had ended";
    assert_eq!(
        lines,
        [
            &format!("part-?1 part[?] Cancelled: {before}"),
            &format!("r-first first[] Succeeded: {after}"),
            &format!("r-last last[] Unreached: {after}"),
            &format!("r-load load[] Cancelled: {before}"),
            &format!("r-part-eu-west part[eu-west] Skipped: {after}"),
        ]
        .map(String::as_str)
    );
    assert_eq!(objects.jobs().len(), 1, "those that exist");
    // A decision is made by what exists alone.
    let name = konductor_core::ObjectName::new("ns", "r-load");
    let answer = objects.answer(&konductor_core::Fact::Job(name));
    assert!(matches!(answer, konductor_core::Objects::Jobs(jobs) if jobs.is_empty()));
}

/// A Job with the items `a` to `f`, and its pods by index, each with its phase and perhaps an exit code.
fn listed(status: Value, phase: &str, pods: &[(u32, &str, Option<i32>)]) -> Vec<String> {
    let mut metadata = metadata("r-count", Some("count"));
    metadata["annotations"] = json!({
        "konductor.io/phase": phase, "konductor.io/items": "{\"of\": \"r-split/parts\"}",
    });
    let list = json!(["a", "b", {"id": "c", "n": 1}, "d", "e", "f"]).to_string();
    let job: Participant = read(json!({
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed", "completions": 6, "backoffLimitPerIndex": 1,
            "template": {"metadata": {"annotations": {"konductor.io/items": list}}},
        },
        "status": status,
    }));
    let pod = |(place, (index, phase, code)): (usize, &(u32, &str, Option<i32>))| {
        let ended = code.map(|code| {
            json!([{"name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                    "state": {"terminated": {"exitCode": code}}}])
        });
        read(json!({
            "metadata": {
                "name": format!("pod-{place}"), "namespace": "ns", "uid": format!("uid-pod-{place}"),
                "creationTimestamp": format!("2026-01-01T00:00:{place:02}Z"),
                "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()},
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": "r-count",
                                     "uid": "uid-r-count", "controller": true}],
            },
            "status": {"phase": phase, "containerStatuses": ended},
        }))
    };
    let objects = RunObjects::from(Listed {
        jobs: vec![job],
        pods: pods.iter().enumerate().map(pod).collect(),
        ..Listed::default()
    });
    let items = ItemStanding::all(&objects.jobs()[0], &objects).into_iter();
    items
        .map(|item| format!("{} {} {}", item.name, item.state.word(), item.why))
        .map(|line| line.trim_end().to_owned())
        .collect()
}

#[test]
fn items_of_a_list_stand_where_their_indexes_do() {
    let status = json!({"completedIndexes": "0", "failedIndexes": "1"});
    let pods = [
        (0, "Succeeded", Some(0)),
        (1, "Failed", Some(1)),
        (1, "Failed", Some(2)),
        (2, "Running", None),
        (3, "Pending", None),
        (4, "Failed", Some(3)),
    ];
    assert_eq!(
        listed(status.clone(), "Running", &pods),
        [
            "a succeeded",
            "b failed exit code 2",
            "c running",
            "d pending",
            "e pending its last pod failed, and another one follows: exit code 3",
            "f waiting waits for its turn",
        ]
    );
    // It ran longer than its timeout.
    let mut failed = status;
    failed["conditions"] =
        json!([{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]);
    let before = "cancelled its stage failed before";
    assert_eq!(
        listed(failed, "Failed", &[]),
        [
            "a succeeded".to_owned(),
            "b failed".to_owned(),
            format!("c {before}"),
            format!("d {before}"),
            format!("e {before}"),
            format!("f {before}"),
        ]
    );
}

/// A state lasts since what the objects have stored of it, which is seldom the Job's creation; and nobody guesses.
#[test]
fn a_state_lasts_since_a_time_that_is_stored() {
    let at = |second: u32| format!("2026-01-01T00:00:{second:02}Z");
    let gate = |phase: &str, finished: Option<u32>| {
        read(json!({
            "metadata": metadata("r-go", None), "spec": {"mode": "All", "conditions": []},
            "status": {"phase": phase, "met": 0, "total": 1, "finishedAt": finished.map(at)},
        }))
    };
    let job = |annotations: Value, status: Value| -> Participant {
        let mut metadata = metadata("r-work", Some("work"));
        metadata["creationTimestamp"] = at(0).into();
        metadata["annotations"] = annotations;
        read(json!({
            "metadata": metadata, "spec": {"suspend": true, "template": {}}, "status": status,
        }))
    };
    let phase = |phase: &str| json!({ "konductor.io/phase": phase });
    let suspended = |second: u32| {
        json!({"conditions": [
            {"type": "Suspended", "status": "True", "lastTransitionTime": at(second)},
        ]})
    };
    let behind = |state: &str| json!({"konductor.io/phase": state, "konductor.io/gate": "r-go"});
    let timed = |state: &str, times: String| {
        json!({
            "konductor.io/phase": state, "konductor.io/gate": "r-go", "konductor.io/times": times,
        })
    };
    let ran = format!("ran {} {}", at(4), at(9));
    let ended = format!("{ran}, ended {}", at(12));
    let open = || Some(gate("Open", Some(3)));
    let table = [
        (
            behind("Waiting"),
            json!({}),
            Some(gate("Waiting", None)),
            Some(0),
        ),
        (behind("Queued"), json!({}), open(), Some(3)),
        (phase("Queued"), json!({}), None, Some(0)),
        // Its Gate is gone, or an older operator opened it.
        (behind("Queued"), json!({}), None, None),
        (behind("Queued"), json!({}), Some(gate("Open", None)), None),
        // Somebody suspended it after its start.
        (timed("Queued", ran.clone()), suspended(9), open(), Some(9)),
        (timed("Queued", ran.clone()), json!({}), open(), None),
        (phase("Running"), suspended(7), None, Some(7)),
        (phase("Running"), json!({}), None, None),
        // Its Run has been paused since 8.
        (phase("Paused"), json!({}), None, Some(8)),
        (timed("Paused", ran), json!({}), open(), Some(9)),
        (
            timed("Cancelled", ended.clone()),
            json!({}),
            open(),
            Some(12),
        ),
        (phase("Cancelled"), json!({}), None, None),
        (
            behind("Unreached"),
            json!({}),
            Some(gate("Unreached", Some(5))),
            Some(5),
        ),
        (
            behind("Skipped"),
            json!({}),
            Some(gate("Skipped", Some(6))),
            Some(6),
        ),
        (timed("Unreached", ended), json!({}), None, Some(12)),
        (behind("Skipped"), json!({}), None, None),
    ];
    let mut run = crate::world::object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
    run["status"] = json!({"phase": "Paused", "attempt": 1, "pausedAt": at(8)});
    for (annotations, status, gate, expected) in table {
        let said = format!("{annotations} {status}");
        let objects = RunObjects::from(Listed {
            run: read(run.clone()),
            jobs: vec![job(annotations, status)],
            gates: gate.into_iter().collect(),
            ..Listed::default()
        });
        let standing = Standing::of(&objects.jobs()[0], &objects, now());
        let since = standing.since.map(|time| time.to_string());
        assert_eq!(since, expected.map(at), "{said}");
    }
}

/// The items of `for i in 0..<4` have no names, but each has its own state.
#[test]
fn items_of_a_range_stand_where_their_indexes_do() {
    let ranged = |mode: &str, annotations: Value| {
        let mut metadata = metadata("r-d", Some("d"));
        metadata["annotations"] = annotations;
        let job: Participant = read(json!({
            "metadata": metadata,
            "spec": {
                "completionMode": mode, "completions": 4, "backoffLimitPerIndex": 0, "template": {},
            },
            "status": {
                "completedIndexes": "0,2", "failedIndexes": "1", "startTime": crate::world::NOW,
            },
        }));
        let objects = RunObjects::from(Listed {
            jobs: vec![job],
            ..Listed::default()
        });
        let items = ItemStanding::all(&objects.jobs()[0], &objects).into_iter();
        let words = items.map(|item| format!("{} {}", item.name, item.state.word()));
        words.collect::<Vec<_>>().join(", ")
    };
    let phase = json!({"konductor.io/phase": "Running"});
    assert_eq!(
        ranged("Indexed", phase.clone()),
        "0 succeeded, 1 failed, 2 succeeded, 3 waiting"
    );
    assert_eq!(ranged("NonIndexed", phase), "");
    // It does not have its list yet.
    let listed = json!({"konductor.io/items": "{\"of\": \"r-split/parts\"}"});
    assert_eq!(ranged("Indexed", listed), "");
}
