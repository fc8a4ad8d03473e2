//! What became of a run: which stages failed and how, the ends of their logs, and what was not reached.

use std::collections::BTreeMap;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Participant, Run, label};
use konductor_local::runner::kubelet::LogOptions;
use konductor_operator::standing::State;
use konductor_operator::{RunObjects, explain};
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::exit::{FAILED, Failure};
use crate::local::{Local, NAMESPACE};
use crate::view::{self, run_ended, title, view};
use crate::{output, read};

/// How many lines of a failed stage's log are shown at the end.
const LOG_TAIL: usize = 20;
/// So many failed indexes of a Job are shown; the others are counted.
const INDEXES_SHOWN: usize = 5;

/// Prints how a run has ended, after so many seconds.
pub(super) async fn print(
    local: &Local,
    run: &Run,
    objects: &RunObjects,
    seconds: f64,
) -> Result<(), Failure> {
    let name = run.name_any();
    let is_well = run_ended(run) == Some(true);
    for job in objects
        .jobs()
        .iter()
        .filter(|job| State::of(job) == State::Failed)
    {
        failure(local, job, is_well).await;
    }
    if is_well {
        let status = run.status.as_ref();
        let count = |count: u32, word: &str| match count {
            0 => String::new(),
            count => format!(", {count} {word}"),
        };
        let succeeded = status.map_or(0, |status| status.succeeded);
        let jobs = if succeeded == 1 { "Job" } else { "Jobs" };
        let skipped = count(status.map_or(0, |status| status.skipped), "skipped");
        let failed = count(
            status.map_or(0, |status| status.failed),
            "failed (allowed by may-fail or quorum)",
        );
        output::stderr(&format!(
            "run/{name} succeeded in {seconds:.1}s: {succeeded} {jobs} succeeded{skipped}{failed}"
        ));
        return Ok(());
    }
    let view = view(run, objects, &[]);
    for stage in &view.stages {
        let unreached = |state| matches!(state, State::Unreached | State::Cancelled);
        for item in stage.items.iter().filter(|item| unreached(item.state)) {
            let which = item.item.as_ref().map(|name| format!("[{name}]"));
            let which = which.unwrap_or_default();
            let (mark, word) = (item.state.mark(), item.state.word());
            output::stderr(&format!(
                "{mark} {}{which} {word}: {}",
                stage.name, item.why
            ));
        }
    }
    let message = format!("run/{name} {}: {}", view.phase.to_lowercase(), view.message);
    Err(Failure::new(FAILED, message))
}

/// Prints how a Job has failed. If the run may succeed without it, one line is enough.
async fn failure(local: &Local, job: &Participant, is_allowed: bool) {
    let api: Api<Pod> = Api::namespaced(local.client.kube().clone(), NAMESPACE);
    let of_job = format!("{}={}", label::JOB_NAME, job.name_any());
    let pods = read::list(&api, &ListParams::default().labels(&of_job)).await;
    let mut pods = pods.unwrap_or_default();
    pods.sort_by_key(|pod| pod.creation_timestamp().map(|time| time.0));
    let failed = last_failures(&pods);
    let (mark, title) = (State::Failed.mark(), title(job));
    let timeout = timeout(job);
    if failed.is_empty() || timeout.is_some() {
        let why = match &timeout {
            Some(after) => Some(format!("it ran longer than its timeout of {after}")),
            None => Some(view::item(job, &RunObjects::default()).why),
        };
        let why = why.filter(|why| !why.is_empty());
        let why = why.map_or_else(String::new, |why| format!(": {why}"));
        output::stderr(&format!("{mark} {title} failed{why}"));
    }
    for pod in failed.iter().take(INDEXES_SHOWN) {
        let why = explain::pod_failure(job, pod).filter(|_| timeout.is_none());
        if timeout.is_none() {
            let title = view::of_pod(&title, &job.item_names(), pod);
            let why = why.as_ref().map(|why| format!(": {why}"));
            output::stderr(&format!("{mark} {title} failed{}", why.unwrap_or_default()));
        }
        if !is_allowed {
            log_tail(local, pod, &why.unwrap_or_default()).await;
        }
    }
    if failed.len() > INDEXES_SHOWN && timeout.is_none() {
        let more = failed.len() - INDEXES_SHOWN;
        output::stderr(&format!("{mark} {title}: {more} more indexes failed"));
    }
}

