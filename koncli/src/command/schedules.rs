//! `koncli schedules`: what runs by the clock, when next, and how it went; suspending, resuming, starting now.

use std::collections::BTreeMap;

use clap::ValueEnum;
use jiff::{Timestamp, Zoned};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use konductor_api::{Run, annotation, label};
use konductor_compiler::slot_time;
use konductor_operator::run_status;
use konductor_operator::slot::{Slot, SlotDecision};
use kube::api::{ListParams, ObjectMeta, Patch};
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::{api, get, list, object, slot};
use crate::arguments::{Global, Overlap, ScheduleSelection};
use crate::exit::{Failure, NOT_FOUND};
use crate::suggestion::suggested;
use crate::{cluster, output, read};

/// How many slots are shown of one schedule, before now and after it.
const SHOWN: usize = 5;
/// The slot of a run that was started by `--start`.
const BY_HAND: &str = "by hand";
/// What kubectl writes on a Job that it makes from a CronJob.
const INSTANTIATE: (&str, &str) = ("cronjob.kubernetes.io/instantiate", "manual");

/// Shows schedules, or changes one.
pub(crate) async fn schedules(
    global: &Global,
    selection: &ScheduleSelection,
) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let Some(name) = &selection.name else {
        return all(global, &client).await;
    };
    let schedule = installed(&client, name).await?;
    if selection.suspend || selection.resume {
        return suspend(&client, &schedule, selection.suspend).await;
    }
    match selection.start {
        true => start(&client, &schedule).await,
        false => show(global, &client, &schedule).await,
    }
}

/// A CronJob of a pipeline.
async fn installed(client: &konductor::Client, name: &str) -> Result<CronJob, Failure> {
    let schedule: Result<CronJob, Failure> = get(client, "cronjob", name).await;
    let schedule = schedule.map_err(|failure| match failure.code {
        NOT_FOUND => failure.help(format!(
            "{} lists them; {} installs one",
            suggested("koncli schedules"),
            suggested("koncli apply FILE")
        )),
        _ => failure,
    })?;
    if schedule.labels().contains_key(label::PIPELINE) {
        return Ok(schedule);
    }
    let message = format!("cronjob/{name} is not the schedule of a pipeline");
    let describe = suggested(format!("kubectl describe cronjob {name}"));
    Err(Failure::failed(message).help(format!("look at it with {describe}")))
}

async fn all(global: &Global, client: &konductor::Client) -> Result<(), Failure> {
    let mut schedules: Vec<CronJob> = list(client, global).await?;
    schedules.retain(|schedule| schedule.labels().contains_key(label::PIPELINE));
    let runs: Vec<Run> = list(client, &without_selector(global)).await?;
    let last = last_runs(&runs);
    let now = Timestamp::now();
    let headers = [
        "NAME",
        "SCHEDULE",
        "TIMEZONE",
        "SUSPENDED",
        "NEXT",
        "LAST",
        "OUTCOME",
    ];
    output::objects(
        global,
        "cronjob",
        &schedules,
        false,
        ResourceExt::name_any,
        &headers,
        |schedule| {
            let key = (
                schedule.namespace().unwrap_or_default(),
                schedule.name_any(),
            );
            let last = last.get(&key);
            let is_suspended = schedule.spec.suspend == Some(true);
            vec![
                schedule.name_any(),
                schedule.spec.schedule.clone(),
                schedule
                    .spec
                    .time_zone
                    .clone()
                    .unwrap_or_else(|| "UTC".to_owned()),
                if is_suspended { "yes" } else { "no" }.to_owned(),
                next(schedule, now)
                    .next()
                    .map_or_else(|| "-".to_owned(), |slot| slot_time(&slot)),
                last.map_or_else(|| "-".to_owned(), |run| slot_of(run)),
                last.map_or_else(|| "-".to_owned(), |run| outcome(run)),
            ]
        },
    )
}

fn without_selector(global: &Global) -> Global {
    Global {
        selector: None,
        ..global.clone()
    }
}

/// The run of the last slot of each pipeline, by its namespace and name.
fn last_runs(runs: &[Run]) -> BTreeMap<(String, String), &Run> {
    let mut last: BTreeMap<(String, String), &Run> = BTreeMap::new();
    for run in runs.iter().filter(|run| time_of(run).is_some()) {
        let key = (
            run.namespace().unwrap_or_default(),
            run.spec.pipeline.clone(),
        );
        let newest = last.entry(key).or_insert(run);
        if time_of(run) > time_of(newest) {
            *newest = run;
        }
    }
    last
}

fn slot_of(run: &Run) -> String {
    run.annotations()
        .get(annotation::SLOT)
        .cloned()
        .unwrap_or_default()
}

/// The time of the slot that a run is for.
fn time_of(run: &Run) -> Option<Timestamp> {
    run.annotations().get(annotation::SLOT)?.parse().ok()
}

/// What the name of a run that was started by `--start` begins with.
fn prefix_by_hand(schedule: &str) -> String {
    format!("{schedule}-at-")
}

