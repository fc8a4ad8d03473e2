//! The API server as the runner's parts see it: typed objects, and nothing beside what they need.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, EventSource, ObjectReference, PersistentVolumeClaim, Pod, Secret,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kind::{self, Kind};
use crate::store::{Draft, Refusal};
use crate::{ApiServer, DeleteOptions, Propagation, Status};

/// What happened to an object.
#[derive(Clone, Debug)]
pub(super) enum Change<T> {
    /// It was made, or is different now.
    Set(T),
    /// It does not exist any more; this was its last state.
    Gone(T),
}

/// A kind the runner reads or writes.
pub(super) trait Object:
    Metadata<Ty = ObjectMeta> + Clone + PartialEq + Serialize + DeserializeOwned + Send + 'static
{
    /// The same kind, as the API server names it.
    const TABLE: Kind;
}

impl Object for ConfigMap {
    const TABLE: Kind = kind::CONFIG_MAP;
}

impl Object for CronJob {
    const TABLE: Kind = kind::CRON_JOB;
}

impl Object for Event {
    const TABLE: Kind = kind::CORE_EVENT;
}

impl Object for Job {
    const TABLE: Kind = kind::JOB;
}

impl Object for PersistentVolumeClaim {
    const TABLE: Kind = kind::PERSISTENT_VOLUME_CLAIM;
}

impl Object for Pod {
    const TABLE: Kind = kind::POD;
}

impl Object for Secret {
    const TABLE: Kind = kind::SECRET;
}

/// An API server, typed.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    api: ApiServer,
}

impl Cluster {
    pub(super) fn new(api: ApiServer) -> Self {
        Self { api }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.api.now()
    }

    /// Sleeps until the cluster's clock shows `time`; without one, forever.
    pub(super) async fn sleep_until(&self, time: Option<Timestamp>) {
        let Some(time) = time else {
            return std::future::pending().await;
        };
        let left = time.duration_since(self.now());
        // To the next millisecond, timers being no finer: never an instant too early.
        let milliseconds = u64::try_from(left.as_millis()).map_or(0, |left| left + 1);
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
    }

    /// All objects of a kind, and the version that list has.
    pub(super) fn list<T: Object>(&self) -> (Vec<T>, u64) {
        let (objects, version) = self.api.list(&T::TABLE, None);
        (
            objects.iter().filter_map(|object| parse(object)).collect(),
            version,
        )
    }

    /// The changes of a kind after `version`. The stream ends when some are missing.
    pub(super) fn watch<T: Object>(
        &self,
        version: u64,
    ) -> impl Stream<Item = Change<T>> + Send + use<T> {
        // A version too old to start from is a watch that ends at once.
        let events = futures::stream::iter(self.api.watch(&T::TABLE, version)).flatten();
        events.filter_map(|event| async move {
            match event {
                crate::Event::Added(object) | crate::Event::Modified(object) => {
                    parse(&object).map(Change::Set)
                }
                crate::Event::Deleted(object) => parse(&object).map(Change::Gone),
            }
        })
    }

    /// What happens to a kind from now on.
    pub(super) fn changes<T: Object>(&self) -> impl Stream<Item = Change<T>> + Send + use<T> {
        let (_, version) = self.api.list(&T::TABLE, None);
        self.watch(version)
    }

    pub(super) fn get<T: Object>(&self, namespace: &str, name: &str) -> Option<T> {
        parse(&*self.get_value::<T>(namespace, name)?)
    }

    pub(super) fn get_value<T: Object>(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.api.get(&T::TABLE, namespace, name)
    }

    pub(super) fn create<T: Object>(&self, object: &T) -> Result<T, Status> {
        let stored = self
            .api
            .create(&T::TABLE, namespace(object), to_value(object)?)?;
        written(&stored)
    }

    /// Replaces an object, if it still has the version of `object`.
    pub(super) fn replace<T: Object>(&self, object: &T) -> Result<T, Status> {
        let stored = self
            .api
            .replace(&T::TABLE, namespace(object), to_value(object)?)?;
        written(&stored)
    }

    /// Replaces an object's status, if it still has the version of `object`.
    pub(super) fn replace_status<T: Object>(&self, object: &T) -> Result<T, Status> {
        let stored = self
            .api
            .replace_status(&T::TABLE, namespace(object), to_value(object)?)?;
        written(&stored)
    }

