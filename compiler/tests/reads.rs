//! The law of reads: whatever a stage reads has ended before it starts, and a Gate knows the outputs
//! that its `when` names.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{
    Barrier, ConditionKind, ConditionState, Gate, GateCondition, GateMode, annotation, label,
};
use konductor_compiler::{Manifests, Object, Options, compile};
use konductor_dsl::Sources;

const ITEMS: [&str; 3] = ["a", "b", "c"];

/// A stage that others read from.
struct Stage {
    fan_out: bool,
    default: bool,
}

/// A pipeline of random shape in which outputs are read in every clause and every text.
fn pipeline(chance: &mut fastrand::Rng) -> String {
    let mut text = String::from("pipeline p {\n  defaults { image = \"busybox:1.36\" }\n");
    let mut stages: Vec<Stage> = Vec::new();
    let count = chance.usize(3..=8);
    for index in 0..count {
        let fan_out = chance.bool();
        let default = chance.u8(..4) > 0;
        let approval = !fan_out && index > 0 && chance.u8(..5) == 0;
        let finally = index + 1 == count && chance.bool();
        let after = after(chance, &stages, fan_out && !approval);
        let mut header = match (approval, finally) {
            (true, _) => format!("  approval s{index}"),
            (false, true) => format!("  finally stage s{index}"),
            (false, false) => format!("  stage s{index}"),
        };
        if fan_out && !approval {
            header += " for x in [\"a\", \"b\", \"c\"]";
        }
        if !after.is_empty() {
            write!(header, " after {}", after.join(", ")).unwrap();
        }
        if let Some(read) = read(chance, &stages, fan_out && !approval)
            && chance.bool()
        {
            write!(header, " when {read} > 0").unwrap();
        }
        if approval {
            writeln!(text, "{header}").unwrap();
            // Nothing is read from an approval, but it may be waited for.
            stages.push(Stage {
                fan_out: false,
                default: false,
            });
            continue;
        }
        if fan_out && chance.u8(..3) == 0 {
            write!(header, " quorum {}", chance.usize(1..=3)).unwrap();
        }
        let used: Vec<String> = (0..3)
            .filter_map(|_| read(chance, &stages, fan_out))
            .collect();
        let hole = |at: usize| {
            used.get(at)
                .map_or_else(String::new, |read| format!("${{{read}}}"))
        };
        let default_text = if default { " = 0" } else { "" };
        writeln!(
            text,
            "{header} {{\n    exec = [\"echo\", \"{}\", \"{}\"]\n    env {{ N = \"{}\" }}\n    output n: int{default_text}\n  }}",
            hole(0),
            hole(1),
            hole(2)
        )
        .unwrap();
        stages.push(Stage { fan_out, default });
    }
    text + "}\n"
}

fn after(chance: &mut fastrand::Rng, stages: &[Stage], fan_out: bool) -> Vec<String> {
    let clause = |chance: &mut fastrand::Rng| {
        let stage = chance.usize(..stages.len().max(1));
        let target = stages.get(stage)?;
        let item = match (target.fan_out, chance.u8(..4)) {
            (true, 0) => format!("[\"{}\"]", ITEMS[chance.usize(..3)]),
            (true, 1) if fan_out => "[x]".to_owned(),
            _ => String::new(),
        };
        let state = ["", "", "", ".failed", ".skipped", ".finished"][chance.usize(..6)];
        Some(format!("s{stage}{item}{state}"))
    };
    let mut clauses = Vec::new();
    for _ in 0..chance.usize(..3) {
        if chance.u8(..3) > 0 {
            clauses.extend(clause(chance));
        } else if let (Some(first), Some(second)) = (clause(chance), clause(chance)) {
            clauses.push(format!("any({first}, {second})"));
        }
    }
    clauses
}

fn read(chance: &mut fastrand::Rng, stages: &[Stage], fan_out: bool) -> Option<String> {
    let stage = chance.usize(..stages.len().max(1));
    let target = stages.get(stage)?;
    // If the compiler would refuse most of them, nothing is learned.
    if !target.default && chance.u8(..3) > 0 {
        return None;
    }
    Some(match (target.fan_out, fan_out && chance.bool()) {
        (false, _) => format!("s{stage}.n"),
        (true, true) => format!("s{stage}[x].n"),
        (true, false) => format!("s{stage}[\"{}\"].n", ITEMS[chance.usize(..3)]),
    })
}

fn compiled(text: &str) -> Option<Manifests> {
    let mut sources = Sources::default();
    sources.add("test.kon", text);
    let options = Options::at("2026-01-31T02:03:04Z".parse().unwrap());
    compile(sources, &options).manifests
}

/// The objects of a run, by name.
#[derive(Default)]
struct World {
    gates: BTreeMap<String, Gate>,
    jobs: BTreeMap<String, Job>,
    barriers: BTreeMap<String, Barrier>,
}

fn annotated(job: &Job, key: &str) -> Option<String> {
    job.metadata.annotations.as_ref()?.get(key).cloned()
}

fn labelled(job: &Job, key: &str) -> Option<String> {
    job.metadata.labels.as_ref()?.get(key).cloned()
}

