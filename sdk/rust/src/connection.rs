//! The connection to the API server.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::USER_AGENT;
use kube::client::ClientBuilder;
use kube::client::retry::RetryPolicy;
use kube::{Client, Config};
use tower::util::MapErrLayer;
use tower::{BoxError, ServiceBuilder};

use crate::lively::Lively;

/// Before the second attempt; each wait is twice as long as the one before, with jitter.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait: so soon a server that has started is used.
const LONGEST: Duration = Duration::from_secs(2);
/// How often a request is sent again: for some seven seconds.
const RETRIES: u32 = 8;
/// How many requests are queued for the connection before callers wait.
const QUEUE: usize = 1024;

/// A client whose requests are sent again soon where the server is busy or starting, whose errors name
/// the server that could not be reached, and whose connections are replaced when they are frozen.
pub(crate) fn connect(mut config: Config) -> Result<Client, kube::Error> {
    // It would wait for as long as the server asks for, up to fifteen times.
    config.default_retry = false;
    // An API server takes its first word for the manager of the fields that are written.
    if !config.headers.iter().any(|(name, _)| name == USER_AGENT) {
        let agent = HeaderValue::from_static(concat!("konductor-sdk/", env!("CARGO_PKG_VERSION")));
        config.headers.push((USER_AGENT, agent));
    }
    let namespace = config.default_namespace.clone();
    let retry = RetryPolicy::new(FIRST, LONGEST, RETRIES, false)
        .map_err(|error| kube::Error::Service(error.into()))?;
    let address = config.cluster_url.to_string();
    let address = address.trim_end_matches('/').to_owned();
    let layer = ServiceBuilder::new()
        .layer(MapErrLayer::new(move |error| named(&address, error)))
        .retry(retry)
        .buffer(QUEUE)
        .into_inner();
    let lively = Lively::new(config)?;
    let connections = tower::service_fn(move |request| Arc::clone(&lively).send(request));
    let builder = ClientBuilder::new(connections, namespace);
    Ok(builder.with_layer(&layer).build())
}

/// Makes a connection error name the API server.
fn named(address: &str, error: BoxError) -> BoxError {
    // The client's own errors are about credentials.
    if error.is::<kube::Error>() {
        return error;
    }
    Box::new(NoAnswer {
        address: address.to_owned(),
        cause: root(&*error).to_string(),
    })
}

/// An API server that gives no answer.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {cause}")]
struct NoAnswer {
    address: String,
    cause: String,
}

/// What an error comes from.
fn root<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}
