//! The state of a pod in one word, as `kubectl get pods` shows it.

use jiff::Timestamp;
use serde_json::Value;

use crate::age;
use crate::metadata;

/// A pod in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) ready: usize,
    pub(crate) containers: usize,
    pub(crate) reason: String,
    pub(crate) restarts: String,
    pub(crate) readiness_gates: String,
}

/// Restarts, and the last time a container ended before one.
#[derive(Clone, Copy, Default)]
struct Restarts {
    count: i64,
    last: Option<Timestamp>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count += status["restartCount"].as_i64().unwrap_or_default();
        let ended = status["lastState"]["terminated"]["finishedAt"].as_str();
        self.last = self.last.max(ended.and_then(|time| time.parse().ok()));
    }
}

fn items(value: &Value) -> impl DoubleEndedIterator<Item = &Value> {
    value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

fn has_condition(pod: &Value, condition_type: &str) -> bool {
    items(&pod["status"]["conditions"])
        .any(|condition| condition["type"] == condition_type && condition["status"] == "True")
}

/// Says in a few words how a pod is.
pub(crate) fn summary(pod: &Value, now: Timestamp) -> Summary {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let sidecars: Vec<&Value> = items(&spec["initContainers"])
        .filter(|container| container["restartPolicy"] == "Always")
        .map(|container| &container["name"])
        .collect();
    let mut summary = Summary {
        ready: 0,
        containers: items(&spec["containers"]).count() + sidecars.len(),
        reason: [&status["reason"], &status["phase"]]
            .into_iter()
            .map(text)
            .find(|reason| !reason.is_empty())
            .unwrap_or_default(),
        restarts: String::new(),
        readiness_gates: readiness_gates(pod),
    };
    if items(&status["conditions"]).any(|condition| {
        condition["type"] == "PodScheduled" && condition["reason"] == "SchedulingGated"
    }) {
        summary.reason = "SchedulingGated".to_owned();
    }
    let mut restarts = Restarts::default();
    let mut of_sidecars = Restarts::default();
    let mut initializing = false;
    for (index, container) in items(&status["initContainerStatuses"]).enumerate() {
        restarts.add(container);
        let sidecar = sidecars.contains(&&container["name"]);
        if sidecar {
            of_sidecars.add(container);
        }
        if container["state"]["terminated"]["exitCode"] == 0 {
            continue;
        }
        if sidecar && container["started"] == true {
            summary.ready += usize::from(container["ready"] == true);
            continue;
        }
        let total = items(&spec["initContainers"]).count();
        summary.reason = format!("Init:{}", init_reason(&container["state"], index, total));
        initializing = true;
        break;
    }
    if !initializing || has_condition(pod, "Initialized") {
        restarts = of_sidecars;
        run_summary(pod, &mut summary, &mut restarts);
    }
    if metadata::is_deleting(pod) {
        if status["reason"] == "NodeLost" {
            summary.reason = "Unknown".to_owned();
        } else if !matches!(status["phase"].as_str(), Some("Succeeded" | "Failed")) {
            summary.reason = "Terminating".to_owned();
        }
    }
    summary.restarts = match restarts.last {
        Some(last) if restarts.count != 0 => {
            format!(
                "{} ({} ago)",
                restarts.count,
                age::short(now.duration_since(last))
            )
        }
        _ => restarts.count.to_string(),
    };
    summary
}

fn init_reason(state: &Value, index: usize, total: usize) -> String {
    if state["terminated"].is_object() {
        return ended_reason(&state["terminated"]);
    }
    match state["waiting"]["reason"].as_str() {
        Some(reason) if !reason.is_empty() && reason != "PodInitializing" => reason.to_owned(),
        _ => format!("{index}/{total}"),
    }
}

fn ended_reason(terminated: &Value) -> String {
    match terminated["reason"].as_str() {
        Some(reason) if !reason.is_empty() => reason.to_owned(),
        _ => match terminated["signal"].as_i64() {
            Some(signal) if signal != 0 => format!("Signal:{signal}"),
            _ => format!(
                "ExitCode:{}",
                terminated["exitCode"].as_i64().unwrap_or_default()
            ),
        },
    }
}

fn run_summary(pod: &Value, summary: &mut Summary, restarts: &mut Restarts) {
    let mut running = false;
    let mut error = None;
    for container in items(&pod["status"]["containerStatuses"]).rev() {
        restarts.add(container);
        let state = &container["state"];
        let waiting = state["waiting"]["reason"].as_str().unwrap_or_default();
        if !waiting.is_empty() {
            summary.reason = waiting.to_owned();
        } else if state["terminated"].is_object() {
            summary.reason = ended_reason(&state["terminated"]);
            if state["terminated"]["exitCode"] != 0 {
                error = Some(summary.reason.clone());
            }
        } else if container["ready"] == true && state["running"].is_object() {
            running = true;
            summary.ready += 1;
        }
    }
    // A pod with one container that is still at work runs, even where others are done.
    if summary.reason == "Completed" {
        if running && has_condition(pod, "Ready") {
            summary.reason = "Running".to_owned();
        } else if let Some(error) = error {
            summary.reason = error;
        } else if running {
            summary.reason = "NotReady".to_owned();
        }
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates: Vec<_> = items(&pod["spec"]["readinessGates"])
        .filter_map(|gate| gate["conditionType"].as_str())
        .collect();
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|gate| has_condition(pod, gate)).count();
    format!("{open}/{}", gates.len())
}
