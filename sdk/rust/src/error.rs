//! What can go wrong, each with what to do.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// An object, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

/// What can go wrong. [`std::error::Error::source`] has the client's own error, if there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such object, or it was deleted while it was waited for.
    #[error("{object} does not exist")]
    NotFound {
        /// Which.
        object: Object,
    },
    /// The API server does not accept the credentials: they have expired, or belong to another cluster.
    #[error("{object}: the API server does not accept the credentials: {message}")]
    Unauthorized {
        /// About which.
        object: Object,
        /// What the API server said.
        message: String,
        /// The client's own error.
        #[source]
        source: Box<kube::Error>,
    },
    /// The API server does not allow it.
    #[error("{object}: not allowed: {message}")]
    Forbidden {
        /// About which.
        object: Object,
        /// What the API server said.
        message: String,
        /// The client's own error.
        #[source]
        source: Box<kube::Error>,
    },
    /// The timeout passed.
    #[error("{object}: not {}{last_seen}", within(*.after))]
    TimedOut {
        /// What was waited for.
        object: Object,
        /// How long.
        after: Duration,
        /// What was known when the time was up.
        last_seen: LastSeen,
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
    /// The hold was lost: it was not renewed in time, or it was revoked.
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
        /// The client's own error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// The API server refuses it, or it can never be granted as it is.
    #[error("{object}: {message}")]
    Refused {
        /// About which.
        object: Object,
        /// What the API server said.
        message: String,
        /// The client's own error.
        #[source]
        source: Option<Box<kube::Error>>,
    },
    /// An argument can't be right. Nothing was sent.
    #[error("{object}: {message}")]
    Invalid {
        /// About which.
        object: Object,
        /// Which argument, and what is right.
        message: String,
    },
    /// The call was made outside of a tokio runtime.
    #[error("there is no tokio runtime; call this within one, such as in #[tokio::main]")]
    NoRuntime,
    /// A blocking call was made within a tokio runtime, which would block others.
    #[error("a blocking call within a tokio runtime would block it; use konductor::Client there")]
    InRuntime,
}

/// What was known about an object when the time was up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LastSeen {
    /// It existed, and was not as asked for.
    Undecided,
    /// It existed, and no operator had written anything on it.
    NoOperator,
    /// It did not exist.
    Missing,
    /// No API server answered, and what was heard instead.
    Unreachable(String),
}

/// The API server may be there, and slow.
const UNHEARD: &str = "it has not answered";

impl LastSeen {
    /// What is known before the first answer.
    pub(crate) fn unheard() -> Self {
        Self::Unreachable(UNHEARD.to_owned())
    }
}

impl fmt::Display for LastSeen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undecided => Ok(()),
            Self::NoOperator => formatter
                .write_str("; no operator has looked at it: check that konductor's operator runs"),
            Self::Missing => formatter.write_str("; it does not exist: create it"),
            Self::Unreachable(message) if message == UNHEARD => {
                formatter.write_str("; the API server has not answered")
            }
            Self::Unreachable(message) => {
                write!(formatter, "; the API server can't be reached: {message}")
            }
        }
    }
}

/// A look without waiting takes no time.
fn within(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match millis {
        0 => "yet".to_owned(),
        _ => format!("within {}", konductor_api::Duration::from_millis(millis)),
    }
}

impl Object {
    /// Names an object.
    pub fn new(kind: &'static str, name: impl Into<String>, namespace: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
            namespace: namespace.into(),
        }
    }

    /// Returns the error of an object that can't become what was waited for.
    pub fn failed(&self, phase: impl Into<String>, message: impl Into<String>) -> Error {
        Error::Failed {
            object: self.clone(),
            phase: phase.into(),
            message: message.into(),
        }
    }

    pub(crate) fn invalid(&self, message: impl Into<String>) -> Error {
        Error::Invalid {
            object: self.clone(),
            message: message.into(),
        }
    }

    pub(crate) fn late(&self, after: Duration, last_seen: LastSeen) -> Error {
        Error::TimedOut {
            object: self.clone(),
            after,
            last_seen,
        }
    }

    /// Puts what the client reports into the words of [`Error`].
    pub fn explain(&self, error: kube::Error) -> Error {
        let object = self.clone();
        let kube::Error::Api(status) = &error else {
            return Error::Unreachable {
                message: unreachable(&error),
                source: Some(error.into()),
            };
        };
        if is_foreign(status) {
            return Error::Unreachable {
                message: answer(status),
                source: Some(error.into()),
            };
        }
        let message = answer(status);
        match status.code {
            404 => Error::NotFound { object },
            401 => Error::Unauthorized {
                object,
                message,
                source: Box::new(error),
            },
            403 => Error::Forbidden {
                object,
                message,
                source: Box::new(error),
            },
            _ => Error::Refused {
                object,
                message,
                source: Some(Box::new(error)),
            },
        }
    }
}

/// Whether an answer is not one of an API server, which says in a `Status` what is wrong: a proxy, or another server.
#[doc(hidden)]
pub fn is_foreign(status: &kube::core::Status) -> bool {
    let message = status.message.trim();
    !matches!(status.code, 401 | 403) && (message.is_empty() || message.starts_with('<'))
}

/// Returns in one line what an answer says: also one that says nothing, or is a web page.
#[doc(hidden)]
pub fn answer(status: &kube::core::Status) -> String {
    const SHOWN: usize = 100;
    let message = status.message.trim();
    if message.is_empty() {
        return format!("HTTP {} without a message", status.code);
    }
    if !is_foreign(status) {
        return status.message.clone();
    }
    let line: Vec<&str> = message.split_whitespace().collect();
    let line = line.join(" ");
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    format!("HTTP {}: {shown}", status.code)
}

/// Returns in one line why no API server answers.
pub(crate) fn unreachable(error: &kube::Error) -> String {
    match error {
        kube::Error::Service(error) => chain(&**error),
        kube::Error::Api(status) => answer(status),
        other => chain(other),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn StdError) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_the_api_server_has_a_kind_of_its_own_and_a_source() {
        let object = Object {
            kind: "gate",
            name: "ready".to_owned(),
            namespace: "team".to_owned(),
        };
        let answer = |code| {
            let status = kube::core::Status::failure("no", "because").with_code(code);
            object.explain(kube::Error::Api(status.boxed()))
        };
        let table = [
            (
                401,
                "gate/ready in namespace team: the API server does not accept the credentials: no",
            ),
            (403, "gate/ready in namespace team: not allowed: no"),
            (422, "gate/ready in namespace team: no"),
        ];
        for (code, text) in table {
            let error = answer(code);
            assert_eq!(error.to_string(), text);
            assert!(error.source().is_some(), "{code}");
        }
        assert!(matches!(answer(404), Error::NotFound { .. }));
        for (code, body, expected) in [
            (404, "", "HTTP 404 without a message"),
            (500, " ", "HTTP 500 without a message"),
            (502, "<html>\n no\n</html>", "HTTP 502: <html> no </html>"),
        ] {
            let status = kube::core::Status::failure(body, "").with_code(code);
            let error = object.explain(kube::Error::Api(status.boxed()));
            assert!(matches!(error, Error::Unreachable { .. }), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let error = object.explain(kube::Error::Service(broken.into()));
        assert!(matches!(error, Error::Unreachable { .. }) && error.source().is_some());
    }
}
