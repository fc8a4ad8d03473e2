//! Condition types and reasons: one type per question, reasons in PascalCase.

use jiff::Timestamp;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// A Barrier or Gate is open: `kubectl wait --for=condition=Open gate/NAME`.
pub const OPEN: &str = "Open";
/// A Barrier or Gate ended without opening, badly.
pub const FAILED: &str = "Failed";
/// A Claim was granted.
pub const GRANTED: &str = "Granted";
/// A Semaphore or Lease has something to give.
pub const AVAILABLE: &str = "Available";
/// A Run succeeded (True), failed (False) or is running (Unknown).
pub const SUCCEEDED: &str = "Succeeded";
/// A Run is still running and can no longer succeed.
pub const FAILING: &str = "Failing";

/// Reasons: why a condition is what it is.
pub mod reason {
    /// Arrivals or conditions are missing.
    pub const WAITING: &str = "Waiting";
    /// Enough parties arrived.
    pub const ALL_ARRIVED: &str = "AllArrived";
    /// Every condition is met.
    pub const CONDITIONS_MET: &str = "ConditionsMet";
    /// A person decided.
    pub const DECIDED: &str = "Decided";
    /// The timeout passed first.
    pub const TIMED_OUT: &str = "TimedOut";
    /// It was deleted before it had ended.
    pub const DELETED: &str = "Deleted";
    /// Too many parties failed.
    pub const QUORUM_OUT_OF_REACH: &str = "QuorumOutOfReach";
    /// Only skips are in the way.
    pub const ALL_SKIPPED: &str = "AllSkipped";
    /// A condition can't be met any more, because its object failed, or was unreached or cancelled.
    pub const CONDITION_FAILED: &str = "ConditionFailed";
    /// A condition can't be met any more, and that is no failure: its object was skipped, or succeeded where the condition waits for `Failed`.
    pub const CONDITION_SKIPPED: &str = "ConditionSkipped";
    /// `when` is false.
    pub const WHEN_FALSE: &str = "WhenFalse";
    /// `when` could not be evaluated.
    pub const WHEN_ERROR: &str = "WhenError";
    /// In the message of a Gate that waits: a target in another namespace does not exist, or does not permit this one.
    pub const NOT_FOUND_OR_NOT_PERMITTED: &str = "NotFoundOrNotPermitted";
    /// The Gate before it ended without opening.
    pub const GATE_ENDED: &str = "GateEnded";
    /// Something is free.
    pub const FREE: &str = "Free";
    /// Everything is held.
    pub const HELD: &str = "Held";
    /// The Semaphore is closed: `permits: 0`.
    pub const PAUSED: &str = "Paused";
    /// Granted from the ledger.
    pub const GRANTED: &str = "Granted";
    /// Waits for its turn.
    pub const QUEUED: &str = "Queued";
    /// Asked not to wait, and nothing was free.
    pub const DENIED: &str = "Denied";
    /// Not renewed in time.
    pub const EXPIRED: &str = "Expired";
    /// Jobs are waiting or running.
    pub const RUNNING: &str = "Running";
    /// Every stage without `may-fail` succeeded or was skipped.
    pub const STAGES_SUCCEEDED: &str = "StagesSucceeded";
    /// A stage without `may-fail` failed, was unreached or was cancelled.
    pub const STAGE_FAILED: &str = "StageFailed";
    /// A finally stage failed or was cancelled.
    pub const FINALLY_FAILED: &str = "FinallyFailed";
    /// It was cancelled.
    pub const CANCELLED: &str = "Cancelled";
    /// The API server refuses the start.
    pub const START_REFUSED: &str = "StartRefused";
    /// Kueue started the Job before its turn: the annotation `kueue.x-k8s.io/admission-gated-by` still had the value `konductor.io/gate`.
    pub const STARTED_BY_KUEUE: &str = "StartedByKueue";
    /// Another run of the pipeline is running, so the schedule skips the slot.
    pub const SLOT_SKIPPED: &str = "SlotSkipped";
    /// Another run of the pipeline was created in part, and keeps the slot from starting.
    pub const SLOT_BLOCKED: &str = "SlotBlocked";
    /// A slot is due, and the schedule cancels the run that is running.
    pub const RUN_REPLACED: &str = "RunReplaced";
    /// A Job completed, and its outputs are not what it declares.
    pub const INVALID_OUTPUTS: &str = "InvalidOutputs";
    /// What a Job is to go over is not a list of items.
    pub const INVALID_ITEMS: &str = "InvalidItems";
    /// A finally stage runs with defaults, because outputs that it reads were written and are lost.
    pub const OUTPUTS_LOST: &str = "OutputsLost";
    /// An object has a field that a client can't decode, and is left out.
    pub const UNDECODABLE: &str = "Undecodable";
    /// It runs without what it asks for, because it was not suspended when it was created.
    pub const UNPROTECTED: &str = "Unprotected";
    /// A Job that konductor had started was suspended by another client.
    pub const SUSPENDED: &str = "Suspended";
    /// Its pods could not start for too long.
    pub const PENDING_TIMED_OUT: &str = "PendingTimedOut";
    /// What it names does not exist.
    pub const NOT_FOUND: &str = "NotFound";
    /// It asks for more permits than there are.
    pub const TOO_MANY_PERMITS: &str = "TooManyPermits";
    /// The ledger lists as many holders as one object can.
    pub const LEDGER_FULL: &str = "LedgerFull";
    /// The Lease's fencing token is the highest number: no holder can get a higher one.
    pub const TOKENS_EXHAUSTED: &str = "TokensExhausted";
    /// The object's own spec can't be carried out.
    pub const INVALID: &str = "Invalid";
}

/// Sets one condition in a list, as Kubernetes does: `lastTransitionTime` moves only where the
/// status moved.
///
/// A `status` of `None` is `Unknown`. `now` is cut to the second, which is what the wire keeps, so a
/// condition read back compares equal.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: Option<bool>,
    reason: &str,
    message: impl Into<String>,
    observed_generation: Option<i64>,
    now: Timestamp,
) {
    let status = match status {
        Some(true) => "True",
        Some(false) => "False",
        None => "Unknown",
    };
    let mut next = Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.into(),
        observed_generation,
        last_transition_time: Time(whole_second(now)),
    };
    match conditions
        .iter_mut()
        .find(|condition| condition.type_ == type_)
    {
        None => conditions.push(next),
        Some(condition) => {
            if condition.status == next.status {
                next.last_transition_time = condition.last_transition_time.clone();
            }
            *condition = next;
        }
    }
}

/// Returns the condition of this type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Cuts a timestamp to the second, which is what Kubernetes keeps of it.
pub fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
