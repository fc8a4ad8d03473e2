//! Why the pods of a Job don't start, and why they failed, in words: from what the scheduler, the kubelet,
//! the Job controller and Kueue have written about them.

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod,
};
use konductor_api::{Participant, job_ended};
use serde_json::Value;

/// Characters of a last log line, or of somebody else's message, that are shown.
const MESSAGE_CHARS_MAX: usize = 240;
/// Bytes from which on the kubelet may have cut a termination message: those of a pod share 12 KiB, and what
/// it takes from a log has 2 KiB.
const MESSAGE_CUT_FROM: usize = 1024;
/// The Job controller's label and annotation on a pod of an indexed Job.
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The kubelet restarts such a container, and how it ended last is the cause.
const CRASH_LOOP: &str = "CrashLoopBackOff";
/// What runc, shells, koncli and languages write about a program that the node's processor does not understand.
const FOREIGN_PROGRAM: &str = "exec format error";
/// A pod that is on its way says so for a moment, and that is no reason to show.
const ON_ITS_WAY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Why a Job failed: how the first of its failed pods ended, for an indexed Job with its item, or its index. `None`
/// where neither its pods nor its conditions say.
pub fn failure(job: &Participant, pods: &[&Pod]) -> Option<String> {
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
    let names = job.item_names();
    let of_pod = failed.iter().find_map(|(index, pod)| {
        let why = pod_failure(job, pod)?;
        let place = index.and_then(|index| usize::try_from(index).ok());
        let name = place.and_then(|place| names.get(place));
        Some(match (index, name) {
            (_, Some(name)) => format!("item {}: {why}", cut(name)),
            (Some(index), None) => format!("index {index}: {why}"),
            (None, None) => why,
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
        condition => of_pod.or_else(|| {
            let (reason, message) = condition?;
            let said = if message.is_empty() { reason } else { message };
            Some(cut(said)).filter(|said| !said.is_empty())
        }),
    }
}

fn failed_condition(job: &Participant) -> Option<(&str, &str)> {
    if job_ended(job) != Some(false) {
        return None;
    }
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let failed = conditions
        .iter()
        .find(|condition| condition.type_ == "Failed")?;
    let reason = failed.reason.as_deref().unwrap_or_default();
    Some((reason, failed.message.as_deref().unwrap_or_default()))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

/// Returns the index of a pod of an Indexed Job.
pub fn index(pod: &Pod) -> Option<u32> {
    let (labels, annotations) = (&pod.metadata.labels, &pod.metadata.annotations);
    let maps = [labels, annotations].into_iter().flatten();
    maps.filter_map(|map| map.get(INDEX)?.parse().ok()).next()
}

/// How a pod of a Job failed; `None` if it does not say.
pub fn pod_failure(job: &Participant, pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let disrupted = disruption(pod);
    if disrupted.is_some() {
        return disrupted;
    }
    if let Some(reason) = status.reason.as_deref() {
        let message = status.message.as_deref().unwrap_or_default();
        return Some(said("pod ended", reason, message));
    }
    let (place, failed) = failed(pod)?;
    let ended = failed.state.as_ref()?.terminated.as_ref()?;
    let place = match retries(job) {
        Some(retries) => format!("{place} after {retries}"),
        None => place,
    };
    Some(exit(&place, ended, &Outputs::of(job)))
}

/// Which retry of a Job follows the pods that have failed, such as `retry 1 of 2`; `None` for the first pod, and if an
/// index has retries of its own.
pub fn retry(job: &Participant) -> Option<String> {
    let failed = job.status.as_ref()?.failed?;
    let all = retries_max(job)?;
    (1..=all)
        .contains(&failed)
        .then(|| format!("retry {failed} of {all}"))
}

/// After how many retries a Job has failed, such as `2 retries`.
fn retries(job: &Participant) -> Option<String> {
    retries_max(job)?;
    let has_failed = job_ended(job) == Some(false);
    let failed = job.status.as_ref()?.failed.filter(|_| has_failed)?;
    match failed - 1 {
        ..1 => None,
        1 => Some("1 retry".to_owned()),
        more => Some(format!("{more} retries")),
    }
}

/// How often a Job is tried again.
fn retries_max(job: &Participant) -> Option<i32> {
    let spec = job.spec.as_ref()?;
    let is_indexed = spec.completion_mode.as_deref() == Some("Indexed");
    spec.backoff_limit
        .filter(|retries| *retries > 0 && !is_indexed)
}

/// Who ended a pod that was evicted, preempted or drained.
fn disruption(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    let target = conditions
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True")?;
    // The kubelet says more in the pod's own message.
    let message = target.message.as_deref().filter(|text| !text.is_empty());
    let message = message.or(status.message.as_deref());
    Some(said(
        "evicted",
        target.reason.as_deref()?,
        message.unwrap_or_default(),
    ))
}

/// The container that failed first.
pub fn failed_container(pod: &Pod) -> Option<&ContainerStatus> {
    failed(pod).map(|(_, container)| container)
}

/// An init container that failed is the cause of whatever came after it.
fn failed(pod: &Pod) -> Option<(String, &ContainerStatus)> {
    containers(pod).into_iter().find(|(_, container)| {
        let state = container.state.as_ref();
        let ended = state.and_then(|state| state.terminated.as_ref());
        ended.is_some_and(|ended| ended.exit_code != 0)
    })
}

/// The containers of a pod, init containers first, each with the words for its place: none for a container that
/// is the only one.
fn containers(pod: &Pod) -> Vec<(String, &ContainerStatus)> {
    let Some(status) = pod.status.as_ref() else {
        return Vec::new();
    };
    let init = status.init_container_statuses.iter().flatten();
    let init = init.map(|container| {
        let kind = kind_of_init(pod, &container.name);
        (format!(" in {kind} {}", container.name), container)
    });
    let main = status.container_statuses.iter().flatten();
    let is_only = main.clone().count() == 1;
    let main = main.map(|container| match is_only {
        true => (String::new(), container),
        false => (format!(" in container {}", container.name), container),
    });
    init.chain(main).collect()
}

/// Which lines of a termination message are values of outputs. Only a Job says that, so no message is shown
/// without it.
enum Outputs {
    Declared(Vec<String>),
    /// The declaration can't be read: any `name=value` may be one.
    Unknown,
}

impl Outputs {
    fn of(job: &Participant) -> Self {
        match &job.declared_outputs {
            None => Self::Declared(Vec::new()),
            Some(Ok(declared)) => {
                Self::Declared(declared.iter().map(|output| output.name.clone()).collect())
            }
            Some(Err(_)) => Self::Unknown,
        }
    }

    /// Whether this line is the value of an output.
    fn has(&self, line: &str) -> bool {
        let Some((name, _)) = line.split_once('=') else {
            return false;
        };
        match self {
            Self::Declared(names) => names.iter().any(|output| output == name.trim()),
            Self::Unknown => true,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Declared(names) if names.is_empty())
    }
}

fn said(what: &str, reason: &str, message: &str) -> String {
    match message.is_empty() {
        true => format!("{what} ({reason})"),
        false => format!("{what} ({reason}): {}", cut(message)),
    }
}

/// An init container that runs beside the others is a sidecar.
fn kind_of_init(pod: &Pod, name: &str) -> &'static str {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|spec| spec.init_containers.as_ref());
    let own = init.and_then(|all| all.iter().find(|container| container.name == name));
    match own.and_then(|own| own.restart_policy.as_deref()) {
        Some("Always") => "sidecar",
        _ => "init container",
    }
}

fn exit(place: &str, ended: &ContainerStateTerminated, outputs: &Outputs) -> String {
    let code = ended.exit_code;
    let how = match ended.reason.as_deref() {
        None | Some("Error" | "") => format!("exit code {code}"),
        Some(reason) => format!("{reason} (exit code {code})"),
    };
    let message = ended.message.as_deref();
    let line = message.and_then(|message| last_line(message, outputs));
    match line.filter(|line| !line.is_empty()) {
        Some(line) if line.to_ascii_lowercase().contains(FOREIGN_PROGRAM) => format!(
            "{how}{place}: {line}: the image may be for another kind of processor than the node has"
        ),
        Some(line) => format!("{how}{place}: {line}"),
        None => format!("{how}{place}"),
    }
}

/// The last line that is not empty and not the value of an output, which is no cause.
fn last_line(text: &str, outputs: &Outputs) -> Option<String> {
    // The kubelet keeps the end of a long message: its first line may be the rest of a value.
    let is_rest = !outputs.is_empty() && text.len() >= MESSAGE_CUT_FROM;
    let lines = text.lines().skip(usize::from(is_rest));
    let shown = lines.filter(|line| !line.trim().is_empty() && !outputs.has(line));
    shown.last().map(cut)
}

/// Returns one line of a text of others, no longer than people read, without colours and without what a terminal
/// would take for a command.
pub fn cut(text: &str) -> String {
    let (mut line, mut rest) = (String::new(), text.trim());
    let mut room = MESSAGE_CHARS_MAX;
    while let Some(c) = rest.chars().next() {
        if let Some(color) = color(rest) {
            rest = &rest[color.len()..];
            continue;
        }
        if room == 0 {
            line.push('…');
            break;
        }
        room -= 1;
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_unicode()),
            c => line.push(c),
        }
        rest = &rest[c.len_utf8()..];
    }
    line
}

/// Returns the sequence at the beginning of a text that does nothing but set colours and weight.
pub fn color(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let length = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    let is_color = parameters[length..].starts_with('m') && length <= 32;
    // Both the beginning and the end are single bytes.
    is_color.then(|| &text[..length + 3])
}

/// Those of a Job's pods that have not ended: they are what is tried now.
pub fn open<'a>(pods: &[&'a Pod]) -> Vec<&'a Pod> {
    let has_ended = |pod: &Pod| matches!(phase(pod), Some("Failed" | "Succeeded"));
    pods.iter().copied().filter(|pod| !has_ended(pod)).collect()
}

