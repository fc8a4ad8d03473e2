//! A schedule as objects: the pipeline's files, a CronJob that applies them, and the rights it
//! needs for that and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, KeyToPath,
    ObjectFieldSelector, PodSpec, PodTemplateSpec, ServiceAccount, Volume, VolumeMount,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{GROUP, label};
use sha2::{Digest, Sha256};

use super::environment::escape;
use crate::manifest::Object;
use crate::pipeline::{Overlap, Schedule};

/// Where the pod finds the files.
const FOLDER: &str = "/pipeline";
/// The variable with the name of the CronJob's Job: the pipeline's name and the slot, in minutes.
const SLOT: &str = "KON_SLOT";

/// What a schedule is made of.
pub(crate) struct Scheduled<'a> {
    pub pipeline: &'a str,
    pub namespace: Option<&'a str>,
    pub schedule: &'a Schedule,
    /// Seconds that a start may be late.
    pub catch_up: Option<u64>,
    /// Paths and texts, the pipeline's own first.
    pub files: Vec<(String, String)>,
    /// Parameters that were given, as text.
    pub set: Vec<(String, String)>,
    pub image: &'a str,
}

/// The objects, in the order of creation.
pub(crate) fn objects(of: &Scheduled<'_>) -> Vec<Object> {
    let files = config_map(of);
    let cron_job = cron_job(of, files.metadata.name.as_deref().unwrap_or_default());
    let account = ServiceAccount {
        metadata: metadata(of, account(of)),
        ..Default::default()
    };
    let binding = RoleBinding {
        metadata: metadata(of, self::account(of)),
        role_ref: RoleRef {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "Role".to_owned(),
            name: self::account(of),
        },
        subjects: Some(vec![Subject {
            kind: "ServiceAccount".to_owned(),
            name: self::account(of),
            ..Subject::default()
        }]),
    };
    vec![
        Object::ServiceAccount(account),
        Object::Role(role(of)),
        Object::RoleBinding(binding),
        Object::ConfigMap(files),
        Object::CronJob(Box::new(cron_job)),
    ]
}

fn account(of: &Scheduled<'_>) -> String {
    format!("{}-schedule", of.pipeline)
}

fn metadata(of: &Scheduled<'_>, name: String) -> ObjectMeta {
    let labels = BTreeMap::from([(label::PIPELINE.to_owned(), of.pipeline.to_owned())]);
    ObjectMeta {
        name: Some(name),
        namespace: of.namespace.map(str::to_owned),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// The files under names that a ConfigMap takes. Its own name has their hash, and it never changes:
/// a CronJob runs exactly what was installed with it.
fn config_map(of: &Scheduled<'_>) -> ConfigMap {
    let mut hash = Sha256::new();
    for (path, text) in &of.files {
        hash.update(path.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        hash.update([0]);
    }
    let digest: String = hash.finalize()[..5]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let data = of.files.iter().enumerate();
    let data = data
        .map(|(index, (_, text))| (key(index), text.clone()))
        .collect();
    ConfigMap {
        metadata: metadata(of, format!("{}-{digest}", of.pipeline)),
        data: Some(data),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

fn key(index: usize) -> String {
    format!("file-{index}.kon")
}

fn role(of: &Scheduled<'_>) -> Role {
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(resources.iter().map(|r| (*r).to_owned()).collect()),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let create = ["get", "create"];
    let mut rules = vec![
        rule(
            GROUP,
            &["gates", "barriers", "semaphores", "leases"],
            &create,
        ),
        rule("batch", &["jobs"], &create),
        rule("", &["persistentvolumeclaims"], &create),
    ];
    rules.push(match of.schedule.overlap {
        Overlap::Allow => rule(GROUP, &["runs"], &create),
        Overlap::Skip => rule(GROUP, &["runs"], &["get", "list", "create"]),
        Overlap::Replace => rule(GROUP, &["runs"], &["get", "list", "create", "patch"]),
    });
    Role {
        metadata: metadata(of, account(of)),
        rules: Some(rules),
    }
}

fn cron_job(of: &Scheduled<'_>, files: &str) -> CronJob {
    let pod = PodSpec {
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(account(of)),
        containers: vec![container(of)],
        volumes: Some(vec![Volume {
            name: "pipeline".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: files.to_owned(),
                items: Some(items(of)),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        }]),
        ..PodSpec::default()
    };
    let labels = BTreeMap::from([(label::PIPELINE.to_owned(), of.pipeline.to_owned())]);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    let policy = match of.schedule.overlap {
        Overlap::Allow => "Allow",
        Overlap::Skip => "Forbid",
        Overlap::Replace => "Replace",
    };
    CronJob {
        metadata: metadata(of, of.pipeline.to_owned()),
        spec: CronJobSpec {
            schedule: of.schedule.cron.clone(),
            time_zone: of.schedule.time_zone.clone(),
            concurrency_policy: Some(policy.to_owned()),
            starting_deadline_seconds: of.catch_up.and_then(|seconds| i64::try_from(seconds).ok()),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(JobSpec {
                    backoff_limit: Some(2),
                    template,
                    ..JobSpec::default()
                }),
            },
            ..CronJobSpec::default()
        },
        status: None,
    }
}

fn items(of: &Scheduled<'_>) -> Vec<KeyToPath> {
    let files = of.files.iter().enumerate();
    files
        .map(|(index, (path, _))| KeyToPath {
            key: key(index),
            path: path.clone(),
            mode: None,
        })
        .collect()
}

fn container(of: &Scheduled<'_>) -> Container {
    let root = of
        .files
        .first()
        .map(|(path, _)| path.as_str())
        .unwrap_or_default();
    let overlap = match of.schedule.overlap {
        Overlap::Allow => "allow",
        Overlap::Skip => "skip",
        Overlap::Replace => "replace",
    };
    let mut command: Vec<String> = [
        "koncli",
        "apply",
        &format!("{FOLDER}/{root}"),
        "--slot",
        &format!("$({SLOT})"),
    ]
    .map(str::to_owned)
    .to_vec();
    command.push(format!("--overlap={overlap}"));
    for (name, text) in &of.set {
        let mut argument = format!("{name}=");
        escape(text, &mut argument);
        command.extend(["--set".to_owned(), argument]);
    }
    let slot = ObjectFieldSelector {
        api_version: None,
        field_path: format!("metadata.labels['{}']", label::JOB_NAME),
    };
    Container {
        name: "apply".to_owned(),
        image: Some(of.image.to_owned()),
        command: Some(command),
        env: Some(vec![EnvVar {
            name: SLOT.to_owned(),
            value: None,
            value_from: Some(EnvVarSource {
                field_ref: Some(slot),
                ..EnvVarSource::default()
            }),
        }]),
        volume_mounts: Some(vec![VolumeMount {
            name: "pipeline".to_owned(),
            mount_path: FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}
