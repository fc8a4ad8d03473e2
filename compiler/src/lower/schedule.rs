//! A schedule as objects: the pipeline's files, a CronJob that applies them, and the rights it
//! needs for that and nothing else. What becomes of a slot is decided by the pod, in `konductor-core`.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{CronJob, CronJobSpec, JobSpec, JobTemplateSpec};
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapVolumeSource, Container, EnvVar, EnvVarSource, KeyToPath,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, ServiceAccount, Volume, VolumeMount,
};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::{GROUP, LedgerKind, label};
use sha2::{Digest, Sha256};

use super::environment::escape;
use super::names::ledger_name;
use super::own;
use crate::name;
use crate::object::Object;
use crate::options::KONCLI_IMAGE;
use crate::pipeline::{Overlap, Pipeline, Schedule};

/// Where the pod finds the files.
const FOLDER: &str = "/pipeline";
/// The variable with the name of the CronJob's Job: the pipeline's name and the slot, in minutes.
const SLOT: &str = "KON_SLOT";

/// How long the pod may take: for its image, for creating what a run is made of, and for waiting until
/// a run that it replaces has ended. One that hangs must not keep all later slots waiting.
const DEADLINE_SECONDS: i64 = 3600;
/// How often the pod is tried again: with Kubernetes' back-off, for ten minutes.
const RETRIES: i32 = 6;
/// How many of the pods are kept to be looked at, of each end. Runs are kept by the pipeline's `keep`.
const HISTORY: i32 = 3;

/// What a schedule is made of.
pub(crate) struct Scheduled<'a> {
    pub pipeline: &'a Pipeline,
    pub namespace: Option<&'a str>,
    pub schedule: &'a Schedule,
    /// Seconds that a start may be late.
    pub catch_up: Option<u64>,
    /// Paths and texts, the pipeline's own first.
    pub files: Vec<(String, String)>,
    /// Parameters that were given, as text.
    pub set: Vec<(String, String)>,
    pub image: &'a str,
    /// Where its runs keep files, if not where the pipeline says.
    pub store: Option<&'a str>,
}

/// The objects, in the order of creation: the CronJob comes last, when all that its pods need is there.
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

fn pipeline<'a>(of: &Scheduled<'a>) -> &'a str {
    &of.pipeline.name.text
}

fn account(of: &Scheduled<'_>) -> String {
    format!("{}-schedule", pipeline(of))
}

