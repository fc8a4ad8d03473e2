//! One run of one container: what it is started with, and what is known when it has ended.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, PodSpec};

use super::Runtime;
use super::engine::{self, Contained, Engine};
use super::environment::{Scope, Variables};
use super::image::ImageReference;
use super::logs;
use super::mounts::{Mounts, variable_of};
use super::pod::{Place, PodLife};
use super::process::{CommandLine, ContainerOf, Process, read_message};
use super::references::{ConfigError, References};
use super::start::StartError;
use super::status::{Ended, State};
use super::volumes::{self, Folders};
use crate::platform;
use crate::runner::cluster::{name, namespace, uid};

/// Where a container writes its message unless it says otherwise.
const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";
/// The longest message a container may leave.
const MESSAGE_BYTES_MAX: usize = 4096;
/// How much all containers of a pod may leave together: each gets an equal part, as from the kubelet.
const POD_MESSAGE_BYTES_MAX: usize = 12 * 1024;

#[cfg(test)]
#[test]
fn a_pods_containers_share_what_it_may_leave() {
    let shares = [0, 1, 3, 4, 12].map(message_share);
    assert_eq!(shares, [12_288, 12_288, 4096, 3072, 1024]);
}

/// How many bytes of message each container of a pod may leave.
fn message_share(containers: usize) -> usize {
    POD_MESSAGE_BYTES_MAX / containers.max(1)
}

impl PodLife {
    /// Starts `container` with an empty message and a new log, once its image is there.
    pub(super) async fn start(
        &self,
        container: &Container,
        command: &CommandLine,
    ) -> Result<Process, StartError> {
        if let Runtime::Engine(engine) = &self.node.options.runtime {
            let image = ImageReference::parse(container.image.as_deref().unwrap_or_default());
            let image = image.map_err(|message| StartError {
                exit_code: 128,
                message,
            })?;
            let mut halt = self.halt.subscribe();
            tokio::select! {
                provided = engine.provide(&image, container.image_pull_policy.as_deref()) => provided?,
                _ = halt.wait_for(Option::is_some) => {
                    return Err(StartError {
                        exit_code: 137,
                        message: format!("ended before image {image} was there"),
                    });
                }
            }
        }
        let message_file = self.message_file(container);
        let log = fs::write(&message_file, "")
            // Whoever the container runs as writes it.
            .and_then(|()| platform::set_mode(&message_file, 0o666))
            .and_then(|()| {
                let folder = self.folder.join("logs");
                self.node
                    .logs
                    .start(uid(&self.pod), &container.name, &folder)
            })
            .map_err(|error| StartError {
                exit_code: 128,
                message: format!("can't write in {}: {error}", self.folder.display()),
            })?;
        Process::start(command, log, self.node.guard.clone())
    }

    /// Waits for the end of a process, or brings it about when the pod is halted.
    pub(super) async fn attend(
        &self,
        place: Place<'_>,
        mut process: Process,
        started_at: Timestamp,
    ) {
        let id = process.id();
        self.change(place, |container| {
            container.state = State::Running {
                since: started_at,
                process: id,
            };
        });
        self.publish();
        let ended = process.run_to_end(&mut self.halt.subscribe()).await;
        process.finish().await;
        let (exit_code, error) = match ended {
            Ok(exit_code) => (exit_code, None),
            Err(error) => (128, Some(format!("can't wait for the process: {error}"))),
        };
        let end = Ended {
            exit_code,
            reason: if exit_code == 0 { "Completed" } else { "Error" },
            message: error.or_else(|| self.message(place.container, exit_code)),
            started_at,
            finished_at: self.node.cluster.now(),
        };
        self.change(place, |container| {
            container.state = State::Terminated {
                end,
                process: Some(id),
            };
        });
    }

    /// What a container leaves as its message, cut to the container's part of what its pod may leave.
    fn message(&self, container: &Container, exit_code: i32) -> Option<String> {
        let containers = self.spec.containers.len();
        let all = containers + self.spec.init_containers.as_ref().map_or(0, Vec::len);
        let mut message = self.whole_message(container, exit_code)?;
        message.truncate(message.floor_char_boundary(message_share(all)));
        Some(message)
    }

