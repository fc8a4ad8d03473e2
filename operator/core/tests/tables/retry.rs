//! What a retry recreates, and what it leaves.

use std::sync::Arc;

use crate::world::{ended, job, object};
use konductor_api::{Barrier, Gate, Participant, Run};
use konductor_core::retry::{Begin, Refused, Retry, retry};
use kube::ResourceExt;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

fn of_run(stage: &str, mut job: Value) -> Arc<Participant> {
    let role = if stage == "tidy" { "finally" } else { "main" };
    job["metadata"]["labels"] = json!({
        "konductor.io/run": "r", "konductor.io/stage": stage, "konductor.io/role": role,
    });
    job["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r"}]);
    Arc::new(read(job))
}

fn gate(name: &str, phase: &str, conditions: Value) -> Gate {
    let statuses: Vec<Value> = conditions
        .as_array()
        .unwrap()
        .iter()
        .map(|condition| {
            json!({"target": "", "message": "", "verdict": match phase {
                "Open" => "Met",
                "Skipped" => "Skipped",
                _ if condition["name"] == "side" => "Met",
                _ => "Failed",
            }})
        })
        .collect();
    let rest = json!({
        "spec": {"conditions": conditions},
        "status": {"phase": phase, "met": 0, "total": 1, "conditionStatuses": statuses},
    });
    read(object("Gate", name, rest))
}

/// `side` and `part` (of which an item failed) begin; `join` waits for both, `mend` for a failure,
/// `tail` for `side`, and `tidy` is a finally stage.
struct World {
    run: Run,
    jobs: Vec<Arc<Participant>>,
    gates: Vec<Gate>,
    barriers: Vec<Barrier>,
}

fn world() -> World {
    let waiting = |gate: &str, phase: &str, rest: Value| {
        let annotations = json!({"konductor.io/gate": gate, "konductor.io/phase": phase});
        move |name: &str| job(name, annotations.clone(), rest.clone())
    };
    let run = json!({
        "spec": {"pipeline": "p", "jobs": 6, "finallyJobs": 1, "attempt": 1},
        "status": {"phase": "Failed", "outcome": "Failed", "attempt": 1},
    });
    let barrier = json!({
        "spec": {"expected": 2, "jobs": {"matchLabels": {"konductor.io/stage": "part"}}},
        "status": {"phase": "Failed"},
    });
    World {
        run: read(object("Run", "r", run)),
        jobs: vec![
            of_run("side", job("side", json!({}), ended("Complete"))),
            of_run("part", job("part-a", json!({}), ended("Complete"))),
            of_run("part", job("part-b", json!({}), ended("Failed"))),
            of_run("join", waiting("join", "Unreached", json!({}))("join")),
            of_run(
                "mend",
                waiting("mend", "Running", ended("Complete"))("mend"),
            ),
            of_run(
                "tail",
                waiting("tail", "Running", ended("Complete"))("tail"),
            ),
            of_run(
                "tidy",
                waiting("tidy", "Running", ended("Complete"))("tidy"),
            ),
        ],
        gates: vec![
            gate(
                "join",
                "Unreached",
                json!([
                    {"type": "Job", "name": "side", "state": "Complete"},
                    {"type": "Barrier", "name": "part", "state": "Open"},
                ]),
            ),
            gate(
                "mend",
                "Open",
                json!([{"type": "Barrier", "name": "part", "state": "Failed"}]),
            ),
            gate(
                "tail",
                "Open",
                json!([{"type": "Job", "name": "side", "state": "Complete"}]),
            ),
            gate(
                "tidy",
                "Open",
                json!([{"type": "Run", "name": "r", "state": "Settled"}]),
            ),
        ],
        barriers: vec![read(object("Barrier", "part", barrier))],
    }
}

impl World {
    fn annotate(&mut self, index: usize, key: &str, value: &str) {
        Arc::make_mut(&mut self.jobs[index]).edit(|job| {
            job.annotations_mut().insert(key.into(), value.into());
        });
    }

