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
    /// The output `ok` that must be true.
    when: Option<Read>,
    /// The output `ok` that its program is given.
    argument: Option<Read>,
    /// The fan-out whose `ok` of all items its program is given, as a list.
    gathered: Option<usize>,
    quorum: Option<usize>,
    may_fail: bool,
    /// What `ok` is where it is not written.
    default: Option<bool>,
    /// What each item does that runs.
    works: Vec<Work>,
}

/// What an item does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Fails,
    /// It succeeds, with this as `ok`.
    Writes(bool),
    /// It succeeds without a word.
    WritesNothing,
    /// It succeeds, and `ok` is no bool.
    WritesNonsense,
}

/// A use of the output `ok` of a stage, or of an item of it.
#[derive(Clone, Copy, Debug)]
struct Read {
    stage: usize,
    item: Address,
}

/// Which item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    /// There is one.
    Single,
    /// The one with the same name.
    Paired,
    Fixed(usize),
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
        let read = |chance: &mut Rng| {
            let stage = chance.usize(..index.max(1));
            let source = stages.get(stage)?;
            let item = match (source.items.len(), source.items == items && chance.bool()) {
                (0, _) => Address::Single,
                (_, true) => Address::Paired,
                (count, false) => Address::Fixed(chance.usize(..count)),
            };
            Some(Read { stage, item })
        };
        let (when, argument) = (read(chance), read(chance));
        let gathered = chance.usize(..index.max(1));
        let is_fan_out = stages
            .get(gathered)
            .is_some_and(|stage| !stage.items.is_empty());
        let count = items.len().max(1);
        stages.push(Stage {
            clauses,
            when: when.filter(|_| chance.u8(..3) == 0),
            argument: argument.filter(|_| chance.bool()),
            gathered: (is_fan_out && chance.bool()).then_some(gathered),
            quorum: (!items.is_empty() && chance.bool()).then(|| chance.usize(1..=items.len())),
            may_fail: chance.u8(..4) == 0,
            default: (chance.u8(..6) > 0).then(|| chance.bool()),
            works: (0..count)
                .map(|_| match chance.u8(..16) {
                    0..4 => Work::Fails,
                    4..8 => Work::Writes(false),
                    8 => Work::WritesNothing,
                    9 => Work::WritesNonsense,
                    _ => Work::Writes(true),
                })
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
        if let Some(read) = &stage.when {
            let _ = write!(text, " when {}", used(pipeline, read));
        }
        if let Some(quorum) = stage.quorum {
            let _ = write!(text, " quorum {quorum}");
        }
        let argument = stage.argument.as_ref();
        let argument = argument.map_or_else(String::new, |read| {
            format!(", \"${{{}}}\"", used(pipeline, read))
        });
        let gathered = stage.gathered;
        let gathered =
            gathered.map_or_else(String::new, |from| format!(", \"${{s{from}[*].ok}}\""));
        let _ = write!(text, " {{\n    exec = [\"work\"{argument}{gathered}]\n");
        if is_declared(pipeline, index) {
            let default = stage
                .default
                .map_or_else(String::new, |ok| format!(" = {ok}"));
            let _ = writeln!(text, "    output ok: bool{default}");
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

/// Whether anything reads its output, so that it declares it.
fn is_declared(pipeline: &Pipeline, stage: usize) -> bool {
    let reads = pipeline
        .stages
        .iter()
        .flat_map(|stage| [&stage.when, &stage.argument]);
    let mut gathered = pipeline.stages.iter().map(|stage| stage.gathered);
    reads.flatten().any(|read| read.stage == stage) || gathered.any(|from| from == Some(stage))
}

fn used(pipeline: &Pipeline, read: &Read) -> String {
    let item = match read.item {
        Address::Single => String::new(),
        Address::Paired => "[x]".to_owned(),
        Address::Fixed(item) => format!("[{:?}]", pipeline.stages[read.stage].items[item]),
    };
    format!("s{}{item}.ok", read.stage)
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
    for (index, stage) in pipeline.stages.iter().enumerate() {
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
                        let verdict = order.into_iter().find(|verdict| parts.contains(verdict));
                        verdict.expect("it has parts")
                    }
                })
                .collect();
            let reads = [&stage.when, &stage.argument].into_iter().flatten();
            verdicts.extend(
                reads
                    .filter(|read| needs_success(pipeline, stage, read))
                    .map(|read| verdict(Suffix::Plain, all[read.stage][place(read, item)])),
            );
            let gathered = stage
                .gathered
                .filter(|from| !is_covered(stage, *from, false));
            // Its quorum is no matter: the list has each item.
            verdicts
                .extend(gathered.map(|from| verdict(Suffix::Plain, stage_end(&all[from], None))));
            let when = stage.when.as_ref();
            let when = when.and_then(|read| value(pipeline, &all, read, item));
            if verdicts.contains(&Verdict::OutBad) {
                End::Unreached
            } else if verdicts.contains(&Verdict::OutGood) || when == Some(false) {
                End::Skipped
            } else if succeeds(pipeline, index, item) {
                End::Succeeded
            } else {
                End::Failed
            }
        };
        all.push((0..stage.works.len()).map(item).collect());
    }
    all
}

/// Which item a read is about, for an item of the stage that reads.
fn place(read: &Read, item: usize) -> usize {
    match read.item {
        Address::Single => 0,
        Address::Paired => item,
        Address::Fixed(fixed) => fixed,
    }
}

