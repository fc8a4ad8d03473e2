//! Watching a run until it has ended, for `koncli run` and `koncli status --watch`.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, Run, label};
use konductor_operator::RunObjects;
use kube::runtime::watcher::{self, Event};
use tokio::time::Instant;

use super::objects::objects_of;
use crate::exit::{Failure, NOT_FOUND};
use crate::progress::Progress;
use crate::read;
use crate::view::{run_ended, view};

/// How often what is around a run is looked up while much happens: as often as people can read.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often the times of a live view move on.
const TICK: Duration = Duration::from_secs(1);

/// How often it is looked up why stages are pending: not all of the causes are events of a watch.
const LOOK_WHILE_PENDING: Duration = Duration::from_secs(5);

/// When what is around a run is looked up.
struct Looks {
    next: Option<Instant>,
    last: Option<Instant>,
    /// How long it takes from one to the next at least. In a pipe only what is pending for long is worth a line.
    pause: Duration,
}

impl Looks {
    fn due(&self) -> Instant {
        self.next.unwrap_or_else(Instant::now)
    }

    fn after_a_change(&mut self) {
        let now = Instant::now();
        let due = match (self.last, self.pause) {
            (Some(last), pause) => now.max(last + pause),
            (None, LOOK_EVERY) => now,
            (None, pause) => now + pause,
        };
        self.next = Some(self.next.map_or(due, |next| next.min(due)));
    }
}

/// Shows a run until it has ended; returns how it ended, and what is around it. While nothing happens and
/// nothing is pending, nothing is asked.
///
/// # Errors
/// If the run is deleted meanwhile, or may not be looked at.
pub(crate) async fn until_ended(
    client: &konductor::Client,
    name: &str,
    order: &[String],
    progress: &Progress,
) -> Result<(Run, RunObjects), Failure> {
    let (kube, namespace) = (client.kube(), client.namespace());
    let of_run = watcher::Config::default().labels(&format!("{}={name}", label::RUN));
    let itself = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut pods = read::watch::<Pod>(kube.clone(), namespace, of_run.clone());
    let mut jobs = read::watch::<Participant>(kube.clone(), namespace, of_run);
    let mut runs = read::watch::<Run>(kube.clone(), namespace, itself);
    let mut last: Option<Run> = None;
    let mut looks = Looks {
        next: None,
        last: None,
        pause: match progress.is_live() {
            true => LOOK_EVERY,
            false => LOOK_WHILE_PENDING,
        },
    };
    let mut tick = Instant::now() + TICK;
    loop {
        tokio::select! {
            biased;
            event = jobs.next() => {
                if let Some(Ok(Event::Apply(job) | Event::InitApply(job))) = event {
                    progress.job(&job);
                    looks.after_a_change();
                }
            }
            event = runs.next() => match event {
                Some(Ok(Event::Apply(run) | Event::InitApply(run))) => {
                    last = Some(run);
                    looks.after_a_change();
                }
                Some(Ok(Event::Delete(_))) => {
                    let message = format!("run/{name} was deleted");
                    return Err(Failure::new(NOT_FOUND, message));
                }
                _ => {}
            },
            // To follow a run needs no right on its pods.
            event = pods.next() => if let Some(Ok(_)) = event {
                looks.after_a_change();
            },
            () = tokio::time::sleep_until(tick), if progress.is_live() => {
                progress.tick();
                tick = Instant::now() + TICK;
            }
            () = tokio::time::sleep_until(looks.due()), if looks.next.is_some() => {
                looks.last = Some(Instant::now());
                let is_pending = match &last {
                    Some(run) => progress.view(&view(run, &objects_of(client, name).await?, order)),
                    None => false,
                };
                looks.next = is_pending.then(|| Instant::now() + LOOK_WHILE_PENDING);
            }
        }
        if let Some(run) = last.take_if(|run| run_ended(run).is_some()) {
            let objects = objects_of(client, name).await?;
            objects.jobs().iter().for_each(|job| progress.job(job));
            progress.finish();
            return Ok((run, objects));
        }
    }
}
