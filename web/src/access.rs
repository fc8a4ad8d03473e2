//! Who may look: whoever has the address that `koncli ui` printed, and no page of another origin.
//!
//! A request enters; it passes, or it is refused before anything else looks at it. Each start makes new secrets. The
//! address has a token, which is exchanged for a cookie at once, so that the token is in no later address. Any port is
//! accepted in `Host`, because `kubectl port-forward` and `ssh -L` use their own; a name that leads here by somebody's DNS
//! is refused.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use uuid::Uuid;

/// The names of this machine that a browser may ask for.
const HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];
/// What browsers say about where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A secret that is only ever compared.
#[derive(Clone)]
struct Secret(Arc<str>);

impl Secret {
    /// 244 random bits.
    fn generate() -> Self {
        let halves = [Uuid::new_v4(), Uuid::new_v4()];
        let text: String = halves.map(|half| half.simple().to_string()).concat();
        Self(text.into())
    }

    /// Compares in a time that does not depend on where the texts differ.
    fn is(&self, other: &str) -> bool {
        let pairs = self.0.bytes().zip(other.bytes());
        let difference = pairs.fold(0, |difference, (own, other)| difference | (own ^ other));
        self.0.len() == other.len() && std::hint::black_box(difference) == 0
    }
}

/// What a browser needs to get in, for one start of a server.
#[derive(Clone)]
pub struct Access {
    token: Secret,
    session: Secret,
    form: Secret,
    cookie: Arc<str>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Access").finish_non_exhaustive()
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It passes.
    Allowed,
    /// It has the token: the browser gets this cookie, and asks again for this target.
    Exchanged {
        /// The value of `Set-Cookie`.
        cookie: String,
        /// Where to ask again.
        target: String,
    },
    /// It is refused.
    Refused(StatusCode, &'static str),
}

impl Access {
    /// Makes new secrets.
    pub fn generate() -> Self {
        // Cookies know no ports: two starts at once need two names.
        let name = Uuid::new_v4().simple().to_string();
        Self {
            token: Secret::generate(),
            session: Secret::generate(),
            form: Secret::generate(),
            cookie: format!("konductor-ui-{}", &name[..8]).into(),
        }
    }

    /// Returns the address that lets its reader in.
    pub fn link(&self, address: SocketAddr) -> String {
        format!("http://{address}/?token={}", self.token.0)
    }

    /// Returns what each form of this start carries.
    pub(crate) fn form_token(&self) -> &str {
        &self.form.0
    }

    /// Returns whether a form is of a page of this start.
    pub(crate) fn is_own_form(&self, token: &str) -> bool {
        self.form.is(token)
    }

    /// Decides about a request by its head.
    pub(crate) fn check(&self, request: &Parts) -> Entry {
        let headers = &request.headers;
        let Some(host) = own_host(request) else {
            return Entry::Refused(
                StatusCode::FORBIDDEN,
                "the request is meant for another host",
            );
        };
        let origin = headers.get(header::ORIGIN);
        let own_origin = format!("http://{host}");
        if origin.is_some_and(|origin| origin.as_bytes() != own_origin.as_bytes()) {
            return Entry::Refused(
                StatusCode::FORBIDDEN,
                "requests of pages of other origins are refused",
            );
        }
        // A form always has an origin; what is sent without one is no page of ours.
        if request.method != Method::GET && origin.is_none() {
            return Entry::Refused(StatusCode::FORBIDDEN, "the request names no origin");
        }
        let site = headers.get(&FETCH_SITE).map(|site| site.as_bytes());
        let is_own_site = matches!(site, None | Some(b"same-origin" | b"none"));
        if let Some(target) = self.exchanged(request) {
            let cookie = format!(
                "{}={}; Path=/; HttpOnly; SameSite=Strict",
                self.cookie, self.session.0
            );
            return Entry::Exchanged { cookie, target };
        }
        if !is_own_site {
            return Entry::Refused(
                StatusCode::FORBIDDEN,
                "requests of pages of other origins are refused",
            );
        }
        match self.has_session(headers) {
            true => Entry::Allowed,
            false => Entry::Refused(
                StatusCode::UNAUTHORIZED,
                "open the address that koncli printed: it has the token of this start",
            ),
        }
    }

    /// The target without its token, if it has the right one.
    fn exchanged(&self, request: &Parts) -> Option<String> {
        if request.method != Method::GET {
            return None;
        }
        let query = request.uri.query()?;
        let query: Vec<(String, String)> = serde_urlencoded::from_str(query).ok()?;
        let (token, rest): (Vec<_>, Vec<_>) =
            query.into_iter().partition(|(key, _)| key == "token");
        let [(_, token)] = token.as_slice() else {
            return None;
        };
        if !self.token.is(token) {
            return None;
        }
        // One slash: two would be another host, and browsers read a backslash as a slash.
        let path = format!("/{}", request.uri.path().trim_start_matches(['/', '\\']));
        match serde_urlencoded::to_string(rest) {
            Ok(rest) if !rest.is_empty() => Some(format!("{path}?{rest}")),
            _ => Some(path),
        }
    }

