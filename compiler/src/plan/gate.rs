//! The Gates of a run: one for each distinct set of dependencies.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};
use konductor_api::limits::GATE_CONDITIONS_MAX;

use super::condition::{GateKey, GatePlan, Gates, Identity, Leaf, LeafTarget};
use super::job::{Jobs, base};
use super::skip::{Known, Skips};
use super::{ApprovalPlan, Dag, Plan, varies};
use crate::eval::{Condition, Truth, Values};
use crate::pipeline::{Dependency, Expr, Outside, Pipeline, Source, State, Target, Term, When};

/// Plans the Gates, and the Barriers that they need.
pub(crate) fn plan_gates(
    pipeline: &Pipeline,
    dag: &Dag,
    run: &str,
    jobs: Jobs,
    skips: &Skips,
) -> Plan {
    let stages = pipeline.stages.len();
    let through = |node: usize| match node.checked_sub(stages) {
        Some(approval) => !skips.approvals[approval],
        None => jobs
            .whole(node)
            .is_none_or(|job: usize| jobs.list[job].skipped.is_none()),
    };
    let reduced = dag.reduced(through);
    let mut planner = Planner {
        pipeline,
        run,
        jobs: &jobs,
        skips,
        gates: Gates::default(),
        by_key: HashMap::default(),
        names: HashSet::default(),
        outside: HashMap::default(),
        stage_barriers: vec![false; stages],
        group_barriers: vec![false; jobs.groups.len()],
    };
    for (index, whole) in reduced.iter().take(stages).enumerate() {
        planner.stage(index, whole);
    }
    let approvals = pipeline.approvals.iter().enumerate();
    let approvals: Vec<ApprovalPlan> = approvals
        .map(|(index, approval)| {
            let name = format!("{run}-{}", approval.name.text);
            let whole = reduced.get(stages + index).map(Vec::as_slice);
            let waits = Waits {
                after: &approval.after,
                when: approval.when.as_deref(),
                finally: false,
                whole: whole.unwrap_or_default(),
            };
            let skipped = skips.approvals[index];
            let gate = if skipped {
                None
            } else {
                planner.gate(&name, &waits, Values::of(pipeline))
            };
            ApprovalPlan { skipped, gate }
        })
        .collect();
    let (gates, stage_barriers) = (planner.gates, planner.stage_barriers);
    let group_barriers = planner.group_barriers;
    Plan {
        run: run.to_owned(),
        jobs,
        gates,
        stage_barriers,
        group_barriers,
        approvals,
    }
}

/// What a stage or an approval waits for.
struct Waits<'a> {
    after: &'a [Dependency],
    when: Option<&'a When>,
    finally: bool,
    /// The nodes whose whole success it must wait for by itself, sorted.
    whole: &'a [usize],
}

struct Planner<'a> {
    pipeline: &'a Pipeline,
    run: &'a str,
    jobs: &'a Jobs,
    skips: &'a Skips,
    gates: Gates,
    by_key: HashMap<Arc<GateKey>, usize>,
    names: HashSet<String>,
    outside: HashMap<&'a Outside, usize>,
    stage_barriers: Vec<bool>,
    group_barriers: Vec<bool>,
}

impl<'a> Planner<'a> {
    fn stage(&mut self, index: usize, whole: &'a [usize]) {
        let (pipeline, jobs) = (self.pipeline, self.jobs);
        let stage = &pipeline.stages[index];
        let waits = Waits {
            after: &stage.after,
            when: stage.when.as_deref(),
            finally: stage.finally,
            whole,
        };
        let by_item = (stage.after.iter())
            .any(|clause| varies::of_dependency(clause) && !self.is_implied(clause, &stage.after))
            || stage
                .when
                .as_ref()
                .is_some_and(|when| varies::of_expr(&when.expr));
        let mut shared = None;
        for job in jobs.of_stage(index) {
            let plan = &jobs.list[job];
            let gate = match (plan.skipped.is_some(), by_item, shared) {
                (true, _, _) => None,
                (false, true, _) => self.gate(&plan.name, &waits, plan.values(pipeline)),
                (false, false, Some(gate)) => gate,
                (false, false, None) => {
                    let gate = self.gate(&base(self.run, stage), &waits, plan.values(pipeline));
                    shared = Some(gate);
                    gate
                }
            };
            self.gates.of_job.push(gate);
        }
    }

