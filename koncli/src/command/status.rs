//! `koncli status` and `koncli runs`

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use konductor_api::condition::{FAILING, SUCCEEDED};
use konductor_api::{Run, annotation, label};
use konductor_operator::explain;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams};
use kube::{Resource, ResourceExt};

use super::{api, follow, get, list};
use crate::arguments::{Format, Global};
use crate::exit::{Failure, NOT_FOUND};
use crate::progress::{Progress, terminal};
use crate::view::{self, Around, Stage, State, View, run_status, view};
use crate::{cluster, output, read};

/// How many unfinished runs are asked what they wait for.
const RUNS_LOOKED_AT: usize = 10;

/// Shows one run; with `watch` while it goes on, and then how it ended.
pub(crate) async fn status(global: &Global, name: &str, watch: bool) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let mut run: Run = get(&client, "run", name).await?;
    let around = if watch {
        let progress = Progress::since(begun(&run));
        let ended = follow::until_ended(&client, name, &[], &progress).await?;
        run = ended.0;
        ended.1
    } else {
        around(&client, name).await?
    };
    let view = view(&run, &around, &[]);
    let unwritable = |error: &dyn std::error::Error| Failure::failed(error.to_string());
    let text = match global.output.unwrap_or(Format::Table) {
        Format::Json => {
            serde_json::to_string_pretty(&view).map_err(|error| unwritable(&error))? + "\n"
        }
        Format::Yaml => serde_saphyr::to_string(&view).map_err(|error| unwritable(&error))?,
        Format::Name => format!("run/{name}\n"),
        Format::Table | Format::Wide => output::fitted(&table(&view, global.no_headers)),
    };
    output::data(&text);
    if watch && text.lines().count() >= terminal().0 && std::io::stdout().is_terminal() {
        // What is said first has left the screen.
        output::talk(&head(&view));
    }
    Ok(())
}

/// When a run was created, on this machine's clock.
fn begun(run: &Run) -> Instant {
    let now = Instant::now();
    let created = run.creation_timestamp().map(|time| time.0);
    let age = created.and_then(|created| Timestamp::now().duration_since(created).try_into().ok());
    age.and_then(|age| now.checked_sub(age)).unwrap_or(now)
}

/// Everything around a run that says why something waits.
pub(crate) async fn around(client: &konductor::Client, run: &str) -> Result<Around, Failure> {
    let of_run = ListParams::default().labels(&format!("{}={run}", label::RUN));
    let all = ListParams::default();
    let (jobs_api, gates_api) = (api::<Job>(client), api(client));
    let (semaphores_api, leases_api) = (api(client), api(client));
    let barriers_api = api(client);
    let pods_api = api::<Pod>(client);
    let (jobs, barriers, gates, semaphores, leases, pods) = tokio::try_join!(
        read::list(&jobs_api, &of_run),
        read::list(&barriers_api, &of_run),
        read::list(&gates_api, &of_run),
        read::list(&semaphores_api, &all),
        read::list(&leases_api, &all),
        async { Ok(readable(read::list(&pods_api, &of_run).await)) },
    )?;
    let (events, workloads) = tokio::join!(events(client, &jobs, &pods), workloads(client, &jobs));
    Ok(Around {
        pods,
        events,
        workloads,
        jobs,
        barriers: by_name(barriers),
        gates: by_name(gates),
        semaphores: by_name(semaphores),
        leases: by_name(leases),
    })
}

/// What may be read; to look at a run needs no right on what only explains it.
fn readable<K>(found: Result<Vec<K>, kube::Error>) -> Vec<K> {
    found.unwrap_or_default()
}

/// Warnings, where something was started and does not run.
async fn events(client: &konductor::Client, jobs: &[Job], pods: &[Pod]) -> Vec<Event> {
    let started = |job: &&Job| view::state(job) == State::Running;
    let runs = |pod: &&Pod| !explain::is_pending(&[pod]);
    if jobs.iter().filter(started).count() <= pods.iter().filter(runs).count() {
        return Vec::new();
    }
    let warnings = ListParams::default().fields("type=Warning");
    readable(read::list(&api::<Event>(client), &warnings).await)
}

/// Kueue's Workloads, where a Job is in one of its queues.
async fn workloads(client: &konductor::Client, jobs: &[Job]) -> Vec<serde_json::Value> {
    let queued =
        |job: &Job| job.labels().contains_key(label::KUEUE_QUEUE) && !view::state(job).has_ended();
    if !jobs.iter().any(queued) {
        return Vec::new();
    }
    let mut found = Vec::new();
    // Kueue serves one of them, or both.
    for version in ["v1beta2", "v1beta1"] {
        let kind = GroupVersionKind::gvk("kueue.x-k8s.io", version, "Workload");
        let resource = ApiResource::from_gvk(&kind);
        let url = DynamicObject::url_path(&resource, Some(client.namespace()));
        found = readable(read::list_values(client.kube().clone(), url).await);
        if !found.is_empty() {
            break;
        }
    }
    found
}

/// Makes sure that a run has a stage; while its Jobs are still being created, nobody knows.
pub(super) fn expect_stage(run: &Run, around: &Around, stage: &str) -> Result<(), Failure> {
    let jobs = (run.spec.jobs + run.spec.finally_jobs) as usize;
    let stages = stages(&around.jobs);
    match around.jobs.len() < jobs || stages.contains(stage) {
        true => Ok(()),
        false => Err(no_such_stage(&run.name_any(), stage, stages)),
    }
}

