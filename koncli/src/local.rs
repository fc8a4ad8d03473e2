//! A cluster in this process: an API server in memory, the operator as it is, and a runner that makes
//! processes of pods.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::Participant;
use konductor_local::runner::job::BackOff;
use konductor_local::runner::kubelet::{Engine, KubeletOptions, Logs, Runtime as KubeletRuntime};
use konductor_local::runner::{Runner, RunnerOptions};
use konductor_local::{Access, ApiServer, Controllers, DataFolder, JournalError, ServerOptions};
use konductor_operator::LeaderElection;
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use tokio::sync::{oneshot, watch};

use crate::arguments::{Pods, Runtime};
use crate::exit::{Failure, UNREACHABLE};
use crate::output;
use crate::platform::{self, Signals};

/// The namespace of what has no other.
pub(crate) const NAMESPACE: &str = "default";
/// How long processes may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// The first wait before a failed Job's next attempt; Kubernetes' ten seconds are long on a laptop.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// What a local cluster is made with.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// Where logs and volumes of pods go.
    pub(crate) folder: &'a Path,
    /// Where the kubeconfig is written.
    pub(crate) kubeconfig: &'a Path,
    /// Where steps start that name no folder of their own.
    pub(crate) steps: &'a Path,
    /// How pods are run.
    pub(crate) pods: Pods,
    /// The item before each item that starts behind it, by the names of their Jobs.
    pub(crate) items_before: HashMap<String, String>,
    /// Where it listens on loopback; 0 takes a free port.
    pub(crate) port: u16,
    /// Who moves things forward.
    pub(crate) operator: WithOperator,
    /// Where the cluster is kept, if it is to outlive this process.
    pub(crate) data: Option<&'a DataFolder>,
}

/// Which operator a local cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WithOperator {
    /// None: somebody starts one of their own.
    None,
    /// One that nobody else needs to see.
    Alone,
    /// One that takes its Lease, by which others see that it is there.
    Elected,
}

/// A cluster in this process.
pub(crate) struct Local {
    /// A client with every right.
    pub(crate) client: konductor::Client,
    /// What containers print.
    pub(crate) logs: Logs,
    runner: Runner,
    controllers: Controllers,
    stop_operator: oneshot::Sender<()>,
    operator: tokio::task::JoinHandle<()>,
    operator_ended: watch::Receiver<Option<String>>,
    server: tokio::task::JoinHandle<()>,
    /// Where its kubeconfig is, and what is in it.
    kubeconfig: (PathBuf, String),
}

impl Local {
    pub(crate) async fn start(options: Options<'_>) -> Result<Self, Failure> {
        let runtime = runtime(options.pods.runtime).await?;
        let api = match options.data {
            None => ApiServer::new(ServerOptions::default()),
            Some(data) => ApiServer::open(ServerOptions::default(), data).map_err(unusable)?,
        };
        let kube = kube::Client::new(api.router(), NAMESPACE);
        install_crds(&kube).await?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", options.port)).await;
        let listener = listener.map_err(|error| {
            let where_to = format!("127.0.0.1:{}", options.port);
            Failure::failed(format!(
                "the API server can't listen on {where_to}: {error}"
            ))
            .help("name another port, or none for one that is free")
        })?;
        let address = listener.local_addr()?;
        let access = Access::generate()?;
        let written = write_kubeconfig(&access, options.kubeconfig, address).await?;
        let serving = api.clone();
        let server = tokio::spawn(async move {
            // It ends with this process; a step that calls it then gets no answer.
            let _ = serving
                .serve(listener, &access, std::future::pending())
                .await;
        });
        let mut kubelet = KubeletOptions::new(options.folder.join("pods"), options.steps);
        kubelet.kubeconfig = Some(options.kubeconfig.to_owned());
        kubelet.runtime = runtime;
        kubelet.host_paths = options.pods.allow_host_path;
        kubelet.data = options.data.cloned();
        kubelet.programs = Some(koncli_in(&options.folder.join("programs"))?);
        let cpus = std::thread::available_parallelism()
            .map_or(4, NonZeroUsize::get)
            .max(4);
        let at_once = options.pods.jobs;
        let at_once = at_once.and_then(|pods| NonZeroUsize::new(pods as usize));
        kubelet.pods_max = at_once
            .or(NonZeroUsize::new(cpus))
            .unwrap_or(NonZeroUsize::MIN);
        kubelet.pods_max_option = Some("--jobs");
        kubelet.rank = source_order;
        kubelet.before = options.items_before;
        kubelet.report = output::stderr;
        let controllers = Controllers::start(&api);
        let back_off = BackOff {
            base: RETRY_WAIT,
            ..BackOff::default()
        };
        let runner = Runner::start(&api, RunnerOptions { kubelet, back_off })?;
        let (stop_operator, stopped) = oneshot::channel();
        let (sender, operator_ended) = watch::channel(None);
        let watching = kube.clone();
        let election = || LeaderElection::new("kube-system", "local");
        let operator_options = konductor_operator::Options {
            leader_election: (options.operator == WithOperator::Elected).then(election),
            ..konductor_operator::Options::default()
        };
        let operator = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            if options.operator == WithOperator::None {
                stop.await;
                return;
            }
            let ended = konductor_operator::run(watching, operator_options, stop).await;
            let why = ended
                .err()
                .map_or_else(String::new, |error| error.to_string());
            let _ = sender.send(Some(why));
        });
        Ok(Self {
            client: konductor::Client::new(kube, NAMESPACE),
            logs: runner.logs().clone(),
            runner,
            controllers,
            stop_operator,
            operator,
            operator_ended,
            server,
            kubeconfig: (options.kubeconfig.to_owned(), written),
        })
    }

    /// Ready when there is nobody left to move anything forward.
    pub(crate) async fn operator_is_gone(&self) -> Failure {
        let mut ended = self.operator_ended.clone();
        let why = match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "it panicked".to_owned(),
        };
        Failure::failed(format!("the operator has ended: {why}"))
    }

    /// Ends what runs, then the rest. Its kubeconfig, which leads nowhere any more, is removed, if it is still there.
    pub(crate) async fn stop(self) {
        let _ = self.stop_operator.send(());
        // What runs is ended whatever the operator does.
        let _ = tokio::time::timeout(GRACE, self.operator).await;
        self.runner.shutdown(GRACE).await;
        self.controllers.shutdown().await;
        self.server.abort();
        let (path, written) = &self.kubeconfig;
        if let Err(error) = Access::remove_kubeconfig(path, written) {
            let shown = path.display();
            output::stderr(&format!("warning: can't remove {shown}: {error}"));
        }
    }
}

