//! What is served: versions, groups, resources, and their schemas.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use super::media::{Media, Representation};
use super::request::Path;
use super::respond;
use crate::definition::{Definition, Usage};
use crate::kind;
use crate::openapi;
use crate::server::ApiServer;
use crate::status::Status;
use crate::version::KUBERNETES;

const MINOR: &str = "36";

const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

pub(super) fn answer(
    server: &ApiServer,
    path: &Path,
    headers: &HeaderMap,
) -> Result<Option<Response>, Status> {
    let definitions = server.shared.catalog.all();
    let aggregated =
        || Ok(Media::accepted(headers, false)?.0 == Representation::AggregatedDiscovery);
    Ok(match path {
        Path::Version => Some(json_response(&version())),
        Path::Health => Some(plain("ok")),
        Path::CoreVersions if aggregated()? => Some(aggregate(&definitions, true)),
        Path::CoreVersions => Some(json_response(&json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }))),
        Path::Groups if aggregated()? => Some(aggregate(&definitions, false)),
        Path::Groups => Some(group_list(&definitions)),
        Path::Group(name) => groups(&definitions)
            .get(name.as_str())
            .filter(|_| !name.is_empty())
            .map(|versions| {
                let mut api_group = group(name, versions);
                api_group["kind"] = "APIGroup".into();
                api_group["apiVersion"] = "v1".into();
                json_response(&api_group)
            }),
        Path::Resources { group, version } => resources(&definitions, group, version),
        Path::OpenApi(path) => {
            openapi::answer(&definitions, path).map(|document| json_response(&document))
        }
        Path::Resource(_) | Path::Unknown => None,
    })
}

fn group_list(definitions: &[Arc<Definition>]) -> Response {
    let groups = groups(definitions);
    let groups = groups
        .iter()
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, versions)| group(name, versions));
    json_response(&json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": groups.collect::<Vec<_>>(),
    }))
}

fn json_response(value: &Value) -> Response {
    respond::json(StatusCode::OK, value.to_string())
}

fn plain(text: &'static str) -> Response {
    let mut response = respond::json(StatusCode::OK, text);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": MINOR,
        "gitVersion": KUBERNETES,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

/// Each group's versions, the preferred one first.
fn groups(definitions: &[Arc<Definition>]) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for definition in definitions {
        let versions = groups.entry(definition.kind.group()).or_default();
        if !versions.contains(&definition.kind.version.as_ref()) {
            versions.push(&definition.kind.version);
        }
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| std::cmp::Reverse(crate::version::priority(version)));
    }
    groups
}

fn group(name: &str, versions: &[&str]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .map(|version| json!({"groupVersion": format!("{name}/{version}"), "version": version}))
        .collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions[0]})
}

/// A part of a resource with a path of its own, as discovery lists it.
struct Part {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    /// The kind of its objects, where it is not that of the resource.
    kind: Option<&'static str>,
    verbs: &'static [&'static str],
}

fn parts(definition: &Definition) -> Vec<Part> {
    let mut parts = Vec::new();
    if definition.kind.resource == kind::POD.resource {
        parts.push(Part {
            name: "log",
            group: "",
            version: "",
            kind: None,
            verbs: &["get"],
        });
    }
    if definition.scale.is_some() {
        parts.push(Part {
            name: "scale",
            group: "autoscaling",
            version: "v1",
            kind: Some("Scale"),
            verbs: &["get", "patch", "update"],
        });
    }
    if definition.has_status {
        parts.push(Part {
            name: "status",
            group: "",
            version: "",
            kind: None,
            verbs: match definition.usage {
                Usage::All => &["get", "patch", "update"],
                Usage::Read(_) | Usage::Ask => &["get"],
            },
        });
    }
    parts
}

fn verbs(definition: &Definition) -> Vec<&'static str> {
    let verbs = VERBS.into_iter();
    verbs
        .filter(|verb| match definition.usage {
            Usage::All => *verb != "deletecollection" || definition.deletes_collections,
            Usage::Read(_) => ["get", "list", "watch"].contains(verb),
            Usage::Ask => *verb == "create",
        })
        .collect()
}

fn resources(definitions: &[Arc<Definition>], group: &str, version: &str) -> Option<Response> {
    let mut resources = Vec::new();
    let served = definitions.iter().filter(|definition| {
        definition.kind.group() == group && definition.kind.version == version
    });
    for definition in served {
        let plural = &definition.kind.resource.plural;
        let mut resource = json!({
            "name": plural,
            "singularName": definition.singular,
            "namespaced": definition.kind.namespaced,
            "kind": definition.kind.kind,
            "verbs": verbs(definition),
        });
        if !definition.short_names.is_empty() {
            resource["shortNames"] = json!(definition.short_names);
        }
        if !definition.categories.is_empty() {
            resource["categories"] = json!(definition.categories);
        }
        resources.push(resource);
        for part in parts(definition) {
            let mut resource = json!({
                "name": format!("{plural}/{}", part.name),
                "singularName": "",
                "namespaced": definition.kind.namespaced,
            });
            if !part.group.is_empty() {
                resource["group"] = part.group.into();
                resource["version"] = part.version.into();
            }
            resource["kind"] = part.kind.unwrap_or(&definition.kind.kind).into();
            resource["verbs"] = json!(part.verbs);
            resources.push(resource);
        }
    }
    if resources.is_empty() {
        return None;
    }
    let group_version = match group {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    Some(json_response(&json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    })))
}

/// All groups with all their resources in one answer.
fn aggregate(definitions: &[Arc<Definition>], core: bool) -> Response {
    let mut items = Vec::new();
    for (name, versions) in groups(definitions) {
        if name.is_empty() != core {
            continue;
        }
        let versions: Vec<_> = versions
            .iter()
            .map(|version| {
                let served = definitions.iter().filter(|definition| {
                    definition.kind.group() == name && definition.kind.version == *version
                });
                json!({
                    "version": version,
                    "resources": served.map(|served| aggregated_resource(served)).collect::<Vec<_>>(),
                    "freshness": "Current",
                })
            })
            .collect();
        let metadata = if core {
            json!({"creationTimestamp": null})
        } else {
            json!({"name": name, "creationTimestamp": null})
        };
        items.push(json!({"metadata": metadata, "versions": versions}));
    }
    let list = json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    });
    let mut response = json_response(&list);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ),
    );
    response
}

fn aggregated_resource(definition: &Definition) -> Value {
    let kind = &definition.kind;
    let mut resource = json!({
        "resource": kind.resource.plural,
        "responseKind": {"group": kind.group(), "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": definition.singular,
        "verbs": verbs(definition),
    });
    if !definition.short_names.is_empty() {
        resource["shortNames"] = json!(definition.short_names);
    }
    if !definition.categories.is_empty() {
        resource["categories"] = json!(definition.categories);
    }
    let parts: Vec<_> = parts(definition)
        .iter()
        .map(|part| {
            let response = match part.kind {
                Some(name) => json!({"group": part.group, "version": part.version, "kind": name}),
                None => json!({"group": kind.group(), "version": kind.version, "kind": kind.kind}),
            };
            json!({"subresource": part.name, "responseKind": response, "verbs": part.verbs})
        })
        .collect();
    if !parts.is_empty() {
        resource["subresources"] = json!(parts);
    }
    resource
}
