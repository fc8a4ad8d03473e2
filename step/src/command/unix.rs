//! Signals of Unix.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use futures::future::{FutureExt as _, select_all};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Child;
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// The signals that a container may be sent, but for those that nobody can listen to.
pub(crate) struct Signals {
    listeners: Vec<(i32, Listener)>,
}

impl Signals {
    /// From now on, none is missed, and none ends the wrapper.
    pub(crate) fn listen() -> io::Result<Self> {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::hangup(),
            SignalKind::quit(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
            SignalKind::window_change(),
        ];
        let listeners = kinds
            .into_iter()
            .map(|kind| Ok((kind.as_raw_value(), signal(kind)?)));
        Ok(Self {
            listeners: listeners.collect::<io::Result<_>>()?,
        })
    }

    /// The number of the next one.
    pub(crate) async fn next(&mut self) -> i32 {
        let waiting = self.listeners.iter_mut().map(|(number, listener)| {
            async move {
                if listener.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
                *number
            }
            .boxed()
        });
        select_all(waiting).await.0
    }
}

/// Whether a signal asks a process to end, and says nothing that only the command understands.
pub(crate) fn asks_to_end(number: i32) -> bool {
    let ends = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
        SignalKind::quit(),
    ];
    ends.iter().any(|end| end.as_raw_value() == number)
}

/// Sends a signal on.
pub(crate) fn forward(child: &Child, number: i32) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok());
    let pid = pid.and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(number)) {
        // It may have ended in this moment.
        let _ = kill_process(pid, signal);
    }
}

/// The exit code as a shell has it.
pub(crate) fn exit_code(ended: ExitStatus) -> u8 {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_signals_that_ask_to_end_interrupt_a_transfer() {
        let mut signals = Signals::listen().unwrap();
        let itself = rustix::process::getpid();
        for signal in [Signal::WINCH, Signal::USR1, Signal::USR2] {
            kill_process(itself, signal).unwrap();
            assert_eq!(signals.next().await, signal.as_raw());
            assert!(!asks_to_end(signal.as_raw()), "{signal:?}");
        }
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
            assert!(asks_to_end(signal.as_raw()), "{signal:?}");
        }
    }
}
