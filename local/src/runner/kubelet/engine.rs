//! Containers of a container engine, asked by its command line: docker, podman, or what understands
//! the same words.
//!
//! What enters: a container of a pod, with folders for its volumes. What leaves: the words of the
//! engine's `run`, whose process stands for the container: signals, output and exit code pass through.
//! What must never happen here: a container that outlives its pod. It is removed by its name, and
//! where the runner is killed by the label that all its containers have.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::process::Command;

use super::environment::Variables;
use super::image::ImageReference;
use super::start::StartError;
use crate::platform;

/// The label by which the containers of a runner are found.
pub(super) const LABEL: &str = "konductor.io/runner";
/// Where a container finds the kubeconfig of the cluster.
pub(super) const KUBECONFIG: &str = "/var/run/konductor/kubeconfig";

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No such program.
    #[error("{program} is not installed: not found in $PATH")]
    Missing {
        /// Its name.
        program: String,
    },
    /// It does not work.
    #[error("{program} does not answer: {message}")]
    Silent {
        /// Its name.
        program: String,
        /// What it said instead.
        message: String,
    },
}

/// A container engine.
#[derive(Debug)]
pub struct Engine {
    program: PathBuf,
    /// The label's value on all containers that this runner has started.
    runner: String,
    started: AtomicU64,
}

impl Engine {
    /// Looks whether the engine of this name is there and answers.
    ///
    /// # Errors
    /// If it is not installed, or can't do anything.
    pub async fn find(program: &str) -> Result<Arc<Self>, EngineError> {
        let silent = |message| EngineError::Silent {
            program: program.to_owned(),
            message,
        };
        let engine = Self {
            program: program.into(),
            runner: format!(
                "{}-{}",
                std::process::id(),
                jiff::Timestamp::now().as_nanosecond()
            ),
            started: AtomicU64::new(0),
        };
        match engine.ask(&["version"]).await {
            Ok(answer) if answer.status.success() => Ok(Arc::new(engine)),
            Ok(answer) => Err(silent(complaint(&answer))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EngineError::Missing {
                program: program.to_owned(),
            }),
            Err(error) => Err(silent(error.to_string())),
        }
    }

    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    pub(super) fn runner(&self) -> &str {
        &self.runner
    }

    /// A name for the next container.
    pub(super) fn name(&self) -> String {
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        format!("konductor-{}-{number}", self.runner)
    }

    /// Sees to it that an image is there, as its pull policy says.
    ///
    /// # Errors
    /// If it can't be had, with what the engine says about it.
    pub(super) async fn provide(
        &self,
        image: &ImageReference,
        policy: Option<&str>,
    ) -> Result<(), StartError> {
        let failed = |message: String| StartError {
            exit_code: 128,
            message,
        };
        let unanswered = |error: io::Error| failed(format!("{}: {error}", self.program.display()));
        if policy != Some("Always") {
            let inspection = self.ask(&["image", "inspect", image.as_str()]).await;
            if inspection.map_err(unanswered)?.status.success() {
                return Ok(());
            }
            if policy == Some("Never") {
                let message = format!("image {image} is not here, and imagePullPolicy is Never");
                return Err(failed(message));
            }
        }
        let pulled = self
            .ask(&["pull", image.as_str()])
            .await
            .map_err(unanswered)?;
        match pulled.status.success() {
            true => Ok(()),
            false => {
                let why = complaint(&pulled);
                Err(failed(format!("image {image} can't be pulled: {why}")))
            }
        }
    }

    /// Ends a container at once, if it is still there.
    pub(super) async fn remove(&self, name: &str) {
        // To remove alone would be patient with it.
        let _ = self.ask(&["kill", name]).await;
        if let Err(error) = self.ask(&["rm", "--force", name]).await {
            tracing::warn!(name, %error, "a container was not removed");
        }
    }

    /// As [`Engine::remove`], without waiting for it.
    pub(super) fn remove_later(&self, name: &str) {
        if let Err(error) = platform::remove_container(&self.program, name) {
            tracing::warn!(name, %error, "a container was not removed");
        }
    }

