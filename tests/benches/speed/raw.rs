//! The raw client: the least requests that do the same, as many at once as the server likes best.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::batch::v1::Job;
use kube::api::{
    DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Writes that are under way at once.
pub(crate) const AT_ONCE: usize = 32;

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
    let created = stream::iter(objects).map(async |one: K| {
        let created = api.create(&PostParams::default(), &one).await;
        created.unwrap_or_else(|error| panic!("{}: {error}", one.name_any()));
    });
    created.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// Merges a patch into each of them; how long that took.
pub(crate) async fn patch<K: Object>(api: &Api<K>, names: &[String], body: &Value) -> Duration {
    let begun = Instant::now();
    let patched = stream::iter(names).map(async |name: &String| {
        let patched = api
            .patch(name, &PatchParams::default(), &Patch::Merge(body))
            .await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
    });
    patched.buffer_unordered(AT_ONCE).collect::<()>().await;
    begun.elapsed()
}

/// The same for their status.
pub(crate) async fn patch_status<K: Object>(
    api: &Api<K>,
    names: &[String],
    body: &Value,
) -> Duration {
    let begun = Instant::now();
    let patched = stream::iter(names).map(async |name: &String| {
        let body = Patch::Merge(body);
        let patched = api.patch_status(name, &PatchParams::default(), &body).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
    });
    patched.buffer_unordered(AT_ONCE).collect::<()>().await;
    begun.elapsed()
}

/// Merges a patch into the status of each of them, and deletes it; how long that took.
pub(crate) async fn patch_status_and_delete<K: Object>(
    api: &Api<K>,
    names: &[String],
    body: &Value,
) -> Duration {
    let begun = Instant::now();
    let done = stream::iter(names).map(async |name: &String| {
        let body = Patch::Merge(body);
        let patched = api.patch_status(name, &PatchParams::default(), &body).await;
        patched.unwrap_or_else(|error| panic!("{name}: {error}"));
        let deleted = api.delete(name, &DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("{name}: {error}"));
    });
    done.buffer_unordered(AT_ONCE).collect::<()>().await;
    begun.elapsed()
}

/// Calls `seen` with each version from now on, until it says that it has seen enough. The watch is
/// open when this returns, and is continued if the server ends it.
pub(crate) async fn watch<K: Object>(
    api: &Api<K>,
    mut seen: impl FnMut(K) -> bool + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let list = api
        .list(&ListParams::default().limit(1))
        .await
        .expect("a list");
    let mut version = list.metadata.resource_version.expect("a version");
    let api = api.clone();
    let params = WatchParams::default().timeout(290);
    let events = api.watch(&params, &version).await.expect("a watch");
    let mut events = events.boxed();
    tokio::spawn(async move {
        loop {
            while let Some(event) = events.try_next().await.expect("an event") {
                let (one, is_shown) = match event {
                    WatchEvent::Added(one) | WatchEvent::Modified(one) => (one, true),
                    WatchEvent::Deleted(one) => (one, false),
                    WatchEvent::Bookmark(mark) => {
                        version = mark.metadata.resource_version;
                        continue;
                    }
                    WatchEvent::Error(status) => panic!("{status:?}"),
                };
                version = one.resource_version().expect("a version");
                if is_shown && seen(one) {
                    return;
                }
            }
            let again = api.watch(&params, &version).await.expect("a watch");
            events = again.boxed();
        }
    })
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
    let one = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": {"name": name},
        "spec": spec,
    });
    serde_json::from_value(one).expect("an object")
}

/// `count` names with this prefix.
pub(crate) fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|index| format!("{prefix}-{index}"))
        .collect()
}
