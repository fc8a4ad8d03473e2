//! The life of one pod: volumes, init containers in order, containers at once, the last status.
//!
//! A pod that was accepted enters; when `run` returns, none of its processes is left and its last
//! status is written. Probes, lifecycle hooks and limits are left out on purpose.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use tokio::sync::watch;

use super::Node;
use super::references::{ConfigError, References, file_name};
use super::start::StartError;
use super::status::{ContainerReport, Ended, PodReport, State};
use super::volumes::{Folders, Volumes};

/// What a pod is given that does not say how long it may take to end.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Why a pod has to end before its containers do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The pod is being deleted.
    Deleted { grace: Duration },
    /// The pod does not exist any more.
    Gone,
    /// The kubelet is being shut down.
    Shutdown { grace: Duration },
}

impl Stop {
    fn grace(&self) -> Duration {
        match self {
            Self::Deleted { grace } | Self::Shutdown { grace } => *grace,
            Self::Gone => Duration::ZERO,
        }
    }
}

/// A pod on its way through life.
pub(super) struct PodLife {
    pub(super) node: Arc<Node>,
    pub(super) pod: Pod,
    pub(super) spec: PodSpec,
    pub(super) folder: PathBuf,
    report: Mutex<PodReport>,
    /// Asks the containers to end, and says how long they may take.
    pub(super) halt: watch::Sender<Option<Duration>>,
}

/// One container of the pod.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) container: &'a Container,
    pub(super) init: bool,
    pub(super) index: usize,
}

