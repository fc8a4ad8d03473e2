//! `koncli run`: the whole thing here, with no cluster. An API server in memory, the operator as it
//! is, and a runner that makes processes of pods.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_api::{Run, label};
use konductor_compiler::Manifests;
use konductor_local::runner::job::BackOff;
use konductor_local::runner::kubelet::{KubeletOptions, LogOptions, Logs};
use konductor_local::runner::{Runner, RunnerOptions};
use konductor_local::{ApiServer, Controllers, ServerOptions};
use kube::api::{ListParams, PostParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::status::around;
use crate::arguments::Pipeline;
use crate::exit::{FAILED, Failure, INTERRUPTED};
use crate::progress::Progress;
use crate::view::{State, run_ended, state, title, view};
use crate::{apply, load, output};

/// The namespace of a run without a cluster.
const NAMESPACE: &str = "default";
/// How long processes may take to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);
/// The first wait before a failed Job's next attempt; Kubernetes' ten seconds are long on a laptop.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// How many lines of a failed stage's log are shown at the end.
const LOG_TAIL: usize = 20;

/// Runs a pipeline here, and ends with its outcome.
pub(crate) async fn run(pipeline: &Pipeline, jobs: Option<u32>, keep: bool) -> Result<(), Failure> {
    let compiled = load::compiled(pipeline, Some(NAMESPACE.to_owned()), true)?;
    let manifests = compiled.manifests.ok_or_else(apply::schedule)?;
    let folder = tempfile::Builder::new().prefix("konductor-").tempdir()?;
    let local = Local::start(folder.path(), &working_folder(&pipeline.file), jobs).await?;
    let outcome = tokio::select! {
        outcome = local.follow(&manifests) => outcome,
        code = interrupted() => {
            local.progress.finish();
            output::talk("interrupted: ending what runs");
            Err(Failure::silent(code))
        }
    };
    local.stop().await;
    if keep {
        output::talk(&format!(
            "logs and volumes are kept in {}",
            folder.keep().display()
        ));
    }
    outcome
}

/// Where steps start: the folder of the pipeline file.
fn working_folder(file: &Path) -> PathBuf {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// Ready when somebody wants this to end; the exit code says who.
async fn interrupted() -> u8 {
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => INTERRUPTED,
        _ = terminate.recv() => 143,
        _ = hang_up.recv() => 129,
    }
}

/// A cluster in this process.
struct Local {
    client: konductor::Client,
    runner: Runner,
    controllers: Controllers,
    logs: Logs,
    progress: Arc<Progress>,
    stop_operator: oneshot::Sender<()>,
    operator: tokio::task::JoinHandle<()>,
    operator_ended: watch::Receiver<Option<String>>,
    server: tokio::task::JoinHandle<()>,
}

impl Local {
    async fn start(folder: &Path, steps: &Path, jobs: Option<u32>) -> Result<Self, Failure> {
        let api = ApiServer::new(ServerOptions::default());
        let kube = kube::Client::new(api.router(), NAMESPACE);
        install_crds(&kube).await?;
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        let kubeconfig = folder.join("kubeconfig");
        let address = listener.local_addr()?;
        std::fs::write(&kubeconfig, kubeconfig_for(&format!("http://{address}")))?;
        let serving = api.clone();
        let server = tokio::spawn(async move {
            // It ends with this process; a step that calls it then gets no answer.
            let _ = serving.serve(listener, std::future::pending()).await;
        });
        let mut kubelet = KubeletOptions::new(folder.join("pods"), steps);
        kubelet.kubeconfig = Some(kubeconfig);
        let cpus = std::thread::available_parallelism()
            .map_or(4, NonZeroUsize::get)
            .max(4);
        let jobs = jobs.and_then(|jobs| NonZeroUsize::new(jobs as usize));
        kubelet.pods_max = jobs
            .or(NonZeroUsize::new(cpus))
            .unwrap_or(NonZeroUsize::MIN);
        let controllers = Controllers::start(&api);
        let back_off = BackOff {
            base: RETRY_WAIT,
            ..BackOff::default()
        };
        let runner = Runner::start(&api, RunnerOptions { kubelet, back_off })?;
        let (stop_operator, stopped) = oneshot::channel();
        let options = konductor_operator::Options::default();
        let (tell_end, operator_ended) = watch::channel(None);
        let watching = kube.clone();
        let operator = tokio::spawn(async move {
            let stop = async {
                let _ = stopped.await;
            };
            let ended = konductor_operator::run(watching, options, stop).await;
            let why = ended
                .err()
                .map_or_else(String::new, |error| error.to_string());
            let _ = tell_end.send(Some(why));
        });
        Ok(Self {
            client: konductor::Client::new(kube, NAMESPACE),
            logs: runner.logs().clone(),
            runner,
            controllers,
            progress: Arc::new(Progress::new()),
            stop_operator,
            operator,
            operator_ended,
            server,
        })
    }

    async fn stop(self) {
        let _ = self.stop_operator.send(());
        // What runs is ended whatever the operator does.
        let _ = tokio::time::timeout(GRACE, self.operator).await;
        self.runner.shutdown(GRACE).await;
        self.controllers.shutdown().await;
        self.server.abort();
    }

    /// Creates the run and follows it to its end.
    async fn follow(&self, manifests: &Manifests) -> Result<(), Failure> {
        let order = stages(manifests);
        let name = manifests.run_name();
        let logs = self.follow_logs();
        let watching = self.watch(name, &order);
        apply::apply(&self.client, manifests, |_, _, _| {}).await?;
        let run = tokio::select! {
            run = watching => run?,
            never = logs => match never {},
            why = self.operator_is_gone() => {
                return Err(Failure::failed(format!("the operator has ended: {why}")));
            }
        };
        self.progress.finish();
        self.summary(&run).await
    }

    /// Ready when there is nobody left to move the run forward.
    async fn operator_is_gone(&self) -> String {
        let mut ended = self.operator_ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => "it panicked".to_owned(),
        }
    }

    /// Watches the run and its Jobs until the run has ended.
    async fn watch(&self, name: &str, order: &[String]) -> Result<Run, Failure> {
        let kube = self.client.kube().clone();
        let of_run = watcher::Config::default().labels(&format!("{}={name}", label::RUN));
        let jobs: Api<Job> = Api::namespaced(kube.clone(), NAMESPACE);
        let itself = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let runs: Api<Run> = Api::namespaced(kube, NAMESPACE);
        let mut jobs = watcher::watcher(jobs, of_run).boxed();
        let mut runs = watcher::watcher(runs, itself).boxed();
        let mut last: Option<Run> = None;
        loop {
            tokio::select! {
                biased;
                event = jobs.next() => {
                    if let Some(Ok(Event::Apply(job) | Event::InitApply(job))) = event {
                        self.progress.job(&job);
                    }
                }
                event = runs.next() => {
                    if let Some(Ok(Event::Apply(run) | Event::InitApply(run))) = event {
                        last = Some(run);
                    }
                }
            }
            if let Some(run) = &last {
                let around = around(&self.client, name).await?;
                self.progress.view(&view(run, &around, order));
                if run_ended(run).is_some() {
                    around.jobs.iter().for_each(|job| self.progress.job(job));
                    return Ok(run.clone());
                }
            }
        }
    }

    /// Prints what containers print, each line under its stage's name. It never ends.
    async fn follow_logs(&self) -> std::convert::Infallible {
        let pods: Api<Pod> = Api::namespaced(self.client.kube().clone(), NAMESPACE);
        let jobs: Api<Job> = Api::namespaced(self.client.kube().clone(), NAMESPACE);
        let mut events = watcher::watcher(pods, watcher::Config::default()).boxed();
        let mut followed = BTreeMap::new();
        loop {
            let Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) = events.next().await else {
                continue;
            };
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            let job = pod
                .labels()
                .get(label::JOB_NAME)
                .cloned()
                .unwrap_or_default();
            if followed.contains_key(&uid) || matches!(phase, None | Some("Pending")) {
                continue;
            }
            let title = jobs
                .get_opt(&job)
                .await
                .ok()
                .flatten()
                .map_or(job, |job| title(&job));
            let options = LogOptions {
                follow: true,
                ..LogOptions::default()
            };
            if let Some(log) = self.logs.read(&uid, "main", options) {
                let progress = Arc::clone(&self.progress);
                let task = tokio::spawn(async move { print(log, &title, &progress).await });
                followed.insert(uid, task);
            }
        }
    }

    /// What became of the run: for a failure, which stages failed, and the ends of their logs.
    async fn summary(&self, run: &Run) -> Result<(), Failure> {
        let name = run.name_any();
        let seconds = self.progress.elapsed();
        let around = around(&self.client, &name).await?;
        if run_ended(run) == Some(true) {
            let skipped = run.status.as_ref().map_or(0, |status| status.skipped);
            let skipped = if skipped > 0 {
                format!(", {skipped} skipped")
            } else {
                String::new()
            };
            let succeeded = run.status.as_ref().map_or(0, |status| status.succeeded);
            output::talk(&format!(
                "run/{name} succeeded in {seconds:.1}s: {succeeded} Jobs succeeded{skipped}"
            ));
            return Ok(());
        }
        for job in around.jobs.iter().filter(|job| state(job) == State::Failed) {
            self.tell_failure(job).await;
        }
        let view = view(run, &around, &[]);
        for stage in &view.stages {
            for item in stage
                .items
                .iter()
                .filter(|item| matches!(item.state, State::Unreached | State::Cancelled))
            {
                let which = item
                    .item
                    .as_ref()
                    .map(|one| format!("[{one}]"))
                    .unwrap_or_default();
                let (mark, word) = (item.state.mark(), item.state.word());
                output::talk(&format!(
                    "{mark} {}{which} {word}: {}",
                    stage.name, item.why
                ));
            }
        }
        let message = format!("run/{name} {}: {}", view.phase.to_lowercase(), view.message);
        Err(Failure::new(FAILED, message))
    }

    async fn tell_failure(&self, job: &Job) {
        let pods: Api<Pod> = Api::namespaced(self.client.kube().clone(), NAMESPACE);
        let of_job = format!("{}={}", label::JOB_NAME, job.name_any());
        let pods = pods.list(&ListParams::default().labels(&of_job)).await;
        let mut pods = pods.map(|pods| pods.items).unwrap_or_default();
        pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
        let code = pods.last().and_then(exit_code);
        let why = code
            .map(|code| format!(" with exit code {code}"))
            .unwrap_or_default();
        output::talk(&format!(
            "{} {} failed{why}",
            State::Failed.mark(),
            title(job)
        ));
        let Some(pod) = pods.last() else { return };
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let options = LogOptions {
            tail_lines: Some(LOG_TAIL),
            ..LogOptions::default()
        };
        let Some(log) = self.logs.read(&uid, "main", options) else {
            return;
        };
        let chunks: Vec<_> = log.collect().await;
        let bytes: Vec<u8> = chunks.into_iter().flatten().flatten().collect();
        for line in String::from_utf8_lossy(&bytes).lines() {
            output::talk(&format!("    {line}"));
        }
    }
}

