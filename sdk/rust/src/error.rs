//! What can go wrong, each with what to do.

use std::fmt;
use std::time::Duration;

/// An object, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its kind, in lower case.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}/{} in namespace {}",
            self.kind, self.name, self.namespace
        )
    }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object, or it was deleted while it was waited for.
    #[error("{object} does not exist")]
    NotFound {
        /// Which.
        object: Object,
    },
    /// The API server does not allow it.
    #[error("{object}: not allowed: {message}")]
    Forbidden {
        /// About which.
        object: Object,
        /// What the API server said.
        message: String,
    },
    /// It did not come in time.
    #[error("{object}: not {}{}", within(*.after), missing(*.unanswered))]
    TimedOut {
        /// What was waited for.
        object: Object,
        /// How long.
        after: Duration,
        /// Whether it is known that no operator has ever looked at it.
        unanswered: bool,
    },
    /// It can't come any more.
    #[error("{object} is {phase}: {message}")]
    Failed {
        /// What was waited for.
        object: Object,
        /// Its phase.
        phase: String,
        /// Why.
        message: String,
    },
    /// Nothing was free, and it was asked not to wait.
    #[error("{object}: nothing is free")]
    Denied {
        /// What was asked for.
        object: Object,
    },
    /// What was held is held no longer: it was not renewed in time, or somebody took it back.
    #[error("{object}: the grant is lost: {message}")]
    Lost {
        /// What was held.
        object: Object,
        /// Why.
        message: String,
    },
    /// No API server answers.
    #[error("the API server can't be reached: {message}")]
    Unreachable {
        /// What was heard instead.
        message: String,
    },
    /// The API server refuses it.
    #[error("{object}: {message}")]
    Refused {
        /// About which.
        object: Object,
        /// What the API server said.
        message: String,
    },
}

fn missing(unanswered: bool) -> &'static str {
    if unanswered {
        "; no operator has looked at it: check that konductor's operator runs"
    } else {
        ""
    }
}

/// Who looks only once has waited no time.
fn within(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match millis {
        0 => "yet".to_owned(),
        _ => format!("within {}", konductor_api::Duration::from_millis(millis)),
    }
}

impl Object {
    pub(crate) fn failed(&self, phase: String, message: String) -> Error {
        Error::Failed {
            object: self.clone(),
            phase,
            message,
        }
    }

    /// Puts what the client reports into the words of [`Error`].
    pub fn explain(&self, error: kube::Error) -> Error {
        match error {
            kube::Error::Api(status) if status.code == 404 => Error::NotFound {
                object: self.clone(),
            },
            kube::Error::Api(status) if matches!(status.code, 401 | 403) => Error::Forbidden {
                object: self.clone(),
                message: status.message.clone(),
            },
            kube::Error::Api(status) => Error::Refused {
                object: self.clone(),
                message: status.message.clone(),
            },
            kube::Error::Service(error) => Error::Unreachable {
                message: chain(&*error),
            },
            other => Error::Unreachable {
                message: chain(&other),
            },
        }
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let words = next.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = next.source();
    }
    text
}

impl Error {
    /// Lets a timeout tell that no operator has answered, where that is so.
    pub(crate) fn unanswered(mut self, is_so: bool) -> Self {
        if let Self::TimedOut { unanswered, .. } = &mut self {
            *unanswered = is_so;
        }
        self
    }
}
