//! Get and list.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};

use super::Call;
use super::respond::{self, ListMeta};
use crate::definition::Definition;
use crate::field::Path;
use crate::kind::Kind;
use crate::scale;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::{Cause, Details, Reason, Status};
use crate::store::{Gone, Version};
use crate::subresource::Subresource;
use crate::table::Include;

/// What objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Selection {
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Selection {
    pub(super) fn of(call: &Call) -> Result<Self, Status> {
        let labels = LabelSelector::parse(call.query.get("labelSelector"))?;
        let mut fields = FieldSelector::parse(call.query.get("fieldSelector"))?;
        check_fields(&call.definition, &fields)?;
        if let Some(name) = &call.path.name {
            if !fields.is_empty() && fields.name() != Some(name) {
                return Err(Status::bad_request(
                    "fieldSelector metadata.name doesn't match requested name",
                ));
            }
            fields = FieldSelector::of_name(name);
        }
        Ok(Self { labels, fields })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.matches(object) && self.fields.matches(object)
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }
}

fn check_fields(definition: &Definition, fields: &FieldSelector) -> Result<(), Status> {
    for term in fields.terms() {
        let is_supported = term.path == "metadata.name"
            || (term.path == "metadata.namespace" && definition.kind.namespaced)
            || definition.selectable.contains(&term.path);
        if !is_supported {
            let message = term.unsupported(&definition.kind);
            return Err(Status::bad_request(message));
        }
    }
    Ok(())
}

pub(super) fn get(call: &Call) -> Result<Response, Status> {
    let definition = &call.definition;
    let kind = &definition.kind;
    let stored = call
        .server
        .shared
        .store
        .get(&kind.resource, call.namespace(), call.name());
    let version = stored.ok_or_else(|| Status::not_found(kind, call.name()))?;
    match call.subresource()? {
        Some(Subresource::Scale) => {
            let paths = definition.scale.as_ref().ok_or_else(super::unknown_path)?;
            let scale = scale::of(&version.value, paths);
            Ok(respond::json(StatusCode::OK, scale.to_string()))
        }
        Some(Subresource::Status) | None => Ok(respond::object(
            StatusCode::OK,
            definition,
            &version,
            call.representation,
            call.include()?,
            call.server.now(),
        )),
    }
}

impl Call {
    /// The subresource of the path, if the kind has it.
    pub(super) fn subresource(&self) -> Result<Option<Subresource>, Status> {
        let Some(name) = &self.path.subresource else {
            return Ok(None);
        };
        match Subresource::parse(name) {
            Some(Subresource::Status) if self.definition.has_status => {
                Ok(Some(Subresource::Status))
            }
            Some(Subresource::Scale) if self.definition.scale.is_some() => {
                Ok(Some(Subresource::Scale))
            }
            _ => Err(super::unknown_path()),
        }
    }

    /// What of each object a table brings along.
    pub(super) fn include(&self) -> Result<Include, Status> {
        match self.query.get("includeObject") {
            "" | "Metadata" => Ok(Include::Metadata),
            "Object" => Ok(Include::Object),
            "None" => Ok(Include::Nothing),
            other => {
                let kind = Kind::cluster("meta.k8s.io", "v1", "TableOptions", "tableoptions");
                let why = "must be 'Metadata', 'Object', 'None', or empty";
                let cause = Path::new("includeObject").invalid(other, why);
                Err(Status::invalid(&kind, "", vec![cause]))
            }
        }
    }
}

pub(super) fn list(call: &Call) -> Result<Response, Status> {
    let selection = Selection::of(call)?;
    let request = ListRequest::of(call)?;
    let (items, meta) = request.answer(call, &selection)?;
    Ok(respond::list(
        &call.definition,
        &items,
        &meta,
        call.representation,
        call.include()?,
        call.server.now(),
    ))
}

/// Which state is listed, and how much of it.
struct ListRequest {
    revision: Option<u64>,
    after: Option<String>,
    limit: usize,
}