fn exit_code(pod: &Pod) -> Option<i32> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    let terminated = containers
        .iter()
        .find_map(|one| one.state.as_ref()?.terminated.as_ref());
    terminated.map(|terminated| terminated.exit_code)
}

/// The stages in the order of the file.
fn stages(manifests: &Manifests) -> Vec<String> {
    let mut stages: Vec<String> = Vec::new();
    for object in manifests.objects() {
        let stage = object
            .metadata()
            .labels
            .as_ref()
            .and_then(|all| all.get(label::STAGE));
        if let Some(stage) = stage.filter(|stage| stages.last() != Some(stage)) {
            stages.push(stage.clone());
        }
    }
    stages
}

async fn install_crds(kube: &kube::Client) -> Result<(), Failure> {
    let api: Api<CustomResourceDefinition> = Api::all(kube.clone());
    for crd in konductor_api::crds() {
        api.create(&PostParams::default(), &crd).await?;
    }
    Ok(())
}

fn kubeconfig_for(server: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {"server": server}}],
        "contexts": [{
            "name": "local",
            "context": {"cluster": "local", "user": "local", "namespace": NAMESPACE},
        }],
        "users": [{"name": "local", "user": {}}],
        "current-context": "local",
    })
    .to_string()
}

/// Prints a log line by line.
async fn print(
    log: impl futures::Stream<Item = std::io::Result<Vec<u8>>>,
    title: &str,
    progress: &Progress,
) {
    futures::pin_mut!(log);
    let mut rest = Vec::new();
    while let Some(Ok(chunk)) = log.next().await {
        rest.extend_from_slice(&chunk);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            progress.log(title, String::from_utf8_lossy(&line).trim_end());
        }
    }
    if !rest.is_empty() {
        progress.log(title, String::from_utf8_lossy(&rest).trim_end());
    }
}
