//! What the operator decodes of an object: not more than it needs, because there may be many, and
//! because whoever creates one decides what is in it.

use k8s_openapi::api::coordination::v1::Lease as LeaderLease;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::lenient::{Lenient, MANAGED_FIELDS, Path, Shape};
use konductor_api::{Arrival, Barrier, Claim, Gate, Lease, Participant, Run, Semaphore};

/// The shape of every object that the operator reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed;

/// An object as the operator reads it.
pub(crate) type Read<K> = Lenient<K, Needed>;

/// What `kubectl apply` keeps for itself: the whole object once more.
const LAST_APPLIED: Path = &[
    "metadata",
    "annotations",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// A Job as it is read live: with those who wrote its fields, as far as they can be decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WithManagers;

/// Of its template, a Job's annotations: a start writes inputs and tokens there. Its times and owners
/// are stored as they were sent, whatever they say.
const TEMPLATE: [Path; 5] = [
    &["spec", "template", "spec"],
    &["spec", "template", "metadata", "creationTimestamp"],
    &["spec", "template", "metadata", "deletionTimestamp"],
    &["spec", "template", "metadata", "managedFields"],
    &["spec", "template", "metadata", "ownerReferences"],
];

impl Shape<Participant> for WithManagers {
    const LEFT_OUT: &'static [Path] = &[
        LAST_APPLIED,
        TEMPLATE[0],
        TEMPLATE[1],
        TEMPLATE[2],
        TEMPLATE[3],
        TEMPLATE[4],
    ];
}

/// A Pod with its annotations: they say what its Job holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WithAnnotations;

impl Shape<Pod> for WithAnnotations {
    const LEFT_OUT: &'static [Path] = &[MANAGED_FIELDS, LAST_APPLIED, &["spec"]];
}

macro_rules! needed {
    ($($kind:ty: [$($path:expr),*];)*) => {
        $(
            impl Shape<$kind> for Needed {
                const LEFT_OUT: &'static [Path] = &[MANAGED_FIELDS, LAST_APPLIED, $($path),*];
            }
        )*
    };
}

needed! {
    // Of its template and status, not what only the Job controller reads.
    Participant: [
        TEMPLATE[0],
        TEMPLATE[1],
        TEMPLATE[2],
        TEMPLATE[3],
        TEMPLATE[4],
        &["spec", "podFailurePolicy"],
        &["spec", "selector"],
        &["spec", "successPolicy"],
        &["spec", "template", "metadata", "labels"],
        &["status", "uncountedTerminatedPods"]
    ];
    // Of its spec, which of the init containers are sidecars.
    Pod: [
        &["metadata", "annotations"],
        &["spec", "affinity"],
        &["spec", "containers"],
        &["spec", "ephemeralContainers"],
        &["spec", "volumes"]
    ];
    Arrival: [];
    Barrier: [];
    Claim: [];
    Gate: [];
    Lease: [];
    Run: [];
    Semaphore: [];
    LeaderLease: [];
}
