//! Deletions: at once, after a grace period, or when the finalizers are gone.

use std::sync::Arc;

use serde_json::Value;

use super::{Target, not_stored};
use crate::custom::crd::CLEANUP;
use crate::definition::Definition;
use crate::kind;
use crate::metadata::{self, FOREGROUND, ORPHAN};
use crate::shared::Shared;
use crate::status::Status;
use crate::store::{Draft, Refusal, Version};

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it.
    Background,
    /// It waits until they are deleted.
    Foreground,
    /// They are kept.
    Orphan,
}

/// How an object is deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Only if it has this uid.
    pub uid: Option<String>,
    /// Only if it has this version.
    pub resource_version: Option<String>,
    /// What happens to its dependents; by default what its kind does.
    pub propagation: Option<Propagation>,
    /// How long a pod has to end; by default what it says itself.
    pub grace_period_seconds: Option<i64>,
    /// Everything but deleting.
    pub dry_run: bool,
}

/// What a deletion left.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) version: Arc<Version>,
    /// Whether the object is gone, rather than waiting for finalizers or its grace period.
    pub(crate) gone: bool,
}

impl Shared {
    /// Deletes an object, or starts to.
    pub(crate) fn delete(
        &self,
        target: Target<'_>,
        options: &DeleteOptions,
    ) -> Result<Removed, Status> {
        let kind = &target.definition.kind;
        loop {
            let stored = self
                .store
                .get(&kind.resource, target.namespace, target.name);
            let old = stored.ok_or_else(|| Status::not_found(kind, target.name))?;
            check_preconditions(target, &old, options)?;
            match self.delete_version(target, &old, options) {
                Ok(removed) => return Ok(removed),
                Err(Refusal::Moved | Refusal::Exists) => {}
                Err(Refusal::NotKept(why)) => return Err(super::not_kept(&why)),
            }
        }
    }

    fn delete_version(
        &self,
        target: Target<'_>,
        old: &Arc<Version>,
        options: &DeleteOptions,
    ) -> Result<Removed, Refusal> {
        let resource = &target.definition.kind.resource;
        let (namespace, name) = (target.namespace, target.name);
        let mut value = (*old.value).clone();
        let grace = match self.grace(target.definition, &mut value, options) {
            Grace::Pending => {
                return Ok(Removed {
                    version: old.clone(),
                    gone: false,
                });
            }
            grace => grace,
        };
        self.set_deletion_finalizers(target.definition, &mut value, options);
        let waits = metadata::finalizers(&value).next().is_some()
            || value["spec"]["finalizers"]
                .as_array()
                .is_some_and(|finalizers| {
                    *resource == kind::NAMESPACE.resource && !finalizers.is_empty()
                });
        if grace == Grace::None && waits {
            metadata::mark_deleting(&mut value, (self.clock)());
            if *resource == kind::NAMESPACE.resource {
                value["status"]["phase"] = "Terminating".into();
            }
        }
        let draft = Draft {
            value,
            managed: old.managed.clone(),
            stale: false,
        };
        let gone = !waits && !matches!(grace, Grace::Seconds(1..));
        if options.dry_run {
            return Ok(Removed {
                version: not_stored(draft, old.revision),
                gone,
            });
        }
        let mut version = old.clone();
        if draft.value != *old.value && (!gone || grace == Grace::Seconds(0)) {
            version = self.store.update(resource, namespace, name, old, draft)?;
        }
        if gone {
            version = self
                .store
                .remove(resource, namespace, name, &version, None)?;
        }
        Ok(Removed { version, gone })
    }

    /// How long the object has until it is gone; sets that on the object.
    fn grace(&self, definition: &Definition, value: &mut Value, options: &DeleteOptions) -> Grace {
        if definition.kind.resource != kind::POD.resource {
            return Grace::None;
        }
        let grace_seconds = options
            .grace_period_seconds
            .map(|seconds| if seconds < 0 { 1 } else { seconds });
        if metadata::is_deleting(value) {
            let Some(granted @ 1..) = metadata::grace_seconds(value) else {
                return Grace::None;
            };
            let Some(seconds) = grace_seconds.filter(|&seconds| seconds < granted) else {
                return Grace::Pending;
            };
            self.shorten(value, granted, seconds);
            return Grace::Seconds(metadata::grace_seconds(value).unwrap_or_default());
        }
        let ended = matches!(
            value["status"]["phase"].as_str(),
            Some("Succeeded" | "Failed")
        );
        let bound = value["spec"]["nodeName"]
            .as_str()
            .is_some_and(|node| !node.is_empty());
        let own = value["spec"]["terminationGracePeriodSeconds"].as_i64();
        let seconds = match grace_seconds.or(own) {
            Some(seconds) if bound && !ended => seconds,
            _ => 0,
        };
        let end = (self.clock)() + jiff::SignedDuration::from_secs(seconds);
        metadata::set(value, "deletionTimestamp", Some(metadata::time(end).into()));
        metadata::set(value, "deletionGracePeriodSeconds", Some(seconds.into()));
        metadata::raise_generation(value);
        Grace::Seconds(seconds)
    }

