//! Who may use the API server over a socket: whoever has read its kubeconfig, and no web page.
//!
//! A request over the socket enters; it passes, or it is refused before anything else looks at it. Each
//! start makes a new token. The connection is TLS, since clients of Kubernetes send no token
//! without it.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::media::Media;
use crate::platform;
use crate::status::{Reason, Status};

/// The names of this machine that a client may ask for.
const HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// How long a server of this machine may take to accept a connection, before it counts as one that lives.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// The media types of bodies that clients of Kubernetes send. A web page can send none of them
/// without asking first.
const BODIES: [&str; 9] = [
    "application/json",
    "application/yaml",
    "application/cbor",
    "application/vnd.kubernetes.protobuf",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
];

/// What a client needs to get in, for one start of a server.
pub struct Access {
    token: Token,
    certificate: CertificateDer<'static>,
    config: Arc<ServerConfig>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Access {
    /// Makes a token and a certificate, both at random.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn generate() -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "konductor on this machine");
        params.distinguished_name = name;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        let certificate = certificate.der().clone();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .map_err(io::Error::other)?;
        Ok(Self {
            token: Token::generate(),
            certificate,
            config: Arc::new(config),
        })
    }

    /// Writes the kubeconfig of a server at `address`, a new file that only its owner may read, and returns what is in it.
    ///
    /// # Errors
    /// If the file exists, or can't be written.
    pub fn write_kubeconfig(
        &self,
        path: &Path,
        address: SocketAddr,
        namespace: &str,
    ) -> io::Result<String> {
        let certificate = STANDARD.encode(pem(&self.certificate));
        let server = format!("https://{address}");
        let kubeconfig = kubeconfig(&server, &certificate, namespace, &self.token.0).to_string();
        // Never over an existing file: it may be the only kubeconfig somebody has.
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = platform::private(&mut options).open(path)?;
        file.write_all(kubeconfig.as_bytes())?;
        Ok(kubeconfig)
    }

    /// Removes a kubeconfig if it is still what was `written` there. Everything else stays as it is.
    ///
    /// # Errors
    /// If the file can't be removed; if another one that came into its place meanwhile can't be put back, with where it is.
    pub fn remove_kubeconfig(path: &Path, written: &str) -> io::Result<()> {
        match read(path).as_deref() == Some(written) {
            true => remove_if_same(path, written),
            false => Ok(()),
        }
    }

    /// Removes the kubeconfig that a server of before has left at this path, because it was killed: it is exactly what
    /// [`Access::write_kubeconfig`] writes, and its server is gone. The server of this process is at `own`. Everything else
    /// stays as it is.
    ///
    /// # Errors
    /// If the file is such a kubeconfig and can't be removed; if another one that came into its place meanwhile can't be put
    /// back, with where it is.
    pub async fn remove_abandoned_kubeconfig(path: &Path, own: SocketAddr) -> io::Result<()> {
        let Some(written) = read(path) else {
            return Ok(());
        };
        let Some(address) = server_of(&written) else {
            return Ok(());
        };
        match address == own || is_refused(address).await {
            true => remove_if_same(path, &written),
            false => Ok(()),
        }
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    pub(super) fn guard(&self, address: SocketAddr) -> Guard {
        Guard {
            token: self.token.clone(),
            port: address.port(),
        }
    }
}

/// What is in a file; `None` of anything else, such as a pipe, which could be read forever.
fn read(path: &Path) -> Option<String> {
    let is_file = std::fs::symlink_metadata(path).ok()?.is_file();
    is_file.then(|| std::fs::read_to_string(path).ok())?
}

/// Removes a file that has been read. Somebody else may have removed it meanwhile and written their own: so it is moved to
/// a name that nobody else knows, read there, and put back if it is another one.
fn remove_if_same(path: &Path, written: &str) -> io::Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}", Uuid::new_v4().simple()));
    let aside = Path::new(&aside);
    match std::fs::rename(path, aside) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    if read(aside).as_deref() != Some(written) {
        // Never over one that is there again.
        std::fs::hard_link(aside, path).map_err(|error| {
            let kept = aside.display();
            io::Error::new(error.kind(), format!("{error}; what was there is {kept}"))
        })?;
    }
    std::fs::remove_file(aside)
}

/// Whether nobody listens there.
async fn is_refused(address: SocketAddr) -> bool {
    let connected = tokio::time::timeout(CONNECT_TIME, TcpStream::connect(address)).await;
    connected.is_ok_and(|connected| {
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    })
}

/// The kubeconfig of a server; `certificate` is in base64.
fn kubeconfig(server: &str, certificate: &str, namespace: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "local",
            "cluster": {"server": server, "certificate-authority-data": certificate},
        }],
        "contexts": [{
            "name": "local",
            "context": {"cluster": "local", "user": "local", "namespace": namespace},
        }],
        "users": [{"name": "local", "user": {"token": token}}],
        "current-context": "local",
    })
}

