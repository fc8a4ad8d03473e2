//! Creates, updates and deletions: from an object as a client sent it to a stored version.
//!
//! Every write goes through here, from HTTP and from controllers in the process. What is stored is
//! the version it was decided on plus the change: where another write came in between, the change
//! is made again, or the conflict is reported if the client named a version.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::definition::{Definition, Nature, Subresource};
use crate::kind;
use crate::metadata::{self, FOREGROUND, ORPHAN};
use crate::server::Shared;
use crate::status::{Cause, Status};
use crate::store::{Draft, Refusal, Version};

/// How often a generated name is tried again where it is taken.
const NAME_TRIES: usize = 8;

/// What a write is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) definition: &'a Definition,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
    pub(crate) subresource: Option<Subresource>,
}

/// How a write is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOptions<'a> {
    /// Everything but storing.
    pub(crate) dry_run: bool,
    /// Who writes.
    pub(crate) manager: &'a str,
}

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

/// What a write left.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) version: Arc<Version>,
    pub(crate) created: bool,
}

/// What a deletion left.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) version: Arc<Version>,
    /// Whether the object is gone, rather than waiting for finalizers or its grace period.
    pub(crate) gone: bool,
}

impl Shared {
    /// Stores a new object.
    pub(crate) fn create(
        &self,
        definition: &Definition,
        namespace: &str,
        object: Value,
        options: WriteOptions<'_>,
    ) -> Result<Written, Status> {
        let generates = metadata::name(&object).is_empty()
            && !metadata::text(&object, "generateName").is_empty();
        let mut tries = if generates { NAME_TRIES } else { 1 };
        loop {
            tries -= 1;
            let mut object = object.clone();
            if generates {
                let stem = metadata::text(&object, "generateName").to_owned();
                let name = self.identities.name(&stem);
                metadata::set(&mut object, "name", Some(name.into()));
            }
            let draft = self.new_draft(definition, namespace, object, options)?;
            let name = metadata::name(&draft.value).to_owned();
            let kind = &definition.kind;
            if options.dry_run && self.store.get(&kind.resource, namespace, &name).is_none() {
                return Ok(Written {
                    version: not_stored(draft, 0),
                    created: true,
                });
            }
            match self.store.create(&kind.resource, namespace, &name, draft) {
                Ok(version) => {
                    return Ok(Written {
                        version,
                        created: true,
                    });
                }
                Err(_) if tries > 0 => {}
                Err(_) => return Err(self.exists(definition, namespace, &name)),
            }
        }
    }

    fn exists(&self, definition: &Definition, namespace: &str, name: &str) -> Status {
        let kind = &definition.kind;
        let mut status = Status::already_exists(kind, name);
        let stored = self.store.get(&kind.resource, namespace, name);
        if stored.is_some_and(|stored| metadata::is_deleting(&stored.value)) {
            status.message = format!("object is being deleted: {}", status.message);
        }
        status
    }

