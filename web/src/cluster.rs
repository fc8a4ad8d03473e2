//! What the pages are of: whoever reads a cluster implements it.

use std::time::Duration;

use futures::stream::BoxStream;

use crate::address::Address;
use crate::model::{Action, Log, Page, Place, Problem, Stage};

/// What a pod printed since the last chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// The place of its log on the page.
    pub place: usize,
    /// The text.
    pub text: String,
    /// Whether it replaces what is shown.
    pub is_start: bool,
}

/// A cluster, read and changed with the permissions of the viewer.
pub trait Cluster: Send + Sync + 'static {
    /// Returns which cluster it is.
    fn place(&self) -> Place;

    /// Returns what a page shows now. What no watch reports, such as how long something has taken, may be this far behind.
    fn page(
        &self,
        address: &Address,
        behind: Duration,
    ) -> impl Future<Output = Result<Page, Problem>> + Send;

    /// Returns an item whenever something on a page may have changed. Items that nobody has taken yet count as one.
    fn changes(&self, address: &Address) -> BoxStream<'static, ()>;

    /// Returns the ends of the logs of a stage: one of each of its pods, in their order.
    fn logs(&self, stage: &Stage) -> impl Future<Output = Vec<Log>> + Send;

    /// Returns the ends of the logs of a stage, and then what its pods print.
    fn follow(&self, stage: &Stage) -> BoxStream<'static, LogChunk>;

    /// Does something, and returns what was done.
    fn act(&self, action: &Action) -> impl Future<Output = Result<String, Problem>> + Send;
}
