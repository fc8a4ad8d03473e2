//! What the tests of the runner share: an API server, and waiting for what shall become of objects.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::cluster::{Change, Cluster, Object, is_outdated, name, uid};
use super::kubelet::{KubeletOptions, LogOptions, Logs};
use crate::{ApiServer, ServerOptions};

/// Far longer than anything takes here: what takes longer will never come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server whose clock goes with tokio's, which leaps where it is paused.
pub(super) fn api() -> ApiServer {
    let (start, begin) = (Timestamp::now(), tokio::time::Instant::now());
    ApiServer::new(ServerOptions {
        clock: Arc::new(move || start + begin.elapsed()),
        ..ServerOptions::default()
    })
}

pub(super) fn options(folder: &Path) -> KubeletOptions {
    let mut options = KubeletOptions::new(folder.join("kubelet"), folder);
    options.restart_wait = Duration::from_millis(1);
    options
}

/// Creates an object from its text.
pub(super) fn create<T: Object>(api: &ApiServer, object: Value) -> T {
    let mut object = object;
    object["metadata"]["namespace"] = "default".into();
    Cluster::new(api.clone())
        .create(&serde_json::from_value::<T>(object).unwrap())
        .unwrap()
}

/// A pod with one container `main` that runs a script, and what `more` adds to its spec.
pub(super) fn pod(pod_name: &str, script: &str, more: Value) -> Value {
    let mut spec = json!({
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "containers": [{"name": "main", "image": "ignored",
            "command": ["/bin/sh", "-eu", "-c", script]}],
    });
    merge(&mut spec, more);
    json!({"metadata": {"name": pod_name}, "spec": spec})
}

/// A Job whose pods run a script, and what `more` adds to its spec.
pub(super) fn job(job_name: &str, script: &str, more: Value) -> Value {
    let template = json!({"spec": pod("", script, json!({}))["spec"]});
    let mut spec = json!({"template": template});
    merge(&mut spec, more);
    json!({"metadata": {"name": job_name}, "spec": spec})
}

/// Changes an object, however often others do.
pub(super) fn update<T: Object>(api: &ApiServer, object_name: &str, change: impl Fn(&mut T)) {
    let cluster = Cluster::new(api.clone());
    loop {
        let mut object = cluster.get::<T>("default", object_name).unwrap();
        change(&mut object);
        match cluster.replace(&object) {
            Ok(_) => return,
            Err(error) => assert!(is_outdated(&error), "{error}"),
        }
    }
}

/// Merges objects deeply; lists by position.
fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(more)) if into.len() >= more.len() => {
            into.iter_mut()
                .zip(more)
                .for_each(|(into, more)| merge(into, more));
        }
        (into, more) => *into = more,
    }
}

/// Waits until an object meets `condition`, which gets `None` when it is gone.
pub(super) async fn until<T: Object + std::fmt::Debug>(
    api: &ApiServer,
    object_name: &str,
    condition: impl Fn(Option<&T>) -> bool,
) -> Option<T> {
    let cluster = Cluster::new(api.clone());
    let (objects, version) = cluster.list::<T>();
    let mut now = objects
        .into_iter()
        .find(|object| name(object) == object_name);
    let mut changes = std::pin::pin!(cluster.watch::<T>(version));
    let waiting = async {
        while !condition(now.as_ref()) {
            match changes.next().await {
                Some(Change::Set(object)) if name(&object) == object_name => now = Some(object),
                Some(Change::Gone(object)) if name(&object) == object_name => now = None,
                Some(_) => {}
                None => panic!("the watch ended"),
            }
        }
    };
    let done = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(
        done.is_ok(),
        "{object_name} did not become what was waited for: {now:#?}"
    );
    now
}

pub(super) async fn until_phase(api: &ApiServer, pod_name: &str, phase: &str) -> Pod {
    let has_phase = |pod: Option<&Pod>| {
        let status = pod.and_then(|pod| pod.status.as_ref());
        status.and_then(|status| status.phase.as_deref()) == Some(phase)
    };
    until::<Pod>(api, pod_name, has_phase).await.unwrap()
}

pub(super) async fn until_condition(api: &ApiServer, job_name: &str, condition: &str) -> Job {
    let has_condition = |job: Option<&Job>| {
        let conditions = job.and_then(|job| job.status.as_ref()?.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|candidate| candidate.type_ == condition && candidate.status == "True")
    };
    until::<Job>(api, job_name, has_condition).await.unwrap()
}

/// Waits until the log of the running container `main` contains `text`.
pub(super) async fn until_logged(logs: &Logs, pod: &Pod, text: &str) {
    let options = LogOptions {
        follow: true,
        ..LogOptions::default()
    };
    let mut log = Box::pin(logs.read(uid(pod), "main", options).unwrap());
    let mut seen = String::new();
    while !seen.contains(text) {
        let piece = log
            .next()
            .await
            .unwrap_or_else(|| panic!("the log is only {seen:?}"));
        seen.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
}

/// What `pod`'s container `main` ended with: exit code, reason, message.
pub(super) fn ending(pod: &Pod) -> (i32, String, String) {
    let status = pod.status.as_ref().unwrap();
    let container = &status.container_statuses.as_ref().unwrap()[0];
    let end = container
        .state
        .as_ref()
        .unwrap()
        .terminated
        .as_ref()
        .unwrap();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    (end.exit_code, text(&end.reason), text(&end.message))
}
