//! What the SDK does where the cluster is newer than it: a phase that it does not know is not final.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use konductor::{Client, Error};
use kube::client::Body;
use serde_json::{Value, json};

fn gate(version: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "konductor.io/v1", "kind": "Gate",
        "metadata": {"name": "ready", "uid": "1", "resourceVersion": version},
        "spec": {},
        "status": {"phase": phase, "observedGeneration": 1},
    })
}

/// An API server with one Gate, whose phase is a new one at first; a watch shows these after it.
fn client(phases: &'static [&'static str]) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| async move {
        let is_watch = request.uri().to_string().contains("watch=true");
        let text = if is_watch {
            let events = phases.iter().zip(2..).map(|(phase, version)| {
                let object = gate(&version.to_string(), phase);
                format!("{}\n", json!({"type": "MODIFIED", "object": object}))
            });
            events.collect()
        } else {
            gate("1", "Rehearsed").to_string()
        };
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text))))
    });
    Client::new(kube::Client::new(service, "default"), "default")
}

#[tokio::test]
async fn wait_continues_through_an_unknown_phase() {
    let client = client(&["Rehearsed", "Open"]);
    let gate = client.wait_gate("ready", None).await.expect("it opens");
    assert_eq!(gate.metadata.resource_version.as_deref(), Some("3"));
}

#[tokio::test]
async fn a_phase_that_is_not_known_is_waited_for_until_the_timeout() {
    let timeout = Duration::from_millis(200);
    let client = client(&["Rehearsed"]);
    match client.wait_gate("ready", Some(timeout)).await {
        Err(Error::TimedOut { after, .. }) => assert_eq!(after, timeout),
        other => panic!("{other:?}"),
    }
}
