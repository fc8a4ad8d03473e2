//! References to objects in the cache.

use konductor_core::ObjectName;
use kube::Resource;
use kube::runtime::reflector::ObjectRef;

/// The reference of an object in the cache.
pub(crate) fn reference<K: Resource<DynamicType = ()>>(name: &ObjectName) -> ObjectRef<K> {
    ObjectRef::new(&name.name).within(&name.namespace)
}
