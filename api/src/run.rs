//! Run: one execution of a pipeline.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{API_VERSION, Duration};

/// The record of one execution of a pipeline, and the owner of its objects.
///
/// # Guarantees
/// A final phase is written only when exactly the declared number of Jobs exist and all have ended
/// with no pod left; it is taken back only by a retry, which raises `attempt`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Run",
    namespaced,
    category = "konductor",
    status = "RunStatus",
    derive = "PartialEq",
    doc = "One execution of a pipeline.",
    selectable = ".spec.pipeline",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipeline"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Jobs", type_ = "integer", json_path = ".spec.jobs"),
    printcolumn(name = "Running", type_ = "integer", json_path = ".status.running"),
    printcolumn(name = "Succeeded", type_ = "integer", json_path = ".status.succeeded"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "Skipped", type_ = "integer", json_path = ".status.skipped", priority = 1),
    printcolumn(
        name = "Unreached",
        type_ = "integer",
        json_path = ".status.unreached",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Succeeded\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "!has(oldSelf.status) || oldSelf.status.phase in ['Running', 'Paused', 'Finalizing'] || \
         self.spec.attempt > oldSelf.status.attempt || \
         (has(self.status) && self.status.phase == oldSelf.status.phase)"
    )
    .message("a Run that has ended stays as it is, unless it is retried"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.outcome) || \
         self.spec.attempt > oldSelf.status.attempt || (has(self.status) && \
         has(self.status.outcome) && self.status.outcome == oldSelf.status.outcome)"
    )
    .message("a Run's outcome stays as it is, unless it is retried")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.pipeline == oldSelf.pipeline && self.jobs == oldSelf.jobs && \
         self.finallyJobs == oldSelf.finallyJobs"
    )
    .message("what a Run executes is immutable: create another Run"),
    validation = Rule::new("self.attempt >= oldSelf.attempt").message("attempt only rises"),
    validation = Rule::new("!oldSelf.cancel || self.cancel || self.attempt > oldSelf.attempt")
        .message("a cancelled Run is not taken up again, except by a retry"),
)]
pub struct RunSpec {
    /// The pipeline's name.
    #[schemars(length(min = 1, max = 63), extend("pattern" = crate::pattern::LABEL_VALUE))]
    pub pipeline: String,
    /// How many main Jobs there are, exactly.
    #[schemars(range(min = 0, max = 100_000))]
    pub jobs: u32,
    /// How many Jobs of finally stages there are, exactly.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1_000))]
    pub finally_jobs: u32,
    /// Stages that succeed with fewer than all of their items.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend(
        "maxProperties" = 1_000,
        "additionalProperties" = {"type": "integer", "minimum": 0, "maximum": 100_000}
    ))]
    pub quorums: BTreeMap<String, u32>,
    /// `true` ends it: what has not started is cancelled, what runs is stopped, finally stages run.
    #[serde(default)]
    pub cancel: bool,
    /// `true` ends its finally stages too: those that have not started are cancelled, those that run
    /// are stopped. It counts once the main Jobs have ended.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cancel_finally: bool,
    /// `true` pauses it: nothing more starts, and what runs is suspended: its pods are deleted, and start
    /// from the beginning when the Run resumes. A Run that is cancelled is not paused.
    #[serde(default)]
    pub pause: bool,
    /// With `pause`: what runs may finish, and only what has not started waits.
    #[serde(default, skip_serializing_if = "is_false")]
    pub let_running_finish: bool,
    /// Raised by a retry.
    #[serde(default = "first_attempt")]
    #[schemars(range(min = 1, max = 10_000))]
    pub attempt: u32,
    /// It is cancelled as timed out after this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// The first failure of a stage without `may-fail` cancels the rest, but no finally stage.
    #[serde(default)]
    pub fail_fast: bool,
    /// It is deleted, with all it owns, this long after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<Duration>,
    /// `koncli retry` writes it: the part of `status.record` about Jobs that no longer exist and that the retry does
    /// not run again. Don't change it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1_100_000), extend("pattern" = crate::pattern::RECORD))]
    pub kept: String,
}

fn is_false(value: &bool) -> bool {
    !*value
}

fn first_attempt() -> u32 {
    1
}

/// Where a Run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunStatus {
    /// Running, or how it ended.
    #[serde(default)]
    pub phase: RunPhase,
    /// How the main Jobs ended, once all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
    /// Jobs that wait for something.
    #[serde(default)]
    pub waiting: u32,
    /// Jobs that run.
    #[serde(default)]
    pub running: u32,
    /// Jobs that completed.
    #[serde(default)]
    pub succeeded: u32,
    /// Jobs that failed.
    #[serde(default)]
    pub failed: u32,
    /// Jobs that were skipped.
    #[serde(default)]
    pub skipped: u32,
    /// Jobs that can't run, because something before them ended badly.
    #[serde(default)]
    pub unreached: u32,
    /// Jobs that were cancelled.
    #[serde(default)]
    pub cancelled: u32,
    /// The attempt that this status is about.
    #[serde(default)]
    pub attempt: u32,
    /// When the operator first saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Jobs that were deleted before they had ended; they count as cancelled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deleted: u32,
    /// Whether all declared Jobs have existed. A Job that is missing from then on was deleted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub complete: bool,
    /// Since when it is paused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Time>,
    /// How long it was paused before that. The timeout does not count this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_for: Option<Duration>,
    /// Every Job that the attempt has had, and how each ended, so that a Job which is deleted still
    /// counts: 18 characters each.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1_100_000))]
    pub record: String,
    /// The names of the stages of which it has had Jobs, so that a stage whose Job is deleted keeps its name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_000))]
    pub stages: Vec<String>,
    /// The ID of the OpenTelemetry trace as which the attempt was exported after its end; absent if it was not exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = crate::pattern::TRACE_ID))]
    pub trace_id: Option<String>,
    /// `Succeeded`, and `Failing`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

impl RunSpec {
    /// Returns whether the Run is held back. One that is cancelled is to end, so its finally stages don't wait for
    /// somebody to resume it.
    pub fn is_paused(&self) -> bool {
        self.pause && !self.cancel
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}

/// Where a Run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunPhase {
    /// Main Jobs are waiting or running.
    #[default]
    Running,
    /// It is paused: nothing starts before it resumes or is cancelled.
    Paused,
    /// Every main Job has ended; finally stages are running.
    Finalizing,
    /// Every stage without `may-fail` succeeded or was skipped, and no finally stage failed or was cancelled.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// How the main Jobs of a Run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunOutcome {
    /// Every stage without `may-fail` succeeded or was skipped.
    Succeeded,
    /// A stage without `may-fail` failed, was unreached or was cancelled.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its timeout passed.
    TimedOut,
}

/// The owner reference of a Run's objects: they are deleted with it.
pub fn run_owner(run: &Run) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "Run".to_owned(),
        name: run.metadata.name.clone().unwrap_or_default(),
        uid: run.metadata.uid.clone().unwrap_or_default(),
        controller: None,
        block_owner_deletion: None,
    }
}