    fn has_session(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(header::COOKIE).iter();
        let cookies = cookies.filter_map(|value| value.to_str().ok());
        let mut pairs = cookies.flat_map(|value| value.split(';'));
        pairs.any(|pair| match pair.trim().split_once('=') {
            Some((name, value)) => *name == *self.cookie && self.session.is(value),
            None => false,
        })
    }
}

/// The host that a request is meant for, with its port, if that is this machine.
fn own_host(request: &Parts) -> Option<String> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let (host, None) = (hosts.next()?.to_str().ok()?, hosts.next()) else {
        return None;
    };
    if let Some(target) = request.uri.authority()
        && target.as_str() != host
    {
        return None;
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    (HOSTS.contains(&name) && is_port).then(|| host.to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn access() -> Access {
        Access {
            token: Secret("token".into()),
            session: Secret("session".into()),
            form: Secret("form".into()),
            cookie: "ui".into(),
        }
    }

    fn entry(method: &str, uri: &str, headers: &[(&str, &str)]) -> Entry {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        access().check(&parts)
    }

    fn code(method: &str, uri: &str, headers: &[(&str, &str)]) -> u16 {
        match entry(method, uri, headers) {
            Entry::Allowed => 200,
            Entry::Exchanged { .. } => 303,
            Entry::Refused(code, _) => code.as_u16(),
        }
    }

    #[test]
    fn only_whoever_has_the_token_of_this_start_gets_in() {
        let host = ("host", "127.0.0.1:7000");
        let cookie = ("cookie", "other=1; ui=session");
        let origin = ("origin", "http://127.0.0.1:7000");
        type Header = (&'static str, &'static str);
        let table: &[(&str, &str, &[Header], u16)] = &[
            ("GET", "/", &[host], 401),
            ("GET", "/", &[host, cookie], 200),
            ("GET", "/", &[host, ("cookie", "ui=sessioN")], 401),
            ("GET", "/", &[host, ("cookie", "ui=sessio")], 401),
            ("GET", "/?token=token", &[host], 303),
            ("GET", "/?token=tokeN", &[host], 401),
            ("GET", "/?token=token&token=token", &[host], 401),
            ("POST", "/?token=token", &[host, origin], 401),
            ("POST", "/do", &[host, cookie, origin], 200),
            ("POST", "/do", &[host, cookie], 403),
            // Of a page of another origin.
            ("GET", "/", &[host, cookie, ("origin", "null")], 403),
            (
                "POST",
                "/do",
                &[host, cookie, ("origin", "http://127.0.0.1:7001")],
                403,
            ),
            (
                "GET",
                "/",
                &[host, cookie, ("sec-fetch-site", "cross-site")],
                403,
            ),
            (
                "GET",
                "/",
                &[host, cookie, ("sec-fetch-site", "same-site")],
                403,
            ),
            ("GET", "/", &[host, cookie, ("sec-fetch-site", "none")], 200),
            (
                "GET",
                "/",
                &[host, cookie, ("sec-fetch-site", "same-origin")],
                200,
            ),
            // By somebody's DNS.
            ("GET", "/", &[("host", "evil.example"), cookie], 403),
            (
                "GET",
                "/",
                &[("host", "127.0.0.1.evil.example:7000"), cookie],
                403,
            ),
            ("GET", "/", &[cookie], 403),
            ("GET", "/", &[host, host, cookie], 403),
            // Through a forwarded port.
            ("GET", "/", &[("host", "localhost:9999"), cookie], 200),
            ("GET", "/", &[("host", "[::1]:9999"), cookie], 200),
            ("GET", "/", &[("host", "localhost:x"), cookie], 403),
            (
                "POST",
                "/do",
                &[
                    ("host", "localhost:9999"),
                    cookie,
                    ("origin", "http://localhost:9999"),
                ],
                200,
            ),
        ];
        for (method, uri, headers, expected) in table {
            assert_eq!(
                code(method, uri, headers),
                *expected,
                "{method} {uri} {headers:?}"
            );
        }
    }

    #[test]
    fn a_token_is_exchanged_for_a_cookie_and_leaves_the_address() {
        let host = ("host", "localhost:7000");
        let exchanged = entry("GET", "/runs/a?page=2&token=token", &[host]);
        let expected = Entry::Exchanged {
            cookie: "ui=session; Path=/; HttpOnly; SameSite=Strict".to_owned(),
            target: "/runs/a?page=2".to_owned(),
        };
        assert_eq!(exchanged, expected);
        for start in ["//", "/\\", "/\\/", "\\\\/", "///"] {
            let uri = format!("http://localhost:7000/{start}evil.example?token=token");
            let Entry::Exchanged { target, .. } = entry("GET", &uri, &[host]) else {
                panic!("{uri} has the token");
            };
            assert_eq!(target, "/evil.example", "{uri}");
        }
    }

    #[test]
    fn each_start_has_other_secrets() {
        let (first, second) = (Access::generate(), Access::generate());
        assert!(!first.token.is(&second.token.0));
        assert!(!first.is_own_form(second.form_token()));
        assert_ne!(first.cookie, second.cookie);
        assert_eq!(first.token.0.len(), 64);
    }
}
