//! Claim: asking for permits of a Semaphore, or for a Lease.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, LedgerKind};

/// One acquisition. Deleting it releases what it holds, or leaves the queue.
///
/// # Guarantees
/// Granted is written only after the ledger of its target names this Claim's uid. Denied and
/// Expired are final.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Claim",
    namespaced,
    category = "konductor",
    status = "ClaimStatus",
    derive = "PartialEq",
    doc = "Asks for permits of a Semaphore, or for a Lease.",
    selectable = ".spec.target.name",
    selectable = ".spec.target.kind",
    selectable = ".spec.holder",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.target.kind"),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.target.name"),
    printcolumn(name = "Holder", type_ = "string", json_path = ".spec.holder"),
    printcolumn(name = "Permits", type_ = "integer", json_path = ".spec.permits", priority = 1),
    printcolumn(name = "Token", type_ = "integer", json_path = ".status.token", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new(
        "!has(oldSelf.status) || oldSelf.status.phase == 'Queued' || \
         (has(self.status) && (self.status.phase == oldSelf.status.phase || \
         (oldSelf.status.phase == 'Granted' && self.status.phase == 'Expired')))"
    )
    .message("a Claim goes from Queued to Granted or Denied, and from Granted to Expired"),
    validation = Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.token) || \
         (has(self.status) && has(self.status.token) && self.status.token == oldSelf.status.token)"
    )
    .message("a Claim's token is given once")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "self.target == oldSelf.target && self.holder == oldSelf.holder && \
         self.permits == oldSelf.permits && self.priority == oldSelf.priority && \
         self.wait == oldSelf.wait && has(self.ttl) == has(oldSelf.ttl) && \
         (!has(self.ttl) || self.ttl == oldSelf.ttl) && has(self.pod) == has(oldSelf.pod) && \
         (!has(self.pod) || self.pod == oldSelf.pod)"
    )
    .message("a Claim is immutable but for renewTime: create another"),
    validation = Rule::new("self.target.kind != 'Lease' || self.permits == 1")
        .message("a Lease is held with one permit"),
)]
pub struct ClaimSpec {
    // Not `on`: kubectl reads that as the YAML word for true.
    /// What is asked for.
    pub target: ClaimTarget,
    /// The holder's name. `koncli … release` and the SDKs release every grant of this name.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::TEXT))]
    pub holder: String,
    /// How many permits.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub permits: u32,
    /// The highest goes first, if the Semaphore's `order` is `Priority`. Every Job has priority 0.
    #[serde(default)]
    #[schemars(range(min = -1_000_000, max = 1_000_000))]
    pub priority: i32,
    /// How long the grant lasts without renewal, at most the Lease's own `ttl`. By default the Lease's `ttl`, or for
    /// a Semaphore one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Duration>,
    /// `false`: answered at once, Granted or Denied.
    #[serde(default = "yes")]
    pub wait: bool,
    /// The pod that asks: when it has ended or is gone, so has the Claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodReference>,
    /// The holder changes it to renew. The operator counts the TTL from when it saw the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = READABLE_TIME))]
    pub renew_time: Option<MicroTime>,
}

/// A time that every client reads. As `date-time` the API server stores more, such as an offset of 99
/// hours, and one Claim with such a time would hide all Claims from whoever lists them.
const READABLE_TIME: &str = concat!(
    r"^[0-8][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?",
    r"(Z|[+-](0[0-9]|1[0-9]|2[0-3]):[0-5][0-9])$"
);

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// What a Claim asks for, in its own namespace.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct ClaimTarget {
    /// Semaphore or Lease.
    pub kind: LedgerKind,
    /// Its name.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::NAME))]
    pub name: String,
}

impl ClaimTarget {
    /// The field selector of the Claims on this ledger.
    pub fn field_selector(&self) -> String {
        let Self { kind, name } = self;
        format!("spec.target.kind={},spec.target.name={name}", kind.kind())
    }
}

/// One incarnation of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::NAME))]
    pub name: String,
    /// Its uid.
    #[schemars(length(min = 1, max = 64), extend("pattern" = crate::pattern::UID))]
    pub uid: String,
}

/// Where a Claim stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimStatus {
    /// Queued, or the answer.
    #[serde(default)]
    pub phase: ClaimPhase,
    /// The fencing token of a Lease's grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<i64>,
    /// When it was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_at: Option<Time>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// `Granted`.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Where a Claim stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ClaimPhase {
    /// It waits for its turn.
    #[default]
    Queued,
    /// It holds.
    Granted,
    /// It asked not to wait, and nothing was free.
    Denied,
    /// It was not renewed in time, or its pod has ended.
    Expired,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_on_a_ledger_are_selected_by_the_kind_as_the_api_server_stores_it() {
        let table = [
            (
                LedgerKind::Lease,
                "spec.target.kind=Lease,spec.target.name=a",
            ),
            (
                LedgerKind::Semaphore,
                "spec.target.kind=Semaphore,spec.target.name=a",
            ),
        ];
        for (kind, expected) in table {
            let name = "a".to_owned();
            assert_eq!(ClaimTarget { kind, name }.field_selector(), expected);
            assert_eq!(serde_json::json!(kind), kind.kind());
        }
    }

    #[test]
    fn the_first_and_the_last_time_that_the_api_server_stores_are_read() {
        for time in [
            "0000-01-01T00:00:00+23:59",
            "0000-01-01T00:00:00.000000001Z",
            "8999-12-31T23:59:59.999999999-23:59",
        ] {
            let read: Result<MicroTime, _> = serde_json::from_value(time.into());
            assert!(read.is_ok(), "{time}: {read:?}");
        }
    }
}
