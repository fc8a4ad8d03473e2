//! A retry of a Run: what is recreated.
//!
//! What enters: a Run that has ended, and its Jobs, Gates and Barriers. What leaves: those of them that
//! must be recreated, as they were before anything happened to them. What must never happen here: a
//! verdict of the earlier attempt, a value or a token that finds its way into the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{
    Barrier, Gate, Input, JobPhase, NameKey, Participant, Role, Run, RunPhase, Verdict, annotation,
    key_of, label,
};

use crate::job::succeeded_indexes;
use crate::limits::ATTEMPTS_MAX;
use crate::outcome::{End, job_end, run_end};
use crate::owner::belongs;
use crate::run::{bad_stages, gone_but_needed, may_have_written, recorded, recorded_of_stage};
use crate::run_graph::{How, Link, Node, RunGraph};
use crate::run_objects::as_recorded;
use crate::unstarted;
use crate::words::Named;

pub use crate::run::kept;

/// What the Job controller writes on a Job that it keeps count of.
const JOB_TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// What the API server writes on a Job's pod template: which Job its pods are of.
const CONTROLLERS_LABELS: [&str; 4] = [
    label::JOB_UID,
    label::JOB_NAME,
    "controller-uid",
    "job-name",
];

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin<'a> {
    /// At whatever made the Run fail.
    Failed,
    /// At a stage, however it ended.
    Stage(&'a str),
    /// At one item of a fan-out, however it ended.
    Item {
        /// The fan-out.
        stage: &'a str,
        /// The item, as its Job's annotation has it.
        item: &'a str,
    },
}

impl Begin<'_> {
    /// Whether this is where the retry begins.
    fn is_at(self, job: &Participant) -> bool {
        match self {
            Self::Failed => false,
            Self::Stage(stage) => job.stage() == stage,
            Self::Item { stage, item } => job.stage() == stage && job.item() == Some(item),
        }
    }
}

/// What is recreated. Each object still has the uid of the one that it replaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retry {
    /// The attempt that begins with it.
    pub attempt: u32,
    /// Gates, without what anybody has decided.
    pub gates: Vec<Gate>,
    /// Barriers: nobody has arrived.
    pub barriers: Vec<Barrier>,
    /// Jobs that have not started.
    pub jobs: Vec<Job>,
    /// Stages that stay although they ended badly: the Run will fail again.
    pub still_bad: BTreeSet<String>,
}

/// Why a Run is not retried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has not ended.
    NotEnded,
    /// It is being deleted.
    BeingDeleted,
    /// Nothing of it has failed.
    NothingFailed,
    /// It has no such stage, or its stage no such item.
    NoSuchStage,
    /// So many of the Jobs that must run again are gone, such as by their TTL: what they were is not
    /// known any more.
    JobsGone {
        /// How many.
        gone: usize,
    },
    /// Jobs are gone whose outputs would be read by what must run again, and with them what they wrote.
    OutputsGone {
        /// Their stages.
        stages: BTreeSet<String>,
        /// The stage at which a retry can begin, so that they are written again.
        from: Option<String>,
    },
    /// It was tried too often.
    TooManyAttempts,
}

/// Returns what a retry recreates: where it begins, whatever kept that from starting, everything after
/// it, and the finally stages.
///
/// # Errors
/// Why there is no retry.
pub fn retry(
    run: &Run,
    jobs: &[Arc<Participant>],
    gates: &[Gate],
    barriers: &[Barrier],
    begin: Begin<'_>,
) -> Result<Retry, Refused> {
    let recreated = recreated(run, jobs, gates, barriers, begin);
    let Err(Refused::OutputsGone { stages, .. }) = &recreated else {
        return recreated;
    };
    let from = stages.first().filter(|_| stages.len() == 1);
    let from = from.filter(|stage| {
        let begin = Begin::Stage(stage);
        self::recreated(run, jobs, gates, barriers, begin).is_ok()
    });
    Err(Refused::OutputsGone {
        from: from.cloned(),
        stages: stages.clone(),
    })
}

