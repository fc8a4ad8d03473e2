//! The wrapper around the command of a stage that reads or writes files, or whose item is known only at run time.
//!
//! What enters: a Job that is complete but for it, and what the wrapper is to do. What leaves: the same Job with
//! an initContainer that puts `koncli` into the pod, and a command that begins with it. What must never
//! happen here: a shell, or another security context than the container's own.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource, EmptyDirVolumeSource, EnvFromSource,
    EnvVar, EnvVarSource, ObjectFieldSelector, PersistentVolumeClaimVolumeSource, PodSpec,
    ResourceRequirements, SecretEnvSource, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use konductor_api::step::{
    FILES_FOLDER, ITEMS_FILE, ITEMS_FOLDER, ITEMS_VARIABLE, NAMESPACE_VARIABLE, POD_UID_VARIABLE,
    PROGRAM_FOLDER, STEP_VARIABLE, STORE_FOLDER, STORE_FOLDER_VARIABLE, STORE_SECRET_PREFIX,
    WORKSPACE_SCHEME,
};
use konductor_api::{StepSpec, annotation};

use super::environment::escape;
use super::own;

/// A container that fails and writes no message leaves the end of its log instead, so that its Job, its Run and
/// koncli can say why it failed.
pub(super) const MESSAGE_POLICY: &str = "FallbackToLogsOnError";
/// The container of a stage.
const MAIN: &str = "main";
/// The initContainer, and its volume.
const PROGRAM: &str = "kon-bin";
const FILES: &str = "kon-files";
const ITEMS: &str = "kon-items";
const STORE: &str = "kon-store";

/// Lets `koncli step` run the command of a Job's container. `image` is that of koncli; `claim` is the
/// claim of the workspace that is the store, if one is.
pub(super) fn wrap(job: &mut Job, spec: &StepSpec, image: &str, claim: Option<String>) {
    let pod = job.spec.as_mut();
    let Some(pod) = pod.and_then(|job| job.template.spec.as_mut()) else {
        return;
    };
    let mut volumes = vec![empty(PROGRAM)];
    let mut mounts = vec![mount(PROGRAM, PROGRAM_FOLDER, true)];
    let text = serde_json::json!(spec).to_string();
    let mut escaped = String::new();
    escape(&text, &mut escaped);
    let mut variables = vec![variable(STEP_VARIABLE, escaped)];
    if spec.items.is_some() {
        volumes.push(items());
        mounts.push(mount(ITEMS, ITEMS_FOLDER, true));
        variables.push(variable(ITEMS_VARIABLE, ITEMS_FILE.to_owned()));
    }
    let mut secret = None;
    if !spec.inputs.is_empty() || !spec.outputs.is_empty() {
        volumes.push(empty(FILES));
        mounts.push(mount(FILES, FILES_FOLDER, false));
        variables.push(field(POD_UID_VARIABLE, "metadata.uid"));
        variables.push(field(NAMESPACE_VARIABLE, "metadata.namespace"));
        let store = spec.store.as_ref();
        secret = store.and_then(|store| store.secret.clone());
        if let Some(claim) = claim {
            volumes.push(Volume {
                name: STORE.to_owned(),
                persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
                    claim_name: claim,
                    read_only: None,
                }),
                ..Volume::default()
            });
            mounts.push(mount(STORE, STORE_FOLDER, false));
            let url = store.map_or("", |store| &store.url);
            let below = url.strip_prefix(WORKSPACE_SCHEME).unwrap_or_default();
            let prefix = below.split_once('/').map(|(_, prefix)| prefix);
            let folder = match prefix.filter(|prefix| !prefix.is_empty()) {
                Some(prefix) => format!("{STORE_FOLDER}/{prefix}"),
                None => STORE_FOLDER.to_owned(),
            };
            variables.push(variable(STORE_FOLDER_VARIABLE, folder));
        }
    }
    let PodSpec {
        containers,
        init_containers,
        volumes: all_volumes,
        ..
    } = pod;
    let Some(main) = containers
        .iter_mut()
        .find(|container| container.name == MAIN)
    else {
        return;
    };
    let before = init_containers.get_or_insert_default();
    // First, so that an initContainer of the author's finds the pod as it will be.
    before.insert(0, installer(image));
    all_volumes.get_or_insert_default().extend(volumes);
    main.volume_mounts.get_or_insert_default().extend(mounts);
    main.env.get_or_insert_default().extend(variables);
    if let Some(secret) = secret {
        main.env_from.get_or_insert_default().push(EnvFromSource {
            prefix: Some(STORE_SECRET_PREFIX.to_owned()),
            secret_ref: Some(SecretEnvSource {
                name: secret,
                optional: None,
            }),
            ..EnvFromSource::default()
        });
    }
    let mut command = vec![
        format!("{PROGRAM_FOLDER}/koncli"),
        "step".to_owned(),
        "--".to_owned(),
    ];
    command.extend(main.command.take().unwrap_or_default());
    main.command = Some(command);
}

/// Copies koncli, which is all that its image has, to where the command's container finds it.
fn installer(image: &str) -> Container {
    Container {
        name: PROGRAM.to_owned(),
        image: Some(image.to_owned()),
        command: Some(vec![
            "koncli".to_owned(),
            "step".to_owned(),
            "--install".to_owned(),
            PROGRAM_FOLDER.to_owned(),
        ]),
        resources: Some(ResourceRequirements {
            requests: Some(BTreeMap::from([
                ("cpu".to_owned(), Quantity("10m".to_owned())),
                ("memory".to_owned(), Quantity("32Mi".to_owned())),
            ])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(own::confined()),
        termination_message_policy: Some(MESSAGE_POLICY.to_owned()),
        volume_mounts: Some(vec![mount(PROGRAM, PROGRAM_FOLDER, false)]),
        ..Container::default()
    }
}

fn empty(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

/// The list is longer than a variable may be.
fn items() -> Volume {
    let path = format!("metadata.annotations['{}']", annotation::ITEMS);
    let file = DownwardAPIVolumeFile {
        path: "list".to_owned(),
        field_ref: Some(selector(&path)),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: ITEMS.to_owned(),
        downward_api: Some(DownwardAPIVolumeSource {
            items: Some(vec![file]),
            ..DownwardAPIVolumeSource::default()
        }),
        ..Volume::default()
    }
}

fn mount(volume: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: volume.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    }
}

fn field(name: &str, path: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(selector(path)),
            ..EnvVarSource::default()
        }),
    }
}

fn selector(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector {
        api_version: None,
        field_path: path.to_owned(),
    }
}
