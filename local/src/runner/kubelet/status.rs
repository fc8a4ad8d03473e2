//! A pod's status, made from what is known of its containers.
//!
//! What happened to the containers enters, a complete `PodStatus` leaves, with the phases,
//! conditions and reasons the kubelet writes.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, PodCondition, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::downward::POD_IP;

/// The conditions that are the kubelet's own; others are left as they are.
const OWN_CONDITIONS: [&str; 5] = [
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// How one run of a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) exit_code: i32,
    pub(super) reason: &'static str,
    pub(super) message: Option<String>,
    pub(super) started_at: Timestamp,
    pub(super) finished_at: Timestamp,
}

/// What a container does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    Running {
        since: Timestamp,
        process: i32,
    },
    Terminated {
        end: Ended,
        process: Option<i32>,
    },
}

/// What is known of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContainerReport {
    name: String,
    image: String,
    pub(super) state: State,
    pub(super) last: Option<Ended>,
    pub(super) restarts: i32,
}

impl ContainerReport {
    fn new(container: &Container, reason: &'static str) -> Self {
        Self {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: State::Waiting {
                reason,
                message: None,
            },
            last: None,
            restarts: 0,
        }
    }

    /// How the container ended, if it did.
    pub(super) fn end(&self) -> Option<&Ended> {
        match &self.state {
            State::Terminated { end, .. } => Some(end),
            _ => None,
        }
    }

    fn succeeded(&self) -> bool {
        self.end().is_some_and(|end| end.exit_code == 0)
    }

    fn status(&self, ready: bool) -> ContainerStatus {
        let process = match &self.state {
            State::Running { process, .. } => Some(*process),
            State::Terminated { process, .. } => *process,
            State::Waiting { .. } => None,
        };
        let state = match &self.state {
            State::Waiting { reason, message } => ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some((*reason).into()),
                    message: message.clone(),
                }),
                ..ContainerState::default()
            },
            State::Running { since, .. } => ContainerState {
                running: Some(ContainerStateRunning {
                    started_at: Some(Time(*since)),
                }),
                ..ContainerState::default()
            },
            State::Terminated { end, process } => terminated(end, *process),
        };
        ContainerStatus {
            name: self.name.clone(),
            image: self.image.clone(),
            container_id: process.map(container_id),
            ready,
            restart_count: self.restarts,
            started: Some(matches!(self.state, State::Running { .. })),
            state: Some(state),
            last_state: self.last.as_ref().map(|end| terminated(end, None)),
            ..ContainerStatus::default()
        }
    }
}

/// What is known of a pod.
#[derive(Clone, Debug)]
pub(super) struct PodReport {
    pub(super) init: Vec<ContainerReport>,
    pub(super) main: Vec<ContainerReport>,
    /// When the kubelet accepted the pod.
    pub(super) started_at: Timestamp,
    /// Why the pod as a whole failed; then it is Failed whatever its containers did.
    pub(super) failure: Option<(&'static str, String)>,
    /// Whether no container will be started any more.
    pub(super) over: bool,
}

impl PodReport {
    pub(super) fn new(spec: &PodSpec, started_at: Timestamp) -> Self {
        let init = spec.init_containers.as_deref().unwrap_or_default();
        let reason = if init.is_empty() {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        let report = |container| ContainerReport::new(container, reason);
        Self {
            init: init.iter().map(report).collect(),
            main: spec.containers.iter().map(report).collect(),
            started_at,
            failure: None,
            over: false,
        }
    }

    pub(super) fn phase(&self) -> &'static str {
        let ended = |report: &ContainerReport| report.end().is_some();
        if self.failure.is_some() {
            "Failed"
        } else if self.over {
            let all = self.init.iter().chain(&self.main);
            if all.into_iter().all(ContainerReport::succeeded) {
                "Succeeded"
            } else {
                "Failed"
            }
        } else if self.main.iter().any(|report| {
            ended(report) || report.restarts > 0 || matches!(report.state, State::Running { .. })
        }) {
            "Running"
        } else {
            "Pending"
        }
    }

    /// The status to write; times of conditions that did not change come from `before`.
    pub(super) fn status(&self, before: &PodStatus, now: Timestamp) -> PodStatus {
        let phase = self.phase();
        let ready = |report: &ContainerReport| {
            phase == "Running" && matches!(report.state, State::Running { .. })
        };
        let statuses = |reports: &[ContainerReport], ready: &dyn Fn(&ContainerReport) -> bool| {
            reports
                .iter()
                .map(|report| report.status(ready(report)))
                .collect::<Vec<_>>()
        };
        let init = statuses(&self.init, &ContainerReport::succeeded);
        let address = POD_IP.to_owned();
        PodStatus {
            phase: Some(phase.into()),
            reason: self.failure.as_ref().map(|(reason, _)| (*reason).into()),
            message: self.failure.as_ref().map(|(_, message)| message.clone()),
            start_time: Some(Time(self.started_at)),
            host_ip: Some(address.clone()),
            host_ips: Some(vec![HostIP {
                ip: address.clone(),
            }]),
            pod_ip: Some(address.clone()),
            pod_ips: Some(vec![PodIP { ip: address }]),
            init_container_statuses: Some(init).filter(|statuses| !statuses.is_empty()),
            container_statuses: Some(statuses(&self.main, &ready)),
            conditions: Some(self.conditions(before, now)),
            qos_class: before.qos_class.clone(),
            observed_generation: before.observed_generation,
            ..PodStatus::default()
        }
    }

