//! A law: a fan-out whose items are known before, with a Job for each of them, and one whose items are known only at run time, which
//! is one Indexed Job, give the same answers: what the items are shown as, what their readers get, what a retry runs again.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::items::{after, merge, of_run};
use crate::world::{World, controller, ended, now, object, recorded};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, Run};
use konductor_core::retry::{Begin, Refused, retry};
use konductor_core::standing::{ItemStanding, State};
use konductor_core::{Listed, RunObjects, job, run};
use kube::ResourceExt;
use serde_json::{Value, json};

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Its pod succeeds, and has written this.
    Writes(&'static str),
    /// Its pod succeeds, and is gone before it is read.
    Lost,
    /// Its pod fails.
    Fails,
    /// It has not ended when its stage is stopped.
    Runs,
}

impl Fate {
    const ALL: [Self; 6] = [
        Self::Writes("n=7"),
        Self::Writes("n=two"),
        Self::Writes("tag=x"),
        Self::Lost,
        Self::Fails,
        Self::Runs,
    ];

    fn succeeds(self) -> bool {
        matches!(self, Self::Writes(_) | Self::Lost)
    }

    fn is_good(self) -> bool {
        self == Self::Writes("n=7")
    }
}

/// What becomes of the stage.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stop {
    /// It ends.
    No,
    Cancelled,
    TimedOut,
    FailFast,
    /// Its Jobs are deleted.
    Deleted,
    /// The same, and the Run has not looked since.
    DeletedUnseen,
    /// It is paused; the pods that have ended are deleted; it is resumed, and what ran fails.
    Paused,
}

/// A stage that has come as far as that, with the pods of each of its Jobs.
type Stage = Vec<(Value, Vec<Value>)>;

fn pod(uid: &str, index: usize, fate: Fate) -> Option<Value> {
    let (phase, code, message) = match fate {
        Fate::Writes(message) => ("Succeeded", 0, message),
        Fate::Fails => ("Failed", 3, ""),
        Fate::Lost | Fate::Runs => return None,
    };
    let ended = now() - SignedDuration::from_secs(60);
    Some(object(
        "Pod",
        &format!("pod-{index}"),
        json!({
            "metadata": {
                "ownerReferences": [controller(uid)],
                "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()},
            },
            "status": {"phase": phase, "containerStatuses": [{
                "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {
                    "exitCode": code, "message": message, "finishedAt": ended.to_string(),
                }},
            }]},
        }),
    ))
}

fn started(rest: Value) -> Value {
    let annotations = json!({
        "konductor.io/gate": "ready", "konductor.io/phase": "Running",
        "konductor.io/outputs-declared": "n: int, tag?: string",
    });
    let mut job = of_run("count", annotations, json!({"spec": {"suspend": false}}));
    merge(&mut job, &rest);
    job
}

/// A Job for each item.
fn separate(fates: [Fate; 3]) -> Stage {
    let items = ITEMS.into_iter().zip(fates).enumerate();
    let jobs = items.map(|(index, (item, fate))| {
        let uid = format!("uid-r-count-{item}");
        let mut job = started(json!({"metadata": {
            "name": format!("r-count-{item}"), "uid": uid,
            "annotations": {
                "konductor.io/item": item, "konductor.io/ordinal": index.to_string(),
            },
        }}));
        match fate {
            Fate::Runs => {}
            Fate::Fails => merge(&mut job, &ended("Failed")),
            Fate::Writes(_) | Fate::Lost => merge(&mut job, &ended("Complete")),
        }
        (job, pod(&uid, index, fate).into_iter().collect())
    });
    jobs.collect()
}

