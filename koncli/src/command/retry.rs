//! `koncli retry`: recreates what failed, and everything after it.
//!
//! Deleting comes before making, because names stay; so what is made is stored first. Whoever runs the
//! command again after a crash finishes what is stored.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Barrier, Gate, Participant, Run, label};
use konductor_operator::retry::{self, Begin, Refused, Retry, kept};
use kube::api::{DeleteParams, ListParams, Patch, Preconditions};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::json;

use super::objects::{Meant, none_such};
use super::{api, get};
use crate::arguments::Global;
use crate::exit::Failure;
use crate::journal::{Journal, Recreated, journal};
use crate::read::Stored;
use crate::suggestion::suggested;
use crate::view::run_ended;
use crate::{cluster, output, read};

/// How many requests are under way at once.
const REQUESTS_AT_ONCE: usize = 32;

/// Begins the next attempt of a run: at `from`, or at whatever failed.
pub(crate) async fn retry(
    global: &Global,
    name: &str,
    from: Option<&str>,
) -> Result<konductor::Client, Failure> {
    let client = cluster::connect(global).await?;
    retried(&client, name, from, output::stderr).await?;
    Ok(client)
}

/// The same with a client; `say` gets what is done, line by line.
pub(super) async fn retried(
    client: &konductor::Client,
    name: &str,
    from: Option<&str>,
    mut say: impl FnMut(&str),
) -> Result<(), Failure> {
    loop {
        let run: Run = get(client, "run", name).await?;
        if let Some(begun) = journal(&run)? {
            let attempt = begun.attempt;
            say(&format!(
                "run/{name}: its retry, attempt {attempt}, was begun before, and is finished now"
            ));
            let objects = begun.read(client).await?;
            finish(client, run, &begun, objects).await?;
            return Ok(());
        }
        let plan = plan(client, &run, from).await?;
        let still_bad = Vec::from_iter(plan.still_bad.clone());
        let attempt = plan.attempt;
        let count = match plan.jobs.len() {
            1 => "1 Job".to_owned(),
            more => format!("{more} Jobs"),
        };
        let objects = objects(plan);
        let written = Journal::write(client, &run, attempt, objects.clone()).await?;
        // Somebody was quicker: what is to be done is another thing now.
        let Some((begun, run)) = written else {
            continue;
        };
        finish(client, run, &begun, objects).await?;
        say(&format!(
            "run/{name}: attempt {attempt} started; {count} recreated"
        ));
        if !still_bad.is_empty() {
            let stages = still_bad.join(", ");
            say(&format!(
                "it will fail again because of {stages}; {} begins there, too",
                suggested(format!("koncli retry {name}"))
            ));
        }
        return Ok(());
    }
}

fn objects(plan: Retry) -> Vec<Recreated> {
    let gates = plan.gates.into_iter().map(Recreated::Gate);
    let barriers = plan.barriers.into_iter().map(Recreated::Barrier);
    let jobs = plan
        .jobs
        .into_iter()
        .map(|job| Recreated::Job(Box::new(job)));
    gates.chain(barriers).chain(jobs).collect()
}

async fn plan(client: &konductor::Client, run: &Run, from: Option<&str>) -> Result<Retry, Failure> {
    let name = run.name_any();
    let of_run = ListParams::default().labels(&format!("{}={name}", label::RUN));
    let (jobs, gates, barriers) = (
        api::<Participant>(client),
        api::<Gate>(client),
        api::<Barrier>(client),
    );
    let (jobs, gates, barriers) = tokio::try_join!(
        read::list(&jobs, &of_run),
        read::list(&gates, &of_run),
        read::list(&barriers, &of_run)
    )?;
    let jobs: Vec<_> = jobs.into_iter().map(Arc::new).collect();
    let meant = from.map(Meant::of);
    let begin = match meant {
        None => Begin::Failed,
        Some(Meant { stage, item: None }) => Begin::Stage(stage),
        Some(Meant {
            stage,
            item: Some(item),
        }) => Begin::Item { stage, item },
    };
    retry::retry(run, &jobs, &gates, &barriers, begin)
        .map_err(|refused| refusal(&name, refused, meant, &jobs))
}

