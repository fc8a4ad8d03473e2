//! `koncli run`: the whole thing here, with no cluster. An API server in memory, the operator as it
//! is, and a runner that makes processes of pods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use konductor_api::{Run, label};
use konductor_compiler::Manifests;
use konductor_local::runner::kubelet::LogOptions;
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use super::follow;
use crate::arguments::{Pipeline, Pods};
use crate::exit::{FAILED, Failure};
use crate::load::Aim;
use crate::local::{self, Local, NAMESPACE, interrupted};
use crate::progress::Progress;
use crate::view::{Around, State, run_ended, state, title, view};
use crate::{apply, load, output};

/// How long the last lines may take when the run has ended.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The logs that are being printed, by the uid of their pod.
type Followed = BTreeMap<String, JoinHandle<()>>;

/// How many lines of a failed stage's log are shown at the end.
const LOG_TAIL: usize = 20;

/// Runs a pipeline here, and ends with its outcome.
pub(crate) async fn run(pipeline: &Pipeline, pods: Pods, keep: bool) -> Result<(), Failure> {
    let compiled = load::compiled(pipeline, Some(NAMESPACE.to_owned()), Aim::Once)?;
    let manifests = compiled.manifests.ok_or_else(super::nothing)?;
    let folder = tempfile::Builder::new().prefix("konductor-").tempdir()?;
    let local = Local::start(local::Options {
        folder: folder.path(),
        kubeconfig: &folder.path().join("kubeconfig"),
        steps: &working_folder(&pipeline.file),
        pods,
        port: 0,
        operator: local::WithOperator::Alone,
    })
    .await?;
    let progress = Arc::new(Progress::since(Instant::now()));
    let following = Following { local, progress };
    let outcome = tokio::select! {
        outcome = following.follow(&manifests) => outcome,
        code = interrupted() => {
            following.progress.finish();
            output::talk("interrupted: ending what runs");
            Err(Failure::silent(code))
        }
    };
    following.local.stop().await;
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

/// A run that is followed.
struct Following {
    local: Local,
    progress: Arc<Progress>,
}

impl Following {
    /// Creates the run and follows it to its end.
    async fn follow(&self, manifests: &Manifests) -> Result<(), Failure> {
        let order = stages(manifests);
        let name = manifests.run_name();
        let mut logs = Followed::default();
        let watching = follow::until_ended(&self.local.client, name, &order, &self.progress);
        apply::apply(&self.local.client, manifests, false, |_, _, _| {}).await?;
        let (run, around) = tokio::select! {
            ended = watching => ended?,
            never = self.follow_logs(&mut logs) => match never {},
            failure = self.local.operator_is_gone() => return Err(failure),
        };
        self.rest_of_logs(logs).await?;
        self.summary(&run, &around).await
    }

    /// Prints what containers print, each line under its stage's name. It never ends.
    async fn follow_logs(&self, followed: &mut Followed) -> std::convert::Infallible {
        let pods: Api<Pod> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        let mut events = watcher::watcher(pods, watcher::Config::default()).boxed();
        loop {
            if let Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) = events.next().await {
                self.follow_log(&pod, followed).await;
            }
        }
    }

    /// Prints what is left when the run has ended: of its last pods nothing may have been seen yet.
    async fn rest_of_logs(&self, mut followed: Followed) -> Result<(), Failure> {
        let pods: Api<Pod> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        for pod in pods.list(&ListParams::default()).await?.items {
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
        let jobs: Api<Job> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        let found = jobs.get_opt(&job).await.ok().flatten();
        let title = found.map_or(job, |job| title(&job));
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

    /// What became of the run: for a failure, which stages failed, and the ends of their logs.
    async fn summary(&self, run: &Run, around: &Around) -> Result<(), Failure> {
        let name = run.name_any();
        let seconds = self.progress.elapsed();
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
        let view = view(run, around, &[]);
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
        let pods: Api<Pod> = Api::namespaced(self.local.client.kube().clone(), NAMESPACE);
        let of_job = format!("{}={}", label::JOB_NAME, job.name_any());
        let pods = pods.list(&ListParams::default().labels(&of_job)).await;
        let mut pods = pods.map(|pods| pods.items).unwrap_or_default();
        pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
        let why = match pods.last().and_then(end) {
            // It was never more than an attempt.
            Some(end) if end.reason.as_deref() == Some("StartError") => {
                format!(": {}", end.message.clone().unwrap_or_default())
            }
            Some(end) => format!(" with exit code {}", end.exit_code),
            None => String::new(),
        };
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
        let Some(log) = self.local.logs.read(&uid, "main", options) else {
            return;
        };
        let chunks: Vec<_> = log.collect().await;
        let bytes: Vec<u8> = chunks.into_iter().flatten().flatten().collect();
        for line in String::from_utf8_lossy(&bytes).lines() {
            output::talk(&format!("    {line}"));
        }
    }
}

/// How the container of a pod has ended.
fn end(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let containers = pod.status.as_ref()?.container_statuses.as_ref()?;
    containers
        .iter()
        .find_map(|one| one.state.as_ref()?.terminated.as_ref())
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
