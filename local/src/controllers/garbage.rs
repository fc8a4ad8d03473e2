//! The garbage collector: an object goes when all its owners are gone.
//!
//! `Foreground` waits for the dependents, `Orphan` lets them stay, `Background` deletes them after
//! their owner. Which of them is meant is kept as a finalizer of the owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::kind::Resource;
use crate::metadata::{self, FOREGROUND, ORPHAN};
use crate::shared::Shared;
use crate::status::Reason;
use crate::store::{Change, Effect, Version};
use crate::write::{DeleteOptions, FieldValidation, Propagation, Target, WriteOptions};

const MANAGER: &str = "kube-controller-manager";

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    resource: Resource,
    namespace: String,
    name: String,
}

/// Who depends on whom, and what is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Garbage {
    /// The dependents of each owner, by its uid.
    dependents: BTreeMap<String, BTreeSet<Place>>,
    /// The owners of each dependent, by their uids.
    owners: BTreeMap<Place, Vec<String>>,
    /// Dependents to look at.
    doubtful: BTreeSet<Place>,
    /// Owners that are being deleted and wait for their dependents to be dealt with.
    leaving: BTreeSet<Place>,
}

/// What is known of a dependent's owners.
#[derive(Debug, Default)]
struct Owners {
    solid: bool,
    /// Uids of those that are gone.
    gone: Vec<String>,
    /// Uids of those that wait for their dependents to go.
    waiting: Vec<String>,
}

fn uids_of_owners(object: &Value) -> Vec<String> {
    let owners = object["metadata"]["ownerReferences"].as_array();
    let uids = owners
        .into_iter()
        .flatten()
        .filter_map(|owner| owner["uid"].as_str());
    uids.map(str::to_owned).collect()
}

fn has_finalizer(object: &Value, name: &str) -> bool {
    metadata::finalizers(object).any(|finalizer| finalizer == name)
}

impl Garbage {
    /// Knows what is there.
    pub(super) fn new(shared: &Shared) -> Self {
        let mut garbage = Self::default();
        for definition in shared.catalog.all() {
            let (versions, _) = shared.store.list(&definition.kind.resource, None);
            for version in versions {
                garbage.observe_object(&definition.kind.resource, &version.value);
            }
        }
        garbage
    }

    /// Learns of a write.
    pub(super) fn observe(&mut self, change: &Change) {
        let object = &change.current.value;
        if change.effect != Effect::Deleted {
            self.observe_object(&change.resource, object);
            return;
        }
        let place = place(&change.resource, object);
        self.leaving.remove(&place);
        self.doubtful.remove(&place);
        for uid in self.owners.remove(&place).unwrap_or_default() {
            if let Some(dependents) = self.dependents.get_mut(&uid) {
                dependents.remove(&place);
            }
        }
        if let Some(dependents) = self.dependents.remove(metadata::uid(object)) {
            self.doubtful.extend(dependents);
        }
    }

    fn observe_object(&mut self, resource: &Resource, object: &Value) {
        let place = place(resource, object);
        let uids = uids_of_owners(object);
        let before = self.owners.get(&place);
        if before.is_none_or(|before| *before != uids) && (before.is_some() || !uids.is_empty()) {
            for uid in self.owners.remove(&place).unwrap_or_default() {
                if let Some(dependents) = self.dependents.get_mut(&uid) {
                    dependents.remove(&place);
                }
            }
            for uid in &uids {
                let dependents = self.dependents.entry(uid.clone()).or_default();
                dependents.insert(place.clone());
            }
            self.doubtful.insert(place.clone());
            self.owners.insert(place.clone(), uids);
        }
        let waits = has_finalizer(object, ORPHAN) || has_finalizer(object, FOREGROUND);
        if metadata::is_deleting(object) && waits {
            self.leaving.insert(place);
        }
    }

    /// Deletes what no one owns any more, and lets owners go that waited for it.
    pub(super) fn collect(&mut self, shared: &Shared) {
        for owner in self.leaving.clone() {
            match get(shared, &owner) {
                Some(version) if has_finalizer(&version.value, ORPHAN) => {
                    self.orphan(shared, &owner, &version);
                }
                Some(version) if has_finalizer(&version.value, FOREGROUND) => {
                    self.lead(shared, &owner, &version);
                }
                _ => drop(self.leaving.remove(&owner)),
            }
        }
        for dependent in std::mem::take(&mut self.doubtful) {
            self.judge(shared, &dependent);
        }
    }

    /// Lets the dependents of an owner stay without it.
    fn orphan(&mut self, shared: &Shared, owner: &Place, version: &Arc<Version>) {
        let uid = metadata::uid(&version.value);
        for dependent in self.dependents.get(uid).cloned().unwrap_or_default() {
            disown(shared, &dependent, &[uid.to_owned()]);
        }
        remove_finalizer(shared, owner, uid, ORPHAN);
    }

    /// Deletes the dependents of an owner, and lets it go when none is left that holds it.
    fn lead(&mut self, shared: &Shared, owner: &Place, version: &Arc<Version>) {
        let uid = metadata::uid(&version.value);
        let dependents = self.dependents.get(uid).cloned().unwrap_or_default();
        let blocks = |dependent: &&Place| {
            get(shared, dependent).is_some_and(|dependent| {
                let owners = dependent.value["metadata"]["ownerReferences"].as_array();
                owners
                    .into_iter()
                    .flatten()
                    .any(|owner| owner["uid"] == uid && owner["blockOwnerDeletion"] == true)
            })
        };
        if !dependents.iter().any(|dependent| blocks(&dependent)) {
            remove_finalizer(shared, owner, uid, FOREGROUND);
        }
        self.doubtful.extend(dependents);
    }

