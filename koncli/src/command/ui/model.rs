//! Runs, stages and schedules as the pages show them. It reads no cluster.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::condition::OPEN;
use konductor_api::{Arrivals, Participant, Run, RunPhase, label};
use konductor_operator::run_graph::Place;
use konductor_operator::standing::State;
use konductor_operator::timeline::{Row, Timeline, timeline};
use konductor_operator::{RunObjects, explain, run_status};
use konductor_web::model::{
    self as web, Approval, Badge, Output, Picture, ProblemKind, RunRow, Runs, SpanRow, StageRow,
    Took,
};
use konductor_web::{Action, Address, Problem};
use kube::ResourceExt;
use serde::Serialize;

use super::rights::Rights;
use crate::command::objects::Meant;
use crate::command::{schedules, status};
use crate::exit::{FORBIDDEN, Failure, NOT_FOUND, UNREACHABLE};
use crate::timeline::{self, ROWS_MAX};
use crate::view::{self, Item, Stage, View, message, run_ended, title, view};
use crate::{graph, output};

/// A graph with more nodes is no longer read.
const NODES_MAX: usize = 200;
/// How many pods of a stage have their logs shown.
const LOGS: usize = 5;
/// How many lines say why a stage is where it is.
const WHY: usize = 60;

/// A run, and everything around it.
pub(in crate::command) struct Look {
    pub(in crate::command) run: Run,
    pub(in crate::command) objects: RunObjects,
    pub(in crate::command) pods: Vec<Arc<Pod>>,
    view: View,
    timeline: Timeline,
    /// The page, once somebody has opened it: with thousands of stages it takes long enough to be made once.
    page: OnceLock<(Rights, web::Run)>,
}

impl Look {
    pub(in crate::command) fn new(run: Run, objects: RunObjects, pods: Vec<Arc<Pod>>) -> Self {
        Self {
            view: view(&run, &objects, &[]),
            timeline: timeline(&run, &objects, Timestamp::now()),
            page: OnceLock::new(),
            run,
            objects,
            pods,
        }
    }

    /// The pods that a stage or an item means, with their titles: those that failed, then those that run, then the newest.
    pub(in crate::command) fn pods_of(&self, meant: Meant<'_>) -> Vec<(String, Arc<Pod>)> {
        let jobs = self.objects.jobs().iter().filter(|job| meant.is_of(job));
        let jobs: BTreeMap<&str, &Arc<Participant>> = jobs.map(|job| (job.name(), job)).collect();
        let is_one = |job: &Participant| job.item().is_none() && meant.item.is_some();
        let mut pods: Vec<(String, Arc<Pod>)> = Vec::new();
        for pod in self.pods.iter().filter(|pod| has_started(pod)) {
            let name = pod.labels().get(label::JOB_NAME);
            let Some(job) = name.and_then(|name| jobs.get(name.as_str())) else {
                continue;
            };
            let names = job.item_names();
            let title = view::of_pod(&title(job), &names, pod);
            let index = explain::index(pod).map(|index| index.to_string());
            let is_meant = title == meant.to_string() || index.as_deref() == meant.item;
            if is_one(job) && !is_meant {
                continue;
            }
            pods.push((title, Arc::clone(pod)));
        }
        let rank = |pod: &Pod| match phase(pod) {
            "Failed" => 0,
            "Running" => 1,
            _ => 2,
        };
        pods.sort_by_cached_key(|(_, pod)| {
            let created = pod.creation_timestamp().map(|time| time.0);
            (rank(pod), std::cmp::Reverse(created), pod.name_any())
        });
        pods
    }
}

fn phase(pod: &Pod) -> &str {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    phase.unwrap_or_default()
}

fn has_started(pod: &Pod) -> bool {
    matches!(phase(pod), "Running" | "Succeeded" | "Failed")
}

/// Returns why there is no page, or nothing was done.
pub(super) fn problem(failure: Failure) -> Problem {
    let kind = match failure.code {
        NOT_FOUND => ProblemKind::NotFound,
        FORBIDDEN => ProblemKind::Forbidden,
        UNREACHABLE => ProblemKind::Unreachable,
        _ => ProblemKind::Refused,
    };
    Problem {
        kind,
        message: failure.message,
        help: failure.help,
    }
}

fn badge(phase: RunPhase) -> Badge {
    match phase {
        RunPhase::Running => State::Running.into(),
        RunPhase::Paused => State::Paused.into(),
        RunPhase::Finalizing => Badge::called(State::Running, "finalizing"),
        RunPhase::Succeeded => State::Succeeded.into(),
        RunPhase::Failed => State::Failed.into(),
        RunPhase::Cancelled => State::Cancelled.into(),
    }
}

