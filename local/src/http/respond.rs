//! Answers: objects, lists and Statuses as bytes.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::TryStreamExt;
use serde_json::Value;

use super::media::Representation;
use crate::definition::{Definition, Nature};
use crate::protobuf;
use crate::status::Status;
use crate::store::Version;
use crate::table;

/// The page of a list that comes with it.
#[derive(Clone, Debug, Default)]
pub(super) struct ListMeta {
    pub(super) revision: u64,
    pub(super) next: Option<String>,
    pub(super) remaining: Option<usize>,
}

/// A Status as an answer.
pub(super) fn status(status: &Status) -> Response {
    let code = StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(code, status.to_value().to_string());
    let retry = status
        .details
        .as_ref()
        .and_then(|details| details.retry_after_seconds);
    if let Some(seconds) = retry {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The answer to a path that nothing is served at.
pub(super) fn no_such_path() -> Response {
    let mut response = json(StatusCode::NOT_FOUND, "404 page not found\n");
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// JSON as an answer.
pub(super) fn json(code: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-cache, private"),
    );
    response
}

/// Writes an answer as protobuf that was written as JSON. What is neither stays as it is, such as logs.
pub(super) async fn as_protobuf(response: Response, watches: bool) -> Result<Response, Status> {
    let media = response.headers().get(header::CONTENT_TYPE).cloned();
    let (mut parts, body) = response.into_parts();
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(protobuf::MEDIA_TYPE),
    );
    let body = match media.as_ref().map(HeaderValue::as_bytes) {
        Some(b"application/json") if watches => {
            parts.headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/vnd.kubernetes.protobuf;stream=watch"),
            );
            Body::from_stream(body.into_data_stream().map_ok(|line| frame(&line)))
        }
        Some(b"application/json") => {
            let body = axum::body::to_bytes(body, usize::MAX).await;
            let body = body.map_err(Status::internal)?;
            let value: Value = serde_json::from_slice(&body).map_err(Status::internal)?;
            match protobuf::write(&value) {
                Some(bytes) => Body::from(bytes),
                None => {
                    let kind = value["kind"].as_str().unwrap_or_default();
                    return Err(Status::internal(format!("{kind} has no protobuf")));
                }
            }
        }
        other => {
            if let Some(Ok(media)) = other.map(HeaderValue::from_bytes) {
                parts.headers.insert(header::CONTENT_TYPE, media);
            }
            body
        }
    };
    Ok(Response::from_parts(parts, body))
}

/// The frame of one line of a watch. What can't be written ends the watch at the client, which lists again.
fn frame(line: &[u8]) -> Bytes {
    let event = serde_json::from_slice(line).ok();
    let frame = event.and_then(|event| protobuf::watch_event(&event));
    frame.unwrap_or_default().into()
}

