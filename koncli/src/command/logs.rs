//! `koncli logs`: what the pods of a run print, merged, each line under its stage's name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, Run, label};
use konductor_operator::{RunObjects, explain};
use kube::api::{ListParams, LogParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::objects::{Meant, expect, objects_of};
use super::{api, get, wait};
use crate::arguments::{Format, Global, LogSelection};
use crate::exit::{Failure, NOT_FOUND};
use crate::suggestion::suggested;
use crate::view::{of_pod, title, view};
use crate::{cluster, output, read};

/// The container that a stage's step runs in.
const CONTAINER: &str = "main";

/// Makes sure that a stage still has a Job whose pods may have logs.
fn expect_a_job(run: &Run, objects: &RunObjects, meant: Meant<'_>) -> Result<(), Failure> {
    let is_there = objects.jobs().iter().any(|job| meant.is_of(job));
    if is_there || !objects.jobs_and_gone().any(|job| meant.is_of(job)) {
        return Ok(());
    }
    let name = run.name_any();
    let message =
        format!("the Job of stage {meant} of run/{name} was deleted, and its logs with it");
    let status = suggested(format!("koncli status {name}"));
    Err(Failure::new(NOT_FOUND, message).help(format!("look at {status}")))
}

/// Prints what was printed so far; with `follow`, continues until the run has ended.
pub(crate) async fn logs(global: &Global, selection: &LogSelection) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let run: Run = get(&client, "run", &selection.run).await?;
    let objects = objects_of(&client, &selection.run).await?;
    if let Some(stage) = &selection.stage {
        expect(&run, &objects, Meant::of(stage))?;
        expect_a_job(&run, &objects, Meant::of(stage))?;
    }
    let logs = Logs {
        is_json: global.output == Some(Format::Json),
        pods: api(&client),
        jobs: api(&client),
        selection,
    };
    if !selection.follow {
        return logs.so_far(&run, &objects).await;
    }
    let following = logs.follow();
    let ended = wait::until_run_ended(&client, &selection.run, None);
    tokio::pin!(following);
    tokio::select! {
        failure = &mut following => return failure,
        ended = ended => ended?,
    }
    // What pods have printed last is still on its way.
    let _ = tokio::time::timeout(LAST_LINES, following).await;
    Ok(())
}

const LAST_LINES: Duration = Duration::from_millis(500);

struct Logs<'a> {
    pods: Api<Pod>,
    jobs: Api<Participant>,
    selection: &'a LogSelection,
    is_json: bool,
}

impl Logs<'_> {
    /// What a pod's lines are called; `None` where it is not of this run and stage.
    async fn title(&self, pod: &Pod) -> Result<Option<String>, Failure> {
        let Some(name) = pod.labels().get(label::JOB_NAME) else {
            return Ok(None);
        };
        let job = self.jobs.get_opt(name).await?;
        let job = job.filter(|job| job.run() == Some(self.selection.run.as_str()));
        let named = job.map(|job| (of_pod(&title(&job), &job.item_names(), pod), job));
        let meant = named.filter(|(title, job)| self.is_meant(job.stage(), title));
        Ok(meant.map(|(title, _)| title))
    }

    /// Whether the logs of a pod were asked for, by its stage and its title.
    fn is_meant(&self, stage: &str, title: &str) -> bool {
        let meant = self.selection.stage.as_deref();
        meant.is_none_or(|meant| meant == stage || Meant::of(meant).to_string() == title)
    }

    /// Stages are in the order of `koncli status`, and the attempts of a Job one after the other.
    async fn so_far(&self, run: &Run, objects: &RunObjects) -> Result<(), Failure> {
        let params = ListParams::default().labels(label::JOB_NAME);
        let mut pods: BTreeMap<String, Vec<Pod>> = BTreeMap::new();
        for pod in read::list(&self.pods, &params).await? {
            if let Some(job) = pod
                .labels()
                .get(label::JOB_NAME)
                .filter(|_| has_started(&pod))
            {
                pods.entry(job.clone()).or_default().push(pod);
            }
        }
        let mut is_silent = true;
        for stage in view(run, objects, &[]).stages {
            for item in stage.items {
                let mut pods = pods.remove(&item.job).unwrap_or_default();
                pods.sort_by_key(|pod| {
                    let created = pod.creation_timestamp().map(|time| time.0);
                    (explain::index(pod), created, pod.name_any())
                });
                let title = match item.item {
                    Some(item) => format!("{}[{item}]", stage.name),
                    None => stage.name.clone(),
                };
                let names = item
                    .indexes
                    .map(|indexes| indexes.names)
                    .unwrap_or_default();
                for pod in pods {
                    let title = of_pod(&title, &names, &pod);
                    if !self.is_meant(&stage.name, &title) {
                        continue;
                    }
                    self.print(&pod, &title, false).await?;
                    is_silent = false;
                }
            }
        }
        if is_silent {
            output::stderr("No pods have started.");
        }
        Ok(())
    }

    /// Ends only with an error.
    async fn follow(&self) -> Result<(), Failure> {
        let config = watcher::Config::default().labels(label::JOB_NAME);
        let client = self.pods.clone().into_client();
        let namespace = self.pods.namespace().unwrap_or_default();
        let mut pods = read::watch::<Pod>(client, namespace, config);
        let (mut printing, mut uids) = (FuturesUnordered::new(), BTreeSet::new());
        loop {
            tokio::select! {
                event = pods.next() => {
                    let Some(Ok(Event::Apply(pod) | Event::InitApply(pod))) = event else { continue };
                    if has_started(&pod) && uids.insert(pod.metadata.uid.clone()) {
                        printing.push(async move {
                            match self.title(&pod).await? {
                                Some(title) => self.print(&pod, &title, true).await,
                                None => Ok(()),
                            }
                        });
                    }
                }
                Some(printed) = printing.next() => printed?,
            }
        }
    }

    async fn print(&self, pod: &Pod, title: &str, follow: bool) -> Result<(), Failure> {
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            follow,
            tail_lines: self.selection.tail,
            timestamps: self.selection.timestamps,
            previous: self.selection.previous,
            since_seconds: self.selection.since.map(seconds),
            ..LogParams::default()
        };
        let lines = match self.pods.log_stream(&pod.name_any(), &params).await {
            Ok(lines) => lines,
            // It is gone by now, or has not got as far.
            Err(kube::Error::Api(status)) if matches!(status.code, 400 | 404) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut lines = lines.lines();
        while let Some(line) = lines.try_next().await? {
            match self.is_json {
                true => self.print_json(pod, title, &line),
                false => output::stdout_log(title, &line),
            }
        }
        Ok(())
    }

    /// Prints a line as an object of its own: a reader needs no end.
    fn print_json(&self, pod: &Pod, title: &str, line: &str) {
        let (time, line) = match line.split_once(' ').filter(|_| self.selection.timestamps) {
            Some((time, line)) => (Some(time), line),
            None => (None, line),
        };
        let mut object = json!({"stage": title, "pod": pod.name_any(), "line": line});
        if let Some(time) = time {
            object["time"] = time.into();
        }
        output::stdout_exact(&format!("{object}\n"));
    }
}

/// Whole seconds, at least one: less than that says "all" to an API server.
fn seconds(since: Duration) -> i64 {
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX).max(1)
}

fn has_started(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Running" | "Succeeded" | "Failed"))
}
