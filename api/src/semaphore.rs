//! Semaphore: at most so many at once. Its status holds the ledger that a [`crate::Lease`] has too.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives out `permits`, first come first served.
///
/// # Guarantees
/// No stored version raises the sum of held permits above `permits`: the API server itself refuses
/// such a write. The one exception is the first write of a re-created Semaphore, which enters those
/// that hold already.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Semaphore",
    namespaced,
    shortname = "sem",
    category = "konductor",
    status = "SemaphoreStatus",
    derive = "PartialEq",
    doc = "Limits how many run at once.",
    scale(spec_replicas_path = ".spec.permits", status_replicas_path = ".status.inUse"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Permits", type_ = "integer", json_path = ".spec.permits"),
    printcolumn(name = "In-Use", type_ = "integer", json_path = ".status.inUse"),
    printcolumn(name = "Available", type_ = "integer", json_path = ".status.available"),
    printcolumn(name = "Order", type_ = "string", json_path = ".spec.order", priority = 1),
    printcolumn(
        name = "Holders",
        type_ = "string",
        json_path = ".status.holders[*].holder",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "!has(self.status) || !has(self.status.holders) || size(self.status.holders) == 0 || \
         !has(oldSelf.status) || self.status.holders.map(h, h.permits).sum() <= self.spec.permits || \
         (has(oldSelf.status.holders) && \
         size(oldSelf.status.holders) > 0 && self.status.holders.map(h, h.permits).sum() <= \
         oldSelf.status.holders.map(h, h.permits).sum())"
    )
    .message("more permits would be held than there are")
)]
#[serde(rename_all = "camelCase")]
pub struct SemaphoreSpec {
    /// How many permits there are. 0 grants nothing; lowering it revokes no permit that is held.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub permits: u32,
    /// Who is next. `Priority` orders Claims by their priority; every Job has priority 0.
    #[serde(default)]
    pub order: Order,
}

/// Who is next in a Semaphore's queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Order {
    /// By creation, to the second; then by the annotation `konductor.io/ordinal`, then by name.
    #[default]
    Fifo,
    /// By `priority`, the higher first; then as Fifo.
    Priority,
}

/// Where a Semaphore stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SemaphoreStatus {
    /// Whether something is free.
    #[serde(default)]
    pub phase: SemaphorePhase,
    /// **The ledger**: the holders and what they hold. A grant takes effect when it is written.
    #[serde(default)]
    #[schemars(
        length(max = 1024),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uid"])
    )]
    pub holders: Vec<Holder>,
    /// The sum of the holders' permits.
    #[serde(default)]
    pub in_use: u32,
    /// What is left of `permits`.
    #[serde(default)]
    pub available: u32,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Available`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Whether a Semaphore has something to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SemaphorePhase {
    /// Permits are free.
    #[default]
    Ready,
    /// None is.
    Full,
}

/// One entry of a ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Whether a Job or a Claim holds.
    pub kind: HolderKind,
    /// The object's name.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The object's uid: a re-created one of the same name is another holder.
    #[schemars(length(max = 64))]
    pub uid: String,
    /// Who that is, for people: the Claim's `holder`, or the Job's name.
    #[serde(default)]
    #[schemars(length(max = 253))]
    pub holder: String,
    /// How many permits.
    #[schemars(range(min = 1, max = 1_048_576))]
    pub permits: u32,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// The words for people: `job/load`, `claim/ada`.
impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            HolderKind::Job => write!(formatter, "job/{}", self.name),
            HolderKind::Claim => write!(formatter, "claim/{}", self.name),
        }
    }
}

/// What holds: a Job by its annotation, or a Claim.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum HolderKind {
    /// A `batch/v1` Job.
    Job,
    /// A [`crate::Claim`].
    Claim,
}
