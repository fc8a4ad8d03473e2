//! The plan as Kubernetes objects.
//!
//! What enters: the resolved pipeline and its plan. What leaves: typed objects, made one by one.
//! What must never happen here: a decision; the plan is complete and correct.

mod environment;
pub(crate) mod job;
pub(crate) mod names;
mod own;
pub(crate) mod passthrough;
pub(crate) mod schedule;
mod step;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{
    Arrivals, Barrier, BarrierSpec, ConditionKind, ConditionState, Duration, Gate, GateCondition,
    GateMode, GateSpec, JobSelector, Lease, LeaseSpec, LedgerKind, Order, Role, Run, RunSpec,
    Semaphore, SemaphoreSpec, annotation, barrier, label,
};

use sha2::{Digest, Sha256};

use crate::eval::Values;
use crate::object::Object;
use crate::pipeline::{Approval, Ledger, Outside, Pipeline, Setting, State, Workspace};
use crate::plan::Planned;
use crate::plan::condition::{GatePlan, Leaf, LeafTarget};
use crate::plan::group::Group;
use names::{approval_name, barrier_name, ledger_name, workspace_name};

/// How many objects there are.
pub(crate) fn len(all: &Planned) -> usize {
    let plan = &all.plan;
    let shared = all
        .pipeline
        .ledgers
        .iter()
        .filter(|ledger| !ledger.external)
        .count();
    let workspaces = all
        .pipeline
        .workspaces
        .iter()
        .filter(|w| !w.external)
        .count();
    let barriers = plan.stage_barriers.iter().filter(|needed| **needed).count();
    let groups = plan.group_barriers.iter().filter(|needed| **needed).count();
    let approvals = plan
        .approvals
        .iter()
        .filter(|approval| !approval.skipped)
        .count();
    let barriers = barriers + groups + approvals;
    1 + shared + workspaces + plan.gates.list.len() + barriers + plan.jobs.list.len()
}

/// All objects in the order of creation.
pub(crate) fn objects(all: &Planned) -> impl Iterator<Item = Object> + '_ {
    let (pipeline, plan) = (&all.pipeline, &all.plan);
    let ledgers = pipeline
        .ledgers
        .iter()
        .enumerate()
        .filter(|(_, ledger)| !ledger.external);
    let workspaces = pipeline
        .workspaces
        .iter()
        .enumerate()
        .filter(|(_, w)| !w.external);
    let stages = plan
        .stage_barriers
        .iter()
        .enumerate()
        .filter(|(_, needed)| **needed);
    let groups = plan.jobs.groups.iter().zip(&plan.group_barriers);
    let groups = groups.filter(|(_, needed)| **needed);
    let approvals = pipeline.approvals.iter().enumerate();
    let approvals = approvals.filter(|(index, _)| !plan.approvals[*index].skipped);
    let mut scratch = Vec::new();
    let jobs = (0..plan.jobs.list.len())
        .map(move |index| Object::Job(Box::new(job::job(all, index, &mut scratch))));
    std::iter::once_with(|| Object::Run(run(all)))
        .chain(ledgers.map(|(index, declared)| ledger(all, index, declared)))
        .chain(workspaces.map(|(index, declared)| workspace(all, index, declared)))
        .chain(
            plan.gates
                .list
                .iter()
                .map(|planned| Object::Gate(gate(all, planned))),
        )
        .chain(approvals.map(|(index, declared)| approval(all, index, declared)))
        .chain(stages.map(|(index, _)| stage_barrier(all, index)))
        .chain(groups.map(|(group, _)| group_barrier(all, group)))
        .chain(jobs)
}

/// The Run.
pub(crate) fn run(all: &Planned) -> Run {
    let (pipeline, plan) = (&all.pipeline, &all.plan);
    let values = Values::of(pipeline);
    let is_finally = |stage: usize| pipeline.stages[stage].finally;
    let finally = plan
        .jobs
        .list
        .iter()
        .filter(|job| is_finally(job.stage))
        .count();
    let mut metadata = metadata(all, plan.run.clone());
    let description = pipeline.description.as_ref();
    let description = description.map(|text| values.text(text).unwrap_or_default());
    let annotations: BTreeMap<String, String> = [
        (names::DESCRIPTION, description),
        (annotation::SLOT, all.slot.clone()),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name.to_owned(), text?)))
    .collect();
    metadata
        .annotations
        .get_or_insert_default()
        .extend(annotations);
    let spec = RunSpec {
        pipeline: pipeline.name.text.clone(),
        jobs: count(plan.jobs.list.len() - finally),
        finally_jobs: count(finally),
        quorums: quorums(all),
        cancel: false,
        cancel_finally: false,
        pause: false,
        let_running_finish: false,
        attempt: 1,
        timeout: duration(values, &pipeline.timeout),
        fail_fast: values.is_true(&pipeline.fail_fast),
        ttl_after_finished: duration(values, &pipeline.keep),
        kept: String::new(),
    };
    Run {
        metadata,
        spec,
        status: None,
    }
}

