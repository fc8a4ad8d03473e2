//! Waiting for one object: a read, then a watch from that version on, or a list and a watch where the
//! API server has forgotten that version; never a poll.

use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{GetParams, ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tracing::instrument;

use crate::backoff::{Backoff, LONGEST};
use crate::request::{bounded, is_not_served};
use crate::{Error, Object};

/// A watch is asked for this many seconds; the server ends it then, and it is begun anew.
const WATCH_SECONDS: u32 = 290;
/// So long may it last, before the connection is taken for dead.
const WATCH_WITHIN: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// So long may an API server that has answered once deny rights and resources: one that has just
/// started does, until it has read its roles and CustomResourceDefinitions.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `verdict` has an answer about the object; `None` waits for ever, zero looks once.
///
/// # Guarantees
/// No request is made while nothing happens. A restart of the API server, a cut watch and 410 Gone
/// are survived within the timeout. An object that can't be read as `K`, such as one with a phase of
/// a newer version, is undecided. One that was deleted and created again is not taken for the same.
///
/// # Errors
/// The verdict's own; [`Error::NotFound`] where the object is not there or is deleted meanwhile;
/// [`Error::TimedOut`]; [`Error::Forbidden`]; [`Error::Unreachable`] where the first read fails.
#[instrument(name = "wait", level = "debug", skip_all, fields(on = %object))]
pub async fn wait_until<K, T>(
    api: &Api<K>,
    object: Object,
    timeout: Option<Duration>,
    verdict: impl FnMut(&K) -> Option<Result<T, Error>>,
) -> Result<T, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut waiting = Waiting::new(api, object.clone(), None, verdict);
    let late = |after| Error::TimedOut {
        object,
        after,
        unanswered: false,
    };
    match timeout {
        None => waiting.go_on().await,
        Some(Duration::ZERO) => match waiting.look().await {
            Ok(Looked::Decided(answer)) => answer,
            Ok(Looked::NotYet(_)) => Err(late(Duration::ZERO)),
            Err(error) => Err(waiting.object.explain(error)),
        },
        Some(after) => match tokio::time::timeout(after, waiting.go_on()).await {
            Ok(answer) => answer,
            Err(_) => Err(late(after)),
        },
    }
}

/// Waits as [`wait_until`] does, for an object that is known to exist: the API server has answered
/// already, so its absence is waited out from the beginning.
pub(crate) async fn wait_known<K, T>(
    api: &Api<K>,
    object: Object,
    uid: String,
    verdict: impl FnMut(&K) -> Option<Result<T, Error>>,
) -> Result<T, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut waiting = Waiting::new(api, object, Some(uid), verdict);
    waiting.go_on().await
}

struct Waiting<K, V> {
    client: Client,
    requests: Request,
    object: Object,
    verdict: V,
    /// That of the object which was seen first. From then on the absence of the API server is waited
    /// out.
    uid: Option<String>,
    /// Since when the API server denies what it has granted before.
    denied: Option<Instant>,
    /// The API server has forgotten the object's version: it has not changed for long. A list tells
    /// a version that a watch can begin at.
    is_forgotten: bool,
    kind: std::marker::PhantomData<fn(&K)>,
}

enum Looked<T> {
    Decided(Result<T, Error>),
    /// Undecided at this version.
    NotYet(String),
}

enum Watched<T> {
    Decided(Result<T, Error>),
    /// It ended, or broke.
    Ended,
    /// The version it was to begin at is too old.
    Forgotten,
}

