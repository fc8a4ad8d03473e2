//! A Run whose objects are deleted, in simulated time: each Job of a run of twenty stages in each of its
//! versions, with the operator up and down; every other object; Jobs with a TTL; and every object of every story of
//! the simulator.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use konductor_api::label;

use konductor_compiler::{Manifests, Options, compile};
use konductor_dsl::Sources;
use konductor_tests::kubelet::Script;
use konductor_tests::simulation::{
    Ended, Fault, Plan, STORIES, play, play_whatever_is_deleted, run_whatever_is_deleted,
};

/// Each stage and what it comes after: chains, a fan-out by hand, a join, holds and a finally stage.
const STAGES: [(&str, &[&str]); 20] = [
    ("s01", &[]),
    ("s02", &[]),
    ("s03", &["s01"]),
    ("s04", &["s01"]),
    ("s05", &["s02"]),
    ("s06", &["s03"]),
    ("s07", &["s03"]),
    ("s08", &["s04"]),
    ("s09", &["s05"]),
    ("s10", &["s06", "s07"]),
    ("s11", &["s08"]),
    ("s12", &["s09"]),
    ("s13", &["s10", "s11"]),
    ("s14", &["s12"]),
    ("s15", &["s13"]),
    ("s16", &["s14"]),
    ("s17", &["s15", "s16"]),
    ("s18", &["s16"]),
    ("s19", &["s17", "s18"]),
    ("s20", &["s19"]),
];

fn pipeline() -> Manifests {
    let mut text = "pipeline story {\n  semaphore slots { permits = 2 }\n".to_owned();
    text.push_str("  defaults { image = \"busybox:1.36\" }\n");
    for (stage, after) in STAGES {
        let after = match after.is_empty() {
            true => String::new(),
            false => format!(" after {}", after.join(", ")),
        };
        // Every third one waits in a queue, too.
        let number: u32 = stage[1..].parse().expect("a number");
        let holding = if number.is_multiple_of(3) {
            " holding slots"
        } else {
            ""
        };
        text.push_str(&format!(
            "  stage {stage}{after}{holding} {{ run = \"true\" }}\n"
        ));
    }
    text.push_str("  finally stage tidy { run = \"true\" }\n}\n");
    compiled(text)
}

fn compiled(text: String) -> Manifests {
    let mut sources = Sources::default();
    sources.add("story.kon", text);
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    let compiled = compile(sources, &Options::at(now));
    compiled
        .manifests
        .unwrap_or_else(|| panic!("{:#?}", compiled.diagnostics))
}

fn job(stage: &str) -> String {
    format!("story-{stage}")
}

fn played(plan: &Plan) -> Ended {
    let script = |_: &_| Script::succeed().lasting(std::time::Duration::from_millis(300));
    run_whatever_is_deleted(pipeline(), script, plan).unwrap_or_else(|why| panic!("{plan}: {why}"))
}

/// The stages that can't be reached without this one.
fn after(stage: &str) -> BTreeSet<&'static str> {
    let mut lost = BTreeSet::new();
    for (name, needs) in STAGES {
        if needs
            .iter()
            .any(|need| *need == stage || lost.contains(need))
        {
            lost.insert(name);
        }
    }
    lost
}

/// Whatever was deleted: no stage ran twice or out of order, and the finally stage ran once.
fn in_order(ended: &Ended, plan: &Plan) {
    let twice = ended.jobs.pods.iter().find(|(_, pods)| **pods > 1);
    assert_eq!(twice, None, "{plan}: it ran twice");
    let order = &ended.jobs.order;
    let place = |stage: &str| order.iter().position(|other| *other == job(stage));
    for (stage, needs) in STAGES {
        for need in needs {
            if let Some(at) = place(stage) {
                let before = place(need);
                assert!(
                    before.is_some_and(|before| before < at),
                    "{plan}: {stage} before {need}"
                );
            }
        }
    }
}

fn lines(ended: &Ended) -> BTreeMap<&str, &str> {
    ended
        .summary
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect()
}

/// Plays them on all processors; a panic in one is a failure of all.
fn every(plans: &[Plan], check: impl Fn(&Plan, &Ended) + Sync) {
    on_all_processors(plans, |plan| {
        check(plan, &played(plan));
        None::<()>
    });
}

