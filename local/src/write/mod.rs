//! Creates and updates: from an object as a client sent it to a stored version.
//!
//! Every write goes through here, from HTTP and from controllers in the process. What is stored is
//! the version it was decided on plus the change: where another write came in between, the change
//! is made again, or the conflict is reported if the client named a version.

mod applied;
mod delete;
mod establish;

use std::sync::Arc;

use serde_json::{Value, json};

pub(crate) use delete::Removed;
pub use delete::{DeleteOptions, Propagation};

use crate::definition::Definition;
use crate::field::Path;
use crate::kind;
use crate::managed::{Managed, apply};
use crate::metadata;
use crate::shared::Shared;
use crate::status::{Cause, Reason, Status};
use crate::store::{Draft, Refusal, Version};
use crate::subresource::Subresource;

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

/// What is done about fields that a schema does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    #[default]
    Warn,
    Strict,
}

/// How a write is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteOptions<'a> {
    /// Everything but storing.
    pub(crate) dry_run: bool,
    /// Who writes.
    pub(crate) manager: &'a str,
    pub(crate) validation: FieldValidation,
    /// Whether the object is the result of a patch, for messages.
    pub(crate) by_patch: bool,
}

/// What a write left.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) version: Arc<Version>,
    pub(crate) created: bool,
    /// What the client should know.
    pub(crate) warnings: Vec<String>,
}

/// What a stored object is to become.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) value: Value,
    /// Who manages which fields then; worked out from the change where it is absent.
    pub(crate) managed: Option<Managed>,
}

impl From<Value> for Proposal {
    fn from(value: Value) -> Self {
        Self {
            value,
            managed: None,
        }
    }
}

