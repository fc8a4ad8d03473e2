//! `koncli cancel`, `pause`, `resume`, `delete` and `approve`: what people decide about a run.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{
    Arrival, ArrivalOutcome, Arrivals, Barrier, BarrierPhase, Participant, Run, RunOutcome,
    arrival_name, label,
};
use konductor_operator::run_status;
use konductor_operator::standing::State;
use konductor_operator::words::Named;
use kube::api::{DeleteParams, ListParams, Patch, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{api, files, get, object, wait};
use crate::arguments::{Global, Removal};
use crate::exit::{Failure, NOT_FOUND, TIMED_OUT};
use crate::read::Stored;
use crate::suggestion::suggested;
use crate::view::{run_ended, title, waits_for_gate};
use crate::{cluster, output, read};

/// Ends a run: what has not started is cancelled, what runs is stopped, finally stages run.
pub(crate) async fn cancel(
    global: &Global,
    name: &str,
    finally: bool,
    wait_for_end: bool,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let (done, is_over) = cancelled(&client, name, finally).await?;
    output::stderr(&done);
    if wait_for_end && !is_over {
        wait::until_run_ended(&client, name, timeout).await?;
        output::stderr(&format!("run/{name} has ended"));
    }
    Ok(())
}

/// Cancels a run; returns what was done, and whether the run had been cancelled and had ended before.
pub(super) async fn cancelled(
    client: &konductor::Client,
    name: &str,
    finally: bool,
) -> Result<(String, bool), Failure> {
    let mut spec = json!({"cancel": true});
    if finally {
        spec["cancelFinally"] = true.into();
    }
    let run: Run = get(client, "run", name).await?;
    let outcome = run_status(&run).and_then(|status| status.outcome);
    if run_ended(&run).is_some() && outcome == Some(RunOutcome::Cancelled) {
        return Ok((format!("run/{name} is already cancelled"), true));
    }
    // There is nothing to cancel: it would say so later, and how it ends would not change.
    if has_only_finally(&run) && !finally {
        let done = format!(
            "the main stages of run/{name} have ended, and its finally stages run on; end them with {}",
            suggested(format!("koncli cancel {name} --finally"))
        );
        return Ok((done, false));
    }
    let was_cancelled = run.spec.cancel && (run.spec.cancel_finally || !finally);
    decide(client, run, spec).await?;
    let already = if was_cancelled { "already " } else { "" };
    Ok((format!("run/{name} is {already}being cancelled"), false))
}

/// Whether the main stages of a run have ended, and its finally stages have not.
fn has_only_finally(run: &Run) -> bool {
    let is_settled = run_status(run).is_some_and(|status| status.outcome.is_some());
    is_settled && run_ended(run).is_none()
}

/// Holds a run: nothing more starts, and what runs is suspended.
pub(crate) async fn pause(
    global: &Global,
    name: &str,
    let_running_finish: bool,
) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let done = paused(&client, name, let_running_finish).await?;
    let resume = suggested(format!("koncli resume {name}"));
    output::stderr(&format!("{done}; resume it with {resume}"));
    Ok(())
}

/// Pauses a run; returns what was done.
pub(super) async fn paused(
    client: &konductor::Client,
    name: &str,
    let_running_finish: bool,
) -> Result<String, Failure> {
    let spec = json!({"pause": true, "letRunningFinish": let_running_finish});
    let run: Run = get(client, "run", name).await?;
    if run.spec.cancel && run_ended(&run).is_none() {
        let message = format!("run/{name} is being cancelled, and can't be paused");
        return Err(Failure::failed(message).help(format!(
            "end its finally stages, too, with {}",
            suggested(format!("koncli cancel {name} --finally"))
        )));
    }
    if has_only_finally(&run) {
        let message = format!(
            "the main stages of run/{name} have ended, and its finally stages can't be paused"
        );
        return Err(Failure::failed(message).help(format!(
            "end them with {}",
            suggested(format!("koncli cancel {name} --finally"))
        )));
    }
    let is_paused = run.spec.pause && run.spec.let_running_finish == let_running_finish;
    decide(client, run, spec).await?;
    let already = if is_paused { "already " } else { "" };
    Ok(format!("run/{name} is {already}paused"))
}

/// Resumes a run.
pub(crate) async fn resume(global: &Global, name: &str) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    output::stderr(&resumed(&client, name).await?);
    // To resume a run needs no right to look at its Jobs.
    let of_run = ListParams::default().labels(&format!("{}={name}", label::RUN));
    let jobs = read::list(&api::<Participant>(&client), &of_run).await;
    let jobs = jobs.unwrap_or_default();
    let stopped = |job: &&Participant| State::of(job) == State::Suspended && !job.may_start();
    for job in jobs.iter().filter(stopped) {
        output::stderr(&format!(
            "stage {} was suspended by somebody else; the operator starts it again within 10s",
            title(job)
        ));
    }
    Ok(())
}

