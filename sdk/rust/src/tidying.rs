//! Releases in the background what a dropped owner held.

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::Instrument;

/// The number of tasks that release something.
#[derive(Clone, Debug)]
pub(crate) struct Tidying(watch::Sender<usize>);

impl Default for Tidying {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

/// Counts a task for as long as it lives, however it ends.
struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Tidying {
    /// Runs a task in the background. Does nothing without a runtime.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Option<JoinHandle<()>> {
        let runtime = Handle::try_current().ok()?;
        self.0.send_modify(|count| *count += 1);
        let counted = Counted(self.0.clone());
        let task = async move {
            task.await;
            drop(counted);
        };
        Some(runtime.spawn(task.in_current_span()))
    }

    /// Waits until none is left.
    pub(crate) async fn settled(&self) {
        let _ = self.0.subscribe().wait_for(|count| *count == 0).await;
    }
}