/// The address of the server whose kubeconfig this is; `None` of a kubeconfig with anything else in it, or for a server of
/// another machine.
fn server_of(written: &str) -> Option<SocketAddr> {
    let written: Value = serde_json::from_str(written).ok()?;
    let text = |pointer: &str| written.pointer(pointer).and_then(Value::as_str);
    let server = text("/clusters/0/cluster/server")?;
    let same = kubeconfig(
        server,
        text("/clusters/0/cluster/certificate-authority-data")?,
        text("/contexts/0/context/namespace")?,
        text("/users/0/user/token")?,
    );
    let address: SocketAddr = server.strip_prefix("https://")?.parse().ok()?;
    (written == same && address.ip().is_loopback()).then_some(address)
}

/// A certificate as text.
fn pem(certificate: &[u8]) -> String {
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, letter) in encoded.chars().enumerate() {
        if index > 0 && index.is_multiple_of(64) {
            text.push('\n');
        }
        text.push(letter);
    }
    text.push_str("\n-----END CERTIFICATE-----\n");
    text
}

/// A secret that is only ever compared.
#[derive(Clone)]
struct Token(Arc<str>);

impl Token {
    /// 244 random bits.
    fn generate() -> Self {
        let halves = [Uuid::new_v4(), Uuid::new_v4()];
        let text: String = halves.map(|half| half.simple().to_string()).concat();
        Self(text.into())
    }

    /// Compares in a time that does not depend on where the texts differ.
    fn is(&self, other: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let difference = own
            .iter()
            .zip(other)
            .fold(0, |difference, (own, other)| difference | (own ^ other));
        own.len() == other.len() && std::hint::black_box(difference) == 0
    }
}

/// What every request over the socket has to pass.
pub(super) struct Guard {
    token: Token,
    port: u16,
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Guard {
    /// # Errors
    /// If the request comes from a web page, is meant for another host, has no token, or has a body of
    /// a type that no client of Kubernetes sends.
    pub(super) fn check(&self, request: &Parts) -> Result<(), Status> {
        let headers = &request.headers;
        if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-mode") {
            return Err(refused("requests of web pages are refused"));
        }
        self.check_host(request)?;
        if !self.has_token(headers) {
            return Err(Status::new(Reason::Unauthorized, "Unauthorized"));
        }
        let content_type = headers.get(header::CONTENT_TYPE);
        let media = content_type.map(|value| Media::parse(value.to_str().unwrap_or_default()));
        if has_body(headers) && !media.is_some_and(|media| BODIES.contains(&media.name.as_str())) {
            return Err(Status::of_route(
                Reason::UnsupportedMediaType,
                "a body needs a Content-Type that clients of Kubernetes send, such as application/json",
            ));
        }
        Ok(())
    }

    /// A name that leads here only by DNS, which anybody may write, is another host.
    fn check_host(&self, request: &Parts) -> Result<(), Status> {
        let of_target = request.uri.authority().map(|target| target.as_str());
        let mut hosts: Vec<&str> = of_target.into_iter().collect();
        for host in request.headers.get_all(header::HOST) {
            hosts.push(host.to_str().unwrap_or_default());
        }
        if hosts.is_empty() {
            return Err(Status::bad_request("the request names no host"));
        }
        let is_own = |host: &&str| {
            let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
            HOSTS.contains(&name) && port.parse() == Ok(self.port)
        };
        match hosts.iter().all(is_own) {
            true => Ok(()),
            false => Err(refused("the request is meant for another host")),
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let token = value.as_bytes().split_at_checked("Bearer ".len());
        token.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"Bearer ") && self.token.is(token)
        })
    }
}