    /// Moves the end of a pod's grace period to an earlier time, but not into the past.
    fn shorten(&self, value: &mut Value, granted: i64, seconds: i64) {
        let now = (self.clock)();
        let planned: Option<jiff::Timestamp> =
            metadata::text(value, "deletionTimestamp").parse().ok();
        let by = jiff::SignedDuration::from_secs(seconds.saturating_sub(granted));
        let end = planned.and_then(|planned| planned.checked_add(by).ok());
        let (end, seconds) = match end {
            Some(end) if end >= now => (end, seconds),
            _ => (now, seconds.min(1)),
        };
        metadata::set(value, "deletionTimestamp", Some(metadata::time(end).into()));
        metadata::set(value, "deletionGracePeriodSeconds", Some(seconds.into()));
    }

    /// What a deletion asks for its dependents is kept as a finalizer, which the garbage collector
    /// removes when it has been done.
    fn set_deletion_finalizers(
        &self,
        definition: &Definition,
        value: &mut Value,
        options: &DeleteOptions,
    ) {
        if definition.kind.resource == kind::NAMESPACE.resource {
            return;
        }
        if definition.kind.resource == kind::CUSTOM_RESOURCE_DEFINITION.resource {
            // Its objects go first.
            add_finalizer(value, CLEANUP);
        }
        let has =
            |value: &Value, finalizer| metadata::finalizers(value).any(|other| other == finalizer);
        let (orphan, foreground) = match options.propagation {
            Some(propagation) => (
                propagation == Propagation::Orphan,
                propagation == Propagation::Foreground,
            ),
            None if has(value, FOREGROUND) => (false, true),
            None => (has(value, ORPHAN) || definition.orphans_by_default, false),
        };
        if has(value, ORPHAN) == orphan && has(value, FOREGROUND) == foreground {
            return;
        }
        let mut finalizers: Vec<String> = metadata::finalizers(value)
            .filter(|name| *name != ORPHAN && *name != FOREGROUND)
            .map(str::to_owned)
            .collect();
        if orphan {
            finalizers.push(ORPHAN.to_owned());
        }
        if foreground {
            finalizers.push(FOREGROUND.to_owned());
        }
        metadata::set_finalizers(value, &finalizers);
    }
}

/// Whether an object goes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grace {
    /// Its kind knows no grace, or it is over.
    None,
    /// It has this long.
    Seconds(i64),
    /// It is on its way already.
    Pending,
}

fn add_finalizer(value: &mut Value, finalizer: &str) {
    let mut finalizers: Vec<String> = metadata::finalizers(value).map(str::to_owned).collect();
    if !finalizers.iter().any(|other| other == finalizer) {
        finalizers.push(finalizer.to_owned());
        metadata::set_finalizers(value, &finalizers);
    }
}

fn check_preconditions(
    target: Target<'_>,
    old: &Version,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let uid = metadata::uid(&old.value);
    // The real server names the kind here, where every other conflict names the plural.
    let by_kind = || kind::Kind {
        resource: kind::Resource {
            plural: target.definition.kind.kind.clone(),
            ..target.definition.kind.resource.clone()
        },
        ..target.definition.kind.clone()
    };
    if let Some(expected) = options.uid.as_deref().filter(|expected| *expected != uid) {
        let why = format!(
            "the UID in the precondition ({expected}) does not match the UID in record ({uid}). \
             The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&by_kind(), target.name, why));
    }
    let stored = old.revision.to_string();
    let expected = options.resource_version.as_deref();
    if let Some(expected) = expected.filter(|expected| *expected != stored) {
        let why = format!(
            "the ResourceVersion in the precondition ({expected}) does not match the \
             ResourceVersion in record ({stored}). The object might have been modified"
        );
        return Err(Status::conflict(&by_kind(), target.name, why));
    }
    Ok(())
}
