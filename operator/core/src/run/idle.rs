//! Jobs of a Run that were started, and got no pod. Who refuses the pods, such as a quota or Pod Security, reports it
//! in an Event, which the operator may not read; so the Run says where to look.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::{Participant, RunStatus, job_ended};

use super::view::View;
use crate::limits::NO_POD_AFTER;
use crate::outcome::job_end;
use crate::{Decision, deadline};

/// What a Run says of them, if there are some; looks again when it is time for it.
pub(super) fn without_pods(
    view: &View<'_>,
    now: Timestamp,
    decision: &mut Decision<RunStatus>,
) -> Option<String> {
    let mut idle: Vec<&Participant> = Vec::new();
    for job in view.present() {
        let Some(since) = waits_for_a_pod(job) else {
            continue;
        };
        match deadline::passes(since, NO_POD_AFTER).filter(|due| now < *due) {
            Some(due) => decision.wake_at(due),
            None => idle.push(job),
        }
    }
    idle.sort_by_key(|job| &job.metadata.name);
    let first = idle.first()?;
    let (stage, name) = (first.stage(), first.name());
    let others = match idle.len() {
        1 => String::new(),
        2 => ", and 1 more Job has none".to_owned(),
        more => format!(", and {} more Jobs have none", more - 1),
    };
    Some(format!(
        "stage {stage} has no pod{others}: `kubectl describe job {name}` shows who refuses it"
    ))
}

/// Since when a started Job has had no pod at all; `None` if it has one, had one, or was not started.
fn waits_for_a_pod(job: &Participant) -> Option<&Time> {
    if job.is_suspended() || job_end(job).is_some() || job_ended(job).is_some() {
        return None;
    }
    let status = job.status.as_ref()?;
    let counts = [
        status.active,
        status.ready,
        status.terminating,
        status.succeeded,
        status.failed,
    ];
    let has_pods = counts.into_iter().flatten().any(|count| count > 0);
    status.start_time.as_ref().filter(|_| !has_pods)
}
