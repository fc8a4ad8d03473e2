//! What operating systems do differently: who may use a file, and how processes end together.
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