/// Resumes a run; returns what was done.
pub(super) async fn resumed(client: &konductor::Client, name: &str) -> Result<String, Failure> {
    let run: Run = get(client, "run", name).await?;
    let was_paused = run.spec.is_paused();
    decide(client, run, json!({"pause": false})).await?;
    Ok(match was_paused {
        true => format!("run/{name} resumed"),
        false => format!("run/{name} is not paused"),
    })
}

/// Changes a run that has not ended.
async fn decide(
    client: &konductor::Client,
    run: Run,
    spec: serde_json::Value,
) -> Result<Run, Failure> {
    let name = &run.name_any();
    if run_ended(&run).is_some() {
        let phase = run.status.unwrap_or_default().phase;
        return Err(Failure::failed(format!(
            "run/{name} has ended already: it is {phase:?}"
        )));
    }
    let patch = Patch::Merge(json!({ "spec": spec }));
    let patched = api::<Run>(client)
        .patch(name, &cluster::patch_params(), &patch)
        .await;
    patched.map_err(|error| object(client, "run", name).explain(error).into())
}

/// Deletes a run and all that it owns: its Jobs with their pods, its gates and barriers.
pub(crate) async fn delete(global: &Global, name: &str, removal: &Removal) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let run: Run = match get(&client, "run", name).await {
        Err(failure) if failure.code == NOT_FOUND && is_schedule(&client, name).await => {
            return Err(failure.help(format!(
                "{name} is a schedule: {} deletes it with all it needs, and its runs stay",
                suggested(format!("kubectl delete cronjob {name}"))
            )));
        }
        run => run?,
    };
    if removal.files {
        // Where they are is known by the Jobs, which are deleted with the run.
        let of_run = ListParams::default().labels(&format!("{}={name}", label::RUN));
        let jobs = read::list(&api::<Participant>(&client), &of_run).await?;
        let deleted = files::delete(&jobs, client.namespace(), &run).await?;
        output::stderr(&format!("run/{name}: {deleted} files deleted"));
    }
    let uid = run.metadata.uid.unwrap_or_default();
    let runs: Api<Run> = api(&client);
    let params = match removal.wait {
        true => DeleteParams::foreground(),
        false => DeleteParams::background(),
    };
    let deleted = runs.delete(name, &params).await;
    deleted.map_err(|error| object(&client, "run", name).explain(error))?;
    if removal.wait {
        let of_run = watcher::Config::default().labels(&format!("{}={name}", label::RUN));
        let gone = async {
            await_condition(runs, name, conditions::is_deleted(&uid)).await?;
            // Another run may have its name from now on, and must not meet what is left of it.
            none_left(api::<Job>(&client), of_run.clone()).await;
            none_left(api::<Pod>(&client), of_run).await;
            Ok::<_, kube::runtime::wait::Error>(())
        };
        let gone = match removal.timeout {
            None => gone.await,
            Some(after) => match tokio::time::timeout(after, gone).await {
                Ok(gone) => gone,
                Err(_) => {
                    let message = format!("run/{name} is still being deleted");
                    return Err(Failure::new(TIMED_OUT, message).help(format!(
                        "its pods end first: {}",
                        suggested(format!("kubectl get pods -l {}={name}", label::RUN))
                    )));
                }
            },
        };
        gone.map_err(|error| Failure::failed(error.to_string()))?;
    }
    output::stderr(&format!("run/{name} deleted"));
    Ok(())
}

/// Waits until nothing is left of what a watch shows. What may not be looked at is not waited for.
async fn none_left<K>(api: Api<K>, config: watcher::Config)
where
    K: Stored,
{
    let mut events = read::watch_names(api, config);
    let (mut left, mut is_listed) = (BTreeSet::new(), false);
    while !is_listed || !left.is_empty() {
        match events.next().await {
            Some(Ok(Event::Init)) => {
                left.clear();
                is_listed = false;
            }
            Some(Ok(Event::InitApply(object) | Event::Apply(object))) => left.extend(object.uid()),
            Some(Ok(Event::InitDone)) => is_listed = true,
            Some(Ok(Event::Delete(object))) => {
                left.remove(&object.uid().unwrap_or_default());
            }
            Some(Err(watcher::Error::InitialListFailed(kube::Error::Api(status))))
                if status.code == 403 =>
            {
                return;
            }
            Some(Err(_)) | None => {}
        }
    }
}

/// Whether a pipeline of that name is run by a CronJob.
async fn is_schedule(client: &konductor::Client, name: &str) -> bool {
    let cron_job = api::<CronJob>(client).get_opt(name).await;
    let cron_job = cron_job.ok().flatten();
    cron_job.is_some_and(|cron_job| {
        cron_job
            .labels()
            .get(label::PIPELINE)
            .is_some_and(|of| of == name)
    })
}

/// Arrives at an approval, as oneself.
pub(crate) async fn approve(global: &Global, name: &str, deny: bool) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    output::stderr(&approved(&client, name, deny).await?);
    Ok(())
}