impl ListRequest {
    fn of(call: &Call) -> Result<Self, Status> {
        let query = &call.query;
        let causes = check_list_options(call);
        if !causes.is_empty() {
            return Err(Status::invalid(&LIST_OPTIONS, "", causes));
        }
        let limit = query.integer("limit")?.unwrap_or_default();
        let limit = usize::try_from(limit).ok().filter(|&limit| limit > 0);
        let revision = parse_revision(query.get("resourceVersion"))?;
        let limit_or_all = limit.unwrap_or(usize::MAX);
        let token = query.get("continue");
        if !token.is_empty() {
            if revision.is_some_and(|revision| revision != 0) {
                return Err(Status::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let (revision, after) = parse_token(token)?;
            return Ok(Self {
                revision,
                after: Some(after),
                limit: limit_or_all,
            });
        }
        let current = call.server.shared.store.revision();
        if let Some(revision) = revision.filter(|revision| *revision > current) {
            return Err(too_large(revision, current));
        }
        let exact = query.get("resourceVersionMatch") == "Exact"
            || (limit.is_some() && query.get("resourceVersionMatch").is_empty());
        Ok(Self {
            revision: revision.filter(|revision| exact && *revision > 0),
            after: None,
            limit: limit_or_all,
        })
    }

    fn answer(
        &self,
        call: &Call,
        selection: &Selection,
    ) -> Result<(Vec<Arc<Version>>, ListMeta), Status> {
        let store = &call.server.shared.store;
        let page = store
            .page(
                &call.definition.kind.resource,
                call.path.namespace.as_deref(),
                self.revision,
                self.after.as_deref(),
                self.limit,
                |object| selection.matches(object),
            )
            .map_err(|gone| self.expired(gone))?;
        let next = page.last.as_ref().map(|last| token(page.revision, last));
        let meta = ListMeta {
            revision: page.revision,
            remaining: next
                .is_some()
                .then_some(page.remaining)
                .filter(|_| selection.is_empty()),
            next,
        };
        Ok((page.items, meta))
    }

    fn expired(&self, gone: Gone) -> Status {
        let Some(after) = &self.after else {
            return expired(gone);
        };
        let mut status = Status::new(
            Reason::Expired,
            "The provided continue parameter is too old to display a consistent list result. You \
             can start a new list without the continue parameter, or use the continue token in \
             this response to retrieve the remainder of the results. Continuing with the provided \
             token results in an inconsistent list - objects that were created, modified, or \
             deleted between the time the first chunk was returned and now may show up in the \
             list.",
        );
        status.continue_token = Some(inconsistent_token(after));
        status
    }
}

const LIST_OPTIONS: Kind = Kind::cluster("meta.k8s.io", "v1", "ListOptions", "listoptions");

fn check_list_options(call: &Call) -> Vec<Cause> {
    let query = &call.query;
    let mut causes = Vec::new();
    let version_match = query.get("resourceVersionMatch");
    let path = Path::new("resourceVersionMatch");
    if !version_match.is_empty() {
        if query.get("resourceVersion").is_empty() {
            let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            causes.push(path.forbidden(why));
        }
        if !query.get("continue").is_empty() {
            causes.push(
                path.forbidden("resourceVersionMatch is forbidden when continue is provided"),
            );
        }
        if version_match != "Exact" && version_match != "NotOlderThan" {
            causes.push(path.not_supported(version_match, &["Exact", "NotOlderThan", ""]));
        }
        if version_match == "Exact" && query.get("resourceVersion") == "0" {
            let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            causes.push(path.forbidden(why));
        }
    }
    if query.has("sendInitialEvents") {
        let path = Path::new("sendInitialEvents");
        causes.push(path.forbidden("sendInitialEvents is forbidden for list"));
    }
    causes
}

/// Parses a resource version; an empty text is `None`.
pub(super) fn parse_revision(text: &str) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| {
        let why = format!(
            "strconv.ParseUint: parsing {}: invalid syntax",
            crate::field::quote(text)
        );
        let cause = Path::new("resourceVersion").invalid(text, why);
        Status::invalid(&LIST_OPTIONS, "", vec![cause])
    })
}

/// What changed right after a revision is forgotten.
pub(super) fn expired(gone: Gone) -> Status {
    Status::new(Reason::Expired, gone.to_string())
}

/// A revision that is not there yet.
pub(super) fn too_large(revision: u64, current: u64) -> Status {
    let message = format!("Too large resource version: {revision}, current: {current}");
    let mut status = Status::new(Reason::Timeout, format!("Timeout: {message}"));
    status.details = Some(Box::new(Details {
        causes: vec![Cause {
            reason: "ResourceVersionTooLarge",
            message: "Too large resource version".to_owned(),
            field: None,
        }],
        retry_after_seconds: Some(1),
        ..Details::default()
    }));
    status
}

/// Where the next page begins, as text that clients don't look into.
fn token(revision: u64, last: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": revision, "start": format!("{last}\0")});
    crate::encoding::base64_url(token.to_string().as_bytes())
}

fn inconsistent_token(after: &str) -> String {
    let token = json!({"v": "meta.k8s.io/v1", "rv": -1, "start": format!("{after}\0")});
    crate::encoding::base64_url(token.to_string().as_bytes())
}

fn parse_token(token: &str) -> Result<(Option<u64>, String), Status> {
    let invalid = |why: &str| Status::bad_request(format!("continue key is not valid: {why}"));
    let bytes = crate::encoding::from_base64_url(token).ok_or_else(|| invalid("illegal base64"))?;
    let token: Value =
        serde_json::from_slice(&bytes).map_err(|error| invalid(&error.to_string()))?;
    let start = token["start"]
        .as_str()
        .and_then(|start| start.strip_suffix('\0'));
    let start = start.ok_or_else(|| invalid("encoded start key empty (version meta.k8s.io/v1)"))?;
    Ok((token["rv"].as_u64(), start.to_owned()))
}
