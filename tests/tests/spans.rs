//! What the Rust SDK does is seen as spans, each with its object.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};

use konductor::Client;
use konductor_api::{Semaphore, SemaphoreSpec};
use konductor_tests::cluster::Cluster;
use konductor_tests::operator::Operator;
use kube::Api;
use kube::api::PostParams;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// The spans of the SDK that have begun: which one it was begun in, its name, and its object.
#[derive(Clone, Default)]
struct Begun(Arc<Mutex<Vec<String>>>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Begun {
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if !span.metadata().target().starts_with("konductor::")
            && span.metadata().target() != "konductor"
        {
            return;
        }
        let mut on = On(String::new());
        span.record(&mut on);
        let outer = context.span(id).and_then(|span| span.parent());
        let outer = outer.map_or("", |outer| outer.name());
        let begun = format!("{outer} > {} {}", span.metadata().name(), on.0);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(begun);
    }
}

/// The value of the field `on`.
struct On(String);

impl Visit for On {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "on" {
            self.0 = format!("{value:?}");
        }
    }
}

#[tokio::test]
async fn each_call_is_a_span_that_names_its_object() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("spans").await;
    let operator = Operator::start(&cluster, &namespace);
    let semaphores: Api<Semaphore> = Api::namespaced(cluster.client.clone(), &namespace);
    let spec: SemaphoreSpec =
        serde_json::from_value(serde_json::json!({"permits": 1})).expect("a spec");
    let semaphore = Semaphore::new("batch", spec);
    let created = semaphores.create(&PostParams::default(), &semaphore).await;
    created.expect("a semaphore");
    let client = Client::new(cluster.client.clone(), &namespace).fail_if_missing();

    let begun = Begun::default();
    let listening =
        tracing::subscriber::set_default(tracing_subscriber::registry().with(begun.clone()));
    let missing = client.wait_gate("ready", None).await;
    missing.expect_err("there is no gate");
    let nowhere = client
        .arrive_barrier("done", "one", Default::default())
        .await;
    nowhere.expect_err("there is no barrier");
    let guard = client.semaphore("batch").acquire().await.expect("a permit");
    let claim = guard.claim().to_owned();
    guard.release().await.expect("it is released");
    drop(listening);
    operator.stop().await;

    let mut spans = begun.0.lock().expect("spans").clone();
    for span in &mut spans {
        *span = span
            .replace(&claim, "ID")
            .replace(&format!(" in namespace {namespace}"), "");
    }
    let expected = [
        " > wait gate/ready",
        " > arrive barrier/done",
        " > acquire semaphore/batch",
        "acquire > wait semaphore/batch",
        " > hold semaphore/batch",
        " > release semaphore/batch",
    ];
    assert_eq!(spans, expected);
}
