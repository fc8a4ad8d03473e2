//! Server-side apply: an object is made, or changed where its appliers say so.

use serde_json::Value;

use super::{Proposal, Target, WriteOptions, Written};
use crate::managed::Managed;
use crate::managed::apply::{self, Applied, Conflict};
use crate::metadata;
use crate::patch::Patch;
use crate::shared::Shared;
use crate::status::{Reason, Status};
use crate::store::Version;

impl Shared {
    /// Applies an object: it is created where it is not there.
    pub(crate) fn apply(
        &self,
        target: Target<'_>,
        options: WriteOptions<'_>,
        patch: &Patch,
        force: bool,
    ) -> Result<Written, Status> {
        let Patch::Apply(applied) = patch else {
            return Err(Status::internal("only an apply patch is applied"));
        };
        check_applied(target, applied)?;
        let definition = target.definition;
        let mut change = |old: &Version| {
            let live = definition.serve(&old.value);
            self.merge_applied(target, options, (&live, &old.managed), applied, force)
        };
        loop {
            match self.update(target, options, &mut change) {
                Err(status) if status.reason == Reason::NotFound => {}
                result => return result,
            }
            let uid = metadata::uid(applied);
            if !uid.is_empty() {
                let why = format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing \
                     object was found"
                );
                return Err(Status::conflict(&definition.kind, target.name, why));
            }
            if target.subresource.is_some() {
                return Err(Status::not_found(&definition.kind, target.name));
            }
            let nothing = (&definition.skeleton, &Managed::default());
            let proposal = self.merge_applied(target, options, nothing, applied, force)?;
            match self.create(definition, target.namespace, proposal, options) {
                // Someone else was faster: it is there to be changed now.
                Err(status) if status.reason == Reason::AlreadyExists => {}
                result => return result,
            }
        }
    }

    fn merge_applied(
        &self,
        target: Target<'_>,
        options: WriteOptions<'_>,
        (live, managed): (&Value, &Managed),
        applied: &Value,
        force: bool,
    ) -> Result<Proposal, Status> {
        let definition = target.definition;
        let time = metadata::time((self.clock)());
        let writer = definition.writer(target.subresource, options.manager, &time);
        let Applied { mut value, managed } = apply::apply(live, applied, managed, writer, force)
            .map_err(|conflict| refused(target, &conflict))?;
        if !value["metadata"].is_object() {
            return Err(Status::bad_request("metadata is a JSON object"));
        }
        metadata::set(&mut value, "name", Some(target.name.into()));
        Ok(Proposal {
            value,
            managed: Some(managed),
        })
    }
}

fn check_applied(target: Target<'_>, applied: &Value) -> Result<(), Status> {
    let kind = &target.definition.kind;
    let (version, expected) = (&applied["apiVersion"], kind.api_version());
    if *version != expected.as_str() || applied["kind"] != kind.kind.as_ref() {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: \
             {expected}",
            version.as_str().unwrap_or_default()
        )));
    }
    if !applied["metadata"]["managedFields"].is_null() {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let name = metadata::name(applied);
    if !name.is_empty() && name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    Ok(())
}

fn refused(target: Target<'_>, conflict: &Conflict) -> Status {
    let kind = &target.definition.kind;
    match conflict {
        Conflict::Owned(conflicts) => apply::conflict_status(conflicts),
        Conflict::Malformed(mistakes) => {
            let what = match mistakes.as_slice() {
                [only] => only.clone(),
                all => format!("errors:\n  {}", all.join("\n  ")),
            };
            let namespace = match target.namespace {
                "" => String::new(),
                namespace => namespace.to_owned(),
            };
            Status::new(
                Reason::Unknown,
                format!(
                    "failed to create typed patch object ({namespace}/{}; {}, Kind={}): {what}",
                    target.name,
                    kind.api_version(),
                    kind.kind
                ),
            )
        }
    }
}
