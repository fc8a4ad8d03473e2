//! What the primitives mean.
//!
//! What enters: an object, the [`Facts`] that were observed about others, and the time. What leaves:
//! a [`Decision`] as data, or the [`Needs`] that must be observed before one can be made.
//! What must never happen here: input or output, a clock, randomness, hash iteration.
//!
//! The three rules that everything rests on:
//!
//! * **A. Ledger first, then the holder.** A grant is in the ledger before the Claim or Job learns of
//!   it; a holder that still exists is notified before what it holds is revoked.
//! * **B. Nothing final, and no start, from a cache alone.** Before such a write, what decides it is
//!   asked for with [`Freshness::Live`], and the write carries the version of its object that was
//!   read before.
//! * **C. The API server enforces the ledger**, by the CEL rules in `konductor-api`.

pub mod barrier;
mod deadline;
mod decision;
mod deletion;
mod ended;
pub mod explain;
mod facts;
pub mod gate;
mod gone;
mod held;
pub mod job;
mod kind;
pub mod ledger;
pub mod limits;
mod outcome;
mod outputs;
mod owner;
mod pod;
pub mod retry;
pub mod run;
pub mod run_graph;
mod run_objects;
pub mod slot;
mod stamp;
pub mod standing;
pub mod timeline;
pub mod trace;
mod trace_ids;
mod ttl;
mod unstarted;
mod waited_for;
mod when;
pub mod words;

pub use decision::{Decided, Decision, Event, EventType, HeldBack, Waits, Write};
pub use facts::{Fact, Facts, Freshness, Needs, Objects};
pub use held::Held;
pub use kind::Kind;
pub use konductor_api::ObjectName;
pub use outcome::{End, barrier_end, gate_end, job_end, run_end, run_status, verdict};
pub use owner::{belongs, named_runs};
pub use pod::job_uid;
pub use run_objects::{Listed, RunObjects};
pub use waited_for::WaitedFor;