/// One Job for all.
fn indexed(fates: [Fate; 3]) -> Stage {
    let indexes = |is_meant: fn(Fate) -> bool| {
        let indexes = fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| is_meant(**fate));
        let indexes: Vec<String> = indexes.map(|(index, _)| index.to_string()).collect();
        indexes.join(",")
    };
    let mut job = started(json!({
        "metadata": {"annotations": {"konductor.io/items": r#"{"of": "r-split/parts"}"#}},
        "spec": {
            "completionMode": "Indexed", "completions": 3, "parallelism": 3,
            "template": {"metadata": {"annotations": {
                "konductor.io/items": json!(ITEMS).to_string(),
            }}},
        },
        "status": {
            "completedIndexes": indexes(Fate::succeeds),
            "failedIndexes": indexes(|fate| fate == Fate::Fails),
        },
    }));
    if !fates.contains(&Fate::Runs) {
        let all = fates.into_iter().all(Fate::succeeds);
        merge(&mut job, &ended(if all { "Complete" } else { "Failed" }));
    }
    let pods = fates.into_iter().enumerate();
    let pods = pods.filter_map(|(index, fate)| pod("uid-r-count", index, fate));
    vec![(job, pods.collect())]
}

/// The Job after all that is decided about it.
fn settled((job, pods): (Value, Vec<Value>)) -> (Value, Vec<Value>) {
    let mut job = job;
    for _ in 0..8 {
        let run = json!({"spec": {"pipeline": "p", "jobs": 9}});
        let run = recorded(object("Run", "r", run), [&job]);
        let gate = json!({"spec": {}, "status": {"phase": "Open"}});
        let all = [job.clone(), run, object("Gate", "ready", gate)];
        let world = World::of(all.into_iter().chain(pods.clone()));
        let typed: Participant = serde_json::from_value(job.clone()).unwrap();
        let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
        if decision.before.is_empty() {
            return (job, pods);
        }
        job = after(&job, &decision.before);
    }
    panic!("it never settles: {job}");
}

/// The stage once it has been stopped; what is deleted stands as it was.
fn stopped(shape: fn([Fate; 3]) -> Stage, fates: [Fate; 3], stop: Stop) -> Stage {
    let phase = match stop {
        Stop::No | Stop::Deleted | Stop::DeletedUnseen => None,
        Stop::Cancelled => Some(("Cancelled", "Cancelled: its run was cancelled")),
        Stop::TimedOut => Some(("Cancelled", "TimedOut: its run took longer than 3s")),
        Stop::FailFast => Some(("Cancelled", "StageFailed: a stage failed")),
        Stop::Paused => Some(("Paused", "its run is paused")),
    };
    let is_open = |job: &Value| {
        let job: Participant = serde_json::from_value(job.clone()).unwrap();
        !job.is_over()
    };
    let stage = shape(fates).into_iter().map(|(mut job, pods)| {
        if let Some((phase, reason)) = phase.filter(|_| is_open(&job)) {
            merge(
                &mut job,
                &json!({
                    "metadata": {"annotations": {
                        "konductor.io/phase": phase, "konductor.io/reason": reason,
                    }},
                    "spec": {"suspend": true},
                }),
            );
        }
        settled((job, pods))
    });
    let mut stage: Stage = stage.collect();
    if stop == Stop::Paused {
        let failed = fates.map(|fate| {
            if fate == Fate::Runs {
                Fate::Fails
            } else {
                fate
            }
        });
        let resumed = stage
            .into_iter()
            .zip(shape(failed))
            .map(|((mut job, _), (end, _))| {
                let running = json!({
                    "metadata": {"annotations": {"konductor.io/phase": "Running"}},
                    "spec": {"suspend": false}, "status": end["status"],
                });
                if is_open(&job) {
                    merge(&mut job, &running);
                }
                settled((job, vec![]))
            });
        stage = resumed.collect();
    }
    stage
}

fn is_deleted(stop: Stop) -> bool {
    matches!(stop, Stop::Deleted | Stop::DeletedUnseen)
}

/// The Run, as it has recorded the stage and these others.
fn run_of(stage: &Stage, others: &[&Value], stop: Stop) -> Value {
    let is_finally = |job: &Value| job["metadata"]["labels"]["konductor.io/role"] == "finally";
    let finally = others.iter().filter(|job| is_finally(job)).count();
    let main = stage.len() + others.len() - finally;
    let run = json!({"spec": {"pipeline": "p", "jobs": main, "finallyJobs": finally}});
    let jobs = stage.iter().map(|(job, _)| job);
    let mut run = recorded(object("Run", "r", run), jobs.chain(others.iter().copied()));
    if stop == Stop::Deleted {
        let world = World::of(others.iter().map(|job| (*job).clone()).chain([run.clone()]));
        let typed: Run = serde_json::from_value(run.clone()).unwrap();
        let (decision, _) = world.decide(|facts| run::decide(&typed, facts, now()));
        run["status"] = serde_json::to_value(decision.status.unwrap()).unwrap();
    }
    run
}

/// What a reader starts with; `None` if it does not start.
fn gathered(stage: &Stage, role: &str, stop: Stop) -> Option<String> {
    let inputs = json!({"in-0": "count[*]/n"}).to_string();
    let annotations = json!({"konductor.io/gate": "ready", "konductor.io/inputs": inputs});
    let mut reader = of_run("total", annotations, json!({}));
    reader["metadata"]["labels"]["konductor.io/role"] = role.into();
    let run = run_of(stage, &[&reader], stop);
    let gate = json!({"spec": {}, "status": {"phase": "Open"}});
    let others = [reader.clone(), run, object("Gate", "ready", gate)];
    let mut world = World::of(others);
    for (job, pods) in stage {
        if is_deleted(stop) {
            let job: Participant = serde_json::from_value(job.clone()).unwrap();
            let pods = pods
                .iter()
                .map(|pod| serde_json::from_value(pod.clone()).unwrap());
            let pods: Vec<Arc<Pod>> = pods.map(Arc::new).collect();
            world
                .cached
                .gone
                .push(Arc::new(job::with_outputs(job, &pods)));
        } else {
            world.cached.add(job.clone());
            world.live.add(job.clone());
        }
    }
    let typed: Participant = serde_json::from_value(reader.clone()).unwrap();
    let (decision, _) = world.decide(|facts| job::decide(&typed, facts, now()));
    assert!(
        !decision.before.is_empty(),
        "{stop:?} {role} {stage:?}: {:?}",
        decision.waits
    );
    let reader = after(&reader, &decision.before);
    let annotations = &reader["metadata"]["annotations"];
    match annotations["konductor.io/phase"].as_str() {
        Some("Running") => {
            let template = &reader["spec"]["template"]["metadata"]["annotations"];
            Some(template["konductor.io/in-0"].as_str().unwrap().to_owned())
        }
        Some("Unreached") => None,
        other => panic!("{other:?} {reader}"),
    }
}

/// The items that a retry runs again.
fn again(stage: &Stage, stop: Stop) -> Result<BTreeSet<&'static str>, Refused> {
    let mut run = run_of(stage, &[], stop);
    run["status"]["phase"] = "Failed".into();
    run["status"]["outcome"] = "Failed".into();
    let run: Run = serde_json::from_value(run).unwrap();
    let jobs = stage.iter().filter(|_| !is_deleted(stop));
    let jobs = jobs.map(|(job, _)| serde_json::from_value(job.clone()).unwrap());
    let jobs: Vec<Arc<Participant>> = jobs.map(Arc::new).collect();
    let made = retry(&run, &jobs, &[], &[], Begin::Failed)?;
    let again = made.jobs.iter().flat_map(|job| {
        let name = job.name_any();
        let done = job.annotations().get("konductor.io/completed-indexes");
        let done: Vec<usize> = done.map_or_else(Vec::new, |text| {
            let ranges = text
                .split(',')
                .map(|part| part.split_once('-').unwrap_or((part, part)));
            let ranges =
                ranges.map(|(first, last)| (first.parse().unwrap(), last.parse().unwrap()));
            ranges
                .flat_map(|(first, last): (usize, usize)| first..=last)
                .collect()
        });
        let items = ITEMS.into_iter().enumerate();
        let items = items.filter(move |(index, item)| match name.strip_prefix("r-count-") {
            Some(own) => own == *item,
            None => !done.contains(index),
        });
        items.map(|(_, item)| item).collect::<Vec<_>>()
    });
    Ok(again.collect())
}

