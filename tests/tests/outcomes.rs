//! Random pipelines with random ends: what the operator makes of them is what the table of outcomes
//! in `docs/language.md` says, read by an interpreter of its own.
//!
//! By default some 150 pipelines, each in two orders of events and once with faults;
//! `KONDUCTOR_PIPELINES=10000` for more, `KONDUCTOR_SEED=…` for others.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::label;
use konductor_compiler::{Manifests, Options, compile};
use konductor_dsl::Sources;
use konductor_tests::kubelet::Script;
use konductor_tests::simulation::{Plan, run};
use kube::ResourceExt;

/// How many pipelines where nobody says.
const PIPELINES: u64 = 150;
/// About how many writes a pipeline takes, for faults to be spread over.
const WRITES: u64 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Succeeded,
    Failed,
    Skipped,
    Unreached,
}

#[derive(Clone, Copy, Debug)]
enum Suffix {
    Plain,
    Failed,
    Skipped,
    Finished,
}

/// What a clause says, now that its stage has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Holds,
    OutGood,
    OutBad,
}

#[derive(Clone, Debug)]
struct Dependency {
    stage: usize,
    /// Of a fan-out over the same items, the item with the same name.
    paired: bool,
    suffix: Suffix,
}

#[derive(Clone, Debug)]
enum Clause {
    One(Dependency),
    Any(Vec<Dependency>),
}

#[derive(Clone, Debug)]
struct Stage {
    /// Empty where it is no fan-out.
    items: Vec<&'static str>,
    clauses: Vec<Clause>,
    /// The stage whose output `ok` must be true.
    when: Option<usize>,
    quorum: Option<usize>,
    may_fail: bool,
    /// What becomes of each item that runs, and its output.
    works: Vec<(bool, bool)>,
}

#[derive(Clone, Debug)]
struct Pipeline {
    stages: Vec<Stage>,
    fail_fast: bool,
    /// Whether there is a finally stage, and how it ends.
    finally: Option<bool>,
}

const ITEMS: [&str; 3] = ["a", "b", "c"];

fn random(chance: &mut Rng) -> Pipeline {
    let mut stages: Vec<Stage> = Vec::new();
    for index in 0..chance.usize(2..=8) {
        let items = match chance.u8(..3) {
            0 => ITEMS[..chance.usize(2..=3)].to_vec(),
            _ => Vec::new(),
        };
        let mut others: Vec<usize> = (0..index).collect();
        chance.shuffle(&mut others);
        let mut others = others.into_iter();
        let mut clauses = Vec::new();
        for _ in 0..chance.usize(..=2) {
            let mut dependency = |chance: &mut Rng| {
                let stage = others.next()?;
                let suffix = match chance.u8(..8) {
                    0 => Suffix::Failed,
                    1 => Suffix::Skipped,
                    2 => Suffix::Finished,
                    _ => Suffix::Plain,
                };
                let paired = !items.is_empty() && stages[stage].items == items && chance.bool();
                Some(Dependency {
                    stage,
                    paired,
                    suffix,
                })
            };
            if chance.u8(..4) == 0 {
                let parts: Vec<_> = (0..2).filter_map(|_| dependency(chance)).collect();
                if parts.len() == 2 {
                    clauses.push(Clause::Any(parts));
                }
            } else {
                clauses.extend(dependency(chance).map(Clause::One));
            }
        }
        let single = others.find(|other| stages[*other].items.is_empty());
        let count = items.len().max(1);
        stages.push(Stage {
            clauses,
            when: single.filter(|_| chance.u8(..4) == 0),
            quorum: (!items.is_empty() && chance.bool()).then(|| chance.usize(1..=items.len())),
            may_fail: chance.u8(..4) == 0,
            works: (0..count)
                .map(|_| (chance.u8(..4) > 0, chance.u8(..3) > 0))
                .collect(),
            items,
        });
    }
    Pipeline {
        stages,
        fail_fast: chance.u8(..8) == 0,
        finally: chance.bool().then(|| chance.u8(..4) > 0),
    }
}

/// The pipeline as a person would write it.
fn text(pipeline: &Pipeline) -> String {
    let mut text = "pipeline story {\n  defaults { image = \"busybox:1.36\" }\n".to_owned();
    if pipeline.fail_fast {
        text += "  fail-fast = true\n";
    }
    for (index, stage) in pipeline.stages.iter().enumerate() {
        let _ = write!(text, "  stage s{index}");
        if !stage.items.is_empty() {
            let _ = write!(text, " for x in {:?}", stage.items);
        }
        let clauses = stage.clauses.iter().map(|clause| match clause {
            Clause::One(dependency) => written(dependency),
            Clause::Any(parts) => {
                let parts: Vec<String> = parts.iter().map(written).collect();
                format!("any({})", parts.join(", "))
            }
        });
        let clauses: Vec<String> = clauses.collect();
        if !clauses.is_empty() {
            let _ = write!(text, " after {}", clauses.join(", "));
        }
        if let Some(other) = stage.when {
            let _ = write!(text, " when s{other}.ok");
        }
        if let Some(quorum) = stage.quorum {
            let _ = write!(text, " quorum {quorum}");
        }
        text += " {\n    run = \"true\"\n";
        if pipeline
            .stages
            .iter()
            .any(|other| other.when == Some(index))
        {
            text += "    output ok: bool\n";
        }
        if stage.may_fail {
            text += "    may-fail = true\n";
        }
        text += "  }\n";
    }
    if pipeline.finally.is_some() {
        text += "  finally stage last { run = \"true\" }\n";
    }
    text + "}\n"
}

