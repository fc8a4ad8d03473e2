//! One run of one container: what it is started with, and what is known when it has ended.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;

use super::Runtime;
use super::environment::{Scope, Variables};
use super::logs;
use super::mounts::{Mounts, variable_of};
use super::pod::{Place, PodLife};
use super::process::{CommandLine, Process, StartError, read_message};
use super::references::{ConfigError, References};
use super::status::{Ended, State};
use super::volumes::{self, Folders};
use crate::runner::cluster::{name, uid};

/// Where a container writes its message unless it says otherwise.
const DEFAULT_MESSAGE_PATH: &str = "/dev/termination-log";
/// The longest message a container may leave.
const MESSAGE_BYTES_MAX: usize = 4096;
impl PodLife {
    /// Starts `container` with an empty message and a new log.
    pub(super) fn start(
        &self,
        container: &Container,
        command: &CommandLine,
    ) -> Result<Process, StartError> {
        let message_file = self.message_file(container);
        let log = fs::write(&message_file, "")
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
        match self.node.options.runtime {
            Runtime::Process => Process::start(command, log, self.node.guard.clone()),
        }
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

    /// What a container leaves as its message.
    fn message(&self, container: &Container, exit_code: i32) -> Option<String> {
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
        })
    }
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
