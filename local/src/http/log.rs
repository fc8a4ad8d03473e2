//! The logs of pods.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::SignedDuration;
use serde_json::Value;

use super::{Call, respond};
use crate::metadata;
use crate::runner::kubelet::LogOptions;
use crate::status::{Reason, Status};

/// Answers with what a container printed.
pub(super) fn log(call: &Call) -> Result<Response, Status> {
    let kind = &call.definition.kind;
    let stored = call
        .server
        .shared
        .store
        .get(&kind.resource, call.namespace(), call.name());
    let version = stored.ok_or_else(|| Status::not_found(kind, call.name()))?;
    let pod = &version.value;
    let container = container(call, pod)?;
    let options = options(call)?;
    if pod["spec"]["nodeName"].is_null() {
        return Ok(text(Body::empty()));
    }
    let logs = call.server.shared.logs().ok_or_else(|| {
        Status::new(
            Reason::NotImplemented,
            "this server runs no pods, and so it has no logs of them",
        )
    })?;
    let previous = options.previous;
    let Some(lines) = logs.read(metadata::uid(pod), &container, options) else {
        let name = metadata::name(pod);
        return Err(Status::bad_request(if previous {
            format!("previous terminated container \"{container}\" in pod \"{name}\" not found")
        } else {
            format!(
                "container \"{container}\" in pod \"{name}\" is waiting to start: \
                 ContainerCreating"
            )
        }));
    };
    Ok(text(Body::from_stream(lines)))
}

fn text(body: Body) -> Response {
    let mut response = respond::json(StatusCode::OK, "");
    *response.body_mut() = body;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The container that is meant: the one that is named, or the only one.
fn container(call: &Call, pod: &Value) -> Result<String, Status> {
    let names = |field: &str| {
        let containers = pod["spec"][field].as_array().into_iter().flatten();
        containers
            .filter_map(|container| container["name"].as_str())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = ["initContainers", "containers", "ephemeralContainers"]
        .into_iter()
        .flat_map(names)
        .collect();
    let container = call.query.get("container");
    if !container.is_empty() {
        return match all.iter().any(|name| name == container) {
            true => Ok(container.to_owned()),
            false => Err(Status::bad_request(format!(
                "container {container} is not valid for pod {}",
                call.name()
            ))),
        };
    }
    match names("containers").as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            call.name(),
            all.join(" ")
        ))),
    }
}

fn options(call: &Call) -> Result<LogOptions, Status> {
    let count = |name: &str| -> Result<Option<usize>, Status> {
        let count = call.query.integer(name)?;
        Ok(count.and_then(|count| usize::try_from(count).ok()))
    };
    let since =
        match (
            call.query.integer("sinceSeconds")?,
            call.query.get("sinceTime"),
        ) {
            (Some(seconds), _) => Some(call.server.now() - SignedDuration::from_secs(seconds)),
            (None, "") => None,
            (None, time) => Some(time.parse().map_err(|_| {
                Status::bad_request(format!("sinceTime is no RFC 3339 time: {time}"))
            })?),
        };
    Ok(LogOptions {
        follow: call.query.flag("follow")?,
        previous: call.query.flag("previous")?,
        timestamps: call.query.flag("timestamps")?,
        tail_lines: count("tailLines")?,
        since,
        limit_bytes: count("limitBytes")?,
    })
}
