//! The HTTP API: paths, verbs and media types as Kubernetes has them.
//!
//! A request enters; the same answer leaves that a real API server gives, or a `Status` that says
//! what this one does not do. Nothing is decided here about objects: that is `write`'s.

mod access;
mod change;
mod discovery;
mod log;
mod media;
mod read;
mod request;
mod respond;
mod review;
#[cfg(test)]
mod tests;
mod tls;
mod watch;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::response::Response;
use tokio::net::TcpListener;

use crate::definition::{Definition, Usage};
use crate::kind;
use crate::protobuf;
use crate::server::ApiServer;
use crate::status::{Reason, Status};
pub use access::Access;

use access::Guard;
use media::{Encoding, Media, Representation};
use request::{Path, Query, ResourcePath};
use tls::TlsListener;

/// The largest body that is read, as on a real server.
const BODY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// What every request is answered with.
#[derive(Clone, Debug)]
struct Service {
    server: ApiServer,
    door: Door,
    /// Becomes true when open watches are to end.
    closing: tokio::sync::watch::Receiver<bool>,
    /// Keeps `closing` open where nothing ever closes it.
    _closer: Arc<tokio::sync::watch::Sender<bool>>,
}

/// How requests come in.
#[derive(Clone, Debug)]
enum Door {
    /// From this process, which could do everything anyway.
    Process,
    /// From a socket that others reach, too.
    Socket(Arc<Guard>),
}

/// A request for the objects of a kind, read so far as all verbs need it.
struct Call {
    server: ApiServer,
    closing: tokio::sync::watch::Receiver<bool>,
    definition: Arc<Definition>,
    path: ResourcePath,
    query: Query,
    headers: HeaderMap,
    representation: Representation,
}

impl ApiServer {
    /// The whole HTTP API, for this process alone. A client calls it without a socket:
    /// `kube::Client::new(server.router(), "default")`.
    pub fn router(&self) -> Router {
        let never = Arc::new(tokio::sync::watch::Sender::new(false));
        self.router_until(never, Door::Process)
    }

    fn router_until(&self, closer: Arc<tokio::sync::watch::Sender<bool>>, door: Door) -> Router {
        Router::new().fallback(handle).with_state(Service {
            server: self.clone(),
            door,
            closing: closer.subscribe(),
            _closer: closer,
        })
    }

    /// Serves the HTTP API on `listener` until `shutdown` is over, to those that `access` lets in.
    /// Then watches end, and other requests are finished.
    ///
    /// # Errors
    /// If the listener fails, or is not on loopback.
    pub async fn serve(
        &self,
        listener: TcpListener,
        access: &Access,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let message = format!("{address} is not on loopback: others would reach it");
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidInput,
                message,
            ));
        }
        let closer = Arc::new(tokio::sync::watch::Sender::new(false));
        let door = Door::Socket(Arc::new(access.guard(address)));
        let router = self.router_until(closer.clone(), door);
        let shutdown = async move {
            shutdown.await;
            closer.send_replace(true);
        };
        axum::serve(TlsListener::new(listener, access.config()), router)
            .with_graceful_shutdown(shutdown)
            .await
    }
}

async fn handle(State(service): State<Service>, request: Request) -> Response {
    match answer(service, request).await {
        Ok(response) => response,
        Err(Failure::Status(status)) => respond::status(&status),
        Err(Failure::NoSuchPath) => respond::no_such_path(),
    }
}

