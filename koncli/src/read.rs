//! Lists and watches, decoded object by object.
//!
//! What enters: an API and a selection. What leaves: every object that can be decoded; of each other one,
//! a line on stderr with its name. What must never happen: that one object, which anybody in the namespace
//! may have created, hides the others. Clippy refuses kube's own lists and watches everywhere else.

use std::fmt::Debug;

use futures::StreamExt;
use futures::stream::BoxStream;
use k8s_openapi::NamespaceResourceScope;
use konductor_api::{Lenient, Undecodable};
use kube::api::{ListParams, PartialObjectMeta};
use kube::core::Request;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::output;

/// A kind of object that lives in namespaces, as requests read it.
pub(crate) trait Stored:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
}

impl<K> Stored for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static
{
}

/// What a list is made of.
#[derive(Deserialize)]
struct Items<T> {
    // An API server sends null for none.
    items: Option<Vec<T>>,
}

/// Lists objects.
pub(crate) async fn list<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned,
{
    let request = Request::new(api.resource_url()).list(params);
    decoded(api.clone().into_client(), request).await
}

/// Lists the metadata of objects.
pub(crate) async fn list_metadata<K>(
    api: &Api<K>,
    params: &ListParams,
) -> Result<Vec<PartialObjectMeta<K>>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone,
{
    let request = Request::new(api.resource_url()).list_metadata(params);
    decoded(api.clone().into_client(), request).await
}

/// Lists objects of a kind that is known only while the program runs, as JSON.
pub(crate) async fn list_values(
    client: Client,
    url: String,
) -> Result<Vec<serde_json::Value>, kube::Error> {
    let request = Request::new(url).list(&ListParams::default());
    let request = request.map_err(kube::Error::BuildRequest)?;
    let list = client
        .request::<Items<Box<serde_json::value::RawValue>>>(request)
        .await?;
    let items = list.items.into_iter().flatten();
    Ok(items
        .filter_map(|item| serde_json::from_str(item.get()).ok())
        .collect())
}

async fn decoded<K>(
    client: Client,
    request: Result<axum::http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    let request = request.map_err(kube::Error::BuildRequest)?;
    let list = client.request::<Items<Lenient<K>>>(request).await?;
    let items = list.items.into_iter().flatten();
    Ok(items
        .filter_map(|item| item.decoded().map_err(leave_out).ok())
        .collect())
}

fn leave_out(undecodable: Undecodable) {
    output::stderr(&format!("warning: {undecodable}; it is left out"));
}

/// Watches objects of a namespace, again and again where a watch breaks off.
pub(crate) fn watch<K>(
    client: Client,
    namespace: &str,
    config: watcher::Config,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Stored,
{
    watch_names(Api::<K>::namespaced(client, namespace), config)
        .filter_map(async |event| event.map(decoded_event).transpose())
        .boxed()
}

/// The same, for those who need no more of an object than its name and uid: each has them.
pub(crate) fn watch_names<K>(
    api: Api<K>,
    config: watcher::Config,
) -> BoxStream<'static, watcher::Result<Event<Lenient<K>>>>
where
    K: Stored,
{
    let namespace = api.namespace().unwrap_or_default().to_owned();
    let api: Api<Lenient<K>> = Api::namespaced(api.into_client(), &namespace);
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that watches, and it decodes object by object"
    )]
    let events = watcher::watcher(api, config);
    events.default_backoff().boxed()
}

/// The event, if its object can be decoded.
fn decoded_event<K>(event: Event<Lenient<K>>) -> Option<Event<K>> {
    let decoded = |object: Lenient<K>| object.decoded().map_err(leave_out).ok();
    match event {
        Event::Apply(object) => decoded(object).map(Event::Apply),
        Event::InitApply(object) => decoded(object).map(Event::InitApply),
        Event::Delete(object) => decoded(object).map(Event::Delete),
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}

#[cfg(test)]
mod tests;
