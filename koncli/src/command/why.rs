//! `koncli why`: what keeps a stage from starting, down to the object at the bottom of it.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Arrivals, Holder, HolderKind, Run, Verdict, annotation, label};
use konductor_operator::words::Named;
use kube::ResourceExt;

use super::get;
use super::status::{around, expect_stage};
use crate::arguments::Global;
use crate::exit::{Failure, NOT_FOUND};
use crate::view::{Around, Item, State, hold_message, in_the_way, item, title};
use crate::{cluster, output};

/// How many holders are named.
const HOLDERS: usize = 5;

/// Tells why the items of a stage stand where they do.
pub(crate) async fn why(global: &Global, run: &str, stage: &str) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let found: Run = get(&client, "run", run).await?;
    let around = around(&client, run).await?;
    let of_stage = |job: &&Job| labelled(job, label::STAGE) == Some(stage);
    let jobs: Vec<&Job> = around.jobs.iter().filter(of_stage).collect();
    if jobs.is_empty() {
        expect_stage(&found, &around, stage)?;
        return Err(not_created(&found, &around, stage));
    }
    let mut lines = Vec::new();
    for job in jobs {
        chain(job, &around, 0, &mut BTreeSet::new(), &mut lines);
    }
    output::data(
        &lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    );
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

fn labelled<'a>(job: &'a Job, key: &str) -> Option<&'a str> {
    job.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

fn line(depth: usize, text: &str) -> String {
    format!("{}{text}", "  ".repeat(depth))
}

/// A Job, and below it what it waits for. What was told once is not told again.
fn chain(
    job: &Job,
    around: &Around,
    depth: usize,
    told: &mut BTreeSet<String>,
    lines: &mut Vec<String>,
) {
    let Item {
        state, since, why, ..
    } = item(job, around);
    let age = match since {
        Some(since) => format!(" for {}", output::age(Some(since))),
        None => String::new(),
    };
    let why = match state {
        // What it waits for is below.
        State::Waiting => String::new(),
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
    let gate = job
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(annotation::GATE));
    match (state, gate) {
        (State::Waiting, Some(gate)) => gate_chain(gate, around, depth + 1, told, lines),
        (State::Queued, _) => {
            if let Some(message) =
                hold_message(job, around).filter(|one| !why.contains(one.as_str()))
            {
                lines.push(line(depth + 1, &message));
            }
            lines.extend(holding(&in_the_way(job, around), depth + 2));
        }
        _ => {}
    }
}

/// Who has what is waited for, and since when.
fn holding(holders: &[Holder], depth: usize) -> Vec<String> {
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
    let mut told: Vec<String> = told.collect();
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
    lines: &mut Vec<String>,
) {
    if !told.insert(format!("gate/{name}")) {
        return;
    }
    let Some(gate) = around.gates.get(name) else {
        lines.push(line(depth, &format!("gate/{name} does not exist")));
        return;
    };
    let statuses = gate
        .status
        .iter()
        .flat_map(|status| &status.condition_statuses);
    let pending: Vec<_> = statuses
        .filter(|one| one.verdict == Verdict::Pending)
        .collect();
    if gate.spec.conditions.is_empty() {
        let text = format!("gate/{name} is opened by hand: `koncli gate open {name}`");
        lines.push(line(depth, &text));
    }
    for condition in pending {
        let (kind, target) = condition.target.split_once('/').unwrap_or(("", ""));
        match kind {
            "job" => match around
                .jobs
                .iter()
                .find(|job| job.metadata.name.as_deref() == Some(target))
            {
                Some(job) => chain(job, around, depth, told, lines),
                None => lines.push(line(depth, &format!("job/{target} does not exist"))),
            },
            "gate" => gate_chain(target, around, depth, told, lines),
            "barrier" => barrier_chain(target, around, depth, told, lines),
            _ => lines.push(line(
                depth,
                &format!("{}: {}", condition.target, condition.message),
            )),
        }
    }
}

fn barrier_chain(
    name: &str,
    around: &Around,
    depth: usize,
    told: &mut BTreeSet<String>,
    lines: &mut Vec<String>,
) {
    if !told.insert(format!("barrier/{name}")) {
        return;
    }
    let Some(barrier) = around.barriers.get(name) else {
        lines.push(line(depth, &format!("barrier/{name} does not exist")));
        return;
    };
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
            .all(|(key, value)| labelled(job, key) == Some(value.0.as_str()))
    });
    for job in parties.filter(|job| !item(job, around).state.has_ended()) {
        chain(job, around, depth + 1, told, lines);
    }
}