/// Why there is no retry, and what else can be done.
fn refusal(
    run: &str,
    refused: Refused,
    meant: Option<Meant<'_>>,
    jobs: &[Arc<Participant>],
) -> Failure {
    let again = format!(
        "run the whole pipeline again: {}, then {}",
        suggested(format!("koncli delete {run} --wait")),
        suggested(format!("koncli apply FILE --run {run}"))
    );
    match refused {
        Refused::NotEnded => Failure::failed(format!("run/{run} has not ended yet")).help(format!(
            "{}, or {}, first",
            suggested(format!("koncli wait run/{run}")),
            suggested(format!("koncli cancel {run} --wait"))
        )),
        Refused::BeingDeleted => Failure::failed(format!("run/{run} is being deleted"))
            .help(another()),
        Refused::NothingFailed => Failure::failed(format!("run/{run} has succeeded"))
            .help("--from STAGE runs a stage again, and everything after it"),
        Refused::NoSuchStage => {
            let meant = meant.unwrap_or(Meant::of(""));
            match jobs.iter().any(|job| meant.is_of(job)) {
                true => Failure::usage(format!(
                    "the items of stage {} of run/{run} are one Indexed Job, which is retried as a whole",
                    meant.stage
                ))
                .help(format!(
                    "write --from {}; without --from only the items that failed run again",
                    meant.stage
                )),
                false => none_such(run, meant, jobs),
            }
        }
        Refused::JobsGone { gone } => Failure::failed(format!(
            "{gone} of the Jobs of run/{run} that must run again were deleted, and their manifests with \
             them"
        ))
        .help(again),
        Refused::OutputsGone { stages, from } => {
            let stages: Vec<String> = stages.into_iter().collect();
            let help = from.map_or(again, |from| {
                let retry = suggested(format!("koncli retry {run} --from {from}"));
                format!("{retry} runs it again, too")
            });
            let word = match &stages[..] {
                [_] => "stage",
                _ => "stages",
            };
            Failure::failed(format!(
                "what must run again of run/{run} reads outputs of {word} {}, whose Jobs were deleted with them",
                stages.join(", ")
            ))
            .help(help)
        }
        Refused::TooManyAttempts => Failure::failed(format!("run/{run} has been tried too often"))
            .help(another()),
    }
}

fn another() -> String {
    let apply = suggested("koncli apply FILE --run NAME");
    format!("create another run: {apply}")
}

/// Does what is stored, or what is left of it.
async fn finish(
    client: &konductor::Client,
    mut run: Run,
    begun: &Journal,
    objects: Vec<Recreated>,
) -> Result<(), Failure> {
    if run.spec.attempt < begun.attempt {
        let (mut jobs, mut gates, mut barriers) = (Vec::new(), Vec::new(), Vec::new());
        for object in &objects {
            match object {
                Recreated::Job(job) => jobs.push(&**job),
                Recreated::Gate(gate) => gates.push(gate),
                Recreated::Barrier(barrier) => barriers.push(barrier),
            }
        }
        let name = run.name_any();
        // A pod of the old Job must not meet one of the new.
        remove(
            api::<Job>(client),
            &name,
            &jobs,
            &DeleteParams::foreground(),
        )
        .await?;
        let params = DeleteParams::background();
        remove(api::<Gate>(client), &name, &gates, &params).await?;
        remove(api::<Barrier>(client), &name, &barriers, &params).await?;
        run = begin(client, run, begun, &jobs).await?;
    }
    // One that has ended had all its Jobs: those that are gone since are none of a retry's business.
    if run.spec.attempt == begun.attempt && run_ended(&run).is_none() {
        create_all(client, objects).await?;
    }
    begun.close(client, run).await
}

