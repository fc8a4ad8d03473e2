//! A client whose requests fail as a test says: what a network and an API server do to one.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, future, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::json;
use tokio::sync::watch;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is answered with this status, without the API server; 410 on a watch comes as an event.
    Status(u16),
    /// It is not answered before the fault is mended.
    Hang,
    /// The API server carries it out, and the connection breaks before the answer.
    LoseAnswer,
    /// It is answered with objects whose managed fields no client can read.
    Poison,
    /// The versions before this one are forgotten: a watch from one of them gets 410.
    Compacted(u64),
}

#[derive(Debug)]
struct Fault {
    name: String,
    request: String,
    how: How,
    /// How many requests are left; none: until it is mended.
    times: Option<usize>,
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    /// The names of those that were ended; one that is used up hangs on.
    mended: Vec<String>,
    requests: Vec<String>,
    is_down: bool,
    /// Raised when the watches are cut.
    cut: usize,
}

/// The faults between a client and its API server.
#[derive(Clone, Debug)]
pub struct Faults(Arc<watch::Sender<State>>);

impl Default for Faults {
    fn default() -> Self {
        Self(Arc::new(watch::channel(State::default()).0))
    }
}

impl Faults {
    /// A client whose requests go through here to another.
    pub fn client(&self, to: &Client) -> Client {
        let (faults, to) = (self.clone(), to.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (faults, to) = (faults.clone(), to.clone());
            async move { faults.answer(&to, request).await }
        });
        Client::new(service, "default")
    }

    /// Begins a fault of requests such as `create claims`, or of all: `*`.
    pub fn begin(&self, name: &str, request: &str, how: How, times: Option<usize>) {
        let fault = Fault {
            name: name.to_owned(),
            request: request.to_owned(),
            how,
            times,
        };
        self.0.send_modify(|state| state.faults.push(fault));
    }

    /// Ends a fault.
    pub fn mend(&self, name: &str) {
        self.0.send_modify(|state| {
            state.faults.retain(|fault| fault.name != name);
            state.mended.push(name.to_owned());
        });
    }

    /// Breaks the watches that are open.
    pub fn cut_watches(&self) {
        self.0.send_modify(|state| state.cut += 1);
    }

    /// Breaks all connections and refuses new ones, or accepts them again.
    pub fn set_down(&self, is_down: bool) {
        self.0.send_modify(|state| {
            state.is_down = is_down;
            state.cut += 1;
        });
    }

    /// The requests so far, such as `watch gates`.
    pub fn requests(&self) -> Vec<String> {
        self.0.borrow().requests.clone()
    }

    /// Waits until so many of a request have arrived; of a watch, until its answer has begun.
    pub async fn arrived(&self, request: &str, times: usize) {
        let enough = |state: &State| {
            let same = state.requests.iter().filter(|other| *other == request);
            same.count() >= times
        };
        let _ = self.0.subscribe().wait_for(enough).await;
    }

    fn note(&self, request: &str) {
        self.0
            .send_modify(|state| state.requests.push(request.to_owned()));
    }

    /// The fault of a request, which is used up by it. A watch has the version that it begins at.
    fn take(&self, request: &str, from: Option<u64>) -> Option<(String, How)> {
        let mut taken = None;
        self.0.send_modify(|state| {
            let concerns = |fault: &&mut Fault| {
                let is_forgotten = match fault.how {
                    How::Compacted(oldest) => from.is_some_and(|from| from < oldest),
                    _ => true,
                };
                is_forgotten && (fault.request == request || fault.request == "*")
            };
            let fault = state.faults.iter_mut().find(concerns);
            if let Some(fault) = fault {
                fault.times = fault.times.map(|times| times - 1);
                taken = Some((fault.name.clone(), fault.how));
            }
            state.faults.retain(|fault| fault.times != Some(0));
        });
        taken
    }

    async fn answer(&self, to: &Client, request: Request<Body>) -> Result<Answer, BoxError> {
        let name = named(&request);
        let is_watch = name.starts_with("watch ");
        if self.0.borrow().is_down {
            return Err(broken(io::ErrorKind::ConnectionRefused));
        }
        let fault = self.take(&name, version(&request));
        if !is_watch || fault.is_some() {
            self.note(&name);
        }
        if let Some((fault, how)) = fault {
            return self.fail(to, request, &name, &fault, how).await;
        }
        let cut = self.0.borrow().cut;
        let response = to.send(request).await?;
        if !is_watch {
            return Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()));
        }
        self.note(&name);
        Ok(response.map(|body| self.until_cut(body, cut)))
    }

    async fn fail(
        &self,
        to: &Client,
        request: Request<Body>,
        name: &str,
        fault: &str,
        how: How,
    ) -> Result<Answer, BoxError> {
        match how {
            How::Status(410) if name.starts_with("watch ") => Ok(Response::new(text(&gone(name)))),
            How::Status(code) => {
                let mut builder = Response::builder().status(code);
                if code == 503 {
                    // As an API server asks that has just started.
                    builder = builder.header("retry-after", "5");
                }
                Ok(builder.body(text(&status(code, name)))?)
            }
            // Only watches begin at a version.
            How::Compacted(_) => Ok(Response::new(text(&gone(name)))),
            How::Hang => {
                let is_mended = |state: &State| state.mended.iter().any(|name| name == fault);
                let _ = self.0.subscribe().wait_for(is_mended).await;
                Err(broken(io::ErrorKind::ConnectionReset))
            }
            How::Poison => {
                let response = to.send(request).await?;
                Ok(response.map(poisoned))
            }
            How::LoseAnswer => {
                to.send(request).await?;
                Err(broken(io::ErrorKind::ConnectionReset))
            }
        }
    }

    /// A body that breaks when the watches are cut.
    fn until_cut(&self, body: Body, cut: usize) -> UnsyncBoxBody<Bytes, BoxError> {
        let mut changes = self.0.subscribe();
        let is_cut = async move {
            let _ = changes.wait_for(|state| state.cut != cut).await;
        };
        let faults = self.clone();
        let end = stream::once(async move {
            let was_cut = faults.0.borrow().cut != cut;
            was_cut.then(|| Err(broken(io::ErrorKind::ConnectionReset)))
        });
        let data = body.into_data_stream().map_err(BoxError::from);
        let data = data.take_until(Box::pin(is_cut));
        let data = data.chain(end.filter_map(future::ready));
        BodyExt::boxed_unsync(StreamBody::new(data.map_ok(Frame::data)))
    }
}