fn is_by_hand(run: &Run, schedule: &str) -> bool {
    run.name_any().starts_with(&prefix_by_hand(schedule))
}

fn outcome(run: &Run) -> String {
    let phase = run_status(run).map(|status| format!("{:?}", status.phase));
    phase.unwrap_or_else(|| "Running".to_owned())
}

/// The next slots of a schedule. A suspended one has none.
pub(super) fn next(schedule: &CronJob, now: Timestamp) -> impl Iterator<Item = Zoned> + use<> {
    let spec = &schedule.spec;
    let slots = konductor_local::slots(&spec.schedule, spec.time_zone.as_deref(), now);
    let shown = match spec.suspend {
        Some(true) => 0,
        _ => SHOWN,
    };
    slots.take(shown)
}

/// The runs of the last slots of a schedule, the newest last.
pub(super) fn last_slots<'a>(
    schedule: &str,
    runs: impl IntoIterator<Item = &'a Run>,
) -> Vec<&'a Run> {
    let mut runs: Vec<&Run> = runs
        .into_iter()
        .filter(|run| run.spec.pipeline == schedule)
        .filter(|run| time_of(run).is_some() || is_by_hand(run, schedule))
        .collect();
    let created = |run: &Run| run.creation_timestamp().map(|time| time.0);
    runs.sort_by_key(|run| time_of(run).or_else(|| created(run)));
    runs.split_off(runs.len().saturating_sub(SHOWN))
}

/// What the slot of a run is called.
pub(super) fn slot_name(run: &Run) -> String {
    match time_of(run) {
        Some(_) => slot_of(run),
        None => BY_HAND.to_owned(),
    }
}

