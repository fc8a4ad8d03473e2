//! Gate: conditions are met, then it opens.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, JobSelector};

/// The function of [`GateSpec::when`] that compares two numbers, which are strings, to the last digit: the result is
/// below 0, 0 or above 0.
pub const COMPARE_NUMBERS: &str = "compareNumbers";

/// Waits until its conditions are met. One with no conditions is manual: a person decides.
///
/// # Guarantees
/// A phase other than Waiting never changes again; a condition that was met once stays met.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Gate",
    namespaced,
    category = "konductor",
    status = "GateStatus",
    derive = "PartialEq",
    doc = "Opens when its conditions are met.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Met", type_ = "integer", json_path = ".status.met"),
    printcolumn(name = "Total", type_ = "integer", json_path = ".status.total"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Open\")].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "!has(oldSelf.status) || oldSelf.status.phase == 'Waiting' || \
         (has(self.status) && self.status.phase == oldSelf.status.phase)"
    )
    .message("a Gate that has ended stays as it is")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.conditions == oldSelf.conditions && self.mode == oldSelf.mode")
        .message("conditions and mode are immutable: create another Gate"),
    validation = Rule::new(
        "has(self.when) == has(oldSelf.when) && (!has(self.when) || self.when == oldSelf.when)"
    )
    .message("when is immutable: create another Gate"),
    validation = Rule::new(
        "!has(oldSelf.decision) || (has(self.decision) && self.decision == oldSelf.decision)"
    )
    .message("a decision is made once"),
)]
pub struct GateSpec {
    /// What must be true. A Gate without conditions is opened by a person, by `decision`.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub conditions: Vec<GateCondition>,
    /// Whether all of them must be met, or any one.
    #[serde(default)]
    pub mode: GateMode,
    /// A CEL expression, evaluated once the conditions are met. It reads outputs of Jobs of the conditions, as
    /// `outputs['JOB'].NAME` (strings), and if a condition names a Run, `run.outcome`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub when: Option<String>,
    /// Set once, by a person: it opens or fails at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<GateDecision>,
    /// It fails if it has not opened this long after its creation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// It is deleted this long after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<Duration>,
}

/// Whether all conditions must be met, or any one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GateMode {
    /// All of them.
    #[default]
    All,
    /// One of them.
    Any,
}

/// What a person decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum GateDecision {
    /// Open it.
    Open,
    /// Fail it.
    Failed,
}

/// One thing that a Gate waits for.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.type != 'Job' || self.state in ['Complete', 'Failed', 'Skipped', 'Finished']"
    )
    .message("a Job's state is Complete, Failed, Skipped or Finished"),
    validation = Rule::new(
        "!(self.type in ['Barrier', 'Gate']) || self.state in ['Open', 'Failed', 'Skipped', 'Finished']"
    )
    .message("a Barrier's or Gate's state is Open, Failed, Skipped or Finished"),
    validation = Rule::new(
        "self.type != 'Run' || self.state in ['Succeeded', 'Failed', 'Settled', 'Finished']"
    )
    .message("a Run's state is Succeeded, Failed, Settled or Finished"),
    validation = Rule::new(
        "self.type == 'Job' ? has(self.name) != has(self.selector) : !has(self.selector)"
    )
    .message("a Job is named by name or by selector, everything else by name"),
    validation = Rule::new("has(self.selector) == has(self.count)")
        .message("count goes with selector: exactly that many Jobs must match"),
    validation = Rule::new(
        "self.type == 'Run' ? has(self.name) != has(self.pipeline) : !has(self.pipeline)"
    )
    .message("a Run is named by name or by pipeline, nothing else by pipeline"),
    validation = Rule::new("self.type in ['Job', 'Run'] || has(self.name)")
        .message("name is missing"),
    validation = Rule::new("!has(self.verified) || !self.verified || self.type == 'Barrier'")
        .message("verified goes with type Barrier"),
    validation = Rule::new("!has(self.within) || has(self.pipeline)")
        .message("within goes with pipeline"),
    validation = Rule::new("!has(self.pipeline) || self.state == 'Succeeded'")
        .message("a pipeline is waited for with state Succeeded"),
)]
pub struct GateCondition {
    /// The kind of object.
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::NAME))]
    pub name: Option<String>,
    /// Its namespace, if it is another one; the target must permit it with the annotation
    /// `konductor.io/allow-from`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("pattern" = crate::pattern::NAMESPACE))]
    pub namespace: Option<String>,
    /// All Jobs with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<JobSelector>,
    /// How many Jobs match the selector, exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub count: Option<u32>,
    /// Some run of this pipeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("pattern" = crate::pattern::LABEL_VALUE))]
    pub pipeline: Option<String>,
    /// How long ago that run may have ended, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Duration>,
    /// The state to wait for.
    pub state: ConditionState,
    /// Of a Barrier: it meets the condition only with `arrivals: Verified`, as an approval has it. One that was
    /// deleted and created with `arrivals: Anyone` doesn't.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
}

/// The kind of object that a condition is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum ConditionKind {
    /// A `batch/v1` Job.
    Job,
    /// A Barrier.
    Barrier,
    /// Another Gate.
    Gate,
    /// A Run.
    Run,
}

/// The state that a condition waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionState {
    /// A Job completed (and stored the outputs it declares).
    Complete,
    /// A Barrier or Gate is open.
    Open,
    /// A Run succeeded.
    Succeeded,
    /// It ended in failure.
    Failed,
    /// It was skipped.
    Skipped,
    /// Every main Job of a Run has ended.
    Settled,
    /// It ended, in whatever way.
    Finished,
}

/// Where a Gate stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GateStatus {
    /// Waiting, or how it ended.
    #[serde(default)]
    pub phase: GatePhase,
    /// How many conditions are met.
    #[serde(default)]
    pub met: u32,
    /// How many there are.
    #[serde(default)]
    pub total: u32,
    /// One for each condition of the spec, in its order.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub condition_statuses: Vec<ConditionStatus>,
    /// When it opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<Time>,
    /// When it ended, opened or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Open`, and `Failed`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a Gate stands. Only Waiting ever changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum GatePhase {
    /// Conditions are missing.
    #[default]
    Waiting,
    /// Its conditions are met, or a person opened it.
    Open,
    /// A condition can't be met any more and ended well, or `when` is false.
    Skipped,
    /// A condition can't be met any more and ended badly.
    Unreached,
    /// Its timeout passed, or a person failed it.
    Failed,
}

/// What became of one condition of a Gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConditionStatus {
    /// What it is about, such as `job/extract` or `run of pipeline rates`.
    pub target: String,
    /// What became of it.
    #[serde(default)]
    pub verdict: Verdict,
    /// What it waits for, or why it is out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What became of one condition. Everything but Pending is latched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// Not decided yet.
    #[default]
    Pending,
    /// Met.
    Met,
    /// It can't be met any more, and that is no failure: what waits is skipped.
    Skipped,
    /// It can't be met any more, because something ended badly: what waits is not reached.
    Failed,
}
