//! Counts the requests to the API server.

use kube::Client;
use kube::client::Body;
use tower::service_fn;

use super::Telemetry;
use super::metrics::Request;

impl Telemetry {
    /// Returns a client that counts its requests, and is otherwise the same.
    pub(crate) fn counting(&self, client: Client) -> Client {
        let telemetry = self.clone();
        let namespace = client.default_namespace().to_owned();
        let send = move |request: http::Request<Body>| {
            let (client, telemetry) = (client.clone(), telemetry.clone());
            async move {
                let method = request.method().to_string();
                let answer = client.send(request).await;
                let code = match &answer {
                    Ok(answer) => answer.status().as_str().to_owned(),
                    // As client-go calls it.
                    Err(_) => "<error>".to_owned(),
                };
                let requests = &telemetry.metrics().requests;
                requests.get_or_create(&Request { code, method }).inc();
                answer
            }
        };
        Client::new(service_fn(send), namespace)
    }
}