/// Returns the list of runs, the newest first.
pub(super) fn runs(runs: &[Arc<Run>]) -> Runs {
    let mut runs: Vec<&Arc<Run>> = runs.iter().collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.creation_timestamp().map(|time| time.0)));
    Runs {
        rows: runs.into_iter().map(|run| run_row(run)).collect(),
    }
}

fn run_row(run: &Run) -> RunRow {
    let status = run_status(run).cloned().unwrap_or_default();
    let ended = [
        status.succeeded,
        status.failed,
        status.skipped,
        status.unreached,
        status.cancelled,
    ];
    // A status is whatever somebody wrote into it.
    let done = ended.into_iter().fold(0, u32::saturating_add);
    let created = run.creation_timestamp().map(|time| time.0);
    let began = status.started_at.map(|time| time.0).or(created);
    let ended = status.finished_at.filter(|_| run_ended(run).is_some());
    let took = began.map(|began| match &ended {
        Some(ended) => Took::For(ended.0.duration_since(began)),
        None => Took::Since(began),
    });
    RunRow {
        name: run.name_any(),
        pipeline: run.spec.pipeline.clone(),
        badge: badge(status.phase),
        done,
        jobs: run.spec.jobs.saturating_add(run.spec.finally_jobs),
        failed: status.failed,
        created,
        took,
        why: status::why(run).unwrap_or_default(),
    }
}

/// Returns the page of a run.
pub(super) fn run_page(look: &Look, rights: Rights) -> web::Run {
    let (page_rights, page) = look.page.get_or_init(|| (rights, made(look, rights, true)));
    match *page_rights == rights {
        true => page.clone(),
        false => made(look, rights, true),
    }
}

/// Returns the same for a document that has no other pages, and that nobody acts in.
pub(in crate::command) fn run_of_report(look: &Look) -> web::Run {
    made(look, Rights::default(), false)
}

fn made(look: &Look, rights: Rights, has_links: bool) -> web::Run {
    let Look {
        run,
        objects,
        view,
        timeline,
        ..
    } = look;
    let status = run_status(run).cloned().unwrap_or_default();
    let name = run.name_any();
    let link = |node: &konductor_compiler::graph::Node| {
        let is_stage = view.stages.iter().any(|stage| stage.name == node.name);
        (has_links && is_stage).then(|| Address::stage(&name, &node.name).link())
    };
    // Each stage is a node.
    let drawn = (view.stages.len() <= NODES_MAX).then(|| graph::of_run(run, objects, view));
    let drawn = drawn.filter(|drawn| drawn.graph.nodes.len() <= NODES_MAX);
    let graph = drawn.map(|drawn| Picture(graph::section(&drawn, &link)));
    web::Run {
        pipeline: run.spec.pipeline.clone(),
        badge: badge(status.phase),
        message: view.message.clone(),
        attempt: run.spec.attempt.max(1),
        began: timeline.start,
        took: match timeline.end {
            Some(_) => Took::For(timeline.makespan()),
            None => Took::Since(timeline.start),
        },
        summary: timeline.summary.clone(),
        graph,
        timeline: Picture(timeline::section(timeline, Some(ROWS_MAX))),
        stages: view.stages.iter().map(stage_row).collect(),
        approvals: approvals(run, objects, rights),
        outputs: outputs(objects.jobs()),
        yaml: yaml(run),
        actions: actions(run, rights),
        name,
    }
}

/// What may be done about a run now, by its state and by the viewer's rights.
fn actions(run: &Run, rights: Rights) -> Vec<Action> {
    let name = run.name_any();
    let run_of = || name.clone();
    match run_ended(run) {
        // One that is cancelled can be neither paused nor resumed.
        None if rights.decide && !run.spec.cancel => {
            let turn = match run.spec.is_paused() {
                true => Action::Resume { run: run_of() },
                false => Action::Pause { run: run_of() },
            };
            vec![turn, Action::Cancel { run: run_of() }]
        }
        Some(false) if rights.retry => vec![Action::Retry { run: run_of() }],
        _ => Vec::new(),
    }
}

fn stage_row(stage: &Stage) -> StageRow {
    let state = stage.state();
    let first = stage.items.iter().find(|item| item.state == state);
    let now = Timestamp::now();
    let started = stage.items.iter().filter_map(|item| item.started).min();
    let is_busy = stage
        .items
        .iter()
        .any(|item| item.started.is_some() && !item.state.has_ended());
    let took = match (is_busy, started) {
        (true, Some(started)) => Some(Took::Since(started)),
        _ => stage.duration(now).map(Took::For),
    };
    StageRow {
        name: stage.name.clone(),
        state,
        ended: stage.ended(),
        items: stage.items.len(),
        took,
        since: stage.since(),
        why: first.map(|item| item.why.clone()).unwrap_or_default(),
    }
}

