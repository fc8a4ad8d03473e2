//! A connection that notices when it is frozen.
//!
//! A firewall, a proxy or a node that vanishes may freeze a connection: nothing arrives any more, and
//! nothing says so. Keep-alive of TCP doesn't see it where a proxy still answers, and over HTTP/1.1
//! there are no pings. So each watch is asked to end soon; when one does not, every connection is
//! given up, and whoever watches begins again on a new one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Method, Request, Response, Uri};
use http_body::Frame;
use konductor_api::lenient::without_managed_fields;
use kube::client::Body;
use kube::{Client, Config};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower::BoxError;

use crate::transport;

/// After this long the API server ends a watch, and the next one begins where it ended.
const LASTS: Duration = Duration::from_secs(8);
/// A watch that should have ended, and shows nothing for this long, is frozen.
const GRACE: Duration = Duration::from_secs(3);

/// An API server gives any other request up after a minute.
const ANSWERS_WITHIN: Duration = Duration::from_secs(65);

/// Connections that are replaced when one of them is frozen.
pub(crate) struct Lively {
    config: Config,
    current: Mutex<Arc<Connections>>,
}

/// Connections that are used, and given up, together.
struct Connections {
    client: Client,
    given_up: watch::Sender<bool>,
}

/// A connection that was given up before the answer came.
#[derive(Debug, thiserror::Error)]
#[error(
    "the connection was silent for too long and is replaced; whether the request was served is not known"
)]
struct Frozen;

impl Lively {
    pub(crate) fn new(config: Config) -> Result<Arc<Self>, kube::Error> {
        let current = Mutex::new(Connections::new(config.clone())?);
        Ok(Arc::new(Self { config, current }))
    }