fn quorums(all: &Planned) -> BTreeMap<String, u32> {
    let values = Values::of(&all.pipeline);
    let stages = all.pipeline.stages.iter().enumerate();
    stages
        .filter(|(index, _)| all.plan.jobs.whole(*index).is_none())
        .filter_map(|(_, stage)| {
            let quorum = values.int(&stage.quorum)?;
            Some((stage.name.text.clone(), u32::try_from(quorum).ok()?))
        })
        .collect()
}

fn ledger(all: &Planned, index: usize, declared: &Ledger) -> Object {
    let values = Values::of(&all.pipeline);
    let mut metadata = metadata(all, ledger_name(&all.pipeline, index));
    // Shared by the runs: it must not look as if it belonged to one.
    if let Some(labels) = &mut metadata.labels {
        labels.remove(label::RUN);
    }
    metadata.annotations = None;
    match declared.kind {
        LedgerKind::Semaphore => {
            let permits = values
                .int(&declared.permits)
                .and_then(|n| u32::try_from(n).ok());
            let spec = SemaphoreSpec {
                permits: permits.unwrap_or_default(),
                order: Order::Fifo,
            };
            Object::Semaphore(Semaphore {
                metadata,
                spec,
                status: None,
            })
        }
        LedgerKind::Lease => {
            let ttl = values
                .millis(&declared.ttl)
                .unwrap_or(names::LEASE_TTL_MILLIS);
            let spec = LeaseSpec {
                ttl: Duration::from_millis(ttl),
            };
            Object::Lease(Lease {
                metadata,
                spec,
                status: None,
            })
        }
    }
}

fn workspace(all: &Planned, index: usize, declared: &Workspace) -> Object {
    let values = Values::of(&all.pipeline);
    let size = values.quantity(&declared.size).unwrap_or_default();
    let mode = if declared.many {
        "ReadWriteMany"
    } else {
        "ReadWriteOnce"
    };
    let class = declared
        .storage_class
        .as_ref()
        .and_then(|text| values.text(text));
    let spec = PersistentVolumeClaimSpec {
        access_modes: Some(vec![mode.to_owned()]),
        resources: Some(VolumeResourceRequirements {
            requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(size))])),
            limits: None,
        }),
        storage_class_name: class,
        ..Default::default()
    };
    Object::PersistentVolumeClaim(Box::new(PersistentVolumeClaim {
        metadata: metadata(all, workspace_name(all, index)),
        spec: Some(spec),
        status: None,
    }))
}

fn gate(all: &Planned, planned: &GatePlan) -> Gate {
    let mode = if planned.key.any {
        GateMode::Any
    } else {
        GateMode::All
    };
    let spec = GateSpec {
        conditions: planned
            .key
            .leaves
            .iter()
            .map(|leaf| condition(all, *leaf))
            .collect(),
        mode,
        when: planned.key.when.clone(),
        decision: None,
        timeout: None,
        ttl_after_finished: None,
    };
    let mut metadata = metadata(all, planned.name.clone());
    if let Some(when) = &planned.when {
        let annotations = metadata.annotations.get_or_insert_default();
        annotations.insert(annotation::WHEN.to_owned(), when.to_string());
    }
    Gate {
        metadata,
        spec,
        status: None,
    }
}

fn condition(all: &Planned, leaf: Leaf) -> GateCondition {
    let plan = &all.plan;
    let of_run = |kind, name| GateCondition {
        kind,
        name: Some(name),
        namespace: None,
        selector: None,
        count: None,
        pipeline: None,
        within: None,
        state: condition_state(kind, leaf.state),
        verified: false,
    };
    match leaf.target {
        LeafTarget::Outside(index) => outside_condition(&plan.gates.outside[index], leaf.state),
        LeafTarget::Run => GateCondition {
            state: ConditionState::Settled,
            ..of_run(ConditionKind::Run, plan.run.clone())
        },
        LeafTarget::Job(job) => of_run(ConditionKind::Job, plan.jobs.list[job].name.clone()),
        LeafTarget::Stage(stage) => of_run(ConditionKind::Barrier, barrier_name(all, stage)),
        LeafTarget::Group(group) => {
            let name = plan.jobs.groups[group].name.clone();
            of_run(ConditionKind::Barrier, name)
        }
        LeafTarget::Approval(approval) => GateCondition {
            verified: true,
            ..of_run(ConditionKind::Barrier, approval_name(all, approval))
        },
        LeafTarget::Gate(gate) => of_run(ConditionKind::Gate, plan.gates.list[gate].name.clone()),
    }
}

/// A condition on something that does not belong to the run.
fn outside_condition(outside: &Outside, state: State) -> GateCondition {
    let of = |kind, namespace: &Option<String>| GateCondition {
        kind,
        name: None,
        namespace: namespace.clone(),
        selector: None,
        count: None,
        pipeline: None,
        within: None,
        state: condition_state(kind, state),
        verified: false,
    };
    match outside {
        Outside::Gate { namespace, name } => GateCondition {
            name: Some(name.clone()),
            ..of(ConditionKind::Gate, namespace)
        },
        Outside::Barrier { namespace, name } => GateCondition {
            name: Some(name.clone()),
            ..of(ConditionKind::Barrier, namespace)
        },
        Outside::Pipeline {
            namespace,
            name,
            within,
        } => GateCondition {
            pipeline: Some(name.clone()),
            within: within.map(Duration::from_millis),
            state: ConditionState::Succeeded,
            ..of(ConditionKind::Run, namespace)
        },
    }
}