    /// A new object, complete and valid.
    fn new_draft(
        &self,
        definition: &Definition,
        namespace: &str,
        mut value: Value,
        _options: WriteOptions<'_>,
    ) -> Result<Draft, Status> {
        let kind = &definition.kind;
        if !metadata::text(&value, "resourceVersion").is_empty() {
            return Err(Status::bad_request(
                "resourceVersion should not be set on objects to be created",
            ));
        }
        check_namespace(&mut value, namespace)?;
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata::clear_system_fields(metadata);
            metadata.shift_remove("managedFields");
        }
        let uid = self.identities.uid();
        let now = metadata::time((self.clock)());
        metadata::set(&mut value, "uid", Some(uid.into()));
        metadata::set(&mut value, "creationTimestamp", Some(now.into()));
        if definition.has_generation {
            metadata::set(&mut value, "generation", Some(1.into()));
        }
        let Nature::Builtin(rules) = &definition.nature;
        (rules.default)(&mut value);
        if definition.has_status {
            remove(&mut value, "status");
        }
        (rules.prepare_create)(&mut value);
        metadata::normalize(&mut value);
        let causes = (rules.validate)(&value);
        self.refuse(definition, &value, causes)?;
        let causes = metadata::validate(&value, kind.namespaced, definition.name_rule);
        self.refuse(definition, &value, causes)?;
        self.check_namespace_accepts(definition, namespace, &value)?;
        Ok(Draft {
            value,
            managed: crate::managed::Managed::default(),
        })
    }

    fn refuse(
        &self,
        definition: &Definition,
        value: &Value,
        causes: Vec<Cause>,
    ) -> Result<(), Status> {
        if causes.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(
            &definition.kind,
            metadata::name(value),
            causes,
        ))
    }

    /// A namespace must be there, and stay, for anything to be made in it.
    fn check_namespace_accepts(
        &self,
        definition: &Definition,
        namespace: &str,
        value: &Value,
    ) -> Result<(), Status> {
        if !definition.kind.namespaced {
            return Ok(());
        }
        let found = self.store.get(&kind::NAMESPACE.resource, "", namespace);
        let found = found.ok_or_else(|| Status::not_found(&kind::NAMESPACE, namespace))?;
        if !metadata::is_deleting(&found.value) {
            return Ok(());
        }
        let why = format!(
            "unable to create new content in namespace {namespace} because it is being terminated"
        );
        let status = Status::forbidden(&definition.kind, metadata::name(value), why);
        Err(status.caused_by(Cause {
            reason: "NamespaceTerminating",
            message: format!("namespace {namespace} is being terminated"),
            field: Some("metadata.namespace".to_owned()),
        }))
    }

    /// Changes a stored object by `change`, which is asked again where another write comes
    /// between.
    pub(crate) fn update(
        &self,
        target: Target<'_>,
        options: WriteOptions<'_>,
        change: &mut dyn FnMut(&Version) -> Result<Value, Status>,
    ) -> Result<Written, Status> {
        let kind = &target.definition.kind;
        loop {
            let stored = self
                .store
                .get(&kind.resource, target.namespace, target.name);
            let old = stored.ok_or_else(|| Status::not_found(kind, target.name))?;
            let mut value = change(&old)?;
            self.check_version(target, &mut value, &old)?;
            self.prepare_update(target, &mut value, &old.value)?;
            self.validate_update(target, &value, &old.value)?;
            let draft = Draft {
                value,
                managed: old.managed.clone(),
            };
            match self.store_update(target, options, draft, &old) {
                Err(Refusal::Moved | Refusal::Exists) => {}
                Ok(version) => {
                    return Ok(Written {
                        version,
                        created: false,
                    });
                }
            }
        }
    }

    fn store_update(
        &self,
        target: Target<'_>,
        options: WriteOptions<'_>,
        draft: Draft,
        old: &Arc<Version>,
    ) -> Result<Arc<Version>, Refusal> {
        let resource = &target.definition.kind.resource;
        let (namespace, name) = (target.namespace, target.name);
        if options.dry_run {
            return Ok(not_stored(draft, old.revision));
        }
        let ends = metadata::is_deleting(&old.value)
            && metadata::finalizers(&draft.value).next().is_none()
            && metadata::grace_seconds(&old.value).unwrap_or_default() == 0;
        if ends {
            return self
                .store
                .remove(resource, namespace, name, old, Some(draft));
        }
        if draft.value == *old.value && draft.managed == old.managed {
            return Ok(old.clone());
        }
        self.store.update(resource, namespace, name, old, draft)
    }

    /// A client that names a version changes only that one.
    fn check_version(
        &self,
        target: Target<'_>,
        value: &mut Value,
        old: &Version,
    ) -> Result<(), Status> {
        let definition = target.definition;
        let stored = old.revision.to_string();
        let named = metadata::text(value, "resourceVersion");
        if named == stored {
            return Ok(());
        }
        if named.is_empty() || named == "0" {
            if !definition.unconditional_update {
                let path = crate::field::Path::new("metadata").child("resourceVersion");
                let cause = path.invalid(0, "must be specified for an update");
                let by_plural = kind::Kind {
                    kind: definition.kind.resource.plural.clone(),
                    ..definition.kind.clone()
                };
                return Err(Status::invalid(&by_plural, target.name, vec![cause]));
            }
            metadata::set(value, "resourceVersion", Some(stored.into()));
            return Ok(());
        }
        Err(Status::modified(&definition.kind, target.name))
    }

    fn prepare_update(
        &self,
        target: Target<'_>,
        value: &mut Value,
        old: &Value,
    ) -> Result<(), Status> {
        let definition = target.definition;
        check_namespace(value, target.namespace)?;
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.shift_remove("managedFields");
        }
        let generation = old["metadata"]["generation"].clone();
        metadata::set(value, "generation", Some(generation));
        let Nature::Builtin(rules) = &definition.nature;
        (rules.default)(value);
        match target.subresource {
            Some(Subresource::Status) => keep(value, old, "spec"),
            Some(Subresource::Scale) | None => {
                if definition.has_status {
                    keep(value, old, "status");
                }
                (rules.prepare_update)(value, old);
                if definition.has_generation && value["spec"] != old["spec"] {
                    metadata::raise_generation(value);
                }
            }
        }
        metadata::carry_over(value, old);
        metadata::normalize(value);
        Ok(())
    }

    fn validate_update(
        &self,
        target: Target<'_>,
        value: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        let definition = target.definition;
        let namespaced = definition.kind.namespaced;
        let mut causes = metadata::validate(value, namespaced, definition.name_rule);
        causes.extend(metadata::validate_update(value, old));
        let Nature::Builtin(rules) = &definition.nature;
        if target.subresource == Some(Subresource::Status) {
            causes.extend((rules.validate_status_update)(value, old));
        } else {
            causes.extend((rules.validate)(value));
            causes.extend((rules.validate_update)(value, old));
        }
        self.refuse(definition, value, causes)
    }

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
        let asked = options
            .grace_period_seconds
            .map(|seconds| if seconds < 0 { 1 } else { seconds });
        if metadata::is_deleting(value) {
            let Some(granted @ 1..) = metadata::grace_seconds(value) else {
                return Grace::None;
            };
            let Some(seconds) = asked.filter(|&seconds| seconds < granted) else {
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
        let seconds = match asked.or(own) {
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
        let has = |value: &Value, wanted| metadata::finalizers(value).any(|name| name == wanted);
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
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The \
             object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&by_kind(), target.name, why));
    }
    let stored = old.revision.to_string();
    let wanted = options.resource_version.as_deref();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != stored) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the \
             ResourceVersion in record ({stored}). The object might have been modified"
        );
        return Err(Status::conflict(&by_kind(), target.name, why));
    }
    Ok(())
}

/// The namespace of the request is the object's.
fn check_namespace(value: &mut Value, namespace: &str) -> Result<(), Status> {
    let own = metadata::namespace(value);
    if own == namespace {
        return Ok(());
    }
    if !own.is_empty() && !namespace.is_empty() {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let namespace = (!namespace.is_empty()).then(|| json!(namespace));
    metadata::set(value, "namespace", namespace);
    Ok(())
}

/// A version as it would be, were it not a dry run.
fn not_stored(draft: Draft, revision: u64) -> Arc<Version> {
    Arc::new(Version {
        value: Arc::new(draft.value),
        managed: draft.managed,
        revision,
    })
}

/// Takes a field as it was.
fn keep(value: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(before) => value[field] = before.clone(),
        None => remove(value, field),
    }
}

fn remove(value: &mut Value, field: &str) {
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove(field);
    }
}
