//! A namespace that is deleted is emptied, and then it goes.

use serde_json::json;

use crate::kind;
use crate::metadata;
use crate::shared::Shared;
use crate::store::Draft;
use crate::write::{DeleteOptions, Target};

/// Deletes what is in namespaces that are being deleted, and those of them that are empty.
pub(super) fn empty(shared: &Shared) {
    let (namespaces, _) = shared.store.list(&kind::NAMESPACE.resource, None);
    for namespace in namespaces {
        if !metadata::is_deleting(&namespace.value) {
            continue;
        }
        let name = metadata::name(&namespace.value);
        if delete_content(shared, name) {
            finalize(shared, name);
        }
    }
}

/// Deletes everything in a namespace; whether nothing is left.
fn delete_content(shared: &Shared, namespace: &str) -> bool {
    let mut left = false;
    for definition in shared.catalog.all() {
        if !definition.kind.namespaced {
            continue;
        }
        let resource = &definition.kind.resource;
        for version in shared.store.list(resource, Some(namespace)).0 {
            if !metadata::is_deleting(&version.value) {
                let target = Target {
                    definition: &definition,
                    namespace,
                    name: metadata::name(&version.value),
                    subresource: None,
                };
                let options = DeleteOptions {
                    propagation: Some(crate::write::Propagation::Background),
                    ..DeleteOptions::default()
                };
                if let Err(status) = shared.delete(target, &options) {
                    tracing::warn!(namespace, %resource, %status, "namespace not emptied yet");
                }
            }
        }
        left |= !shared.store.list(resource, Some(namespace)).0.is_empty();
    }
    !left
}

/// Removes an empty namespace, unless someone else has a finalizer on it.
fn finalize(shared: &Shared, name: &str) {
    let resource = &kind::NAMESPACE.resource;
    let Some(stored) = shared.store.get(resource, "", name) else {
        return;
    };
    let mut value = (*stored.value).clone();
    value["spec"] = json!({});
    let draft = Draft {
        value,
        managed: stored.managed.clone(),
        stale: false,
    };
    let ends = metadata::finalizers(&draft.value).next().is_none();
    // If another write comes between, its change brings this controller back.
    let _ = if ends {
        shared
            .store
            .remove(resource, "", name, &stored, Some(draft))
    } else if stored.value["spec"] != draft.value["spec"] {
        shared.store.update(resource, "", name, &stored, draft)
    } else {
        Ok(stored)
    };
}
