//! Create, replace, patch and delete.

use axum::http::{StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::media::Media;
use super::read::Selection;
use super::respond::{self, ListMeta};
use super::{Call, not_allowed};
use crate::definition::Nature;
use crate::field::Path;
use crate::kind::Kind;
use crate::metadata;
use crate::patch::{self, PatchType};
use crate::protobuf::{self, Unreadable};
use crate::scale;
use crate::status::{Cause, Reason, Status};
use crate::store::Version;
use crate::subresource::Subresource;
use crate::write::{
    DeleteOptions, FieldValidation, Propagation, Proposal, Removed, Target, WriteOptions, Written,
};

const MANAGER_LENGTH_MAX: usize = 128;

pub(super) fn create(call: &Call, body: &[u8]) -> Result<Response, Status> {
    if call.definition.kind.namespaced && call.path.namespace.is_none() {
        return Err(not_allowed());
    }
    let manager = call.manager();
    let options = call.write_options("CreateOptions", &manager)?;
    let object = call.read_object(body, None)?;
    let shared = &call.server.shared;
    let written = shared.create(&call.definition, call.namespace(), object.into(), options)?;
    call.respond_written(&written)
}

pub(super) fn replace(call: &Call, body: &[u8]) -> Result<Response, Status> {
    let manager = call.manager();
    let options = call.write_options("UpdateOptions", &manager)?;
    let subresource = call.subresource()?;
    if subresource == Some(Subresource::Scale) {
        let scale = call.read_json(body)?;
        return call.write_scale(options, &mut |_| Ok(scale.clone()));
    }
    let object = call.read_object(body, Some(call.name()))?;
    if !metadata::name(&object).is_empty() && metadata::name(&object) != call.name() {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            metadata::name(&object),
            call.name()
        )));
    }
    let uid = metadata::uid(&object).to_owned();
    let mut change = |old: &Version| {
        check_uid(call, &uid, old)?;
        let mut object = object.clone();
        if metadata::name(&object).is_empty() {
            metadata::set(&mut object, "name", Some(call.name().into()));
        }
        Ok(object.into())
    };
    let target = call.target(subresource);
    let written = match call.server.shared.update(target, options, &mut change) {
        Err(status)
            if status.reason == Reason::NotFound
                && call.definition.create_on_update
                && subresource.is_none() =>
        {
            let mut object = object.clone();
            metadata::set(&mut object, "name", Some(call.name().into()));
            metadata::set(&mut object, "resourceVersion", None);
            let namespace = call.namespace();
            let shared = &call.server.shared;
            shared.create(&call.definition, namespace, object.into(), options)?
        }
        result => result?,
    };
    call.respond_written(&written)
}

/// An object that names a uid is only stored over that one.
fn check_uid(call: &Call, precondition: &str, old: &Version) -> Result<(), Status> {
    let uid = metadata::uid(&old.value);
    if precondition.is_empty() || precondition == uid {
        return Ok(());
    }
    Err(Status::conflict(
        &call.definition.kind,
        call.name(),
        format!(
            "StorageError: invalid object, Code: 4, Key: {}, ResourceVersion: 0, \
             AdditionalErrorMsg: Precondition failed: UID in precondition: {precondition}, UID in \
             object meta: {uid}",
            call.storage_key()
        ),
    ))
}

pub(super) fn patch(call: &Call, body: &[u8]) -> Result<Response, Status> {
    let media = Media::parse(call.header(header::CONTENT_TYPE));
    let kind = PatchType::parse(&media.name, &call.definition)?;
    let manager = call.manager();
    let force = call.query.optional_flag("force")?;
    let mut causes = Vec::new();
    if kind == PatchType::Apply && call.query.get("fieldManager").is_empty() {
        let path = Path::new("fieldManager");
        causes.push(path.required("is required for apply patch"));
    }
    if kind != PatchType::Apply && force.is_some() {
        let path = Path::new("force");
        causes.push(path.forbidden("may not be specified for non-apply patch"));
    }
    if !causes.is_empty() {
        return Err(Status::invalid(&options_kind("PatchOptions"), "", causes));
    }
    let mut options = call.write_options("PatchOptions", &manager)?;
    options.by_patch = true;
    let subresource = call.subresource()?;
    let patch = patch::Patch::read(kind, body)?;
    if subresource == Some(Subresource::Scale) {
        return call.write_scale(options, &mut |scale| patch.change(scale, &scale::SCHEMA));
    }
    let target = call.target(subresource);
    let written = if kind == PatchType::Apply {
        let force = force.unwrap_or_default();
        call.server.shared.apply(target, options, &patch, force)?
    } else {
        let schema = &call.definition.schema;
        let mut change = |old: &Version| {
            let before = call.definition.serve(&old.value);
            let whole = old.managed.merged_into(&before);
            let value = patch.change(&whole, schema)?;
            check_unmoved(&value, &before)?;
            Ok(value.into())
        };
        call.server.shared.update(target, options, &mut change)?
    };
    call.respond_written(&written)
}