    fn conditions(&self, before: &PodStatus, now: Timestamp) -> Vec<PodCondition> {
        let mut conditions = before.conditions.clone().unwrap_or_default();
        let foreign = |type_: &str| !OWN_CONDITIONS.contains(&type_);
        conditions.retain(|condition| foreign(&condition.type_));
        let old = before.conditions.as_deref().unwrap_or_default();
        let answers = self.answers();
        conditions.extend(answers.map(|(type_, answer)| answer.condition(type_, old, now)));
        conditions
    }

    /// The kubelet's own conditions.
    fn answers(&self) -> impl Iterator<Item = (&'static str, Answer)> + use<> {
        let phase = self.phase();
        let running = |report: &ContainerReport| matches!(report.state, State::Running { .. });
        let unready = names_of_others(&self.main, running);
        let ready = match phase {
            "Succeeded" => Answer::no("PodCompleted", None),
            "Failed" => Answer::no("PodFailed", None),
            _ if unready.is_empty() => Answer::yes(),
            _ => {
                let message = format!("containers with unready status: [{unready}]");
                Answer::no("ContainersNotReady", Some(message))
            }
        };
        let incomplete = names_of_others(&self.init, ContainerReport::succeeded);
        let initialized = match phase {
            "Succeeded" => Answer {
                reason: Some("PodCompleted"),
                ..Answer::yes()
            },
            _ if incomplete.is_empty() => Answer::yes(),
            _ => {
                let message = format!("containers with incomplete status: [{incomplete}]");
                Answer::no("ContainersNotInitialized", Some(message))
            }
        };
        // What would be the sandbox ends with the pod.
        let sandbox = Answer {
            yes: !matches!(phase, "Succeeded" | "Failed"),
            ..Answer::yes()
        };
        [
            ("PodReadyToStartContainers", sandbox),
            ("Initialized", initialized),
            ("Ready", ready.clone()),
            ("ContainersReady", ready),
            ("PodScheduled", Answer::yes()),
        ]
        .into_iter()
    }
}

/// What a condition says.
#[derive(Clone)]
struct Answer {
    yes: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Answer {
    fn yes() -> Self {
        Self {
            yes: true,
            reason: None,
            message: None,
        }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self {
            yes: false,
            reason: Some(reason),
            message,
        }
    }

    /// The condition, with the time since when it has said so.
    fn condition(self, type_: &str, old: &[PodCondition], now: Timestamp) -> PodCondition {
        let status = if self.yes { "True" } else { "False" };
        let same = old
            .iter()
            .find(|old| old.type_ == type_ && old.status == status);
        let since = same.and_then(|same| same.last_transition_time.clone());
        PodCondition {
            type_: type_.into(),
            status: status.into(),
            reason: self.reason.map(Into::into),
            message: self.message,
            last_transition_time: Some(since.unwrap_or(Time(now))),
            ..PodCondition::default()
        }
    }
}

/// The names of the containers that are not as asked, with spaces between.
fn names_of_others(reports: &[ContainerReport], is: impl Fn(&ContainerReport) -> bool) -> String {
    let others = reports.iter().filter(|report| !is(report));
    others
        .map(|report| report.name.as_str())
        .collect::<Vec<_>>()
        .join(" ")
}

fn terminated(end: &Ended, process: Option<i32>) -> ContainerState {
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: end.exit_code,
            reason: Some(end.reason.into()),
            message: end.message.clone(),
            started_at: Some(Time(end.started_at)),
            finished_at: Some(Time(end.finished_at)),
            container_id: process.map(container_id),
            signal: None,
        }),
        ..ContainerState::default()
    }
}

fn container_id(process: i32) -> String {
    format!("process://{process}")
}

/// The status of a pod that ended without a life of which anything is known.
pub(super) fn failed_unseen(before: &PodStatus, reason: &str, message: &str) -> PodStatus {
    PodStatus {
        phase: Some("Failed".into()),
        reason: Some(reason.into()),
        message: Some(message.into()),
        ..before.clone()
    }
}