/// Whether pods of a Job were created, and none of them has ever run a container to its end or runs one.
pub fn is_pending(pods: &[&Pod]) -> bool {
    !pods.is_empty()
        && pods
            .iter()
            .all(|pod| phase(pod).is_none_or(|phase| phase == "Pending"))
}

/// Why a Job that was started has no pod that runs; `None` where one runs or has ended, or where the pods
/// are on their way. `events` are those about the Job and its pods, `workloads` Kueue's, as far as they
/// were read.
pub fn pending(
    job: &Participant,
    pods: &[&Pod],
    events: &[&Event],
    workloads: &[&Value],
) -> Option<String> {
    if let Some(queue) = job.queue().filter(|_| job.is_suspended()) {
        return Some(in_queue(job, queue, workloads));
    }
    if pods.is_empty() {
        let uid = job.metadata.uid.as_deref();
        let refused = last_event(events, uid, &["FailedCreate"])?;
        let message = refused.message.as_deref().unwrap_or_default();
        let message = message.strip_prefix("Error creating: ").unwrap_or(message);
        return Some(format!("its pods are refused: {}", cut(message)));
    }
    let open = open(pods);
    if open.is_empty() {
        let why = failure(job, pods)?;
        return Some(format!(
            "its last pod failed, and another one follows: {why}"
        ));
    }
    if !is_pending(&open) {
        return None;
    }
    let outputs = Outputs::of(job);
    let why = open
        .iter()
        .find_map(|pod| pod_pending(pod, events, &outputs))?;
    // Somebody may wonder why a Job that ran before is pending.
    let before = pods.iter().find_map(|pod| disruption(pod));
    Some(match before {
        Some(before) => format!("{why} (the pod before was {before})"),
        None => why,
    })
}

