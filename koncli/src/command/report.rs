//! `koncli report`: a run as one HTML file.

use std::collections::BTreeMap;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Run, label};
use konductor_operator::standing::State;
use konductor_web::Report;
use konductor_web::model::{Log, Place};
use kube::ResourceExt;
use kube::api::ListParams;

use super::objects::{Meant, objects_of};
use super::ui::{self, LOG_LINES, Look, log_end};
use super::{api, get};
use crate::arguments::Global;
use crate::exit::Failure;
use crate::{cluster, output, read};

/// How many pods have the end of their log in a report.
const LOGS: usize = 60;
/// How many logs are read at once.
const AT_ONCE: usize = 8;

/// Writes a run with the ends of its logs to stdout.
pub(crate) async fn report(global: &Global, name: &str) -> Result<(), Failure> {
    let client = cluster::connect(global).await?;
    let name = name.strip_prefix("run/").unwrap_or(name);
    let run: Run = get(&client, "run", name).await?;
    let objects = objects_of(&client, name).await?;
    // To look at a run needs no right on its pods.
    let of_run = ListParams::default().labels(&format!("{}={name}", label::RUN));
    let pods = read::list(&api::<Pod>(&client), &of_run).await;
    let pods = pods.unwrap_or_default().into_iter().map(Into::into);
    let look = Look::new(run, objects, pods.collect());
    let (logs, logs_left_out) = logs(&client, &look).await;
    let document = konductor_web::report(&Report {
        place: Place {
            cluster: ui::name(global),
            namespace: client.namespace().to_owned(),
        },
        run: ui::run_of_report(&look),
        logs,
        logs_left_out,
        made: Timestamp::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    });
    output::stdout_exact(&document);
    Ok(())
}

/// The ends of the logs, those of failed stages first, and how many are left out.
async fn logs(client: &konductor::Client, look: &Look) -> (Vec<Log>, usize) {
    let jobs = look.objects.jobs().iter();
    let states: BTreeMap<&str, State> = jobs.map(|job| (job.stage(), State::of(job))).fold(
        BTreeMap::new(),
        |mut states, (stage, state)| {
            let least = states.entry(stage).or_insert(state);
            *least = (*least).min(state);
            states
        },
    );
    let mut stages: Vec<(&str, State)> = states.into_iter().collect();
    stages.sort_by_key(|(_, state)| *state);
    let pods = stages
        .iter()
        .flat_map(|(stage, _)| look.pods_of(Meant::of(stage)));
    let pods: Vec<_> = pods.collect();
    let left_out = pods.len().saturating_sub(LOGS);
    let read = pods.into_iter().take(LOGS).map(|(title, pod)| async move {
        let text = log_end(client, &pod.name_any(), LOG_LINES).await;
        let title = format!("{title} · {}", pod.name_any());
        Log { title, text }
    });
    let logs: Vec<Log> = futures::stream::iter(read)
        .buffered(AT_ONCE)
        .collect()
        .await;
    let logs = logs.into_iter().filter(|log| !log.text.is_empty());
    (logs.collect(), left_out)
}
