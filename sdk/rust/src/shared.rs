//! One watch for all that wait for the same: for one object, or for any Claim of one client. So a thousand
//! waiting tasks have one connection.
//!
//! What waits reads by itself, and learns of changes from the shared watch. It must never miss a change
//! between its read and the watch; what may have missed one reads again.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::{AsyncBufReadExt, Stream, StreamExt, TryStreamExt};
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use konductor_api::label;
use kube::api::WatchParams;
use kube::core::{Request, Status};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::lenient::Event;

/// A watch is asked for this many seconds; the server ends it then.
const WATCH_SECONDS: u32 = 290;
/// So long may it last, before the connection is taken for dead.
const WATCH_WITHIN: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// A watch that has lasted so long has ended as asked, and is continued where it ended. One that ends
/// sooner may be that of an API server that is replaced, by one that forgets what it had.
const CONTINUED_AFTER: Duration = Duration::from_secs(7);
/// How long the watch of a client's Claims continues when no task waits: the next one may use it.
const LINGER: Duration = Duration::from_secs(5);

/// What a watch is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Selector {
    /// The object of this name.
    Name(String),
    /// The objects that this client has labelled.
    Client(Arc<str>),
}

impl Selector {
    fn params(&self) -> WatchParams {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        match self {
            Self::Name(name) => params.fields(&format!("metadata.name={name}")),
            Self::Client(id) => params.labels(&format!("{}={id}", label::CLIENT)),
        }
    }

    fn lingers(&self) -> Duration {
        match self {
            Self::Name(_) => Duration::ZERO,
            Self::Client(_) => LINGER,
        }
    }
}

/// A change of an object, or the end of the watch.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Event(Arc<Event>),
    Ended(Ending),
}

/// Why a watch has ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// It ended, or broke.
    Broken,
    /// The version it was to begin at is too old.
    Forgotten,
    /// The API server does not allow it.
    Denied(Box<Status>),
}

/// The watches of a client.
#[derive(Clone)]
pub(crate) struct Watches {
    /// The label of the client's Claims.
    pub(crate) id: Arc<str>,
    watches: Arc<Mutex<HashMap<Key, Weak<Shared>>>>,
}

/// The path of a resource, and what is watched of it.
type Key = (String, Selector);

impl Default for Watches {
    fn default() -> Self {
        Self {
            id: uuid::Uuid::new_v4().simple().to_string().into(),
            watches: Arc::default(),
        }
    }
}

impl Watches {
    /// Begins to collect the changes of an object.
    pub(crate) fn subscribe(
        &self,
        kube: &kube::Client,
        path: String,
        selector: Selector,
        name: &str,
    ) -> Subscription {
        let key = (path, selector);
        let mut watches = locked(&self.watches);
        let shared = watches.get(&key).and_then(Weak::upgrade);
        let shared = shared.unwrap_or_else(|| {
            watches.retain(|_, shared| shared.strong_count() > 0);
            let shared = Arc::new(Shared {
                kube: kube.clone(),
                requests: Request::new(key.0.clone()),
                selector: key.1.clone(),
                state: Mutex::default(),
                subscribed: watch::Sender::new(0),
            });
            watches.insert(key, Arc::downgrade(&shared));
            shared
        });
        drop(watches);
        Subscription::new(shared, name)
    }
}

/// A panic between two of its changes leaves it complete.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Shared {
    kube: kube::Client,
    requests: Request,
    selector: Selector,
    state: Mutex<State>,
    subscribed: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    is_running: bool,
    /// Counts the watches. Within one there is no gap.
    generation: u64,
    /// The version that the present one began at.
    begun_at: Option<u64>,
    /// By the name of their object, and a number of their own.
    subscribers: HashMap<String, HashMap<u64, UnboundedSender<Change>>>,
    last: u64,
}

impl State {
    fn running(&self) -> Option<u64> {
        self.is_running.then_some(self.generation)
    }

    /// Whether the watch has shown, or will show, what has changed since a read of this version: it was
    /// running when the read began, or began at that version, or before. Versions of one API server are
    /// numbers that rise.
    fn covers(&self, since: Option<u64>, version: &str) -> bool {
        let began_before = match (self.begun_at, version.parse::<u64>()) {
            (Some(begun), Ok(version)) => version >= begun,
            _ => false,
        };
        since == self.running() || began_before
    }
}

impl Shared {
    async fn run(&self, mut version: String) -> Ending {
        loop {
            let begun = Instant::now();
            let watched = tokio::select! {
                watched = timeout(WATCH_WITHIN, self.follow(&mut version)) => watched,
                () = self.abandoned() => return Ending::Broken,
            };
            match watched {
                Ok(Ok(())) if begun.elapsed() >= CONTINUED_AFTER && self.is_wanted() => {}
                Ok(Ok(())) | Err(_) => return Ending::Broken,
                Ok(Err(ending)) => return ending,
            }
        }
    }

    fn is_wanted(&self) -> bool {
        *self.subscribed.borrow() > 0
    }

    /// Waits until nobody has waited for some time.
    async fn abandoned(&self) {
        let mut subscribed = self.subscribed.subscribe();
        loop {
            let _ = subscribed.wait_for(|count| *count == 0).await;
            let subscriber = subscribed.wait_for(|count| *count > 0);
            if timeout(self.selector.lingers(), subscriber).await.is_err() {
                return;
            }
        }
    }