impl PodLife {
    pub(super) fn new(node: Arc<Node>, pod: Pod) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let report = Mutex::new(PodReport::new(&spec, node.cluster.now()));
        let folder = node.pod_folder(&pod);
        Self {
            node,
            pod,
            spec,
            folder,
            report,
            halt: watch::Sender::new(None),
        }
    }

    /// Runs the pod until it has ended, by itself or because of `stop`.
    pub(super) async fn run(self, mut stop: watch::Receiver<Option<Stop>>) {
        tokio::select! {
            () = self.work() => {}
            () = self.supervise(&mut stop) => {}
        }
        self.report().over = true;
        self.publish();
    }

    /// Turns a stop, or the pod's deadline, into a halt of all containers. Never returns.
    async fn supervise(&self, stop: &mut watch::Receiver<Option<Stop>>) {
        let deadline = self
            .spec
            .active_deadline_seconds
            .and_then(|s| u64::try_from(s).ok());
        let overdue = async {
            match deadline {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let stopped = async {
            // An error means that the kubelet is gone, which also drops this future.
            let _ = stop.wait_for(Option::is_some).await;
        };
        tokio::select! {
            biased;
            () = stopped => {}
            () = overdue => {
                let message = "Pod was active on the node longer than the specified deadline";
                self.fail("DeadlineExceeded", message);
                self.halt.send_replace(Some(self.grace()));
            }
        }
        loop {
            let requested = stop
                .wait_for(Option::is_some)
                .await
                .map(|stop| stop.clone());
            let Ok(Some(requested)) = requested else {
                break;
            };
            if matches!(requested, Stop::Shutdown { .. }) {
                let message = "Pod was terminated in response to imminent node shutdown.";
                self.fail("Terminated", message);
            }
            // A second request can only make it shorter.
            let grace = requested.grace();
            self.halt.send_if_modified(|halt| {
                let shorter = halt.is_none_or(|before| grace < before);
                if shorter {
                    *halt = Some(grace);
                }
                shorter
            });
            if stop.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }

    async fn work(&self) {
        if let Err(error) = self.check() {
            return self.fail("UnsupportedPod", &error.to_string());
        }
        let folders = self.when_configured(
            || self.make_folders(),
            |error| {
                let mut report = self.report();
                let PodReport { init, main, .. } = &mut *report;
                for container in init.iter_mut().chain(main) {
                    if let State::Waiting { message, .. } = &mut container.state {
                        *message = Some(error.to_string());
                    }
                }
            },
        );
        let folders = match folders.await {
            Ok(Some(folders)) => folders,
            Ok(None) => return,
            Err(message) => return self.fail("FailedMount", &message),
        };
        for (index, container) in self.spec.init_containers.iter().flatten().enumerate() {
            let place = Place {
                container,
                init: true,
                index,
            };
            if !self.run_container(place, &folders).await {
                return;
            }
        }
        let containers = self
            .spec
            .containers
            .iter()
            .enumerate()
            .map(|(index, container)| {
                self.run_container(
                    Place {
                        container,
                        init: false,
                        index,
                    },
                    &folders,
                )
            });
        join_all(containers).await;
    }

    /// Refuses what would silently run in another way than in a cluster.
    fn check(&self) -> Result<(), ConfigError> {
        for container in self.spec.init_containers.iter().flatten() {
            if container.restart_policy.is_some() {
                return Err(ConfigError::Invalid(format!(
                    "init container {:?} is a sidecar (restartPolicy), which processes can't be: \
                     make it one of the pod's containers",
                    container.name
                )));
            }
        }
        let all = self
            .spec
            .init_containers
            .iter()
            .flatten()
            .chain(&self.spec.containers);
        all.map(|container| file_name(&container.name))
            .try_for_each(|name| name.map(drop))
    }

    fn make_folders(&self) -> Result<Folders, ConfigError> {
        for folder in ["logs", "messages"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder).map_err(|error| {
                ConfigError::Invalid(format!("can't create {}: {error}", folder.display()))
            })?;
        }
        let find = |referent, name: &str| self.node.find(&self.pod, referent, name);
        let volumes = Volumes {
            pod: &self.pod,
            references: References { find: &find },
            node_name: &self.node.options.node_name,
            pod_folder: &self.folder,
            claims_folder: &self.node.claims_folder(),
            refuses_host_paths: self.node.refuses_host_paths(),
        };
        let folders = volumes.make()?;
        self.node.bind_claims(&self.pod);
        Ok(folders)
    }

    /// Runs a container as often as its pod's restart policy says; returns whether it succeeded.
    async fn run_container(&self, place: Place<'_>, folders: &Folders) -> bool {
        let mut halt = self.halt.subscribe();
        loop {
            if halt.borrow().is_some() || !self.run_once(place, folders).await {
                return false;
            }
            let (end, restarts) = self.end_of(place);
            let succeeded = end.as_ref().is_some_and(|end| end.exit_code == 0);
            let again = match self.spec.restart_policy.as_deref() {
                Some("Never") => false,
                Some("OnFailure") => !succeeded,
                _ => !(place.init && succeeded),
            };
            if !again || halt.borrow().is_some() {
                if !place.init {
                    self.publish_unless_last();
                }
                return succeeded;
            }
            let wait = self.node.options.restart_wait(restarts);
            self.change(place, |container| {
                let message = format!(
                    "back-off {}s restarting failed container={}",
                    wait.as_secs(),
                    place.container.name
                );
                container.last = end.clone();
                container.state = State::Waiting {
                    reason: "CrashLoopBackOff",
                    message: Some(message),
                };
            });
            if !wait.is_zero() {
                self.publish();
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = halt.wait_for(Option::is_some) => {
                    self.change(place, |container| {
                        if let Some(end) = end {
                            container.state = State::Terminated { end, process: None };
                        }
                    });
                    return false;
                }
            }
            self.change(place, |container| container.restarts += 1);
        }
    }

    /// Runs a container once; returns whether it was started, or tried to.
    async fn run_once(&self, place: Place<'_>, folders: &Folders) -> bool {
        let configured = self.when_configured(
            || self.command_line(place.container, folders),
            |error| {
                self.change(place, |container| {
                    let message = Some(error.to_string());
                    container.state = State::Waiting {
                        reason: "CreateContainerConfigError",
                        message,
                    };
                });
            },
        );
        let started_at = self.node.cluster.now();
        let process = match configured.await {
            Ok(Some(command)) => self.start(place.container, &command).await,
            Ok(None) => return false,
            Err(message) => Err(StartError {
                exit_code: 128,
                message,
            }),
        };
        match process {
            Ok(process) => self.attend(place, process, started_at).await,
            Err(StartError { exit_code, message }) => {
                let end = Ended {
                    exit_code,
                    reason: "StartError",
                    message: Some(message),
                    started_at,
                    finished_at: self.node.cluster.now(),
                };
                self.change(place, |container| {
                    container.state = State::Terminated { end, process: None };
                });
            }
        }
        true
    }

    /// Makes something of what the pod refers to, waiting for what is missing.
    ///
    /// `None` if the pod was halted before. `report` notes what is waited for.
    async fn when_configured<T>(
        &self,
        make: impl Fn() -> Result<T, ConfigError>,
        report: impl Fn(&ConfigError),
    ) -> Result<Option<T>, String> {
        let mut halt = self.halt.subscribe();
        let mut changes = None;
        loop {
            let error = match make() {
                Ok(made) => return Ok(Some(made)),
                Err(ConfigError::Invalid(message)) => return Err(message),
                Err(error) => error,
            };
            let Some(changes) = &mut changes else {
                // Looks again once it watches: it may have come in between.
                changes = Some(self.node.reference_changes());
                continue;
            };
            report(&error);
            self.publish();
            tokio::select! {
                _ = halt.wait_for(Option::is_some) => return Ok(None),
                change = changes.next() => if change.is_none() {
                    *changes = self.node.reference_changes();
                },
            }
        }
    }

    fn grace(&self) -> Duration {
        let seconds = self.spec.termination_grace_period_seconds;
        let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        seconds.map_or(DEFAULT_GRACE, Duration::from_secs)
    }

    /// Notes why the pod fails, unless it is known already.
    fn fail(&self, reason: &'static str, message: &str) {
        self.report()
            .failure
            .get_or_insert((reason, message.into()));
    }

    pub(super) fn change(&self, place: Place<'_>, change: impl FnOnce(&mut ContainerReport)) {
        let mut report = self.report();
        let containers = if place.init {
            &mut report.init
        } else {
            &mut report.main
        };
        if let Some(container) = containers.get_mut(place.index) {
            change(container);
        }
    }

    fn end_of(&self, place: Place<'_>) -> (Option<Ended>, i32) {
        let report = self.report();
        let containers = if place.init {
            &report.init
        } else {
            &report.main
        };
        let container = containers.get(place.index);
        container.map_or((None, 0), |container| {
            (container.end().cloned(), container.restarts)
        })
    }

    /// Writes the status, unless the pod is about to end, which is written once it has.
    fn publish_unless_last(&self) {
        if self
            .report()
            .main
            .iter()
            .any(|container| container.end().is_none())
        {
            self.publish();
        }
    }

    pub(super) fn publish(&self) {
        let report = self.report().clone();
        self.node
            .write_status(&self.pod, |before, now| report.status(before, now));
    }

    fn report(&self) -> MutexGuard<'_, PodReport> {
        // What is known stays true whatever panicked while it was locked.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