/// Where each item stands.
fn standings(stage: &Stage) -> Vec<State> {
    let read = |value: &Value| -> Participant { serde_json::from_value(value.clone()).unwrap() };
    if let [(job, pods)] = &stage[..] {
        let pods = pods
            .iter()
            .map(|pod| serde_json::from_value(pod.clone()).unwrap());
        let objects = RunObjects::from(Listed {
            jobs: vec![read(job)],
            pods: pods.collect(),
            ..Listed::default()
        });
        let items = ItemStanding::all(&read(job), &objects).into_iter();
        return items.map(|item| item.state).collect();
    }
    stage.iter().map(|(job, _)| State::of(&read(job))).collect()
}

#[test]
fn both_kinds_of_fan_out_give_the_same_answers() {
    let stops = [
        Stop::No,
        Stop::Cancelled,
        Stop::TimedOut,
        Stop::FailFast,
        Stop::Deleted,
        Stop::DeletedUnseen,
        Stop::Paused,
    ];
    let fates = Fate::ALL.into_iter().flat_map(|a| {
        let two = Fate::ALL
            .into_iter()
            .flat_map(move |b| Fate::ALL.map(|c| [a, b, c]));
        two.collect::<Vec<_>>()
    });
    for fates in fates {
        // What has ended can't be stopped.
        let stops = stops.into_iter();
        let stops = stops.filter(|stop| (*stop != Stop::No) == fates.contains(&Fate::Runs));
        for stop in stops {
            let case = format!("{fates:?} {stop:?}");
            let good = fates
                .into_iter()
                .zip(ITEMS)
                .filter(|(fate, _)| fate.is_good());
            let list = json!(vec![7; good.clone().count()]).to_string();
            let bad: BTreeSet<&str> = fates
                .into_iter()
                .zip(ITEMS)
                .filter(|(fate, _)| !fate.is_good())
                .map(|(_, item)| item)
                .collect();
            let shapes = [separate, indexed];
            let [separate, indexed] = shapes.map(|shape| stopped(shape, fates, stop));
            for stage in [&separate, &indexed] {
                for role in ["main", "finally"] {
                    let gathered = gathered(stage, role, stop);
                    assert_eq!(gathered.as_ref(), Some(&list), "{case} {role} {stage:?}");
                }
                match again(stage, stop) {
                    Err(Refused::JobsGone { .. }) => assert!(is_deleted(stop), "{case}"),
                    Err(refused) => panic!("{case}: {refused:?}"),
                    Ok(again) => {
                        assert!(!is_deleted(stop), "{case}");
                        assert_eq!(again, bad, "{case} {stage:?}");
                    }
                }
            }
            if !is_deleted(stop) {
                assert_eq!(
                    standings(&indexed),
                    standings(&separate),
                    "{case} {indexed:?}"
                );
            }
        }
    }
}