impl<K, V, T> Waiting<K, V>
where
    K: Resource + Clone + Debug + DeserializeOwned,
    V: FnMut(&K) -> Option<Result<T, Error>>,
{
    fn new(api: &Api<K>, object: Object, uid: Option<String>, verdict: V) -> Self {
        Self {
            client: api.clone().into_client(),
            requests: Request::new(api.resource_url()),
            object,
            verdict,
            uid,
            denied: None,
            is_forgotten: false,
            kind: std::marker::PhantomData,
        }
    }

    async fn look(&mut self) -> Result<Looked<T>, kube::Error> {
        if self.is_forgotten {
            return self.list().await;
        }
        let request = self.requests.get(&self.object.name, &GetParams::default());
        let found = self.ask(request).await?;
        let version = text(&found, "/metadata/resourceVersion");
        Ok(self.looked(&found, version))
    }

    /// Looks by a list of this one object, which has a version of its own.
    async fn list(&mut self) -> Result<Looked<T>, kube::Error> {
        let only = ListParams::default().fields(&self.only());
        let list = self.ask(self.requests.list(&only)).await?;
        let version = text(&list, "/metadata/resourceVersion");
        Ok(match list.pointer("/items/0") {
            Some(found) => self.looked(found, version),
            None => Looked::Decided(Err(self.deleted())),
        })
    }

    async fn ask(
        &mut self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<Value, kube::Error> {
        let request = request.map_err(kube::Error::BuildRequest)?;
        let answer = bounded(self.client.request(request)).await?;
        self.denied = None;
        Ok(answer)
    }

    fn looked(&mut self, found: &Value, version: String) -> Looked<T> {
        match self.judge(found) {
            Some(answer) => Looked::Decided(answer),
            None => Looked::NotYet(version),
        }
    }

    /// The field selector of this one object.
    fn only(&self) -> String {
        format!("metadata.name={}", self.object.name)
    }

    fn judge(&mut self, found: &Value) -> Option<Result<T, Error>> {
        let uid = text(found, "/metadata/uid");
        if *self.uid.get_or_insert_with(|| uid.clone()) != uid {
            return Some(Err(self.deleted()));
        }
        match K::deserialize(found) {
            Ok(found) => (self.verdict)(&found),
            Err(error) => {
                tracing::debug!(object = %self.object, %error, "it can't be read as it is now");
                None
            }
        }
    }

    fn deleted(&self) -> Error {
        Error::NotFound {
            object: self.object.clone(),
        }
    }

    async fn go_on(&mut self) -> Result<T, Error> {
        let mut pauses = Backoff::default();
        loop {
            let failed = match self.look().await {
                Ok(Looked::Decided(answer)) => return answer,
                Ok(Looked::NotYet(version)) => {
                    let begun = Instant::now();
                    let watched = self.watch(&version).await;
                    if begun.elapsed() > LONGEST {
                        pauses = Backoff::default();
                    }
                    match watched {
                        Ok(Watched::Decided(answer)) => return answer,
                        Ok(Watched::Ended) => None,
                        Ok(Watched::Forgotten) => {
                            self.is_forgotten = true;
                            None
                        }
                        Err(error) => Some(error),
                    }
                }
                Err(error) => Some(error),
            };
            if let Some(error) = failed {
                if self.is_final(&error) {
                    return Err(self.object.explain(error));
                }
                tracing::debug!(object = %self.object, %error, "waiting goes on");
            }
            pauses.pause().await;
        }
    }

    /// Whether trying again could not change an error.
    fn is_final(&mut self, error: &kube::Error) -> bool {
        if self.uid.is_none() {
            return true;
        }
        let kube::Error::Api(status) = error else {
            return false;
        };
        let is_denied = matches!(status.code, 401 | 403) || is_not_served(status);
        if !is_denied {
            return status.code == 404;
        }
        self.denied.get_or_insert_with(Instant::now).elapsed() > PATIENCE
    }

    /// Watches from a version on.
    async fn watch(&mut self, version: &str) -> Result<Watched<T>, kube::Error> {
        let params = WatchParams::default()
            .fields(&self.only())
            .timeout(WATCH_SECONDS);
        let request = self.requests.watch(&params, version);
        let request = request.map_err(kube::Error::BuildRequest)?;
        let client = self.client.clone();
        let watched = timeout(WATCH_WITHIN, async {
            let mut events = client.request_events::<Value>(request).await?.boxed();
            while let Ok(Some(event)) = events.try_next().await {
                match event {
                    WatchEvent::Added(found) | WatchEvent::Modified(found) => {
                        if let Some(answer) = self.judge(&found) {
                            return Ok(Watched::Decided(answer));
                        }
                    }
                    WatchEvent::Deleted(_) => return Ok(Watched::Decided(Err(self.deleted()))),
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(status) if status.code == 410 => {
                        return Ok(Watched::Forgotten);
                    }
                    WatchEvent::Error(_) => break,
                }
            }
            Ok(Watched::Ended)
        });
        match watched.await {
            Ok(Err(kube::Error::Api(status))) => match status.code {
                401 | 403 => Err(kube::Error::Api(status)),
                410 => Ok(Watched::Forgotten),
                _ => Ok(Watched::Ended),
            },
            Ok(Ok(watched)) => Ok(watched),
            Ok(Err(_)) | Err(_) => Ok(Watched::Ended),
        }
    }
}

fn text(found: &Value, field: &str) -> String {
    let text = found.pointer(field).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