    /// The Gate for what is waited for; `None` where that is nothing.
    fn gate(&mut self, name: &str, waits: &Waits<'a>, values: Values<'_>) -> Option<usize> {
        let ruled_out = waits
            .after
            .iter()
            .any(|clause| self.skips.known(clause, values) == Known::Out);
        let when = match waits.when {
            // The other clauses decide between skipped and unreached; it never runs.
            _ if ruled_out => Some("false".to_owned()),
            Some(when) => self.cel(when, values),
            None => None,
        };
        let text = waits.when.filter(|_| when.is_some() && !ruled_out);
        let text = text.map(|when| Arc::clone(&when.text));
        let mut read = Vec::new();
        if let (Some(_), Some(condition)) = (&when, waits.when) {
            jobs_read(&condition.expr, &mut |stage, address| {
                read.extend(self.jobs.addressed(stage, address, values));
            });
        }
        let mut leaves = Vec::new();
        let mut choices = Vec::new();
        if waits.finally {
            leaves.push(Leaf {
                target: LeafTarget::Run,
                state: State::Finished,
            });
        }
        let open = |clause: &&Dependency| self.skips.known(clause, values) == Known::Open;
        for dependency in waits.after.iter().filter(open) {
            match &dependency.target {
                Target::Any(parts) => choices.push(self.choice(parts, values)),
                _ if self.is_reduced(dependency, waits.whole, &read) => {}
                _ if self.is_implied(dependency, waits.after)
                    && !self.is_read(dependency, values, &read) => {}
                _ => leaves.extend(self.leaf(dependency, values)),
            }
        }
        for choice in &mut choices {
            choice.sort_unstable();
            choice.dedup();
        }
        let any = match (leaves.as_slice(), choices.as_slice()) {
            ([], [choice]) => {
                leaves.clone_from(choice);
                true
            }
            _ => {
                for choice in choices {
                    leaves.extend(self.sub_gate(name, true, choice));
                }
                false
            }
        };
        leaves.sort_unstable();
        leaves.dedup();
        if !any {
            // Any other end says that it has ended.
            let other: HashSet<LeafTarget> = leaves
                .iter()
                .filter(|leaf| leaf.state != State::Finished)
                .map(|leaf| leaf.target)
                .collect();
            leaves.retain(|leaf| leaf.state != State::Finished || !other.contains(&leaf.target));
        }
        if leaves.is_empty() {
            return None;
        }
        let leaves = self.tree(name, any, leaves, &read);
        let any = any && leaves.len() > 1;
        let key = GateKey { any, leaves, when };
        Some(self.intern(name.to_owned(), key, text))
    }

    fn cel(&self, when: &When, values: Values<'_>) -> Option<String> {
        let job_name = |stage: usize, address: &[Term]| {
            let job = self.jobs.addressed(stage, address, values)?;
            Some(self.jobs.list[job].name.clone())
        };
        let condition = Condition {
            values,
            pipeline: self.pipeline,
            job_name: &job_name,
        };
        match condition.truth(&when.expr) {
            Truth::RunTime(cel) => Some(cel),
            Truth::Known(_) | Truth::Unknown => None,
        }
    }

    /// Whether a dependency is met whenever another one of the same stage is. What `when` reads
    /// stays: a Gate knows the outputs of the Jobs it waits for itself.
    fn is_reduced(&self, dependency: &Dependency, whole: &[usize], read: &[usize]) -> bool {
        if dependency.state != State::Succeeded {
            return false;
        }
        match &dependency.target {
            Target::Stage {
                stage,
                address: None,
            } => {
                let job = self.jobs.whole(*stage);
                whole.binary_search(stage).is_err() && !job.is_some_and(|job| read.contains(&job))
            }
            Target::Approval(approval) => {
                let node = self.pipeline.stages.len() + approval;
                whole.binary_search(&node).is_err()
            }
            _ => false,
        }
    }

    /// Whether an item has ended whenever its whole stage has succeeded, which is waited for too: so
    /// it is without a quorum.
    fn is_implied(&self, dependency: &Dependency, after: &[Dependency]) -> bool {
        let Target::Stage {
            stage,
            address: Some(_),
        } = &dependency.target
        else {
            return false;
        };
        let has_quorum = self.pipeline.stages[*stage].quorum.is_some();
        let is_whole = |clause: &Dependency| match &clause.target {
            Target::Stage { stage: other, .. } if other != stage => false,
            Target::Stage { address: None, .. } => !has_quorum,
            Target::Stage {
                address: Some(address),
                ..
            } => Term::are_every(address),
            Target::Approval(_) | Target::Any(_) | Target::Outside(_) => false,
        };
        let is_whole = |clause: &Dependency| clause.state == State::Succeeded && is_whole(clause);
        dependency.state == State::Finished && after.iter().any(is_whole)
    }

    /// Whether `when` reads an output of just the item that a dependency is about.
    fn is_read(&self, dependency: &Dependency, values: Values<'_>, read: &[usize]) -> bool {
        let Target::Stage {
            stage,
            address: Some(address),
        } = &dependency.target
        else {
            return false;
        };
        let job = self.jobs.addressed(*stage, address, values);
        job.is_some_and(|job| read.contains(&job))
    }

