//! One watch of a kind: a list, and what happens after it.
//!
//! What enters: the answers of the API server. What leaves: events, as a reflector takes them in, and
//! failures. What must never happen here: a wait without an end. A connection that is frozen, by a
//! firewall, a proxy or a node that vanished, says nothing and never ends; so each watch is asked to
//! end soon, and one that doesn't is given up.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use futures::stream::{self, BoxStream, Stream, StreamExt};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::watcher::Event;
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::backoff::WatchBackoff;
use crate::options::WatchesLast;

/// After this long a watch that should have ended is given up. The SDK's connections notice it earlier
/// and are replaced; this is for any other client.
const GRACE: Duration = Duration::from_secs(5);
/// A watch that ended this early, and showed nothing, did not work.
const TOO_EARLY: Duration = Duration::from_millis(500);
/// A list that has no answer by then has none: an API server itself gives up after a minute.
const LIST_WITHIN: Duration = Duration::from_secs(70);
/// How many objects are listed at once: one may have 1.5 MB, and a page is in memory as a whole.
pub(crate) const PAGE: u32 = 100;

/// Why a watch shows nothing for now. It is tried again.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the list failed: {0}")]
    List(#[source] kube::Error),
    #[error("the watch could not be started: {0}")]
    Start(#[source] kube::Error),
    #[error("the watch failed: {0}")]
    Watch(#[source] kube::Error),
    #[error("the API server ended the watch: {code} {message}")]
    Ended { code: u16, message: String },
    #[error("the watch ended as soon as it had begun")]
    TooEarly,
    #[error("the watch is silent although it should have ended; it begins again")]
    Stalled,
    #[error("the list has no answer")]
    NoAnswer,
    #[error("an answer has no resourceVersion")]
    NoVersion,
}

impl Failure {
    /// Whether no API server has answered at all; it may be back at any moment.
    fn is_unanswered(&self) -> bool {
        matches!(
            self,
            Self::List(kube::Error::Service(_)) | Self::Start(kube::Error::Service(_))
        )
    }
}

/// Receives how a watch goes.
pub(crate) trait Observer: Send {
    /// The API server has answered.
    fn heard(&self);
    /// Something failed; the next attempt is made after this wait.
    fn failed(&self, failure: &Failure, wait: Duration);
}

/// Watches what this API shows, forever. Failures are reported to the observer and retried with backoff.
///
/// # Guarantees
/// [`Event::Init`] comes only with an answer, so a list that fails yields failures only, each later
/// than the one before it.
pub(crate) fn watch<K, O>(
    api: Api<K>,
    fields: Option<String>,
    lasts: WatchesLast,
    backoff: WatchBackoff,
    observer: O,
) -> impl Stream<Item = Result<Event<K>, Failure>> + Send
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    O: Observer,
{
    let watch = Watch {
        api,
        fields,
        lasts: lasts.0,
        backoff,
        observer,
        rest: None,
        ready: VecDeque::new(),
        stage: Stage::List(None),
    };
    stream::unfold(watch, |mut watch| async move {
        let event = watch.next().await;
        Some((event, watch))
    })
}

struct Watch<K, O> {
    api: Api<K>,
    fields: Option<String>,
    /// After this long the API server ends a watch, and the next one begins where it ended.
    lasts: Duration,
    backoff: WatchBackoff,
    observer: O,
    /// How long to wait before the next attempt.
    rest: Option<Duration>,
    /// What comes before the next attempt.
    ready: VecDeque<Event<K>>,
    stage: Stage<K>,
}

enum Stage<K> {
    /// The next page of a list is to be read; the first one has no token.
    List(Option<String>),
    /// A watch is to begin after this version.
    Begin(String),
    Watch(Running<K>),
}

struct Running<K> {
    version: String,
    events: BoxStream<'static, kube::Result<WatchEvent<K>>>,
    begun: Instant,
    heard: bool,
}

impl<K, O> Watch<K, O>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
    O: Observer,
{
    async fn next(&mut self) -> Result<Event<K>, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if let Some(rest) = self.rest.take() {
                sleep(rest).await;
            }
            // What fails, or is not finished, is begun from the list: whoever forgets the stage lists.
            let stage = std::mem::replace(&mut self.stage, Stage::List(None));
            let done = match stage {
                Stage::List(token) => self.list(token).await,
                Stage::Begin(version) => self.begin(version).await,
                Stage::Watch(running) => self.follow(running).await,
            };
            if let Err(failure) = done {
                let wait = match failure {
                    // It is as good as a watch that ended.
                    Failure::Stalled => Duration::ZERO,
                    _ if failure.is_unanswered() => self.backoff.unanswered(),
                    _ => self.backoff.failed(Instant::now()),
                };
                self.observer.failed(&failure, wait);
                self.rest = Some(wait);
                return Err(failure);
            }
            self.observer.heard();
        }
    }

    async fn list(&mut self, token: Option<String>) -> Result<(), Failure> {
        let params = ListParams {
            field_selector: self.fields.clone(),
            limit: Some(PAGE),
            continue_token: token.clone(),
            ..ListParams::default()
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "of Lenient objects: whoever watches chooses what it decodes"
        )]
        let list = timeout(LIST_WITHIN, self.api.list(&params)).await;
        let list = list
            .map_err(|_| Failure::NoAnswer)?
            .map_err(Failure::List)?;
        if token.is_none() {
            self.ready.push_back(Event::Init);
        }
        self.ready
            .extend(list.items.into_iter().map(Event::InitApply));
        let text = |text: Option<String>| text.filter(|text| !text.is_empty());
        self.stage = match (
            text(list.metadata.continue_),
            text(list.metadata.resource_version),
        ) {
            (Some(token), _) => Stage::List(Some(token)),
            (None, Some(version)) => {
                self.backoff.listed(Instant::now());
                self.ready.push_back(Event::InitDone);
                Stage::Begin(version)
            }
            (None, None) => {
                self.ready.clear();
                return Err(Failure::NoVersion);
            }
        };
        Ok(())
    }

    async fn begin(&mut self, version: String) -> Result<(), Failure> {
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: u32::try_from(self.lasts.as_secs()).ok(),
            bookmarks: true,
            ..WatchParams::default()
        };
        let begun = Instant::now();
        let answer = timeout_at(begun + self.lasts, self.api.watch(&params, &version)).await;
        let stage = match answer {
            Ok(Ok(events)) => Ok(Stage::Watch(Running {
                version,
                events: events.boxed(),
                begun,
                heard: false,
            })),
            Ok(Err(kube::Error::Api(status))) if status.code == 410 => {
                Err((Failure::Start(kube::Error::Api(status)), None))
            }
            Ok(Err(error)) => Err((Failure::Start(error), Some(version))),
            Err(_) => Err((Failure::Stalled, Some(version))),
        };
        match stage {
            Ok(stage) => {
                self.stage = stage;
                Ok(())
            }
            Err((failure, version)) => {
                self.stage = version.map_or(Stage::List(None), Stage::Begin);
                Err(failure)
            }
        }
    }

    async fn follow(&mut self, mut running: Running<K>) -> Result<(), Failure> {
        let ends = running.begun + self.lasts + GRACE;
        let Ok(next) = timeout_at(ends, running.events.next()).await else {
            self.stage = Stage::Begin(running.version);
            return Err(Failure::Stalled);
        };
        let (event, version) = match next {
            Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object))) => {
                let version = object.meta().resource_version.clone();
                (Some(Event::Apply(object)), version)
            }
            Some(Ok(WatchEvent::Deleted(object))) => {
                let version = object.meta().resource_version.clone();
                (Some(Event::Delete(object)), version)
            }
            Some(Ok(WatchEvent::Bookmark(mark))) => (None, Some(mark.metadata.resource_version)),
            Some(Ok(WatchEvent::Error(status))) => {
                // What it has missed is gone: it lists again.
                if status.code != 410 {
                    self.stage = Stage::Begin(running.version);
                }
                return Err(Failure::Ended {
                    code: status.code,
                    message: status.message,
                });
            }
            Some(Err(error)) => {
                self.stage = Stage::Begin(running.version);
                return Err(Failure::Watch(error));
            }
            None => {
                let early = !running.heard && running.begun.elapsed() < TOO_EARLY;
                self.stage = Stage::Begin(running.version);
                return if early {
                    Err(Failure::TooEarly)
                } else {
                    Ok(())
                };
            }
        };
        let Some(version) = version.filter(|version| !version.is_empty()) else {
            return Err(Failure::NoVersion);
        };
        self.ready.extend(event);
        running.version = version;
        running.heard = true;
        self.stage = Stage::Watch(running);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use http::{Request, Response, StatusCode};
    use konductor_api::Gate;
    use kube::Client;
    use serde_json::json;

    use super::*;
    use crate::backoff::{LONGEST, WATCH_LONGEST};
    use crate::needed::Read;

    #[derive(Clone, Default)]
    struct Failures(Arc<Mutex<Vec<String>>>);

    impl Observer for Failures {
        fn heard(&self) {}

        fn failed(&self, failure: &Failure, _: Duration) {
            self.0.lock().unwrap().push(failure.to_string());
        }
    }

    /// A watch of the API server that answers requests so, by the query and the request's number.
    fn against(
        answer: impl Fn(&str, usize) -> Response<Body> + Clone + Send + 'static,
        failures: &Failures,
    ) -> impl Stream<Item = Result<Event<Read<Gate>>, Failure>> {
        let count = Arc::new(Mutex::new(0));
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let mut count = count.lock().unwrap();
            *count += 1;
            let query = request.uri().query().unwrap_or_default();
            std::future::ready(Ok::<_, tower::BoxError>(answer(query, *count)))
        });
        let api = Api::all(Client::new(service, "default"));
        let backoff = WatchBackoff::new("Gate", WATCH_LONGEST);
        watch(api, None, WatchesLast::default(), backoff, failures.clone())
    }

    fn empty_list() -> Response<Body> {
        let list = json!({"apiVersion": "konductor.io/v1", "kind": "GateList",
            "metadata": {"resourceVersion": "7"}, "items": []});
        Response::new(Body::from(list.to_string()))
    }

    fn refused(code: StatusCode) -> Response<Body> {
        let status = json!({"kind": "Status", "status": "Failure", "message": "no",
            "reason": "Forbidden", "code": code.as_u16()});
        let mut response = Response::new(Body::from(status.to_string()));
        *response.status_mut() = code;
        response
    }

    /// How many times it fails within ten minutes.
    async fn failures_in_ten_minutes(
        answer: impl Fn(&str, usize) -> Response<Body> + Clone + Send + 'static,
    ) -> usize {
        let failures = Failures::default();
        let mut events = pin!(against(answer, &failures));
        let follow = async {
            while let Some(event) = events.next().await {
                let quiet = !matches!(event, Ok(Event::Apply(_) | Event::Delete(_)));
                assert!(quiet, "there is nothing to see");
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(600), follow).await;
        let failures = failures.0.lock().unwrap();
        failures.len()
    }

    #[tokio::test(start_paused = true)]
    async fn failing_watch_is_retried_less_and_less_often() {
        let refuses = |_: &str, _| refused(StatusCode::FORBIDDEN);
        let lists_only = |query: &str, _| match query.contains("watch=true") {
            true => refused(StatusCode::GONE),
            false => empty_list(),
        };
        let ends_at_once = |query: &str, _| match query.contains("watch=true") {
            true => Response::new(Body::empty()),
            false => empty_list(),
        };
        let counts = [
            failures_in_ten_minutes(refuses).await,
            failures_in_ten_minutes(lists_only).await,
            failures_in_ten_minutes(ends_at_once).await,
        ];
        for count in counts {
            assert!((20..60).contains(&count), "{counts:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_is_back_is_listed_at_once_however_long_it_was_away() {
        let begun = Instant::now();
        let away = Duration::from_secs(600);
        let service = tower::service_fn(move |_: Request<kube::client::Body>| {
            let is_away = begun.elapsed() < away;
            std::future::ready(match is_away {
                true => Err(tower::BoxError::from("connection refused")),
                false => Ok(empty_list()),
            })
        });
        let api: Api<Read<Gate>> = Api::all(Client::new(service, "default"));
        let backoff = WatchBackoff::new("Gate", WATCH_LONGEST);
        let failures = Failures::default();
        let mut events = pin!(watch(
            api,
            None,
            WatchesLast::default(),
            backoff,
            failures.clone()
        ));
        while !matches!(events.next().await, Some(Ok(Event::Init))) {}
        assert!(begun.elapsed() <= away + LONGEST, "{:?}", begun.elapsed());
        let count = failures.0.lock().unwrap().len();
        assert!((200..300).contains(&count), "it failed {count} times");
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_frozen_begins_again_where_it_was() {
        let answer = |query: &str, number| {
            if !query.contains("watch=true") {
                return empty_list();
            }
            assert!(query.contains("resourceVersion=7"), "{query}");
            let frozen = stream::pending::<Result<Vec<u8>, std::io::Error>>();
            if number == 2 {
                return Response::new(Body::from_stream(frozen));
            }
            let gate = json!({"type": "ADDED", "object": {"apiVersion": "konductor.io/v1",
                "kind": "Gate", "metadata": {"name": "g", "resourceVersion": "8"},
                "spec": {"conditions": []}}});
            let line = stream::iter([Ok(format!("{gate}\n").into_bytes())]);
            Response::new(Body::from_stream(line.chain(frozen)))
        };
        let failures = Failures::default();
        let mut events = pin!(against(answer, &failures));
        let begun = Instant::now();
        loop {
            match events.next().await {
                Some(Ok(Event::Apply(gate))) => {
                    assert_eq!(gate.meta().name.as_deref(), Some("g"));
                    break;
                }
                Some(_) => {}
                None => panic!("it never ends"),
            }
        }
        assert!(begun.elapsed() <= WatchesLast::default().0 + GRACE + Duration::from_millis(100));
        assert_eq!(*failures.0.lock().unwrap(), [Failure::Stalled.to_string()]);
    }
}
