//! What the pods of a started Job did: pending, running, or one of them failed and the next did not exist yet.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};
use konductor_api::Participant;

use super::SpanKind;
use crate::explain;

/// A part of the time in which a Job was started.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) kind: SpanKind,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    /// Why a pod failed that ended here.
    pub(super) failed: Option<String>,
}

/// How the counts of pods change at a time.
#[derive(Clone, Copy, Debug, Default)]
struct Change {
    pending: i64,
    running: i64,
    unknown: i64,
    broken: i64,
}

impl Change {
    fn pending(by: i64) -> Self {
        Self {
            pending: by,
            ..Self::default()
        }
    }

    fn running(by: i64) -> Self {
        Self {
            running: by,
            ..Self::default()
        }
    }

    fn unknown(by: i64) -> Self {
        Self {
            unknown: by,
            ..Self::default()
        }
    }

    fn broken(by: i64) -> Self {
        Self {
            broken: by,
            ..Self::default()
        }
    }

    fn add(&mut self, other: Self) {
        self.pending += other.pending;
        self.running += other.running;
        self.unknown += other.unknown;
        self.broken += other.broken;
    }
}

/// Returns what the pods of a Job did between two times, without a gap. `lasts` says that the Job has not ended.
pub(super) fn parts(
    job: &Participant,
    pods: &[&Pod],
    (start, end): (Timestamp, Timestamp),
    lasts: bool,
) -> Vec<Part> {
    if pods.is_empty() {
        // They may not be readable, but the Job counts those that are ready.
        let ready = job.status.as_ref().and_then(|status| status.ready);
        let is_pending = lasts && ready.unwrap_or(0) == 0;
        return vec![Part {
            kind: match is_pending {
                true => SpanKind::Pending,
                false => SpanKind::Started,
            },
            start,
            end,
            failed: None,
        }];
    }
    let mut changes: Vec<(Timestamp, Change)> = Vec::new();
    let (mut last_created, mut failures, mut ends) = (start, Vec::new(), Vec::new());
    for pod in pods {
        let created = pod.metadata.creation_timestamp.as_ref();
        let created = created.map_or(start, |time| time.0).clamp(start, end);
        last_created = last_created.max(created);
        let ended = of_pod(pod, (created, end), &mut changes);
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        let has_failed = phase == Some("Failed");
        ends.push((ended, has_failed));
        if has_failed && let Some(why) = explain::pod_failure(job, pod) {
            failures.push((ended, why));
        }
    }
    ends.sort_unstable();
    changes.sort_by_key(|(time, _)| *time);
    let counts = counted(&changes, (start, end));
    // A pod that follows ends a back-off; after the last pod the Job's own end is on its way.
    let is_followed = |time: Timestamp| time < last_created || lasts;
    let failed_before = |time: Timestamp| {
        let before = ends.partition_point(|(ended, _)| *ended <= time);
        before.checked_sub(1).is_some_and(|last| ends[last].1)
    };
    let mut parts: Vec<Part> = Vec::new();
    let mut has_run = false;
    for (from, to, now) in counts {
        let kind = match now {
            now if now.broken > 0 => SpanKind::Backoff,
            now if now.running > 0 => SpanKind::Running,
            now if now.unknown > 0 => SpanKind::Started,
            now if now.pending > 0 => SpanKind::Pending,
            _ if has_run && is_followed(from) && failed_before(from) => SpanKind::Backoff,
            _ if has_run && !is_followed(from) => SpanKind::Running,
            _ => SpanKind::Pending,
        };
        has_run |= now.running + now.unknown + now.broken > 0;
        match parts.last_mut() {
            Some(last) if last.kind == kind => last.end = to,
            _ => parts.push(Part {
                kind,
                start: from,
                end: to,
                failed: None,
            }),
        }
    }
    failures.sort();
    for (time, why) in failures {
        let own = parts.iter_mut().filter(|part| part.start <= time);
        let mut own = own.filter(|part| matches!(part.kind, SpanKind::Running | SpanKind::Started));
        if let Some(part) = own.next_back() {
            part.failed.get_or_insert(why);
        }
    }
    parts
}

