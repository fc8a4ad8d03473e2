//! The raw client: the least requests that do the same, as many at once as the server likes best.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use konductor_api::{Gate, Run, RunPhase};
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Writes that are under way at once.
pub(crate) const AT_ONCE: usize = 32;

/// The status of an answer about a version that the API server has forgotten.
const GONE: u16 = 410;

/// An object of a namespace.
pub(crate) trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// The API of a kind in a namespace.
pub(crate) fn api<K: Object>(client: &Client, namespace: &str) -> Api<K> {
    Api::namespaced(client.clone(), namespace)
}

/// Creates all of them.
pub(crate) async fn create<K: Object>(api: &Api<K>, objects: Vec<K>) {
    let created = stream::iter(objects).map(async |object: K| {
        let created = api.create(&PostParams::default(), &object).await;
        created.unwrap_or_else(|error| panic!("{}: {error}", object.name_any()));
    });
    created.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Does the same with each of them; how long that took.
async fn with_each(names: &[String], act: impl AsyncFn(&str)) -> Duration {
    let begun = Instant::now();
    let done = stream::iter(names).map(|name| act(name));
    done.buffer_unordered(AT_ONCE).collect::<()>().await;
    begun.elapsed()
}

/// Merges a patch into each of them; how long that took.
pub(crate) async fn patch<K: Object>(api: &Api<K>, names: &[String], body: &Value) -> Duration {
    let body = Patch::Merge(body);
    with_each(names, async |name| {
        let patched = api.patch(name, &PatchParams::default(), &body).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
    })
    .await
}

/// The same for their status.
pub(crate) async fn patch_status<K: Object>(
    api: &Api<K>,
    names: &[String],
    body: &Value,
) -> Duration {
    let body = Patch::Merge(body);
    with_each(names, async |name| {
        let patched = api.patch_status(name, &PatchParams::default(), &body).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
    })
    .await
}

/// Merges a patch into the status of each of them, and deletes it; how long that took.
pub(crate) async fn patch_status_and_delete<K: Object>(
    api: &Api<K>,
    names: &[String],
    body: &Value,
) -> Duration {
    let body = Patch::Merge(body);
    with_each(names, async |name| {
        let patched = api.patch_status(name, &PatchParams::default(), &body).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
    })
    .await
}

/// Calls `seen` with each version from now on, until it says that it has seen enough. The watch is
/// open when this returns.
pub(crate) async fn watch<K: Object>(
    api: &Api<K>,
    seen: impl FnMut(K) -> bool + Send + 'static,
) -> JoinHandle<()> {
    watch_those(api, WatchParams::default(), newest(api).await, seen).await
}

/// The version that a watch begins at, to show all that happens from now on.
pub(crate) async fn newest<K: Object>(api: &Api<K>) -> String {
    let list = api.list(&ListParams::default().limit(1)).await;
    let version = list.expect("a list").metadata.resource_version;
    version.expect("a version")
}

/// The same for some objects, from a version on. The API server ends watches, and the client asks for short ones: each
/// is continued where it ended. If the version has been forgotten, `seen` is called with each object as it is.
pub(crate) async fn watch_those<K: Object>(
    api: &Api<K>,
    params: WatchParams,
    mut version: String,
    mut seen: impl FnMut(K) -> bool + Send + 'static,
) -> JoinHandle<()> {
    let api = api.clone();
    let events = api.watch(&params, &version).await.expect("a watch");
    let mut opened = Some(events.boxed());
    tokio::spawn(async move {
        loop {
            let mut is_forgotten = opened.is_none();
            let mut events = stream::iter(opened).flatten();
            while let Some(event) = events.next().await {
                match event {
                    Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                        version = object.resource_version().expect("a version");
                        if seen(object) {
                            return;
                        }
                    }
                    Ok(WatchEvent::Deleted(object)) => {
                        version = object.resource_version().expect("a version");
                    }
                    Ok(WatchEvent::Bookmark(mark)) => version = mark.metadata.resource_version,
                    Ok(WatchEvent::Error(status)) => {
                        is_forgotten = status.code == GONE;
                        break;
                    }
                    // A connection that broke off.
                    Err(_) => break,
                }
            }
            if is_forgotten {
                let selected = ListParams {
                    field_selector: params.field_selector.clone(),
                    ..ListParams::default()
                };
                let list = api.list(&selected).await.expect("a list");
                version = list.metadata.resource_version.expect("a version");
                if list.items.into_iter().any(&mut seen) {
                    return;
                }
            }
            opened = match api.watch(&params, &version).await {
                Ok(events) => Some(events.boxed()),
                Err(kube::Error::Api(status)) if status.code == GONE => None,
                Err(error) => panic!("a watch: {error}"),
            };
        }
    })
}

/// Waits until an object is as expected; returns it.
///
/// # Panics
/// If it is not within this time.
pub(crate) async fn reached<K: Object>(
    api: &Api<K>,
    name: &str,
    within: Duration,
    expected: impl Fn(&K) -> bool + Send,
) -> K {
    let condition = |object: Option<&K>| object.is_some_and(&expected);
    let waiting = await_condition(api.clone(), name, condition);
    let Ok(watched) = tokio::time::timeout(within, waiting).await else {
        panic!("{name} is not as expected within {} s", within.as_secs());
    };
    watched.expect("a watch").expect("an object")
}

/// Whether a Gate is open.
pub(crate) fn is_open(gate: &Gate) -> bool {
    let status = gate.status.as_ref();
    status.is_some_and(|status| status.opened_at.is_some())
}

/// Whether a Run has succeeded.
pub(crate) fn has_succeeded(run: &Run) -> bool {
    let status = run.status.as_ref();
    status.is_some_and(|status| status.phase == RunPhase::Succeeded)
}

/// A Job that waits, with these annotations.
pub(crate) fn job(name: &str, annotations: Value) -> Job {
    let job = json!({
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "suspend": true,
            "template": {"spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "main", "image": "busybox:1.36", "command": ["true"]}],
            }},
        },
    });
    serde_json::from_value(job).expect("a Job")
}

/// An object of ours from its spec.
pub(crate) fn object<K: Object>(name: &str, spec: Value) -> K {
    let manifest = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "spec": spec,
    });
    serde_json::from_value(manifest).expect("an object")
}

/// `count` names with this prefix.
pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{prefix}-{index}"))
        .collect()
}
