//! The web view: pages about runs and what they share, and the server that shows them.
//!
//! What enters: a [`Cluster`], which reads and acts with the viewer's own rights. What leaves: HTML over HTTP on loopback,
//! or one file ([`report`]). What must never happen here: a request to a cluster, a decision about what an object means, a
//! text of the cluster that is taken for markup, a page for somebody without this start's token.

mod access;
mod address;
mod bounded;
mod cluster;
mod live;
pub mod model;
mod page;
mod report;
mod server;

pub use access::Access;
pub use address::{Address, RunFilter, StageFilter};
pub use cluster::{Cluster, LogChunk};
pub use model::{Action, Page, Problem};
pub use report::{Report, report};
pub use server::serve;

/// The style of a timeline as a picture: colours by class, light and dark. Contrasts of text are at least 4.5, and no two
/// kinds differ by hue alone, because their shapes differ.
pub const TIMELINE_STYLE: &str = include_str!("../assets/timeline.css");
