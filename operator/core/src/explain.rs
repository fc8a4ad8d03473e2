//! Why the pods of a Job don't start, and why they failed, in words: from what the scheduler, the kubelet,
//! the Job controller and Kueue have written about them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod,
};
use konductor_api::{job_ended, label};
use serde_json::Value;

/// Characters of a last log line, or of somebody else's message, that are shown.
const MESSAGE_CHARS_MAX: usize = 240;
/// The Job controller's label and annotation on a pod of an indexed Job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// A pod that is on its way says so for a moment, and that is no reason to show.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why a Job failed: how the first of its failed pods ended, for an indexed Job with its index. `None`
/// where neither its pods nor its conditions say.
pub fn failure(job: &Job, pods: &[&Pod]) -> Option<String> {
    let mut failed: Vec<(Option<u32>, &Pod)> = pods
        .iter()
        .filter(|pod| phase(pod) == Some("Failed"))
        .map(|pod| (index(pod), *pod))
        .collect();
    // Of an index's tries, and of pods without one, the last says why there is no other.
    failed.sort_by_key(|(index, pod)| {
        let created = pod.metadata.creation_timestamp.as_ref();
        (*index, std::cmp::Reverse(created.map(|time| time.0)))
    });
    let condition = failed_condition(job);
    let of_pod = failed.iter().find_map(|(index, pod)| {
        let why = pod_failure(pod)?;
        Some(match index {
            Some(index) => format!("index {index}: {why}"),
            None => why,
        })
    });
    match condition {
        // What the pods did is no cause then: they were ended.
        Some(("DeadlineExceeded", _)) => {
            let spec = job.spec.as_ref();
            let seconds = spec.and_then(|spec| spec.active_deadline_seconds);
            Some(match seconds {
                Some(seconds) => format!("it ran longer than its timeout of {seconds}s"),
                None => "it ran longer than its timeout".to_owned(),
            })
        }
        condition => of_pod.or_else(|| condition.map(|(_, message)| cut(message))),
    }
}

fn failed_condition(job: &Job) -> Option<(&str, &str)> {
    if job_ended(job) != Some(false) {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions.iter().find(|one| one.type_ == "Failed")?;
    let reason = failed.reason.as_deref().unwrap_or_default();
    Some((reason, failed.message.as_deref().unwrap_or_default()))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn index(pod: &Pod) -> Option<u32> {
    let (labels, annotations) = (&pod.metadata.labels, &pod.metadata.annotations);
    let maps = [labels, annotations].into_iter().flatten();
    maps.filter_map(|map| map.get(INDEX)?.parse().ok()).next()
}

/// How a pod failed.
fn pod_failure(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let disrupted = conditions
        .filter(|one| one.type_ == "DisruptionTarget" && one.status == "True")
        .find_map(|one| {
            let message = one.message.as_deref().unwrap_or_default();
            Some(said("evicted", one.reason.as_deref()?, message))
        });
    if disrupted.is_some() {
        return disrupted;
    }
    if let Some(reason) = status.reason.as_deref() {
        let message = status.message.as_deref().unwrap_or_default();
        return Some(said("pod ended", reason, message));
    }
    let init = status.init_container_statuses.iter().flatten();
    let init = init.map(|one| (kind_of_init(pod, &one.name), one));
    let main = status.container_statuses.iter().flatten();
    let main = main.map(|one| ("container", one));
    let ended = init.chain(main).filter_map(|(kind, container)| {
        let ended = container.state.as_ref()?.terminated.as_ref()?;
        (ended.exit_code != 0).then(|| exit(kind, &container.name, ended))
    });
    // An init container that failed is the cause of whatever came after it.
    ended.into_iter().next()
}

fn said(what: &str, reason: &str, message: &str) -> String {
    match message.is_empty() {
        true => format!("{what} ({reason})"),
        false => format!("{what} ({reason}): {}", cut(message)),
    }
}

/// An init container that goes on beside the others is a sidecar.
fn kind_of_init(pod: &Pod, name: &str) -> &'static str {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref());
    let own = init.and_then(|all| all.iter().find(|one| one.name == name));
    match own.and_then(|own| own.restart_policy.as_deref()) {
        Some("Always") => "sidecar",
        _ => "init container",
    }
}

fn exit(kind: &str, name: &str, ended: &ContainerStateTerminated) -> String {
    let code = ended.exit_code;
    let how = match ended.reason.as_deref() {
        None | Some("Error" | "") => format!("exit code {code}"),
        Some(reason) => format!("{reason} (exit code {code})"),
    };
    match ended.message.as_deref().and_then(last_line) {
        Some(line) => format!("{how} in {kind} {name}: {line}"),
        None => format!("{how} in {kind} {name}"),
    }
}

fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(cut(line))
}

