//! Single requests: each has an end, and one that may have been carried out is sent again.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use konductor_api::Lenient;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Backoff;

/// Bounds one request that is no watch: a connection may be dead without anybody saying so.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// How many requests of a client may be under way at once, watches not counted: over HTTP/1.1 each of them
/// has a connection of its own.
const AT_ONCE: usize = 32;

/// Bounds how many requests are under way at once.
#[derive(Clone, Debug)]
pub(crate) struct Limit(Arc<Semaphore>);

impl Default for Limit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

/// The limits of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) requests: Limit,
    /// Renewals wait for nothing else: a hold would be lost meanwhile.
    pub(crate) renewals: Limit,
}

/// Waits for a place among the requests that are under way, then for an answer, or the error that none
/// has come.
pub(crate) async fn bounded<T>(
    limit: &Limit,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let _place = limit.0.acquire().await;
    match timeout(REQUEST_WITHIN, request).await {
        Ok(answer) => answer,
        Err(_) => Err(silence()),
    }
}

fn silence() -> kube::Error {
    kube::Error::Service("it has not answered in time".into())
}

/// Whether a path does not exist, other than an object: the error names none.
pub(crate) fn is_not_served(status: &Status) -> bool {
    status.code == 404 && status.details.is_none()
}

/// Whether the API server does not serve konductor's resources.
pub(crate) fn is_not_installed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if is_not_served(status))
}

/// Whether the API server may answer another way if it is asked again.
pub(crate) fn is_transient(status: &Status) -> bool {
    status.code >= 500 || matches!(status.code, 408 | 429) || is_not_served(status)
}

/// Whether a request may have been carried out although it failed, or may be answered another way if
/// it is sent again.
pub(crate) fn is_uncertain(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => is_transient(status),
        kube::Error::BuildRequest(_) => false,
        _ => true,
    }
}

/// Asks again, with pauses, for as long as the answer is an error that another attempt may change and
/// `is_retried` agrees.
pub(crate) async fn persist<T, F>(
    limit: &Limit,
    mut ask: impl FnMut() -> F,
    mut is_retried: impl FnMut(&kube::Error) -> bool,
) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let mut pauses = Backoff::default();
    loop {
        match bounded(limit, ask()).await {
            Err(error) if is_uncertain(&error) && is_retried(&error) => pauses.pause().await,
            answer => return answer,
        }
    }
}

/// Creates an object whose name only its author knows, and reads it if it already exists: then an
/// earlier attempt was carried out although its answer was lost.
pub(crate) async fn create_named<K>(
    limit: &Limit,
    api: &Api<Lenient<K>>,
    object: &K,
    params: &PostParams,
    is_retried: impl FnMut(&kube::Error) -> bool,
) -> Result<K, kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let object = Lenient::from(object.clone());
    let attempt = || async {
        let answer = match api.create(params, &object).await {
            Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&name).await,
            answer => answer,
        };
        answer.and_then(decoded)
    };
    persist(limit, attempt, is_retried).await
}

/// The object of an answer.
pub(crate) fn decoded<K>(object: Lenient<K>) -> Result<K, kube::Error> {
    object
        .decoded()
        .map_err(|error| kube::Error::SerdeError(serde::de::Error::custom(error)))
}

/// Deletes an object, trying again for this long. One that is gone, or is another of the same name,
/// is what was wanted.
pub(crate) async fn delete<K>(
    limit: &Limit,
    api: &Api<K>,
    name: &str,
    uid: Option<String>,
    patience: Duration,
) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let preconditions = uid.map(|uid| Preconditions {
        uid: Some(uid),
        resource_version: None,
    });
    let params = DeleteParams {
        preconditions,
        ..DeleteParams::default()
    };
    let end = Instant::now() + patience;
    let mut pauses = Backoff::default();
    loop {
        let answer = timeout_at(end, bounded(limit, api.delete(name, &params))).await;
        let error = match answer.unwrap_or_else(|_| Err(silence())) {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 && !is_not_served(&status) => {
                return Ok(());
            }
            Err(error) => error,
        };
        if !is_uncertain(&error) || timeout_at(end, pauses.pause()).await.is_err() {
            return Err(error);
        }
    }
}
