//! A second process of koncli, which kills a command where the first was killed: nobody renews what the
//! command works under any more, and somebody else will be granted it.
//!
//! What enters: on standard input a line where nobody needs looking after any more, and before it, at a
//! terminal, one with the command's process id. If the input ends without the former, whoever wrote it
//! is gone.

use std::io::{self, BufRead, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, getpgrp, kill_process, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::WARDEN;
use crate::exit::Failure;

/// The line that ends it in peace.
const DISMISSED: &str = "dismissed";

/// What is ended together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A process group.
    Group(Pid),
    /// One process.
    Process(Pid),
}

impl Target {
    /// Sends a signal. It may have ended this moment.
    pub(crate) fn send(self, signal: Signal) {
        let _ = match self {
            Self::Group(id) => kill_process_group(id, signal),
            Self::Process(id) => kill_process(id, signal),
        };
    }
}

/// The second process, as the first has it.
#[derive(Debug)]
pub(crate) struct Warden(Child);

impl Warden {
    /// Starts one, and waits until it looks after whoever joins its process group. It is no part of the
    /// terminal's foreground: Ctrl-C is not for it.
    ///
    /// # Errors
    /// If this program can't be started a second time.
    pub(crate) fn start() -> io::Result<Self> {
        let mut warden = Command::new(this_program()?)
            .arg(WARDEN)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        if let Some(mut ready) = warden.stdout.take() {
            ready.read_exact(&mut [0])?;
        }
        Ok(Self(warden))
    }

    /// Its process group: who joins it before it begins is never left behind.
    pub(crate) fn group(&self) -> Pid {
        Pid::from_child(&self.0)
    }

    /// Names a process to watch that is not in its group.
    ///
    /// # Errors
    /// If it has ended.
    pub(crate) fn watch(&mut self, process: Pid) -> io::Result<()> {
        self.say(&process.as_raw_nonzero().to_string())
    }

    /// The command has ended.
    pub(crate) fn dismiss(mut self) {
        let _ = self.say(DISMISSED);
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        match &mut self.0.stdin {
            Some(input) => input.write_all(format!("{line}\n").as_bytes()),
            None => Ok(()),
        }
    }
}

/// This program, also where its file was replaced by a newer one meanwhile.
fn this_program() -> io::Result<PathBuf> {
    let running = Path::new("/proc/self/exe");
    match running.exists() {
        true => Ok(running.to_owned()),
        false => std::env::current_exe(),
    }
}

/// What the second process does. Signals that its group is sent are not for it.
///
/// # Errors
/// If signals can't be waited for, or koncli is gone already.
pub(crate) async fn keep_watch() -> Result<(), Failure> {
    let _deaf = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let mut ready = io::stdout();
    ready.write_all(b".")?;
    ready.flush()?;
    if let Some(left_behind) = left_behind(io::stdin().lock()) {
        left_behind
            .unwrap_or(Target::Group(getpgrp()))
            .send(Signal::KILL);
    }
    Ok(())
}

/// Whether somebody is left behind when the input has ended; and who, where it is not this group.
fn left_behind(input: impl BufRead) -> Option<Option<Target>> {
    let mut watched = None;
    for line in input.lines().map_while(Result::ok) {
        if line == DISMISSED {
            return None;
        }
        let process = line.parse().ok().and_then(Pid::from_raw);
        watched = process.map(Target::Process).or(watched);
    }
    Some(watched)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_input_that_ends_without_dismissal_leaves_somebody_behind() {
        let process = Pid::from_raw(123).map(Target::Process);
        let table = [
            ("dismissed\n", None),
            ("123\ndismissed\n", None),
            ("", Some(None)),
            ("123\n", Some(process)),
            ("0\n", Some(None)),
            ("dismis", Some(None)),
        ];
        for (input, expected) in table {
            assert_eq!(left_behind(input.as_bytes()), expected, "{input:?}");
        }
    }
}
