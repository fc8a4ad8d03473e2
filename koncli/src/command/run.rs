//! `koncli run`: the whole thing here, with no cluster. An API server in memory, the operator as it
//! is, and a runner that makes processes of pods.

mod approvals;
mod given;
mod needs;
mod summary;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, Run, label};
use konductor_compiler::Manifests;
use konductor_local::runner::kubelet::LogOptions;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use self::given::Prepared;
use self::needs::Needs;
use super::{follow, ui};
use crate::arguments::{Format, Given, Global, Pipeline, Pods, Runtime};
use crate::exit::Failure;
use crate::folder::Folder;
use crate::load::Aim;
use crate::local::{self, Local, NAMESPACE};
use crate::platform::{self, Signals};
use crate::progress::{LogsTo, Progress};
use crate::view::{of_pod, title, view};
use crate::{apply, load, output, read};

/// How long the last lines may take when the run has ended.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The logs that are being printed, by the uid of their pod.
type Followed = BTreeMap<String, JoinHandle<()>>;

/// Runs a pipeline here, and ends with its outcome.
pub(crate) async fn run(
    global: &Global,
    pipeline: &Pipeline,
    pods: Pods,
    given: &Given,
    keep: bool,
    ui: bool,
) -> Result<(), Failure> {
    let compiled = load::compiled(pipeline, Some(NAMESPACE.to_owned()), Aim::Here)?;
    let manifests = compiled.manifests.ok_or_else(super::nothing)?;
    let (manifests, queued) = manifests.without_queues();
    if !queued.is_empty() {
        output::stderr(&format!(
            "note: there is no Kueue here, so `queue` of {} is ignored",
            queued.join(", ")
        ));
    }
    let mut needs = Needs::of(&manifests);
    if let (Runtime::Process, Some(refused)) = (pods.runtime, needs.refused_as_processes()) {
        return Err(refused);
    }
    let prepared = given::prepare(&needs, given, approvals::can_ask())?;
    let _alone = alone(&pipeline.file, manifests.pipeline_name(), &needs)?;
    let folder = Folder::create()?;
    let mut signals = Signals::listen()?;
    let kubeconfig = folder.kubeconfig();
    let steps = working_folder(&pipeline.file);
    let starting = Local::start(local::Options {
        folder: folder.path(),
        kubeconfig: &kubeconfig,
        steps: &steps,
        pods,
        items_before: std::mem::take(&mut needs.items_before),
        port: 0,
        operator: local::WithOperator::Alone,
        data: None,
    });
    let local = tokio::select! {
        started = starting => started?,
        signal = signals.next() => return Err(Failure::silent(signal.exit_code())),
    };
    let view = match ui {
        true => Some(Viewed::start(&local).await?),
        false => None,
    };
    let logs = match global.output {
        Some(Format::Json | Format::Yaml) => LogsTo::Stderr,
        _ => LogsTo::Stdout,
    };
    let following = Following {
        local,
        global,
        progress: Arc::new(Progress::since(Instant::now(), logs)),
        needs,
        prepared,
        given,
    };
    let outcome = following.until_interrupted(&manifests, &mut signals).await;
    let is_interrupted = matches!(&outcome, Err(failure) if failure.code >= SIGNALLED);
    if let Some(view) = view.filter(|_| !is_interrupted) {
        let name = manifests.run_name();
        output::stderr(&format!(
            "run/{name} has ended; its web view is served until Ctrl-C: {}",
            view.link
        ));
        signals.next().await;
    }
    following.local.stop().await;
    match keep {
        true => output::stderr(&format!(
            "logs and volumes are kept in {}",
            folder.keep().display()
        )),
        false => drop(folder),
    }
    outcome
}

/// Exit codes from here on say that a signal ended it.
const SIGNALLED: u8 = 128;

/// The web view of a run, for as long as this lasts.
struct Viewed {
    link: String,
    serving: JoinHandle<Result<(), Failure>>,
}

impl Viewed {
    async fn start(local: &Local) -> Result<Self, Failure> {
        let view = ui::View::bind(0).await?;
        let link = view.link.clone();
        output::stderr(&format!("the web view of the run is at {link}"));
        let client = local.client.clone();
        let serving = tokio::spawn(async move { view.serve(client, "koncli run").await });
        Ok(Self { link, serving })
    }
}

impl Drop for Viewed {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Refuses a second run of a file at the same time where the first would not know of its semaphores and
/// leases: they hold within one cluster, and each run has its own. What is read from standard input is known by its name
/// and the current directory.
fn alone(file: &Path, pipeline: &str, needs: &Needs) -> Result<Option<File>, Failure> {
    if !needs.has_ledgers {
        return Ok(None);
    }
    let (lock, shown) = match load::is_stdin(file) {
        true => {
            let shown = format!("pipeline {pipeline} of standard input");
            let lock = platform::named_run_lock(&working_folder(file), pipeline);
            let lock = lock.map_err(|error| {
                Failure::failed(error.to_string()).help(
                    "set TMPDIR to a folder that you can write, or write the pipeline to a file",
                )
            })?;
            (lock, shown)
        }
        false => (platform::run_lock(file)?, file.display().to_string()),
    };
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let message = format!("{shown} is being run already, and has semaphores or leases");
            Err(Failure::failed(message).help(
                "wait for its end, or use `koncli dev` and `koncli apply`: these hold within one cluster",
            ))
        }
        // If files can't be locked, nothing is known.
        _ => Ok(Some(lock)),
    }
}