/// What Kueue's Workload of a Job says.
fn in_queue(job: &Participant, queue: &str, workloads: &[&Value]) -> String {
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let owned = |workload: &&&Value| {
        let owners = workload["metadata"]["ownerReferences"].as_array();
        owners
            .into_iter()
            .flatten()
            .any(|owner| owner["uid"] == uid)
    };
    let conditions = workloads.iter().find(owned);
    let conditions = conditions.and_then(|workload| workload["status"]["conditions"].as_array());
    let message = conditions.into_iter().flatten().find_map(|condition| {
        let unmet = condition["status"] == "False";
        let kind = condition["type"].as_str()?;
        (unmet && matches!(kind, "QuotaReserved" | "Admitted"))
            .then(|| condition["message"].as_str())?
    });
    match message {
        Some(message) => format!("waits in Kueue's queue {queue}: {}", cut(message)),
        None => format!("waits in Kueue's queue {queue}"),
    }
}

fn last_event<'a>(events: &[&'a Event], uid: Option<&str>, reasons: &[&str]) -> Option<&'a Event> {
    let about = events.iter().copied().filter(|event| {
        event.involved_object.uid.as_deref() == uid
            && event
                .reason
                .as_deref()
                .is_some_and(|reason| reasons.contains(&reason))
    });
    about.max_by_key(|event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        last.or(event.event_time.as_ref().map(|time| time.0))
    })
}