fn metadata(of: &Scheduled<'_>, name: String) -> ObjectMeta {
    let labels = BTreeMap::from([(label::PIPELINE.to_owned(), pipeline(of).to_owned())]);
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
    let digest = name::hex(&hash.finalize()[..5]);
    let data = of.files.iter().enumerate();
    let data = data
        .map(|(index, (_, text))| (key(index), text.clone()))
        .collect();
    ConfigMap {
        metadata: metadata(of, format!("{}-{digest}", pipeline(of))),
        data: Some(data),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

fn key(index: usize) -> String {
    format!("file-{index}.kon")
}

/// What the pod does, and nothing else. Which Gates and Barriers there are may depend on the day.
fn role(of: &Scheduled<'_>) -> Role {
    let names = |kind: LedgerKind| {
        let ledgers = of.pipeline.ledgers.iter().enumerate();
        let own = ledgers.filter(move |(_, ledger)| ledger.kind == kind && !ledger.external);
        own.map(|(index, _)| ledger_name(of.pipeline, index))
            .collect::<Vec<_>>()
    };
    // Its own Job, too: that says which slot it is for.
    let jobs: &[&str] = match of.schedule.overlap {
        Overlap::Allow => &["get", "create"],
        // Those of a long run are counted.
        Overlap::Skip | Overlap::Replace => &["get", "list", "create"],
    };
    let mut rules = vec![
        rule(GROUP, "gates", &["get", "create"], &[]),
        rule(GROUP, "barriers", &["get", "create"], &[]),
        rule("batch", "jobs", jobs, &[]),
    ];
    if of
        .pipeline
        .workspaces
        .iter()
        .any(|workspace| !workspace.external)
    {
        rules.push(rule("", "persistentvolumeclaims", &["get", "create"], &[]));
    }
    for (kind, resource) in [
        (LedgerKind::Semaphore, "semaphores"),
        (LedgerKind::Lease, "leases"),
    ] {
        let names = names(kind);
        if !names.is_empty() {
            rules.push(rule(GROUP, resource, &["create"], &[]));
            rules.push(rule(GROUP, resource, &["get", "patch"], &names));
        }
    }
    let runs: &[&str] = match of.schedule.overlap {
        Overlap::Allow => &["get", "create"],
        Overlap::Skip => &["get", "list", "create"],
        Overlap::Replace => &["get", "list", "watch", "create", "patch"],
    };
    rules.push(rule(GROUP, "runs", runs, &[]));
    if of.schedule.overlap != Overlap::Allow {
        // What becomes of a slot is reported where people look for it.
        rules.push(rule(
            "batch",
            "cronjobs",
            &["get"],
            &[pipeline(of).to_owned()],
        ));
        rules.push(rule("events.k8s.io", "events", &["create"], &[]));
    }
    Role {
        metadata: metadata(of, account(of)),
        rules: Some(rules),
    }
}

fn rule(group: &str, resource: &str, verbs: &[&str], names: &[String]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: Some(names.to_vec()).filter(|names| !names.is_empty()),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

fn cron_job(of: &Scheduled<'_>, files: &str) -> CronJob {
    let pod = PodSpec {
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(account(of)),
        containers: vec![container(of)],
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
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
    let labels = BTreeMap::from([(label::PIPELINE.to_owned(), pipeline(of).to_owned())]);
    let template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels.clone()),
            ..ObjectMeta::default()
        }),
        spec: Some(pod),
    };
    // This is about the pods that apply, not about the runs, which outlast them. If a pod looks
    // for other runs first, no two may look at once; none is killed half way through creating a run.
    let policy = match of.schedule.overlap {
        Overlap::Allow => "Allow",
        Overlap::Skip | Overlap::Replace => "Forbid",
    };
    CronJob {
        metadata: metadata(of, pipeline(of).to_owned()),
        spec: CronJobSpec {
            schedule: of.schedule.cron.clone(),
            time_zone: of.schedule.time_zone.clone(),
            concurrency_policy: Some(policy.to_owned()),
            starting_deadline_seconds: of.catch_up.and_then(|seconds| i64::try_from(seconds).ok()),
            successful_jobs_history_limit: Some(HISTORY),
            failed_jobs_history_limit: Some(HISTORY),
            job_template: JobTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(JobSpec {
                    active_deadline_seconds: Some(DEADLINE_SECONDS),
                    backoff_limit: Some(RETRIES),
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
    Container {
        name: "apply".to_owned(),
        image: Some(of.image.to_owned()),
        command: Some(command),
        env: Some(variables(of)),
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity("50m".to_owned())),
                ("memory".to_owned(), Quantity("64Mi".to_owned())),
            ])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(own::confined()),
        volume_mounts: Some(vec![VolumeMount {
            name: "pipeline".to_owned(),
            mount_path: FOLDER.to_owned(),
            read_only: Some(true),
            ..VolumeMount::default()
        }]),
        ..Container::default()
    }
}

/// What the pod applies with, as whoever installed the schedule did.
fn variables(of: &Scheduled<'_>) -> Vec<EnvVar> {
    let mut variables = vec![
        field(SLOT, &format!("metadata.labels['{}']", label::JOB_NAME)),
        field("KONCLI_NAMESPACE", "metadata.namespace"),
    ];
    let image = Some(of.image).filter(|image| *image != KONCLI_IMAGE);
    for (name, value) in [("KONCLI_IMAGE", image), ("KONCLI_STORE", of.store)] {
        let Some(text) = value else { continue };
        let mut value = String::new();
        escape(text, &mut value);
        variables.push(EnvVar {
            name: name.to_owned(),
            value: Some(value),
            value_from: None,
        });
    }
    variables
}

/// A variable with what the pod's own object says.
fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: path.to_owned(),
            }),
            ..EnvVarSource::default()
        }),
    }
}
