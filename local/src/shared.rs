//! What all handles of a server share.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::catalog::Catalog;
use crate::definition::Definition;
use crate::identity::Identities;
use crate::runner::kubelet::Logs;
use crate::store::Store;

/// Returns the current time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What all handles of a server share.
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) catalog: Catalog,
    pub(crate) identities: Identities,
    pub(crate) clock: Clock,
    logs: Mutex<Option<Logs>>,
}

impl Shared {
    /// A server without objects.
    pub(crate) fn new(
        store: Store,
        builtin: Vec<Definition>,
        identities: Identities,
        clock: Clock,
    ) -> Self {
        Self {
            store: Arc::new(store),
            catalog: Catalog::new(builtin),
            identities,
            clock,
            logs: Mutex::new(None),
        }
    }

    /// The logs of pods, where there are any.
    pub(crate) fn logs(&self) -> Option<Logs> {
        self.logs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
    /// Answers requests for the logs of pods from `logs` from now on.
    pub(crate) fn serve_logs(&self, logs: Logs) {
        let mut served = self.logs.lock().unwrap_or_else(PoisonError::into_inner);
        *served = Some(logs);
    }
}
