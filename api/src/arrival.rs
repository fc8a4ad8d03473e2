//! Arrival: one party's word at a Barrier.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One party's arrival at a Barrier. Deleting it before the Barrier opens takes it back.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "konductor.io",
    version = "v1",
    kind = "Arrival",
    namespaced,
    shortname = "arr",
    category = "konductor",
    derive = "PartialEq",
    doc = "One party's arrival at a Barrier.",
    selectable = ".spec.barrier",
    printcolumn(name = "Barrier", type_ = "string", json_path = ".spec.barrier"),
    printcolumn(name = "Holder", type_ = "string", json_path = ".spec.holder"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".spec.outcome"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("an Arrival is immutable: delete it and create another")
)]
pub struct ArrivalSpec {
    /// The Barrier's name, in the same namespace.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::NAME))]
    pub barrier: String,
    /// The party's name. A party counts once, and of two outcomes Failed wins.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::pattern::TEXT))]
    pub holder: String,
    /// How the party ended.
    #[serde(default)]
    pub outcome: ArrivalOutcome,
    /// `holder` is the author's user name, which an admission policy checks: an approval.
    #[serde(default)]
    pub verified: bool,
}

/// How it went for the party that arrives.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum ArrivalOutcome {
    /// It did what it had to.
    #[default]
    Succeeded,
    /// It had nothing to do.
    Skipped,
    /// It was cancelled, or was never reached.
    Cancelled,
    /// It failed. Of two outcomes of one holder, the later one in this list wins.
    Failed,
}

/// The name of a party's Arrival: the Barrier's name and a hash of its uid and the holder, so a
/// party that arrives twice meets its own Arrival.
pub fn arrival_name(barrier: &str, barrier_uid: &str, holder: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(barrier_uid.as_bytes());
    hash.update([0]);
    hash.update(holder.as_bytes());
    let digest: String = hash.finalize()[..10]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let prefix: String = barrier.chars().take(200).collect();
    format!("{prefix}-{digest}")
}
