//! Waiting for one object: a read, then a watch from that version on; never a poll.

use std::fmt::Debug;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use crate::{Error, Object};

/// The first wait after an error; it doubles up to [`LONGEST`].
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait after an error: so soon a server that is back is used again.
const LONGEST: Duration = Duration::from_secs(2);
/// A watch is asked for this many seconds; the server ends it then, and it is begun anew.
const WATCH_SECONDS: u32 = 290;

/// Waits until `verdict` has an answer about the object; `None` waits for ever, zero looks once.
///
/// # Guarantees
/// No request is made while nothing happens. A restart of the API server, a cut watch and 410 Gone
/// are survived within the timeout.
///
/// # Errors
/// The verdict's own; [`Error::NotFound`] where the object is not there or is deleted meanwhile;
/// [`Error::TimedOut`]; [`Error::Forbidden`]; [`Error::Unreachable`] where the first read fails.
pub async fn wait_until<K, T>(
    api: &Api<K>,
    object: Object,
    timeout: Option<Duration>,
    verdict: impl FnMut(&K) -> Option<Result<T, Error>>,
) -> Result<T, Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut waiting = Waiting {
        api,
        object: object.clone(),
        verdict,
        heard: false,
    };
    if timeout == Some(Duration::ZERO) {
        return match waiting.look().await? {
            Looked::Decided(answer) => answer,
            Looked::NotYet(_) => Err(Error::TimedOut {
                object,
                after: Duration::ZERO,
                unanswered: false,
            }),
        };
    }
    match timeout {
        None => waiting.go_on().await,
        Some(after) => match tokio::time::timeout(after, waiting.go_on()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::TimedOut {
                object,
                after,
                unanswered: false,
            }),
        },
    }
}

struct Waiting<'a, K, V> {
    api: &'a Api<K>,
    object: Object,
    verdict: V,
    /// Whether the API server has answered once: from then on its absence is waited out.
    heard: bool,
}

enum Looked<T> {
    Decided(Result<T, Error>),
    /// Undecided at this version.
    NotYet(String),
}

impl<K, V, T> Waiting<'_, K, V>
where
    K: Resource + Clone + Debug + DeserializeOwned,
    V: FnMut(&K) -> Option<Result<T, Error>>,
{
    async fn look(&mut self) -> Result<Looked<T>, Error> {
        let found = self.api.get(&self.object.name).await;
        let found = found.map_err(|error| self.object.explain(error))?;
        self.heard = true;
        Ok(match (self.verdict)(&found) {
            Some(answer) => Looked::Decided(answer),
            None => Looked::NotYet(found.meta().resource_version.clone().unwrap_or_default()),
        })
    }

    async fn go_on(&mut self) -> Result<T, Error> {
        let mut wait = FIRST;
        loop {
            match self.look().await {
                Ok(Looked::Decided(answer)) => return answer,
                Ok(Looked::NotYet(version)) => match self.watch(&version).await? {
                    Some(answer) => return answer,
                    None => wait = FIRST,
                },
                Err(error @ (Error::NotFound { .. } | Error::Forbidden { .. })) => {
                    return Err(error);
                }
                Err(error) if !self.heard => return Err(error),
                Err(_) => {}
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST);
        }
    }

    /// Watches from a version on; `None` where the watch ended or broke.
    async fn watch(&mut self, version: &str) -> Result<Option<Result<T, Error>>, Error> {
        let fields = format!("metadata.name={}", self.object.name);
        let params = WatchParams::default()
            .fields(&fields)
            .timeout(WATCH_SECONDS);
        let mut events = match self.api.watch(&params, version).await {
            Ok(events) => events.boxed(),
            Err(error) => match self.object.explain(error) {
                error @ Error::Forbidden { .. } => return Err(error),
                _ => return Ok(None),
            },
        };
        while let Ok(Some(event)) = events.try_next().await {
            match event {
                WatchEvent::Added(found) | WatchEvent::Modified(found) => {
                    if let Some(answer) = (self.verdict)(&found) {
                        return Ok(Some(answer));
                    }
                }
                WatchEvent::Deleted(_) => {
                    return Err(Error::NotFound {
                        object: self.object.clone(),
                    });
                }
                WatchEvent::Bookmark(_) => {}
                WatchEvent::Error(_) => return Ok(None),
            }
        }
        Ok(None)
    }
}
