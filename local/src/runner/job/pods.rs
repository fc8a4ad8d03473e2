//! What the Job controller reads from a pod, and the pods it makes.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodCondition,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

/// Keeps a pod until the Job controller has counted it.
pub(super) const TRACKING_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
/// Label and annotation of an Indexed Job's pods.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// How often this index failed before this pod, where failures are counted per index.
const INDEX_FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
/// How often this index failed without counting.
const INDEX_IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";
const COMPLETION_INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The longest `generateName` that leaves room for the five characters the API server appends.
const GENERATE_NAME_LENGTH_MAX: usize = 58;

pub(super) fn phase(pod: &Pod) -> &str {
    pod.status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .unwrap_or("Pending")
}

pub(super) fn is_terminal(pod: &Pod) -> bool {
    matches!(phase(pod), "Succeeded" | "Failed")
}

pub(super) fn is_deleted(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether the pod takes part in the Job: neither ended nor being deleted.
pub(super) fn is_active(pod: &Pod) -> bool {
    !is_terminal(pod) && !is_deleted(pod)
}

/// Whether the pod is being deleted and still works.
pub(super) fn is_terminating(pod: &Pod) -> bool {
    !is_terminal(pod) && is_deleted(pod)
}

pub(super) fn is_ready(pod: &Pod) -> bool {
    ready_condition(pod).is_some_and(|condition| condition.status == "True")
}

pub(super) fn is_tracked(pod: &Pod) -> bool {
    pod.metadata
        .finalizers
        .iter()
        .flatten()
        .any(|finalizer| finalizer == TRACKING_FINALIZER)
}

pub(super) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// The pod's completion index, unless it has none or an impossible one.
pub(super) fn completion_index(pod: &Pod) -> Option<i32> {
    annotation_number(pod, COMPLETION_INDEX)
}

/// The failures of the pod's index that counted, before this pod.
pub(super) fn index_failures(pod: &Pod) -> i32 {
    annotation_number(pod, INDEX_FAILURES).unwrap_or(0)
}

/// The failures of the pod's index that did not count, before this pod.
pub(super) fn index_ignored_failures(pod: &Pod) -> i32 {
    annotation_number(pod, INDEX_IGNORED_FAILURES).unwrap_or(0)
}

/// Restarts of all the pod's containers (`restartPolicy: OnFailure`).
pub(super) fn restarts(pod: &Pod) -> i32 {
    let Some(status) = &pod.status else { return 0 };
    let containers = status.container_statuses.iter().flatten();
    containers
        .chain(status.init_container_statuses.iter().flatten())
        .fold(0, |sum: i32, container| {
            sum.saturating_add(container.restart_count)
        })
}

/// When the pod ended: its last container's end, else the moment it stopped being ready,
/// else its deletion, else its creation.
pub(super) fn finished_at(pod: &Pod) -> Timestamp {
    let containers_end = || {
        let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
        let ends = statuses
            .iter()
            .map(|container| {
                Some(
                    container
                        .state
                        .as_ref()?
                        .terminated
                        .as_ref()?
                        .finished_at
                        .as_ref()?
                        .0,
                )
            })
            .collect::<Option<Vec<_>>>()?;
        ends.into_iter().max()
    };
    let unready = || {
        let condition = ready_condition(pod).filter(|condition| condition.status == "False")?;
        Some(condition.last_transition_time.as_ref()?.0)
    };
    let deleted = || {
        let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
        let grace = Duration::from_secs(grace.try_into().unwrap_or(0));
        pod.metadata
            .deletion_timestamp
            .as_ref()?
            .0
            .checked_sub(grace)
            .ok()
    };
    let created = || Some(pod.metadata.creation_timestamp.as_ref()?.0);
    containers_end()
        .or_else(unready)
        .or_else(deleted)
        .or_else(created)
        .unwrap_or_default()
}

/// Of active pods, those to be given up come first: not ready, not running, the youngest.
pub(super) fn worth(pod: &Pod) -> impl Ord + use<> {
    let bound = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_some());
    let age = pod
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|created| created.0);
    (
        bound,
        phase(pod) == "Running",
        is_ready(pod),
        std::cmp::Reverse(age),
    )
}

/// The place of a new pod in an Indexed Job.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexSlot {
    pub(super) index: i32,
    /// Counted and ignored failures of this index so far; `None` where they are not kept per index.
    pub(super) failures: Option<(i32, i32)>,
}

