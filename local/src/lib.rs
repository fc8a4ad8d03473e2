//! An in-memory Kubernetes API server and a runner for CronJobs and Jobs.
//!
//! Requests of any Kubernetes client enter, over HTTP or in the process; objects, events and
//! Statuses leave, as a real API server would answer. Nothing here knows what the resources of
//! konductor mean: they are served from their CustomResourceDefinitions, as everyone's are.

mod age;
mod builtin;
mod catalog;
mod controllers;
mod custom;
mod data_folder;
mod definition;
mod encoding;
mod field;
mod http;
mod identity;
mod journal;
mod json_path;
pub mod kind;
mod managed;
mod metadata;
mod names;
mod openapi;
mod patch;
mod platform;
mod protobuf;
mod removal;
pub mod runner;
mod scale;
mod schedule;
mod schema;
mod selector;
mod server;
mod shared;
mod status;
mod store;
mod stored;
mod subresource;
mod table;
mod version;
mod write;

/// A key in the server's `extra` user information: there are no users, only those who have its kubeconfig.
pub const NO_USERS: &str = "no-users";

pub use controllers::Controllers;
pub use data_folder::{DataFolder, DataFolderError};
pub use http::Access;
pub use journal::JournalError;
pub use kind::{Kind, Resource};
pub use removal::{Left, SECRETS_FOLDER, remove_all_but, remove_folder};
pub use schedule::{job_of_slot, slots};
pub use server::{ApiServer, Event, Record, ServerOptions};
pub use shared::Clock;
pub use status::{Cause, Details, Reason, Status};
pub use store::Gone;
pub use write::{DeleteOptions, Propagation};