/// What a retry that begins there recreates.
fn recreated(
    run: &Run,
    jobs: &[Arc<Participant>],
    gates: &[Gate],
    barriers: &[Barrier],
    begin: Begin<'_>,
) -> Result<Retry, Refused> {
    let own = jobs.iter().filter(|job| belongs(&job.metadata, run));
    // One in the place of another has the manifest, and the other the end.
    let own = own.map(|job| as_recorded(run, job).map_or_else(|| Arc::clone(job), Arc::new));
    let own: Vec<Arc<Participant>> = own.collect();
    let bad = bad_stages(run, &own);
    let seeds = seeds(run, &own, &bad, begin)?;
    let jobs: Vec<&Participant> = own.iter().map(AsRef::as_ref).collect();
    let name_of_run = run.metadata.name.as_deref().unwrap_or_default();
    let graph = RunGraph::of(name_of_run, jobs.iter().copied(), gates, barriers);
    let (dirty, after) = Effects::of(&graph).closure(seeds);
    // One that is itself where the retry begins, or that comes after what runs again, runs as a whole.
    let completed = |job: &Participant| {
        let whole = begin.is_at(job) || job.role == Role::Finally || after.contains(&job_node(job));
        completed_indexes(job).filter(|_| !whole)
    };
    let of_dirty = |job: &&Participant| dirty.contains(&job_node(job));
    let again = jobs.iter().copied().filter(of_dirty);
    let again: Vec<Job> = again
        .map(|job| fresh_job(job, run.spec.attempt + 1, completed(job)))
        .collect();
    let stages = outputs_gone(run, &jobs, &again);
    if !stages.is_empty() {
        return Err(Refused::OutputsGone { stages, from: None });
    }
    let still_bad = bad
        .into_iter()
        .map(|(stage, _)| stage)
        .filter(|stage| {
            let mut of_stage = jobs.iter().copied().filter(|job| job.stage() == stage);
            of_stage.any(|job| is_bad(job_end(job)) && !of_dirty(&job))
        })
        .collect();
    Ok(Retry {
        attempt: run.spec.attempt + 1,
        gates: gates
            .iter()
            .filter(|gate| dirty.contains(&Node::Gate(name(&gate.metadata))))
            .map(fresh_gate)
            .collect(),
        barriers: barriers
            .iter()
            .filter(|barrier| dirty.contains(&Node::Barrier(name(&barrier.metadata))))
            .map(fresh_barrier)
            .collect(),
        jobs: again,
        still_bad,
    })
}

/// The stages whose Jobs are gone with what they wrote, and whose outputs these Jobs would read. A default that a finally
/// stage has is there for that.
fn outputs_gone(run: &Run, present: &[&Participant], again: &[Job]) -> BTreeSet<String> {
    let name = |job: &Job| -> NameKey { key_of(job.metadata.name.as_deref().unwrap_or_default()) };
    // The operator has forgotten all others with the end of the Run.
    let own = present.iter().filter(|job| {
        let entry = recorded(run, &job.key.name);
        entry.is_none_or(|entry| entry.is_of(job))
    });
    let own = own.map(|job| job.key.name);
    let there: BTreeSet<NameKey> = own.chain(again.iter().map(name)).collect();
    let mut stages = BTreeSet::new();
    for job in again {
        let job = Participant::of(job.clone());
        let inputs = job.inputs.iter().flatten().flatten();
        let inputs = inputs.map(|(key, input)| (Some(key), input));
        // One that was given its list goes over that.
        let items = job.items.iter().flatten();
        let items = items.filter(|_| job.item_list().is_none());
        for (key, input) in inputs.chain(items.map(|items| (None, &items.of))) {
            match input {
                Input::Output { job: source, .. } => {
                    let source_key = key_of(source);
                    let has_default = key.is_some_and(|key| has_preset(&job, key));
                    let entry = recorded(run, &source_key).filter(|entry| {
                        let succeeded = entry.ended.map(|ended| ended.end) == Some(End::Succeeded);
                        succeeded && !there.contains(&source_key)
                    });
                    if let Some(entry) = entry
                        && !(job.role == Role::Finally && has_default)
                    {
                        stages.insert(match Named::recorded(&job.metadata, source, &entry) {
                            Some(Named::Stage { stage, .. }) => stage,
                            _ => source.clone(),
                        });
                    }
                }
                Input::Gathered(gathered) => {
                    let mut items = recorded_of_stage(run, &gathered.stage);
                    let is_lost = items.any(|(key, entry)| {
                        !there.contains(&key)
                            && may_have_written(run, &gathered.stage, &key, &entry)
                    });
                    if is_lost {
                        stages.insert(gathered.stage.clone());
                    }
                }
                Input::RunOutcome | Input::Unknown(_) => {}
            }
        }
    }
    stages
}

/// Whether the pod template of a Job that has not started has a default for an input.
fn has_preset(job: &Participant, input: &str) -> bool {
    let template = job
        .spec
        .as_ref()
        .and_then(|spec| spec.template.metadata.as_ref());
    let annotations = template.and_then(|template| template.annotations.as_ref());
    let key = format!("{}{input}", annotation::INPUT_PREFIX);
    annotations.is_some_and(|annotations| annotations.contains_key(&key))
}