fn item_row(stage: &str, item: &Item) -> StageRow {
    let took = match (item.state, item.started) {
        (State::Running | State::Pending, Some(started)) => Some(Took::Since(started)),
        _ => item.duration(Timestamp::now()).map(Took::For),
    };
    StageRow {
        name: match &item.item {
            Some(item) => format!("{stage}[{item}]"),
            None => stage.to_owned(),
        },
        state: item.state,
        ended: usize::from(item.state.has_ended()),
        items: 1,
        took,
        since: item.since,
        why: item.why.clone(),
    }
}

fn approvals(run: &Run, objects: &RunObjects, rights: Rights) -> Vec<Approval> {
    let prefix = format!("{}-", run.name_any());
    let overview = objects.graph().overview();
    let approvals = overview.places.iter().filter_map(|place| match place {
        Place::Approval(barrier) => Some(*barrier),
        Place::Stage { .. } | Place::Gate(_) | Place::Elsewhere(_) => None,
    });
    let approvals = approvals.map(|barrier| {
        let name = barrier.name_any();
        let status = barrier.status.as_ref();
        let said = status.and_then(|status| message(&status.conditions, OPEN));
        Approval {
            name: name.strip_prefix(&prefix).unwrap_or(&name).to_owned(),
            state: State::of_barrier(barrier),
            given: status.map_or(0, |status| status.arrived),
            needed: barrier.spec.quorum.unwrap_or(barrier.spec.expected),
            message: said.unwrap_or_default(),
            may_answer: rights.approve && barrier.spec.arrivals == Arrivals::Verified,
            barrier: name,
        }
    });
    approvals.collect()
}

fn outputs<'a>(jobs: impl IntoIterator<Item = &'a Arc<Participant>>) -> Vec<Output> {
    let outputs = jobs.into_iter().flat_map(|job| {
        let stage = title(job);
        let outputs = job.outputs().unwrap_or_default().into_iter();
        outputs.map(move |(name, value)| Output {
            stage: stage.clone(),
            name,
            value,
        })
    });
    outputs.collect()
}

fn yaml<T: Serialize>(object: &T) -> String {
    let plain = output::without_managed_fields(object);
    let text = plain.ok().map(|plain| serde_saphyr::to_string(&plain));
    text.and_then(Result::ok).unwrap_or_default()
}

/// Returns the page of a stage or an item; `None` if the run has none of this name.
pub(super) fn stage_page(look: &Look, name: &str, why: Vec<(usize, String)>) -> Option<web::Stage> {
    let meant = Meant::of(name);
    let stage = look
        .view
        .stages
        .iter()
        .find(|stage| stage.name == meant.stage)?;
    let jobs: Vec<&Arc<Participant>> = look
        .objects
        .jobs()
        .iter()
        .filter(|job| meant.is_of(job))
        .collect();
    let mut items: Vec<StageRow> = stage
        .items
        .iter()
        .map(|item| item_row(&stage.name, item))
        .collect();
    let row = match meant.item {
        None => stage_row(stage),
        Some(_) => {
            let own = items.iter().position(|item| item.name == name);
            // An index of an Indexed Job has the state of its Job.
            let own = own.or_else(|| (items.len() == 1 && !jobs.is_empty()).then_some(0))?;
            StageRow {
                name: name.to_owned(),
                ..items.swap_remove(own)
            }
        }
    };
    let spans = match jobs.as_slice() {
        [job] => spans(look, job.name()),
        _ => Vec::new(),
    };
    let mut pods = look.pods_of(meant);
    pods.truncate(LOGS);
    Some(web::Stage {
        run: look.run.name_any(),
        row,
        why: why.into_iter().take(WHY).collect(),
        items: match meant.item {
            None => items,
            Some(_) => Vec::new(),
        },
        spans,
        pods: pods.iter().map(|(_, pod)| pod.name_any()).collect(),
        outputs: outputs(jobs.iter().copied()),
        yaml: jobs
            .iter()
            .take(LOGS)
            .map(|job| (job.name().to_owned(), yaml::<Job>(job)))
            .collect(),
    })
}

