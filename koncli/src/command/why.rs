//! `koncli why`: what keeps a stage from starting, down to the object at the bottom of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use konductor_api::condition::OPEN;
use konductor_api::{Arrival, ArrivalOutcome, Arrivals, Barrier, Holder, Participant, Run, label};
use konductor_operator::run_graph::{How, Link, Node, RunGraph};
use konductor_operator::standing::{ItemStanding, State, gate_message, hold_message};
use konductor_operator::words::{Named, apply_again};
use konductor_operator::{HeldBack, RunObjects, Waits};
use kube::ResourceExt;
use kube::api::ListParams;
use serde::Serialize;
use serde_json::json;

use super::objects::{Meant, expect, objects_of};
use super::{api, get};
use crate::arguments::Global;
use crate::exit::{Failure, NOT_FOUND};
use crate::view::{Item, item, message, title, waits_for_gate};
use crate::{cluster, output, read};

/// How many holders are named.
const HOLDERS: usize = 5;

/// Prints what the items of a stage wait for, or how they ended; without a stage, of all that have not succeeded.
pub(crate) async fn why(global: &Global, run: &str, stage: Option<&str>) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let found: Run = get(&client, "run", run).await?;
    let objects = objects_of(&client, run).await?;
    let lines = lines(&client, &found, &objects, stage).await?;
    let mut report = json!({"run": run, "lines": lines});
    if let Some(stage) = stage {
        report["stage"] = stage.into();
    }
    if output::document(global, &report)? {
        return Ok(());
    }
    if lines.is_empty() {
        output::talk(&format!("run/{run}: no stage waits, and none has failed"));
    }
    output::data(&lines.iter().map(Line::to_string).collect::<String>());
    Ok(())
}

/// Returns what the items of a stage wait for, or how they ended; without a stage, of all that have not succeeded.
async fn lines(
    client: &konductor::Client,
    run: &Run,
    objects: &RunObjects,
    stage: Option<&str>,
) -> Result<Vec<Line>, Failure> {
    let is_meant = |job: &&Participant| match stage {
        Some(stage) => Meant::of(stage).is_of(job),
        None => !matches!(State::of(job), State::Succeeded | State::Skipped),
    };
    let jobs = objects.jobs_and_gone();
    let jobs: Vec<&Participant> = jobs.filter(is_meant).collect();
    let approval = stage.and_then(|stage| approval(run, objects, stage));
    let is_found = !jobs.is_empty() || approval.is_some();
    if let Some(stage) = stage.filter(|_| !is_found) {
        expect(run, objects, Meant::of(stage))?;
        return Err(not_created(run, objects, stage));
    }
    let answers = answers(client, objects).await;
    let mut chain = Chain {
        answers: &answers,
        objects,
        graph: objects.graph(),
        reported: BTreeSet::new(),
        lines: Vec::new(),
    };
    for job in jobs {
        // In a list of stages, what one waits for has a line of its own.
        if stage.is_some() {
            chain.reported.clear();
        }
        match stage.map(Meant::of) {
            Some(meant) if meant.item.is_some() => chain.item(job, meant),
            _ => chain.job(job, 0),
        }
    }
    if let Some(barrier) = approval {
        chain.approval(barrier);
    }
    Ok(chain.lines)
}

/// Returns the same lines of a stage, each with its depth.
pub(super) async fn explained(
    client: &konductor::Client,
    run: &Run,
    objects: &RunObjects,
    stage: &str,
) -> Result<Vec<(usize, String)>, Failure> {
    let lines = lines(client, run, objects, Some(stage)).await?;
    Ok(lines
        .into_iter()
        .map(|line| (line.depth, line.text))
        .collect())
}

/// The answers to approvals, by the Barrier's name: who gave each, and which.
type Answers = BTreeMap<String, Vec<(String, ArrivalOutcome)>>;

/// What people have answered to the approvals of a run that do not count answers yet, by the Barrier's name. Their status
/// does not say it. Who may not read answers sees none.
async fn answers(client: &konductor::Client, objects: &RunObjects) -> Answers {
    let mut answers = BTreeMap::new();
    for barrier in objects.barriers().filter(|one| waits_for_gate(one)) {
        let name = barrier.name_any();
        let at_barrier = ListParams::default().fields(&format!("spec.barrier={name}"));
        let found = read::list(&api::<Arrival>(client), &at_barrier).await;
        let found = found.unwrap_or_default().into_iter();
        let counts = found.filter(|arrival| {
            let owners = arrival.owner_references();
            arrival.spec.verified
                && owners
                    .iter()
                    .any(|owner| Some(&owner.uid) == barrier.metadata.uid.as_ref())
        });
        let counts = counts.map(|arrival| (arrival.spec.holder, arrival.spec.outcome));
        answers.insert(name, counts.collect());
    }
    answers
}

