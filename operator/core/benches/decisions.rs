//! How long decisions take once all facts are known: `cargo bench --package konductor-core`. With
//! `-- --only NAME COUNT` it makes one decision that often and prints nothing, so that
//! `valgrind --tool=callgrind` counts its instructions, which do not depend on how busy the machine is. Nothing here
//! fails by being slow.
#![expect(clippy::print_stdout, reason = "what it prints is its result")]
#![expect(clippy::unwrap_used, reason = "not part of the product")]

#[path = "../tests/tables/world.rs"]
mod world;

use std::hint::black_box;
use std::time::{Duration, Instant};

use konductor_api::{Gate, Participant, Run, Semaphore};
use konductor_core::{Decided, Facts, Freshness, Waits, gate, job, ledger, run};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use world::{World, ended, job, now, object, recorded};

/// Objects around a Gate, a Semaphore or a Run.
const MANY: usize = 1_000;
/// Batches of each decision; the quickest counts, because others use the machine, too.
const BATCHES: usize = 20;

/// One kind of decision, ready to be made again and again.
type Case = Box<dyn Fn()>;

/// Prepares one.
type Prepare = fn() -> Case;

/// Each by its name.
const CASES: [(&str, Prepare); 5] = [
    ("job", of_a_job),
    ("job-read", of_a_job_that_is_read),
    ("gate", of_a_gate),
    ("semaphore", of_a_semaphore),
    ("run", of_a_run),
];

fn read<K: DeserializeOwned>(object: Value) -> K {
    serde_json::from_value(object).unwrap()
}

/// All facts that a decision asks for, so that only the decision itself is measured.
fn facts<S>(world: &World, decide: impl Fn(&Facts) -> Decided<S>) -> Facts {
    let mut facts = Facts::default();
    while let Err(needs) = decide(&facts) {
        for (fact, freshness) in needs {
            let side = match freshness {
                Freshness::Live if !fact.is_remembered() => &world.live,
                _ => &world.cached,
            };
            let answer = side.answer(&fact);
            facts.record(fact, freshness, answer);
        }
    }
    facts
}

fn case<S: 'static>(world: &World, decide: impl Fn(&Facts) -> Decided<S> + 'static) -> Case {
    let facts = facts(world, &decide);
    Box::new(move || {
        let _ = black_box(decide(black_box(&facts)));
    })
}

/// A Job with a Gate, two holds and an output, in a Run.
fn stage(name: &str, rest: Value) -> Value {
    let annotations = json!({
        "konductor.io/gate": "go", "konductor.io/hold": "semaphore/batch, semaphore/other=2",
        "konductor.io/outputs": "rows: int", "konductor.io/summary": "after extract",
    });
    let labels = json!({"konductor.io/run": "r", "konductor.io/stage": name});
    let owner = json!([
        {"apiVersion": "konductor.io/v1", "kind": "Run", "name": "r", "uid": "uid-r", "controller": true}
    ]);
    let mut job = job(name, annotations, rest);
    job["metadata"]["labels"] = labels;
    job["metadata"]["ownerReferences"] = owner;
    job
}

fn waiting_job() -> (Value, World) {
    let semaphore = |name: &str| {
        let body = json!({"spec": {"permits": 2}, "status": {"holders": []}});
        object("Semaphore", name, body)
    };
    let gate = object(
        "Gate",
        "go",
        json!({"spec": {}, "status": {"phase": "Open"}}),
    );
    let job = stage("work", json!({}));
    let run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": 1}}));
    let run = recorded(run, [&job]);
    let world = World::of([
        job.clone(),
        gate,
        run,
        semaphore("batch"),
        semaphore("other"),
    ]);
    (job, world)
}

fn of_a_job() -> Case {
    let (text, world) = waiting_job();
    let work: Participant = read(text);
    let (decision, _) = world.decide(|facts| job::decide(&work, facts, now()));
    // A mistake in an annotation would be decided on early, and quickly.
    assert!(
        matches!(decision.waits, Some(Waits::Hold(_))),
        "{:?}",
        decision.waits
    );
    case(&world, move |facts| job::decide(&work, facts, now()))
}

fn of_a_job_that_is_read() -> Case {
    let (text, world) = waiting_job();
    let bytes = serde_json::to_vec(&text).unwrap();
    case(&world, move |facts| {
        let job: Participant = serde_json::from_slice(black_box(&bytes)).unwrap();
        job::decide(&job, facts, now())
    })
}

fn of_a_gate() -> Case {
    let names: Vec<_> = (0..MANY).map(|index| format!("work-{index}")).collect();
    let jobs = names.iter().map(|name| stage(name, ended("Complete")));
    let world = World::of(jobs);
    let conditions = names
        .iter()
        .map(|name| json!({"type": "Job", "name": name, "state": "Complete"}));
    let spec = json!({"spec": {"conditions": conditions.collect::<Vec<_>>()}});
    let go: Gate = read(object("Gate", "go", spec));
    case(&world, move |facts| gate::decide(&go, facts, now()))
}

fn of_a_semaphore() -> Case {
    let names: Vec<_> = (0..MANY).map(|index| format!("work-{index}")).collect();
    let gate = object(
        "Gate",
        "go",
        json!({"spec": {}, "status": {"phase": "Open"}}),
    );
    let jobs: Vec<_> = names.iter().map(|name| stage(name, json!({}))).collect();
    let run = object("Run", "r", json!({"spec": {"pipeline": "p", "jobs": MANY}}));
    let run = recorded(run, &jobs);
    let world = World::of(jobs.into_iter().chain([gate, run]));
    let held = names[..100].iter().map(|name| {
        json!({"kind": "Job", "name": name, "uid": format!("uid-{name}"), "holder": name, "permits": 1})
    });
    let status = json!({"holders": held.collect::<Vec<_>>()});
    let body = json!({"spec": {"permits": 200}, "status": status});
    let batch: Semaphore = read(object("Semaphore", "batch", body));
    case(&world, move |facts| {
        ledger::decide_semaphore(&batch, facts, now())
    })
}

fn of_a_run() -> Case {
    let jobs = (0..MANY).map(|index| {
        let rest = if index % 2 == 0 {
            ended("Complete")
        } else {
            json!({})
        };
        stage(&format!("work-{index}"), rest)
    });
    let body = json!({"spec": {"pipeline": "p", "jobs": MANY}});
    let run = object("Run", "r", body);
    let world = World::of(jobs.chain([run.clone()]));
    let r: Run = read(run);
    case(&world, move |facts| run::decide(&r, facts, now()))
}

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--only") {
        let [name, count, ..] = &arguments[at + 1..] else {
            panic!("--only NAME COUNT");
        };
        // Nothing else is prepared, because callgrind would count that.
        let (_, prepare) = CASES.iter().find(|(case, _)| case == name).unwrap();
        let again = prepare();
        (0..count.parse().unwrap()).for_each(|_: usize| again());
        return;
    }
    println!("| decision | time |");
    println!("|---|---:|");
    for (name, prepare) in CASES {
        let again = prepare();
        let repeats = if name.starts_with("job") { 1_000 } else { 10 };
        let batch = || {
            let start = Instant::now();
            (0..repeats).for_each(|_| again());
            start.elapsed()
        };
        let best = (0..BATCHES).map(|_| batch()).min();
        let each = best.unwrap_or(Duration::ZERO) / repeats;
        println!("| {name} | {:.1} µs |", each.as_nanos() as f64 / 1e3);
    }
}
