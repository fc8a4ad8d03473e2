//! The controllers that every cluster has: what belongs to something that is deleted goes with it.
//!
//! The changes of all objects enter; deletions, and the removal of finalizers, leave. They work in
//! the process, on what is stored: nothing they decide on is out of date.

mod definitions;
mod garbage;
mod namespaces;

use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::server::ApiServer;
use crate::shared::Shared;
use crate::store::Change;
use garbage::Garbage;

/// The garbage collector, and those that empty namespaces and definitions before they go.
#[derive(Debug)]
pub struct Controllers {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Controllers {
    /// Starts them, for what is there and all that comes. To be called in a tokio runtime.
    pub fn start(server: &ApiServer) -> Self {
        let (stop, stopped) = watch::channel(false);
        let shared = server.shared.clone();
        let changes = shared.store.subscribe();
        Self {
            stop,
            task: tokio::spawn(run(shared, changes, stopped)),
        }
    }

    /// Ends them.
    pub async fn shutdown(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the controllers ended badly");
        }
    }
}

async fn run(
    shared: Arc<Shared>,
    mut changes: UnboundedReceiver<Arc<Change>>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut garbage = Garbage::new(&shared);
    loop {
        garbage.collect(&shared);
        namespaces::empty(&shared);
        definitions::empty(&shared);
        let change = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            change = changes.recv() => change,
        };
        let Some(change) = change else {
            return;
        };
        garbage.observe(&change);
        while let Ok(change) = changes.try_recv() {
            garbage.observe(&change);
        }
    }
}
