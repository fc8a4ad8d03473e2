//! The kubelet: runs pods as processes of this machine, or as containers of an engine.
//!
//! Pods that nobody has bound to another node enter; their containers become process groups, and
//! their statuses are written as a kubelet writes them. No process outlives its pod or the kubelet.
//!
//! # What a process gets instead of a container
//! * The folder of a volume in place of its mount path, wherever the pod hands that path over as a
//!   value (see `mounts.rs`). The folder is also in `KONDUCTOR_MOUNT_<VOLUME>`.
//! * A file in place of `terminationMessagePath`, by the same rule.
//! * `PATH HOME TMPDIR LANG USER` of the runner, `HOSTNAME`, and `KUBECONFIG` of the embedded
//!   cluster; then the pod's own variables. Nothing else is inherited.
//! * The runner's folder as working directory, unless it sets one.
//!
//! Images, users and read-only mounts have no effect on a process.
//!
//! # What a container of an engine gets
//! Its image, command, variables, mounts, user and working directory are those of the pod, and nothing
//! of this machine's environment. Its network is its own, unless its pod has `hostNetwork`. A pod that
//! names a service account, or sets `automountServiceAccountToken`, is in the network of the host, too,
//! and finds the kubeconfig of the embedded cluster by `KUBECONFIG`: it may do everything there. A
//! `hostPath` is refused unless the options allow it.
//!
//! Resources, probes, lifecycle hooks, node selectors and tolerations have no effect on either.

mod container;
mod downward;
mod engine;
mod environment;
mod expansion;
mod image;
mod logs;
mod mounts;
mod node;
mod orphans;
mod pod;
mod pods;
mod process;
mod quantity;
mod references;
mod start;
mod status;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, PodStatus, Secret};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use engine::{Engine, EngineError};
pub use logs::{LogOptions, Logs};

use self::environment::Variables;
use self::orphans::OrphanGuard;
use self::pods::Pods;
use self::references::Referent;
use crate::runner::cluster::{Cluster, name, namespace, uid};
use crate::{ApiServer, DataFolder, Status, platform};

/// The longest wait between restarts of a container.
const RESTART_WAIT_MAX: Duration = Duration::from_secs(300);
/// As many pods as a node takes by default; each needs a few open files.
const PODS_MAX: NonZeroUsize = NonZeroUsize::new(110).expect("110 is not zero");

/// How containers are run.
#[derive(Clone, Debug, Default)]
pub enum Runtime {
    /// As processes; the image is ignored.
    #[default]
    Process,
    /// By an engine, of their images.
    Engine(Arc<Engine>),
}

/// What a kubelet needs to know.
#[derive(Clone, Debug)]
pub struct KubeletOptions {
    /// Where logs, messages and volumes are kept. The caller removes it, if anybody does.
    pub folder: PathBuf,
    /// Where processes start that do not say otherwise.
    pub working_dir: PathBuf,
    /// The kubeconfig of the cluster, for clients inside steps.
    pub kubeconfig: Option<PathBuf>,
    /// Whether containers of an engine may have paths of this machine as volumes. Processes see all of
    /// them anyway.
    pub host_paths: bool,
    /// A folder in which programs are looked for before those of `PATH`.
    pub programs: Option<PathBuf>,
    /// No more pods than this run at once; the others wait in the order of their creation.
    pub pods_max: NonZeroUsize,
    /// The option by which a user sets `pods_max`, as in `--jobs`: what waits for a place names it.
    pub pods_max_option: Option<&'static str>,
    /// The place of a Job's pods among those that wait, lowest first; those of one place wait in the order of their
    /// creation.
    pub rank: fn(&Job) -> u64,
    /// The name of the Job whose first pod starts before that of another Job, by the other one's name. A pod waits no
    /// longer than two seconds for one that does not come.
    pub before: HashMap<String, String>,
    /// The name of the node that pods are bound to.
    pub node_name: String,
    /// The wait before a container is restarted the second time; doubles every time.
    pub restart_wait: Duration,
    /// Gets a line for people, such as what is left of a pod that was deleted.
    pub report: fn(&str),
    /// How containers are run.
    pub runtime: Runtime,
    /// The folder that stays locked until no process of a pod is left, even if this process is killed.
    pub data: Option<DataFolder>,
}

impl KubeletOptions {
    /// What is usual, with everything kept in `folder` and processes starting in `working_dir`.
    pub fn new(folder: impl Into<PathBuf>, working_dir: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            working_dir: working_dir.into(),
            kubeconfig: None,
            host_paths: false,
            programs: None,
            pods_max: PODS_MAX,
            pods_max_option: None,
            rank: |_| 0,
            before: HashMap::new(),
            node_name: "local".into(),
            restart_wait: Duration::from_secs(10),
            report: |line| tracing::warn!("{line}"),
            runtime: Runtime::default(),
            data: None,
        }
    }

    /// The wait before a container is restarted that has been restarted `restarts` times.
    fn restart_wait(&self, restarts: i32) -> Duration {
        let Ok(doublings) = u32::try_from(restarts - 1) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.restart_wait
            .saturating_mul(factor)
            .min(RESTART_WAIT_MAX)
    }
}

/// A running kubelet.
#[derive(Debug)]
pub struct Kubelet {
    logs: Logs,
    stop: oneshot::Sender<Duration>,
    task: JoinHandle<()>,
}