/// A new pod of `job`, to be named by the API server.
pub(super) fn new_pod(job: &Job, slot: Option<IndexSlot>) -> Pod {
    let job_name = job.metadata.name.as_deref().unwrap_or_default();
    let job_uid = job.metadata.uid.as_deref().unwrap_or_default();
    let template = job
        .spec
        .as_ref()
        .map(|spec| spec.template.clone())
        .unwrap_or_default();
    let template_metadata = template.metadata.unwrap_or_default();

    let mut labels = template_metadata.labels.unwrap_or_default();
    for (key, value) in [
        ("batch.kubernetes.io/controller-uid", job_uid),
        ("batch.kubernetes.io/job-name", job_name),
        ("controller-uid", job_uid),
        ("job-name", job_name),
    ] {
        labels.entry(key.into()).or_insert_with(|| value.into());
    }
    let mut annotations = template_metadata.annotations.unwrap_or_default();
    let mut finalizers = template_metadata.finalizers.unwrap_or_default();
    if !finalizers
        .iter()
        .any(|finalizer| finalizer == TRACKING_FINALIZER)
    {
        finalizers.push(TRACKING_FINALIZER.into());
    }

    let mut spec = template.spec.unwrap_or_default();
    let mut suffix = "-".to_owned();
    if let Some(IndexSlot { index, failures }) = slot {
        suffix = format!("-{index}-");
        labels.insert(COMPLETION_INDEX.into(), index.to_string());
        annotations.insert(COMPLETION_INDEX.into(), index.to_string());
        if let Some((counted, ignored)) = failures {
            annotations.insert(INDEX_FAILURES.into(), counted.to_string());
            if ignored > 0 {
                annotations.insert(INDEX_IGNORED_FAILURES.into(), ignored.to_string());
            }
        }
        spec.hostname = Some(format!("{job_name}-{index}"));
        let init_containers = spec.init_containers.iter_mut().flatten();
        init_containers
            .chain(&mut spec.containers)
            .for_each(add_completion_index_variable);
    }

    Pod {
        metadata: ObjectMeta {
            generate_name: Some(generate_name(job_name, &suffix)),
            namespace: job.metadata.namespace.clone(),
            labels: Some(labels),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            finalizers: Some(finalizers),
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".into(),
                kind: "Job".into(),
                name: job_name.into(),
                uid: job_uid.into(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            }]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// `job_name` and `suffix`, the former cut where the two would be too long.
fn generate_name(job_name: &str, suffix: &str) -> String {
    let kept = GENERATE_NAME_LENGTH_MAX
        .saturating_sub(suffix.len())
        .min(job_name.len());
    // Names are ASCII; a name that is not is cut at the last character that fits.
    let kept = (0..=kept)
        .rev()
        .find(|end| job_name.is_char_boundary(*end))
        .unwrap_or(0);
    format!("{}{suffix}", &job_name[..kept])
}

fn add_completion_index_variable(container: &mut Container) {
    let env = container.env.get_or_insert_default();
    if env
        .iter()
        .any(|variable| variable.name == COMPLETION_INDEX_VARIABLE)
    {
        return;
    }
    env.push(EnvVar {
        name: COMPLETION_INDEX_VARIABLE.into(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.labels['{COMPLETION_INDEX}']"),
            }),
            ..EnvVarSource::default()
        }),
    });
}

fn ready_condition(pod: &Pod) -> Option<&PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions
        .iter()
        .find(|condition| condition.type_ == "Ready")
}

fn annotation_number(pod: &Pod, key: &str) -> Option<i32> {
    let text = pod.metadata.annotations.as_ref()?.get(key)?;
    text.parse().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job() -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": "load", "namespace": "etl", "uid": "u1"},
            "spec": {"template": {
                "metadata": {"labels": {"app": "x"}},
                "spec": {"containers": [{"name": "main", "image": "i"}]},
            }},
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_is_the_template_with_labels_owner_and_finalizer() {
        let pod = serde_json::to_value(new_pod(&job(), None)).unwrap();
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "finalizers": ["batch.kubernetes.io/job-tracking"],
                "generateName": "load-",
                "labels": {
                    "app": "x",
                    "batch.kubernetes.io/controller-uid": "u1",
                    "batch.kubernetes.io/job-name": "load",
                    "controller-uid": "u1",
                    "job-name": "load",
                },
                "namespace": "etl",
                "ownerReferences": [{
                    "apiVersion": "batch/v1", "blockOwnerDeletion": true, "controller": true,
                    "kind": "Job", "name": "load", "uid": "u1",
                }],
            },
            "spec": {"containers": [{"name": "main", "image": "i"}]},
        });
        assert_eq!(pod, expected);
    }

    #[test]
    fn an_indexed_pod_knows_its_index() {
        let slot = IndexSlot {
            index: 3,
            failures: Some((1, 0)),
        };
        let pod = new_pod(&job(), Some(slot));
        assert_eq!(pod.metadata.generate_name.as_deref(), Some("load-3-"));
        assert_eq!(completion_index(&pod), Some(3));
        assert_eq!(index_failures(&pod), 1);
        let labels = pod.metadata.labels.clone().unwrap();
        assert_eq!(labels["batch.kubernetes.io/job-completion-index"], "3");
        let spec = serde_json::to_value(pod.spec.unwrap()).unwrap();
        let expected = json!({
            "hostname": "load-3",
            "containers": [{"name": "main", "image": "i", "env": [{
                "name": "JOB_COMPLETION_INDEX",
                "valueFrom": {"fieldRef": {
                    "fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}},
            }]}],
        });
        assert_eq!(spec, expected);
    }

    #[test]
    fn a_long_job_name_is_cut_and_the_index_stays() {
        assert_eq!(
            generate_name(&"j".repeat(63), "-12-"),
            format!("{}-12-", "j".repeat(54))
        );
        assert_eq!(generate_name("é", &"-".repeat(57)), "-".repeat(57));
    }
}
