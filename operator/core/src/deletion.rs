//! Objects that are being deleted. One that somebody else's finalizer keeps may stay forever, and others wait for it: so
//! it is decided about as before, until it is gone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// The finalizers of Kubernetes' own garbage collector. They go as soon as the dependents have gone or are released.
const OF_KUBERNETES: [&str; 2] = ["foregroundDeletion", "orphan"];

/// Returns the finalizer of somebody else that keeps an object which is being deleted.
pub(crate) fn kept_by(metadata: &ObjectMeta) -> Option<&str> {
    metadata.deletion_timestamp.as_ref()?;
    let mut finalizers = metadata.finalizers.iter().flatten();
    let other = finalizers.find(|finalizer| !OF_KUBERNETES.contains(&finalizer.as_str()));
    other.map(String::as_str)
}

/// Returns whether an object is about to be gone, so that nothing is decided about it any more.
pub(crate) fn is_leaving(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some() && kept_by(metadata).is_none()
}