/// The status of a pod that can't be started yet.
pub(super) fn unscheduled(
    before: &PodStatus,
    reason: Option<&str>,
    message: &str,
    now: Timestamp,
) -> PodStatus {
    let conditions = before.conditions.iter().flatten();
    let mut conditions: Vec<PodCondition> = conditions
        .filter(|condition| condition.type_ != "PodScheduled")
        .cloned()
        .collect();
    conditions.push(PodCondition {
        type_: "PodScheduled".into(),
        status: "False".into(),
        reason: reason.map(str::to_owned),
        message: Some(message.into()),
        last_transition_time: Some(Time(now)),
        ..PodCondition::default()
    });
    PodStatus {
        phase: Some("Pending".into()),
        conditions: Some(conditions),
        ..before.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report() -> PodReport {
        let spec = json!({
            "initContainers": [{"name": "prepare", "image": "i"}],
            "containers": [{"name": "main", "image": "j"}],
        });
        PodReport::new(&serde_json::from_value(spec).unwrap(), at(0))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ended(exit_code: i32) -> State {
        let reason = if exit_code == 0 { "Completed" } else { "Error" };
        let end = Ended {
            exit_code,
            reason,
            message: None,
            started_at: at(1),
            finished_at: at(2),
        };
        State::Terminated {
            end,
            process: Some(7),
        }
    }

    fn running() -> State {
        State::Running {
            since: at(1),
            process: 7,
        }
    }

    #[test]
    fn the_phase_follows_from_the_containers() {
        let waiting = || State::Waiting {
            reason: "CrashLoopBackOff",
            message: None,
        };
        let cases = [
            (waiting(), waiting(), 0, false, "Pending"),
            (running(), waiting(), 0, false, "Pending"),
            (ended(0), running(), 0, false, "Running"),
            (ended(0), waiting(), 2, false, "Running"),
            (ended(0), ended(1), 0, false, "Running"),
            (ended(0), ended(0), 0, true, "Succeeded"),
            (ended(0), ended(1), 0, true, "Failed"),
            (ended(1), waiting(), 0, true, "Failed"),
        ];
        for (init, main, restarts, over, phase) in cases {
            let mut report = report();
            report.init[0].state = init.clone();
            report.main[0].state = main.clone();
            report.main[0].restarts = restarts;
            report.over = over;
            assert_eq!(report.phase(), phase, "{init:?} {main:?}");
        }
        let mut failed = report();
        failed.failure = Some(("DeadlineExceeded", "too long".into()));
        assert_eq!(failed.phase(), "Failed");
    }

    /// Conditions as `Type=Status Reason@second`.
    fn conditions(status: &PodStatus) -> Vec<String> {
        let conditions = status.conditions.iter().flatten();
        let text = conditions.map(|c| {
            let since = c.last_transition_time.as_ref().unwrap().0.as_second();
            format!(
                "{}={} {}@{since}",
                c.type_,
                c.status,
                c.reason.as_deref().unwrap_or("-")
            )
        });
        text.collect()
    }

    #[test]
    fn conditions_are_the_kubelets_and_keep_their_time_while_they_hold() {
        let mut report = report();
        let before = serde_json::from_value(json!({
            "qosClass": "BestEffort",
            "conditions": [{"type": "example.com/checked", "status": "True",
                "lastTransitionTime": "1970-01-01T00:00:00Z"}],
        }))
        .unwrap();
        let starting = report.status(&before, at(1));
        assert_eq!(
            conditions(&starting),
            [
                "example.com/checked=True -@0",
                "PodReadyToStartContainers=True -@1",
                "Initialized=False ContainersNotInitialized@1",
                "Ready=False ContainersNotReady@1",
                "ContainersReady=False ContainersNotReady@1",
                "PodScheduled=True -@1",
            ]
        );
        report.init[0].state = ended(0);
        report.main[0].state = running();
        let up = report.status(&starting, at(2));
        assert_eq!(
            conditions(&up)[2..],
            [
                "Initialized=True -@2",
                "Ready=True -@2",
                "ContainersReady=True -@2",
                "PodScheduled=True -@1",
            ]
        );
        report.main[0].state = ended(0);
        report.over = true;
        let done = report.status(&up, at(3));
        assert_eq!(
            conditions(&done)[1..],
            [
                "PodReadyToStartContainers=False -@3",
                "Initialized=True PodCompleted@2",
                "Ready=False PodCompleted@3",
                "ContainersReady=False PodCompleted@3",
                "PodScheduled=True -@1",
            ]
        );
        assert_eq!(done.qos_class.as_deref(), Some("BestEffort"));
    }

    #[test]
    fn a_container_status_reports_its_state_and_the_previous_one() {
        let mut report = report();
        report.main[0].state = running();
        report.main[0].restarts = 1;
        report.main[0].last = Some(Ended {
            exit_code: 3,
            reason: "Error",
            message: Some("disk full".into()),
            started_at: at(1),
            finished_at: at(2),
        });
        let status = report.status(&PodStatus::default(), at(3));
        let container = serde_json::to_value(&status.container_statuses.unwrap()[0]).unwrap();
        let expected: Value = json!({
            "containerID": "process://7", "image": "j", "imageID": "", "name": "main",
            "ready": true, "restartCount": 1, "started": true,
            "state": {"running": {"startedAt": "1970-01-01T00:00:01Z"}},
            "lastState": {"terminated": {
                "exitCode": 3, "reason": "Error", "message": "disk full",
                "startedAt": "1970-01-01T00:00:01Z", "finishedAt": "1970-01-01T00:00:02Z"}},
        });
        assert_eq!(container, expected);
    }
}