/// Answers an approval; returns what was done.
pub(super) async fn approved(
    client: &konductor::Client,
    name: &str,
    deny: bool,
) -> Result<String, Failure> {
    let barrier = approval(client, name).await?;
    let name = &barrier.name_any();
    if barrier.spec.arrivals != Arrivals::Verified {
        let message = format!("barrier/{name} is not an approval: anyone may arrive at it");
        let arrive = suggested(format!("koncli barrier arrive {name}"));
        return Err(Failure::failed(message).help(format!("arrive with {arrive}")));
    }
    let outcome = match deny {
        true => ArrivalOutcome::Failed,
        false => ArrivalOutcome::Succeeded,
    };
    let user = user(client).await?;
    let word = if deny { "denied" } else { "approved" };
    let later = counts_later(&barrier);
    if has_arrived(client, &barrier, &user, outcome).await {
        return Ok(format!(
            "barrier/{name} was already {word} by {user}{later}"
        ));
    }
    let phase = barrier.status.as_ref().map(|status| status.phase);
    match (phase.unwrap_or(BarrierPhase::Waiting), deny) {
        (BarrierPhase::Waiting, _) => {}
        (BarrierPhase::Open, false) => {
            return Ok(format!("barrier/{name} was already approved by others"));
        }
        (phase, _) => {
            let message = format!("barrier/{name} has already ended: it is {phase:?}");
            let look = suggested(format!("koncli barrier get {name} -o wide"));
            return Err(Failure::failed(message).help(format!("look at {look}")));
        }
    }
    let client = client.clone().timeout(APPROVES_WITHIN);
    client.approve_barrier(name, &user, outcome).await?;
    Ok(format!("barrier/{name} {word} by {user}{later}"))
}

/// What to add to an answer that does not count yet; nothing if it counts at once.
fn counts_later(barrier: &Barrier) -> String {
    let Some(gate) = barrier
        .spec
        .gate
        .as_deref()
        .filter(|_| waits_for_gate(barrier))
    else {
        return String::new();
    };
    match Named::barrier(&barrier.metadata, barrier) {
        Some(Named::Approval { .. }) => {
            "; it counts once the approval's `after` is satisfied and its `when` is true".to_owned()
        }
        _ => format!("; it counts once gate/{gate} is open"),
    }
}

/// Finds an approval by the name of its Barrier, or by its name in the pipeline, if only one run has it.
async fn approval(client: &konductor::Client, name: &str) -> Result<Barrier, Failure> {
    let missing = match get(client, "barrier", name).await {
        Err(failure) if failure.code == NOT_FOUND => failure,
        barrier => return barrier,
    };
    // To approve needs no right to list.
    let all = read::list(&api::<Barrier>(client), &ListParams::default()).await;
    let is_named = |barrier: &Barrier| match Named::barrier(&barrier.metadata, barrier) {
        Some(Named::Approval { approval, .. }) => approval == name,
        _ => false,
    };
    let all = all.unwrap_or_default().into_iter();
    let (mut open, mut ended): (Vec<Barrier>, Vec<Barrier>) = all
        .filter(is_named)
        .partition(|barrier| State::of_barrier(barrier) == State::Waiting);
    let named = match open.is_empty() {
        true => &mut ended,
        false => &mut open,
    };
    match named.len() {
        0 => Err(missing),
        1 => Ok(named.remove(0)),
        runs => {
            let names: Vec<String> = named.iter().map(ResourceExt::name_any).collect();
            let message = format!("{runs} runs have an approval {name}: {}", names.join(", "));
            Err(Failure::usage(message).help("name one of these barriers"))
        }
    }
}

/// Whether somebody has said the same before. To approve needs no right to look at it.
async fn has_arrived(
    client: &konductor::Client,
    barrier: &Barrier,
    user: &str,
    outcome: ArrivalOutcome,
) -> bool {
    let uid = barrier.metadata.uid.as_deref().unwrap_or_default();
    let arrival = arrival_name(&barrier.name_any(), uid, user);
    let arrival = api::<Arrival>(client).get_opt(&arrival).await;
    let arrival = arrival.ok().flatten();
    arrival.is_some_and(|arrival| arrival.spec.outcome == outcome && arrival.spec.verified)
}

/// How long an API server that goes away in between is waited for.
const APPROVES_WITHIN: Duration = Duration::from_secs(30);

/// Who this is, in the API server's words; a cluster on a laptop knows no users.
async fn user(client: &konductor::Client) -> Result<String, Failure> {
    let reviews: Api<SelfSubjectReview> = Api::all(client.kube().clone());
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    match review {
        Ok(review) => {
            let info = review.status.and_then(|status| status.user_info);
            let extra = info.as_ref().and_then(|info| info.extra.as_ref());
            if extra.is_some_and(|extra| extra.contains_key(konductor_local::NO_USERS)) {
                return Ok(user_here());
            }
            let name = info.and_then(|info| info.username);
            name.ok_or_else(|| Failure::failed("the API server does not say who you are"))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(user_here()),
        Err(error) => Err(error.into()),
    }
}

/// The user of this machine.
fn user_here() -> String {
    let user = std::env::var("USER").ok().filter(|name| !name.is_empty());
    user.unwrap_or_else(|| "somebody".to_owned())
}
