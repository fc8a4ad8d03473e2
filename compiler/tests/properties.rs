//! Laws that hold for every pipeline: generated ones, and fixtures with something broken in them.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use konductor_api::{ConditionKind, annotation};
use konductor_compiler::{Compiled, Manifests, Object, Options, check, compile};
use konductor_dsl::Sources;

/// Pseudo-random numbers; the seed is in every message.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

fn compiled(text: &str) -> Compiled {
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    compile(
        sources,
        &Options::at("2026-01-31T02:03:04Z".parse().unwrap()),
    )
}

fn manifests(text: &str) -> Manifests {
    let compiled = compiled(text);
    compiled
        .manifests
        .unwrap_or_else(|| panic!("{:?}\n{text}", compiled.diagnostics))
}

/// A pipeline of random shape that has no errors.
fn pipeline(random: &mut Random) -> String {
    let mut text = String::from(
        "pipeline p {\n  param target: \"dev\" | \"prod\" = \"dev\"\n  semaphore slots { permits = 2 }\n  \
         defaults { image = \"busybox:1.36\" }\n",
    );
    let stages = 2 + random.below(20);
    let mut sizes: Vec<usize> = Vec::new();
    for index in 0..stages {
        let size = if random.chance(40) {
            1 + random.below(4)
        } else {
            0
        };
        let mut header = format!("  stage s-{index}");
        if size > 0 {
            write!(header, " for x in 0..<{size}").unwrap();
        }
        let deps = after(random, &sizes);
        if !deps.is_empty() {
            write!(header, " after {}", deps.join(", ")).unwrap();
        }
        if random.chance(15) {
            header.push_str(" when target == \"prod\"");
        }
        if random.chance(20) {
            header.push_str(" holding slots");
        }
        if size > 1 && random.chance(30) {
            write!(header, " quorum {}", 1 + random.below(size)).unwrap();
        }
        let output = if random.chance(30) {
            " output n: int = 0"
        } else {
            ""
        };
        writeln!(text, "{header} {{ run = \"true\"{output} }}").unwrap();
        sizes.push(size);
    }
    text.push_str("  finally stage last { run = \"echo ${run.outcome}\" }\n}\n");
    text
}

fn after(random: &mut Random, sizes: &[usize]) -> Vec<String> {
    let mut deps = Vec::new();
    let mut used = BTreeSet::new();
    for _ in 0..random.below(5) {
        let stage = random.below(sizes.len());
        if sizes.is_empty() || !used.insert(stage) {
            continue;
        }
        let mut dep = format!("s-{stage}");
        if sizes[stage] > 0 && random.chance(30) {
            write!(dep, "[{}]", random.below(sizes[stage])).unwrap();
        }
        dep.push_str(["", "", "", ".failed", ".skipped", ".finished"][random.below(6)]);
        deps.push(dep);
    }
    if deps.len() > 2 && random.chance(40) {
        let rest = deps.split_off(1);
        deps.push(format!("any({})", rest.join(", ")));
    }
    deps
}

fn names_by_kind(manifests: &Manifests) -> BTreeMap<&'static str, BTreeSet<String>> {
    let mut names: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
    for object in manifests.objects() {
        let name = object.name().to_owned();
        assert!(name.len() <= 63, "{object}");
        assert!(
            names.entry(object.kind()).or_default().insert(name),
            "{object} comes twice"
        );
    }
    names
}

#[test]
fn whatever_an_object_names_is_there() {
    for seed in 0..150 {
        let text = pipeline(&mut Random(seed));
        let manifests = manifests(&text);
        let names = names_by_kind(&manifests);
        let has = |kind: &str, name: &str| names.get(kind).is_some_and(|all| all.contains(name));
        let mut jobs = 0;
        for object in manifests.objects() {
            match &object {
                Object::Gate(gate) => {
                    assert!(
                        (1..=256).contains(&gate.spec.conditions.len()),
                        "{seed}: {object}"
                    );
                    for condition in &gate.spec.conditions {
                        let kind = match condition.kind {
                            ConditionKind::Job => "Job",
                            ConditionKind::Barrier => "Barrier",
                            ConditionKind::Gate => "Gate",
                            ConditionKind::Run => "Run",
                        };
                        let name = condition.name.as_deref().unwrap();
                        assert!(
                            has(kind, name),
                            "{seed}: {object} waits for {kind} {name}\n{text}"
                        );
                    }
                }
                Object::Job(job) => {
                    jobs += 1;
                    let annotations = job.metadata.annotations.clone().unwrap_or_default();
                    let gate = annotations.get(annotation::GATE);
                    assert!(
                        gate.is_none_or(|gate| has("Gate", gate)),
                        "{seed}: {object}\n{text}"
                    );
                    let suspended = job.spec.as_ref().unwrap().suspend == Some(true);
                    assert!(suspended, "{seed}: {object}\n{text}");
                }
                _ => {}
            }
        }
        let run = manifests.run();
        assert_eq!(
            run.spec.jobs + run.spec.finally_jobs,
            jobs,
            "{seed}\n{text}"
        );
    }
}

