//! A CustomResourceDefinition that is deleted goes after its objects.

use crate::custom::crd::{self, CLEANUP};
use crate::kind;
use crate::metadata;
use crate::shared::Shared;
use crate::store::Version;
use crate::write::{DeleteOptions, FieldValidation, Propagation, Target, WriteOptions};

/// Deletes the objects of definitions that are being deleted, and those that have none left.
pub(super) fn empty(shared: &Shared) {
    let (definitions, _) = shared
        .store
        .list(&kind::CUSTOM_RESOURCE_DEFINITION.resource, None);
    for definition in definitions {
        let cleans = metadata::finalizers(&definition.value).any(|name| name == CLEANUP);
        if metadata::is_deleting(&definition.value) && cleans && delete_objects(shared, &definition)
        {
            release(shared, metadata::name(&definition.value));
        }
    }
}

/// Deletes all objects of a definition; whether none is left.
fn delete_objects(shared: &Shared, crd: &Version) -> bool {
    let resource = crd::resource(&crd.value);
    let Some(definition) = shared.catalog.get(&resource) else {
        return true;
    };
    for version in shared.store.list(&resource, None).0 {
        if metadata::is_deleting(&version.value) {
            continue;
        }
        let target = Target {
            definition: &definition,
            namespace: metadata::namespace(&version.value),
            name: metadata::name(&version.value),
            subresource: None,
        };
        let options = DeleteOptions {
            propagation: Some(Propagation::Background),
            ..DeleteOptions::default()
        };
        if let Err(status) = shared.delete(target, &options) {
            tracing::warn!(%resource, %status, "definition still has objects");
        }
    }
    shared.store.list(&resource, None).0.is_empty()
}

fn release(shared: &Shared, name: &str) {
    let Some(definition) = shared
        .catalog
        .get(&kind::CUSTOM_RESOURCE_DEFINITION.resource)
    else {
        return;
    };
    let target = Target {
        definition: &definition,
        namespace: "",
        name,
        subresource: None,
    };
    let options = WriteOptions {
        dry_run: false,
        manager: "kube-apiserver",
        validation: FieldValidation::Ignore,
        by_patch: false,
    };
    let mut change = |old: &Version| {
        let mut value = (*old.value).clone();
        let kept: Vec<String> = metadata::finalizers(&value)
            .filter(|finalizer| *finalizer != CLEANUP)
            .map(str::to_owned)
            .collect();
        metadata::set_finalizers(&mut value, &kept);
        Ok(value.into())
    };
    if let Err(status) = shared.update(target, options, &mut change) {
        tracing::warn!(name, %status, "definition not released");
    }
}
