//! The TTL of an object that has ended: it is deleted, unless something unfinished names it.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use konductor_api::{Duration, ObjectName};

use crate::facts::Facts;
use crate::kind::Kind;
use crate::{Decided, Decision, Write, deadline};

/// An object that has ended.
pub(crate) struct Finished<'a> {
    /// What it is to those that name it.
    pub(crate) kind: Kind,
    pub(crate) metadata: &'a ObjectMeta,
    pub(crate) at: Option<&'a Time>,
    pub(crate) ttl: Option<&'a Duration>,
}

/// Deletes an object that has ended after its TTL, unless something unfinished in its namespace names it. That is
/// read live, because a deletion can't be taken back.
///
/// # Errors
/// What must be observed first.
pub(crate) fn expire<S>(finished: Finished<'_>, facts: &Facts, now: Timestamp) -> Decided<S> {
    let mut decision = Decision::default();
    let ttl = finished.ttl.and_then(|ttl| ttl.parse().ok());
    let (Some(at), Some(ttl)) = (finished.at, ttl) else {
        return Ok(decision);
    };
    if finished.metadata.deletion_timestamp.is_some() {
        return Ok(decision);
    }
    let Some(due) = deadline::passes(at, ttl) else {
        return Ok(decision);
    };
    if now < due {
        decision.wake_at(due);
        return Ok(decision);
    }
    let name = ObjectName::of(finished.metadata);
    let waited_for = facts.waited_for(&name.namespace)?;
    if waited_for.contains(finished.kind, &name) {
        return Ok(decision);
    }
    decision.before.push(Write::Delete {
        kind: finished.kind,
        name,
        uid: finished.metadata.uid.clone().unwrap_or_default(),
        version: finished.metadata.resource_version.clone(),
    });
    Ok(decision)
}