/// The Jobs that a retry begins with: those that it is for, and all of the finally stages.
fn seeds(
    run: &Run,
    jobs: &[Arc<Participant>],
    bad: &[(String, End)],
    begin: Begin<'_>,
) -> Result<BTreeSet<Node>, Refused> {
    if run.metadata.deletion_timestamp.is_some() {
        return Err(Refused::BeingDeleted);
    }
    if run_end(run).is_none() {
        return Err(Refused::NotEnded);
    }
    if run.spec.attempt >= ATTEMPTS_MAX {
        return Err(Refused::TooManyAttempts);
    }
    let stage = match begin {
        // The other items of its stage do not run again.
        Begin::Failed | Begin::Item { .. } => None,
        Begin::Stage(stage) => Some(stage),
    };
    let gone = gone_but_needed(run, jobs, stage);
    if gone > 0 {
        return Err(Refused::JobsGone { gone });
    }
    let jobs = || jobs.iter().map(|job| &**job);
    let meant: Vec<&Participant> = match begin {
        Begin::Stage(_) | Begin::Item { .. } => {
            let meant: Vec<&Participant> = jobs().filter(|job| begin.is_at(job)).collect();
            if meant.is_empty() {
                return Err(Refused::NoSuchStage);
            }
            meant
        }
        Begin::Failed => {
            let phase = run.status.as_ref().map(|status| status.phase);
            if phase == Some(RunPhase::Succeeded) {
                return Err(Refused::NothingFailed);
            }
            let counts = |job: &&Participant| bad.iter().any(|(stage, _)| stage == job.stage());
            let meant = jobs().filter(counts);
            meant.filter(|job| is_bad(job_end(job))).collect()
        }
    };
    let finally = jobs().filter(|job: &&Participant| job.role == Role::Finally);
    let all = meant.into_iter().chain(finally);
    Ok(all.map(job_node).collect())
}

fn is_bad(end: Option<End>) -> bool {
    matches!(end, Some(End::Failed | End::Unreached | End::Cancelled))
}

fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn job_node(job: &Participant) -> Node {
    Node::Job(name(&job.metadata))
}

/// What is recreated because of what: the graph of the Run, read from its beginning.
struct Effects {
    /// Those that are decided again if this one is recreated.
    after: BTreeMap<Node, BTreeSet<Node>>,
    /// Those that have ended so that this one could not start, or not open.
    stopped_by: BTreeMap<Node, BTreeSet<Node>>,
}

impl Effects {
    fn of(graph: &RunGraph<'_>) -> Self {
        let (mut after, mut stopped_by) = (BTreeMap::new(), BTreeMap::new());
        for own in graph.nodes() {
            for Link { before, how } in graph.links(&own) {
                if matches!(before, Node::Elsewhere(_)) {
                    continue;
                }
                let of_before: &mut BTreeSet<Node> = after.entry(before.clone()).or_default();
                of_before.insert(own.clone());
                if stops(graph, &own, &before, how) {
                    let of_own: &mut BTreeSet<Node> = stopped_by.entry(own.clone()).or_default();
                    of_own.insert(before);
                }
            }
        }
        Self { after, stopped_by }
    }