fn spans(look: &Look, job: &str) -> Vec<SpanRow> {
    let mut rows = look
        .timeline
        .rows
        .iter()
        .filter(|row: &&Row| row.job == job);
    let spans = rows.next().map(|row| row.spans.as_slice());
    let spans = spans.unwrap_or_default().iter();
    let spans = spans.map(|span| SpanRow {
        what: timeline::words(span),
        start: span.start,
        took: match span.end {
            Some(end) => Took::For(end.duration_since(span.start)),
            None => Took::Since(span.start),
        },
        reason: match span.outcome {
            Some(outcome) if span.reason.is_empty() => outcome.to_owned(),
            Some(outcome) => format!("{outcome}: {}", span.reason),
            None => span.reason.clone(),
        },
    });
    spans.collect()
}

/// Returns the schedules.
pub(super) fn schedules(cron_jobs: &[Arc<CronJob>], runs: &[Arc<Run>]) -> Vec<web::Schedule> {
    let now = Timestamp::now();
    let of_pipelines = cron_jobs
        .iter()
        .filter(|cron_job| cron_job.labels().contains_key(label::PIPELINE));
    let schedules = of_pipelines.map(|cron_job| {
        let name = cron_job.name_any();
        let last = schedules::last_slots(&name, runs.iter().map(|run| &**run));
        web::Schedule {
            cron: cron_job.spec.schedule.clone(),
            zone: cron_job
                .spec
                .time_zone
                .clone()
                .unwrap_or_else(|| "UTC".to_owned()),
            is_suspended: cron_job.spec.suspend == Some(true),
            next: schedules::next(cron_job, now)
                .map(|slot| konductor_compiler::slot_time(&slot))
                .collect(),
            last: last
                .into_iter()
                .rev()
                .map(|run| {
                    let phase = run_status(run).map_or(RunPhase::Running, |status| status.phase);
                    (schedules::slot_name(run), run.name_any(), badge(phase))
                })
                .collect(),
            name,
        }
    });
    schedules.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(spec: serde_json::Value, phase: &str) -> Run {
        let mut run = json!({
            "apiVersion": "konductor.io/v1", "kind": "Run",
            "metadata": {"name": "r", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": {"pipeline": "p", "jobs": 2},
            "status": {"phase": phase, "startedAt": "2026-01-01T00:00:10Z"},
        });
        run["spec"]["attempt"] = json!(1);
        run["status"]["attempt"] = json!(1);
        for (key, value) in spec.as_object().expect("an object") {
            run["spec"][key] = value.clone();
        }
        if phase != "Running" && phase != "Paused" {
            run["status"]["finishedAt"] = json!("2026-01-01T00:01:00Z");
        }
        serde_json::from_value(run).expect("a run")
    }

    #[test]
    fn actions_follow_the_state_of_a_run_and_the_rights_of_the_viewer() {
        let all = Rights {
            decide: true,
            retry: true,
            approve: true,
        };
        let (nothing, decides) = (
            Rights::default(),
            Rights {
                decide: true,
                ..Rights::default()
            },
        );
        for (spec, phase, rights, expected) in [
            (json!({}), "Running", all, vec!["pause", "cancel"]),
            (json!({}), "Running", nothing, vec![]),
            (
                json!({"pause": true}),
                "Paused",
                decides,
                vec!["resume", "cancel"],
            ),
            (json!({"cancel": true}), "Running", all, vec![]),
            (
                json!({"cancel": true, "pause": true}),
                "Running",
                all,
                vec![],
            ),
            (json!({}), "Failed", all, vec!["retry"]),
            (json!({}), "Failed", decides, vec![]),
            (json!({}), "Succeeded", all, vec![]),
        ] {
            let actions = actions(&run(spec, phase), rights);
            let words: Vec<_> = actions.iter().map(Action::word).collect();
            assert_eq!(words, expected, "{phase}");
        }
    }

    #[test]
    fn counts_beyond_all_bounds_are_shown() {
        let mut many = run(json!({"jobs": u32::MAX, "finallyJobs": 1}), "Running");
        let status = many.status.as_mut().expect("a status");
        (status.succeeded, status.failed) = (u32::MAX, 1);
        let row = run_row(&many);
        assert_eq!((row.done, row.jobs), (u32::MAX, u32::MAX));
    }

    #[test]
    fn a_run_takes_from_its_start_to_its_end() {
        let took = |phase| run_row(&run(json!({}), phase)).took;
        let began = "2026-01-01T00:00:10Z".parse().expect("a time");
        assert_eq!(took("Running"), Some(Took::Since(began)));
        let took_50s = Took::For(jiff::SignedDuration::from_secs(50));
        assert_eq!(took("Failed"), Some(took_50s));
    }
}