    fn retry(&self, begin: Begin<'_>) -> Result<Retry, Refused> {
        retry(&self.run, &self.jobs, &self.gates, &self.barriers, begin)
    }
}

fn named(retry: &Retry) -> String {
    fn names<K: kube::ResourceExt>(objects: &[K]) -> String {
        let names: Vec<String> = objects.iter().map(K::name_any).collect();
        names.join(" ")
    }
    format!(
        "gates: {}; barriers: {}; jobs: {}",
        names(&retry.gates),
        names(&retry.barriers),
        names(&retry.jobs)
    )
}

#[test]
fn what_failed_is_recreated_with_everything_after_it_and_nothing_else() {
    let made = world().retry(Begin::Failed).unwrap();
    assert_eq!(made.attempt, 2);
    assert_eq!(
        named(&made),
        "gates: join mend tidy; barriers: part; jobs: part-b join mend tidy"
    );
    assert!(made.still_bad.is_empty(), "{:?}", made.still_bad);
}

#[test]
fn a_stage_is_recreated_with_what_kept_it_from_starting() {
    let world = world();
    let from = |stage| world.retry(Begin::Stage(stage)).map(|made| named(&made));
    assert_eq!(
        from("side").unwrap(),
        "gates: join mend tail tidy; barriers: part; jobs: side part-b join mend tail tidy",
        "join, after side, was kept from starting by part"
    );
    let made = world.retry(Begin::Stage("tail")).unwrap();
    assert_eq!(named(&made), "gates: tidy; barriers: ; jobs: tail tidy");
    assert_eq!(
        Vec::from_iter(made.still_bad),
        ["join", "part"],
        "these still fail the run"
    );
    assert_eq!(from("nothing"), Err(Refused::NoSuchStage));
}

#[test]
fn what_gathers_outputs_is_recreated_with_each_item_that_it_reads() {
    let mut world = world();
    let inputs = json!({"in-0": "part[*]/rows"}).to_string();
    world.annotate(5, "konductor.io/inputs", &inputs);
    let made = world.retry(Begin::Failed).unwrap();
    assert_eq!(
        named(&made),
        "gates: join mend tidy; barriers: part; jobs: part-b join mend tail tidy"
    );
}

#[test]
fn one_item_is_recreated_without_the_others_of_its_stage() {
    let mut world = world();
    world.annotate(1, "konductor.io/item", "a");
    world.annotate(2, "konductor.io/item", "b");
    let from = |item| {
        let stage = "part";
        let made = world.retry(Begin::Item { stage, item });
        made.map(|made| named(&made))
    };
    let after = "join mend tidy";
    assert_eq!(
        from("b").unwrap(),
        format!("gates: {after}; barriers: part; jobs: part-b {after}")
    );
    assert_eq!(
        from("a").unwrap(),
        format!("gates: {after}; barriers: part; jobs: part-a part-b {after}"),
        "join, after part, was kept from starting by part-b"
    );
    assert_eq!(from("c"), Err(Refused::NoSuchStage));
}

/// An Indexed Job of four, whose third has failed, in the place of `part-b`.
fn with_a_range() -> World {
    let mut world = world();
    let mut range = job("part-b", json!({}), ended("Failed"));
    range["spec"]["completionMode"] = "Indexed".into();
    range["spec"]["completions"] = 4.into();
    range["status"]["completedIndexes"] = "0,1,3".into();
    world.jobs[2] = of_run("part", range);
    world
}