/// Writes the kubeconfig, in the place of one whose cluster was killed, and returns what is in it.
async fn write_kubeconfig(
    access: &Access,
    path: &Path,
    address: SocketAddr,
) -> Result<String, Failure> {
    let shown = path.display();
    Access::remove_abandoned_kubeconfig(path, address)
        .await
        .map_err(|error| Failure::failed(format!("can't remove {shown}: {error}")))?;
    let written = access.write_kubeconfig(path, address, NAMESPACE);
    written.map_err(|error| {
        let failure = Failure::failed(format!("can't create {shown}: {error}"));
        match error.kind() {
            ErrorKind::AlreadyExists => {
                failure.help("name another file, or remove this one if nobody needs it")
            }
            _ => failure,
        }
    })
}

/// Pods that wait for a place start in the order of the file.
fn source_order(job: &Job) -> u64 {
    Participant::of(job.clone()).ordinal.map_or(0, u64::from)
}

/// Finds the engine that is asked for.
async fn runtime(runtime: Runtime) -> Result<KubeletRuntime, Failure> {
    let program = match runtime {
        Runtime::Process => return Ok(KubeletRuntime::Process),
        Runtime::Docker => "docker",
        Runtime::Podman => "podman",
    };
    let engine = Engine::find(program).await.map_err(|error| {
        Failure::new(UNREACHABLE, error.to_string()).help(format!(
            "install or start {program}; without --runtime, steps are processes of this machine"
        ))
    })?;
    Ok(KubeletRuntime::Engine(engine))
}

/// Why there is no cluster: what it was is in a journal that can't be read.
fn unusable(error: JournalError) -> Failure {
    let failure = Failure::failed(error.to_string());
    match error {
        JournalError::Damaged { path, offset, .. } => failure.help(format!(
            "restore {path} from a copy, or keep what stands before with `truncate -s {offset} {path}`, or name \
             another folder",
            path = path.display()
        )),
        JournalError::Format { .. } => {
            failure.help("use the koncli that wrote it, or name another folder")
        }
        JournalError::Io { .. } => failure,
    }
}

/// A folder with this program under its usual name: what a pod of its image would find.
fn koncli_in(folder: &Path) -> Result<PathBuf, Failure> {
    std::fs::create_dir_all(folder)?;
    platform::link_to_this_program(folder)?;
    Ok(folder.to_owned())
}

/// Ready when somebody wants this to end; the exit code says who.
pub(crate) async fn interrupted() -> u8 {
    match Signals::listen() {
        Ok(mut signals) => signals.next().await.exit_code(),
        Err(_) => std::future::pending().await,
    }
}

/// What an installed konductor brings to an API server.
pub(crate) async fn install_crds(kube: &kube::Client) -> Result<(), Failure> {
    let api: Api<CustomResourceDefinition> = Api::all(kube.clone());
    for mut crd in konductor_api::crds() {
        match api.create(&PostParams::default(), &crd).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                // A cluster that was kept: its definitions may be those of another version.
                let name = crd.name_any();
                crd.metadata.resource_version = api.get(&name).await?.metadata.resource_version;
                api.replace(&name, &PostParams::default(), &crd).await?;
            }
            created => drop(created?),
        }
    }
    Ok(())
}