fn refused(message: &str) -> Status {
    Status::new(Reason::Forbidden, message)
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH);
    headers.contains_key(header::TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes() != b"0")
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn guard() -> Guard {
        Guard {
            token: Token("secret".into()),
            port: 7443,
        }
    }

    /// The code of the answer to a request with these headers; 200 where it passes.
    fn code(uri: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        guard()
            .check(&parts)
            .map_or_else(|status| status.code, |()| 200)
    }

    #[test]
    fn only_requests_with_the_token_and_for_this_host_pass() {
        let token = ("authorization", "Bearer secret");
        let host = ("host", "127.0.0.1:7443");
        let json = ("content-type", "application/json; charset=utf-8");
        let body = ("content-length", "2");
        let table: &[(&[(&str, &str)], u16)] = &[
            (&[token, host], 200),
            (&[token, host, ("content-length", "0")], 200),
            (&[token, host, json, body], 200),
            (&[token, ("host", "localhost:7443")], 200),
            (&[token, ("host", "[::1]:7443")], 200),
            (&[("authorization", "bearer secret"), host], 200),
            // No token, another one, and parts of it.
            (&[host], 401),
            (&[("authorization", "Bearer"), host], 401),
            (&[("authorization", "Bearer "), host], 401),
            (&[("authorization", "Bearer secre"), host], 401),
            (&[("authorization", "Bearer secrets"), host], 401),
            (&[("authorization", "Bearer secreT"), host], 401),
            (&[("authorization", "Basic secret"), host], 401),
            (&[token, token, host], 401),
            // Web pages, whatever they have.
            (&[token, host, ("origin", "http://evil.example")], 403),
            (&[token, host, ("origin", "null")], 403),
            (&[token, host, ("sec-fetch-mode", "no-cors")], 403),
            // DNS rebinding.
            (&[token, ("host", "evil.example:7443")], 403),
            (&[token, ("host", "127.0.0.1")], 403),
            (&[token, ("host", "127.0.0.1:80")], 403),
            (&[token, ("host", "127.0.0.1.evil.example:7443")], 403),
            (&[token, host, ("host", "evil.example:7443")], 403),
            (&[token, ("host", "")], 403),
            (&[token], 400),
            // What a page may send without asking first.
            (&[token, host, body], 415),
            (&[token, host, body, ("content-type", "")], 415),
            (&[token, host, body, ("content-type", "text/plain")], 415),
            (
                &[
                    token,
                    host,
                    body,
                    ("content-type", "multipart/form-data; boundary=x"),
                ],
                415,
            ),
            (
                &[
                    token,
                    host,
                    body,
                    ("content-type", "application/x-www-form-urlencoded"),
                ],
                415,
            ),
            (&[token, host, ("transfer-encoding", "chunked")], 415),
        ];
        for (headers, expected) in table {
            assert_eq!(code("/api/v1/pods", headers), *expected, "{headers:?}");
        }
        let elsewhere = "http://evil.example:7443/api/v1/pods";
        assert_eq!(code(elsewhere, &[token, host]), 403, "an absolute target");
    }

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let (token, other) = (Token::generate(), Token::generate());
        assert_eq!(token.0.len(), 64);
        assert!(!token.is(other.0.as_bytes()));
        assert!(token.is(token.0.as_bytes()));
    }

    #[test]
    fn the_kubeconfig_is_its_owners_alone_and_never_written_over() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let access = Access::generate().unwrap();
        let address = "127.0.0.1:7443".parse().unwrap();
        access.write_kubeconfig(&path, address, "default").unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let again = access.write_kubeconfig(&path, address, "default");
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn only_what_a_server_of_this_machine_wrote_is_its_kubeconfig() {
        let own = |server: &str| kubeconfig(server, "Y2VydA==", "default", "secret");
        let mut merged = own("https://127.0.0.1:7443");
        let theirs = json!({"name": "somebody", "user": {"token": "theirs"}});
        merged["users"].as_array_mut().unwrap().push(theirs);
        let mut renamed = own("https://127.0.0.1:7443");
        renamed["current-context"] = "mine".into();
        let table = [
            (own("https://127.0.0.1:7443"), Some("127.0.0.1:7443")),
            (own("https://192.0.2.1:7443"), None),
            (own("https://localhost:7443"), None),
            (merged, None),
            (renamed, None),
            (json!({}), None),
        ];
        for (written, expected) in table {
            let address = server_of(&written.to_string()).map(|address| address.to_string());
            assert_eq!(address.as_deref(), expected, "{written}");
        }
        assert_eq!(server_of("apiVersion: v1"), None);
    }

    #[test]
    fn only_the_kubeconfig_that_was_read_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let address = "127.0.0.1:7443".parse().unwrap();
        let written = || {
            let access = Access::generate().unwrap();
            access.write_kubeconfig(&path, address, "default").unwrap()
        };
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let old = written();
        std::fs::remove_file(&path).unwrap();
        // Another starter was faster: its kubeconfig is in the place of the one that was read.
        let new = written();
        remove_if_same(&path, &old).unwrap();
        assert_eq!((read(&path), names()), (Some(new.clone()), 1));
        Access::remove_kubeconfig(&path, &old).unwrap();
        assert_eq!((read(&path), names()), (Some(new.clone()), 1));
        Access::remove_kubeconfig(&path, &new).unwrap();
        assert_eq!(names(), 0);
        remove_if_same(&path, &new).unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_pipe_in_the_place_of_a_kubeconfig_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        let own = "127.0.0.1:1".parse().unwrap();
        Access::remove_abandoned_kubeconfig(&path, own)
            .await
            .unwrap();
        Access::remove_kubeconfig(&path, "").unwrap();
        assert!(path.exists());
    }

    #[tokio::test]
    async fn the_kubeconfig_of_a_server_that_was_killed_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (alive, access) = (listener.local_addr().unwrap(), Access::generate().unwrap());
        let own = "127.0.0.1:1".parse().unwrap();
        access.write_kubeconfig(&path, alive, "default").unwrap();
        for (own, stays) in [(own, true), (alive, false)] {
            Access::remove_abandoned_kubeconfig(&path, own)
                .await
                .unwrap();
            assert_eq!(path.exists(), stays);
        }
        access.write_kubeconfig(&path, alive, "default").unwrap();
        drop(listener);
        Access::remove_abandoned_kubeconfig(&path, own)
            .await
            .unwrap();
        assert!(!path.exists());
        std::fs::write(&path, "apiVersion: v1").unwrap();
        Access::remove_abandoned_kubeconfig(&path, own)
            .await
            .unwrap();
        assert!(path.exists());
    }
}
