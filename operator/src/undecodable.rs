//! The objects that can't be decoded: each is reported once, by name, and never by content.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use konductor_api::Undecodable;
use konductor_api::condition::reason;
use kube::Resource;
use kube::runtime::events::{Event, EventType};

use crate::events::Events;
use crate::index::Watched;
use crate::telemetry::Telemetry;

/// How many are remembered, so that each is reported once.
const REMEMBERED_MAX: usize = 4096;
const NOTE: &str = "konductor can't decode this object and leaves it out: a field has a type or a value \
                    that Kubernetes clients don't read, such as a time outside the years 0 to 9999. \
                    Correct the field, or delete the object";

/// Those that are known.
pub(crate) struct Undecodables {
    objects: Mutex<BTreeMap<(Watched, String), ()>>,
    events: Arc<Events>,
    telemetry: Telemetry,
}

impl Undecodables {
    pub(crate) fn new(telemetry: &Telemetry, events: &Arc<Events>) -> Self {
        Self {
            objects: Mutex::default(),
            events: Arc::clone(events),
            telemetry: telemetry.clone(),
        }
    }

    /// Takes note of one; the first time, it is reported.
    pub(crate) fn found<K: Resource<DynamicType = ()>>(&self, kind: Watched, what: &Undecodable) {
        let uid = what.metadata.uid.clone().unwrap_or_default();
        {
            let mut objects = lock(&self.objects);
            if objects.contains_key(&(kind, uid.clone())) || objects.len() >= REMEMBERED_MAX {
                return;
            }
            objects.insert((kind, uid.clone()), ());
            self.count(kind, &objects);
        }
        let (namespace, name) = (&what.metadata.namespace, &what.metadata.name);
        tracing::warn!(
            kind = kind.word(),
            namespace = namespace.as_deref().unwrap_or_default(),
            name = name.as_deref().unwrap_or_default(),
            "an object can't be decoded and is left out"
        );
        let event = Event {
            type_: EventType::Warning,
            reason: reason::UNDECODABLE.to_owned(),
            note: Some(NOTE.to_owned()),
            action: "Decode".to_owned(),
            secondary: None,
        };
        let reference = ObjectReference {
            api_version: Some(K::api_version(&()).into_owned()),
            kind: Some(K::kind(&()).into_owned()),
            name: name.clone(),
            namespace: namespace.clone(),
            uid: Some(uid),
            ..ObjectReference::default()
        };
        // One that has no room is in the log and in the metric.
        self.events.publish(event, reference);
    }

    /// It can be decoded by now, or is gone.
    pub(crate) fn forget(&self, kind: Watched, uid: Option<&str>) {
        let mut objects = lock(&self.objects);
        if !objects.is_empty()
            && objects
                .remove(&(kind, uid.unwrap_or_default().to_owned()))
                .is_some()
        {
            self.count(kind, &objects);
        }
    }

    /// Every object of the kind is listed again.
    pub(crate) fn listed(&self, kind: Watched, uids: &[String]) {
        let mut objects = lock(&self.objects);
        if objects.keys().any(|(other, _)| *other == kind) {
            objects.retain(|(other, uid), ()| *other != kind || uids.contains(uid));
            self.count(kind, &objects);
        }
    }

    fn count(&self, kind: Watched, objects: &BTreeMap<(Watched, String), ()>) {
        let count = objects.keys().filter(|(other, _)| *other == kind).count();
        self.telemetry.undecodable(kind, count);
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Single inserts and removals: nothing is left half done.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
