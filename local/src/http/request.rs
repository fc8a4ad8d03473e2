//! Paths and queries.

use axum::extract::Query as Pairs;
use axum::http::Uri;

use crate::status::Status;

/// What a path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Version,
    Health,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Resources {
        group: String,
        version: String,
    },
    /// `/openapi/v3` and below
    OpenApi(String),
    Resource(ResourcePath),
    Unknown,
}

/// The path of objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ResourcePath {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: Option<String>,
    pub(super) resource: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
    /// Whether it is one of the old paths that watch.
    pub(super) watch: bool,
}

impl Path {
    pub(super) fn parse(path: &str) -> Self {
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            match decode(segment) {
                Some(segment) => segments.push(segment),
                None => return Path::Unknown,
            }
        }
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["version"] => Path::Version,
            ["healthz" | "livez" | "readyz", ..] => Path::Health,
            ["api"] => Path::CoreVersions,
            ["apis"] => Path::Groups,
            ["apis", group] => Path::Group((*group).to_owned()),
            ["api", version] => Path::Resources {
                group: String::new(),
                version: (*version).to_owned(),
            },
            ["apis", group, version] => Path::Resources {
                group: (*group).to_owned(),
                version: (*version).to_owned(),
            },
            ["openapi", rest @ ..] => Path::OpenApi(rest.join("/")),
            ["api", version, rest @ ..] => ResourcePath::parse("", version, rest),
            ["apis", group, version, rest @ ..] => ResourcePath::parse(group, version, rest),
            _ => Path::Unknown,
        }
    }
}

impl ResourcePath {
    fn parse(group: &str, version: &str, segments: &[&str]) -> Path {
        let (watch, segments) = match segments {
            ["watch", rest @ ..] => (true, rest),
            all => (false, all),
        };
        let (namespace, rest) = match segments {
            // `namespaces/NAME`, `namespaces/NAME/status` and `finalize` are about the namespace.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, segments),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            _ => (None, segments),
        };
        let (resource, name, subresource) = match rest {
            [resource] => (resource, None, None),
            [resource, name] => (resource, Some(*name), None),
            [resource, name, subresource @ ..] => {
                (resource, Some(*name), Some(subresource.join("/")))
            }
            [] => return Path::Unknown,
        };
        Path::Resource(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.map(str::to_owned),
            resource: (*resource).to_owned(),
            name: name.map(str::to_owned),
            subresource,
            watch,
        })
    }
}

/// Resolves `%xx`; nothing, where it is no text.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = rest.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

/// The parameters of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(uri: &Uri) -> Result<Self, Status> {
        Pairs::try_from_uri(uri)
            .map(|Pairs(pairs)| Self(pairs))
            .map_err(|error| Status::bad_request(error.to_string()))
    }

    /// A parameter; empty where it is absent.
    pub(super) fn get(&self, name: &str) -> &str {
        let pair = self.0.iter().find(|(key, _)| key == name);
        pair.map(|(_, value)| value.as_str()).unwrap_or_default()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all(name).next().is_some()
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let pairs = self.0.iter();
        pairs
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A boolean as Go reads it: a parameter without a value is true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Status> {
        Ok(self.optional_flag(name)?.unwrap_or_default())
    }

    pub(super) fn optional_flag(&self, name: &str) -> Result<Option<bool>, Status> {
        match self.all(name).next() {
            None => Ok(None),
            Some("0" | "false" | "False" | "FALSE" | "f" | "F") => Ok(Some(false)),
            Some(_) => Ok(Some(true)),
        }
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let text = self.get(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                crate::field::quote(text)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(path: &str) -> ResourcePath {
        match Path::parse(path) {
            Path::Resource(path) => path,
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn paths_are_read_as_kubernetes_reads_them() {
        let namespaced = resource("/apis/batch/v1/namespaces/a/jobs/b/status");
        assert_eq!(
            (
                namespaced.group.as_str(),
                namespaced.namespace.as_deref(),
                namespaced.resource.as_str(),
                namespaced.name.as_deref(),
                namespaced.subresource.as_deref(),
            ),
            ("batch", Some("a"), "jobs", Some("b"), Some("status"))
        );
        let namespace = resource("/api/v1/namespaces/a");
        assert_eq!(
            (namespace.resource.as_str(), namespace.name.as_deref()),
            ("namespaces", Some("a"))
        );
        let inside = resource("/api/v1/namespaces/a/pods");
        assert_eq!(
            (inside.namespace.as_deref(), inside.resource.as_str()),
            (Some("a"), "pods")
        );
        assert!(resource("/api/v1/watch/namespaces/a/pods").watch);
        assert_eq!(resource("/api/v1/pods/a%3Ab").name.as_deref(), Some("a:b"));
        assert_eq!(Path::parse("/apis/x/v1/%ff/a"), Path::Unknown);
        assert_eq!(Path::parse("/nothing"), Path::Unknown);
    }
}