    /// Changes the status of the object that `object` is a version of; nothing if it is gone.
    pub(super) fn update_status<T: Object>(
        &self,
        object: &T,
        change: impl Fn(&mut T),
    ) -> Result<(), Status> {
        loop {
            let live = self.get::<T>(namespace(object), name(object));
            let Some(before) = live.filter(|live| uid(live) == uid(object)) else {
                return Ok(());
            };
            let mut after = before.clone();
            change(&mut after);
            if after == before {
                return Ok(());
            }
            match self.replace_status(&after) {
                Err(error) if is_outdated(&error) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Binds a pod to a node, as its `binding` does: no update may set a pod's node.
    pub(super) fn bind(&self, pod: &Pod, node: &str) {
        let (store, pods) = (&self.api.shared.store, &Pod::TABLE.resource);
        while let Some(old) = store.get(pods, namespace(pod), name(pod)) {
            if old.value["metadata"]["uid"] != uid(pod) {
                return;
            }
            let mut draft = Draft::of(Some(&old));
            draft.value["spec"]["nodeName"] = node.into();
            match store.update(pods, namespace(pod), name(pod), &old, draft) {
                Err(Refusal::Moved | Refusal::Exists) => {}
                Err(Refusal::NotKept(error)) => {
                    let (namespace, pod) = (namespace(pod), name(pod));
                    tracing::warn!(namespace, pod, %error, "pod not bound");
                    return;
                }
                Ok(_) => return,
            }
        }
    }

    /// Deletes an object, unless it is gone or another one has taken its name. `grace` is the
    /// time in seconds that a pod gets to end, by default its own.
    pub(super) fn delete<T: Object>(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
        grace: Option<i64>,
    ) -> Result<(), Status> {
        let options = DeleteOptions {
            uid: Some(uid.into()),
            propagation: Some(Propagation::Background),
            grace_period_seconds: grace,
            ..DeleteOptions::default()
        };
        match self.api.delete(&T::TABLE, namespace, name, &options) {
            Err(error) if !is_outdated(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Creates an Event about an object, which `kubectl describe` shows.
    pub(super) fn report<T: Object>(
        &self,
        about: &T,
        component: &str,
        kind: &str,
        reason: &str,
        message: &str,
    ) {
        let metadata = about.metadata();
        let now = Some(Time(self.now()));
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}-", name(about))),
                namespace: metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(T::API_VERSION.into()),
                kind: Some(T::KIND.into()),
                name: metadata.name.clone(),
                namespace: metadata.namespace.clone(),
                uid: metadata.uid.clone(),
                ..ObjectReference::default()
            },
            reason: Some(reason.into()),
            message: Some(message.into()),
            type_: Some(kind.into()),
            source: Some(EventSource {
                component: Some(component.into()),
                host: None,
            }),
            first_timestamp: now.clone(),
            last_timestamp: now,
            count: Some(1),
            ..Event::default()
        };
        if let Err(error) = self.create(&event) {
            tracing::warn!(%error, "the event about it can't be written");
        }
    }
}

/// Whether a write failed because the object is another one by now, or gone.
pub(super) fn is_outdated(error: &Status) -> bool {
    matches!(error.code, 404 | 409)
}

pub(super) fn name<T: Object>(object: &T) -> &str {
    object.metadata().name.as_deref().unwrap_or_default()
}

pub(super) fn namespace<T: Object>(object: &T) -> &str {
    object.metadata().namespace.as_deref().unwrap_or_default()
}

pub(super) fn uid<T: Object>(object: &T) -> &str {
    object.metadata().uid.as_deref().unwrap_or_default()
}

/// The resource version as the number it is in an embedded cluster.
pub(super) fn version<T: Object>(object: &T) -> u64 {
    let version = object.metadata().resource_version.as_deref();
    version
        .and_then(|version| version.parse().ok())
        .unwrap_or_default()
}

/// The controller of an object, if it is of `kind`.
pub(super) fn owner<T: Object>(object: &T, kind: &str) -> Option<OwnerReference> {
    let mut owners = object.metadata().owner_references.iter().flatten();
    owners
        .find(|owner| owner.controller == Some(true) && owner.kind == kind)
        .cloned()
}

fn parse<T: Object>(object: &Value) -> Option<T> {
    T::deserialize(object)
        .inspect_err(|error| tracing::warn!(%error, kind = T::KIND, "malformed object skipped"))
        .ok()
}

fn to_value<T: Serialize>(object: &T) -> Result<Value, Status> {
    serde_json::to_value(object).map_err(Status::internal)
}

fn written<T: Object>(object: &Value) -> Result<T, Status> {
    T::deserialize(object).map_err(Status::internal)
}