    /// Everything that must be recreated where these are; and of that, what comes after something that is.
    fn closure(&self, seeds: BTreeSet<Node>) -> (BTreeSet<Node>, BTreeSet<Node>) {
        // The Run itself starts again in any case.
        let mut open: Vec<Node> = seeds.iter().cloned().chain([Node::Run]).collect();
        let mut dirty = seeds;
        let mut after = BTreeSet::new();
        while let Some(node) = open.pop() {
            let reached = self.after.get(&node).into_iter().flatten();
            after.extend(reached.clone().cloned());
            for next in reached.chain(self.stopped_by.get(&node).into_iter().flatten()) {
                if dirty.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        (dirty, after)
    }
}

/// Whether something could not start, or not open, because of how what it waits for has ended.
fn stops(graph: &RunGraph<'_>, own: &Node, before: &Node, how: How<'_>) -> bool {
    let bad = |node: &Node| is_bad(graph.end(node));
    match how {
        How::Gated => bad(before) && (bad(own) || matches!(own, Node::Job(_))),
        How::Condition { status, .. } => {
            let failed = status.is_some_and(|status| status.verdict == Verdict::Failed);
            bad(own) && failed && *before != Node::Run
        }
        How::Arrives => bad(before),
        How::Selected => bad(before) && (bad(own) || matches!(own, Node::Jobs(_))),
        How::Output => false,
    }
}

fn fresh_metadata(old: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: old.name.clone(),
        namespace: old.namespace.clone(),
        uid: old.uid.clone(),
        labels: old.labels.clone(),
        annotations: old.annotations.clone(),
        owner_references: old.owner_references.clone(),
        ..ObjectMeta::default()
    }
}

fn fresh_gate(gate: &Gate) -> Gate {
    let mut spec = gate.spec.clone();
    spec.decision = None;
    Gate {
        metadata: fresh_metadata(&gate.metadata),
        spec,
        status: None,
    }
}

fn fresh_barrier(barrier: &Barrier) -> Barrier {
    Barrier {
        metadata: fresh_metadata(&barrier.metadata),
        spec: barrier.spec.clone(),
        status: None,
    }
}

/// The indexes of an Indexed Job that need not run again: none of one with items whose outputs nobody knows.
fn completed_indexes(job: &Participant) -> Option<String> {
    let succeeded = succeeded_indexes(job);
    (!succeeded.is_empty()).then_some(succeeded)
}

/// The Job as it was before the operator and the Job controller wrote anything into it; but for these indexes,
/// which have succeeded.
fn fresh_job(old: &Participant, attempt: u32, completed: Option<String>) -> Job {
    let asks = old.asks_for_something();
    // One that nothing holds back and yet was skipped was created so.
    let skipped = !asks && old.phase == Some(JobPhase::Skipped);
    let mut metadata = fresh_metadata(&old.metadata);
    let annotations = metadata.annotations.get_or_insert_default();
    for written_by_the_operator in [
        annotation::PRESETS,
        annotation::OUTPUTS,
        annotation::HELD,
        annotation::RELEASES,
        annotation::RESUMED,
        annotation::TIMES,
        annotation::COMPLETED_INDEXES,
        annotation::OUTPUTS_KEPT,
    ] {
        annotations.remove(written_by_the_operator);
    }
    if let (Some(completed), Some(outputs)) = (&completed, outputs_to_keep(old)) {
        let kept = format!("{completed} {outputs}");
        annotations.insert(annotation::OUTPUTS_KEPT.to_owned(), kept);
    }
    annotations.remove(JOB_TRACKING);
    annotations.insert(annotation::ATTEMPT.to_owned(), attempt.to_string());
    if !skipped {
        annotations.remove(annotation::PHASE);
        annotations.remove(annotation::REASON);
    }
    if asks {
        regate(annotations);
    }
    let mut spec = old.spec.clone().unwrap_or_default();
    let gets_items = old.items.is_some() && completed.is_none();
    if gets_items {
        // It goes over the list that is written this time.
        (spec.completions, spec.parallelism) = (Some(1), Some(1));
    }
    spec.suspend = Some(old.is_coordinated() || skipped || completed.is_some());
    if let Some(completed) = completed {
        annotations.insert(annotation::COMPLETED_INDEXES.to_owned(), completed);
    }
    if spec.manual_selector != Some(true) {
        spec.selector = None;
    }
    let template = spec.template.metadata.get_or_insert_default();
    template.creation_timestamp = None;
    if let Some(labels) = &mut template.labels {
        labels.retain(|key, _| !CONTROLLERS_LABELS.contains(&key.as_str()));
        labels.remove(label::HELD);
    }
    if let Some(annotations) = &mut template.annotations {
        for (key, before) in unstarted::annotations(old) {
            match before {
                Some(value) => annotations.insert(key, value),
                // It goes over the same list again.
                None if key == annotation::ITEMS && !gets_items => continue,
                None => annotations.remove(&key),
            };
        }
    }
    Job {
        metadata,
        spec: Some(spec),
        status: None,
    }
}

/// What the items of a Job wrote that need not run again.
fn outputs_to_keep(job: &Participant) -> Option<String> {
    let kept = || job.outputs_kept().map(|(_, outputs)| outputs);
    let outputs = job.outputs().or_else(kept);
    let outputs = outputs.filter(|_| job.items.is_some())?;
    Some(serde_json::json!(outputs).to_string())
}

/// Puts our value back into Kueue's annotation of those that must agree before it starts the Job.
fn regate(annotations: &mut BTreeMap<String, String>) {
    let list = annotations.entry(annotation::KUEUE_GATED_BY.to_owned());
    let list = list.or_default();
    if !list
        .split(',')
        .any(|word| word.trim() == annotation::KUEUE_GATE)
    {
        let rest = std::mem::take(list);
        let both = [annotation::KUEUE_GATE, rest.as_str()];
        *list = both[..if rest.is_empty() { 1 } else { 2 }].join(",");
    }
}