/// The word for a state, which depends on the kind it is about.
fn condition_state(kind: ConditionKind, state: State) -> ConditionState {
    match (state, kind) {
        (State::Succeeded, ConditionKind::Job) => ConditionState::Complete,
        (State::Succeeded, ConditionKind::Run) => ConditionState::Succeeded,
        (State::Succeeded, ConditionKind::Barrier | ConditionKind::Gate) => ConditionState::Open,
        (State::Failed, _) => ConditionState::Failed,
        (State::Skipped, _) => ConditionState::Skipped,
        (State::Finished, _) => ConditionState::Finished,
    }
}

fn approval(all: &Planned, index: usize, declared: &Approval) -> Object {
    let values = Values::of(&all.pipeline);
    let gate = all.plan.approvals[index]
        .gate
        .map(|gate| all.plan.gates.list[gate].name.clone());
    let spec = BarrierSpec {
        expected: values
            .int(&declared.approvers)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(1),
        quorum: None,
        jobs: None,
        gate,
        timeout: duration(values, &declared.timeout),
        ttl_after_finished: None,
        arrivals: Arrivals::Verified,
    };
    let metadata = metadata(all, approval_name(all, index));
    Object::Barrier(Barrier {
        metadata,
        spec,
        status: None,
    })
}

fn stage_barrier(all: &Planned, index: usize) -> Object {
    let quorum = Values::of(&all.pipeline).int(&all.pipeline.stages[index].quorum);
    let name = barrier_name(all, index);
    let expected = all.plan.jobs.of_stage(index).len();
    let quorum = quorum.and_then(|quorum| u32::try_from(quorum).ok());
    let whole = BTreeMap::new();
    Object::Barrier(items_barrier(all, name, index, &whole, expected, quorum))
}

/// Over some items of a stage, whose quorum is about all of them.
fn group_barrier(all: &Planned, group: &Group) -> Object {
    let Group {
        stage,
        name,
        items,
        fixed,
        jobs,
    } = group;
    let mut barrier = items_barrier(all, name.clone(), *stage, fixed, jobs.len(), None);
    let annotations = barrier.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation::ITEM.to_owned(), items.clone());
    Object::Barrier(barrier)
}

fn items_barrier(
    all: &Planned,
    name: String,
    stage: usize,
    fixed: &BTreeMap<String, String>,
    expected: usize,
    quorum: Option<u32>,
) -> Barrier {
    let stage = &all.pipeline.stages[stage].name.text;
    let labels = label::of_items(&all.plan.run, stage, fixed).into_iter();
    let match_labels = labels.map(|(name, value)| (name, barrier::LabelValue(value)));
    let match_labels = match_labels.collect();
    let spec = BarrierSpec {
        expected: count(expected),
        quorum,
        jobs: Some(JobSelector { match_labels }),
        gate: None,
        timeout: None,
        ttl_after_finished: None,
        arrivals: Arrivals::Anyone,
    };
    Barrier {
        metadata: metadata(all, name),
        spec,
        status: None,
    }
}

/// A name in the run's namespace, with the labels that every object of the run has.
fn metadata(all: &Planned, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: all.namespace.clone(),
        labels: Some(run_labels(&all.pipeline, &all.plan.run)),
        annotations: Some(BTreeMap::from([(
            annotation::NONCE.to_owned(),
            all.nonce.clone(),
        )])),
        ..ObjectMeta::default()
    }
}

/// What the Run and its objects carry, so that the Run adopts those that kubectl creates, and nothing
/// else that has its label: a hash of the run's name, of the Run and of all its Jobs' names.
pub(crate) fn nonce(all: &Planned) -> String {
    let run = run(all);
    let mut hash = Sha256::new();
    hash.update(all.plan.run.as_bytes());
    let spec = serde_json::to_vec(&run.spec);
    debug_assert!(spec.is_ok(), "a Run is plain data: {spec:?}");
    hash.update(spec.unwrap_or_default());
    for job in &all.plan.jobs.list {
        hash.update(job.name.as_bytes());
        hash.update(b"\n");
    }
    crate::name::hex(&hash.finalize()[..8])
}

fn run_labels(pipeline: &Pipeline, run: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        (label::PIPELINE.to_owned(), pipeline.name.text.clone()),
        (label::RUN.to_owned(), run.to_owned()),
    ])
}

fn duration(values: Values<'_>, setting: &Option<Setting>) -> Option<Duration> {
    values.millis(setting).map(Duration::from_millis)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn role(finally: bool) -> Role {
    if finally { Role::Finally } else { Role::Main }
}