/// A patch can't move an object to another name.
fn check_unmoved(value: &Value, before: &Value) -> Result<(), Status> {
    if !value["metadata"].is_object() {
        return Err(Status::bad_request("metadata is a JSON object"));
    }
    let (name, before) = (metadata::name(value), metadata::name(before));
    if name != before {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({before})"
        )));
    }
    Ok(())
}

pub(super) fn delete(call: &Call, body: &[u8]) -> Result<Response, Status> {
    if call.path.subresource.is_some() {
        return Err(not_allowed());
    }
    let options = call.delete_options(body)?;
    let removed = call.server.shared.delete(call.target(None), &options)?;
    let mut response = if call.definition.returns_deleted || !removed.gone {
        respond::object(
            StatusCode::OK,
            &call.definition,
            &removed.version,
            call.representation,
            call.include()?,
            call.server.now(),
        )
    } else {
        respond::json(StatusCode::OK, deleted(call, &removed).to_string())
    };
    if call.definition.orphans_by_default && options.propagation.is_none() {
        let kept = "child pods are preserved by default when jobs are deleted; set \
                    propagationPolicy=Background to remove them or set \
                    propagationPolicy=Orphan to suppress this warning";
        respond::warn(&mut response, &[kept.to_owned()]);
    }
    Ok(response)
}

/// The Status that says that an object is gone.
fn deleted(call: &Call, removed: &Removed) -> Value {
    let mut details = json!({"name": call.name()});
    if !call.definition.kind.group().is_empty() {
        details["group"] = call.definition.kind.group().into();
    }
    details["kind"] = call.path.resource.as_str().into();
    details["uid"] = metadata::uid(&removed.version.value).into();
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}

pub(super) fn delete_collection(call: &Call, body: &[u8]) -> Result<Response, Status> {
    let in_scope = call.path.namespace.is_some() || !call.definition.kind.namespaced;
    if !call.definition.deletes_collections || !in_scope {
        return Err(not_allowed());
    }
    let options = call.delete_options(body)?;
    let selection = Selection::of(call)?;
    let shared = &call.server.shared;
    let resource = &call.definition.kind.resource;
    let (mut items, revision) = shared.store.list(resource, call.path.namespace.as_deref());
    items.retain(|item| selection.matches(&item.value));
    for item in &items {
        let target = Target {
            definition: &call.definition,
            namespace: metadata::namespace(&item.value),
            name: metadata::name(&item.value),
            subresource: None,
        };
        match shared.delete(target, &options) {
            Err(status) if status.reason != Reason::NotFound => return Err(status),
            _ => {}
        }
    }
    let meta = ListMeta {
        revision,
        ..ListMeta::default()
    };
    Ok(respond::list(
        &call.definition,
        &items,
        &meta,
        call.representation,
        call.include()?,
        call.server.now(),
    ))
}

fn options_kind(name: &'static str) -> Kind {
    Kind::cluster("meta.k8s.io", "v1", name, "")
}

impl Call {
    /// Where a real server keeps the object.
    fn storage_key(&self) -> String {
        let kind = &self.definition.kind;
        let folder = match &self.definition.nature {
            Nature::Builtin(_) => kind.resource.plural.to_string(),
            Nature::Custom(_) => format!("{}/{}", kind.group(), kind.resource.plural),
        };
        let namespace = match self.namespace() {
            "" => String::new(),
            namespace => format!("{namespace}/"),
        };
        format!("/registry/{folder}/{namespace}{}", self.name())
    }