#[test]
fn only_the_indexes_that_failed_run_again_unless_what_comes_before_does() {
    let world = with_a_range();
    let kept = |begin: Begin<'_>| {
        let made = world.retry(begin).unwrap();
        let range = made.jobs.iter().find(|job| job.name_any() == "part-b");
        let range = range.unwrap();
        assert_eq!(range.status, None);
        let kept = range.annotations().get("konductor.io/completed-indexes");
        let kept = kept.cloned().unwrap_or_default();
        let suspended = range.spec.as_ref().unwrap().suspend;
        assert_eq!(suspended, Some(true), "the operator starts it");
        kept
    };
    assert_eq!(kept(Begin::Failed), "0,1,3");
    assert_eq!(kept(Begin::Stage("part")), "", "the stage as a whole");
    assert_eq!(
        kept(Begin::Stage("side")),
        "0,1,3",
        "it does not come after side"
    );
    // The second retry.
    let mut again = with_a_range();
    again.annotate(2, "konductor.io/completed-indexes", "0");
    let made = again.retry(Begin::Failed).unwrap();
    let kept = made.jobs[0].annotations()["konductor.io/completed-indexes"].as_str();
    assert_eq!(kept, "0,1,3");
}

#[test]
fn a_range_that_comes_after_what_runs_again_runs_as_a_whole() {
    let mut world = with_a_range();
    // `part-b` reads what `side` has written.
    let inputs = json!({"in-0": "side/rows"}).to_string();
    world.annotate(2, "konductor.io/inputs", &inputs);
    let made = world.retry(Begin::Stage("side")).unwrap();
    let range = made.jobs.iter().find(|job| job.name_any() == "part-b");
    let kept = range
        .unwrap()
        .annotations()
        .get("konductor.io/completed-indexes");
    assert_eq!(kept, None);
}

#[test]
fn a_run_that_has_not_ended_or_has_lost_a_job_is_not_retried() {
    let mut going = world();
    going.run.spec.attempt = 2;
    assert_eq!(going.retry(Begin::Failed), Err(Refused::NotEnded));
    let mut lost = world();
    lost.jobs.remove(1);
    assert_eq!(
        lost.retry(Begin::Failed),
        Err(Refused::JobsGone { gone: 1 })
    );
    let mut good = world();
    good.run.status = read(json!({"phase": "Succeeded", "outcome": "Succeeded", "attempt": 1}));
    assert_eq!(good.retry(Begin::Failed), Err(Refused::NothingFailed));
    assert!(good.retry(Begin::Stage("tail")).is_ok());
}

#[test]
fn a_job_is_made_as_it_was_before_anything_happened_to_it() {
    let mut world = world();
    let old = json!({
        "metadata": {
            "annotations": {
                "konductor.io/gate": "join",
                "konductor.io/content-hash": "h",
                "konductor.io/inputs": r#"{"in-0": "part-a/rows", "in-1": "part-b/rows"}"#,
                "konductor.io/presets": r#"{"konductor.io/in-1": "7"}"#,
                "konductor.io/outputs": "{}",
                "konductor.io/phase": "Complete",
                "konductor.io/reason": "x",
                "batch.kubernetes.io/job-tracking": "",
            },
            "finalizers": ["foregroundDeletion"],
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {
            "suspend": false,
            "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}},
            "backoffLimit": 2,
            "template": {
                "metadata": {
                    "labels": {"mine": "1", "controller-uid": "u", "job-name": "join",
                        "batch.kubernetes.io/controller-uid": "u",
                        "batch.kubernetes.io/job-name": "join"},
                    "annotations": {"konductor.io/in-0": "1", "konductor.io/in-1": "2",
                        "token.konductor.io/ledger": "9", "mine": "1"},
                },
                "spec": {"containers": [{"name": "main", "image": "busybox"}]},
            },
        },
        "status": {"conditions": [{"type": "Failed", "status": "True"}]},
    });
    world.jobs[3] = of_run("join", object("Job", "join", old));
    let made = world.retry(Begin::Stage("join")).unwrap();
    let job = made
        .jobs
        .iter()
        .find(|job| job.metadata.name.as_deref() == Some("join"));
    assert_eq!(
        serde_json::to_value(job.unwrap()).unwrap(),
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": "join",
                "namespace": "ns",
                "uid": "uid-join",
                "labels": {"konductor.io/run": "r", "konductor.io/stage": "join",
                    "konductor.io/role": "main"},
                "ownerReferences": [{"apiVersion": "konductor.io/v1", "kind": "Run",
                    "name": "r", "uid": "uid-r"}],
                "annotations": {
                    "konductor.io/gate": "join",
                    "konductor.io/attempt": "2",
                    "konductor.io/content-hash": "h",
                    "konductor.io/inputs": r#"{"in-0": "part-a/rows", "in-1": "part-b/rows"}"#,
                    "kueue.x-k8s.io/admission-gated-by": "konductor.io/gate",
                },
            },
            "spec": {
                "suspend": true,
                "backoffLimit": 2,
                "template": {
                    "metadata": {
                        "labels": {"mine": "1"},
                        "annotations": {"konductor.io/in-1": "7", "mine": "1"},
                    },
                    "spec": {"containers": [{"name": "main", "image": "busybox"}]},
                },
            },
        })
    );
}