    /// Follows one watch until it ends, and notes the last version that it has shown.
    async fn follow(&self, version: &mut String) -> Result<(), Ending> {
        let request = self.requests.watch(&self.selector.params(), version);
        let request = request.map_err(|_| Ending::Broken)?;
        let events = events(&self.kube, request).await.map_err(ending)?;
        let mut events = std::pin::pin!(events);
        loop {
            let event = match events.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(()),
                Err(_) => return Err(Ending::Broken),
            };
            if event.type_ == "ERROR" {
                let status: Option<Status> = serde_json::from_value(event.object.0).ok();
                let status = status.unwrap_or_default();
                return Err(ending(kube::Error::Api(Box::new(status))));
            }
            let shown = event.object.text("/metadata/resourceVersion");
            if !shown.is_empty() {
                shown.clone_into(version);
            }
            self.deliver(event);
        }
    }

    fn deliver(&self, event: Event) {
        let event = Arc::new(event);
        let state = locked(&self.state);
        let name = event.object.text("/metadata/name");
        for subscriber in state.subscribers.get(name).into_iter().flatten() {
            // One that has gone has unsubscribed in a moment.
            let _ = subscriber.1.send(Change::Event(Arc::clone(&event)));
        }
    }
}

fn ending(error: kube::Error) -> Ending {
    match error {
        kube::Error::Api(status) => match status.code {
            401 | 403 => Ending::Denied(status),
            410 => Ending::Forgotten,
            _ => Ending::Broken,
        },
        _ => Ending::Broken,
    }
}

/// Reports the end of a watch, also where its task ends with its runtime.
struct Running {
    shared: Arc<Shared>,
    ending: Ending,
}

impl Running {
    fn end(mut self, ending: Ending) {
        self.ending = ending;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = locked(&self.shared.state);
        state.is_running = false;
        state.begun_at = None;
        for subscriber in state.subscribers.values().flat_map(HashMap::values) {
            let _ = subscriber.send(Change::Ended(self.ending.clone()));
        }
    }
}

/// The changes of one object, from the last read of it on.
pub(crate) struct Subscription {
    shared: Arc<Shared>,
    name: String,
    number: u64,
    changes: UnboundedReceiver<Change>,
    /// The watch that was running when the last read began.
    since: Option<u64>,
}

impl Subscription {
    fn new(shared: Arc<Shared>, name: &str) -> Self {
        let (send, changes) = unbounded_channel();
        let mut state = locked(&shared.state);
        state.last += 1;
        let number = state.last;
        let same = state.subscribers.entry(name.to_owned()).or_default();
        same.insert(number, send);
        drop(state);
        shared.subscribed.send_modify(|count| *count += 1);
        Self {
            shared,
            name: name.to_owned(),
            number,
            changes,
            since: None,
        }
    }

    /// Notes that a read begins, or a write whose answer shows the object: it is newer than all changes
    /// that were collected.
    pub(crate) fn mark(&mut self) {
        self.since = locked(&self.shared.state).running();
        while self.changes.try_recv().is_ok() {}
    }

    /// Follows the changes since the last read, which has shown this version. Returns false if some may
    /// be missing, so that it must be read again.
    pub(crate) fn begin(&mut self, version: &str) -> bool {
        let mut state = locked(&self.shared.state);
        if state.is_running {
            return state.covers(self.since, version);
        }
        state.is_running = true;
        state.generation += 1;
        state.begun_at = version.parse().ok();
        // The new watch shows them again.
        while self.changes.try_recv().is_ok() {}
        drop(state);
        let version = version.to_owned();
        let running = Running {
            shared: Arc::clone(&self.shared),
            ending: Ending::Broken,
        };
        tokio::spawn(async move {
            let ending = running.shared.run(version).await;
            running.end(ending);
        });
        true
    }

    /// Waits for the next change.
    pub(crate) async fn next(&mut self) -> Change {
        let change = self.changes.recv().await;
        change.unwrap_or(Change::Ended(Ending::Broken))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = locked(&self.shared.state);
        if let Some(same) = state.subscribers.get_mut(&self.name) {
            same.remove(&self.number);
            if same.is_empty() {
                state.subscribers.remove(&self.name);
            }
        }
        drop(state);
        self.shared.subscribed.send_modify(|count| *count -= 1);
    }
}

/// The events of a watch. One that can't be read is left out, and that is logged without its content.
async fn events(
    kube: &kube::Client,
    mut request: http::Request<Vec<u8>>,
) -> Result<impl Stream<Item = io::Result<Event>> + use<>, kube::Error> {
    // Compressed, an event may wait in the server for those that come after it.
    let identity = HeaderValue::from_static("identity");
    request.headers_mut().insert(ACCEPT_ENCODING, identity);
    let lines = kube.request_stream(request).await?.lines();
    Ok(lines.filter_map(async |line| match line {
        Ok(line) => match serde_json::from_str(&line) {
            Ok(event) => Some(Ok(event)),
            // The last line of a watch that broke off.
            Err(error) if error.is_eof() => Some(Err(ErrorKind::UnexpectedEof.into())),
            Err(_) => {
                tracing::warn!("an event of a watch can't be read; it is left out");
                None
            }
        },
        Err(error) => Some(Err(error)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_is_followed_only_by_a_watch_that_has_missed_nothing_since() {
        let running = |begun_at| State {
            is_running: true,
            generation: 2,
            begun_at,
            ..State::default()
        };
        // What runs, the watch that ran when the read began, the version read, and whether it is covered.
        let table = [
            (running(Some(50)), Some(2), "40", true),
            (running(Some(50)), Some(1), "40", false),
            (running(Some(50)), None, "49", false),
            (running(Some(50)), None, "50", true),
            (running(Some(50)), Some(1), "60", true),
            (running(Some(50)), None, "opaque", false),
            (running(None), None, "60", false),
            (running(None), Some(2), "opaque", true),
        ];
        for (state, since, version, expected) in table {
            assert_eq!(
                state.covers(since, version),
                expected,
                "{since:?} {version}"
            );
        }
    }
}