/// Deletes the old objects, and waits until a live read shows that they are gone. What has the same
/// name and another uid is new, and stays.
async fn remove<K>(api: Api<K>, run: &str, old: &[&K], params: &DeleteParams) -> Result<(), Failure>
where
    K: Stored,
{
    let mut left: BTreeSet<String> = old.iter().filter_map(|object| object.uid()).collect();
    let deleting = old.iter().map(|object| {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: object.uid(),
                resource_version: None,
            }),
            ..params.clone()
        };
        let (api, name) = (api.clone(), object.name_any());
        async move {
            match api.delete(&name, &params).await {
                Ok(_) => Ok(()),
                // It is gone, or another has its name.
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
                Err(error) => Err(Failure::from(error)),
            }
        }
    });
    let deleting: Vec<_> = deleting.collect();
    let deleting = futures::stream::iter(deleting).buffer_unordered(REQUESTS_AT_ONCE);
    deleting.try_collect::<()>().await?;
    let config = watcher::Config::default().labels(&format!("{}={run}", label::RUN));
    let mut events = read::watch_names(api, config);
    let mut listed = BTreeSet::new();
    let mut is_listed = false;
    while !(left.is_empty() || is_listed && left.is_disjoint(&listed)) {
        match events.next().await {
            Some(Ok(Event::Init)) => {
                listed.clear();
                is_listed = false;
            }
            Some(Ok(Event::InitApply(object))) => listed.extend(object.uid()),
            Some(Ok(Event::InitDone)) => is_listed = true,
            Some(Ok(Event::Delete(object))) => {
                let uid = object.uid().unwrap_or_default();
                left.remove(&uid);
                listed.remove(&uid);
            }
            Some(Ok(Event::Apply(_)) | Err(_)) | None => {}
        }
    }
    Ok(())
}

/// Raises the attempt, once the old objects are gone: from here on nothing of the earlier one counts.
async fn begin(
    client: &konductor::Client,
    mut run: Run,
    begun: &Journal,
    again: &[&Job],
) -> Result<Run, Failure> {
    let runs = api::<Run>(client);
    let name = run.name_any();
    let of_run = ListParams::default().labels(&format!("{}={name}", label::RUN));
    let present = read::list(&api::<Job>(client), &of_run).await?;
    // Only the Run knows how its deleted Jobs ended, and the next attempt starts with an empty status.
    let kept = kept(&run, &present, again.iter().copied());
    while run.spec.attempt < begun.attempt && journal(&run)?.as_ref() == Some(begun) {
        let patch = Patch::Merge(json!({
            "metadata": {
                "uid": run.metadata.uid,
                "resourceVersion": run.metadata.resource_version,
            },
            "spec": {
                "attempt": begun.attempt, "cancel": false, "cancelFinally": false,
                "pause": false, "letRunningFinish": false, "kept": kept,
            },
        }));
        match runs.patch(&name, &cluster::patch_params(), &patch).await {
            Ok(begun) => return Ok(begun),
            Err(kube::Error::Api(status)) if status.code == 409 => run = runs.get(&name).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(run)
}

/// Creates everything: what a Job names before the Job.
async fn create_all(client: &konductor::Client, objects: Vec<Recreated>) -> Result<(), Failure> {
    let (jobs, others): (Vec<_>, Vec<_>) = objects
        .into_iter()
        .partition(|object| matches!(object, Recreated::Job(_)));
    for objects in [others, jobs] {
        futures::stream::iter(objects)
            .map(|object| async move {
                match object {
                    Recreated::Job(job) => create(client, *job).await,
                    Recreated::Gate(gate) => create(client, gate).await,
                    Recreated::Barrier(barrier) => create(client, barrier).await,
                }
            })
            .buffer_unordered(REQUESTS_AT_ONCE)
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

async fn create<K>(client: &konductor::Client, mut object: K) -> Result<(), Failure>
where
    K: Stored + Serialize,
{
    object.meta_mut().uid = None;
    match api::<K>(client)
        .create(&cluster::post_params(), &object)
        .await
    {
        Ok(_) => Ok(()),
        // It was made before the crash, or by somebody who finishes the same.
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}
