//! An in-memory Kubernetes API server and a runner for Jobs.
//!
//! Requests of any Kubernetes client enter, over HTTP or in the process; objects, events and
//! Statuses leave, as a real API server would answer. Nothing here knows what the resources of
//! konductor mean: they are served from their CustomResourceDefinitions, as everyone's are.

mod builtin;
mod definition;
mod field;
mod identity;
pub mod kind;
mod managed;
mod metadata;
mod names;
pub mod runner;
mod server;
mod status;
mod store;
mod write;

pub use kind::{Kind, Resource};
pub use server::{ApiServer, Clock, Event, Record, ServerOptions};
pub use status::{Cause, Details, Reason, Status};
pub use store::Gone;
pub use write::{DeleteOptions, Propagation};
