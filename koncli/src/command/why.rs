//! `koncli why`: what keeps a stage from starting, down to the object at the bottom of it.

use std::collections::BTreeSet;
use std::fmt;

use konductor_api::{
    Arrivals, Barrier, Holder, HolderKind, Participant, Run, Subject, Target, Verdict, label,
};
use konductor_operator::words::Named;
use konductor_operator::{HeldBack, Waits};
use kube::ResourceExt;
use serde::Serialize;
use serde_json::json;

use super::around::{around, expect_stage};
use super::get;
use crate::arguments::Global;
use crate::exit::{Failure, NOT_FOUND};
use crate::view::{Around, Item, hold_message, in_the_way, item, subjects, title};
use crate::{cluster, output};

/// How many holders are named.
const HOLDERS: usize = 5;

/// Tells why the items of a stage stand where they do.
pub(crate) async fn why(global: &Global, run: &str, stage: &str) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let found: Run = get(&client, "run", run).await?;
    let around = around(&client, run).await?;
    let of_stage = |job: &&Participant| job.label(label::STAGE) == Some(stage);
    let jobs: Vec<&Participant> = around.jobs.iter().filter(of_stage).collect();
    if jobs.is_empty() {
        expect_stage(&found, &around, stage)?;
        return Err(not_created(&found, &around, stage));
    }
    let mut lines = Vec::new();
    for job in jobs {
        chain(job, &around, 0, &mut BTreeSet::new(), &mut lines);
    }
    let report = json!({"run": run, "stage": stage, "lines": lines});
    if !output::document(global, &report)? {
        output::data(&lines.iter().map(Line::to_string).collect::<String>());
    }
    Ok(())
}

/// Tells that a run may have a stage, but that not all of its Jobs are there.
fn not_created(run: &Run, around: &Around, stage: &str) -> Failure {
    let name = run.name_any();
    let jobs = (run.spec.jobs + run.spec.finally_jobs) as usize;
    let missing = jobs.saturating_sub(around.jobs.len());
    if run.status.as_ref().is_some_and(|status| status.complete) {
        let message = format!(
            "run/{name} has no Job of stage {stage}, and {missing} of its {jobs} Jobs were deleted"
        );
        return Failure::new(NOT_FOUND, message).help(format!("look at `koncli status {name}`"));
    }
    let message = format!(
        "run/{name} has no Job of stage {stage}, and {missing} of its {jobs} Jobs do not exist yet"
    );
    Failure::new(NOT_FOUND, message)
        .help("if nobody creates them, apply the file again or cancel the run")
}

/// What keeps something, below what it keeps.
#[derive(Debug, Serialize)]
struct Line {
    depth: usize,
    text: String,
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}{}", "  ".repeat(self.depth), self.text)
    }
}

fn line(depth: usize, text: &str) -> Line {
    Line {
        depth,
        text: text.to_owned(),
    }
}

/// A Job, and below it what it waits for. What was told once is not told again.
fn chain(
    job: &Participant,
    around: &Around,
    depth: usize,
    told: &mut BTreeSet<String>,
    lines: &mut Vec<Line>,
) {
    let Item {
        state,
        since,
        why,
        waits,
        ..
    } = item(job, around);
    let age = match since {
        Some(since) => format!(" for {}", output::age(Some(since))),
        None => String::new(),
    };
    let why = match waits {
        // What it waits for is below.
        Some(Waits::Gate(_)) => String::new(),
        _ if why.is_empty() => why,
        _ => format!(": {why}"),
    };
    let (mark, word) = (state.mark(), state.word());
    lines.push(line(
        depth,
        &format!("{mark} {} {word}{age}{why}", title(job)),
    ));
    let name = job.metadata.name.clone().unwrap_or_default();
    if !told.insert(format!("job/{name}")) {
        return;
    }
    match waits {
        Some(Waits::Gate(gate)) => gate_chain(&gate, around, depth + 1, told, lines),
        Some(Waits::Hold(hold)) => {
            let message = hold_message(&hold, around);
            if !why.contains(message.as_str()) {
                lines.push(line(depth + 1, &message));
            }
            lines.extend(holding(&in_the_way(&hold, around), depth + 2));
        }
        Some(Waits::Run(HeldBack::Paused)) => {
            let run = job.run().unwrap_or_default();
            lines.push(line(
                depth + 1,
                &format!("`koncli resume {run}` resumes it"),
            ));
        }
        _ => {}
    }
}

