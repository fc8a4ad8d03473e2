//! Watching a run until it has ended, for `koncli run` and `koncli status --watch`.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Run, label};
use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;

use super::status::around;
use crate::exit::{Failure, NOT_FOUND};
use crate::progress::Progress;
use crate::read;
use crate::view::{Around, run_ended, view};

/// How often what is around a run is looked up while much happens: as often as people can read.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Shows a run until it has ended; returns how it ended, and what is around it. While nothing
/// happens, nothing is asked.
///
/// # Errors
/// Where the run is deleted meanwhile, or may not be looked at.
pub(crate) async fn until_ended(
    client: &konductor::Client,
    name: &str,
    order: &[String],
    progress: &Progress,
) -> Result<(Run, Around), Failure> {
    let (kube, namespace) = (client.kube(), client.namespace());
    let of_run = watcher::Config::default().labels(&format!("{}={name}", label::RUN));
    let itself = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut jobs = read::watch::<Job>(kube.clone(), namespace, of_run);
    let mut runs = read::watch::<Run>(kube.clone(), namespace, itself);
    let mut last: Option<Run> = None;
    let mut shown = true;
    let mut next_look = Instant::now();
    loop {
        tokio::select! {
            biased;
            event = jobs.next() => {
                if let Some(Ok(Event::Apply(job) | Event::InitApply(job))) = event {
                    progress.job(&job);
                    shown = false;
                }
            }
            event = runs.next() => match event {
                Some(Ok(Event::Apply(run) | Event::InitApply(run))) => {
                    last = Some(run);
                    shown = false;
                }
                Some(Ok(Event::Delete(_))) => {
                    let message = format!("run/{name} was deleted");
                    return Err(Failure::new(NOT_FOUND, message));
                }
                _ => {}
            },
            () = tokio::time::sleep_until(next_look), if !shown && progress.is_live() => {
                if let Some(run) = &last {
                    progress.view(&view(run, &around(client, name).await?, order));
                }
                shown = true;
                next_look = Instant::now() + LOOK_EVERY;
            }
        }
        if let Some(run) = last.take_if(|run| run_ended(run).is_some()) {
            let around = around(client, name).await?;
            around.jobs.iter().for_each(|job| progress.job(job));
            progress.finish();
            return Ok((run, around));
        }
    }
}