fn written(dependency: &Dependency) -> String {
    let item = if dependency.paired { "[x]" } else { "" };
    let suffix = match dependency.suffix {
        Suffix::Plain => "",
        Suffix::Failed => ".failed",
        Suffix::Skipped => ".skipped",
        Suffix::Finished => ".finished",
    };
    format!("s{}{item}{suffix}", dependency.stage)
}

/// The table.
fn verdict(suffix: Suffix, end: End) -> Verdict {
    use End::{Failed, Skipped, Succeeded, Unreached};
    use Verdict::{Holds, OutBad, OutGood};
    match (suffix, end) {
        (Suffix::Plain, Succeeded) => Holds,
        (Suffix::Plain, Skipped) => OutGood,
        (Suffix::Plain, Failed | Unreached) => OutBad,
        (Suffix::Failed, Failed) => Holds,
        (Suffix::Failed, Succeeded | Skipped) => OutGood,
        (Suffix::Failed, Unreached) => OutBad,
        (Suffix::Skipped, Skipped) => Holds,
        (Suffix::Skipped, Succeeded) => OutGood,
        (Suffix::Skipped, Failed | Unreached) => OutBad,
        (Suffix::Finished, _) => Holds,
    }
}

/// How each item of each stage ends.
fn ends(pipeline: &Pipeline) -> Vec<Vec<End>> {
    let mut all: Vec<Vec<End>> = Vec::new();
    for stage in &pipeline.stages {
        let item = |item: usize| {
            let of = |dependency: &Dependency| {
                let ends = &all[dependency.stage];
                let end = match dependency.paired {
                    true => ends[item],
                    false => stage_end(ends, pipeline.stages[dependency.stage].quorum),
                };
                verdict(dependency.suffix, end)
            };
            let mut verdicts: Vec<Verdict> = stage
                .clauses
                .iter()
                .map(|clause| match clause {
                    Clause::One(dependency) => of(dependency),
                    Clause::Any(parts) => {
                        let parts: Vec<Verdict> = parts.iter().map(of).collect();
                        let order = [Verdict::Holds, Verdict::OutBad, Verdict::OutGood];
                        let found = order.into_iter().find(|one| parts.contains(one));
                        found.expect("it has parts")
                    }
                })
                .collect();
            verdicts.extend(
                stage
                    .when
                    .map(|other| verdict(Suffix::Plain, all[other][0])),
            );
            let (succeeds, _) = stage.works[item];
            if verdicts.contains(&Verdict::OutBad) {
                End::Unreached
            } else if verdicts.contains(&Verdict::OutGood)
                || stage
                    .when
                    .is_some_and(|other| !pipeline.stages[other].works[0].1)
            {
                End::Skipped
            } else if succeeds {
                End::Succeeded
            } else {
                End::Failed
            }
        };
        all.push((0..stage.works.len()).map(item).collect());
    }
    all
}

fn stage_end(items: &[End], quorum: Option<usize>) -> End {
    let succeeded = items.iter().filter(|end| **end == End::Succeeded).count();
    match quorum {
        Some(quorum) if succeeded >= quorum => End::Succeeded,
        _ if items.contains(&End::Failed) => End::Failed,
        _ if items.contains(&End::Unreached) => End::Unreached,
        None if succeeded > 0 => End::Succeeded,
        _ => End::Skipped,
    }
}

/// How everything ends, in the words of the simulator's summary.
fn expected(pipeline: &Pipeline) -> BTreeMap<String, &'static str> {
    let (mut lines, mut bad) = (BTreeMap::new(), false);
    for (index, (stage, ends)) in pipeline.stages.iter().zip(ends(pipeline)).enumerate() {
        for (item, end) in ends.iter().enumerate() {
            let word = match end {
                End::Succeeded => "Complete",
                End::Failed => "Failed",
                End::Skipped => "Skipped",
                End::Unreached => "Unreached",
            };
            lines.insert(job_name(index, stage.items.get(item)), word);
        }
        let end = stage_end(&ends, stage.quorum);
        bad |= !stage.may_fail && matches!(end, End::Failed | End::Unreached);
    }
    if let Some(succeeds) = pipeline.finally {
        bad |= !succeeds;
        let word = if succeeds { "Complete" } else { "Failed" };
        lines.insert("job/story-last".to_owned(), word);
    }
    let word = if bad { "RunFailed" } else { "RunSucceeded" };
    lines.insert("run/story".to_owned(), word);
    lines
}

