//! Reading every stored version of objects, and waiting for what a test expects.

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

/// How long a test waits for what must come.
pub const WITHIN: Duration = Duration::from_secs(60);

/// Every version of every object of a kind, from now on, in the order of the API server.
pub struct Versions<K> {
    api: Api<K>,
    seen: Arc<Mutex<Vec<K>>>,
    task: JoinHandle<()>,
}

impl<K> Drop for Versions<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<K> Versions<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    /// Begins to watch.
    pub async fn watch(client: &Client, namespace: &str) -> Self {
        let api: Api<K> = Api::namespaced(client.clone(), namespace);
        let list = api.list(&ListParams::default()).await.expect("a list");
        let mut version = list.metadata.resource_version.unwrap_or_default();
        let seen = Arc::new(Mutex::new(list.items));
        let versions = Arc::clone(&seen);
        let listed = api.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok(events) = api.watch(&WatchParams::default(), &version).await else {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let mut events = events.boxed();
                while let Ok(Some(event)) = events.try_next().await {
                    if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                        version = object.meta().resource_version.clone().unwrap_or_default();
                        versions.lock().expect("nobody panicked").push(object);
                    }
                }
            }
        });
        Self {
            api: listed,
            seen,
            task,
        }
    }

    /// What has happened until now: all that still exists is among what was seen.
    ///
    /// # Panics
    /// If the watch does not show it within [`WITHIN`].
    pub async fn until_now(&self) -> Vec<K> {
        let list = self.api.list(&ListParams::default()).await.expect("a list");
        let version = |object: &K| {
            (
                object.meta().uid.clone(),
                object.meta().resource_version.clone(),
            )
        };
        let caught_up = async {
            loop {
                let seen = self.seen();
                let versions: HashSet<_> = seen.iter().map(version).collect();
                if list
                    .items
                    .iter()
                    .all(|object| versions.contains(&version(object)))
                {
                    return seen;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let caught_up = tokio::time::timeout(WITHIN, caught_up).await;
        caught_up.expect("the watch shows every object")
    }

    /// What was seen so far.
    pub fn seen(&self) -> Vec<K> {
        self.seen.lock().expect("nobody panicked").clone()
    }
}

/// Waits until an object is as expected; returns it.
///
/// # Panics
/// If it is not within [`WITHIN`], with what it is instead.
pub async fn until<K>(
    client: &Client,
    namespace: &str,
    name: &str,
    expected: impl Fn(&K) -> bool + Send,
) -> K
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    let condition = |object: Option<&K>| object.is_some_and(&expected);
    let watched = tokio::time::timeout(WITHIN, await_condition(api.clone(), name, condition)).await;
    match watched {
        Ok(watched) => watched.expect("a watch").expect("an object"),
        Err(_) => panic!("{name} is not as expected: {:#?}", api.get_opt(name).await),
    }
}