    fn target(&self, subresource: Option<Subresource>) -> Target<'_> {
        Target {
            definition: &self.definition,
            namespace: self.namespace(),
            name: self.name(),
            subresource,
        }
    }

    /// Who writes: who the request says, or else the program that sends it.
    fn manager(&self) -> String {
        let named = self.query.get("fieldManager");
        if !named.is_empty() {
            return named.to_owned();
        }
        let agent = self.header(header::USER_AGENT);
        let program = agent.split('/').next().unwrap_or_default();
        program.chars().take(MANAGER_LENGTH_MAX).collect()
    }

    fn write_options<'a>(
        &self,
        kind: &'static str,
        manager: &'a str,
    ) -> Result<WriteOptions<'a>, Status> {
        let mut causes = Vec::new();
        let dry_run = self.dry_run(&mut causes);
        let validation = match self.query.get("fieldValidation") {
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            "" | "Warn" => FieldValidation::Warn,
            other => {
                let path = Path::new("fieldValidation");
                causes.push(path.not_supported(other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        if manager.len() > MANAGER_LENGTH_MAX {
            causes.push(Path::new("fieldManager").too_long(MANAGER_LENGTH_MAX));
        }
        if !causes.is_empty() {
            return Err(Status::invalid(&options_kind(kind), "", causes));
        }
        Ok(WriteOptions {
            dry_run,
            manager,
            validation,
            by_patch: false,
        })
    }

    fn dry_run(&self, causes: &mut Vec<Cause>) -> bool {
        let values: Vec<_> = self
            .query
            .all("dryRun")
            .filter(|value| !value.is_empty())
            .collect();
        check_dry_run(&values, causes)
    }

    /// The body as an object of this kind.
    pub(super) fn read_object(&self, body: &[u8], name: Option<&str>) -> Result<Value, Status> {
        let mut object = self.read_json(body)?;
        let kind = &self.definition.kind;
        let Some(fields) = object.as_object_mut() else {
            return Err(Status::bad_request("the body is not a JSON object"));
        };
        let api_version = kind.api_version();
        let text_of = |field: &str| {
            let text = fields.get(field).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let (body_version, body_kind) = (text_of("apiVersion"), text_of("kind"));
        self.check_kind(&body_version, &body_kind)?;
        fields.insert("apiVersion".to_owned(), api_version.into());
        fields.insert("kind".to_owned(), kind.kind.as_ref().into());
        let metadata = fields.entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        if !metadata.is_object() {
            return Err(Status::bad_request("metadata is a JSON object"));
        }
        if let Some(name) = name
            && metadata::name(&object).is_empty()
        {
            return Err(Status::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be \
                 provided"
            )));
        }
        Ok(object)
    }

    /// The kind and version of a body are those of the path, or left to it.
    fn check_kind(&self, api_version: &str, body_kind: &str) -> Result<(), Status> {
        let kind = &self.definition.kind;
        let expected = kind.api_version();
        let other_version = !api_version.is_empty() && api_version != expected;
        let other_kind = !body_kind.is_empty() && body_kind != kind.kind;
        if !other_version && !other_kind {
            return Ok(());
        }
        if matches!(self.definition.nature, Nature::Custom(_)) {
            return Err(Status::bad_request(if other_version {
                format!(
                    "the API version in the data ({api_version}) does not match the expected API \
                     version ({expected})"
                )
            } else {
                format!(
                    "{body_kind} in version \"{}\" is not a {}",
                    kind.version, kind.kind
                )
            }));
        }
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let version = if version.is_empty() {
            &kind.version
        } else {
            version
        };
        let body_kind = if body_kind.is_empty() {
            &kind.kind
        } else {
            body_kind
        };
        let is_registered = !other_version
            && self
                .server
                .shared
                .catalog
                .of_kind(kind.group(), body_kind)
                .is_some();
        let why = if is_registered {
            let package = match kind.group().split('.').next() {
                None | Some("") => "core",
                Some(group) => group,
            };
            format!(
                "converting ({version}.{body_kind}) to ({package}.{}): unknown conversion",
                kind.kind
            )
        } else {
            let scheme = "in scheme \"pkg/runtime/scheme.go:111\"";
            let version = if other_version {
                api_version
            } else {
                &expected
            };
            format!("no kind \"{body_kind}\" is registered for version \"{version}\" {scheme}")
        };
        Err(Status::bad_request(format!(
            "{body_kind} in version \"{version}\" cannot be handled as a {}: {why}",
            kind.kind
        )))
    }

    fn read_json(&self, body: &[u8]) -> Result<Value, Status> {
        let media = Media::parse(self.header(header::CONTENT_TYPE));
        match media.name.as_str() {
            "" | "application/json" => serde_json::from_slice(body).map_err(|error| {
                Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type {}): couldn't get \
                     version/kind; json parse error: {error} ({})",
                    self.definition.kind.kind,
                    String::from_utf8_lossy(&body[..body.len().min(256)])
                ))
            }),
            "application/yaml" => patch::read_yaml(body),
            protobuf::MEDIA_TYPE => protobuf::read(body).map_err(|error| match error {
                Unreadable::Unknown { .. } => Status::new(
                    Reason::UnsupportedMediaType,
                    format!("{error}: send it as application/json"),
                ),
                error => Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type {}): {error}",
                    self.definition.kind.kind
                )),
            }),
            other => Err(Status::new(
                Reason::UnsupportedMediaType,
                format!(
                    "the body of the request was in an unknown format - accepted media types \
                     include: application/json, application/yaml, \
                     application/vnd.kubernetes.protobuf; {other} is not read"
                ),
            )),
        }
    }

    fn respond_written(&self, written: &Written) -> Result<Response, Status> {
        let code = if written.created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let mut response = respond::object(
            code,
            &self.definition,
            &written.version,
            self.representation,
            self.include()?,
            self.server.now(),
        );
        respond::warn(&mut response, &written.warnings);
        Ok(response)
    }

    /// Changes the replicas of an object through its Scale.
    fn write_scale(
        &self,
        options: WriteOptions<'_>,
        change: &mut dyn FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Response, Status> {
        let paths = self
            .definition
            .scale
            .as_ref()
            .ok_or_else(super::unknown_path)?;
        let mut change = |old: &Version| {
            let before = scale::of(&old.value, paths);
            let scale = change(&before)?;
            let named = metadata::text(&scale, "resourceVersion");
            if !named.is_empty() && named != metadata::text(&before, "resourceVersion") {
                return Err(Status::modified(&self.definition.kind, self.name()));
            }
            let mut value = (*self.definition.serve(&old.value)).clone();
            scale::set(&mut value, paths, &scale)?;
            Ok(Proposal::from(value))
        };
        let target = self.target(Some(Subresource::Scale));
        let written = self.server.shared.update(target, options, &mut change)?;
        let scale = scale::of(&written.version.value, paths);
        Ok(respond::json(StatusCode::OK, scale.to_string()))
    }

    fn delete_options(&self, body: &[u8]) -> Result<DeleteOptions, Status> {
        let mut causes = Vec::new();
        let mut options = DeleteOptions::default();
        let propagation;
        let orphan;
        if body.is_empty() {
            options.dry_run = self.dry_run(&mut causes);
            options.grace_period_seconds = self.query.integer("gracePeriodSeconds")?;
            propagation = self.query.get("propagationPolicy").to_owned();
            orphan = self.query.optional_flag("orphanDependents")?;
        } else {
            let body = self.read_json(body)?;
            let kind = body["kind"].as_str().unwrap_or("DeleteOptions");
            if kind != "DeleteOptions" {
                return Err(Status::bad_request(
                    "decoded object cannot be converted to DeleteOptions",
                ));
            }
            let values = body["dryRun"].as_array().into_iter().flatten();
            let values: Vec<_> = values.filter_map(Value::as_str).collect();
            options.dry_run = check_dry_run(&values, &mut causes);
            options.grace_period_seconds = body["gracePeriodSeconds"].as_i64();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            options.uid = text(&body["preconditions"]["uid"]);
            options.resource_version = text(&body["preconditions"]["resourceVersion"]);
            propagation = text(&body["propagationPolicy"]).unwrap_or_default();
            orphan = body["orphanDependents"].as_bool();
        }
        options.propagation = read_propagation(&propagation, orphan, &mut causes);
        if !causes.is_empty() {
            return Err(Status::invalid(&options_kind("DeleteOptions"), "", causes));
        }
        Ok(options)
    }
}

fn check_dry_run(values: &[&str], causes: &mut Vec<Cause>) -> bool {
    if values.iter().any(|value| *value != "All") {
        causes.push(Path::new("dryRun").not_supported(json!(values), &["All"]));
    }
    !values.is_empty()
}

fn read_propagation(
    policy: &str,
    orphan: Option<bool>,
    causes: &mut Vec<Cause>,
) -> Option<Propagation> {
    let path = Path::new("propagationPolicy");
    if orphan.is_some() && !policy.is_empty() {
        let why = "orphanDependents and deletionPropagation cannot be both set";
        causes.push(path.invalid(policy, why));
    }
    match (policy, orphan) {
        ("Background", _) | ("", Some(false)) => Some(Propagation::Background),
        ("Foreground", _) => Some(Propagation::Foreground),
        ("Orphan", _) | ("", Some(true)) => Some(Propagation::Orphan),
        ("", None) => None,
        _ => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            causes.push(path.not_supported(policy, &supported));
            None
        }
    }
}