/// Who has what is waited for, and since when.
fn holding(holders: &[Holder], depth: usize) -> Vec<Line> {
    let told = holders.iter().take(HOLDERS).map(|held| {
        let kind = match held.kind {
            HolderKind::Job => "job",
            HolderKind::Claim => "claim",
        };
        let who = match held.holder.as_str() {
            "" => String::new(),
            name if name == held.name => String::new(),
            name => format!(" of {name}"),
        };
        let since = match &held.since {
            Some(since) => format!(" for {}", output::age(Some(since.0))),
            None => String::new(),
        };
        let permits = match held.permits {
            1 => "it".to_owned(),
            many => format!("{many}"),
        };
        line(
            depth,
            &format!("{kind}/{}{who} has had {permits}{since}", held.name),
        )
    });
    let mut told: Vec<Line> = told.collect();
    if holders.len() > HOLDERS {
        told.push(line(
            depth,
            &format!("and {} more", holders.len() - HOLDERS),
        ));
    }
    told
}

fn gate_chain(
    name: &str,
    around: &Around,
    depth: usize,
    told: &mut BTreeSet<String>,
    lines: &mut Vec<Line>,
) {
    if !told.insert(format!("gate/{name}")) {
        return;
    }
    let Some(gate) = around.gates.get(name) else {
        lines.push(line(depth, &format!("gate/{name} does not exist")));
        return;
    };
    if gate.spec.conditions.is_empty() {
        let text = format!("gate/{name} is opened by hand: `koncli gate open {name}`");
        lines.push(line(depth, &text));
    }
    let statuses = gate.status.iter();
    let statuses = statuses.flat_map(|status| &status.condition_statuses);
    for (subject, status) in subjects(gate).zip(statuses) {
        if status.verdict == Verdict::Pending {
            subject_chain(&subject, &status.message, around, depth, told, lines);
        }
    }
}

/// What a condition is about, and below it what that waits for; if it is not known, what its Gate says of it.
fn subject_chain(
    subject: &Subject,
    message: &str,
    around: &Around,
    depth: usize,
    told: &mut BTreeSet<String>,
    lines: &mut Vec<Line>,
) {
    match &subject.target {
        _ if subject.is_foreign => {}
        Target::Job(name) => {
            let mut jobs = around.jobs.iter();
            if let Some(job) = jobs.find(|job| job.metadata.name.as_ref() == Some(name)) {
                return chain(job, around, depth, told, lines);
            }
        }
        Target::Gate(name) => {
            if around.gates.contains_key(name) {
                return gate_chain(name, around, depth, told, lines);
            }
        }
        Target::Barrier { name, .. } => {
            if let Some(barrier) = around.barriers.get(name) {
                return barrier_chain(name, barrier, around, depth, told, lines);
            }
        }
        Target::Jobs { .. } | Target::Run(_) | Target::RunOf { .. } => {}
    }
    lines.push(line(depth, message));
}

fn barrier_chain(
    name: &str,
    barrier: &Barrier,
    around: &Around,
    depth: usize,
    told: &mut BTreeSet<String>,
    lines: &mut Vec<Line>,
) {
    if !told.insert(format!("barrier/{name}")) {
        return;
    }
    let arrived = barrier.status.as_ref().map_or(0, |status| status.arrived);
    let needed = barrier.spec.quorum.unwrap_or(barrier.spec.expected);
    let text = match Named::barrier(&barrier.metadata, barrier) {
        Some(Named::Approval { approval, .. }) => {
            format!("approval {approval} waits: {arrived} of {needed} given (barrier/{name})")
        }
        Some(stage) => format!("{stage} waits: {arrived} of {needed} succeeded (barrier/{name})"),
        None => format!("barrier/{name} waits: {arrived} of {needed} have arrived"),
    };
    lines.push(line(depth, &text));
    if barrier.spec.arrivals == Arrivals::Verified {
        let text = format!("`koncli approve {name}` gives an approval");
        lines.push(line(depth + 1, &text));
    }
    let Some(selector) = &barrier.spec.jobs else {
        return;
    };
    let parties = around.jobs.iter().filter(|job| {
        selector
            .match_labels
            .iter()
            .all(|(key, value)| job.label(key) == Some(value.0.as_str()))
    });
    for job in parties.filter(|job| !item(job, around).state.has_ended()) {
        chain(job, around, depth + 1, told, lines);
    }
}