    fn choice(&mut self, parts: &'a [Dependency], values: Values<'_>) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        for part in parts
            .iter()
            .filter(|part| self.skips.known(part, values) == Known::Open)
        {
            match &part.target {
                Target::Any(inner) => leaves.extend(self.choice(inner, values)),
                _ => leaves.extend(self.leaf(part, values)),
            }
        }
        leaves
    }

    fn leaf(&mut self, dependency: &'a Dependency, values: Values<'_>) -> Option<Leaf> {
        let target = match &dependency.target {
            Target::Stage {
                stage,
                address: Some(address),
            } if Term::are_several(address) => {
                return self.group(*stage, address, dependency.state, values);
            }
            Target::Stage {
                stage,
                address: Some(address),
            } => LeafTarget::Job(self.jobs.addressed(*stage, address, values)?),
            Target::Stage {
                stage,
                address: None,
            } => match self.jobs.whole(*stage) {
                Some(job) => LeafTarget::Job(job),
                None => {
                    self.stage_barriers[*stage] = true;
                    LeafTarget::Stage(*stage)
                }
            },
            Target::Approval(approval) => LeafTarget::Approval(*approval),
            Target::Any(_) => return None,
            Target::Outside(outside) => LeafTarget::Outside(self.outside(outside)),
        };
        Some(Leaf {
            target,
            state: dependency.state,
        })
    }

    /// Several items of a stage.
    fn group(
        &mut self,
        stage: usize,
        address: &[Term],
        state: State,
        values: Values<'_>,
    ) -> Option<Leaf> {
        let jobs = self.jobs;
        let of_job = |job| Leaf {
            target: LeafTarget::Job(job),
            state,
        };
        if let Some(job) = jobs.whole(stage) {
            return Some(of_job(job));
        }
        let index = jobs.group(stage, address, values)?;
        let group = &jobs.groups[index];
        match (group.jobs.as_slice(), state) {
            ([job], _) => Some(of_job(*job)),
            // A Barrier ends as soon as its outcome is known; this is about each of them.
            (all, State::Finished) => {
                let leaves = all.iter().map(|job| of_job(*job)).collect();
                self.sub_gate(&group.name, false, leaves)
            }
            (_, State::Succeeded | State::Failed | State::Skipped) => {
                self.group_barriers[index] = true;
                Some(Leaf {
                    target: LeafTarget::Group(index),
                    state,
                })
            }
        }
    }

    fn outside(&mut self, outside: &'a Outside) -> usize {
        let next = self.gates.outside.len();
        let index = *self.outside.entry(outside).or_insert(next);
        if index == next {
            self.gates.outside.push(outside.clone());
        }
        index
    }

    /// Cuts a long list into Gates of their own, until what is left fits one.
    fn tree(&mut self, name: &str, any: bool, leaves: Vec<Leaf>, read: &[usize]) -> Vec<Leaf> {
        if leaves.len() <= GATE_CONDITIONS_MAX {
            return leaves;
        }
        let is_read =
            |leaf: &Leaf| matches!(leaf.target, LeafTarget::Job(job) if read.contains(&job));
        let (mut kept, rest): (Vec<Leaf>, Vec<Leaf>) = leaves.into_iter().partition(is_read);
        let room = GATE_CONDITIONS_MAX - kept.len().min(GATE_CONDITIONS_MAX - 1);
        let mut rest = rest;
        while rest.len() > room {
            let chunks = rest.chunks(GATE_CONDITIONS_MAX).map(<[Leaf]>::to_vec);
            rest = chunks
                .filter_map(|chunk| self.sub_gate(name, any, chunk))
                .collect();
        }
        kept.extend(rest);
        kept.sort_unstable();
        kept
    }

    /// A Gate for a part of what another waits for. One leaf needs none.
    fn sub_gate(&mut self, name: &str, any: bool, leaves: Vec<Leaf>) -> Option<Leaf> {
        if leaves.len() < 2 {
            return leaves.first().copied();
        }
        let leaves = self.tree(name, any, leaves, &[]);
        let key = GateKey {
            any,
            leaves,
            when: None,
        };
        let named = format!("{name}-{}", self.identity().hash(&key));
        let gate = self.intern(named, key, None);
        Some(Leaf {
            target: LeafTarget::Gate(gate),
            state: State::Succeeded,
        })
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            run: self.run,
            pipeline: self.pipeline,
            jobs: self.jobs,
            gates: &self.gates,
        }
    }

    fn intern(&mut self, name: String, key: GateKey, when: Option<Arc<str>>) -> usize {
        if let Some(index) = self.by_key.get(&key) {
            return *index;
        }
        let mut unique = name;
        while !self.names.insert(unique.clone()) {
            unique = format!("{unique}-{}", self.identity().hash(&key));
        }
        let index = self.gates.list.len();
        let key = Arc::new(key);
        self.by_key.insert(Arc::clone(&key), index);
        let name = unique;
        self.gates.list.push(GatePlan { name, key, when });
        index
    }
}

/// Calls `visit` for every output that a condition reads.
fn jobs_read(expr: &Expr, visit: &mut dyn FnMut(usize, &[Term])) {
    let mut term = |term: &Term| {
        if let Term::Reference(reference) = term
            && let Source::Output { stage, address, .. } = &reference.source
        {
            visit(*stage, address);
        }
    };
    match expr {
        Expr::Or(parts) | Expr::And(parts) => parts.iter().for_each(|part| jobs_read(part, visit)),
        Expr::Not(inner) => jobs_read(inner, visit),
        Expr::Bool(only) => term(only),
        Expr::Compare { left, right, .. } => {
            term(left);
            term(right);
        }
    }
}
