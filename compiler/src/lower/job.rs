//! A stage, or an item of one, as a `batch/v1` Job.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, PersistentVolumeClaimVolumeSource, PodSecurityContext, PodSpec,
    PodTemplateSpec, ResourceRequirements, SeccompProfile, SecurityContext, Toleration, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{
    DeclaredOutput, Duration, Hold, Items, JobPhase, LedgerKind, StepSpec, annotation,
    format_declared_outputs, format_holds, label,
};
use sha2::{Digest, Sha256};

use super::environment::{self, Environment};
use super::names::{ledger_name, workspace_name};
use super::{passthrough, role, run_labels, step};
use crate::eval::Values;
use crate::name;
use crate::pipeline::{Action, Body, Entries, List, Security, Setting, Stage, Text};
use crate::plan::Planned;
use crate::plan::job::JobPlan;
use crate::plan::skip::LeftOut;

/// Where a container leaves its outputs; kubelet stores what is there as its last words.
const OUTPUT_PATH: &str = "/dev/termination-log";
/// The variable that holds its path.
const OUTPUT_VARIABLE: &str = "KON_OUTPUT";

/// The Job at this place of the plan. `scratch` is memory only: all Jobs can share it.
pub(crate) fn job(all: &Planned, index: usize, scratch: &mut Vec<u8>) -> Job {
    let (mut job, step) = parts(all, index);
    let plan = &all.plan.jobs.list[index];
    for block in &all.pipeline.stages[plan.stage].body.passthrough {
        let merged = passthrough::merge(&mut job, block, plan.values(&all.pipeline));
        debug_assert!(merged.is_ok(), "the rules tried it: {merged:?}");
    }
    tolerate_disruptions(&mut job);
    if let Some(step) = step {
        // After the author's own YAML, which may give the container another command.
        step::wrap(&mut job, &step, &all.koncli_image, store_claim(all));
    }
    // Where it is made is no part of what it is: kubectl and koncli may each be given it in their own way.
    let namespace = job.metadata.namespace.take();
    let hash = content_hash(&job, scratch);
    job.metadata.namespace = namespace;
    let annotations = job.metadata.annotations.get_or_insert_default();
    annotations.insert(annotation::CONTENT_HASH.to_owned(), hash);
    annotations.insert(annotation::NONCE.to_owned(), all.nonce.clone());
    // Neither is its place in the file.
    annotations.insert(annotation::ORDINAL.to_owned(), index.to_string());
    guard(&mut job);
    job
}

/// A Job that the operator starts carries a mark that the start changes. The pod template of a running Job
/// can't be changed, so to apply the file again is refused, instead of suspending the Job and killing its
/// pods.
fn guard(job: &mut Job) {
    let Some(spec) = job.spec.as_mut().filter(|spec| spec.suspend == Some(true)) else {
        return;
    };
    let metadata = spec.template.metadata.get_or_insert_default();
    let annotations = metadata.annotations.get_or_insert_default();
    let waiting = annotation::GUARD_WAITING.to_owned();
    annotations.insert(annotation::GUARD.to_owned(), waiting);
}

/// A pod that is evicted, preempted or drained has not failed, unless the author says otherwise.
fn tolerate_disruptions(job: &mut Job) {
    let Some(spec) = &mut job.spec else { return };
    let pod = spec.template.spec.as_ref();
    // Kubernetes takes the policy only with pods that are not restarted in place.
    let is_never = pod.is_some_and(|pod| pod.restart_policy.as_deref() == Some("Never"));
    if spec.pod_failure_policy.is_some() || !is_never {
        return;
    }
    let disrupted = PodFailurePolicyOnPodConditionsPattern {
        type_: "DisruptionTarget".to_owned(),
        status: Some("True".to_owned()),
    };
    spec.pod_failure_policy = Some(PodFailurePolicy {
        rules: vec![PodFailurePolicyRule {
            action: "Ignore".to_owned(),
            on_exit_codes: None,
            on_pod_conditions: Some(vec![disrupted]),
        }],
    });
}

/// The same before passthrough is merged into it, and without the wrapper of its command.
pub(crate) fn bare(all: &Planned, index: usize) -> Job {
    parts(all, index).0
}

/// The claim of the workspace that is the store, if one is.
fn store_claim(all: &Planned) -> Option<String> {
    let workspace = all.pipeline.store.as_ref()?.workspace?;
    Some(workspace_name(all, workspace))
}