#[test]
fn a_barriers_parties_are_the_jobs_that_exist() {
    for seed in 0..150 {
        let text = pipeline(&mut Random(seed));
        let manifests = manifests(&text);
        let labels: Vec<_> = manifests
            .objects()
            .filter(|object| object.kind() == "Job")
            .map(|object| object.metadata().labels.clone().unwrap_or_default())
            .collect();
        for object in manifests.objects() {
            let Object::Barrier(barrier) = &object else {
                continue;
            };
            let selector = &barrier.spec.jobs.as_ref().unwrap().match_labels;
            let matching = labels
                .iter()
                .filter(|labels| selector.iter().all(|(k, v)| labels.get(k) == Some(&v.0)))
                .count();
            assert_eq!(
                matching, barrier.spec.expected as usize,
                "{seed}: {object}\n{text}"
            );
        }
    }
}

/// Leaving out what is implied must not change which stage waits, directly or not, for which.
#[test]
fn reduction_keeps_every_order() {
    for seed in 0..150 {
        let mut random = Random(seed);
        let count = 3 + random.below(25);
        let mut text = String::from("pipeline p {\n  defaults { image = \"busybox:1.36\" }\n");
        let mut before: Vec<BTreeSet<usize>> = Vec::new();
        for index in 0..count {
            let mut deps: BTreeSet<usize> = BTreeSet::new();
            for _ in 0..random.below(index.min(6) + 1) {
                deps.insert(random.below(index));
            }
            let list: Vec<String> = deps.iter().map(|dep| format!("s-{dep}")).collect();
            let after = if list.is_empty() {
                String::new()
            } else {
                format!(" after {}", list.join(", "))
            };
            writeln!(text, "  stage s-{index}{after} {{ run = \"true\" }}").unwrap();
            let mut all = deps.clone();
            deps.iter().for_each(|dep| all.extend(&before[*dep]));
            before.push(all);
        }
        text.push('}');
        let manifests = manifests(&text);
        let mut gates: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for object in manifests.objects() {
            if let Object::Gate(gate) = &object {
                let names = gate.spec.conditions.iter().map(|c| c.name.clone().unwrap());
                let stages = names.map(|name| name.strip_prefix("p-s-").unwrap().parse().unwrap());
                gates.insert(object.name().to_owned(), stages.collect());
            }
        }
        let mut reached: Vec<BTreeSet<usize>> = Vec::new();
        for object in manifests.objects().filter(|object| object.kind() == "Job") {
            let annotations = object.metadata().annotations.clone().unwrap_or_default();
            let direct = annotations
                .get(annotation::GATE)
                .map(|gate| gates[gate].clone());
            let direct = direct.unwrap_or_default();
            let mut all: BTreeSet<usize> = direct.iter().copied().collect();
            direct.iter().for_each(|dep| all.extend(&reached[*dep]));
            for dep in &direct {
                let implied = direct.iter().any(|other| reached[*other].contains(dep));
                assert!(!implied, "{seed}: {object} waits for s-{dep} twice\n{text}");
            }
            reached.push(all);
        }
        assert_eq!(reached, before, "{seed}\n{text}");
    }
}

#[test]
fn generated_pipelines_give_the_same_bytes_twice() {
    for seed in 0..100 {
        let text = pipeline(&mut Random(seed));
        assert_eq!(
            manifests(&text).to_yaml(),
            manifests(&text).to_yaml(),
            "{seed}\n{text}"
        );
    }
}

/// Whatever is broken in a file, it is reported, in order, and nothing panics.
#[test]
fn broken_files_end_in_diagnostics() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut texts: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "kon") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts.sort();
    let mut random = Random(1);
    for round in 0..400 {
        let text = broken(&texts[random.below(texts.len())], &texts, &mut random);
        let mut sources = Sources::default();
        sources.add("test.kon", text.as_str());
        let options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
        for result in [compile(sources.clone(), &options), check(sources, &options)] {
            let spans: Vec<_> = result
                .diagnostics
                .iter()
                .map(|reported| reported.span())
                .collect();
            assert!(spans.is_sorted(), "{round}\n{text}");
            let something = result.manifests.is_some() || result.schedule.is_some();
            assert!(!(something && result.has_errors()), "{round}\n{text}");
            if let Some(manifests) = result.manifests {
                assert_eq!(
                    manifests.objects().count(),
                    manifests.len(),
                    "{round}\n{text}"
                );
            }
        }
    }
}

/// A text with some words taken out, doubled, or replaced by words of other texts.
fn broken(text: &str, others: &[String], random: &mut Random) -> String {
    let mut words: Vec<&str> = text
        .split_inclusive([' ', '\n', '(', ')', '[', ']', '.', ','])
        .collect();
    for _ in 0..1 + random.below(4) {
        let at = random.below(words.len());
        let other = &others[random.below(others.len())];
        let others: Vec<&str> = other.split_inclusive([' ', '\n', '(', '[', ',']).collect();
        match random.below(4) {
            0 => {
                words.remove(at);
            }
            1 => words.insert(at, words[at]),
            2 => words[at] = others[random.below(others.len())],
            _ => {
                let with = random.below(words.len());
                words.swap(at, with);
            }
        }
        if words.is_empty() {
            return String::new();
        }
    }
    words.concat()
}
