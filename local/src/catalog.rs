//! All kinds that a server serves, built in or made by definitions.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::definition::{Definition, Nature};
use crate::kind::Resource;

/// All definitions, each resource with the version first that it is stored in.
#[derive(Debug)]
pub(crate) struct Catalog {
    definitions: RwLock<Definitions>,
}

type Definitions = BTreeMap<Resource, Vec<Arc<Definition>>>;

impl Catalog {
    /// A catalog of the kinds that are built in.
    pub(crate) fn new(builtin: Vec<Definition>) -> Self {
        let definitions = builtin
            .into_iter()
            .map(|definition| (definition.kind.resource.clone(), vec![Arc::new(definition)]));
        Self {
            definitions: RwLock::new(definitions.collect()),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Definitions> {
        self.definitions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A resource in the version that it is stored in.
    pub(crate) fn get(&self, resource: &Resource) -> Option<Arc<Definition>> {
        self.read().get(resource)?.first().cloned()
    }

    /// A resource as one version serves it.
    pub(crate) fn served(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<Arc<Definition>> {
        let resource = Resource {
            group: group.to_owned().into(),
            plural: plural.to_owned().into(),
        };
        let definitions = self.read();
        let mut versions = definitions.get(&resource)?.iter();
        versions
            .find(|definition| definition.kind.version == version)
            .cloned()
    }

    /// Whether a group version is built in, rather than made by definitions.
    pub(crate) fn is_builtin(&self, group: &str, version: &str) -> bool {
        self.read().values().flatten().any(|definition| {
            matches!(definition.nature, Nature::Builtin(_))
                && definition.kind.group() == group
                && definition.kind.version == version
        })
    }

    /// The kind of this group and name, in the version it is stored in.
    pub(crate) fn of_kind(&self, group: &str, kind: &str) -> Option<Arc<Definition>> {
        let definitions = self.read();
        let mut stored = definitions.values().filter_map(|versions| versions.first());
        stored
            .find(|definition| definition.kind.group() == group && definition.kind.kind == kind)
            .cloned()
    }

    /// Everything that is served, in the order of groups and plurals.
    pub(crate) fn all(&self) -> Vec<Arc<Definition>> {
        self.read().values().flatten().cloned().collect()
    }

    /// Serves a resource in `versions` from now on; not at all, where there are none.
    pub(crate) fn set(&self, resource: &Resource, versions: Vec<Arc<Definition>>) {
        let mut definitions = self
            .definitions
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if versions.is_empty() {
            definitions.remove(resource);
        } else {
            definitions.insert(resource.clone(), versions);
        }
    }
}