fn job_name(stage: usize, item: Option<&&str>) -> String {
    let item = item.map_or_else(String::new, |item| format!("-{item}"));
    format!("job/story-s{stage}{item}")
}

/// The same from what the simulator saw.
fn seen(summary: &str) -> BTreeMap<String, &'static str> {
    let lines = summary.lines().filter_map(|line| line.split_once(": "));
    let word = |name: &str, state: &str| match state
        .split([' ', '(', ')'])
        .find(|word| !word.is_empty() && *word != "Some")
    {
        Some("Failed") if name.starts_with("run/") => "RunFailed",
        Some("Succeeded") => "RunSucceeded",
        Some("Complete") => "Complete",
        Some("Failed") => "Failed",
        Some("Skipped") => "Skipped",
        Some("Unreached") => "Unreached",
        Some("Cancelled") => "Cancelled",
        _ => "something else",
    };
    lines
        .map(|(name, state)| (name.to_owned(), word(name, state)))
        .collect()
}

/// Compiles it; `None` where the compiler sees that something in it can never be.
fn compiled(text: &str) -> Option<Manifests> {
    let mut sources = Sources::default();
    sources.add("story.kon", text);
    let now = "2026-01-01T00:00:00Z".parse().expect("a time");
    compile(sources, &Options::at(now)).manifests
}

/// What pods do: as the pipeline says, and as long as chance has it.
fn script(pipeline: &Pipeline, order: u64) -> impl Fn(&Pod) -> Script + Send + Sync + 'static {
    let mut scripts = BTreeMap::new();
    let mut chance = Rng::with_seed(order);
    let mut add = |name: String, succeeds: bool, ok: bool| {
        let script = match succeeds {
            true => Script::with_outputs(&format!("ok={ok}\n")),
            false => Script::fail(),
        };
        let lasts = Duration::from_millis(chance.u64(..20_000));
        scripts.insert(name, script.lasting(lasts));
    };
    for (index, stage) in pipeline.stages.iter().enumerate() {
        for (item, (succeeds, ok)) in stage.works.iter().enumerate() {
            add(job_name(index, stage.items.get(item)), *succeeds, *ok);
        }
    }
    add(
        "job/story-last".to_owned(),
        pipeline.finally == Some(true),
        true,
    );
    move |pod| {
        let job = pod
            .labels()
            .get(label::JOB_NAME)
            .cloned()
            .unwrap_or_default();
        scripts[&format!("job/{job}")].clone()
    }
}

/// Runs it in this order of events, under this plan; what is not as the table says.
fn played(pipeline: &Pipeline, order: u64, plan: &Plan) -> Result<bool, String> {
    let text = text(pipeline);
    let Some(manifests) = compiled(&text) else {
        return Ok(false);
    };
    let told = |why: String| format!("{why}\norder {order}, plan '{plan}'\n{text}{pipeline:#?}");
    let ended = run(manifests, script(pipeline, order), plan).map_err(told)?;
    let (mut seen, mut expected) = (seen(&ended.summary), expected(pipeline));
    // What it cancels is a matter of time; whether it does, and how the run ends, is not.
    if pipeline.fail_fast && expected["run/story"] == "RunFailed" {
        for lines in [&mut seen, &mut expected] {
            lines.retain(|name, _| name == "run/story");
        }
    }
    match seen == expected {
        true => Ok(true),
        false => Err(told(format!(
            "it ended as {seen:#?}\nand not as {expected:#?}"
        ))),
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn random_pipelines_end_as_the_table_says_in_every_order_of_events() {
    let (count, seed) = (
        number("KONDUCTOR_PIPELINES", PIPELINES),
        number("KONDUCTOR_SEED", 1),
    );
    let workers = thread::available_parallelism().map_or(1, usize::from) as u64;
    let ran: u64 = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers)
            .map(|worker| {
                scope.spawn(move || {
                    let mut ran = 0;
                    for seed in (seed + worker..seed + count).step_by(workers as usize) {
                        let pipeline = random(&mut Rng::with_seed(seed));
                        let plans = [
                            Plan::calm(seed),
                            Plan::calm(seed),
                            Plan::random(seed, WRITES),
                        ];
                        for (order, plan) in (0..).zip(&plans) {
                            match played(&pipeline, seed * 3 + order, plan) {
                                Ok(true) => ran += 1,
                                Ok(false) => break,
                                Err(why) => panic!("KONDUCTOR_SEED={seed}: {why}"),
                            }
                        }
                    }
                    ran
                })
            })
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("as the table says"))
            .sum()
    });
    let _ = writeln!(io::stderr(), "{ran} runs of {count} random pipelines");
    assert!(
        ran >= count * 2,
        "the compiler refuses too many: {ran} runs of {count} pipelines"
    );
}