impl World {
    fn of(manifests: &Manifests) -> Self {
        let mut world = Self::default();
        for object in manifests.objects() {
            let name = object.name().to_owned();
            match object {
                Object::Gate(gate) => drop(world.gates.insert(name, gate)),
                Object::Job(job) => drop(world.jobs.insert(name, *job)),
                Object::Barrier(barrier) => drop(world.barriers.insert(name, barrier)),
                _ => {}
            }
        }
        world
    }

    /// The Jobs that have surely ended when a Gate is open.
    fn ended_at_gate(&self, gate: &Gate) -> BTreeSet<String> {
        let mut sets = gate
            .spec
            .conditions
            .iter()
            .map(|condition| self.ended_by(condition));
        match gate.spec.mode {
            GateMode::All => sets.flatten().collect(),
            GateMode::Any => {
                let first = sets.next().unwrap_or_default();
                sets.fold(first, |all, set| &all & &set)
            }
        }
    }

    /// The same for a Job that has started.
    fn ended_before(&self, job: &Job) -> BTreeSet<String> {
        let gate = annotated(job, annotation::GATE);
        gate.map(|gate| self.ended_at_gate(&self.gates[&gate]))
            .unwrap_or_default()
    }

    /// The same for one condition that is met.
    fn ended_by(&self, condition: &GateCondition) -> BTreeSet<String> {
        let name = condition.name.clone().unwrap_or_default();
        let with_before = |names: Vec<String>| {
            let before = names
                .iter()
                .flat_map(|name| self.ended_before(&self.jobs[name]))
                .collect::<Vec<_>>();
            names.into_iter().chain(before).collect()
        };
        match (condition.kind, condition.state) {
            (ConditionKind::Job, ConditionState::Complete) => with_before(vec![name]),
            (ConditionKind::Job, _) => BTreeSet::from([name]),
            (ConditionKind::Barrier, ConditionState::Open) => {
                let barrier = &self.barriers[&name].spec;
                if let Some(gate) = &barrier.gate {
                    return self.ended_at_gate(&self.gates[gate]);
                }
                let Some(selector) = &barrier.jobs else {
                    return BTreeSet::new();
                };
                let stage = &selector.match_labels[label::STAGE].0;
                let items: Vec<&Job> = self
                    .jobs
                    .values()
                    .filter(|job| labelled(job, label::STAGE).as_ref() == Some(stage))
                    .collect();
                // One of them has succeeded, so what all of them wait for has ended.
                let mut before = items.iter().map(|job| self.ended_before(job));
                let first = before.next().unwrap_or_default();
                let mut ended = before.fold(first, |all, set| &all & &set);
                if barrier.quorum.is_none() {
                    ended.extend(items.iter().filter_map(|job| job.metadata.name.clone()));
                }
                ended
            }
            (ConditionKind::Gate, ConditionState::Open) => self.ended_at_gate(&self.gates[&name]),
            (ConditionKind::Run, ConditionState::Settled) => {
                let is_main =
                    |job: &&String| labelled(&self.jobs[*job], label::ROLE).unwrap() == "main";
                self.jobs.keys().filter(is_main).cloned().collect()
            }
            _ => BTreeSet::new(),
        }
    }
}

/// The Jobs that a condition in CEL reads outputs of.
fn named_in(when: &str) -> BTreeSet<&str> {
    let parts = when.split("outputs['").skip(1);
    parts.map(|part| part.split('\'').next().unwrap()).collect()
}

#[test]
fn whatever_a_stage_reads_has_ended_before_it_starts() {
    let (mut accepted, mut conditions, mut inputs) = (0, 0, 0);
    for seed in 0..2_000 {
        let text = pipeline(&mut fastrand::Rng::with_seed(seed));
        let Some(manifests) = compiled(&text) else {
            continue;
        };
        accepted += 1;
        let world = World::of(&manifests);
        for (name, gate) in &world.gates {
            let waited: BTreeSet<&str> = gate
                .spec
                .conditions
                .iter()
                .filter(|condition| condition.kind == ConditionKind::Job)
                .filter_map(|condition| condition.name.as_deref())
                .collect();
            for job in named_in(gate.spec.when.as_deref().unwrap_or_default()) {
                conditions += 1;
                assert!(
                    waited.contains(job) && gate.spec.mode == GateMode::All,
                    "seed {seed}: gate/{name} reads job/{job} and does not wait for it\n{text}"
                );
            }
        }
        for (name, job) in &world.jobs {
            let Some(read) = annotated(job, annotation::INPUTS) else {
                continue;
            };
            let read: BTreeMap<String, String> = serde_json::from_str(&read).unwrap();
            let ended = world.ended_before(job);
            for from in read.values() {
                inputs += 1;
                let (source, _) = from.split_once('/').unwrap();
                assert!(
                    ended.contains(source),
                    "seed {seed}: job/{name} reads job/{source}, which may still run\n{text}"
                );
            }
        }
    }
    assert!(
        accepted > 500 && conditions > 500 && inputs > 2_000,
        "too little was looked at: {accepted} pipelines, {conditions} conditions, {inputs} inputs"
    );
}