/// The counts between each two changes.
fn counted(
    changes: &[(Timestamp, Change)],
    (start, end): (Timestamp, Timestamp),
) -> Vec<(Timestamp, Timestamp, Change)> {
    let mut counted = Vec::new();
    let (mut at, mut now) = (start, Change::default());
    for (time, change) in changes {
        let time = (*time).clamp(start, end);
        if time > at {
            counted.push((at, time, now));
            at = time;
        }
        now.add(*change);
    }
    if end > at {
        counted.push((at, end, now));
    }
    counted
}

/// Notes when a pod was pending and running, and returns when it ended.
fn of_pod(
    pod: &Pod,
    (created, until): (Timestamp, Timestamp),
    changes: &mut Vec<(Timestamp, Change)>,
) -> Timestamp {
    let status = pod.status.as_ref();
    let phase = status.and_then(|status| status.phase.as_deref());
    let has_ended = matches!(phase, Some("Succeeded" | "Failed"));
    let containers: Vec<&ContainerStatus> = status
        .map(|status| {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
                .collect()
        })
        .unwrap_or_default();
    let mut between = |from: Timestamp, to: Timestamp, change: fn(i64) -> Change| {
        if from < to {
            changes.push((from, change(1)));
            changes.push((to, change(-1)));
        }
    };
    let starts = containers
        .iter()
        .flat_map(|container| states(container))
        .filter_map(started);
    let start = starts.min().map(|time| time.clamp(created, until));
    let ends = containers
        .iter()
        .filter_map(|container| finished(container.state.as_ref()?));
    let end = match has_ended {
        true => ends.max().or_else(|| disrupted(pod)),
        false => None,
    };
    let Some(start) = start else {
        // An evicted pod may never have run: it says when it was ended, if at all.
        let end = match has_ended {
            true => end.unwrap_or(created),
            false => until,
        };
        let end = end.clamp(created, until);
        between(created, end, Change::pending);
        return end;
    };
    let end = end.unwrap_or(until).clamp(start, until);
    // Of more than one restart, only the last is stored.
    let begun = status.and_then(|status| status.start_time.as_ref());
    let begun = begun.map(|time| time.0.clamp(created, start));
    let is_restarted = containers
        .iter()
        .any(|container| container.restart_count > 1);
    match begun.filter(|_| is_restarted) {
        Some(begun) => {
            between(created, begun, Change::pending);
            between(begun, start, Change::unknown);
        }
        None => between(created, start, Change::pending),
    }
    match restart(&containers) {
        Some((from, to)) => {
            let from = from.clamp(start, end);
            let to = to.unwrap_or(end).clamp(from, end);
            between(start, from, Change::running);
            between(from, to, Change::broken);
            between(to, end, Change::running);
        }
        None => between(start, end, Change::running),
    }
    end
}

/// When the only container of a pod ended last before it was restarted, and when it ran again.
fn restart(containers: &[&ContainerStatus]) -> Option<(Timestamp, Option<Timestamp>)> {
    let [only] = containers else {
        return None;
    };
    let from = finished(only.last_state.as_ref()?)?;
    let to = only.state.as_ref().and_then(started);
    Some((from, to))
}

fn states(container: &ContainerStatus) -> impl Iterator<Item = &ContainerState> {
    container.state.iter().chain(&container.last_state)
}

fn started(state: &ContainerState) -> Option<Timestamp> {
    let running = state
        .running
        .as_ref()
        .and_then(|running| running.started_at.as_ref());
    let ended = state.terminated.as_ref();
    let ended = ended.and_then(|ended| ended.started_at.as_ref());
    // A container that was never started says so with the zero of time.
    let time = running.or(ended)?.0;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

fn finished(state: &ContainerState) -> Option<Timestamp> {
    let time = state.terminated.as_ref()?.finished_at.as_ref()?.0;
    (time > Timestamp::UNIX_EPOCH).then_some(time)
}

/// When a pod was evicted.
fn disrupted(pod: &Pod) -> Option<Timestamp> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "DisruptionTarget");
    let time = condition?.last_transition_time.as_ref();
    time.map(|time| time.0)
}
