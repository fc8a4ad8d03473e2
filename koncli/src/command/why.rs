//! `koncli why`: what keeps a stage from starting, down to the object at the bottom of it.

use std::collections::{BTreeMap, BTreeSet};

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
use crate::output::width::hanging;
use crate::suggestion::suggested;
use crate::view::{Item, item, message, title, waits_for_gate};
use crate::{cluster, output, read};

/// How many holders are named.
const HOLDERS: usize = 5;

/// Prints what the items of a stage wait for, or how they ended; without a stage, of all that have not succeeded.
pub(crate) async fn why(global: &Global, run: &str, stage: Option<&str>) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let run_object: Run = get(&client, "run", run).await?;
    let objects = objects_of(&client, run).await?;
    let lines = lines(&client, &run_object, &objects, stage).await?;
    let mut report = json!({"run": run, "lines": lines});
    if let Some(stage) = stage {
        report["stage"] = stage.into();
    }
    if output::document(global, &report)? {
        return Ok(());
    }
    if lines.is_empty() {
        output::stderr(&format!("run/{run}: no stage waits, and none has failed"));
    }
    let columns = output::columns();
    let shown = lines.iter().map(|line| line.shown(columns));
    output::stdout(&shown.collect::<String>());
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
    for barrier in objects.barriers().filter(|barrier| waits_for_gate(barrier)) {
        let name = barrier.name_any();
        let at_barrier = ListParams::default().fields(&format!("spec.barrier={name}"));
        let arrivals = read::list(&api::<Arrival>(client), &at_barrier).await;
        let arrivals = arrivals.unwrap_or_default().into_iter();
        let counts = arrivals.filter(|arrival| {
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
        let status = suggested(format!("koncli status {name}"));
        return Failure::new(NOT_FOUND, message).help(format!("look at {status}"));
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

impl Line {
    /// On a terminal a long line continues below its text, and not below the lines that say what keeps it.
    fn shown(&self, columns: Option<usize>) -> String {
        let lead = "  ".repeat(self.depth);
        hanging(&lead, &output::clean(&self.text), lead.len() + 4, columns)
    }
}

fn line(depth: usize, text: &str) -> Line {
    Line {
        depth,
        text: text.to_owned(),
    }
}

/// What keeps a stage, with what keeps that below it. What was reported once is named again, without
/// what is below it.
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
            Some(ended) if state.has_ended() => format!(" {} ago", output::age(Some(ended))),
            Some(since) => format!(" for {}", output::age(Some(since))),
            None => String::new(),
        };
        let why = match waits {
            // What it waits for is below.
            Some(Waits::Gate(_)) => String::new(),
            _ if why.is_empty() => why,
            _ => format!(": {why}"),
        };
        let is_repeated = !self.reported.insert(Node::Job(job.name().to_owned()));
        let above = match waits {
            Some(Waits::Gate(_)) if is_repeated => ", as above",
            _ => "",
        };
        let (mark, word, title) = (state.mark(), state.word(), title(job));
        self.line(depth, &format!("{mark} {title} {word}{age}{why}{above}"));
        if is_repeated {
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
                let resume = suggested(format!("koncli resume {run}"));
                self.line(depth + 1, &format!("{resume} resumes it"));
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
            return self.line(depth, &format!("gate/{name} waits, as above"));
        }
        let Some(gate) = self.objects.gate(name) else {
            return self.line(depth, &format!("gate/{name} does not exist"));
        };
        if gate.spec.conditions.is_empty() {
            let open = suggested(format!("koncli gate open {name}"));
            let text = format!("gate/{name} is opened by hand: {open}");
            self.line(depth, &text);
        }
        // Several conditions may be about one object: `any(load, load.skipped)`.
        let mut about = BTreeSet::new();
        for link in self.graph.pending(&node) {
            let is_shown = match &link.before {
                Node::Job(name) => self.objects.job(name).is_some(),
                Node::Gate(name) => self.objects.gate(name).is_some(),
                Node::Barrier(name) => self.objects.barrier(name).is_some(),
                Node::Jobs(_) | Node::Run | Node::Elsewhere(_) => false,
            };
            if !is_shown || about.insert(link.before.clone()) {
                self.condition(&link, depth);
            }
        }
    }

    /// What a condition is about, and below it what that waits for; if it is not known, what its Gate says of it.
    fn condition(&mut self, link: &Link<'_>, depth: usize) {
        let objects = self.objects;
        let reported = match &link.before {
            Node::Job(name) => objects.job(name).map(|job| self.job(job, depth)),
            Node::Gate(name) => objects.gate(name).map(|_| self.gate(name, depth)),
            Node::Barrier(name) => {
                let barrier = objects.barrier(name);
                barrier.map(|barrier| self.barrier(name, barrier, depth))
            }
            Node::Jobs(_) | Node::Run | Node::Elsewhere(_) => None,
        };
        if reported.is_some() {
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
        let is_repeated = !self.reported.insert(node.clone());
        let early = self.answers.get(name);
        let early = early.map(Vec::as_slice).unwrap_or_default();
        let succeeded = |outcome: ArrivalOutcome| outcome == ArrivalOutcome::Succeeded;
        let approvals = early.iter().filter(|(_, outcome)| succeeded(*outcome));
        let approvals = u32::try_from(approvals.count()).unwrap_or(u32::MAX);
        let denied = early.iter().find(|(_, outcome)| !succeeded(*outcome));
        let arrived = barrier.status.as_ref().map_or(0, |status| status.arrived);
        let arrived = arrived.max(approvals);
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
        if is_repeated {
            return self.line(depth, &format!("{text}, as above"));
        }
        self.line(depth, &text);
        if let Some(gate) = barrier.spec.gate.as_deref()
            && self.objects.gate(gate).is_none()
        {
            let instead = apply_again(&barrier.metadata, gate);
            self.line(depth + 1, &format!("gate/{gate} does not exist{instead}"));
        }
        if barrier.spec.arrivals == Arrivals::Verified && arrived < needed && denied.is_none() {
            let approve = suggested(format!("koncli approve {name}"));
            self.line(depth + 1, &format!("{approve} gives an approval"));
        }
        if let Some(gate) = barrier.spec.gate.as_deref()
            && let Some(gate_object) = self.objects.gate(gate)
            && !State::of_gate(gate_object).has_ended()
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

#[cfg(test)]
mod tests {
    use konductor_api::Gate;
    use konductor_operator::Listed;
    use serde_json::{Value, json};

    use super::*;

    fn metadata(name: &str) -> Value {
        json!({
            "name": name, "namespace": "default", "uid": format!("uid-{name}"),
            "labels": {"konductor.io/run": "r"},
        })
    }

    /// A stage of the run `r`, and its Gate, which waits for the approval to end in these ways.
    fn stage(name: &str, states: &[&str]) -> (Participant, Gate) {
        let object = format!("r-{name}");
        let mut job = json!({
            "metadata": metadata(&object), "spec": {"suspend": true, "template": {}},
        });
        job["metadata"]["labels"]["konductor.io/stage"] = name.into();
        job["metadata"]["annotations"] = json!({"konductor.io/gate": object});
        let conditions = states
            .iter()
            .map(|state| json!({"type": "Barrier", "name": "r-ok", "state": state}));
        let conditions: Vec<Value> = conditions.collect();
        let statuses = states
            .iter()
            .map(|_| json!({"target": "barrier/r-ok", "message": "waits", "verdict": "Pending"}));
        let statuses: Vec<Value> = statuses.collect();
        let gate = json!({
            "metadata": metadata(&object), "spec": {"mode": "Any", "conditions": conditions},
            "status": {"phase": "Waiting", "met": 0, "total": states.len(),
                       "conditionStatuses": statuses},
        });
        let job = serde_json::from_value(job).expect("a Job");
        (job, serde_json::from_value(gate).expect("a Gate"))
    }

    #[test]
    fn each_stage_that_waits_for_one_approval_says_so() {
        let stages = [stage("c", &["Open"]), stage("e", &["Failed", "Skipped"])];
        let (jobs, gates) = stages.into_iter().unzip();
        let approval = json!({
            "metadata": metadata("r-ok"), "spec": {"expected": 1, "arrivals": "Verified"},
        });
        let objects = RunObjects::from(Listed {
            jobs,
            gates,
            barriers: vec![serde_json::from_value(approval).expect("a Barrier")],
            ..Listed::default()
        });
        let answers = Answers::default();
        let mut chain = Chain {
            answers: &answers,
            objects: &objects,
            graph: objects.graph(),
            reported: BTreeSet::new(),
            lines: Vec::new(),
        };
        for job in objects.jobs() {
            chain.job(job, 0);
        }
        // A stage that is asked about again.
        chain.job(&objects.jobs()[0], 0);
        let lines: String = chain.lines.iter().map(|line| line.shown(None)).collect();
        let expected = "\
○ c waiting
  approval ok waits: 0 of 1 given (barrier/r-ok)
    `koncli approve r-ok` gives an approval
○ e waiting
  approval ok waits: 0 of 1 given (barrier/r-ok), as above
○ c waiting, as above
";
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_long_line_ends_at_a_blank_on_a_narrow_terminal_and_is_whole_in_a_pipe() {
        let lines = [
            line(
                0,
                "✗ load failed 5s ago: pod load-x7k2p, exit code 3: no such table",
            ),
            line(
                1,
                "approval sign-off-of-the-night waits: 0 of 2 given (barrier/night-sign-off)",
            ),
            line(
                2,
                "`koncli approve night-sign-off -n nightly-sales` gives an approval",
            ),
        ];
        let shown = |columns| -> String { lines.iter().map(|line| line.shown(columns)).collect() };
        let expected = "\
✗ load failed 5s ago: pod load-x7k2p, exit code 3: no such
    table
  approval sign-off-of-the-night waits: 0 of 2 given
      (barrier/night-sign-off)
    `koncli approve night-sign-off -n nightly-sales` gives
        an approval
";
        assert_eq!(shown(Some(60)), expected);
        assert_eq!(shown(None).lines().count(), lines.len());
        assert_eq!(shown(None), shown(Some(200)));
    }
}