/// One line, without what a terminal would take for a command.
fn cut(text: &str) -> String {
    let line: String = text
        .trim()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_CHARS_MAX)
        .collect();
    match text.trim().chars().count() > MESSAGE_CHARS_MAX {
        true => line + "…",
        false => line,
    }
}

/// Whether pods of a Job were created, and none of them has ever run a container to its end or runs one.
pub fn is_pending(pods: &[&Pod]) -> bool {
    !pods.is_empty()
        && pods
            .iter()
            .all(|pod| phase(pod).is_none_or(|one| one == "Pending"))
}

/// Why a Job that was started has no pod that runs; `None` where one runs or has ended, or where the pods
/// are on their way. `events` are those about the Job and its pods, `workloads` Kueue's, as far as they
/// were read.
pub fn pending(job: &Job, pods: &[&Pod], events: &[Event], workloads: &[Value]) -> Option<String> {
    if let Some(queue) = queue_of(job) {
        let suspended = job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true);
        if suspended {
            return Some(in_queue(job, queue, workloads));
        }
    }
    if pods.is_empty() {
        let uid = job.metadata.uid.as_deref();
        let refused = last_event(events, uid, &["FailedCreate"])?;
        let message = refused.message.as_deref().unwrap_or_default();
        let message = message.strip_prefix("Error creating: ").unwrap_or(message);
        return Some(format!("its pods are refused: {}", cut(message)));
    }
    if !is_pending(pods) {
        return None;
    }
    pods.iter().find_map(|pod| pod_pending(pod, events))
}

fn queue_of(job: &Job) -> Option<&str> {
    let labels = job.metadata.labels.as_ref()?;
    labels.get(label::KUEUE_QUEUE).map(String::as_str)
}

/// What Kueue's Workload of a Job says.
fn in_queue(job: &Job, queue: &str, workloads: &[Value]) -> String {
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let owned = |workload: &&Value| {
        let owners = workload["metadata"]["ownerReferences"].as_array();
        owners
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"] == uid)
    };
    let conditions = workloads.iter().find(owned);
    let conditions = conditions.and_then(|workload| workload["status"]["conditions"].as_array());
    let message = conditions.into_iter().flatten().find_map(|one| {
        let unmet = one["status"] == "False";
        let kind = one["type"].as_str()?;
        (unmet && matches!(kind, "QuotaReserved" | "Admitted")).then(|| one["message"].as_str())?
    });
    match message {
        Some(message) => format!("waits in Kueue's queue {queue}: {}", cut(message)),
        None => format!("waits in Kueue's queue {queue}"),
    }
}

fn last_event<'a>(events: &'a [Event], uid: Option<&str>, reasons: &[&str]) -> Option<&'a Event> {
    let about = events.iter().filter(|event| {
        event.involved_object.uid.as_deref() == uid
            && event
                .reason
                .as_deref()
                .is_some_and(|one| reasons.contains(&one))
    });
    about.max_by_key(|event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0))
    })
}

fn pod_pending(pod: &Pod, events: &[Event]) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions
        .filter(|one| one.type_ == "PodScheduled" && one.status == "False")
        .find_map(|one| {
            let reason = one.reason.as_deref().unwrap_or("Unschedulable");
            Some(explained(reason, one.message.as_deref()?))
        });
    if unscheduled.is_some() {
        return unscheduled;
    }
    let init = status.init_container_statuses.iter().flatten();
    let init = init.map(|one| (kind_of_init(pod, &one.name), one));
    let main = status.container_statuses.iter().flatten();
    let containers: Vec<_> = init.chain(main.map(|one| ("container", one))).collect();
    let waits = containers.iter().find_map(|(kind, one)| waiting(kind, one));
    let event = || {
        let reasons = [
            "FailedMount",
            "FailedAttachVolume",
            "FailedCreatePodSandBox",
        ];
        let event = last_event(events, pod.metadata.uid.as_deref(), &reasons)?;
        let reason = event.reason.as_deref().unwrap_or_default();
        Some(explained(
            reason,
            event.message.as_deref().unwrap_or_default(),
        ))
    };
    waits.or_else(event).or_else(|| {
        let (kind, first) = containers.iter().find(|(_, one)| on_its_way(one))?;
        Some(format!("{kind} {} is being created", first.name))
    })
}

/// Whether a container is being created, as far as the kubelet says.
fn on_its_way(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    reason.is_some_and(|reason| ON_ITS_WAY.contains(&reason))
}

fn waiting(kind: &str, container: &ContainerStatus) -> Option<String> {
    let ContainerState { waiting, .. } = container.state.as_ref()?;
    let waiting = waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    if ON_ITS_WAY.contains(&reason) {
        return None;
    }
    let at = format!("{reason} in {kind} {}", container.name);
    Some(explained(
        &at,
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

fn explained(what: &str, message: &str) -> String {
    match message.is_empty() {
        true => what.to_owned(),
        false => format!("{what}: {}", cut(message)),
    }
}
