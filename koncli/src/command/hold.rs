//! `koncli semaphore hold` and `koncli lease hold`: acquire, run a command, release.

use std::time::Duration;

use konductor::{Guard, Request};
use tokio::process::Command;

use super::wait;
use crate::exit::Failure;
use crate::output;
use crate::platform::{self, Signals, Supervised};

/// How long a command may take to end after SIGTERM, if so much time is left.
const GRACE: Duration = Duration::from_secs(5);

/// Acquires, runs the command, releases. Signals are forwarded; the exit code is the command's.
///
/// # Guarantees
/// If the grant is lost, the command has ended before another holder is granted it. If this process
/// is killed, the command is killed, too.
pub(crate) async fn hold(
    client: &konductor::Client,
    request: Request,
    command: &[String],
) -> Result<(), Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("there is no command to run"));
    };
    let mut signals = Signals::listen()?;
    let guard = tokio::select! {
        guard = request.acquire() => guard?,
        signal = signals.next() => {
            // What was asked for is withdrawn: nobody waits for it any more.
            let _ = tokio::time::timeout(wait::WITHDRAW_WITHIN, client.settled()).await;
            return Err(Failure::silent(signal.exit_code()));
        }
    };
    let mut process = Command::new(program);
    process
        .args(arguments)
        .env("KONDUCTOR_CLAIM", guard.claim())
        .kill_on_drop(true);
    if let Some(token) = guard.token() {
        process.env("KONDUCTOR_TOKEN", token.to_string());
    }
    let mut running = match Supervised::start(program, &mut process) {
        Ok(running) => running,
        Err(failure) => {
            guard.release().await?;
            return Err(failure);
        }
    };
    let ended = tokio::select! {
        ended = running.attend(&mut signals) => ended?,
        lost = guard.lost() => {
            output::stderr(&format!("{lost}; stopping {program}"));
            running.stop(grace(&guard)).await?;
            return Err(lost.into());
        }
    };
    running.dismiss();
    if let Err(error) = guard.release().await {
        // The exit code stays the command's.
        output::stderr(&format!(
            "it could not be released, its TTL ends it: {error}"
        ));
    }
    match platform::exit_code(ended) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// Half of what is left for certain: the other half is for ending what has not listened.
fn grace(guard: &Guard) -> Duration {
    GRACE.min(guard.left_when_lost() / 2)
}
