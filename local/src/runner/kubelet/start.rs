//! Why a container was not started.

use std::fmt;

/// Why a process could not be started, with the exit code a shell or a container engine would use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartError {
    pub(super) exit_code: i32,
    pub(super) message: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
