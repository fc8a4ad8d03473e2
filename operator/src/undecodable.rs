//! The objects that can't be decoded: each is reported once, by name, and never by content.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::StreamExt;
use futures::channel::mpsc::{Receiver, Sender, channel};
use k8s_openapi::api::core::v1::ObjectReference;
use konductor_api::Undecodable;
use konductor_api::condition::reason;
use kube::Resource;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::index::Watched;
use crate::telemetry::Telemetry;

/// How many reports wait to be written. Whoever stores thousands of such objects is reported by the
/// metric.
const REPORTS_MAX: usize = 64;
/// How many are remembered, so that each is reported once.
const REMEMBERED_MAX: usize = 4096;
const NOTE: &str = "konductor can't decode this object and leaves it out: a field has a type or a value \
                    that Kubernetes clients don't read, such as a time outside the years 0 to 9999. \
                    Correct the field, or delete the object";

/// Those that are known.
pub(crate) struct Undecodables {
    known: Mutex<BTreeMap<(Watched, String), ()>>,
    reports: Mutex<Sender<(Event, ObjectReference)>>,
    telemetry: Telemetry,
}

/// The reports that are to be written.
pub(crate) struct Reports(Receiver<(Event, ObjectReference)>);

impl Undecodables {
    pub(crate) fn new(telemetry: &Telemetry) -> (Self, Reports) {
        let (sender, receiver) = channel(REPORTS_MAX);
        let known = Self {
            known: Mutex::default(),
            reports: Mutex::new(sender),
            telemetry: telemetry.clone(),
        };
        (known, Reports(receiver))
    }

    /// Takes note of one; the first time, it is reported.
    pub(crate) fn found<K: Resource<DynamicType = ()>>(&self, kind: Watched, what: &Undecodable) {
        let uid = what.metadata.uid.clone().unwrap_or_default();
        {
            let mut known = lock(&self.known);
            if known.contains_key(&(kind, uid.clone())) || known.len() >= REMEMBERED_MAX {
                return;
            }
            known.insert((kind, uid.clone()), ());
            self.count(kind, &known);
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
        let _ = lock(&self.reports).try_send((event, reference));
    }

    /// It can be decoded by now, or is gone.
    pub(crate) fn forget(&self, kind: Watched, uid: Option<&str>) {
        let mut known = lock(&self.known);
        if !known.is_empty()
            && known
                .remove(&(kind, uid.unwrap_or_default().to_owned()))
                .is_some()
        {
            self.count(kind, &known);
        }
    }

    /// Every object of the kind is listed again.
    pub(crate) fn listed(&self, kind: Watched, uids: &[String]) {
        let mut known = lock(&self.known);
        if known.keys().any(|(other, _)| *other == kind) {
            known.retain(|(other, uid), ()| *other != kind || uids.contains(uid));
            self.count(kind, &known);
        }
    }

    fn count(&self, kind: Watched, known: &BTreeMap<(Watched, String), ()>) {
        let count = known.keys().filter(|(other, _)| *other == kind).count();
        self.telemetry.undecodable(kind, count);
    }
}

impl Reports {
    /// Writes an Event for each, forever. A lost Event is no reason to stop.
    pub(crate) async fn write(mut self, recorder: &Recorder) {
        while let Some((event, object)) = self.0.next().await {
            if let Err(error) = recorder.publish(&event, &object).await {
                let (namespace, name) = (object.namespace, object.name);
                tracing::debug!(namespace, name, %error, "a report was lost");
            }
        }
        std::future::pending().await
    }
}

fn lock<T>(value: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Single inserts and removals: nothing is left half done.
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