/// Tells that a run has no such stage, and which one may be meant.
pub(super) fn no_such_stage(run: &str, stage: &str, stages: BTreeSet<&str>) -> Failure {
    let help = match konductor_dsl::did_you_mean(stage, stages) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("`koncli status {run}` lists its stages"),
    };
    Failure::new(NOT_FOUND, format!("run/{run} has no stage {stage}")).help(help)
}

/// The stages that Jobs are of.
pub(super) fn stages(jobs: &[Job]) -> BTreeSet<&str> {
    let stages = jobs.iter().filter_map(|job| job.labels().get(label::STAGE));
    stages.map(String::as_str).collect()
}

fn by_name<K: Resource>(objects: Vec<K>) -> BTreeMap<String, K> {
    objects
        .into_iter()
        .map(|object| (object.name_any(), object))
        .collect()
}

/// Lists runs.
pub(crate) async fn runs(global: &Global) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let mut runs: Vec<Run> = list(&client, global).await?;
    runs.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp().map(|time| time.0)));
    let wide = global.output == Some(Format::Wide);
    let pending = pending(&client, &runs).await;
    let mut headers = vec!["NAME", "PIPELINE", "PHASE", "DONE", "FAILED", "AGE"];
    headers.extend(wide.then_some("SLOT"));
    headers.push("WHY");
    output::objects(
        global,
        "run",
        &runs,
        false,
        ResourceExt::name_any,
        &headers,
        |run| {
            let status = run_status(run).cloned().unwrap_or_default();
            let done = status.succeeded
                + status.failed
                + status.skipped
                + status.unreached
                + status.cancelled;
            let mut row = vec![
                run.name_any(),
                run.spec.pipeline.clone(),
                format!("{:?}", status.phase),
                format!("{done}/{}", run.spec.jobs + run.spec.finally_jobs),
                status.failed.to_string(),
                output::age(run.creation_timestamp().map(|time| time.0)),
            ];
            let slot = run.annotations().get(annotation::SLOT).cloned();
            row.extend(wide.then(|| slot.unwrap_or_else(|| "-".to_owned())));
            let pending = pending.get(&run.name_any()).cloned();
            row.push(why(run).or(pending).unwrap_or_default());
            row
        },
    )
}

/// Why a run did not succeed, or will not.
fn why(run: &Run) -> Option<String> {
    let conditions = &run_status(run)?.conditions;
    let failing = conditions
        .iter()
        .any(|one| one.type_ == FAILING && one.status == "True");
    match view::run_ended(run) {
        Some(true) => None,
        Some(false) => view::message(conditions, SUCCEEDED),
        None => view::message(conditions, FAILING).filter(|_| failing),
    }
}

/// What is pending in the newest of the unfinished runs: one stage of each.
async fn pending(client: &konductor::Client, runs: &[Run]) -> BTreeMap<String, String> {
    let going = runs.iter().filter(|run| view::run_ended(run).is_none());
    let names = going.take(RUNS_LOOKED_AT).map(ResourceExt::name_any);
    let looked = futures::future::join_all(names.map(|name| async move {
        let around = around(client, &name).await.ok()?;
        let jobs = around.jobs.iter();
        let pending = jobs.map(|job| (view::title(job), view::item(job, &around)));
        let mut pending = pending
            .filter(|(_, item)| matches!(item.state, State::Pending) && !item.why.is_empty());
        let (title, item) = pending.next()?;
        Some((name, format!("stage {title} is pending: {}", item.why)))
    }));
    looked.await.into_iter().flatten().collect()
}

fn table(view: &View, no_headers: bool) -> String {
    let mut rows = Vec::new();
    for stage in &view.stages {
        rows.push(row(stage));
        if stage.items.len() > 1 {
            for item in &stage.items {
                rows.push(vec![
                    format!(
                        "  [{}]",
                        item.item.clone().unwrap_or_else(|| item.job.clone())
                    ),
                    format!("{} {}", item.state.mark(), item.state.word()),
                    String::new(),
                    output::age(item.since),
                    item.why.clone(),
                ]);
            }
        }
    }
    let headers = ["STAGE", "STATE", "ITEMS", "SINCE", "WHY"];
    let table = output::table(&headers, &rows, no_headers);
    format!("{}\n\n{table}", head(view))
}

/// How a run stands, in a line.
fn head(view: &View) -> String {
    let View {
        run,
        pipeline,
        phase,
        message,
        ..
    } = view;
    let head = format!("run/{run} of pipeline {pipeline}: {phase}");
    match message.is_empty() {
        true => head,
        false => format!("{head} ({message})"),
    }
}

fn row(stage: &Stage) -> Vec<String> {
    let state = stage.state();
    let first = stage.items.iter().find(|item| item.state == state);
    let one = stage.items.len() == 1;
    vec![
        stage.name.clone(),
        format!("{} {}", state.mark(), state.word()),
        if one {
            String::new()
        } else {
            format!("{}/{}", stage.ended(), stage.items.len())
        },
        output::age(first.and_then(|item| item.since)),
        first
            .filter(|_| one)
            .map(|item| item.why.clone())
            .unwrap_or_default(),
    ]
}
