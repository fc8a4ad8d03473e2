//! Events, as `kubectl describe` shows them: written beside the work.
//!
//! What enters: what happened to which object. What leaves: Events in the API. What must never happen here: a decision
//! that waits for one, or memory that grows with the number of those that were written.

use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::future::{Either, select};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};
use tokio::time::timeout;

/// How many wait to be written, at 1 KiB or less. One that finds no room is lost.
const WAITING_MAX: usize = 4096;
/// How many are written at once: few, because writes that others wait for come first.
const AT_ONCE: usize = 8;
/// How many are remembered, at 3 KiB or less, so that one that happens again raises the count of the first.
const REMEMBERED_MAX: u32 = 256;
/// How long those that wait have when the operator stops.
const LAST_WITHIN: Duration = Duration::from_millis(500);

type Waiting = (Event, ObjectReference);

/// Takes Events that are to be written.
pub(crate) struct Events(Mutex<Sender<Waiting>>);

/// Writes the Events that wait.
pub(crate) struct Writer(Receiver<Waiting>);

impl Events {
    pub(crate) fn new() -> (Self, Writer) {
        let (sender, receiver) = channel(WAITING_MAX);
        (Self(Mutex::new(sender)), Writer(receiver))
    }

    /// Has an Event written soon.
    pub(crate) fn publish(&self, event: Event, object: ObjectReference) {
        if let Err(error) = lock(&self.0).try_send((event, object)) {
            let (event, object) = error.into_inner();
            let (namespace, name, reason) = (object.namespace, object.name, event.reason);
            tracing::debug!(namespace, name, reason, "an event was lost: too many wait");
        }
    }

    /// Takes no more.
    fn close(&self) {
        lock(&self.0).close_channel();
    }
}

impl Writer {
    /// Writes them beside this work, and after its end those that are left, as far as there is time. A failure is logged
    /// and stops nothing.
    pub(crate) async fn beside(
        self,
        work: impl Future<Output = ()>,
        events: &Events,
        client: &Client,
    ) {
        let mut recorders = Recorders::new(client);
        let write = |(event, object): Waiting| {
            let recorder = recorders.next();
            async move {
                if let Err(error) = recorder.publish(&event, &object).await {
                    let (namespace, name) = (object.namespace, object.name);
                    tracing::debug!(namespace, name, %error, "an event was lost");
                }
            }
        };
        let writing = pin!(self.0.for_each_concurrent(AT_ONCE, write));
        match select(pin!(work), writing).await {
            Either::Left(((), writing)) => {
                events.close();
                let _ = timeout(LAST_WITHIN, writing).await;
            }
            Either::Right(((), work)) => work.await,
        }
    }
}

/// The recorder of the last Events. kube's remembers each for six minutes, however many there are.
struct Recorders<'a> {
    client: &'a Client,
    last: Recorder,
    /// How many Events the last one has had.
    count: u32,
}

impl<'a> Recorders<'a> {
    fn new(client: &'a Client) -> Self {
        Self {
            client,
            last: recorder(client),
            count: 0,
        }
    }

    /// The recorder of the next Event: one that remembers nothing after every [`REMEMBERED_MAX`].
    fn next(&mut self) -> Recorder {
        if self.count == REMEMBERED_MAX {
            (self.last, self.count) = (recorder(self.client), 0);
        }
        self.count += 1;
        self.last.clone()
    }
}

fn recorder(client: &Client) -> Recorder {
    let reporter = Reporter {
        controller: "konductor".into(),
        instance: None,
    };
    Recorder::new(client.clone(), reporter)
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in between leaves it half done.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, Request, Response};
    use kube::client::Body;
    use kube::runtime::events::EventType;
    use tokio::sync::Semaphore;

    use super::*;

    fn event(name: &str) -> Waiting {
        let event = Event {
            type_: EventType::Normal,
            reason: "Opened".to_owned(),
            note: None,
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        let object = ObjectReference {
            kind: Some("Gate".to_owned()),
            namespace: Some("ns".to_owned()),
            name: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        (event, object)
    }

    type Requests = Arc<Mutex<Vec<Method>>>;

    /// An API server that takes every Event as soon as there is a permit for it.
    fn server(permits: usize) -> (Client, Arc<Semaphore>, Requests) {
        let (answers, requests) = (Arc::new(Semaphore::new(permits)), Requests::default());
        let (may_answer, request_log) = (Arc::clone(&answers), Arc::clone(&requests));
        let service = tower::service_fn(move |request: Request<Body>| {
            lock(&request_log).push(request.method().clone());
            let may_answer = Arc::clone(&may_answer);
            async move {
                may_answer.acquire().await.expect("open").forget();
                let taken = serde_json::json!({
                    "apiVersion": "events.k8s.io/v1",
                    "kind": "Event",
                    "metadata": {"name": "e", "namespace": "ns"},
                    "eventTime": null,
                });
                let body = Body::from(taken.to_string().into_bytes());
                Ok::<_, tower::BoxError>(Response::new(body))
            }
        });
        (Client::new(service, "default"), answers, requests)
    }

    async fn until(requests: &Requests, count: usize) {
        while lock(requests).len() < count {
            tokio::task::yield_now().await;
        }
    }

    fn publish(events: &Events, name: &str) {
        let (event, object) = event(name);
        events.publish(event, object);
    }

    #[tokio::test]
    async fn few_events_are_written_at_once_and_those_left_at_the_end_are_written_too() {
        let (client, answers, requests) = server(0);
        let (events, writer) = Events::new();
        let work = async {
            for index in 0..20 {
                publish(&events, &format!("g-{index}"));
            }
            until(&requests, AT_ONCE).await;
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            assert_eq!(lock(&requests).len(), AT_ONCE);
            answers.add_permits(20);
        };
        writer.beside(work, &events, &client).await;
        assert_eq!(lock(&requests).len(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn events_that_nobody_takes_do_not_keep_the_operator_from_stopping() {
        let (client, _, requests) = server(0);
        let (events, writer) = Events::new();
        let work = async {
            publish(&events, "g");
            until(&requests, 1).await;
        };
        writer.beside(work, &events, &client).await;
    }

    #[tokio::test]
    async fn an_event_that_happens_again_counts_on_the_first_while_that_is_remembered() {
        let (client, _, requests) = server(usize::from(u16::MAX));
        let (events, writer) = Events::new();
        let last = || lock(&requests).last().cloned();
        let work = async {
            publish(&events, "g");
            until(&requests, 1).await;
            assert_eq!(last(), Some(Method::POST));
            publish(&events, "g");
            until(&requests, 2).await;
            assert_eq!(last(), Some(Method::PATCH));
            let remembered = usize::try_from(REMEMBERED_MAX).expect("a few");
            for index in 0..remembered {
                publish(&events, &format!("g-{index}"));
            }
            until(&requests, 2 + remembered).await;
            publish(&events, "g");
            until(&requests, 3 + remembered).await;
            assert_eq!(last(), Some(Method::POST), "it was forgotten");
        };
        writer.beside(work, &events, &client).await;
    }
}
