//! The one vocabulary that every room shares: the custom resources of `konductor.io/v1`, the labels
//! and annotations that coordinate plain Jobs, and the words of conditions and reasons.
//!
//! What enters: nothing. What leaves: types, schemas ([`crds()`]) and constants.
//! What must never happen here: behaviour. What a primitive *means* is decided in `konductor-core`.

#![expect(
    unreachable_pub,
    reason = "kube's derive repeats each spec in a private module"
)]

pub mod annotation;
pub mod arrival;
pub mod barrier;
pub mod claim;
pub mod condition;
pub mod crds;
pub mod cron;
pub mod duration;
pub mod gate;
pub mod gathered;
pub mod hold;
pub mod input;
pub mod items;
pub mod job;
pub mod job_key;
pub mod json_list;
pub mod label;
pub mod lease;
pub mod lenient;
pub mod limits;
pub mod number;
pub mod object_name;
pub mod output;
pub mod participant;
pub mod pattern;
pub mod run;
pub mod semaphore;
pub mod step;
pub mod subject;
pub mod times;

pub use arrival::{Arrival, ArrivalOutcome, ArrivalSpec, arrival_name};
pub use barrier::{
    Arrivals, Barrier, BarrierPhase, BarrierSpec, BarrierStatus, JobSelector, barrier_owner,
};
pub use claim::{Claim, ClaimPhase, ClaimSpec, ClaimStatus, ClaimTarget, PodReference};
pub use crds::crds;
pub use duration::{Duration, DurationError};
pub use gate::{
    ConditionKind, ConditionState, ConditionStatus, Gate, GateCondition, GateDecision, GateMode,
    GatePhase, GateSpec, GateStatus, Verdict,
};
pub use gathered::Gathered;
pub use hold::{Hold, HoldError, LedgerKind, format_holds, parse_holds};
pub use input::{Input, NotInputs};
pub use items::{Items, ItemsError, item_name, read_items, shown_item};
pub use job::{JobPhase, Role, job_ended, job_phase};
pub use job_key::{JobKey, KEY_ALPHABET, NameKey, StageKey, UidKey, key_of};
pub use json_list::{read_json_list, write_json_list};
pub use lease::{Lease, LeasePhase, LeaseSpec, LeaseStatus};
pub use lenient::{Lenient, Undecodable};
pub use object_name::{ObjectName, is_object_name};
pub use output::{
    DeclaredOutput, OutputError, OutputField, OutputType, format_declared_outputs,
    parse_declared_outputs,
};
pub use participant::Participant;
pub use run::{Run, RunOutcome, RunPhase, RunSpec, RunStatus, run_owner};
pub use semaphore::{
    Holder, HolderKind, Order, Semaphore, SemaphorePhase, SemaphoreSpec, SemaphoreStatus,
};
pub use step::{
    FileKind, FileValue, InputSpec, ItemSpec, ItemVariable, OutputSpec, StepSpec, StoreSpec,
};
pub use subject::{Subject, Target};
pub use times::Times;

/// The API group of every resource of konductor.
pub const GROUP: &str = "konductor.io";
/// The one served version; it only ever grows.
pub const VERSION: &str = "v1";
/// `group/version`, as manifests write it.
pub const API_VERSION: &str = "konductor.io/v1";