/// Adds warnings, which clients show to their users.
pub(super) fn warn(response: &mut Response, warnings: &[String]) {
    for warning in warnings {
        let text = format!("299 - {}", crate::field::quote(warning));
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// One object as an answer.
pub(super) fn object(
    code: StatusCode,
    definition: &Definition,
    version: &Version,
    representation: Representation,
    include: table::Include,
    now: jiff::Timestamp,
) -> Response {
    let mut body = Vec::new();
    match representation {
        Representation::Table => {
            let rows = table::table(definition, &[version], include, now);
            let meta = version.revision;
            write_table(
                &mut body,
                rows,
                &ListMeta {
                    revision: meta,
                    ..ListMeta::default()
                },
            );
        }
        Representation::Metadata => write_metadata(&mut body, version),
        Representation::Whole | Representation::AggregatedDiscovery => {
            write_version(&mut body, definition, version, true);
        }
    }
    json(code, body)
}

/// A list as an answer.
pub(super) fn list(
    definition: &Definition,
    items: &[Arc<Version>],
    meta: &ListMeta,
    representation: Representation,
    include: table::Include,
    now: jiff::Timestamp,
) -> Response {
    let mut body = Vec::new();
    match representation {
        Representation::Table => {
            let items: Vec<&Version> = items.iter().map(AsRef::as_ref).collect();
            write_table(
                &mut body,
                table::table(definition, &items, include, now),
                meta,
            );
        }
        Representation::Metadata => {
            let kind = ("PartialObjectMetadataList", "meta.k8s.io/v1");
            write_list(&mut body, kind, meta, items, |body, item| {
                write_metadata(body, item);
            });
        }
        Representation::Whole | Representation::AggregatedDiscovery => {
            let api_version = definition.kind.api_version();
            // Typed lists don't repeat the kind in each item.
            let typed = matches!(definition.nature, Nature::Builtin(_));
            let kind = (definition.list_kind.as_str(), api_version.as_str());
            // And untyped ones say that no page is left.
            let last = (!typed && meta.next.is_none()).then(|| ListMeta {
                next: Some(String::new()),
                ..*meta
            });
            let meta = last.as_ref().unwrap_or(meta);
            write_list(&mut body, kind, meta, items, |body, item| {
                write_version(body, definition, item, !typed);
            });
        }
    }
    json(StatusCode::OK, body)
}

fn write_list(
    body: &mut Vec<u8>,
    (kind, api_version): (&str, &str),
    meta: &ListMeta,
    items: &[Arc<Version>],
    mut write: impl FnMut(&mut Vec<u8>, &Version),
) {
    body.extend_from_slice(
        format!(
            "{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{},\"items\":[",
            meta.to_value()
        )
        .as_bytes(),
    );
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write(body, item);
    }
    body.extend_from_slice(b"]}\n");
}

fn write_table(body: &mut Vec<u8>, mut table: Value, meta: &ListMeta) {
    table["metadata"] = meta.to_value();
    write_value(body, &table);
}

impl ListMeta {
    fn to_value(&self) -> Value {
        let mut meta = serde_json::json!({"resourceVersion": self.revision.to_string()});
        if let Some(next) = &self.next {
            meta["continue"] = next.as_str().into();
        }
        if let Some(remaining) = self.remaining {
            meta["remainingItemCount"] = remaining.into();
        }
        meta
    }
}

/// Writes an object as one version of its kind serves it, with its managed fields.
pub(super) fn write_version(
    body: &mut Vec<u8>,
    definition: &Definition,
    version: &Version,
    with_kind: bool,
) {
    let value = definition.serve(&version.value);
    let Some(fields) = value.as_object() else {
        return;
    };
    let fields = fields
        .iter()
        .filter(|(name, _)| with_kind || !matches!(name.as_str(), "kind" | "apiVersion"));
    write_fields(body, fields, version);
}

/// Writes an object's metadata alone, as `PartialObjectMetadata`.
pub(super) fn write_metadata(body: &mut Vec<u8>, version: &Version) {
    let kind = (
        "kind".to_owned(),
        Value::String("PartialObjectMetadata".to_owned()),
    );
    let api_version = (
        "apiVersion".to_owned(),
        Value::String("meta.k8s.io/v1".to_owned()),
    );
    let metadata = ("metadata".to_owned(), version.value["metadata"].clone());
    let fields = [kind, api_version, metadata];
    write_fields(
        body,
        fields.iter().map(|(name, value)| (name, value)),
        version,
    );
}

fn write_fields<'a>(
    body: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
    version: &Version,
) {
    body.push(b'{');
    for (index, (name, value)) in fields.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        write_value(body, &Value::String(name.clone()));
        body.push(b':');
        write_value(body, value);
        if name == "metadata" && !version.managed.is_empty() && body.last() == Some(&b'}') {
            body.pop();
            if body.last() != Some(&b'{') {
                body.push(b',');
            }
            body.extend_from_slice(b"\"managedFields\":");
            version.managed.write(body);
            body.push(b'}');
        }
    }
    body.push(b'}');
}

pub(super) fn write_value(body: &mut Vec<u8>, value: &Value) {
    // A Value has only text keys, and a Vec takes any bytes: it can't fail.
    let written = serde_json::to_writer(body, value);
    debug_assert!(written.is_ok(), "{written:?}");
}