impl Kubelet {
    /// Starts to run the pods of `api`, which serves their logs from now on.
    ///
    /// # Errors
    /// If its folder can't be made.
    pub fn start(api: &ApiServer, mut options: KubeletOptions) -> io::Result<Self> {
        // Secrets are files in there.
        platform::create_private_folder(&options.folder)?;
        // Paths below it are compared with what links lead to.
        options.folder = platform::canonicalize(&options.folder)?;
        let logs = Logs::default();
        api.serve_logs(logs.clone());
        node::register(&api.managed_by("kubelet"), &options);
        let lock = options.data.as_ref().map(DataFolder::lock);
        let guard = match &options.runtime {
            Runtime::Process => OrphanGuard::start(None, lock),
            Runtime::Engine(engine) => OrphanGuard::start(Some(engine), lock),
        };
        let node = Node {
            cluster: Cluster::new(api.managed_by("kubelet")),
            options,
            logs: logs.clone(),
            guard: Arc::new(guard),
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(Pods::new(Arc::new(node)).run(stopped));
        Ok(Self { logs, stop, task })
    }

    /// The logs of the containers it runs.
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Ends all processes, those that take longer than `grace` by force, and waits for their end.
    pub async fn shutdown(self, grace: Duration) {
        // Errors say that the task is over, after a panic that has been reported.
        let _ = self.stop.send(grace);
        let _ = self.task.await;
    }
}

/// What all pods of a kubelet share.
struct Node {
    cluster: Cluster,
    options: KubeletOptions,
    logs: Logs,
    guard: Arc<OrphanGuard>,
}

impl Node {
    fn pod_folder(&self, pod: &Pod) -> PathBuf {
        let folder = format!("{}_{}_{}", namespace(pod), name(pod), uid(pod));
        // Names can't contain it; one that was written into the store directly must not leave the folder.
        self.options
            .folder
            .join("pods")
            .join(folder.replace('/', "_"))
    }

    fn refuses_host_paths(&self) -> bool {
        matches!(self.options.runtime, Runtime::Engine(_)) && !self.options.host_paths
    }

    fn claims_folder(&self) -> PathBuf {
        self.options.folder.join("claims")
    }

    fn find(&self, pod: &Pod, referent: Referent, name: &str) -> Option<Arc<Value>> {
        let namespace = namespace(pod);
        match referent {
            Referent::ConfigMap => self.cluster.get_value::<ConfigMap>(namespace, name),
            Referent::Secret => self.cluster.get_value::<Secret>(namespace, name),
            Referent::Claim => self
                .cluster
                .get_value::<PersistentVolumeClaim>(namespace, name),
        }
    }

    /// Returns a stream with an item for each change, from now on, of what pods may refer to.
    fn reference_changes(&self) -> BoxStream<'static, ()> {
        let config_maps = self.cluster.changes::<ConfigMap>().map(drop).boxed();
        let secrets = self.cluster.changes::<Secret>().map(drop).boxed();
        let claims = self
            .cluster
            .changes::<PersistentVolumeClaim>()
            .map(drop)
            .boxed();
        futures::stream::select_all([config_maps, secrets, claims]).boxed()
    }

    /// What every process has in its environment.
    fn base_variables(&self) -> Variables {
        let inherited = platform::INHERITED.iter().filter_map(|name| {
            std::env::var(name)
                .ok()
                .map(|value| ((*name).to_owned(), value))
        });
        let mut variables: Variables = inherited.collect();
        if let Some(programs) = &self.options.programs {
            let separator = platform::PATH_SEPARATOR;
            let path = variables.get("PATH");
            let path = path.map(|path| format!("{separator}{path}"));
            let path = format!("{}{}", programs.display(), path.unwrap_or_default());
            variables.insert("PATH".into(), path);
        }
        if let Some(kubeconfig) = &self.options.kubeconfig {
            let kubeconfig = kubeconfig.to_string_lossy().into_owned();
            variables.insert("KUBECONFIG".into(), kubeconfig);
        }
        variables
    }

    /// Marks the claims of a pod as bound: they have their folders.
    fn bind_claims(&self, pod: &Pod) {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
        for source in volumes
            .into_iter()
            .flatten()
            .filter_map(|v| v.persistent_volume_claim.as_ref())
        {
            let claim = self.cluster.get(namespace(pod), &source.claim_name);
            let bound = claim.map(|claim: PersistentVolumeClaim| {
                self.cluster.update_status(&claim, |claim| {
                    claim.status.get_or_insert_default().phase = Some("Bound".into());
                })
            });
            self.report(pod, "bind a claim of", bound.unwrap_or(Ok(())));
        }
    }

    /// Writes a status made from the one that is there and the time.
    fn write_status(&self, pod: &Pod, make: impl Fn(&PodStatus, Timestamp) -> PodStatus) {
        let now = self.cluster.now();
        let written = self.cluster.update_status::<Pod>(pod, |live| {
            live.status = Some(make(&live.status.take().unwrap_or_default(), now));
        });
        self.report(pod, "write the status of", written);
    }

    /// Removes a pod that has ended and is being deleted.
    fn remove(&self, pod: &Pod) {
        let now = Some(0);
        let removed = self
            .cluster
            .delete::<Pod>(namespace(pod), name(pod), uid(pod), now);
        self.report(pod, "remove", removed);
    }

    /// A pod that is gone, or another one by now, is nobody's concern any more.
    fn report<T>(&self, pod: &Pod, action: &str, result: Result<T, Status>) {
        if let Err(error) = result {
            let (namespace, pod) = (namespace(pod), name(pod));
            tracing::warn!(namespace, pod, %error, "kubelet can't {action} the pod");
        }
    }
}
