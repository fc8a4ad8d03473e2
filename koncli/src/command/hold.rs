//! `koncli semaphore hold` and `koncli lease hold`: acquire, run a command, release.

use std::io::{self, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use konductor::{Guard, Request};
use rustix::process::{Pid, Signal};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use super::wait;
use super::warden::{Target, Warden};
use crate::exit::{FAILED, Failure, NOT_FOUND};
use crate::output;

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
            return Err(Failure::silent(exit_code_of(signal)));
        }
    };
    let mut running = match Running::start(program, arguments, &guard) {
        Ok(running) => running,
        Err(failure) => {
            guard.release().await?;
            return Err(failure);
        }
    };
    let ended = tokio::select! {
        ended = running.attend(&mut signals) => ended?,
        lost = guard.lost() => {
            output::talk(&format!("{lost}; stopping {program}"));
            running.stop(grace(&guard)).await?;
            return Err(lost.into());
        }
    };
    running.warden.dismiss();
    if let Err(error) = guard.release().await {
        // The exit code stays the command's.
        output::talk(&format!(
            "it could not be released, its TTL ends it: {error}"
        ));
    }
    match code(ended) {
        0 => Ok(()),
        code => Err(Failure::silent(code)),
    }
}

/// Half of what is left for certain: the other half is for ending what has not listened.
fn grace(guard: &Guard) -> Duration {
    GRACE.min(guard.left_when_lost() / 2)
}

/// As a shell has it: 128 and the signal's number if a signal ended it.
fn code(ended: ExitStatus) -> u8 {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1)).unwrap_or(1)
}

fn exit_code_of(signal: Signal) -> u8 {
    u8::try_from(128 + signal.as_raw()).unwrap_or(FAILED)
}

/// The signals that this process gets. It listens before the command starts, so none is left behind.
struct Signals {
    terminate: Listener,
    interrupt: Listener,
    hang_up: Listener,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}

/// A command that runs, and who looks after it.
struct Running {
    child: Child,
    target: Target,
    warden: Warden,
}

impl Running {
    fn start(program: &str, arguments: &[String], guard: &Guard) -> Result<Self, Failure> {
        let mut warden = Warden::start().map_err(|error| {
            let message = format!("the watchdog of {program} could not be started: {error}");
            Failure::failed(message)
        })?;
        let mut process = Command::new(program);
        process
            .args(arguments)
            .env("KONDUCTOR_CLAIM", guard.claim())
            .kill_on_drop(true);
        if let Some(token) = guard.token() {
            process.env("KONDUCTOR_TOKEN", token.to_string());
        }
        // At a terminal it stays in the foreground, where it may read; else it and all that it starts
        // are in the warden's group, which ends together.
        let is_alone = io::stdin().is_terminal();
        if !is_alone {
            process.process_group(warden.group().as_raw_nonzero().get());
        }
        let child = process.spawn().map_err(|error| {
            let missing = error.kind() == io::ErrorKind::NotFound;
            let code = if missing { NOT_FOUND } else { FAILED };
            Failure::new(code, format!("{program} could not be started: {error}"))
        });
        let child = match child {
            Ok(child) => child,
            Err(failure) => {
                warden.dismiss();
                return Err(failure);
            }
        };
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        let target = match id.and_then(Pid::from_raw) {
            Some(id) if is_alone => {
                warden.watch(id)?;
                Target::Process(id)
            }
            _ => Target::Group(warden.group()),
        };
        Ok(Self {
            child,
            target,
            warden,
        })
    }

    /// Waits for the command, and passes signals on to it.
    async fn attend(&mut self, signals: &mut Signals) -> Result<ExitStatus, Failure> {
        loop {
            tokio::select! {
                ended = self.child.wait() => return Ok(ended?),
                signal = signals.next() => {
                    // A terminal has signalled the command itself.
                    if matches!(self.target, Target::Group(_)) || signal != Signal::INT {
                        self.target.send(signal);
                    }
                }
            }
        }
    }

    /// Ends the command, and what it has left in the background.
    async fn stop(mut self, grace: Duration) -> Result<(), Failure> {
        self.target.send(Signal::TERM);
        let ended = tokio::time::timeout(grace, self.child.wait()).await;
        if ended.is_err() || matches!(self.target, Target::Group(_)) {
            self.target.send(Signal::KILL);
        }
        self.child.wait().await?;
        self.warden.dismiss();
        Ok(())
    }
}