/// The last pod that failed; of an Indexed Job, that of each index that never succeeded.
fn last_failures(pods: &[Pod]) -> Vec<&Pod> {
    let mut by_index: BTreeMap<Option<u32>, Option<&Pod>> = BTreeMap::new();
    for pod in pods {
        let index = explain::index(pod);
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        match phase {
            Some("Failed") => drop(by_index.insert(index, Some(pod))),
            Some("Succeeded") => drop(by_index.insert(index, None)),
            _ => {}
        }
    }
    by_index.into_values().flatten().collect()
}

/// How long a Job may have taken that took longer.
fn timeout(job: &Participant) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.iter().flatten();
    let mut failed = conditions.filter(|condition| condition.type_ == "Failed");
    let is_timeout =
        failed.any(|condition| condition.reason.as_deref() == Some("DeadlineExceeded"));
    let seconds = job.spec.as_ref()?.active_deadline_seconds?;
    is_timeout.then(|| match seconds {
        all if all % 3_600 == 0 => format!("{}h", all / 3_600),
        all if all % 60 == 0 => format!("{}m", all / 60),
        all => format!("{all}s"),
    })
}

/// Prints the end of a pod's log, unless it is a single line that `why` has quoted.
async fn log_tail(local: &Local, pod: &Pod, why: &str) {
    let uid = pod.metadata.uid.clone().unwrap_or_default();
    let options = LogOptions {
        tail_lines: Some(LOG_TAIL),
        ..LogOptions::default()
    };
    let container = explain::failed_container(pod).map(|container| container.name.as_str());
    let Some(log) = local.logs.read(&uid, container.unwrap_or("main"), options) else {
        return;
    };
    let chunks: Vec<_> = log.collect().await;
    let bytes: Vec<u8> = chunks.into_iter().flatten().flatten().collect();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<String> = text.lines().map(output::quoted_log).collect();
    match lines.as_slice() {
        [line] if why.ends_with(line.trim()) => {}
        lines => lines
            .iter()
            .for_each(|line| output::stderr(&format!("    {line}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, index: Option<u32>, phase: &str, code: i32) -> Pod {
        let annotations = match index {
            Some(index) => {
                json!({"batch.kubernetes.io/job-completion-index": index.to_string()})
            }
            None => json!({}),
        };
        let state = json!({"terminated": {"exitCode": code, "reason": "Error"}});
        let container = json!({
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": state,
        });
        serde_json::from_value(json!({
            "metadata": {"name": name, "annotations": annotations},
            "status": {"phase": phase, "containerStatuses": [container]},
        }))
        .unwrap()
    }

    #[test]
    fn of_an_indexed_job_the_index_that_failed_is_named() {
        let pods = [
            pod("good", Some(0), "Succeeded", 0),
            pod("first-try", Some(3), "Failed", 1),
            pod("last-try", Some(3), "Failed", 4),
            pod("flaky", Some(4), "Failed", 1),
            pod("flaky-again", Some(4), "Succeeded", 0),
            pod("good-too", Some(5), "Succeeded", 0),
        ];
        let failed = last_failures(&pods);
        let named: Vec<_> = failed
            .iter()
            .map(|pod| (explain::index(pod), pod.name_any()))
            .collect();
        assert_eq!(named, [(Some(3), "last-try".to_owned())]);
    }

    #[test]
    fn a_timeout_is_printed_with_its_time() {
        for (seconds, expected) in [(2, "2s"), (90, "90s"), (120, "2m"), (7_200, "2h")] {
            let job = json!({
                "metadata": {"name": "j"},
                "spec": {"activeDeadlineSeconds": seconds, "template": {}},
                "status": {"conditions": [
                    {"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
            });
            let job: Participant = serde_json::from_value(job).unwrap();
            assert_eq!(timeout(&job).as_deref(), Some(expected));
        }
    }
}
