//! For tests: an API server that answers a request when it is let to.

use std::sync::Arc;

use http::{Request, Response, StatusCode};
use kube::Client;
use kube::client::Body;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::live::Live;

/// It answers everything alike.
#[derive(Clone)]
pub(crate) struct Server {
    /// One for each request that has arrived.
    pub(crate) requests: Arc<Semaphore>,
    /// One for each answer that it may give.
    pub(crate) answers: Arc<Semaphore>,
}

impl Server {
    pub(crate) fn start(status: StatusCode, answer: &Value) -> (Self, Live) {
        let server = Self {
            requests: Arc::new(Semaphore::new(0)),
            answers: Arc::new(Semaphore::new(0)),
        };
        let (serving, answer) = (server.clone(), answer.to_string().into_bytes());
        let service = tower::service_fn(move |_: Request<Body>| {
            serving.requests.add_permits(1);
            let (server, answer) = (serving.clone(), answer.clone());
            async move {
                server.answers.acquire().await.expect("open").forget();
                let answer = Response::builder().status(status).body(Body::from(answer));
                Ok::<_, tower::BoxError>(answer?)
            }
        });
        (server, Live::new(Client::new(service, "default")))
    }

    /// Waits until a request has arrived that nobody has waited for yet.
    pub(crate) async fn is_asked(&self) {
        self.requests.acquire().await.expect("open").forget();
    }
}