/// Whether a stage whose command is done has succeeded: its output must be what it declares.
fn succeeds(pipeline: &Pipeline, stage: usize, item: usize) -> bool {
    let declared = is_declared(pipeline, stage);
    let has_default = pipeline.stages[stage].default.is_some();
    match pipeline.stages[stage].works[item] {
        Work::Fails => false,
        Work::Writes(_) => true,
        Work::WritesNothing => !declared || has_default,
        Work::WritesNonsense => !declared,
    }
}

/// The value that a read has, once what it is about has ended; `None` without a value.
fn value(pipeline: &Pipeline, all: &[Vec<End>], read: &Read, item: usize) -> Option<bool> {
    let source = &pipeline.stages[read.stage];
    let place = place(read, item);
    match source.works[place] {
        Work::Writes(ok) if all[read.stage][place] == End::Succeeded => Some(ok),
        _ => source.default,
    }
}

/// Whether a read waits for success: where no clause is about what is read, or the output has no
/// default.
fn needs_success(pipeline: &Pipeline, stage: &Stage, read: &Read) -> bool {
    let source = &pipeline.stages[read.stage];
    !is_covered(stage, read.stage, read.item == Address::Paired) || source.default.is_none()
}

/// Whether a clause is about what is read of a stage: the item with the same name, or another item or all.
fn is_covered(stage: &Stage, from: usize, is_paired: bool) -> bool {
    let mut dependencies = stage.clauses.iter().flat_map(|clause| match clause {
        Clause::One(dependency) => std::slice::from_ref(dependency),
        Clause::Any(parts) => parts,
    });
    dependencies.any(|dependency| dependency.stage == from && (!dependency.paired || is_paired))
}

/// The list of what the items of a stage have written that succeeded.
fn list(pipeline: &Pipeline, all: &[Vec<End>], from: usize) -> String {
    let items = 0..pipeline.stages[from].items.len();
    let succeeded = items.filter(|item| all[from][*item] == End::Succeeded);
    let values = succeeded.filter_map(|item| {
        let read = Read {
            stage: from,
            item: Address::Fixed(item),
        };
        value(pipeline, all, &read, item)
    });
    let values: Vec<String> = values.map(|ok| ok.to_string()).collect();
    format!("[{}]", values.join(","))
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

/// What pods do: as the pipeline says, and as long as chance has it. One that is given another value
/// than it should be fails.
fn script(pipeline: &Pipeline, order: u64) -> impl Fn(&Pod) -> Script + Send + Sync + 'static {
    let mut scripts = BTreeMap::new();
    let mut chance = Rng::with_seed(order);
    let ends = ends(pipeline);
    let mut add = |name: String, work: Work, arguments: Vec<String>| {
        let script = match work {
            Work::Fails => Script::fail(),
            Work::Writes(ok) => Script::with_outputs(&format!("ok={ok}\n")),
            Work::WritesNothing => Script::succeed(),
            Work::WritesNonsense => Script::with_outputs("ok=True\n"),
        };
        let lasts = Duration::from_millis(chance.u64(..20_000));
        scripts.insert(name, (script.lasting(lasts), arguments));
    };
    for (index, stage) in pipeline.stages.iter().enumerate() {
        for (item, work) in stage.works.iter().enumerate() {
            let argument = stage.argument.as_ref();
            let argument = argument.map(|read| value(pipeline, &ends, read, item));
            let argument = argument.map(|ok| ok.map_or_else(String::new, |ok| ok.to_string()));
            let gathered = stage.gathered.map(|from| list(pipeline, &ends, from));
            let arguments = argument.into_iter().chain(gathered).collect();
            add(job_name(index, stage.items.get(item)), *work, arguments);
        }
    }
    let last = match pipeline.finally {
        Some(true) => Work::Writes(true),
        _ => Work::Fails,
    };
    add("job/story-last".to_owned(), last, Vec::new());
    move |pod| {
        let job = pod
            .labels()
            .get(label::JOB_NAME)
            .cloned()
            .unwrap_or_default();
        let (script, arguments) = &scripts[&format!("job/{job}")];
        let as_it_should_be = arguments.iter().enumerate().all(|(index, value)| {
            let seen = pod.annotations().get(&format!("konductor.io/in-{index}"));
            // Without a value it does not run.
            value.is_empty() || seen == Some(value)
        });
        match as_it_should_be {
            true => script.clone(),
            false => Script::fail(),
        }
    }
}

/// Runs it in this order of events, under this plan; what is not as the table says.
fn played(pipeline: &Pipeline, order: u64, plan: &Plan) -> Result<bool, String> {
    let text = text(pipeline);
    let Some(manifests) = compiled(&text) else {
        return Ok(false);
    };
    let described =
        |why: String| format!("{why}\norder {order}, plan '{plan}'\n{text}{pipeline:#?}");
    let ended = run(manifests, script(pipeline, order), plan).map_err(described)?;
    let (mut seen, mut expected) = (seen(&ended.summary), expected(pipeline));
    // What it cancels is a matter of time; whether it does, and how the run ends, is not.
    if pipeline.fail_fast && expected["run/story"] == "RunFailed" {
        for lines in [&mut seen, &mut expected] {
            lines.retain(|name, _| name == "run/story");
        }
    }
    match seen == expected {
        true => Ok(true),
        false => Err(described(format!(
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