    async fn ask(&self, words: &[&str]) -> io::Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(words).stdin(Stdio::null()).kill_on_drop(true);
        platform::keep_from_interrupts(&mut command).output().await
    }
}

/// The last thing that an engine said.
fn complaint(answer: &Output) -> String {
    let said = String::from_utf8_lossy(&answer.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    last.unwrap_or("it does not say why").to_owned()
}

/// A container, as the arguments of an engine describe it.
#[derive(Clone, Debug)]
pub(super) struct Contained {
    pub(super) name: String,
    pub(super) image: ImageReference,
    /// `namespace/name` of the pod.
    pub(super) pod: String,
    /// In place of the image's entry point, with its arguments; empty: the image's own.
    pub(super) command: Vec<String>,
    pub(super) args: Vec<String>,
    pub(super) variables: Variables,
    pub(super) working_dir: Option<String>,
    pub(super) user: Option<String>,
    /// Whether it is in the network of this machine; else it has one of its own.
    pub(super) host_network: bool,
    /// Folders and files of this machine, where they are in the container, and whether only to read.
    pub(super) mounts: Vec<(PathBuf, String, bool)>,
}

impl Contained {
    /// The words of `run`, after the engine's name.
    pub(super) fn words(&self, runner: &str) -> Vec<String> {
        let mut words: Vec<String> = ["run", "--rm", "--pull", "never"].map(str::to_owned).into();
        let mut option = |name: &str, value: String| words.extend([name.to_owned(), value]);
        if self.host_network {
            option("--network", "host".to_owned());
        }
        // A container must not change the SELinux labels of its user's files.
        option("--security-opt", "label=disable".to_owned());
        option("--name", self.name.clone());
        option("--label", format!("{LABEL}={runner}"));
        option("--label", format!("konductor.io/pod={}", self.pod));
        for (source, target, only_read) in &self.mounts {
            let read = if *only_read { ",readonly" } else { "" };
            let source = source.display();
            option(
                "--mount",
                format!("type=bind,source={source},target={target}{read}"),
            );
        }
        for (name, value) in &self.variables {
            option("--env", format!("{name}={value}"));
        }
        if let Some(folder) = &self.working_dir {
            option("--workdir", folder.clone());
        }
        if let Some(user) = &self.user {
            option("--user", user.clone());
        }
        let mut command = self.command.iter();
        if let Some(program) = command.next() {
            option("--entrypoint", program.clone());
        }
        words.push(self.image.to_string());
        words.extend(command.chain(&self.args).cloned());
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_described_in_the_arguments_of_the_engine() {
        let image = ImageReference::parse("busybox:1.36").unwrap();
        let contained = Contained {
            name: "konductor-1-0".into(),
            image: image.clone(),
            pod: "default/p".into(),
            command: vec!["/bin/sh".into(), "-c".into()],
            args: vec!["echo hi".into()],
            variables: [("A".to_owned(), "1 2".to_owned())].into(),
            working_dir: Some("/work".into()),
            user: Some("1000:2000".into()),
            host_network: true,
            mounts: vec![
                ("/here/data".into(), "/data".into(), false),
                ("/here/settings".into(), "/etc/settings".into(), true),
            ],
        };
        let expected = "run --rm --pull never --network host --security-opt label=disable \
             --name konductor-1-0 --label konductor.io/runner=1 --label konductor.io/pod=default/p \
             --mount type=bind,source=/here/data,target=/data \
             --mount type=bind,source=/here/settings,target=/etc/settings,readonly \
             --env A=1 2 --workdir /work --user 1000:2000 --entrypoint /bin/sh busybox:1.36 \
             -c echo hi";
        assert_eq!(contained.words("1").join(" "), expected);
        let bare = Contained {
            name: "konductor-1-1".into(),
            image,
            pod: "default/p".into(),
            command: Vec::new(),
            args: vec!["x".into()],
            variables: Variables::new(),
            working_dir: None,
            user: None,
            host_network: false,
            mounts: Vec::new(),
        };
        let expected = "run --rm --pull never --security-opt label=disable --name konductor-1-1 \
             --label konductor.io/runner=1 --label konductor.io/pod=default/p busybox:1.36 x";
        assert_eq!(bare.words("1").join(" "), expected);
    }
}