/// Each Job, deleted in one of its versions before its end and in one after it, another one for each Job; in all
/// of them, with the operator up and down, if that is asked for.
fn deletions(calm: &Ended) -> Vec<Plan> {
    let all = std::env::var("KONDUCTOR_FAULTS").is_ok_and(|value| value == "all");
    let mut plans = Vec::new();
    for (place, (_, versions)) in calm.jobs.versions.iter().enumerate() {
        let before = versions.iter().filter(|ended| !**ended).count();
        let chosen = [
            place % (before - 1),
            before + place % (versions.len() - before),
        ];
        for version in 0..versions.len() {
            for down in [false, true] {
                let even = usize::from(version < before) + place;
                if all || chosen.contains(&version) && down == even.is_multiple_of(2) {
                    let (job, version) = (place as u64 + 1, version as u64 + 1);
                    plans.push(Plan::with(Fault::DeleteJob { job, version, down }));
                }
            }
        }
    }
    plans
}

#[test]
fn job_deleted_in_any_version_ends_the_run_by_the_table() {
    let calm = played(&Plan::calm(1));
    assert_eq!(lines(&calm)["run/story"], "Succeeded");
    let plans = deletions(&calm);
    assert!(plans.len() > STAGES.len() * 2, "{} plans", plans.len());
    let deleted: Mutex<BTreeSet<(String, bool)>> = Mutex::default();
    every(&plans, |plan, ended| {
        let [gone] = &ended.jobs.deleted[..] else {
            panic!("{plan}: {:?} were deleted", ended.jobs.deleted);
        };
        in_order(ended, plan);
        let Some(Fault::DeleteJob { down, .. }) = plan.faults.first() else {
            panic!("{plan}");
        };
        let stage = gone.job.trim_start_matches("story-");
        let lines = lines(ended);
        let tidied = ended
            .jobs
            .pods
            .get("story-tidy")
            .copied()
            .unwrap_or_default();
        assert!(
            tidied == 1 || stage == "tidy" && !gone.had_ended,
            "{plan}: tidy ran {tidied} times"
        );
        // Nobody saw how it had ended.
        let unseen = gone.had_ended && *down && !gone.is_recorded;
        let succeeded = lines["run/story"] == "Succeeded";
        assert!(
            unseen || succeeded == gone.had_ended,
            "{plan}: {gone:?} {}",
            lines["run/story"]
        );
        assert!(
            succeeded || lines["run/story"] == "Failed",
            "{plan}: {}",
            lines["run/story"]
        );
        let lost = match succeeded {
            true => BTreeSet::new(),
            false => after(stage),
        };
        for (other, _) in STAGES {
            let other_job = format!("job/{}", job(other));
            let expected = match (other == stage, lost.contains(other)) {
                (true, _) => None,
                (false, true) => Some("Some(Unreached) suspended=true"),
                (false, false) => Some("Complete"),
            };
            assert_eq!(lines.get(&*other_job).copied(), expected, "{plan}: {other}");
        }
        let mut deleted = deleted.lock().expect("no panic");
        deleted.insert((stage.to_owned(), gone.had_ended));
    });
    let deleted = deleted.into_inner().expect("no panic");
    let before = |stage: &str| deleted.contains(&(stage.to_owned(), false));
    for (stage, _) in STAGES {
        assert!(before(stage), "{stage} was never deleted before its end");
    }
    let after_their_end = deleted.iter().filter(|(_, had_ended)| *had_ended).count();
    assert!(
        after_their_end >= STAGES.len(),
        "{after_their_end} were deleted after their end"
    );
}

#[test]
fn jobs_that_a_ttl_deletes_end_the_run_as_if_they_were_there() {
    let plans = [0, 1_000, 5_000].map(|after_ms| Plan::with(Fault::Ttl { after_ms }));
    every(&plans, |plan, ended| {
        in_order(ended, plan);
        assert_eq!(lines(ended)["run/story"], "Succeeded", "{plan}");
        assert_eq!(ended.jobs.order.len(), STAGES.len() + 1, "{plan}");
    });
}

/// A Gate, a Barrier, a ledger, a pod or the Run itself: the Run ends, if need be when it is cancelled,
/// and nothing runs twice or out of order.
#[test]
fn any_object_that_is_deleted_leaves_a_run_that_can_be_ended() {
    let calm = played(&Plan::calm(1));
    let all = std::env::var("KONDUCTOR_FAULTS").is_ok_and(|value| value == "all");
    let plans: Vec<Plan> = (1..=calm.versions as u64)
        .step_by(if all { 1 } else { 29 })
        .map(|nth| {
            Plan::with(Fault::Delete {
                nth,
                down: nth % 2 == 0,
            })
        })
        .collect();
    every(&plans, |plan, ended| {
        // A pod that is deleted is replaced by its Job: that is the Job controller's business.
        let deleted_pods = ended.jobs.pods.values().filter(|pods| **pods > 1).count();
        assert!(deleted_pods <= 1, "{plan}");
    });
}