/// Managed fields that others may have stored: of a time that is out of range, and nested more deeply
/// than a decoder goes.
fn poisoned(body: Body) -> UnsyncBoxBody<Bytes, BoxError> {
    let nested = format!("{}{{}}{}", "{\"f:a\":".repeat(150), "}".repeat(150));
    let bad = format!(
        r#""metadata":{{"managedFields":[{{"time":"10000-01-01T00:00:00Z","fieldsV1":{nested}}}],"#
    );
    let lines = body.into_data_stream().map_err(io::Error::other);
    let lines = lines.into_async_read().lines();
    let lines = lines.map_ok(move |line| {
        let line = line.replacen(r#""metadata":{"#, &bad, 1) + "\n";
        Frame::data(Bytes::from(line))
    });
    BodyExt::boxed_unsync(StreamBody::new(lines.map_err(BoxError::from)))
}

fn text(json: &serde_json::Value) -> UnsyncBoxBody<Bytes, BoxError> {
    let body = Full::new(Bytes::from(json.to_string()));
    body.map_err(BoxError::from).boxed_unsync()
}

fn broken(kind: io::ErrorKind) -> BoxError {
    Box::new(io::Error::from(kind))
}

/// A request's verb and resource, as RBAC names them.
fn named(request: &Request<Body>) -> String {
    let uri = request.uri();
    let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
    let namespaced = parts.iter().position(|part| *part == "namespaces");
    let resource = namespaced.and_then(|at| parts.get(at + 2)).or(parts.last());
    let is_watch = uri
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let verb = match *request.method() {
        Method::GET if is_watch => "watch",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        // `/version` is no list.
        _ if resource == parts.last() && parts[0].starts_with("api") => "list",
        _ => "get",
    };
    format!("{verb} {}", resource.copied().unwrap_or_default())
}

/// The version that a watch begins at.
fn version(request: &Request<Body>) -> Option<u64> {
    let pairs = request.uri().query()?.split('&');
    let mut versions = pairs.filter_map(|pair| pair.strip_prefix("resourceVersion="));
    versions.next()?.parse().ok()
}

/// The event that says to a watch that its version is too old.
fn gone(request: &str) -> serde_json::Value {
    json!({"type": "ERROR", "object": status(410, request)})
}

fn status(code: u16, request: &str) -> serde_json::Value {
    let reason = match code {
        403 => "Forbidden",
        409 => "Conflict",
        410 => "Expired",
        503 => "ServiceUnavailable",
        _ => "InternalError",
    };
    json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
        "reason": reason, "message": format!("the test answers {code} to {request}"),
    })
}
