//! The core's limits, each with its reason.

use jiff::SignedDuration;

/// How long a Claim on a Semaphore holds without renewal where it names no TTL: long enough for a
/// script's step, short enough that a forgotten permit comes back the same day.
pub const SEMAPHORE_TTL: SignedDuration = SignedDuration::from_hours(1);
/// The shortest TTL that is honoured: below it, a holder could not renew in time over a network.
pub const TTL_MIN: SignedDuration = SignedDuration::from_millis(100);
/// How long the API server may refuse a start before the Job is given up. A quota or a webhook that
/// is being fixed gets this long; permits are not kept from others forever.
pub const START_REFUSED_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How long a Job waits before it says why: most start sooner, and what it names may be created after it.
pub const REASON_AFTER: SignedDuration = SignedDuration::from_secs(5);
/// How long a Claim is queued before it says why: most are granted sooner.
pub const CLAIM_REASON_AFTER: SignedDuration = SignedDuration::from_secs(2);
/// How often in a row a Job that somebody else suspends is started again at once.
pub const RESUMED_AT_ONCE: u32 = 3;
/// How long it stays suspended after that: whoever suspends it does so by a rule, and each start costs pods.
pub const RESUME_PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// Names that a message lists before it says "and n more": a message is one line.
pub const NAMES_IN_MESSAGE: usize = 3;
/// How long after an item of a Job has succeeded its outputs are kept on the Job: a pod is rarely gone sooner, and one
/// write keeps those of all that have succeeded meanwhile.
pub const ITEM_OUTPUTS_KEPT_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How often a Run may be begun: as many attempts as its schema lets be counted.
pub const ATTEMPTS_MAX: u32 = 10_000;
/// How long a started Job may have no pod before its Run says so: the Job controller creates one within a second or
/// two.
pub const NO_POD_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// Jobs of a Run up to which each is recorded in its status, at 18 bytes: etcd stores 1.5 MiB at most,
/// and a retry copies a part of the record into the spec.
pub const RECORDED_JOBS_MAX: u32 = 36_000;
/// Stages of a Run up to which each keeps its name in its status, at 64 bytes or less.
pub const NAMED_STAGES_MAX: usize = 1_000;
/// How long a Run that is cancelled or timed out waits for Jobs that nobody has created yet, since the
/// last one was created: whoever creates them may still be at work.
pub const CREATION_GRACE: SignedDuration = SignedDuration::from_secs(10);
