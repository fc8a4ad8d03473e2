//! Barrier: n parties arrive, then it opens.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{API_VERSION, Duration};

/// A point that `expected` parties must reach before its waiters continue.
///
/// # Guarantees
/// A phase other than Waiting never changes again, and one party counts once.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Barrier",
    namespaced,
    shortname = "bar",
    category = "konductor",
    status = "BarrierStatus",
    derive = "PartialEq",
    doc = "Opens when enough parties have arrived.",
    selectable = ".spec.gate",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Arrived", type_ = "integer", json_path = ".status.arrived"),
    printcolumn(name = "Expected", type_ = "integer", json_path = ".spec.expected"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed", priority = 1),
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
    .message("a Barrier that has ended stays as it is")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.quorum) || self.quorum <= self.expected")
        .message("quorum must not be more than expected"),
    validation = Rule::new(
        "has(self.jobs) == has(oldSelf.jobs) && (!has(self.jobs) || self.jobs == oldSelf.jobs)"
    )
    .message("jobs is immutable: create another Barrier"),
    validation = Rule::new(
        "has(self.gate) == has(oldSelf.gate) && (!has(self.gate) || self.gate == oldSelf.gate)"
    )
    .message("gate is immutable: create another Barrier"),
    validation = Rule::new("self.arrivals == oldSelf.arrivals")
        .message("arrivals is immutable: create another Barrier"),
)]
pub struct BarrierSpec {
    /// How many parties there are.
    #[schemars(range(min = 1, max = 100_000))]
    pub expected: u32,
    /// How many of them must succeed; by default all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub quorum: Option<u32>,
    /// The parties are the Jobs with these labels. They need no Arrivals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobSelector>,
    /// Until this Gate opens, the Barrier waits and its timeout does not run. An Arrival that was created earlier
    /// counts from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::NAME))]
    pub gate: Option<String>,
    /// It fails if it has not opened this long after its creation, or with `gate` after the Gate's opening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// It is deleted this long after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<Duration>,
    /// Whose arrivals count.
    #[serde(default)]
    pub arrivals: Arrivals,
}

/// Labels that a Job must carry, all of them.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.matchLabels.all(key, key.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?\
         [A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))"
    )
    .message("a key of matchLabels is the key of a label, such as app.kubernetes.io/name")
)]
pub struct JobSelector {
    /// Label names and values.
    #[schemars(extend("minProperties" = 1, "maxProperties" = 16))]
    pub match_labels: BTreeMap<String, LabelValue>,
}

impl JobSelector {
    /// Returns the labels as plain texts.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let labels = self.match_labels.iter();
        labels
            .map(|(key, value)| (key.clone(), value.0.clone()))
            .collect()
    }
}

/// A label's value, up to 63 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct LabelValue(
    #[schemars(length(max = 63), extend("pattern" = crate::pattern::LABEL_VALUE))] pub String,
);

/// Whose arrivals a Barrier counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Arrivals {
    /// Every Arrival that names this Barrier.
    #[default]
    Anyone,
    /// Only those with `verified: true`, which an admission policy ties to their author: approvals.
    Verified,
}

/// Where a Barrier stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BarrierStatus {
    /// Waiting, or how it ended.
    #[serde(default)]
    pub phase: BarrierPhase,
    /// Parties that arrived and succeeded.
    #[serde(default)]
    pub arrived: u32,
    /// Parties that failed, were cancelled or were unreached.
    #[serde(default)]
    pub failed: u32,
    /// Parties that arrived as skipped.
    #[serde(default)]
    pub skipped: u32,
    /// When its Gate opened, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
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

/// Where a Barrier stands. Only Waiting ever changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BarrierPhase {
    /// Parties are missing.
    #[default]
    Waiting,
    /// Enough parties arrived.
    Open,
    /// Only skips are in the way of opening.
    Skipped,
    /// A party was never reached, or its Gate ended badly.
    Unreached,
    /// Too many parties failed, or the timeout passed.
    Failed,
}

/// The owner reference of an Arrival at a Barrier: it is deleted with it, and counts for it alone.
pub fn barrier_owner(barrier: &Barrier) -> OwnerReference {
    OwnerReference {
        api_version: API_VERSION.to_owned(),
        kind: "Barrier".to_owned(),
        name: barrier.metadata.name.clone().unwrap_or_default(),
        uid: barrier.metadata.uid.clone().unwrap_or_default(),
        ..OwnerReference::default()
    }
}