/// Why there is no answer.
enum Failure {
    Status(Status),
    /// Not even the group is served.
    NoSuchPath,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

async fn answer(service: Service, request: Request) -> Result<Response, Failure> {
    let (parts, body) = request.into_parts();
    if let Door::Socket(guard) = &service.door {
        guard.check(&parts)?;
    }
    let query = Query::parse(&parts.uri)?;
    let path = Path::parse(parts.uri.path());
    let path = match path {
        Path::Resource(path) => path,
        other if parts.method == Method::GET || parts.method == Method::HEAD => {
            return discovery::answer(&service.server, &other, &parts.headers)?
                .ok_or(Failure::NoSuchPath);
        }
        Path::Unknown => return Err(Failure::NoSuchPath),
        _ => return Err(not_allowed().into()),
    };
    let Some(definition) =
        service
            .server
            .shared
            .catalog
            .served(&path.group, &path.version, &path.resource)
    else {
        let builtin = service
            .server
            .shared
            .catalog
            .is_builtin(&path.group, &path.version);
        return Err(if builtin {
            unknown_path().into()
        } else {
            Failure::NoSuchPath
        });
    };
    let kind = &definition.kind;
    let has_protobuf = protobuf::is_known(&kind.api_version(), &kind.kind);
    let (representation, encoding) = Media::accepted(&parts.headers, has_protobuf)?;
    let call = Call {
        server: service.server,
        closing: service.closing,
        definition,
        path,
        query,
        headers: parts.headers,
        representation,
    };
    call.check_scope()?;
    call.check_usage(&parts.method)?;
    let watches = parts.method == Method::GET && (call.path.watch || call.query.flag("watch")?);
    let response = match (parts.method, call.path.name.is_some()) {
        (Method::GET, _) if watches => watch::watch(call),
        (Method::GET, true) if call.is_pod_log() => log::log(&call),
        (Method::GET, true) => read::get(&call),
        (Method::GET, false) => read::list(&call),
        (Method::POST, false) if call.definition.usage == Usage::Ask => {
            review::answer(&call, &read_body(body).await?)
        }
        (Method::POST, false) => change::create(&call, &read_body(body).await?),
        (Method::PUT, true) => change::replace(&call, &read_body(body).await?),
        (Method::PATCH, true) => change::patch(&call, &read_body(body).await?),
        (Method::DELETE, true) => change::delete(&call, &read_body(body).await?),
        (Method::DELETE, false) => change::delete_collection(&call, &read_body(body).await?),
        _ => Err(not_allowed()),
    };
    let response = response?;
    Ok(match encoding {
        Encoding::Json => response,
        Encoding::Protobuf => respond::as_protobuf(response, watches).await?,
    })
}

async fn read_body(body: Body) -> Result<Bytes, Status> {
    axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| {
            Status::new(
                Reason::RequestEntityTooLarge,
                format!("Request entity too large: limit is {BODY_BYTES_MAX}"),
            )
        })
}

fn unknown_path() -> Status {
    Status::of_route(
        Reason::NotFound,
        "the server could not find the requested resource",
    )
}

fn not_allowed() -> Status {
    Status::of_route(
        Reason::MethodNotAllowed,
        "the server does not allow this method on the requested resource",
    )
}

/// What a real cluster does, and this one does not.
fn unsupported(why: &str) -> Status {
    Status::of_route(Reason::MethodNotAllowed, why)
}

impl Call {
    fn namespace(&self) -> &str {
        self.path.namespace.as_deref().unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    /// A namespaced object is in a namespace, others are not.
    fn check_scope(&self) -> Result<(), Status> {
        let in_namespace = self.path.namespace.is_some();
        match self.definition.kind.namespaced {
            true if !in_namespace && self.path.name.is_some() => Err(unknown_path()),
            false if in_namespace => Err(unknown_path()),
            _ => Ok(()),
        }
    }

    /// Refuses what this cluster does not do, in words that say what it lacks.
    fn check_usage(&self, method: &Method) -> Result<(), Status> {
        // To delete what does not exist is answered with 404.
        let deletes_nothing = method == Method::DELETE && !self.is_stored();
        let reads = method == Method::GET || method == Method::HEAD || deletes_nothing;
        match self.definition.usage {
            Usage::Read(why) if !reads => return Err(unsupported(why)),
            Usage::Ask if method != Method::POST => return Err(not_allowed()),
            _ => {}
        }
        let Some(part) = self.path.subresource.as_deref() else {
            return Ok(());
        };
        let plural = self.definition.kind.resource.plural.as_ref();
        let why = match (plural, part.split('/').next().unwrap_or_default()) {
            ("pods", part @ ("exec" | "attach" | "portforward" | "proxy")) => format!(
                "{part} is not supported: pods are processes or containers of this machine; look at what \
                 they print with `kubectl logs`"
            ),
            ("pods", "ephemeralcontainers") => {
                "debug containers are not supported: a pod is not changed once it runs".to_owned()
            }
            ("pods", "eviction") => "evictions are not supported: delete the pod".to_owned(),
            ("pods", "resize") => {
                "resizing is not supported: requests and limits have no effect here".to_owned()
            }
            ("serviceaccounts", "token") => {
                "tokens of service accounts are not supported: the kubeconfig has the only token"
                    .to_owned()
            }
            _ => return Ok(()),
        };
        match self.is_stored() {
            true => Err(unsupported(&why)),
            false => Err(Status::not_found(&self.definition.kind, self.name())),
        }
    }

    fn is_stored(&self) -> bool {
        let resource = &self.definition.kind.resource;
        let store = &self.server.shared.store;
        store.get(resource, self.namespace(), self.name()).is_some()
    }

    fn is_pod_log(&self) -> bool {
        self.definition.kind.resource == kind::POD.resource
            && self.path.subresource.as_deref() == Some("log")
    }

    fn header(&self, name: header::HeaderName) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}
