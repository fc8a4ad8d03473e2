//! Tables of what is decided, a module for each decision. One program: most of the time to build it goes into the types
//! of Kubernetes.
#![expect(clippy::unwrap_used, reason = "a test")]

mod barrier;
mod copied;
mod deletion;
mod explain;
mod gate;
mod interference;
mod items;
mod job;
mod labels;
mod ledger;
mod reasons;
mod retry;
mod run;
mod shapes;
mod slot;
mod standing;
mod timeline;
mod trace;
mod words;
mod world;
