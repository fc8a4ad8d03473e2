//! What waits for what, and how it ended, in the words of the pipeline: a stage, an item of it, an approval.
//!
//! What enters: a condition's target, as far as it is known. What leaves: its name for people. What belongs to no
//! pipeline, or to another run than the one that asks, keeps the name of its object.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konductor_api::condition::{self, reason};
use konductor_api::{
    Arrivals, Barrier, BarrierPhase, ConditionState, Gate, GatePhase, Participant, annotation,
    key_of, label,
};

use crate::explain::cut;
use crate::outcome::End;
use crate::run::{Ended, Entry, Stop};

/// What a condition is about, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// A stage of the asker's run, or an item of it.
    Stage {
        /// Its name.
        stage: String,
        /// The item, of a fan-out.
        item: Option<String>,
    },
    /// An approval of the asker's run.
    Approval {
        /// Its name in the file.
        approval: String,
        /// The name of its Barrier, which `koncli approve` takes.
        barrier: String,
    },
    /// The main stages of the asker's run, as a finally stage waits for them.
    MainStages,
    /// Any other object, such as `job/load`.
    Object(String),
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage { stage, item: None } => write!(f, "stage {stage}"),
            Self::Stage {
                stage,
                item: Some(item),
            } => write!(f, "stage {stage}[{}]", cut(item)),
            Self::Approval { approval, .. } => write!(f, "approval {approval}"),
            Self::MainStages => f.write_str("the main stages"),
            Self::Object(object) => f.write_str(object),
        }
    }
}

fn labelled<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// The run that two objects share.
pub(crate) fn shared_run<'a>(asker: &'a ObjectMeta, target: &ObjectMeta) -> Option<&'a str> {
    let run = labelled(asker, label::RUN)?;
    let same = labelled(target, label::RUN) == Some(run) && asker.namespace == target.namespace;
    same.then_some(run)
}

impl Named {
    /// A Job, as `asker` calls it; `None` if it belongs to no stage of the asker's run.
    pub fn job(asker: &ObjectMeta, job: &Participant) -> Option<Self> {
        shared_run(asker, &job.metadata)?;
        Some(Self::Stage {
            stage: job.label(label::STAGE)?.to_owned(),
            item: job.item().map(str::to_owned),
        })
    }

    /// A Job that is gone, by its run's record: the record has a hash of the stage's name, and the Job's name
    /// begins with the name itself.
    pub(crate) fn recorded(asker: &ObjectMeta, job: &str, entry: &Entry) -> Option<Self> {
        let run = labelled(asker, label::RUN)?;
        let rest = job.strip_prefix(run)?.strip_prefix('-')?;
        let ends = rest.match_indices('-').map(|(at, _)| at);
        let end = ends
            .chain([rest.len()])
            .find(|end| key_of(&rest[..*end]) == entry.stage)?;
        let item = rest[end..].strip_prefix('-');
        Some(Self::Stage {
            stage: rest[..end].to_owned(),
            item: item.map(str::to_owned),
        })
    }

    /// A Barrier, as `asker` calls it; `None` if it stands for nothing of the asker's run.
    pub fn barrier(asker: &ObjectMeta, barrier: &Barrier) -> Option<Self> {
        let run = shared_run(asker, &barrier.metadata)?;
        let name = barrier.metadata.name.as_deref()?;
        if let Some(selector) = &barrier.spec.jobs {
            let stage = selector.match_labels.get(label::STAGE)?;
            // Over some of the items, it says which.
            let annotations = barrier.metadata.annotations.as_ref();
            return Some(Self::Stage {
                stage: stage.0.clone(),
                item: annotations
                    .and_then(|all| all.get(annotation::ITEM))
                    .cloned(),
            });
        }
        let approval = name.strip_prefix(run)?.strip_prefix('-')?;
        (barrier.spec.arrivals == Arrivals::Verified).then(|| Self::Approval {
            approval: approval.to_owned(),
            barrier: name.to_owned(),
        })
    }

    /// What still has to happen.
    pub(crate) fn waits(&self, state: ConditionState) -> String {
        match self {
            // What its author wrote is what is missing.
            Self::Object(object) => format!("waits for {object} to be {state:?}"),
            Self::Approval { barrier, .. } if state == ConditionState::Open => {
                format!("waits for {self} (barrier/{barrier})")
            }
            _ => format!("waits for {self}{}", until(state)),
        }
    }
}

/// What a stage or an approval has to do, where that is not its success.
fn until(state: ConditionState) -> &'static str {
    match state {
        ConditionState::Complete | ConditionState::Open | ConditionState::Succeeded => "",
        ConditionState::Failed => " to fail",
        ConditionState::Skipped => " to be skipped",
        ConditionState::Finished | ConditionState::Settled => " to end",
    }
}

/// How a Job or a Run ended.
pub(crate) fn how(ended: Ended) -> &'static str {
    match (ended.end, ended.stop) {
        (End::Succeeded, _) => "succeeded",
        (End::Failed, _) => "failed",
        (End::Skipped, _) => "was skipped",
        (End::Unreached, _) => "was unreached",
        (End::Cancelled, Some(Stop::Deleted)) => "was deleted",
        (End::Cancelled, Some(Stop::TimedOut)) => "was cancelled: the run timed out",
        (End::Cancelled, Some(Stop::Cancelled | Stop::Other) | None) => "was cancelled",
    }
}

