//! The words of an annotated Job.

use std::fmt;
use std::str::FromStr;

use k8s_openapi::api::batch::v1::Job;

use crate::annotation;

/// Where an annotated Job stands. The operator writes it as `konductor.io/phase`, and it is the
/// memory of a start: suspending a Job clears its `startTime`.
///
/// Complete and Failed are the Job's own conditions; they are written as a phase only together with
/// outputs, or where the operator itself ended the Job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobPhase {
    /// Its Gate is not open yet. An absent phase means the same.
    Waiting,
    /// Its Gate is open; it waits for its holds.
    Queued,
    /// It was started.
    Running,
    /// It was running and is suspended by its Run's `pause`.
    Paused,
    /// It will never start, and that is no failure.
    Skipped,
    /// It will never start, because something before it ended badly.
    Unreached,
    /// It was ended by its Run's `cancel`, timeout or fail-fast.
    Cancelled,
    /// It failed, or could not be started.
    Failed,
    /// It completed, and its outputs are stored.
    Complete,
}

impl JobPhase {
    /// The word in the annotation.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Queued => "Queued",
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Skipped => "Skipped",
            Self::Unreached => "Unreached",
            Self::Cancelled => "Cancelled",
            Self::Failed => "Failed",
            Self::Complete => "Complete",
        }
    }

    /// Every phase.
    pub const ALL: [Self; 9] = [
        Self::Waiting,
        Self::Queued,
        Self::Running,
        Self::Paused,
        Self::Skipped,
        Self::Unreached,
        Self::Cancelled,
        Self::Failed,
        Self::Complete,
    ];
}

impl fmt::Display for JobPhase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl FromStr for JobPhase {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|phase| phase.word() == word)
            .ok_or(())
    }
}

/// The phase that the operator wrote on a Job; `None` if it wrote none, or if the word is
/// not a phase.
pub fn job_phase(job: &Job) -> Option<JobPhase> {
    let annotations = job.metadata.annotations.as_ref()?;
    annotations.get(annotation::PHASE)?.parse().ok()
}

/// `Some(true)` where the Job controller says Complete, `Some(false)` where it says Failed, `None`
/// while it says neither. Never by one succeeded pod, and not by `SuccessCriteriaMet` or
/// `FailureTarget`, which come before the pods have ended.
pub fn job_ended(job: &Job) -> Option<bool> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions
        .iter()
        .filter(|condition| condition.status == "True")
        .find_map(|condition| match condition.type_.as_str() {
            "Complete" => Some(true),
            "Failed" => Some(false),
            _ => None,
        })
}

/// Which part of a run a Job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A stage.
    Main,
    /// A `finally stage`: it starts when every main Job has ended.
    Finally,
}

impl Role {
    /// The label's value.
    pub fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Finally => "finally",
        }
    }
}