/// The last slots of one schedule and how their runs ended, and the next ones.
async fn show(
    global: &Global,
    client: &konductor::Client,
    schedule: &CronJob,
) -> Result<(), Failure> {
    let runs = read::list(&api::<Run>(client), &ListParams::default()).await?;
    let name = schedule.name_any();
    let mut rows: Vec<[String; 3]> = last_slots(&name, &runs)
        .into_iter()
        .map(|run| [slot_name(run), run.name_any(), outcome(run)])
        .collect();
    rows.extend(next(schedule, Timestamp::now()).map(|slot| {
        let run = konductor_local::job_of_slot(&name, slot.timestamp());
        [slot_time(&slot), run, "due".to_owned()]
    }));
    let slots: Vec<_> = rows
        .iter()
        .map(|[slot, run, state]| json!({"slot": slot, "run": run, "state": state}))
        .collect();
    let spec = &schedule.spec;
    let report = json!({
        "name": name,
        "schedule": spec.schedule,
        "timeZone": spec.time_zone,
        "suspended": spec.suspend == Some(true),
        "slots": slots,
    });
    if output::document(global, &report)? {
        return Ok(());
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    if !rows.is_empty() {
        let headers = ["SLOT", "RUN", "STATE"];
        output::stdout(&output::fitted(&headers, &rows, global.no_headers));
    }
    if spec.suspend == Some(true) {
        output::stderr(&format!(
            "cronjob/{name} is suspended; resume it with --resume"
        ));
    }
    Ok(())
}

async fn suspend(
    client: &konductor::Client,
    schedule: &CronJob,
    suspend: bool,
) -> Result<(), Failure> {
    let name = &schedule.name_any();
    match (schedule.spec.suspend == Some(true), suspend) {
        (true, true) => {
            output::stderr(&format!("cronjob/{name} is already suspended"));
            return Ok(());
        }
        (false, false) => {
            output::stderr(&format!("cronjob/{name} is not suspended"));
            return Ok(());
        }
        (true, false) | (false, true) => {}
    }
    let patch = Patch::Merge(json!({"spec": {"suspend": suspend}}));
    let patched = api::<CronJob>(client)
        .patch(name, &cluster::patch_params(), &patch)
        .await;
    patched.map_err(|error| object(client, "cronjob", name).explain(error))?;
    output::stderr(&match suspend {
        true => format!("cronjob/{name} is suspended; runs that are running continue"),
        false => format!("cronjob/{name} is resumed"),
    });
    Ok(())
}

/// What the pods of a schedule do with other runs that are running.
fn overlap(schedule: &CronJob) -> Overlap {
    let pod = schedule.spec.job_template.spec.as_ref();
    let pod = pod.and_then(|job| job.template.spec.as_ref());
    let containers = pod.iter().flat_map(|pod| &pod.containers);
    let mut words = containers.flat_map(|container| container.command.iter().flatten());
    let word = words.find_map(|word| word.strip_prefix("--overlap="));
    let overlap = word.and_then(|word| Overlap::from_str(word, false).ok());
    overlap.unwrap_or(Overlap::Allow)
}

/// Says what becomes of a run that is started now, in the words of its pod.
async fn outlook(
    client: &konductor::Client,
    schedule: &CronJob,
    run: &str,
) -> Result<String, Failure> {
    let name = &schedule.name_any();
    let slot = Slot {
        pipeline: name,
        run,
        time: Timestamp::now(),
        overlap: overlap(schedule).into(),
    };
    let runs = slot::runs(client, &slot).await?;
    let look = suggested(format!("koncli status {run}"));
    let look = format!("look at it with {look}");
    match slot::decide(client, &slot, &runs, slot.time).await? {
        SlotDecision::Skip(other) | SlotDecision::Superseded(other) => {
            let message = format!(
                "run/{other} is still running, and cronjob/{name} skips a run then, so nothing was started"
            );
            Err(Failure::failed(message).help(format!(
                "wait for its end with {}, or start a run beside it with {}",
                suggested(format!("koncli wait run/{other} --for Finished")),
                suggested("koncli apply FILE --run NAME")
            )))
        }
        SlotDecision::Blocked {
            run: other,
            jobs,
            declared,
        } => Err(slot::blocked(&format!("run/{run}"), &other, jobs, declared)),
        SlotDecision::Replace(others) => {
            let others: Vec<String> = others.iter().map(|other| format!("run/{other}")).collect();
            Ok(format!(
                "it cancels {}, and creates run/{run} after that; {look}",
                others.join(" and ")
            ))
        }
        SlotDecision::Start | SlotDecision::Done(_) | SlotDecision::Count(_) => {
            Ok(format!("it creates run/{run}; {look}"))
        }
    }
}

/// Creates the CronJob's Job by hand, as `kubectl create job --from` does: its run has its name. If its pod would skip
/// the run, nothing is created.
async fn start(client: &konductor::Client, schedule: &CronJob) -> Result<(), Failure> {
    let template = &schedule.spec.job_template;
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut annotations = metadata.annotations.unwrap_or_default();
    annotations.insert(INSTANTIATE.0.to_owned(), INSTANTIATE.1.to_owned());
    let job = Job {
        metadata: ObjectMeta {
            name: Some(format!(
                "{}{}",
                prefix_by_hand(&schedule.name_any()),
                Timestamp::now().as_second()
            )),
            labels: metadata.labels,
            annotations: Some(annotations),
            owner_references: schedule.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        ..Job::default()
    };
    let outlook = outlook(client, schedule, &job.name_any()).await?;
    super::create(client, "job", &job).await?;
    output::stderr(&outlook);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_run_is_that_of_the_latest_slot_whatever_its_offset() {
        let run = |name: &str, pipeline: &str, slot: &str| -> Run {
            let run = json!({
                "apiVersion": "konductor.io/v1", "kind": "Run",
                "metadata": {"name": name, "namespace": "n", "annotations": {annotation::SLOT: slot}},
                "spec": {"pipeline": pipeline, "jobs": 1},
            });
            serde_json::from_value(run).expect("a run")
        };
        let runs = [
            run("a", "p", "2026-10-25T02:30:00+02:00"),
            run("b", "p", "2026-10-25T02:15:00+01:00"),
            run("c", "q", "2026-01-01T00:00:00+00:00"),
        ];
        let last = last_runs(&runs);
        let names: Vec<_> = last.values().map(|run| run.name_any()).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn overlap_is_read_from_the_command_of_a_schedules_pods() {
        for (word, expected) in [
            ("--overlap=skip", Overlap::Skip),
            ("--overlap=replace", Overlap::Replace),
            ("--overlap=allow", Overlap::Allow),
            ("--run", Overlap::Allow),
        ] {
            let containers = json!([{"name": "apply", "command": ["koncli", "apply", word]}]);
            let template = json!({"spec": {"template": {"spec": {"containers": containers}}}});
            let schedule: CronJob = serde_json::from_value(json!({
                "metadata": {"name": "s"},
                "spec": {"schedule": "0 * * * *", "jobTemplate": template},
            }))
            .expect("a CronJob");
            assert_eq!(overlap(&schedule), expected, "{word}");
        }
    }

    #[test]
    fn slots_are_shown_in_the_zone_of_the_schedule_and_none_while_it_is_suspended() {
        let mut schedule: CronJob = serde_json::from_value(json!({
            "metadata": {"name": "s"},
            "spec": {"schedule": "30 2 * * *", "timeZone": "Europe/Berlin", "jobTemplate": {}},
        }))
        .expect("a CronJob");
        let now = "2026-06-01T12:00:00Z".parse().expect("a time");
        let times: Vec<_> = next(&schedule, now).map(|slot| slot_time(&slot)).collect();
        assert_eq!(
            times[..2],
            ["2026-06-02T02:30:00+02:00", "2026-06-03T02:30:00+02:00"]
        );
        schedule.spec.time_zone = Some("UTC".to_owned());
        let first = next(&schedule, now).next().expect("a slot");
        assert_eq!(slot_time(&first), "2026-06-02T02:30:00Z");
        schedule.spec.suspend = Some(true);
        assert_eq!(next(&schedule, now).count(), 0);
    }
}
