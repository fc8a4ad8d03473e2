//! The way between an operator and the API server, on which requests and answers get lost.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse;
use futures::{Stream, StreamExt};
use http::{Method, Request, Response, StatusCode};
use jiff::SignedDuration;
use konductor_local::ApiServer;
use tokio::sync::Notify;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use super::plan::Fault;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteFault {
    /// The operator is killed before it arrives.
    CrashBefore,
    /// The operator is killed after it was stored, before it hears of it.
    CrashAfter,
    /// The connection breaks before it arrives.
    LostBefore,
    /// The connection breaks after it was stored.
    LostAfter,
    /// The API server answers 409.
    Conflict,
    /// The API server answers 429.
    TooMany,
    /// The API server answers 500.
    Broken,
    /// It is under way for ten seconds, and then stored if its preconditions still hold.
    Slow,
}

impl WriteFault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::LostBefore,
        Self::LostAfter,
        Self::Conflict,
        Self::TooMany,
        Self::Broken,
        Self::Slow,
    ];
}

/// What becomes of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchFault {
    /// The connection breaks instead.
    Cut,
    /// The watch gets 410 Gone instead.
    Gone,
    /// It comes twice.
    Twice,
    /// It is under way for twenty seconds, and so is whatever follows it in its watch.
    Slow,
}

impl WatchFault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cut, Self::Gone, Self::Twice, Self::Slow];
}

/// No story needs so many writes, whatever goes wrong. Who fights over an object without taking any
/// time would keep simulated time from passing: nothing is answered beyond this.
const WRITES_AT_MOST: u64 = 2_000;

pub(super) const SLOW_WRITE: Duration = Duration::from_secs(10);
pub(super) const SLOW_EVENT: Duration = Duration::from_secs(20);

/// The way from one operator, through all its lives.
#[derive(Debug)]
pub struct Link {
    faults: Vec<Fault>,
    chance: Mutex<fastrand::Rng>,
    delay: Duration,
    writes: AtomicU64,
    events: AtomicU64,
    crash: Notify,
    /// When it stands still, and how long, in order.
    pauses: Mutex<VecDeque<(Duration, Duration)>>,
    injected: Mutex<Injected>,
}

/// What really went wrong, and how often.
pub type Injected = BTreeMap<String, u64>;

impl Link {
    pub(super) fn new(faults: Vec<Fault>, (seed, delay): (u64, Duration)) -> Arc<Self> {
        let mut pauses: Vec<(Duration, Duration)> = faults
            .iter()
            .filter_map(|fault| match fault {
                Fault::Pause { at_ms, for_ms, .. } => Some((
                    Duration::from_millis(*at_ms),
                    Duration::from_millis(*for_ms),
                )),
                _ => None,
            })
            .collect();
        pauses.sort_unstable();
        Arc::new(Self {
            faults,
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            delay,
            writes: AtomicU64::new(0),
            events: AtomicU64::new(0),
            crash: Notify::new(),
            pauses: Mutex::new(pauses.into()),
            injected: Mutex::default(),
        })
    }

    /// How many writes the operator made, or tried to.
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// What went wrong on it, and how often.
    pub fn injected(&self) -> Injected {
        let injected = self.injected.lock();
        injected.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn inject(&self, what: String) {
        let mut injected = self.injected.lock().unwrap_or_else(PoisonError::into_inner);
        *injected.entry(what).or_default() += 1;
    }

    /// Whether it wrote more than can have a reason.
    pub(super) fn writes_without_end(&self) -> bool {
        self.writes() > WRITES_AT_MOST
    }

    pub(super) fn to(self: &Arc<Self>, api: &ApiServer) -> Faulty {
        Faulty {
            link: Arc::clone(self),
            api: api.managed_by("konductor").router(),
        }
    }

    /// Kills the operator now.
    pub(super) fn crash_now(&self) {
        self.crash.notify_one();
    }

    /// Ready when the operator is to be killed.
    pub(super) async fn crashed(&self) {
        self.crash.notified().await;
    }

    /// Ready when the operator is to stand still; says how long.
    pub(super) async fn paused(&self, begun: Instant) -> Duration {
        let next = self
            .pauses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .front()
            .copied();
        let Some((at, pause)) = next else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(begun + at).await;
        self.pauses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        self.inject("Pause".to_owned());
        pause
    }

    pub(super) fn clock_offset(&self, passed: Duration) -> SignedDuration {
        self.faults
            .iter()
            .map(|fault| fault.clock_offset(passed))
            .sum()
    }

    fn next_write(&self) -> Option<WriteFault> {
        let count = self.writes.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.faults.iter().find_map(|fault| match fault {
            Fault::Write { nth, fault, .. } if *nth == count => Some(*fault),
            _ => None,
        });
        fault.inspect(|fault| self.inject(format!("write {fault:?}")))
    }

    fn next_event(&self) -> (Option<WatchFault>, Duration) {
        let count = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        let fault = self.faults.iter().find_map(|fault| match fault {
            Fault::Watch { nth, fault, .. } if *nth == count => Some(*fault),
            _ => None,
        });
        if let Some(fault) = fault {
            self.inject(format!("event {fault:?}"));
        }
        let longest = u64::try_from(self.delay.as_millis()).unwrap_or(u64::MAX);
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        (fault, Duration::from_millis(chance.u64(..=longest)))
    }
}

type Answer = Result<Response<Body>, std::io::Error>;

/// The API server, at the end of a [`Link`].
#[derive(Clone)]
pub(super) struct Faulty {
    link: Arc<Link>,
    api: Router,
}

impl Service<Request<kube::client::Body>> for Faulty {
    type Response = Response<Body>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (link, api) = (Arc::clone(&self.link), self.api.clone());
        Box::pin(async move {
            if request.method() != Method::GET {
                return write(&link, api, request).await;
            }
            let watches = request
                .uri()
                .query()
                .is_some_and(|query| query.contains("watch=true"));
            let answer = answered(api, request).await?;
            Ok(if watches {
                answer.map(|body| watched(link, body))
            } else {
                answer
            })
        })
    }
}

