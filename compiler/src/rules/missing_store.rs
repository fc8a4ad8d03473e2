//! K0321: files without a store, or a store that can't be used.

use std::net::Ipv6Addr;

use konductor_api::step::WORKSPACE_SCHEME;
use konductor_dsl::{Code, Diagnostic, Span, did_you_mean};

use crate::pipeline::Output;

/// What the URL of a store begins with, but for a workspace.
const SCHEMES: [&str; 2] = ["s3://", "file:///"];

/// Reports the first file of a pipeline that has no store.
pub(crate) fn check<'o>(outputs: impl IntoIterator<Item = &'o Output>) -> Option<Diagnostic> {
    let file = outputs.into_iter().find(|output| output.ty.is_file())?;
    let message = format!(
        "the {} `{}` has no store to be kept in",
        file.ty, file.name.text
    );
    let diagnostic = Diagnostic::error(Code::K0321, file.name.span, message)
        .here("stages run on different nodes")
        .help(
            "add `store { url = \"s3://BUCKET/PREFIX\" }` to the pipeline, or name one with --store; \
             `koncli run` needs none",
        );
    Some(diagnostic)
}

/// What is wrong with the URL of a store; `None` if nothing is.
pub(crate) fn problem(url: &str) -> Option<&'static str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let below = match url.strip_prefix(WORKSPACE_SCHEME) {
        Some(below) => below,
        None => match SCHEMES.iter().find_map(|scheme| url.strip_prefix(scheme)) {
            Some(below) => below,
            None => {
                return Some(
                    "write `s3://BUCKET/PREFIX`, `workspace:NAME/PREFIX` or `file:///FOLDER`",
                );
            }
        },
    };
    let below = below.strip_suffix('/').unwrap_or(below);
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("write each part of the path once, without `.` and `..`");
    }
    (!below.chars().all(is_plain)).then_some("use letters, digits, `.`, `_`, `-` and `/`")
}

/// Whether this is the URL of a server: `http://minio:9000`.
pub(crate) fn is_endpoint(endpoint: &str) -> bool {
    let schemes = ["http://", "https://"];
    let mut below = schemes
        .iter()
        .filter_map(|scheme| endpoint.strip_prefix(scheme));
    let Some(below) = below.next() else {
        return false;
    };
    let server = below.split('/').next().unwrap_or(below);
    let (host, port) = match server.rsplit_once(':') {
        // The colons of an IPv6 address are in brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (server, None),
    };
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host_is_right = match address {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !host.is_empty() && host.chars().all(is_plain)
        }
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._~%-".contains(c);
    host_is_right
        && port.is_none_or(|port| {
            !port.starts_with('+') && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
        && below
            .strip_prefix(server)
            .is_some_and(|path| path.chars().all(is_plain))
}

/// An endpoint that is the URL of no server.
pub(crate) fn no_endpoint(span: Span, endpoint: &str) -> Diagnostic {
    let with_scheme = format!("http://{endpoint}");
    let help = match is_endpoint(&with_scheme) {
        true => format!("write `{with_scheme}`, or `https://{endpoint}`"),
        false => "write the address of the server, such as `http://minio:9000`".to_owned(),
    };
    Diagnostic::error(
        Code::K0321,
        span,
        format!("`{endpoint}` is the address of no server"),
    )
    .here("not `http://` or `https://` and a host")
    .help(help)
}

/// A URL that names no store.
pub(crate) fn unusable(span: Span, url: &str, help: &str) -> Diagnostic {
    Diagnostic::error(Code::K0321, span, format!("`{url}` names no store"))
        .here("not the URL of a store")
        .help(help)
}

/// A store in a workspace that does not exist.
pub(crate) fn workspace<'a>(
    span: Span,
    name: &str,
    workspaces: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let message = format!("the store is in the workspace `{name}`, which does not exist");
    let diagnostic = Diagnostic::error(Code::K0321, span, message).here("not declared");
    match did_you_mean(name, workspaces) {
        Some(near) => diagnostic.help(format!("write `{WORKSPACE_SCHEME}{near}`")),
        None => diagnostic.help(format!(
            "declare it: `workspace {name} {{ size = 10Gi, access = many }}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_url_of_http_with_a_host() {
        for (endpoint, expected) in [
            ("http://minio:9000", true),
            ("https://s3.eu-west-1.amazonaws.com", true),
            ("https://s3.example.com/prefix/", true),
            ("http://[::1]:9000", true),
            ("http://[::1]", true),
            ("minio:9000", false),
            ("minio", false),
            ("", false),
            ("http://", false),
            ("http:///minio", false),
            ("http://:9000", false),
            ("http://minio:", false),
            ("http://minio:0", false),
            ("http://minio:x", false),
            ("http://minio:+9", false),
            ("http://minio:99999", false),
            ("http://[::1", false),
            ("http://[x]:9000", false),
            ("http://user@minio", false),
            ("http://minio:9000?x=1", false),
            ("http://min io", false),
            ("ftp://minio", false),
            ("HTTP//minio", false),
        ] {
            assert_eq!(is_endpoint(endpoint), expected, "{endpoint}");
        }
    }
}
