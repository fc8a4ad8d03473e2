use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request, Response};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use kube::client::Body as Sent;
use serde_json::{Value, json};

use super::*;

/// Times that an API server stores and no client can decode, and fields nested deeper than a decoder goes.
fn broken() -> Vec<Value> {
    let mut nested = json!(1);
    for _ in 0..120 {
        nested = json!({ "a": nested });
    }
    vec![
        json!({"metadata": {"name": "late", "creationTimestamp": "9999-12-31T23:59:59-23:00"}}),
        json!({"metadata": {"name": "of-its-template"}, "spec": {"template": {"metadata":
            {"creationTimestamp": "-0001-12-31T01:00:00Z"}}}}),
        json!({"metadata": {"name": "labelled", "labels": [1]}}),
        json!({"metadata": {"name": "deep", "labels": nested}}),
        json!({"metadata": {}}),
        json!(7),
    ]
}

/// A client of an API server that answers each request with this, and the paths that were asked for.
fn server(answer: &Value) -> (Client, Arc<Mutex<Vec<String>>>) {
    let paths: Arc<Mutex<Vec<String>>> = Arc::default();
    let (noting, answer) = (Arc::clone(&paths), answer.to_string());
    let service = tower::service_fn(move |request: Request<Sent>| {
        noting.lock().unwrap().push(request.uri().to_string());
        let answer = Response::new(Body::from(answer.clone()));
        async move { Ok::<_, std::io::Error>(answer) }
    });
    (Client::new(service, "default"), paths)
}

fn all() -> Value {
    let mut items = broken();
    items.insert(
        3,
        json!({"metadata": {"name": "good"}, "spec": {"template": {}}}),
    );
    json!({"kind": "JobList", "apiVersion": "batch/v1", "metadata": {}, "items": items})
}

#[tokio::test]
async fn objects_that_nobody_can_decode_hide_no_other_of_a_list() {
    let (client, paths) = server(&all());
    let jobs: Api<Job> = Api::namespaced(client, "default");
    let of_run = ListParams::default().labels("konductor.io/run=r");
    let listed = list(&jobs, &of_run).await.unwrap();
    let names: Vec<String> = listed.iter().map(Job::name_any).collect();
    assert_eq!(names, ["good"]);
    let path = "/apis/batch/v1/namespaces/default/jobs?&labelSelector=konductor.io%2Frun%3Dr";
    assert_eq!(*paths.lock().unwrap(), [path]);
}

#[tokio::test]
async fn objects_that_nobody_can_decode_hide_no_other_of_their_metadata() {
    let (client, _) = server(&all());
    let jobs: Api<Job> = Api::namespaced(client, "default");
    let listed = list_metadata(&jobs, &ListParams::default()).await.unwrap();
    let names: Vec<String> = listed.iter().map(ResourceExt::name_any).collect();
    // What is wrong in a spec is not asked for.
    assert_eq!(names, ["of-its-template", "good"]);
}

#[tokio::test]
async fn a_list_without_items_is_empty() {
    for items in [json!(null), json!([])] {
        let (client, _) = server(&json!({"metadata": {}, "items": items}));
        let jobs: Api<Job> = Api::namespaced(client, "default");
        assert_eq!(list(&jobs, &ListParams::default()).await.unwrap(), []);
    }
}

#[test]
fn an_event_of_a_watch_is_left_out_alone() {
    let event = |object: &Value| -> Option<Event<Job>> {
        let object: Lenient<Job> = serde_json::from_value(object.clone()).unwrap();
        decoded_event(Event::Apply(object))
    };
    for object in broken() {
        assert!(event(&object).is_none(), "{object}");
    }
    let good = json!({"metadata": {"name": "good"}});
    assert!(matches!(event(&good), Some(Event::Apply(job)) if job.name_any() == "good"));
}
