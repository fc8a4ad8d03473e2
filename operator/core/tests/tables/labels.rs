//! Tables of Jobs whose labels somebody has removed or changed.

use crate::interference::{decide, owned};
use crate::world::{World, ended, job, now, object, recorded};
use konductor_core::Write;
use serde_json::{Value, json};

#[test]
fn a_job_gets_the_labels_back_by_which_its_run_finds_it() {
    let labels = json!({
        "konductor.io/run": "r", "konductor.io/stage": "load", "konductor.io/role": "finally",
    });
    let mut work = job("work", json!({"konductor.io/gate": "ready"}), json!({}));
    work["metadata"]["labels"] = labels.clone();
    work["metadata"]["ownerReferences"] = owned();
    let spec = json!({"spec": {"pipeline": "p", "jobs": 0, "finallyJobs": 1}});
    let run = recorded(object("Run", "r", spec), [&work]);
    let written = |work: &Value, run: &Value| {
        let decision = decide(work, &World::of([work.clone(), run.clone()]));
        match decision.before.first() {
            Some(Write::Patch { body, .. }) => body["metadata"]["labels"].clone(),
            _ => Value::Null,
        }
    };
    assert_eq!(written(&work, &run), Value::Null);
    for labels_before in [
        json!({}),
        json!({"konductor.io/run": "other", "konductor.io/stage": "x"}),
        json!({"konductor.io/stage": "load"}),
    ] {
        work["metadata"]["labels"] = labels_before;
        assert_eq!(written(&work, &run), labels);
        // A Run owns what is no part of it, too, and another Run may have its name.
        let mut unrecorded = run.clone();
        unrecorded["status"]["record"] = "".into();
        assert_eq!(written(&work, &unrecorded), Value::Null);
        let mut replaced = run.clone();
        replaced["metadata"]["uid"] = "uid-other".into();
        assert_eq!(written(&work, &replaced), Value::Null);
    }
}

/// Between the removal of the label and its return, the Run finds the Job by its owner reference alone.
#[test]
fn a_job_without_the_label_of_its_run_does_not_count_as_deleted() {
    let mut work = job(
        "work",
        json!({"konductor.io/phase": "Running"}),
        json!({"spec": {"suspend": false}}),
    );
    work["metadata"]["labels"] = json!({"konductor.io/run": "r"});
    work["metadata"]["ownerReferences"] = owned();
    let run = recorded(
        object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}})),
        [&work],
    );
    let labelled = |labels: Value| {
        let mut work = work.clone();
        work["metadata"]["labels"] = labels;
        work
    };
    let mut other = labelled(json!({}));
    other["metadata"]["uid"] = "uid-other".into();
    let mut ended = labelled(json!({}));
    ended["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
    let with = json!({"konductor.io/run": "r"});
    let table = [
        // What the watch has shown last, what is so, and how many count as deleted.
        (
            Some(labelled(json!({}))),
            Some(labelled(json!({}))),
            0,
            "Running",
        ),
        (
            Some(labelled(json!({"konductor.io/run": "s"}))),
            Some(labelled(json!({}))),
            0,
            "Running",
        ),
        (
            Some(labelled(with.clone())),
            Some(labelled(json!({}))),
            0,
            "Running",
        ),
        (
            Some(labelled(json!({}))),
            Some(labelled(with)),
            0,
            "Running",
        ),
        (Some(ended.clone()), Some(ended), 0, "Succeeded"),
        // Another Job of its name is another Job.
        (Some(other.clone()), Some(other), 1, "Failed"),
        (None, None, 1, "Failed"),
    ];
    for (cached, live, deleted, phase) in table {
        let mut world = World::of([run.clone()]);
        for (side, job) in [(&mut world.cached, cached.clone()), (&mut world.live, live)] {
            if let Some(job) = job {
                side.add(job);
            }
        }
        let typed = serde_json::from_value(run.clone()).unwrap();
        let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
        let status = decision.status.or(typed.status).unwrap();
        let deleted_and_phase = (status.deleted, format!("{:?}", status.phase));
        assert_eq!(deleted_and_phase, (deleted, phase.to_owned()), "{cached:?}");
    }
}

#[test]
fn a_job_that_is_deleted_without_the_label_of_its_run_has_ended_as_it_had() {
    let mut work = job("work", json!({}), ended("Complete"));
    work["metadata"]["ownerReferences"] = owned();
    let mut labelled = work.clone();
    labelled["metadata"]["labels"] = json!({"konductor.io/run": "r"});
    labelled.as_object_mut().unwrap().remove("status");
    let mut stranger = work.clone();
    stranger["metadata"]["name"] = "stranger".into();
    stranger["metadata"]["uid"] = "uid-stranger".into();
    let spec = json!({"spec": {"pipeline": "p", "jobs": 1}});
    let phase = |of_record: &[&Value], gone: &Value| {
        let run = recorded(object("Run", "r", spec.clone()), of_record.iter().copied());
        let mut world = World::of([run.clone()]);
        let name = gone["metadata"]["name"].as_str().unwrap();
        world.cached.add(gone.clone());
        world.live.add(gone.clone());
        let world = world.without(name);
        let typed = serde_json::from_value(run).unwrap();
        let (decision, _) = world.decide(|facts| konductor_core::run::decide(&typed, facts, now()));
        let status = decision.status.or(typed.status).unwrap();
        (status.deleted, format!("{:?}", status.phase))
    };
    assert_eq!(phase(&[&labelled], &work), (0, "Succeeded".to_owned()));
    // What a Run only owns is no part of it.
    let (deleted, phase) = phase(&[], &stranger);
    assert_eq!(deleted, 0);
    assert_ne!(phase, "Succeeded");
}