/// The approval of a run with this name: in the pipeline, or of its Barrier.
fn approval<'a>(run: &Run, objects: &'a RunObjects, name: &str) -> Option<&'a Barrier> {
    let own = format!("{}-{name}", run.name_any());
    let barrier = objects.barrier(&own).or_else(|| objects.barrier(name))?;
    let is_own = Named::barrier(&barrier.metadata, barrier).is_some()
        && barrier.labels().get(label::RUN) == run.metadata.name.as_ref();
    (is_own && barrier.spec.arrivals == Arrivals::Verified).then_some(barrier)
}

/// A run may have this stage, but some of its Jobs do not exist.
fn not_created(run: &Run, objects: &RunObjects, stage: &str) -> Failure {
    let name = run.name_any();
    let jobs = run.spec.jobs.saturating_add(run.spec.finally_jobs) as usize;
    let missing = jobs.saturating_sub(objects.jobs().len());
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

/// What keeps a stage, with what keeps that below it. What was reported once is not reported again.
struct Chain<'a> {
    /// What people have answered before it counts.
    answers: &'a Answers,
    objects: &'a RunObjects,
    graph: RunGraph<'a>,
    reported: BTreeSet<Node>,
    lines: Vec<Line>,
}

impl Chain<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        self.lines.push(line(depth, text));
    }

    /// What one item of a Job does; below it the Job, if the item has not begun.
    fn item(&mut self, job: &Participant, meant: Meant<'_>) {
        let standings = ItemStanding::all(job, self.objects);
        let item = meant.index_in(job).and_then(|index| standings.get(index));
        let Some(ItemStanding { name, state, why }) = item else {
            return self.job(job, 0);
        };
        let why = match why.is_empty() {
            true => String::new(),
            false => format!(": {why}"),
        };
        let (mark, word, title) = (state.mark(), state.word(), title(job));
        self.line(0, &format!("{mark} {title}[{name}] {word}{why}"));
        if !matches!(state, State::Succeeded | State::Failed | State::Running) {
            self.job(job, 1);
        }
    }

    /// A Job, and below it what it waits for.
    fn job(&mut self, job: &Participant, depth: usize) {
        let Item {
            state,
            since,
            why,
            waits,
            holders,
            ..
        } = item(job, self.objects);
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
        self.line(depth, &format!("{mark} {} {word}{age}{why}", title(job)));
        if !self.reported.insert(Node::Job(job.name().to_owned())) {
            return;
        }
        match waits {
            Some(Waits::Gate(gate)) => match self.objects.gate(&gate) {
                Some(_) => self.gate(&gate, depth + 1),
                None => self.line(depth + 1, &gate_message(job, &gate, self.objects)),
            },
            Some(Waits::Hold(hold)) => {
                let message = hold_message(job, &hold, self.objects);
                if !why.contains(message.as_str()) {
                    self.line(depth + 1, &message);
                }
                self.lines.extend(holding(&holders, depth + 2));
            }
            Some(Waits::Run(HeldBack::Paused)) => {
                let run = job.run().unwrap_or_default();
                self.line(depth + 1, &format!("`koncli resume {run}` resumes it"));
            }
            // The line of the Job says it.
            Some(
                Waits::Run(_)
                | Waits::Correction(_)
                | Waits::Release(_)
                | Waits::Outputs
                | Waits::Barrier(_)
                | Waits::Admission(_)
                | Waits::Suspended
                | Waits::Deletion,
            )
            | None => {}
        }
    }

    fn gate(&mut self, name: &str, depth: usize) {
        let node = Node::Gate(name.to_owned());
        if !self.reported.insert(node.clone()) {
            return;
        }
        let Some(gate) = self.objects.gate(name) else {
            return self.line(depth, &format!("gate/{name} does not exist"));
        };
        if gate.spec.conditions.is_empty() {
            let text = format!("gate/{name} is opened by hand: `koncli gate open {name}`");
            self.line(depth, &text);
        }
        for link in self.graph.pending(&node) {
            self.condition(&link, depth);
        }
    }

    /// What a condition is about, and below it what that waits for; if it is not known, what its Gate says of it.
    fn condition(&mut self, link: &Link<'_>, depth: usize) {
        let objects = self.objects;
        let known = match &link.before {
            Node::Job(name) => objects.job(name).map(|job| self.job(job, depth)),
            Node::Gate(name) => objects.gate(name).map(|_| self.gate(name, depth)),
            Node::Barrier(name) => {
                let barrier = objects.barrier(name);
                barrier.map(|barrier| self.barrier(name, barrier, depth))
            }
            Node::Jobs(_) | Node::Run | Node::Elsewhere(_) => None,
        };
        if known.is_some() {
            return;
        }
        if let How::Condition {
            status: Some(status),
            ..
        } = link.how
        {
            self.line(depth, &status.message);
        }
        self.parties(&link.before, depth + 1);
    }

    fn barrier(&mut self, name: &str, barrier: &Barrier, depth: usize) {
        let node = Node::Barrier(name.to_owned());
        if !self.reported.insert(node.clone()) {
            return;
        }
        let early = self.answers.get(name);
        let early = early.map(Vec::as_slice).unwrap_or_default();
        let succeeded = |outcome: ArrivalOutcome| outcome == ArrivalOutcome::Succeeded;
        let given = early.iter().filter(|(_, outcome)| succeeded(*outcome));
        let given = u32::try_from(given.count()).unwrap_or(u32::MAX);
        let denied = early.iter().find(|(_, outcome)| !succeeded(*outcome));
        let arrived = barrier.status.as_ref().map_or(0, |status| status.arrived);
        let arrived = arrived.max(given);
        let needed = barrier.spec.quorum.unwrap_or(barrier.spec.expected);
        let text = match Named::barrier(&barrier.metadata, barrier) {
            Some(Named::Approval { approval, .. }) if let Some((by, _)) = denied => {
                format!("approval {approval} was denied by {by} (barrier/{name})")
            }
            Some(Named::Approval { approval, .. }) => {
                format!("approval {approval} waits: {arrived} of {needed} given (barrier/{name})")
            }
            Some(stage) => {
                format!("{stage} waits: {arrived} of {needed} succeeded (barrier/{name})")
            }
            None => format!("barrier/{name} waits: {arrived} of {needed} have arrived"),
        };
        self.line(depth, &text);
        if let Some(gate) = barrier.spec.gate.as_deref()
            && self.objects.gate(gate).is_none()
        {
            let instead = apply_again(&barrier.metadata, gate);
            self.line(depth + 1, &format!("gate/{gate} does not exist{instead}"));
        }
        if barrier.spec.arrivals == Arrivals::Verified && arrived < needed && denied.is_none() {
            let text = format!("`koncli approve {name}` gives an approval");
            self.line(depth + 1, &text);
        }
        if let Some(gate) = barrier.spec.gate.as_deref()
            && let Some(found) = self.objects.gate(gate)
            && !State::of_gate(found).has_ended()
        {
            self.line(
                depth + 1,
                &format!("counts from the opening of gate/{gate}"),
            );
            self.gate(gate, depth + 2);
        }
        self.parties(&node, depth + 1);
    }

    /// An approval that is asked about itself.
    fn approval(&mut self, barrier: &Barrier) {
        let name = barrier.name_any();
        let state = State::of_barrier(barrier);
        if !state.has_ended() {
            return self.barrier(&name, barrier, 0);
        }
        let status = barrier.status.as_ref();
        let why = status.and_then(|status| message(&status.conditions, OPEN));
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        let (mark, word) = (state.mark(), state.word());
        let text = match Named::barrier(&barrier.metadata, barrier) {
            Some(named) => format!("{mark} {named} {word}{why} (barrier/{name})"),
            None => format!("{mark} barrier/{name} {word}{why}"),
        };
        self.line(0, &text);
    }

    /// The Jobs that are counted here and have not ended.
    fn parties(&mut self, node: &Node, depth: usize) {
        for link in self.graph.pending(node) {
            if let Node::Job(name) = &link.before
                && let Some(job) = self.objects.job(name)
            {
                self.job(job, depth);
            }
        }
    }
}

/// Who has what is waited for, and since when.
fn holding(holders: &[Holder], depth: usize) -> Vec<Line> {
    let reported = holders.iter().take(HOLDERS).map(|held| {
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
        line(depth, &format!("{held}{who} has had {permits}{since}"))
    });
    let mut reported: Vec<Line> = reported.collect();
    if holders.len() > HOLDERS {
        reported.push(line(
            depth,
            &format!("and {} more", holders.len() - HOLDERS),
        ));
    }
    reported
}
