//! Lease: one at a time, with expiry and a fencing token.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, Holder};

/// Gives one holder at a time the right to act, and a token that only rises.
///
/// # Guarantees
/// At most one holder in every stored version; the token rises with each grant, also across
/// deletion and re-creation. A holder cut off from the API server may still act after its TTL:
/// hand the token to the storage you protect, and let the storage refuse lower ones.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Lease",
    namespaced,
    shortname = "klease",
    category = "konductor",
    status = "LeaseStatus",
    derive = "PartialEq",
    doc = "Gives one holder at a time the right to act.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Holder", type_ = "string", json_path = ".status.holders[0].holder"),
    printcolumn(name = "TTL", type_ = "string", json_path = ".spec.ttl"),
    printcolumn(name = "Token", type_ = "integer", json_path = ".status.token", priority = 1),
    printcolumn(name = "Acquired", type_ = "date", json_path = ".status.acquiredAt", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.token) || \
         (has(self.status) && has(self.status.token) && self.status.token >= oldSelf.status.token)"
    )
    .message("a Lease's token never falls"),
    validation = Rule::new(
        "!has(self.status) || !has(self.status.holders) || size(self.status.holders) == 0 || \
         (has(oldSelf.status) && has(oldSelf.status.holders) && \
         size(oldSelf.status.holders) > 0 && \
         oldSelf.status.holders[0].uid == self.status.holders[0].uid) || \
         !has(oldSelf.status) || !has(oldSelf.status.token) || \
         self.status.token > oldSelf.status.token"
    )
    .message("a new holder needs a higher token")
)]
#[serde(rename_all = "camelCase")]
pub struct LeaseSpec {
    /// How long a grant lasts without renewal: the default for its Claims, and their ceiling.
    pub ttl: Duration,
}

/// Where a Lease stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaseStatus {
    /// Whether it is held.
    #[serde(default)]
    pub phase: LeasePhase,
    /// **The ledger**: at most one entry. Writing it is the moment of granting.
    #[serde(default)]
    #[schemars(
        length(max = 1),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["uid"])
    )]
    pub holders: Vec<Holder>,
    /// The sum of the holders' permits: 0 or 1.
    #[serde(default)]
    pub in_use: u32,
    /// What is left: 1 or 0.
    #[serde(default)]
    pub available: u32,
    /// The fencing token of the last grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<i64>,
    /// When the present holder got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acquired_at: Option<Time>,
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Available`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Whether a Lease is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LeasePhase {
    /// It has no holder.
    #[default]
    Available,
    /// It has a holder.
    Held,
}