    fn whole_message(&self, container: &Container, exit_code: i32) -> Option<String> {
        let written = read_message(&self.message_file(container), MESSAGE_BYTES_MAX);
        let policy = container.termination_message_policy.as_deref();
        if written.is_some() || exit_code == 0 || policy != Some("FallbackToLogsOnError") {
            return written;
        }
        let log = self.node.logs.path(uid(&self.pod), &container.name)?;
        logs::message(&log)
            .ok()
            .filter(|message| !message.is_empty())
    }

    fn message_file(&self, container: &Container) -> PathBuf {
        self.folder.join("messages").join(&container.name)
    }

    /// What to run for `container`: the pod's words and values, with folders for mount paths.
    pub(super) fn command_line(
        &self,
        container: &Container,
        folders: &Folders,
    ) -> Result<CommandLine, ConfigError> {
        let find = |referent, name: &str| self.node.find(&self.pod, referent, name);
        let no_mounts = Mounts::default();
        let scope = Scope {
            pod: &self.pod,
            container,
            references: References { find: &find },
            mounts: &no_mounts,
            node_name: &self.node.options.node_name,
        };
        let mut mounts = volumes::mounts(container, folders, &scope.variables()?)?;
        if let Runtime::Engine(engine) = &self.node.options.runtime {
            return self.contained(container, engine, &scope, &mounts);
        }
        let message_path = container.termination_message_path.as_deref();
        let message_path = message_path.filter(|path| !path.is_empty());
        mounts.add(
            message_path.unwrap_or(DEFAULT_MESSAGE_PATH),
            self.message_file(container),
        );
        let scope = Scope {
            mounts: &mounts,
            ..scope
        };
        let own = scope.variables()?;
        let words = scope.command_line(&own);
        let mut variables = self.node.base_variables();
        let hostname = self.spec.hostname.as_deref().unwrap_or(name(&self.pod));
        variables.insert("HOSTNAME".into(), hostname.into());
        variables.extend(mount_variables(container, &mounts));
        variables.extend(own);
        let working_dir = match container.working_dir.as_deref() {
            Some(folder) if !folder.is_empty() => {
                let here = || self.node.options.working_dir.join(folder);
                mounts.resolve(folder).unwrap_or_else(here)
            }
            _ => self.node.options.working_dir.clone(),
        };
        Ok(CommandLine {
            words,
            variables,
            working_dir,
            container: None,
        })
    }

    /// What to run for `container` where an engine runs it: the words of the engine.
    fn contained(
        &self,
        container: &Container,
        engine: &Arc<Engine>,
        scope: &Scope<'_>,
        mounts: &Mounts,
    ) -> Result<CommandLine, ConfigError> {
        let own = scope.variables()?;
        let mut command = scope.command_line(&own);
        let args = command.split_off(container.command.as_ref().map_or(0, Vec::len));
        let hostname = self.spec.hostname.as_deref().unwrap_or(name(&self.pod));
        let mut variables = Variables::from([("HOSTNAME".to_owned(), hostname.to_owned())]);
        let mut mounted = self.mounted(container, mounts)?;
        let uses_api = uses_api(&self.spec);
        let kubeconfig = self.node.options.kubeconfig.as_ref();
        if let Some(kubeconfig) = kubeconfig.filter(|_| uses_api) {
            let file = std::path::absolute(kubeconfig).unwrap_or_else(|_| kubeconfig.clone());
            mounted.push((file, engine::KUBECONFIG.to_owned(), true));
            variables.insert("KUBECONFIG".into(), engine::KUBECONFIG.to_owned());
        }
        variables.extend(own);
        let contained = Contained {
            name: engine.name(),
            image: ImageReference::parse(container.image.as_deref().unwrap_or_default())
                .map_err(ConfigError::Invalid)?,
            pod: format!("{}/{}", namespace(&self.pod), name(&self.pod)),
            command,
            args,
            variables,
            working_dir: container
                .working_dir
                .clone()
                .filter(|folder| !folder.is_empty()),
            user: self.user(container),
            // The API server listens on this machine's loopback only.
            host_network: uses_api || self.spec.host_network == Some(true),
            mounts: mounted,
        };
        let mut words = vec![engine.program().display().to_string()];
        words.extend(contained.words(engine.runner()));
        Ok(CommandLine {
            words,
            // The engine's own: which it is, and how it is reached.
            variables: std::env::vars().collect(),
            working_dir: self.node.options.working_dir.clone(),
            container: Some(ContainerOf {
                engine: Arc::clone(engine),
                name: contained.name,
            }),
        })
    }