const READS: &str = r#"pipeline story {
  defaults { image = "busybox:1.36" }
  stage a {
    run = "a"
    output v: int = 0
  }
  stage wait { run = "wait" }
  stage plain after a, wait { run = "echo ${a.v}" }
  stage ended after a.finished, wait { run = "echo ${a.v}" }
  finally stage tidy { run = "echo ${a.v}" }
}
"#;

/// Also where the operator is away, and its memory is gone when it is back: who reads the value of a deleted Job gets
/// that, or does not run, but for a finally stage. A default stands only for a Job that counts as cancelled because it
/// was deleted.
#[test]
fn default_never_stands_in_for_the_value_of_a_job_that_was_deleted() {
    let played = |plan: &Plan| {
        let script = |pod: &Pod| {
            let job = &pod.metadata.labels.as_ref().expect("labels")[label::JOB_NAME];
            match job.as_str() {
                "story-a" => Script::with_outputs("v=7\n").lasting(Duration::from_millis(300)),
                "story-wait" => Script::succeed().lasting(Duration::from_secs(4)),
                _ => Script::succeed(),
            }
        };
        run_whatever_is_deleted(compiled(READS.to_owned()), script, plan)
            .unwrap_or_else(|why| panic!("{plan}: {why}"))
    };
    let calm = played(&Plan::calm(1));
    let (place, (_, versions)) = (calm.jobs.versions.iter().enumerate())
        .find(|(_, (job, _))| job == "story-a")
        .expect("it is there");
    let mut with_a_default = 0;
    let mut with_its_value = 0;
    for version in 1..=versions.len() as u64 {
        for down in [false, true] {
            let job = place as u64 + 1;
            let plan = Plan::with(Fault::DeleteJob { job, version, down });
            let ended = played(&plan);
            let [gone] = &ended.jobs.deleted[..] else {
                panic!("{plan}: {:?} were deleted", ended.jobs.deleted);
            };
            let counts_as_deleted = !gone.had_ended || down && !gone.is_recorded;
            let mut started = ended.jobs.inputs.iter().map(|(job, _)| job);
            assert!(started.any(|job| job == "story-tidy"), "{plan}");
            for (job, inputs) in &ended.jobs.inputs {
                let Some(value) = inputs.values().next() else {
                    continue;
                };
                let is_right = match value.as_str() {
                    "7" => true,
                    // It runs in any case, and says that it does so with a default.
                    "0" if job == "story-tidy" => counts_as_deleted || down,
                    "0" => counts_as_deleted && job != "story-plain",
                    _ => false,
                };
                assert!(is_right, "{plan}: {job} read {value}, {gone:?}");
                *match value.as_str() {
                    "7" => &mut with_its_value,
                    _ => &mut with_a_default,
                } += 1;
            }
        }
    }
    assert!(
        with_its_value > 0 && with_a_default > 0,
        "{with_its_value} {with_a_default}"
    );
}

/// Each object of each story, deleted in each of its versions, with the operator up and down: what must never happen
/// does not, a Run ends, nothing leaks, nobody writes without an end, and what waits does so for something.
#[test]
fn any_object_of_any_story_may_be_deleted_in_any_version() {
    let all = std::env::var("KONDUCTOR_FAULTS").is_ok_and(|value| value == "all");
    for story in &STORIES {
        let calm =
            play(story, &Plan::calm(1)).unwrap_or_else(|why| panic!("{}: {why}", story.name));
        let plans = (1..=calm.versions as u64)
            .flat_map(|nth| [false, true].map(|down| Plan::with(Fault::Delete { nth, down })));
        // An odd step: both with the operator up and down.
        let plans: Vec<Plan> = plans.step_by(if all { 1 } else { 45 }).collect();
        let played = |plan: &Plan| match play_whatever_is_deleted(story, plan) {
            Ok(_) => None,
            Err(why) => Some(format!("{}: {plan}: {why}", story.name)),
        };
        let begun = Instant::now();
        let failures = on_all_processors(&plans, played);
        let took = begun.elapsed();
        let _ = writeln!(
            io::stderr(),
            "{}: {} deletions in {took:.1?}",
            story.name,
            plans.len()
        );
        assert!(
            failures.is_empty(),
            "{} of {} plans failed; the first:\n{}",
            failures.len(),
            plans.len(),
            failures[0]
        );
    }
}

fn on_all_processors<T: Send>(plans: &[Plan], check: impl Fn(&Plan) -> Option<T> + Sync) -> Vec<T> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers = (0..workers).map(|worker| {
            let (mine, check) = (plans.iter().skip(worker).step_by(workers), &check);
            scope.spawn(move || mine.filter_map(check).collect::<Vec<T>>())
        });
        let workers: Vec<_> = workers.collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("no panic"))
            .collect()
    })
}