/// The Job before passthrough is merged into it, and what the wrapper of its command does, if it has one.
fn parts(all: &Planned, index: usize) -> (Job, Option<StepSpec>) {
    let plan = &all.plan.jobs.list[index];
    let stage = &all.pipeline.stages[plan.stage];
    let values = plan.values(&all.pipeline);
    let holds = holds(all, stage, values);
    let gate = all.plan.gates.of_job[index].map(|gate| all.plan.gates.list[gate].name.clone());
    // Kueue starts a Job of its queue that waits for nothing else. The operator starts all others: one that is deleted
    // and created again must not run again.
    let is_free = gate.is_none() && holds.is_empty() && stage.list.is_none();
    let waits = !is_free || stage.body.queue.is_none();

    let mut environment = Environment::new(all, stage, values, plan.is_indexed());
    let container = container(all, &mut environment, stage, values);
    let labels = labels(all, plan, stage, values);
    let own = texts(values, &stage.body.annotations);

    let mut annotations = own.clone();
    annotations.extend(wiring(all, plan, gate, &holds));
    if !environment.inputs.is_empty() {
        let inputs = serde_json::json!(environment.inputs).to_string();
        annotations.insert(annotation::INPUTS.to_owned(), inputs);
    }
    if let Some(list) = stage.list.as_ref().filter(|_| plan.is_indexed()) {
        annotations.insert(annotation::ITEMS.to_owned(), items(all, stage, list));
    }
    let mut pod_annotations = own;
    pod_annotations.extend(std::mem::take(&mut environment.presets));
    let step = environment.step(plan.slug.as_deref());
    let pod = pod(all, &stage.body, values, container);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.clone()),
            annotations: (!pod_annotations.is_empty()).then_some(pod_annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    let mut labels = labels;
    if let Some(queue) = stage
        .body
        .queue
        .as_ref()
        .and_then(|queue| known(values, queue))
    {
        labels.insert(label::KUEUE_QUEUE.to_owned(), queue);
    }
    let job = Job {
        metadata: ObjectMeta {
            name: Some(plan.name.clone()),
            namespace: all.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(spec(
            plan,
            stage,
            values,
            waits,
            !holds.is_empty(),
            template,
        )),
        status: None,
    };
    (job, step)
}

/// The annotations by which the Job takes part.
fn wiring(
    all: &Planned,
    plan: &JobPlan,
    gate: Option<String>,
    holds: &[Hold],
) -> BTreeMap<String, String> {
    let stage = &all.pipeline.stages[plan.stage];
    let mut annotations = BTreeMap::new();
    let mut set = |name: &str, value: String| annotations.insert(name.to_owned(), value);
    if gate.is_some() || !holds.is_empty() {
        set(
            annotation::KUEUE_GATED_BY,
            annotation::KUEUE_GATE.to_owned(),
        );
    }
    if let Some(gate) = gate {
        set(annotation::GATE, gate);
    }
    if !holds.is_empty() {
        set(annotation::HOLD, format_holds(holds));
    }
    if let Some(left_out) = plan.skipped {
        set(annotation::PHASE, JobPhase::Skipped.word().to_owned());
        let when = stage.when.as_ref().map_or("", |when| &when.text);
        let reason = match left_out {
            LeftOut::NoItems => "its fan-out has no items".to_owned(),
            LeftOut::When => format!("when {when} is false"),
            LeftOut::Before => "what it waits for is skipped".to_owned(),
        };
        set(annotation::REASON, reason);
    }
    if let Some(millis) = plan.values(&all.pipeline).millis(&stage.body.pending) {
        let pending = Duration::from_millis(millis);
        set(annotation::PENDING_TIMEOUT, pending.as_str().to_owned());
    }
    let outputs = &stage.body.outputs;
    if !outputs.is_empty() {
        let declared = outputs.iter().map(|output| DeclaredOutput {
            name: output.name.text.clone(),
            ty: Some(output.ty.of_output()),
            optional: output.default.is_some(),
        });
        let declared = format_declared_outputs(&declared.collect::<Vec<_>>());
        set(annotation::OUTPUTS_DECLARED, declared);
    }
    if let Some(item) = plan.item.and_then(|item| stage.items.as_ref()?.get(item)) {
        set(annotation::ITEM, item.text());
    }
    annotations
}

/// Which list the operator gives the Job.
fn items(all: &Planned, stage: &Stage, list: &List) -> String {
    let values = Values::of(&all.pipeline);
    let number = |setting: &Option<Setting>| {
        let number = values.int(setting);
        number.and_then(|number| u32::try_from(number).ok())
    };
    let (of, default) = environment::list(all, &list.reference);
    Items::format(
        &of,
        default.as_deref(),
        number(&list.max),
        number(&stage.parallel),
    )
}

fn spec(
    plan: &JobPlan,
    stage: &Stage,
    values: Values<'_>,
    waits: bool,
    holds: bool,
    template: PodTemplateSpec,
) -> JobSpec {
    let retries = values
        .int(&stage.body.retries)
        .and_then(|n| i32::try_from(n).ok());
    let retries = Some(retries.unwrap_or_default());
    let completions = plan.completions.and_then(|count| i32::try_from(count).ok());
    let indexed = completions.is_some();
    let deadline = values
        .millis(&stage.body.timeout)
        .map(|millis| millis.div_ceil(1_000));
    JobSpec {
        suspend: (waits || plan.skipped.is_some()).then_some(true),
        completions,
        parallelism: completions,
        completion_mode: indexed.then(|| "Indexed".to_owned()),
        backoff_limit: if indexed { None } else { retries },
        backoff_limit_per_index: if indexed { retries } else { None },
        active_deadline_seconds: deadline.and_then(|seconds| i64::try_from(seconds).ok()),
        // A permit must not be free while a pod that is being replaced still works.
        pod_replacement_policy: holds.then(|| "Failed".to_owned()),
        template,
        ..JobSpec::default()
    }
}

fn container(
    all: &Planned,
    environment: &mut Environment<'_>,
    stage: &Stage,
    values: Values<'_>,
) -> Container {
    let body = &stage.body;
    let has_outputs = !body.outputs.is_empty();
    let mut command = body.action.as_ref().map(|action| match action {
        Action::Run(script) => {
            // The rules have refused what can't be given a script.
            let interpreter = script.interpreter(body.shell.as_ref()).unwrap_or_default();
            interpreter.command(environment.script(&script.text))
        }
        Action::Exec(words) => words
            .iter()
            .map(|word| environment.argument(word))
            .collect(),
    });
    for (name, value) in body.env.iter() {
        environment.own(name, value);
    }
    environment.own_outputs();
    environment.traceparent();
    let mut variables = std::mem::take(&mut environment.variables);
    variables.append(&mut environment.step_variables);
    environment.leave_items(&mut variables, command.as_deref_mut().unwrap_or_default());
    if has_outputs {
        let path = k8s_openapi::api::core::v1::EnvVar {
            name: OUTPUT_VARIABLE.to_owned(),
            value: Some(OUTPUT_PATH.to_owned()),
            value_from: None,
        };
        variables.insert(0, path);
    }
    let mounts: Vec<VolumeMount> = body
        .mounts
        .iter()
        .map(|mount| VolumeMount {
            name: all.pipeline.workspaces[mount.workspace].name.text.clone(),
            mount_path: mount.path.clone(),
            ..VolumeMount::default()
        })
        .collect();
    Container {
        name: "main".to_owned(),
        image: body.image.as_ref().and_then(|image| known(values, image)),
        command,
        env: (!variables.is_empty()).then_some(variables),
        resources: resources(body, values),
        termination_message_path: has_outputs.then(|| OUTPUT_PATH.to_owned()),
        termination_message_policy: Some(step::MESSAGE_POLICY.to_owned()),
        volume_mounts: (!mounts.is_empty()).then_some(mounts),
        security_context: match values.security(&body.security) {
            Security::Baseline => None,
            Security::Restricted => Some(restricted_container()),
        },
        ..Container::default()
    }
}

fn resources(body: &Body, values: Values<'_>) -> Option<ResourceRequirements> {
    let cpu = values
        .quantity(&body.cpu)
        .map(|cpu| ("cpu".to_owned(), Quantity(cpu)));
    let memory = values
        .quantity(&body.memory)
        .map(|m| ("memory".to_owned(), Quantity(m)));
    let limits: BTreeMap<String, Quantity> = memory.clone().into_iter().collect();
    let requests: BTreeMap<String, Quantity> = cpu.into_iter().chain(memory).collect();
    (!requests.is_empty()).then(|| ResourceRequirements {
        requests: Some(requests),
        limits: (!limits.is_empty()).then_some(limits),
        claims: None,
    })
}

fn pod(all: &Planned, body: &Body, values: Values<'_>, container: Container) -> PodSpec {
    let mut used: Vec<usize> = body.mounts.iter().map(|mount| mount.workspace).collect();
    used.sort_unstable();
    used.dedup();
    let volumes: Vec<Volume> = used
        .into_iter()
        .map(|workspace| Volume {
            name: all.pipeline.workspaces[workspace].name.text.clone(),
            persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                claim_name: workspace_name(all, workspace),
                read_only: None,
            }),
            ..Volume::default()
        })
        .collect();
    let text = |text: &Option<Text>| text.as_ref().and_then(|text| known(values, text));
    let selector = texts(values, &body.node_selector);
    let tolerations = body.tolerations.as_ref().map(|tolerations| {
        let tolerations = tolerations.iter().map(|toleration| Toleration {
            key: text(&toleration.key),
            operator: toleration.operator.clone(),
            value: text(&toleration.value),
            effect: toleration.effect.clone(),
            toleration_seconds: None,
        });
        tolerations.collect()
    });
    PodSpec {
        security_context: match values.security(&body.security) {
            Security::Baseline => None,
            Security::Restricted => Some(restricted_pod()),
        },
        node_selector: (!selector.is_empty()).then_some(selector),
        tolerations,
        containers: vec![container],
        restart_policy: Some("Never".to_owned()),
        service_account_name: text(&body.service_account),
        priority_class_name: text(&body.priority_class),
        volumes: (!volumes.is_empty()).then_some(volumes),
        ..PodSpec::default()
    }
}