async fn answered(api: Router, request: Request<kube::client::Body>) -> Answer {
    match api.oneshot(request).await {
        Ok(answer) => Ok(answer),
        Err(never) => match never {},
    }
}

async fn write(link: &Link, api: Router, request: Request<kube::client::Body>) -> Answer {
    let lost = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let fault = link.next_write();
    if link.writes_without_end() {
        return std::future::pending().await;
    }
    match fault {
        None => answered(api, request).await,
        Some(WriteFault::CrashBefore) => {
            link.crash.notify_one();
            std::future::pending().await
        }
        Some(WriteFault::CrashAfter) => {
            let _ = answered(api, request).await;
            link.crash.notify_one();
            std::future::pending().await
        }
        Some(WriteFault::LostBefore) => Err(lost()),
        Some(WriteFault::LostAfter) => {
            let _ = answered(api, request).await;
            Err(lost())
        }
        Some(WriteFault::Conflict) => Ok(refused(StatusCode::CONFLICT, "Conflict")),
        Some(WriteFault::TooMany) => Ok(refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests")),
        Some(WriteFault::Broken) => Ok(refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalError")),
        Some(WriteFault::Slow) => {
            tokio::time::sleep(SLOW_WRITE).await;
            answered(api, request).await
        }
    }
}

fn status(code: StatusCode, reason: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "metadata": {},
        "code": code.as_u16(), "reason": reason, "message": "as the simulation has it",
    })
}

fn refused(code: StatusCode, reason: &str) -> Response<Body> {
    (code, axum::Json(status(code, reason))).into_response()
}

/// The events of a watch, late, twice, or cut short.
fn watched(link: Arc<Link>, body: Body) -> Body {
    let begun = body.into_data_stream();
    let state = (link, begun, VecDeque::new(), false);
    Body::from_stream(futures::stream::unfold(state, next_event))
}

type Watching<S> = (Arc<Link>, S, VecDeque<Bytes>, bool);

async fn next_event<S>(
    (link, mut events, mut waiting, over): Watching<S>,
) -> Option<(Result<Bytes, axum::Error>, Watching<S>)>
where
    S: Stream<Item = Result<Bytes, axum::Error>> + Unpin,
{
    if let Some(again) = waiting.pop_front() {
        return Some((Ok(again), (link, events, waiting, over)));
    }
    if over {
        return None;
    }
    let event = events.next().await?;
    let Ok(event) = event else {
        return Some((event, (link, events, waiting, true)));
    };
    let (fault, delay) = link.next_event();
    tokio::time::sleep(delay).await;
    match fault {
        None => Some((Ok(event), (link, events, waiting, false))),
        Some(WatchFault::Cut) => None,
        Some(WatchFault::Gone) => {
            let gone = serde_json::json!({
                "type": "ERROR",
                "object": status(StatusCode::GONE, "Expired"),
            });
            let line = Bytes::from(format!("{gone}\n"));
            Some((Ok(line), (link, events, waiting, true)))
        }
        Some(WatchFault::Twice) => {
            waiting.push_back(event.clone());
            Some((Ok(event), (link, events, waiting, false)))
        }
        Some(WatchFault::Slow) => {
            tokio::time::sleep(SLOW_EVENT).await;
            Some((Ok(event), (link, events, waiting, false)))
        }
    }
}
