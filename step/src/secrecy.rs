//! What the command must not read of this process, which runs as the same user.

use std::io;

/// From now on only those who may trace each process see the variables and the memory of this one: on Linux,
/// `/proc/PID/environ` is for others whoever owns it. The command, which is another program, is not affected.
///
/// # Errors
/// If the system refuses it.
#[cfg(target_os = "linux")]
pub(crate) fn hide() -> io::Result<()> {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Containers are on Linux; elsewhere processes run as whoever has called koncli.
///
/// # Errors
/// None here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn hide() -> io::Result<()> {
    Ok(())
}