fn pod_pending(pod: &Pod, events: &[&Event], outputs: &Outputs) -> Option<String> {
    let status = pod.status.as_ref()?;
    let conditions = status.conditions.iter().flatten();
    let unscheduled = conditions
        .filter(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
        .find_map(|condition| {
            let message = condition.message.as_deref()?;
            Some(match condition.reason.as_deref() {
                None | Some("") => cut(message),
                Some(reason) => explained(reason, message),
            })
        });
    if unscheduled.is_some() {
        return unscheduled;
    }
    let containers = containers(pod);
    let waits = containers
        .iter()
        .find_map(|(place, container)| waiting(place, container, outputs));
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
        let (place, _) = containers
            .iter()
            .find(|(_, container)| on_its_way(container))?;
        Some(format!("a container is being created{place}"))
    })
}

/// Whether a container is being created, as far as the kubelet says.
fn on_its_way(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
    reason.is_some_and(|reason| ON_ITS_WAY.contains(&reason))
}

fn waiting(place: &str, container: &ContainerStatus, outputs: &Outputs) -> Option<String> {
    let ContainerState { waiting, .. } = container.state.as_ref()?;
    let waiting = waiting.as_ref()?;
    let reason = waiting.reason.as_deref()?;
    if ON_ITS_WAY.contains(&reason) {
        return None;
    }
    let last = container.last_state.as_ref();
    let last = last.and_then(|last| last.terminated.as_ref());
    if let (CRASH_LOOP, Some(ended)) = (reason, last) {
        let times = container.restart_count;
        let how = exit(place, ended, outputs);
        return Some(format!("{CRASH_LOOP} after {times} restarts: {how}"));
    }
    Some(explained(
        &format!("{reason}{place}"),
        waiting.message.as_deref().unwrap_or_default(),
    ))
}

/// Why a Job whose pod runs makes no progress: a container of it ends and is restarted, again and again.
pub fn restarting(job: &Participant, pods: &[&Pod]) -> Option<String> {
    let outputs = Outputs::of(job);
    let running = pods.iter().filter(|pod| phase(pod) == Some("Running"));
    let mut containers = running.flat_map(|pod| containers(pod));
    containers.find_map(|(place, container)| {
        let state = container.state.as_ref()?.waiting.as_ref()?;
        let is_loop = state.reason.as_deref() == Some(CRASH_LOOP);
        is_loop.then(|| waiting(&place, container, &outputs))?
    })
}

fn explained(what: &str, message: &str) -> String {
    match message.is_empty() {
        true => what.to_owned(),
        false => format!("{what}: {}", cut(message)),
    }
}