    /// Deletes a dependent that no owner keeps.
    fn judge(&mut self, shared: &Shared, dependent: &Place) {
        let Some(version) = get(shared, dependent) else {
            return;
        };
        let object = &version.value;
        let uids = uids_of_owners(object);
        if uids.is_empty() {
            return;
        }
        let owners = self.classify(shared, object);
        if owners.solid {
            let lost: Vec<_> = owners.gone.into_iter().chain(owners.waiting).collect();
            disown(shared, dependent, &lost);
            return;
        }
        if owners.gone.len() + owners.waiting.len() < uids.len() || metadata::is_deleting(object) {
            return;
        }
        let has_dependents = self
            .dependents
            .get(metadata::uid(object))
            .is_some_and(|dependents| !dependents.is_empty());
        let propagation = if has_finalizer(object, ORPHAN) {
            Propagation::Orphan
        } else if has_finalizer(object, FOREGROUND)
            || (!owners.waiting.is_empty() && has_dependents)
        {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        delete(shared, dependent, object, propagation);
    }

    fn classify(&self, shared: &Shared, object: &Value) -> Owners {
        let mut owners = Owners::default();
        let references = object["metadata"]["ownerReferences"].as_array();
        for reference in references.into_iter().flatten() {
            let text = |field: &str| reference[field].as_str().unwrap_or_default();
            let group = text("apiVersion")
                .rsplit_once('/')
                .map_or("", |(group, _)| group);
            // An owner of a kind that is not served may come back with its kind.
            let Some(definition) = shared.catalog.of_kind(group, text("kind")) else {
                continue;
            };
            let namespace = match definition.kind.namespaced {
                true => metadata::namespace(object),
                false => "",
            };
            let resource = &definition.kind.resource;
            let owner = shared.store.get(resource, namespace, text("name"));
            let uid = text("uid").to_owned();
            match owner.filter(|owner| metadata::uid(&owner.value) == uid) {
                None => owners.gone.push(uid),
                Some(owner)
                    if metadata::is_deleting(&owner.value)
                        && has_finalizer(&owner.value, FOREGROUND) =>
                {
                    owners.waiting.push(uid);
                }
                Some(_) => owners.solid = true,
            }
        }
        owners
    }
}

fn place(resource: &Resource, object: &Value) -> Place {
    Place {
        resource: resource.clone(),
        namespace: metadata::namespace(object).to_owned(),
        name: metadata::name(object).to_owned(),
    }
}

fn get(shared: &Shared, place: &Place) -> Option<Arc<Version>> {
    shared
        .store
        .get(&place.resource, &place.namespace, &place.name)
}

fn delete(shared: &Shared, place: &Place, object: &Value, propagation: Propagation) {
    let Some(definition) = shared.catalog.get(&place.resource) else {
        return;
    };
    let target = Target {
        definition: &definition,
        namespace: &place.namespace,
        name: &place.name,
        subresource: None,
    };
    let options = DeleteOptions {
        uid: Some(metadata::uid(object).to_owned()),
        propagation: Some(propagation),
        ..DeleteOptions::default()
    };
    report("delete", place, shared.delete(target, &options).map(drop));
}

/// Removes owners from a dependent.
fn disown(shared: &Shared, dependent: &Place, uids: &[String]) {
    if uids.is_empty() {
        return;
    }
    change(shared, dependent, None, |object| {
        let owners = object["metadata"]["ownerReferences"].as_array_mut();
        if let Some(owners) = owners {
            owners.retain(|owner| {
                let uid = owner["uid"].as_str().unwrap_or_default();
                !uids.iter().any(|lost| lost == uid)
            });
        }
    });
}

fn remove_finalizer(shared: &Shared, place: &Place, uid: &str, finalizer: &str) {
    change(shared, place, Some(uid), |object| {
        let kept: Vec<String> = metadata::finalizers(object)
            .filter(|other| *other != finalizer)
            .map(str::to_owned)
            .collect();
        metadata::set_finalizers(object, &kept);
    });
}

/// Changes an object, if it is still there and has the uid.
fn change(shared: &Shared, place: &Place, uid: Option<&str>, change: impl Fn(&mut Value)) {
    let Some(definition) = shared.catalog.get(&place.resource) else {
        return;
    };
    let target = Target {
        definition: &definition,
        namespace: &place.namespace,
        name: &place.name,
        subresource: None,
    };
    let options = WriteOptions {
        dry_run: false,
        manager: MANAGER,
        validation: FieldValidation::Ignore,
        by_patch: false,
    };
    let mut changed = |old: &Version| {
        let mut object = (*old.value).clone();
        if uid.is_none_or(|uid| metadata::uid(&object) == uid) {
            change(&mut object);
        }
        Ok(object.into())
    };
    let written = shared.update(target, options, &mut changed);
    report("update", place, written.map(drop));
}

/// What is gone, or is another one by now, needs nothing any more.
fn report(what: &str, place: &Place, result: Result<(), crate::status::Status>) {
    match result {
        Err(status) if !matches!(status.reason, Reason::NotFound | Reason::Conflict) => {
            tracing::warn!(
                what,
                resource = %place.resource,
                namespace = place.namespace,
                name = place.name,
                %status,
                "garbage collection"
            );
        }
        _ => {}
    }
}
