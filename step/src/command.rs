//! The command of the container: started with its variables, signalled, and its exit code passed on.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::ffi::OsString;
use std::io;

use konductor_api::step::longest;
use tokio::process::Command;

use crate::StepError;
use crate::plan::Plan;

#[cfg(unix)]
pub(crate) use unix::Signals;
#[cfg(unix)]
use unix::{asks_to_end, exit_code, forward};
#[cfg(windows)]
pub(crate) use windows::Signals;
#[cfg(windows)]
use windows::{asks_to_end, exit_code, forward};

/// Waits for a signal that asks to end, and returns its number. Others are for the command, and it does not run.
pub(crate) async fn end_asked(signals: &mut Signals) -> i32 {
    loop {
        let signal = signals.next().await;
        if asks_to_end(signal) {
            return signal;
        }
    }
}

/// Runs the command, and returns its exit code: 128 and the signal's number if one ended it.
pub(crate) async fn execute(plan: &Plan, signals: &mut Signals) -> Result<u8, StepError> {
    let Some((program, arguments)) = plan.command.split_first() else {
        return Err(StepError::Spec("there is no command to run".to_owned()));
    };
    let failed = |error: io::Error| {
        let program = program.to_string_lossy().into_owned();
        match error.kind() {
            io::ErrorKind::ArgumentListTooLong => {
                let words = plan.command.iter().map(OsString::as_os_str);
                let variables = plan.environment.iter();
                let variables =
                    variables.map(|(name, value)| (name.as_os_str(), value.as_os_str()));
                let what = longest(words, variables);
                StepError::Long { program, what }
            }
            _ => StepError::Start { program, error },
        }
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(&plan.environment);
    let mut child = command.spawn().map_err(failed)?;
    loop {
        tokio::select! {
            biased;
            ended = child.wait() => return ended.map(exit_code).map_err(failed),
            signal = signals.next() => if !plan.is_process() {
                forward(&child, signal);
            },
        }
    }
}
