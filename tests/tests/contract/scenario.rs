//! A scenario as its file has it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// One claim about every SDK.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) operator: Option<String>,
    #[serde(default)]
    pub(crate) setup: Vec<Object>,
    pub(crate) steps: Vec<Step>,
    #[serde(default)]
    pub(crate) left: BTreeMap<String, usize>,
}

/// An object of konductor.io/v1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Object {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) spec: Value,
}

/// One step; its fields say what it is.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Step {
    #[serde(rename = "do")]
    pub(crate) perform: Option<String>,
    pub(crate) begin: Option<String>,
    pub(crate) call: Option<String>,
    #[serde(rename = "as")]
    pub(crate) name: Option<String>,
    pub(crate) object: Option<String>,
    pub(crate) namespace: Option<String>,
    pub(crate) holder: Option<String>,
    pub(crate) outcome: Option<konductor_api::ArrivalOutcome>,
    pub(crate) permits: Option<u32>,
    pub(crate) priority: Option<i32>,
    pub(crate) ttl: Option<konductor_api::Duration>,
    pub(crate) timeout: Option<konductor_api::Duration>,
    pub(crate) wait: Option<bool>,
    #[serde(rename = "failFast")]
    pub(crate) fail_fast: bool,
    pub(crate) result: Option<String>,
    pub(crate) end: Option<String>,
    pub(crate) pending: Option<String>,
    pub(crate) cancel: Option<String>,
    pub(crate) release: Option<String>,
    pub(crate) holds: Option<String>,
    pub(crate) rising: Option<Vec<String>>,
    pub(crate) create: Option<Object>,
    pub(crate) patch: Option<String>,
    pub(crate) with: Option<Value>,
    pub(crate) delete: Option<String>,
    pub(crate) expire: Option<String>,
    pub(crate) until: Option<String>,
    pub(crate) has: Option<Value>,
    pub(crate) of: Option<String>,
    pub(crate) times: Option<usize>,
    #[serde(rename = "break")]
    pub(crate) fault: Option<String>,
    pub(crate) how: Option<String>,
    pub(crate) mend: Option<String>,
    pub(crate) cut: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) operator: Option<String>,
    pub(crate) requests: Option<Vec<String>>,
}
