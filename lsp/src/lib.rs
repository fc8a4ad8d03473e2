//! The language server: pipelines in an editor.
//!
//! What enters: messages of the Language Server Protocol, and a [`Disk`] to read files from. What leaves:
//! responses and diagnostics. What must never happen here: a rule of the language. A file is known by what
//! the compiler reports, and by the names in its syntax tree; every change compiles the whole file again,
//! which takes milliseconds.
//!
//! Each feature is a function of a snapshot and a position, in a module of its own in `answer/`.

mod analysis;
mod answer;
mod names;
mod params;
mod position;
mod server;
mod session;
mod uri;
mod wire;
mod words;
mod world;

pub use server::{End, serve};
pub use session::{Refusal, Session};
pub use world::Disk;
