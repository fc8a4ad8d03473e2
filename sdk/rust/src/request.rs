//! Single requests: each has an end, and one that may have been carried out is sent again.

use std::fmt::Debug;
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::core::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Backoff;

/// Bounds one request that is no watch: a connection may be dead without anybody saying so.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);

/// An answer, or the error that none has come.
pub(crate) async fn bounded<T>(
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
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

/// Whether a request may have been carried out although it failed, or may be answered another way if
/// it is sent again.
fn is_uncertain(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => {
            status.code >= 500 || matches!(status.code, 408 | 429) || is_not_served(status)
        }
        _ => true,
    }
}

/// Creates an object whose name only its author knows, and reads it where it is there already: then
/// an earlier attempt was carried out although its answer was lost. It goes on for this long; `None`
/// is for ever.
pub(crate) async fn create_named<K>(
    api: &Api<K>,
    object: &K,
    patience: Option<Duration>,
) -> Result<K, kube::Error>
where
    K: kube::Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = object.meta().name.clone().unwrap_or_default();
    let end = patience.map(|patience| Instant::now() + patience);
    let mut pauses = Backoff::default();
    loop {
        let mut answer = bounded(api.create(&PostParams::default(), object)).await;
        if let Err(kube::Error::Api(status)) = &answer
            && status.is_already_exists()
        {
            answer = bounded(api.get(&name)).await;
        }
        match answer {
            Err(error) if is_uncertain(&error) && end.is_none_or(|end| Instant::now() < end) => {
                tracing::debug!(name, %error, "not created yet");
                pauses.pause().await;
            }
            answer => return answer,
        }
    }
}

/// Deletes an object, trying again for this long. One that is gone, or is another of the same name,
/// is what was wanted.
pub(crate) async fn delete<K>(
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
        let answer = timeout_at(end, bounded(api.delete(name, &params))).await;
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