    /// What is mounted into a container: its volumes, and the file for its message. Whoever it runs as
    /// may write there, as in a cluster.
    fn mounted(
        &self,
        container: &Container,
        mounts: &Mounts,
    ) -> Result<Vec<(PathBuf, String, bool)>, ConfigError> {
        let own_folder = &self.node.options.folder;
        let is_separator = |c: char| c == ',' || c == '"' || c.is_control();
        let mut mounted = Vec::new();
        for (path, target) in mounts.entries() {
            if target.is_dir() && target.starts_with(own_folder) {
                platform::set_mode(target, 0o777).map_err(|error| {
                    ConfigError::Invalid(format!("can't open {}: {error}", target.display()))
                })?;
            }
            let mut volumes = container.volume_mounts.iter().flatten();
            let only_read = volumes.any(|mount| {
                mount.mount_path.trim_end_matches('/') == path && mount.read_only == Some(true)
            });
            mounted.push((target.to_owned(), path.to_owned(), only_read));
        }
        let message = container.termination_message_path.as_deref();
        let message = message.filter(|path| !path.is_empty());
        let message = message.unwrap_or(DEFAULT_MESSAGE_PATH).to_owned();
        // The shorter first: a mount may lie within another.
        mounted.reverse();
        mounted.push((self.message_file(container), message, false));
        let comma = mounted.iter().find(|(source, target, _)| {
            target.contains(is_separator) || source.to_string_lossy().contains(is_separator)
        });
        match comma {
            Some((source, target, _)) => Err(ConfigError::Invalid(format!(
                "{:?} can't be mounted as {target:?}: an engine takes no path with a comma, a quotation \
                 mark or a control character",
                source
            ))),
            None => Ok(mounted),
        }
    }

    /// The user and group that a container runs as, where its pod says.
    fn user(&self, container: &Container) -> Option<String> {
        let own = container.security_context.as_ref();
        let pods = self.spec.security_context.as_ref();
        let user = own
            .and_then(|context| context.run_as_user)
            .or_else(|| pods.and_then(|context| context.run_as_user))?;
        let group = own
            .and_then(|context| context.run_as_group)
            .or_else(|| pods.and_then(|context| context.run_as_group));
        Some(group.map_or_else(|| user.to_string(), |group| format!("{user}:{group}")))
    }
}

/// Whether a pod speaks to the API server: it names an account of its own, or asks for the token of
/// the one that it has.
fn uses_api(spec: &PodSpec) -> bool {
    let account = spec.service_account_name.as_deref().unwrap_or_default();
    let is_own = !account.is_empty() && account != "default";
    spec.automount_service_account_token.unwrap_or(is_own)
}

/// `KONDUCTOR_MOUNT_<VOLUME>` for each volume; of several mounts of a volume, the first counts.
fn mount_variables(container: &Container, mounts: &Mounts) -> Variables {
    let mut variables = Variables::new();
    for mount in container.volume_mounts.iter().flatten() {
        if let Some(folder) = mounts.resolve(&mount.mount_path) {
            let folder = folder.to_string_lossy().into_owned();
            variables.entry(variable_of(&mount.name)).or_insert(folder);
        }
    }
    variables
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_a_pod_that_asks_for_it_speaks_to_the_api_server() {
        let table: [(Value, bool); 7] = [
            (json!({}), false),
            (json!({"serviceAccountName": ""}), false),
            (json!({"serviceAccountName": "default"}), false),
            (json!({"serviceAccountName": "participant"}), true),
            (json!({"automountServiceAccountToken": true}), true),
            (
                json!({"serviceAccountName": "participant", "automountServiceAccountToken": false}),
                false,
            ),
            (
                json!({"serviceAccountName": "default", "automountServiceAccountToken": true}),
                true,
            ),
        ];
        for (spec, expected) in table {
            let mut whole = json!({"containers": []});
            let fields = spec.as_object().cloned().unwrap_or_default();
            whole.as_object_mut().unwrap().extend(fields);
            let whole: PodSpec = serde_json::from_value(whole).unwrap();
            assert_eq!(uses_api(&whole), expected, "{spec}");
        }
    }
}