/// What Pod Security "restricted" asks of a pod. Its image chooses the user, who must not be root.
fn restricted_pod() -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

/// What Pod Security "restricted" asks of a container.
fn restricted_container() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities {
            add: None,
            drop: Some(vec!["ALL".to_owned()]),
        }),
        ..SecurityContext::default()
    }
}

fn labels(
    all: &Planned,
    plan: &JobPlan,
    stage: &Stage,
    values: Values<'_>,
) -> BTreeMap<String, String> {
    let mut labels = texts(values, &stage.body.labels);
    labels.extend(run_labels(&all.pipeline, &all.plan.run));
    labels.insert(label::STAGE.to_owned(), stage.name.text.clone());
    labels.insert(
        label::ROLE.to_owned(),
        role(stage.finally).word().to_owned(),
    );
    if let Some(slug) = &plan.slug {
        labels.insert(label::ITEM.to_owned(), slug.clone());
    }
    for (variable, value) in stage.loops.iter().zip(&plan.variables) {
        let name = format!("{}{}", label::ITEM_PREFIX, variable.name.text);
        labels.insert(name, value.clone());
    }
    if values.is_true(&stage.body.may_fail) {
        labels.insert(label::MAY_FAIL.to_owned(), "true".to_owned());
    }
    labels
}