    /// Sends a request on connections that are not given up.
    ///
    /// # Errors
    /// Of the way to the API server. A read is repeated instead where its connections are given up.
    pub(crate) async fn send(
        self: Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Guarded>, BoxError> {
        let (mut head, mut body) = request.into_parts();
        let watches = shorten(&mut head.uri);
        loop {
            let connections = Arc::clone(&self.current());
            let lasts = if watches {
                Some(LASTS + GRACE)
            } else {
                (!is_a_stream(&head.uri)).then_some(ANSWERS_WITHIN)
            };
            let deadline = lasts.map(|lasts| Instant::now() + lasts);
            let request =
                Request::from_parts(head.clone(), std::mem::replace(&mut body, Body::empty()));
            let mut limit = Limit::new(Arc::clone(&self), Arc::clone(&connections), deadline);
            let answer = tokio::select! {
                answer = connections.client.send(request) => answer.map_err(cause)?,
                () = &mut limit.reached => {
                    if head.method == Method::GET {
                        continue;
                    }
                    return Err(Frozen.into());
                }
            };
            return Ok(guard(answer, limit, watches));
        }
    }

    fn current(&self) -> MutexGuard<'_, Arc<Connections>> {
        // It is replaced as a whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops these connections, unless that has been done already.
    fn give_up(&self, connections: &Arc<Connections>) {
        let mut current = self.current();
        if !Arc::ptr_eq(&current, connections) {
            return;
        }
        match Connections::new(self.config.clone()) {
            Ok(new) => {
                tracing::warn!(
                    server = %self.config.cluster_url,
                    "the connection to the API server is silent; connecting again"
                );
                let old = std::mem::replace(&mut *current, new);
                old.given_up.send_replace(true);
            }
            Err(error) => tracing::error!(%error, "can't connect again"),
        }
    }
}

impl Connections {
    fn new(config: Config) -> Result<Arc<Self>, kube::Error> {
        Ok(Arc::new(Self {
            client: transport::client(config)?,
            given_up: watch::Sender::new(false),
        }))
    }
}

/// What kept a request from the API server, as the connection reported it.
fn cause(error: kube::Error) -> BoxError {
    match error {
        kube::Error::Service(cause) => cause,
        kube::Error::HyperError(cause) => cause.into(),
        other => other.into(),
    }
}

/// When an answer is broken off: when its connections are given up by another request, or when it lasts too long and
/// nothing arrives any more.
struct Limit {
    lively: Arc<Lively>,
    connections: Arc<Connections>,
    deadline: Option<Instant>,
    reached: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Limit {
    fn new(lively: Arc<Lively>, connections: Arc<Connections>, deadline: Option<Instant>) -> Self {
        let reached = reached(Arc::clone(&lively), Arc::clone(&connections), deadline);
        Self {
            lively,
            connections,
            deadline,
            reached: Box::pin(reached),
        }
    }

    /// Something has arrived. Whoever is behind reads for longer than a watch lasts, and is not frozen.
    fn heard(&mut self) {
        let later = Instant::now() + GRACE;
        if self.deadline.is_some_and(|deadline| deadline < later) {
            let (lively, connections) = (Arc::clone(&self.lively), Arc::clone(&self.connections));
            *self = Self::new(lively, connections, Some(later));
        }
    }
}

/// Ends when these connections are given up: by another request, or at the deadline of this one.
async fn reached(lively: Arc<Lively>, connections: Arc<Connections>, deadline: Option<Instant>) {
    let mut given_up = connections.given_up.subscribe();
    let silent = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = given_up.wait_for(|given_up| *given_up) => {}
        () = silent => lively.give_up(&connections),
    }
}

/// The answer, which breaks off when its connection is given up, and without managed fields: they are
/// nested as deep, and have such times, as whoever wrote an object likes, and fail its decoding.
fn guard(answer: Response<Body>, limit: Limit, watches: bool) -> Response<Guarded> {
    let (mut head, body) = answer.into_parts();
    let json = head
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    if json {
        head.headers.remove(CONTENT_LENGTH);
    }
    let body = Guarded {
        body: Box::pin(body),
        limit,
        text: json.then(|| Text {
            read: Vec::new(),
            by_line: watches,
        }),
    };
    Response::from_parts(head, body)
}

/// Whether the answer lasts for as long as a pod works: its log, or a terminal.
fn is_a_stream(uri: &Uri) -> bool {
    let streams = ["/log", "/exec", "/attach", "/portforward", "/proxy"];
    streams.iter().any(|end| uri.path().ends_with(end))
}

/// Lets a watch end soon; returns whether it is one.
fn shorten(uri: &mut Uri) -> bool {
    let Some(query) = uri.query() else {
        return false;
    };
    if !query.split('&').any(|pair| pair == "watch=true") {
        return false;
    }
    let mut seconds = LASTS.as_secs();
    let mut pairs: Vec<String> = Vec::new();
    for pair in query.split('&') {
        match pair.strip_prefix("timeoutSeconds=") {
            Some(value) => seconds = value.parse().unwrap_or(seconds).min(seconds),
            None => pairs.push(pair.to_owned()),
        }
    }
    pairs.push(format!("timeoutSeconds={seconds}"));
    let mut parts = uri.clone().into_parts();
    let path = format!("{}?{}", uri.path(), pairs.join("&"));
    parts.path_and_query = path.parse().ok();
    if let Ok(shortened) = Uri::from_parts(parts) {
        *uri = shortened;
    }
    true
}

/// The body of an answer.
pub(crate) struct Guarded<B = Body> {
    body: Pin<Box<B>>,
    limit: Limit,
    /// Where it is JSON.
    text: Option<Text>,
}

/// JSON that is handed on when it is complete: as a whole, or line by line.
struct Text {
    read: Vec<u8>,
    by_line: bool,
}

impl Text {
    /// What is complete.
    fn complete(&mut self, ended: bool) -> Option<Vec<u8>> {
        let end = match (ended, self.by_line) {
            (true, _) => self.read.len(),
            (false, true) => self.read.iter().rposition(|byte| *byte == b'\n')? + 1,
            (false, false) => return None,
        };
        let rest = self.read.split_off(end);
        let complete = std::mem::replace(&mut self.read, rest);
        if complete.is_empty() {
            return None;
        }
        let by_line = self.by_line;
        let parts = complete.split_inclusive(|byte| by_line && *byte == b'\n');
        let parts = parts.map(|part| {
            let text = std::str::from_utf8(part).ok();
            let text = text.and_then(without_managed_fields);
            // What ends a line is no part of it.
            let end = if part.ends_with(b"\n") { "\n" } else { "" };
            text.map_or_else(|| part.to_vec(), |text| (text + end).into_bytes())
        });
        Some(parts.collect::<Vec<_>>().concat())
    }
}

impl<B> http_body::Body for Guarded<B>
where
    B: http_body::Body<Data = <Body as http_body::Body>::Data>,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        while let Poll::Ready(frame) = self.body.as_mut().poll_frame(context) {
            let ended = frame.is_none();
            self.limit.heard();
            let data = match (frame, &mut self.text) {
                (Some(Ok(frame)), Some(text)) => match frame.into_data() {
                    Ok(data) => {
                        text.read.extend_from_slice(&data);
                        text.complete(false)
                    }
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                (None, Some(text)) => text.complete(true),
                (frame, _) => return Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            };
            match data {
                Some(data) => return Poll::Ready(Some(Ok(Frame::data(data.into())))),
                None if ended => return Poll::Ready(None),
                None => {}
            }
        }
        match self.limit.reached.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            // As a connection that breaks off: a watch is resumed where it was.
            Poll::Ready(()) => {
                self.limit.reached = Box::pin(std::future::pending());
                let broken = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, Frozen);
                Poll::Ready(Some(Err(broken.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let read = self.text.as_ref().is_none_or(|text| text.read.is_empty());
        read && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::poll_fn;

    use http_body::Body as _;

    use super::*;

    type Data = <Body as http_body::Body>::Data;

    /// A line each second, and then nothing, without an end.
    struct Drip {
        left: u32,
        next: tokio::time::Interval,
    }

    impl http_body::Body for Drip {
        type Data = Data;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Data>, Infallible>>> {
            if self.left == 0 || self.next.poll_tick(context).is_pending() {
                return Poll::Pending;
            }
            self.left -= 1;
            Poll::Ready(Some(Ok(Frame::data("{}\n".into()))))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_is_frozen_when_it_is_late_and_silent_and_not_while_it_shows_something() {
        let lively = Lively::new(Config::new(Uri::from_static("http://127.0.0.1:1")));
        let lively = lively.expect("connections");
        // Long after it should have ended; and silent from the start.
        for (lines, breaks_after) in [(21, 23), (0, 11)] {
            let connections = Arc::clone(&lively.current());
            let begun = Instant::now();
            let deadline = Some(begun + LASTS + GRACE);
            let limit = Limit::new(Arc::clone(&lively), Arc::clone(&connections), deadline);
            let next = tokio::time::interval(Duration::from_secs(1));
            let text = Text {
                read: Vec::new(),
                by_line: true,
            };
            let mut body = Box::pin(Guarded {
                body: Box::pin(Drip { left: lines, next }),
                limit,
                text: Some(text),
            });
            for _ in 0..lines {
                let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
                assert!(matches!(frame, Some(Ok(_))), "{frame:?}");
            }
            let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await;
            assert!(matches!(frame, Some(Err(_))), "{frame:?}");
            assert_eq!(begun.elapsed().as_secs(), breaks_after);
            assert!(!Arc::ptr_eq(&lively.current(), &connections));
        }
    }

    #[test]
    fn text_is_handed_on_when_it_is_complete() {
        let line = r#"{"type":"ADDED","object":{"metadata":{"managedFields":7}}}"#;
        let clean = r#"{"type":"ADDED","object":{"metadata":{}}}"#;
        let mut watch = Text {
            read: Vec::new(),
            by_line: true,
        };
        let (first, second) = line.split_at(20);
        watch.read.extend_from_slice(first.as_bytes());
        assert_eq!(watch.complete(false), None);
        let rest = format!("{second}\n{line}\n{first}");
        watch.read.extend_from_slice(rest.as_bytes());
        let lines = format!("{clean}\n{clean}\n");
        assert_eq!(watch.complete(false), Some(lines.into_bytes()));
        watch.read.extend_from_slice(second.as_bytes());
        assert_eq!(watch.complete(false), None);
        assert_eq!(watch.complete(true), Some(clean.as_bytes().to_vec()));
        assert_eq!(watch.complete(true), None);
    }

    #[test]
    fn a_watch_is_shortened_and_nothing_else_is() {
        let table = [
            (
                "/apis/batch/v1/jobs?&watch=true&timeoutSeconds=290&resourceVersion=7",
                "/apis/batch/v1/jobs?&watch=true&resourceVersion=7&timeoutSeconds=8",
                true,
            ),
            (
                "/api/v1/pods?watch=true&timeoutSeconds=3",
                "/api/v1/pods?watch=true&timeoutSeconds=3",
                true,
            ),
            (
                "/api/v1/pods?watch=true",
                "/api/v1/pods?watch=true&timeoutSeconds=8",
                true,
            ),
            (
                "/api/v1/pods?timeoutSeconds=290",
                "/api/v1/pods?timeoutSeconds=290",
                false,
            ),
            ("/api/v1/pods", "/api/v1/pods", false),
        ];
        for (before, after, watches) in table {
            let mut uri: Uri = before.parse().expect("a URI");
            assert_eq!(shorten(&mut uri), watches, "{before}");
            assert_eq!(uri.to_string(), after);
        }
    }
}
