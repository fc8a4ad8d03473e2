//! The limits of the API, each with its reason.

/// Conditions of one Gate. Two hundred and fifty-six verdicts keep its status under 64 KiB.
pub const GATE_CONDITIONS_MAX: usize = 256;
/// Holders of one Semaphore. The ledger is one object, and its CEL rule's cost grows with it.
pub const HOLDERS_MAX: usize = 1024;
/// Entries in one Job's `konductor.io/hold` annotation: each is a ledger to take part in.
pub const HOLDS_MAX: usize = 16;
/// Outputs of other Jobs that a Job may read: each is a Job that is read before the start.
pub const INPUTS_MAX: usize = 256;
/// Bytes of inputs that a Job may receive: annotations share 256 KiB, and kubectl needs its part.
pub const INPUTS_BYTES_MAX: usize = 64 * 1024;
/// Items of a fan-out over a list known only at run time: each has its entry in the status of one Job, as
/// `completedIndexes`, and its pod.
pub const ITEMS_MAX: u32 = 10_000;
/// The same if nothing else is said: more are rather a mistake of whoever wrote the list.
pub const ITEMS_MAX_DEFAULT: u32 = 1_000;
/// Bytes of a list of items, as JSON: it is an annotation of the pod template, beside the inputs.
pub const ITEMS_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the outputs of all items of one Job, as the annotation that keeps them.
pub const ITEM_OUTPUTS_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a container's termination message, kubelet's own limit: of more, the last ones are kept.
pub const OUTPUT_BYTES_MAX: usize = 4096;
/// Bytes of the termination messages of all containers of a pod, shared evenly: kubelet's own limit.
pub const POD_OUTPUT_BYTES_MAX: usize = 12 * 1024;
/// Characters of a name that becomes a label value.
pub const LABEL_VALUE_MAX: usize = 63;
/// Days in the longest duration: beyond it, arithmetic on timestamps would leave their range.
pub const DURATION_DAYS_MAX: u64 = 3650;