fn texts(values: Values<'_>, map: &Entries<Text>) -> BTreeMap<String, String> {
    map.iter()
        .filter_map(|(name, text)| Some((name.to_owned(), known(values, text)?)))
        .collect()
}

/// A text of which the plan leaves nothing open: no Job is made without its item.
fn known(values: Values<'_>, text: &Text) -> Option<String> {
    let value = values.text(text);
    debug_assert!(value.is_some(), "a text has no value: {text:?}");
    value
}

fn holds(all: &Planned, stage: &Stage, values: Values<'_>) -> Vec<Hold> {
    let mut holds: Vec<Hold> = stage
        .holding
        .iter()
        .map(|hold| {
            let ledger = &all.pipeline.ledgers[hold.ledger];
            let permits = values
                .int(&hold.permits)
                .and_then(|n| u32::try_from(n).ok());
            let permits = if ledger.kind == LedgerKind::Lease {
                1
            } else {
                permits.unwrap_or(1)
            };
            Hold {
                kind: ledger.kind,
                name: ledger_name(&all.pipeline, hold.ledger),
                permits,
            }
        })
        .collect();
    holds.sort();
    holds
}

/// Distinguishes Jobs of the same name.
fn content_hash(job: &Job, scratch: &mut Vec<u8>) -> String {
    scratch.clear();
    let written = serde_json::to_writer(&mut *scratch, job);
    debug_assert!(written.is_ok(), "a Job is plain data: {written:?}");
    name::hex(&Sha256::digest(scratch)[..8])
}
