//! `koncli semaphore hold` and `koncli lease hold`: acquire, run a command, release.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use konductor::Request;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use super::wait;
use crate::exit::{FAILED, Failure, INTERRUPTED, NOT_FOUND};
use crate::output;

/// How long a command may take to end after it was told to.
const GRACE: Duration = Duration::from_secs(5);

/// Acquires, runs the command, releases. Signals are forwarded; the exit code is the command's; where
/// the grant is lost, the command is stopped before anybody else is granted it.
pub(crate) async fn hold(
    client: &konductor::Client,
    request: Request,
    command: &[String],
) -> Result<(), Failure> {
    let guard = tokio::select! {
        guard = wait::with_operator(client, request.acquire()) => guard?,
        _ = tokio::signal::ctrl_c() => return Err(Failure::silent(INTERRUPTED)),
    };
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("there is no command to run"));
    };
    let mut process = Command::new(program);
    process
        .args(arguments)
        .env("KONDUCTOR_CLAIM", guard.claim());
    if let Some(token) = guard.token() {
        process.env("KONDUCTOR_TOKEN", token.to_string());
    }
    let mut child = match process.spawn() {
        Ok(child) => child,
        Err(error) => {
            guard.release().await?;
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            let code = if missing { NOT_FOUND } else { FAILED };
            return Err(Failure::new(
                code,
                format!("{program} could not be started: {error}"),
            ));
        }
    };
    let ended = tokio::select! {
        ended = attend(&mut child) => ended?,
        lost = guard.lost() => {
            output::talk(&format!("{lost}; stopping {program}"));
            stop(&mut child).await?;
            return Err(lost.into());
        }
    };
    guard.release().await?;
    match code(ended) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// As a shell tells it: 128 and the signal's number where a signal ended it.
fn code(ended: ExitStatus) -> u8 {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1)).unwrap_or(1)
}

/// Waits for the command; what this process is told to do, the command is told.
async fn attend(child: &mut Child) -> Result<ExitStatus, Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(ended?),
            _ = terminate.recv() => forward(child, Signal::TERM),
            _ = interrupt.recv() => forward(child, Signal::INT),
            _ = hang_up.recv() => forward(child, Signal::HUP),
        }
    }
}

fn forward(child: &Child, signal: Signal) {
    let id = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(id) = id {
        // It may have ended this moment.
        let _ = kill_process(id, signal);
    }
}

async fn stop(child: &mut Child) -> Result<(), Failure> {
    forward(child, Signal::TERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await?;
    }
    Ok(())
}