/// How a Barrier ended. Whoever reads it wants to know of a stage how it ended, and of an approval what people said.
pub(crate) fn how_barrier(barrier: &Barrier) -> String {
    let status = barrier.status.as_ref();
    let open = status.and_then(|status| condition::find(&status.conditions, condition::OPEN));
    let counts = |how: &str| match open {
        Some(open) if barrier.spec.quorum.is_some() => format!("{how} ({})", cut(&open.message)),
        _ => how.to_owned(),
    };
    let timed_out = open.is_some_and(|open| open.reason == reason::TIMED_OUT);
    let is_stage = barrier.spec.jobs.is_some();
    match status.map_or(BarrierPhase::Waiting, |status| status.phase) {
        BarrierPhase::Waiting => "waits".to_owned(),
        BarrierPhase::Open if is_stage => counts("succeeded"),
        BarrierPhase::Open if barrier.spec.arrivals == Arrivals::Verified => "was given".to_owned(),
        BarrierPhase::Open => "opened".to_owned(),
        BarrierPhase::Skipped => counts("was skipped"),
        BarrierPhase::Unreached => counts("was unreached"),
        BarrierPhase::Failed if timed_out => "timed out".to_owned(),
        BarrierPhase::Failed if barrier.spec.arrivals == Arrivals::Verified => {
            "was denied".to_owned()
        }
        BarrierPhase::Failed => counts("failed"),
    }
}

/// How a Gate ended.
pub(crate) fn how_gate(gate: &Gate) -> &'static str {
    let status = gate.status.as_ref();
    let open = status.and_then(|status| condition::find(&status.conditions, condition::OPEN));
    match status.map_or(GatePhase::Waiting, |status| status.phase) {
        GatePhase::Waiting => "waits",
        GatePhase::Open => "opened",
        GatePhase::Skipped => "was skipped",
        GatePhase::Unreached => "was unreached",
        GatePhase::Failed if open.is_some_and(|open| open.reason == reason::TIMED_OUT) => {
            "timed out"
        }
        GatePhase::Failed => "failed",
    }
}

/// Why something does not happen behind a Gate that ended without opening, by the Gate's own words. In a Run the Gate
/// says it in the words of the pipeline, and nobody wrote the Gate.
pub(crate) fn without_opening(
    asker: &ObjectMeta,
    name: &str,
    end: End,
    gate: Option<&Gate>,
) -> String {
    let by_conditions = [
        reason::CONDITION_FAILED,
        reason::CONDITION_SKIPPED,
        reason::WHEN_FALSE,
        reason::WHEN_ERROR,
    ];
    let word = match end {
        End::Skipped => "was skipped",
        _ => "ended without opening",
    };
    let status = gate.and_then(|gate| gate.status.as_ref());
    let open = status.and_then(|status| condition::find(&status.conditions, condition::OPEN));
    let is_of_run = labelled(asker, label::RUN).is_some();
    match open {
        Some(open) if is_of_run && by_conditions.contains(&open.reason.as_str()) => {
            open.message.clone()
        }
        Some(open) => format!("gate/{name} {word}: {}", open.message),
        None => format!("gate/{name} {word}"),
    }
}

/// What a Gate of the asker's own run says about itself: it has no name in the file, because it stands for a part
/// of what a stage waits for, such as `any(…)`.
pub(crate) fn part<'a>(asker: &ObjectMeta, gate: &'a Gate) -> Option<&'a str> {
    shared_run(asker, &gate.metadata)?;
    let status = gate.status.as_ref()?;
    let open = condition::find(&status.conditions, condition::OPEN)?;
    Some(&open.message)
}

/// What somebody does about an object of the asker's run that does not exist: empty for one that is not of its
/// pipeline's file, because only its author knows.
pub fn apply_again(asker: &ObjectMeta, missing: &str) -> String {
    let Some(run) = labelled(asker, label::RUN) else {
        return String::new();
    };
    let owners = [Some(run), labelled(asker, label::PIPELINE)];
    let is_own = owners.into_iter().flatten().any(|owner| {
        let rest = missing.strip_prefix(owner);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
    });
    match is_own {
        true => format!("; apply the pipeline again with `--run {run}`"),
        false => String::new(),
    }
}

/// Several reasons as one sentence, where all of them together decide. Conditions on the same object, as in
/// `any(load, load.skipped)`, may have the same reason, which is said once.
pub(crate) fn joined(messages: &[&str]) -> String {
    let mut distinct: Vec<&str> = Vec::with_capacity(messages.len());
    for message in messages {
        if !distinct.contains(message) {
            distinct.push(message);
        }
    }
    let parts: Option<Vec<&str>> = distinct
        .iter()
        .map(|message| message.strip_prefix("waits for "))
        .collect();
    match parts {
        Some(parts) if !parts.is_empty() => format!("waits for {}", some(&parts, " or ")),
        _ => some(&distinct, ", "),
    }
}

fn some(parts: &[&str], separator: &str) -> String {
    let shown = parts.len().min(crate::limits::NAMES_IN_MESSAGE);
    let list = parts[..shown].join(separator);
    match parts.len() - shown {
        0 => list,
        more => format!("{list} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn a_reason_that_several_conditions_have_is_said_once() {
        for (messages, expected) in [
            (
                vec!["approval go was denied", "approval go was denied"],
                "approval go was denied",
            ),
            (
                vec![
                    "stage t failed",
                    "stage t failed",
                    "stage u failed",
                    "stage u failed",
                ],
                "stage t failed, stage u failed",
            ),
            (
                vec!["waits for stage t", "waits for stage t to be skipped"],
                "waits for stage t or stage t to be skipped",
            ),
            (vec!["a", "b", "a", "c", "d"], "a, b, c and 1 more"),
        ] {
            assert_eq!(joined(&messages), expected);
        }
    }
}
