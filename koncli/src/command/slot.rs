//! `koncli apply --slot`: what the pods of a schedule do.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::condition::reason::{RUN_REPLACED, SLOT_BLOCKED, SLOT_SKIPPED};
use konductor_api::{Run, annotation, label};
use konductor_compiler::Manifests;
use konductor_operator::slot::{self, Slot, SlotDecision};
use kube::ResourceExt;
use kube::api::{ListParams, ObjectMeta, Patch};
use serde_json::json;

use super::{api, get, nothing, object};
use crate::arguments::{Global, Overlap, Pipeline};
use crate::exit::{Failure, NOT_FOUND};
use crate::load::Aim;
use crate::suggestion::suggested;
use crate::view::run_ended;
use crate::{apply, cluster, load, output, read};

/// The annotation by which the CronJob controller says which slot a Job is for.
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// Creates the run of a slot, unless it was run before, or another run is running and `overlap` is not
/// `allow`. Without an `overlap`, what the file says holds.
pub(crate) async fn apply(
    global: &Global,
    pipeline: &Pipeline,
    slot: &str,
    overlap: Option<Overlap>,
) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let aim = aim(&client, slot).await?;
    let (Aim::Slot(time) | Aim::At(_, time)) = aim else {
        return Err(nothing());
    };
    let compiled = load::compiled(pipeline, Some(client.namespace().to_owned()), aim)?;
    let manifests = compiled.manifests.ok_or_else(nothing)?;
    let overlap = overlap.map_or_else(|| declared(&manifests), slot::Overlap::from);
    let outcome = settle(&client, &manifests, time, overlap, Timestamp::now).await?;
    output::stdout(&format!("{outcome}\n"));
    Ok(())
}

/// What the pipeline's schedule says; without a schedule runs may overlap.
fn declared(manifests: &Manifests) -> slot::Overlap {
    match manifests.overlap() {
        None | Some(konductor_compiler::Overlap::Allow) => slot::Overlap::Allow,
        Some(konductor_compiler::Overlap::Skip) => slot::Overlap::Skip,
        Some(konductor_compiler::Overlap::Replace) => slot::Overlap::Replace,
    }
}

impl From<Overlap> for slot::Overlap {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Allow => Self::Allow,
            Overlap::Skip => Self::Skip,
            Overlap::Replace => Self::Replace,
        }
    }
}

/// Reads what names a slot. A Job that nobody has scheduled was made by hand from the CronJob: its run
/// has its name, and its time.
async fn aim(client: &konductor::Client, slot: &str) -> Result<Aim, Failure> {
    if let Ok(minutes) = slot.parse::<i64>() {
        let time = minutes.checked_mul(60).map(Timestamp::from_second);
        let time = time.and_then(Result::ok).filter(|_| minutes >= 0);
        return time.map(Aim::Slot).ok_or_else(|| {
            Failure::usage(format!("--slot {slot}: not a time"))
                .help("write minutes since 1970, or a time such as 2026-03-29T02:00:00Z")
        });
    }
    if let Ok(time) = slot.parse::<Timestamp>() {
        if time.as_nanosecond() % 60_000_000_000 != 0 {
            return Err(Failure::usage(format!(
                "--slot {slot}: a slot is a whole minute"
            )));
        }
        return Ok(Aim::Slot(time));
    }
    let job: Job = get(client, "job", slot).await.map_err(|failure| {
        if failure.code != NOT_FOUND {
            return failure;
        }
        failure.help(
            "a slot is a time such as 2026-03-29T02:00:00Z, minutes since 1970, or the name of a \
             CronJob's Job",
        )
    })?;
    let scheduled = job.annotations().get(SCHEDULED);
    if let Some(time) = scheduled.and_then(|time| time.parse().ok()) {
        return Ok(Aim::Slot(time));
    }
    let created = job.creation_timestamp().map(|time| time.0);
    Ok(Aim::At(
        slot.to_owned(),
        created.unwrap_or(Timestamp::UNIX_EPOCH),
    ))
}

/// Decides about a slot and does it, until there is nothing left to do; returns what became of it.
async fn settle(
    client: &konductor::Client,
    manifests: &Manifests,
    time: Timestamp,
    overlap: slot::Overlap,
    now: impl Fn() -> Timestamp,
) -> Result<String, Failure> {
    let slot = Slot {
        pipeline: manifests.pipeline_name(),
        run: manifests.run_name(),
        time,
        overlap,
    };
    let own = manifests.run();
    let shown = match own.annotations().get(annotation::SLOT) {
        Some(shown) => format!("slot {shown}"),
        None => format!("run/{}", slot.run),
    };
    loop {
        let runs = runs(client, &slot).await?;
        match decide(client, &slot, &runs, now()).await? {
            // It was counted.
            SlotDecision::Count(_) => {}
            SlotDecision::Start => {
                let count = manifests.objects().count();
                let tally = apply::Tally::of(format!("run/{}", slot.run), count);
                let count = |kind: &str, name: &str, applied| tally.count(0, kind, name, applied);
                apply::apply(client, manifests, false, count).await?;
                return Ok(format!("{shown}: run/{}: {tally}", slot.run));
            }
            SlotDecision::Done(phase) => {
                return Ok(format!(
                    "{shown}: it was run already; run/{} is {phase:?}",
                    slot.run
                ));
            }
            SlotDecision::Skip(run) => {
                let note = format!("{shown} is skipped: run/{run} is still running");
                report(client, &slot, SLOT_SKIPPED, &note, now()).await;
                return Ok(note);
            }
            SlotDecision::Superseded(run) => {
                let note =
                    format!("{shown} is skipped: run/{run}, of a later slot, is still running");
                report(client, &slot, SLOT_SKIPPED, &note, now()).await;
                return Ok(note);
            }
            SlotDecision::Replace(names) => {
                for name in names.iter().filter(|name| !is_cancelled(&runs, name)) {
                    cancel(client, name).await?;
                    let note = format!("{shown} replaces run/{name}");
                    output::stderr(&format!("{note}: waiting for its end"));
                    report(client, &slot, RUN_REPLACED, &note, now()).await;
                }
                for name in &names {
                    ended(client, name).await?;
                }
            }
            SlotDecision::Blocked {
                run,
                jobs,
                declared,
            } => {
                let blocked = blocked(&shown, &run, jobs, declared);
                report(client, &slot, SLOT_BLOCKED, &blocked.message, now()).await;
                return Err(blocked);
            }
        }
    }
}