/// Where steps start: the folder of the pipeline file, or the current directory of standard input.
fn working_folder(file: &Path) -> PathBuf {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty() && !load::is_stdin(file));
    let folder = parent.unwrap_or(Path::new("."));
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// A run that is followed.
struct Following<'a> {
    local: Local,
    global: &'a Global,
    progress: Arc<Progress>,
    needs: Needs,
    prepared: Prepared,
    given: &'a Given,
}

impl Following<'_> {
    /// Follows the run to its end. The first interrupt cancels it, and finally stages run as they do in
    /// a cluster; the second ends everything at once.
    async fn until_interrupted(
        &self,
        manifests: &Manifests,
        signals: &mut Signals,
    ) -> Result<(), Failure> {
        let following = self.follow(manifests);
        futures::pin_mut!(following);
        let code = tokio::select! {
            outcome = &mut following => return outcome,
            signal = signals.next() => signal.exit_code(),
        };
        let name = manifests.run_name();
        self.progress.print(&format!(
            "interrupted: cancelling run/{name}; finally stages run. Again: end everything now"
        ));
        let runs: Api<Run> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        let patch = Patch::Merge(serde_json::json!({"spec": {"cancel": true}}));
        let cancelled = runs.patch(name, &PatchParams::default(), &patch).await;
        if cancelled.is_ok() {
            tokio::select! {
                ended = &mut following => {
                    let failure = ended.err().unwrap_or_else(|| Failure::silent(code));
                    return Err(Failure { code, ..failure });
                }
                _ = signals.next() => {}
            }
        }
        self.progress.finish();
        output::stderr("interrupted: ending what runs");
        let message = format!("run/{name} was ended before its finally stages had ended");
        Err(Failure::new(code, message))
    }

    /// Creates the run and follows it to its end.
    async fn follow(&self, manifests: &Manifests) -> Result<(), Failure> {
        let order = manifests.stages();
        let name = manifests.run_name();
        let mut logs = Followed::default();
        let client = &self.local.client;
        let watching = follow::until_ended(client, name, &order, &self.progress);
        self.prepared.create(client).await?;
        apply::apply(client, manifests, false, |_, _, _| {}).await?;
        let approvals = &self.needs.approvals;
        let (run, objects) = tokio::select! {
            ended = watching => ended?,
            failure = approvals::give(client, approvals, self.given, &self.progress) => {
                self.progress.finish();
                return Err(failure);
            }
            never = self.follow_logs(&mut logs) => match never {},
            failure = self.local.operator_is_gone() => return Err(failure),
        };
        self.rest_of_logs(logs).await?;
        output::document(self.global, &view(&run, &objects, &order))?;
        summary::print(&self.local, &run, &objects, self.progress.elapsed()).await
    }

    /// Prints what containers print, each line under its stage's name. It never ends.
    async fn follow_logs(&self, followed: &mut Followed) -> std::convert::Infallible {
        let kube = self.local.client.kube().clone();
        let mut events = read::watch::<Pod>(kube, NAMESPACE, watcher::Config::default());
        loop {
            if let Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) = events.next().await {
                self.follow_log(&pod, followed).await;
            }
        }
    }

    /// Prints what is left when the run has ended: of its last pods nothing may have been seen yet.
    async fn rest_of_logs(&self, mut followed: Followed) -> Result<(), Failure> {
        let pods: Api<Pod> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        for pod in read::list(&pods, &ListParams::default()).await? {
            self.follow_log(&pod, &mut followed).await;
        }
        let printed = futures::future::join_all(followed.into_values());
        // What a step has left behind may keep its log open.
        let _ = tokio::time::timeout(LAST_LINES, printed).await;
        Ok(())
    }

    /// Follows the log of a pod that has started, unless that is done already.
    async fn follow_log(&self, pod: &Pod, followed: &mut Followed) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        if followed.contains_key(&uid) || matches!(phase, None | Some("Pending")) {
            return;
        }
        let job = pod
            .labels()
            .get(label::JOB_NAME)
            .cloned()
            .unwrap_or_default();
        let jobs: Api<Participant> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        let participant = jobs.get_opt(&job).await.ok().flatten();
        let names = participant.as_ref().map(|job| job.item_names());
        let title = participant.map_or(job, |job| title(&job));
        let title = of_pod(&title, &names.unwrap_or_default(), pod);
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        if let Some(log) = self.local.logs.read(&uid, "main", options) {
            let progress = Arc::clone(&self.progress);
            let task = tokio::spawn(async move { print(log, &title, &progress).await });
            followed.insert(uid, task);
        }
    }
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
