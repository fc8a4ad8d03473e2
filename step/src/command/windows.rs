//! Windows has no signals that could be sent on: processes end together, by their job object.

use std::io;
use std::process::ExitStatus;

use tokio::process::Child;
use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

/// The number of an interrupt elsewhere.
const INTERRUPT: i32 = 2;

/// What asks this process to end.
pub(crate) struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
}

impl Signals {
    /// From now on, none is missed.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            terminate: ctrl_break()?,
        })
    }

    /// The number of the next one.
    pub(crate) async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        INTERRUPT
    }
}

/// Each of them does.
pub(crate) fn asks_to_end(_number: i32) -> bool {
    true
}

/// The console has sent it to the command already.
pub(crate) fn forward(_child: &Child, _number: i32) {}

/// The exit code, as far as it can be one here.
pub(crate) fn exit_code(ended: ExitStatus) -> u8 {
    let code = ended.code().unwrap_or(1);
    u8::try_from(code).unwrap_or(if code == 0 { 0 } else { 1 })
}