/// Decides about a slot, with the Jobs counted that the decision needs.
pub(super) async fn decide(
    client: &konductor::Client,
    slot: &Slot<'_>,
    runs: &[Run],
    now: Timestamp,
) -> Result<SlotDecision, Failure> {
    let mut jobs = BTreeMap::new();
    loop {
        let run = match slot::decide(slot, runs, &jobs, now) {
            SlotDecision::Count(run) => run,
            decision => return Ok(decision),
        };
        let of_run = ListParams::default().labels(&format!("{}={run}", label::RUN));
        let run_jobs = read::list_metadata(&api::<Job>(client), &of_run).await?;
        jobs.insert(run, u32::try_from(run_jobs.len()).unwrap_or(u32::MAX));
    }
}

/// Returns the error that a run which was created in part keeps another one from starting.
pub(super) fn blocked(shown: &str, run: &str, jobs: u32, declared: u32) -> Failure {
    Failure::failed(format!(
        "{shown} can't start: run/{run} has {jobs} of its {declared} Jobs and never ends, because nobody creates \
         the others any more"
    ))
    .help(format!(
        "delete it: {}",
        suggested(format!("koncli delete {run}"))
    ))
}

/// The runs that the decision is about, read live.
pub(super) async fn runs(client: &konductor::Client, slot: &Slot<'_>) -> Result<Vec<Run>, Failure> {
    let runs = api::<Run>(client);
    if slot.overlap == slot::Overlap::Allow {
        return Ok(runs.get_opt(slot.run).await?.into_iter().collect());
    }
    let of_pipeline = format!("{}={}", label::PIPELINE, slot.pipeline);
    let of_pipeline = ListParams::default().labels(&of_pipeline);
    Ok(read::list(&runs, &of_pipeline).await?)
}

fn is_cancelled(runs: &[Run], name: &str) -> bool {
    let run = runs.iter().find(|run| run.name_any() == name);
    run.is_some_and(|run| run.spec.cancel)
}

/// Cancels a run; that it is gone is as good.
async fn cancel(client: &konductor::Client, name: &str) -> Result<(), Failure> {
    let patch = Patch::Merge(json!({"spec": {"cancel": true}}));
    let patched = api::<Run>(client)
        .patch(name, &cluster::patch_params(), &patch)
        .await;
    match patched {
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(object(client, "run", name).explain(error).into()),
        Ok(_) => Ok(()),
    }
}

/// Waits until a run has ended, finally stages too, and so holds nothing any more.
async fn ended(client: &konductor::Client, name: &str) -> Result<(), Failure> {
    let verdict = |run: &Run| run_ended(run).map(|_| Ok(()));
    let client = client.clone().fail_if_missing();
    match client.wait_until("run", name, None, verdict).await {
        Ok(()) | Err(konductor::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Reports what became of a slot where people look for it: in an Event of the CronJob. What is reported here
/// is on stdout too, so nothing depends on it.
async fn report(
    client: &konductor::Client,
    slot: &Slot<'_>,
    reason: &str,
    note: &str,
    now: Timestamp,
) {
    let Ok(Some(cron_job)) = api::<CronJob>(client).get_opt(slot.pipeline).await else {
        return;
    };
    let event = Event {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-", slot.pipeline)),
            ..ObjectMeta::default()
        },
        action: Some("Apply".to_owned()),
        event_time: Some(MicroTime(now)),
        note: Some(note.to_owned()),
        reason: Some(reason.to_owned()),
        regarding: Some(ObjectReference {
            api_version: Some("batch/v1".to_owned()),
            kind: Some("CronJob".to_owned()),
            name: Some(cron_job.name_any()),
            namespace: cron_job.namespace(),
            uid: cron_job.uid(),
            ..ObjectReference::default()
        }),
        reporting_controller: Some("konductor.io/koncli".to_owned()),
        reporting_instance: Some(cluster::holder(None)),
        type_: Some(
            if reason == SLOT_BLOCKED {
                "Warning"
            } else {
                "Normal"
            }
            .to_owned(),
        ),
        ..Event::default()
    };
    let _ = api::<Event>(client)
        .create(&cluster::post_params(), &event)
        .await;
}
