//! The connection to the API server.

use std::time::Duration;

use kube::client::ClientBuilder;
use kube::client::retry::RetryPolicy;
use kube::{Client, Config};
use tower::ServiceBuilder;

/// Before the second attempt; each wait is twice as long as the one before, with jitter.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait: so soon a server that has started is used.
const LONGEST: Duration = Duration::from_secs(2);
/// How often a request is sent again: for some seven seconds.
const RETRIES: u32 = 8;
/// How many requests wait for the connection before those who ask do.
const QUEUE: usize = 1024;

/// A client whose requests are sent again soon where the server is busy or starting.
pub(crate) fn connect(mut config: Config) -> Result<Client, kube::Error> {
    // It would wait for as long as the server asks for, up to fifteen times.
    config.default_retry = false;
    let retry = RetryPolicy::new(FIRST, LONGEST, RETRIES, false)
        .map_err(|error| kube::Error::Service(error.into()))?;
    let layer = ServiceBuilder::new()
        .retry(retry)
        .buffer(QUEUE)
        .into_inner();
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}
