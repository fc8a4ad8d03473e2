//! What keeps a call waiting besides the state of its object.

use std::fmt;
use std::sync::Arc;

use crate::Object;

/// What keeps a call waiting besides the state of its object. A call reports each once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The object does not exist; the call waits until it is created.
    Missing {
        /// Which.
        object: Object,
    },
    /// No API server answers; the call tries again.
    Unreachable {
        /// For which object.
        object: Object,
        /// What was heard instead.
        message: String,
    },
    /// No operator has written anything on the object for some seconds.
    NoOperator {
        /// Which.
        object: Object,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { object } => {
                write!(
                    formatter,
                    "{object} does not exist; waiting until it is created"
                )
            }
            Self::Unreachable { message, .. } => {
                write!(
                    formatter,
                    "the API server can't be reached; trying again: {message}"
                )
            }
            Self::NoOperator { object } => {
                write!(
                    formatter,
                    "no operator has looked at {object}; still waiting"
                )
            }
        }
    }
}

/// The receivers of a notice.
#[derive(Clone, Default)]
pub(crate) struct Listener(Option<Arc<Listen>>);

type Listen = dyn Fn(&Notice) + Send + Sync;

impl Listener {
    pub(crate) fn new(listen: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listen)))
    }

    /// Reports a notice to the listener, else to the log.
    pub(crate) fn report(&self, notice: &Notice) {
        match &self.0 {
            Some(listen) => listen(notice),
            None => tracing::warn!("{notice}"),
        }
    }
}