#[test]
fn nobodys_decision_is_taken_over() {
    let mut world = world();
    world.gates[0].spec.decision = Some(konductor_api::GateDecision::Failed);
    let made = world.retry(Begin::Failed).unwrap();
    assert_eq!(made.gates[0].spec.decision, None);
    assert!(made.gates.iter().all(|gate| gate.status.is_none()));
    assert!(made.barriers.iter().all(|barrier| barrier.status.is_none()));
}

/// Of a Job with items only those run again that failed, over the same list; what the others wrote stays. Where what
/// they wrote is not known, all run again, over the list that is written then.
#[test]
fn only_the_items_that_failed_run_again_over_the_same_list() {
    let count = |outputs: Option<&str>| {
        let mut annotations = json!({
            "konductor.io/gate": "count", "konductor.io/phase": "Failed",
            "konductor.io/items": r#"{"of": "side/parts", "parallel": 2}"#,
            "konductor.io/outputs-declared": "n: int",
        });
        annotations["konductor.io/outputs"] = outputs.unwrap_or("{}").into();
        if outputs.is_none() {
            // Their pods were gone.
            annotations["konductor.io/outputs-kept"] = " {}".into();
        }
        let mut rest = ended("Failed");
        rest["status"]["completedIndexes"] = "0,2".into();
        rest["spec"] = json!({
            "completionMode": "Indexed", "completions": 3, "parallelism": 2,
            "template": {"metadata": {"annotations": {"konductor.io/items": r#"["a","b","c"]"#}}},
        });
        of_run("part", job("part-b", annotations, rest))
    };
    let outputs = r#"{"n":"[1,null,3]"}"#;
    let list = Some(r#"["a","b","c"]"#);
    let kept = Some(r#"0,2 {"n":"[1,null,3]"}"#);
    for (outputs, begin, completions, parallelism, list, indexes, kept) in [
        (Some(outputs), Begin::Failed, 3, 2, list, Some("0,2"), kept),
        (None, Begin::Failed, 1, 1, None, None, None),
        (Some(outputs), Begin::Stage("part"), 1, 1, None, None, None),
        (Some(outputs), Begin::Stage("side"), 1, 1, None, None, None),
    ] {
        let mut world = world();
        world.jobs[2] = count(outputs);
        let made = world.retry(begin).unwrap();
        let mut again = made.jobs.into_iter();
        let again = again.find(|job| job.name_any() == "part-b").unwrap();
        let spec = again.spec.clone().unwrap();
        assert_eq!(spec.suspend, Some(true));
        assert_eq!(
            (spec.completions, spec.parallelism),
            (Some(completions), Some(parallelism))
        );
        let again = Participant::of(again);
        assert_eq!(again.item_list(), list);
        assert_eq!(again.completed_indexes(), indexes);
        let annotations = again.annotations();
        let text = annotations
            .get("konductor.io/outputs-kept")
            .map(String::as_str);
        assert_eq!(text, kept);
        assert_eq!(annotations.get("konductor.io/outputs"), None);
    }
}

/// `w` has succeeded and is gone; `m`, of which an item failed, and `z`, a finally stage, read what it wrote.
#[test]
fn a_retry_is_refused_if_what_it_would_read_is_gone() {
    let source = of_run("w", job("r-w", json!({}), ended("Complete")));
    let reader = |stage: &str, inputs: Value, condition: &str| {
        let annotations = json!({"konductor.io/inputs": inputs.to_string()});
        of_run(
            stage,
            job(&format!("r-{stage}"), annotations, ended(condition)),
        )
    };
    let failed = |inputs| reader("m", inputs, "Failed");
    let tidy = |inputs| reader("tidy", inputs, "Complete");
    let mut with_default = (*tidy(json!({"in-0": "r-w/n"}))).clone();
    with_default.edit(|job| {
        let presets = json!({"konductor.io/in-0": "0"}).to_string();
        job.annotations_mut()
            .insert("konductor.io/presets".into(), presets);
        let template = &mut job.spec.as_mut().unwrap().template;
        let metadata = template.metadata.get_or_insert_default();
        let value = ("konductor.io/in-0".to_owned(), "5".to_owned());
        metadata.annotations = Some([value].into());
    });
    for (readers, expected) in [
        (vec![failed(json!({"in-0": "r-w/n"}))], false),
        (vec![failed(json!({"in-0": "w[*]/n"}))], false),
        (vec![failed(json!({"in-0": "w[*]/n = 0"}))], false),
        (
            vec![failed(json!({})), tidy(json!({"in-0": "w[*]/n"}))],
            false,
        ),
        (
            vec![failed(json!({})), tidy(json!({"in-0": "r-w/n"}))],
            false,
        ),
        (vec![failed(json!({})), Arc::new(with_default)], true),
        (vec![failed(json!({}))], true),
    ] {
        let all: Vec<Value> = [&source]
            .into_iter()
            .chain(&readers)
            .map(|job| {
                let mut value = serde_json::to_value(&***job).unwrap();
                value["kind"] = "Job".into();
                value
            })
            .collect();
        let finally = readers.iter().filter(|job| job.stage() == "tidy").count();
        let spec = json!({"spec": {
            "pipeline": "p", "jobs": all.len() - finally, "finallyJobs": finally,
        }});
        let mut run = crate::world::recorded(object("Run", "r", spec), &all);
        run["status"]["phase"] = "Failed".into();
        run["status"]["outcome"] = "Failed".into();
        let run: Run = read(run);
        let made = |jobs: &[Arc<Participant>], begin| retry(&run, jobs, &[], &[], begin);
        let refused = made(&readers, Begin::Failed);
        let gone = Refused::OutputsGone {
            stages: ["w".to_owned()].into(),
            from: None,
        };
        match expected {
            true => assert!(refused.is_ok(), "{refused:?}"),
            false => assert_eq!(refused, Err(gone), "{readers:?}"),
        }
        // Beside it, everything is there.
        let mut all = readers.clone();
        all.push(Arc::clone(&source));
        assert!(made(&all, Begin::Failed).is_ok());
        // It was created again: a retry can begin with it.
        let mut again = (*source).clone();
        again.edit(|job| job.metadata.uid = Some("another".to_owned()));
        let mut replaced = readers.clone();
        replaced.push(Arc::new(again));
        match made(&replaced, Begin::Failed) {
            Err(Refused::OutputsGone { from, .. }) if !expected => {
                assert_eq!(from.as_deref(), Some("w"));
                let from = made(&replaced, Begin::Stage("w")).unwrap();
                let names: Vec<String> = from.jobs.iter().map(ResourceExt::name_any).collect();
                assert!(names.contains(&"r-w".to_owned()), "{names:?}");
            }
            other => {
                // It counts as it had ended, and stays.
                let names: Vec<String> = other
                    .unwrap()
                    .jobs
                    .iter()
                    .map(ResourceExt::name_any)
                    .collect();
                assert!(expected && !names.contains(&"r-w".to_owned()), "{names:?}");
            }
        }
    }
}
