//! What operating systems do differently: signals, terminals, owners of files, and commands that must not outlive koncli.
//!
//! Both halves have the same functions; nothing else in this crate asks on which system it runs.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub(crate) use unix::*;
#[cfg(windows)]
pub(crate) use windows::*;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use crate::exit::{FAILED, Failure, INTERRUPTED, NOT_FOUND};

/// What asks this process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Somebody wants it to end.
    Terminate,
    /// Its terminal is gone.
    HangUp,
}

impl Signal {
    /// Returns the exit code that reports it: 128 and the signal's number.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Interrupt => INTERRUPTED,
            Self::Terminate => 143,
        }
    }
}

/// Returns a file for temporary files whose name says what a lock of it is about.
fn lock_path(about: impl Hash) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    about.hash(&mut hasher);
    std::env::temp_dir().join(format!("konductor-{:016x}.lock", hasher.finish()))
}

/// Returns why a command was not started.
fn not_started(program: &str, error: &std::io::Error) -> Failure {
    let missing = error.kind() == std::io::ErrorKind::NotFound;
    let code = if missing { NOT_FOUND } else { FAILED };
    Failure::new(code, format!("{program} could not be started: {error}"))
}
