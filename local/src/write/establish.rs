//! CustomResourceDefinitions come into effect with the write that stores them.

use std::sync::Arc;

use serde_json::Value;

use crate::custom::crd;
use crate::definition::{Definition, Nature};
use crate::kind;
use crate::managed::apply;
use crate::shared::Shared;
use crate::store::{Draft, Refusal, Version};

impl Shared {
    /// Serves what a stored definition defines, and says so in its status; serves it no more if
    /// the definition is gone.
    pub(super) fn establish(&self, definition: &Definition, name: &str) {
        let resource = &kind::CUSTOM_RESOURCE_DEFINITION.resource;
        loop {
            let Some(stored) = self.store.get(resource, "", name) else {
                return;
            };
            let conflict = self.name_conflict(&stored.value);
            if conflict.is_none() {
                self.serve_definition(&stored.value);
            }
            let now = (self.clock)();
            let status = crd::accepted_status(&stored.value, conflict.as_deref(), now);
            if status == stored.value["status"] {
                return;
            }
            let draft = self.with_status(definition, &stored, status);
            match self.store.update(resource, "", name, &stored, draft) {
                Ok(_) => return,
                // Someone wrote it in between: look again.
                Err(Refusal::Moved | Refusal::Exists) => {}
                Err(Refusal::NotKept(error)) => {
                    tracing::warn!(name, %error, "definition without a status");
                    return;
                }
            }
        }
    }

    /// Serves what all stored definitions define.
    pub(crate) fn establish_all(&self) {
        let resource = &kind::CUSTOM_RESOURCE_DEFINITION.resource;
        if let Some(definition) = self.catalog.get(resource) {
            for stored in self.store.list(resource, None).0 {
                self.establish(&definition, crate::metadata::name(&stored.value));
            }
        }
    }

    fn with_status(&self, definition: &Definition, stored: &Arc<Version>, status: Value) -> Draft {
        let mut value = (*stored.value).clone();
        value["status"] = status;
        let time = crate::metadata::time((self.clock)());
        let subresource = Some(crate::subresource::Subresource::Status);
        let writer = definition.writer(subresource, "kube-apiserver", &time);
        Draft {
            managed: apply::updated(&stored.value, &value, &stored.managed, writer),
            value,
            stale: false,
        }
    }

    fn serve_definition(&self, crd: &Value) {
        let resource = crd::resource(crd);
        let versions = crd::definitions(crd);
        let storage = versions.first().cloned();
        self.catalog.set(&resource, versions);
        if let Some(storage) = storage {
            self.store
                .refresh(&resource, |value| storage.as_read(value));
        }
    }

    /// Who has the names that a definition wants.
    fn name_conflict(&self, crd: &Value) -> Option<String> {
        let resource = crd::resource(crd);
        let kind = crd["spec"]["names"]["kind"].as_str().unwrap_or_default();
        let taken = self.catalog.of_kind(&resource.group, kind)?;
        if taken.kind.resource == resource && matches!(taken.nature, Nature::Custom(_)) {
            return None;
        }
        Some(format!("{} is already in use", crate::field::quote(kind)))
    }

    /// Serves what a definition defined no more.
    pub(super) fn retire(&self, crd: &Value) {
        self.catalog.set(&crd::resource(crd), Vec::new());
    }
}