impl Shared {
    /// Stores a new object.
    pub(crate) fn create(
        &self,
        definition: &Definition,
        namespace: &str,
        proposal: Proposal,
        options: WriteOptions<'_>,
    ) -> Result<Written, Status> {
        let object = proposal.value;
        let generates = metadata::name(&object).is_empty()
            && !metadata::text(&object, "generateName").is_empty();
        let mut tries = if generates { NAME_TRIES } else { 1 };
        loop {
            tries -= 1;
            let mut value = object.clone();
            if generates {
                let stem = metadata::text(&value, "generateName").to_owned();
                let name = self.identities.name(&stem);
                metadata::set(&mut value, "name", Some(name.into()));
            }
            let proposal = Proposal {
                value,
                managed: proposal.managed.clone(),
            };
            let (draft, warnings) = self.new_draft(definition, namespace, proposal, options)?;
            let name = metadata::name(&draft.value).to_owned();
            let resource = &definition.kind.resource;
            let created = |version| Written {
                version,
                created: true,
                warnings,
            };
            if options.dry_run && self.store.get(resource, namespace, &name).is_none() {
                return Ok(created(not_stored(draft, 0)));
            }
            match self.store.create(resource, namespace, &name, draft) {
                Ok(version) => {
                    self.after_write(definition, &version);
                    return Ok(created(version));
                }
                Err(Refusal::NotKept(why)) => return Err(not_kept(&why)),
                Err(Refusal::Exists | Refusal::Moved) if tries > 0 => {}
                Err(Refusal::Exists | Refusal::Moved) => {
                    return Err(self.exists(definition, namespace, &name));
                }
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

    /// A new object, complete and valid, and what the client should know about it.
    fn new_draft(
        &self,
        definition: &Definition,
        namespace: &str,
        proposal: Proposal,
        options: WriteOptions<'_>,
    ) -> Result<(Draft, Vec<String>), Status> {
        let mut value = proposal.value;
        let unknown = definition.decode(&mut value)?;
        let mut warnings = self.judge_unknown(definition, unknown, &value, options)?;
        if !metadata::text(&value, "resourceVersion").is_empty() {
            return Err(Status::new(
                Reason::Unknown,
                "resourceVersion should not be set on objects to be created",
            ));
        }
        check_namespace(&mut value, namespace)?;
        let claimed = take_managed(&mut value);
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata::clear_system_fields(metadata);
        }
        let managed = proposal.managed.unwrap_or_else(|| {
            let claimed = claimed.unwrap_or_default();
            self.updated(
                definition,
                None,
                &definition.skeleton,
                &value,
                &claimed,
                options,
            )
        });
        let uid = self.identities.uid();
        let now = metadata::time((self.clock)());
        metadata::set(&mut value, "uid", Some(uid.into()));
        metadata::set(&mut value, "creationTimestamp", Some(now.into()));
        if definition.has_generation {
            metadata::set(&mut value, "generation", Some(1.into()));
        }
        definition.prepare_create(&mut value);
        metadata::normalize(&mut value);
        self.refuse(definition, &value, definition.validate_create(&value))?;
        self.check_namespace_accepts(definition, namespace, &value)?;
        warnings.extend(definition.warn(&value, None));
        definition.store(&mut value);
        let filled = definition.as_read(&value);
        let stale = filled.is_some();
        let draft = Draft {
            value: filled.unwrap_or(value),
            managed,
            stale,
        };
        Ok((draft, warnings))
    }

    /// Refuses fields that the schema does not know, or warns about them, as the client wishes.
    fn judge_unknown(
        &self,
        definition: &Definition,
        unknown: Vec<String>,
        value: &Value,
        options: WriteOptions<'_>,
    ) -> Result<Vec<String>, Status> {
        let unknown = unknown.into_iter();
        let messages: Vec<_> = unknown
            .map(|path| format!("unknown field {}", crate::field::quote(&path)))
            .collect();
        match options.validation {
            _ if messages.is_empty() => Ok(messages),
            FieldValidation::Ignore => Ok(Vec::new()),
            FieldValidation::Warn => Ok(messages),
            FieldValidation::Strict => {
                let why = format!("strict decoding error: {}", messages.join(", "));
                Err(match options.by_patch {
                    true => invalid_patch(value, &why),
                    false => definition.bad_object(&why),
                })
            }
        }
    }

    /// What a write means to the server itself: a definition that was stored is served.
    fn after_write(&self, definition: &Definition, version: &Arc<Version>) {
        if definition.kind.resource == kind::CUSTOM_RESOURCE_DEFINITION.resource {
            self.establish(definition, metadata::name(&version.value));
        }
    }

    /// Who manages what after a write that is no apply.
    fn updated(
        &self,
        definition: &Definition,
        subresource: Option<Subresource>,
        before: &Value,
        after: &Value,
        managed: &Managed,
        options: WriteOptions<'_>,
    ) -> Managed {
        let time = metadata::time((self.clock)());
        let writer = definition.writer(subresource, options.manager, &time);
        apply::updated(before, after, managed, writer)
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
        let stored = self.store.get(&kind::NAMESPACE.resource, "", namespace);
        let stored = stored.ok_or_else(|| Status::not_found(&kind::NAMESPACE, namespace))?;
        if !metadata::is_deleting(&stored.value) {
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
        change: &mut dyn FnMut(&Version) -> Result<Proposal, Status>,
    ) -> Result<Written, Status> {
        let definition = target.definition;
        loop {
            let stored = self
                .store
                .get(&definition.kind.resource, target.namespace, target.name);
            let old = stored.ok_or_else(|| Status::not_found(&definition.kind, target.name))?;
            let Proposal { mut value, managed } = change(&old)?;
            let unknown = definition.decode(&mut value).map_err(|status| {
                if options.by_patch {
                    invalid_patch(&value, &status.message)
                } else {
                    status
                }
            })?;
            let mut warnings = self.judge_unknown(definition, unknown, &value, options)?;
            self.check_version(target, &mut value, &old)?;
            check_namespace(&mut value, target.namespace)?;
            let old_value = definition.serve(&old.value);
            let managed = managed.unwrap_or_else(|| {
                let claimed = take_managed(&mut value).filter(|_| target.subresource.is_none());
                let claimed = claimed.unwrap_or_else(|| old.managed.clone());
                let subresource = target.subresource;
                self.updated(
                    definition,
                    subresource,
                    &old_value,
                    &value,
                    &claimed,
                    options,
                )
            });
            self.prepare_update(target, &mut value, &old_value);
            self.validate_update(target, &value, &old_value)?;
            if target.subresource.is_none() {
                warnings.extend(definition.warn(&value, Some(&old_value)));
            }
            definition.store(&mut value);
            let draft = Draft {
                value,
                managed,
                stale: false,
            };
            match self.store_update(target, options, draft, &old) {
                Err(Refusal::Moved | Refusal::Exists) => {}
                Err(Refusal::NotKept(why)) => return Err(not_kept(&why)),
                Ok(version) => {
                    if !options.dry_run && version.revision != old.revision {
                        self.after_write(definition, &version);
                    }
                    return Ok(Written {
                        version,
                        created: false,
                        warnings,
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
            let removed = self
                .store
                .remove(resource, namespace, name, old, Some(draft))?;
            if *resource == kind::CUSTOM_RESOURCE_DEFINITION.resource {
                self.retire(&removed.value);
            }
            return Ok(removed);
        }
        let same = draft.value == *old.value && draft.managed.same_beside_times(&old.managed);
        if same && !old.stale {
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
                let path = Path::new("metadata").child("resourceVersion");
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

    fn prepare_update(&self, target: Target<'_>, value: &mut Value, old: &Value) {
        let definition = target.definition;
        metadata::set(value, "managedFields", None);
        let generation = old["metadata"]["generation"].clone();
        metadata::set(value, "generation", Some(generation));
        definition.prepare_update(value, old, target.subresource);
        metadata::carry_over(value, old);
        metadata::normalize(value);
    }

    fn validate_update(
        &self,
        target: Target<'_>,
        value: &Value,
        old: &Value,
    ) -> Result<(), Status> {
        let definition = target.definition;
        let causes = definition.validate_update(value, old, target.subresource);
        self.refuse(definition, value, causes)
    }
}

/// The failure of a write that the journal did not take.
fn not_kept(why: &str) -> Status {
    Status::new(
        Reason::InternalError,
        format!("nothing was changed: the journal of this cluster can't be written: {why}"),
    )
}

/// What a client says about managed fields.
fn take_managed(value: &mut Value) -> Option<Managed> {
    let claimed = Managed::from_client(&value["metadata"]["managedFields"]);
    metadata::set(value, "managedFields", None);
    claimed
}

/// A patch that leaves something that can't be read.
fn invalid_patch(value: &Value, why: &str) -> Status {
    let nothing = kind::Kind::cluster("", "", "", "");
    let cause = Path::new("patch").invalid(crate::field::sorted_json(value), why);
    Status::invalid(&nothing, "", vec![cause])
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
        stale: draft.stale,
    })
}
