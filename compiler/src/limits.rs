//! The limits of the compiler, each with its reason. Over one is a diagnostic.

/// Bytes of bodies that are looked at, each as often as a stage uses it: templates and defaults can
/// make much out of a small file.
pub(crate) const WORK_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Fields of a record, and parameters of a template.
pub(crate) const FIELDS_MAX: usize = 256;
/// Variables of one `for`: with more, nobody knows what an address stands for.
pub(crate) const LOOPS_MAX: usize = 8;
/// Different values in one condition, up to which it is checked for being never true.
pub(crate) const INPUTS_CHECKED_MAX: usize = 64;
/// Files of one pipeline: more than anybody would look through.
pub(crate) const FILES_MAX: usize = 256;
/// Templates inside templates: beyond this nobody knows any more what a stage does.
pub(crate) const TEMPLATE_DEPTH_MAX: usize = 16;
/// Templates that one stage uses, directly or not: two uses in each of many would double each time.
pub(crate) const USES_MAX: usize = 256;
/// Items of one fan-out. More of the same work belongs into fewer, longer Jobs: each item is a pod.
pub(crate) const ITEMS_MAX: usize = 10_000;
/// Items of all fan-outs: some may be left out by `when`, and the rest become Jobs.
pub(crate) const ITEMS_TOTAL_MAX: usize = 200_000;
/// Main Jobs of one run: the schema of `Run.spec.jobs`.
pub(crate) const JOBS_MAX: usize = 100_000;
/// Jobs of finally stages of one run: the schema of `Run.spec.finallyJobs`.
pub(crate) const FINALLY_JOBS_MAX: usize = 1_000;
/// Stages with a quorum in one run: the schema of `Run.spec.quorums`.
pub(crate) const QUORUMS_MAX: usize = 1_000;
/// Characters of an object's name that also becomes a label's value or a pod's host name.
pub(crate) const NAME_MAX: usize = 63;
/// Characters that an item's slug may always use, a hash included: what a stage's name must leave.
pub(crate) const SLUG_MIN: usize = 8;
/// Bytes of one parameter's value as text. All of a pod's environment must fit an exec call.
pub(crate) const VALUE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one script, argument or variable: Linux takes 128 KiB of each.
pub(crate) const WORD_BYTES_MAX: usize = 96 * 1024;
/// Characters of a given value that a message repeats.
pub(crate) const SHOWN_MAX: usize = 60;
/// Dependencies of one cycle that are shown.
pub(crate) const CYCLE_SHOWN_MAX: usize = 12;
/// Interpolations in one text: each may stand for a value of the largest size.
pub(crate) const TEXT_REFERENCES_MAX: usize = 1_000;
/// Environment variables, labels or annotations of one stage: an exec call has to take them all.
pub(crate) const ENTRIES_MAX: usize = 1_000;
/// Bytes of what one stage says in its body, so that no Job grows beyond what an API server takes.
pub(crate) const BODY_BYTES_MAX: usize = 256 * 1024;
/// Bytes of all Jobs' bodies together, so that a small file can't ask for unlimited output.
pub(crate) const OUTPUT_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Characters of a condition that its Gate repeats for people: more is not read in a message.
pub(crate) const WHEN_SHOWN_MAX: usize = 200;
/// Characters of a Gate's `when`: the schema of `Gate.spec.when`.
pub(crate) const WHEN_MAX: usize = 4096;
/// Characters in the name of an output's file: with the rest of its key it stays a name that every store takes.
pub(crate) const FILE_NAME_MAX: usize = 100;
/// Further attempts of an item: each costs a pod and a back-off of up to six minutes.
pub(crate) const RETRIES_MAX: i64 = 1_000;
/// Semaphores and leases that one stage holds: the operator takes no more.
pub(crate) const HOLDS_MAX: usize = konductor_api::limits::HOLDS_MAX;
/// Permits of one Semaphore: the schema of `Semaphore.spec.permits`.
pub(crate) const PERMITS_MAX: i64 = 1_000_000;
/// Approvers of one approval: more people than that don't read a pipeline.
pub(crate) const APPROVERS_MAX: i64 = 100;
/// Stages that the search for redundant dependencies visits for one stage. It only makes Gates
/// smaller, so giving up is harmless, and the whole stays linear.
pub(crate) const REDUCTION_VISITS_MAX: usize = 256;
/// Stages that the search for the shortest cycle visits altogether; beyond, the shortest so far.
pub(crate) const CYCLE_VISITS_MAX: usize = 1_000_000;
/// Names that are compared altogether to find out what was meant by unknown ones; beyond, nothing is
/// suggested. Each of many unknown names is compared with each of many known ones.
pub(crate) const NAMES_COMPARED_MAX: usize = 1_000_000;
/// Outputs that one Job may read: each is an annotation that kubelet projects.
pub(crate) use konductor_api::limits::INPUTS_MAX;
/// Bytes of a scheduled pipeline's files: what an API server takes in one ConfigMap.
pub(crate) const CONFIG_MAP_BYTES_MAX: usize = 1024 * 1024;
/// How often the fixes of a file are applied: one may make room for another, as in a chain of parameters.
pub(crate) const FIX_ROUNDS_MAX: usize = 1_000;
