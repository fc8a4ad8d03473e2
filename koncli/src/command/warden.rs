//! A second process of koncli, which kills a command where the first was killed: nobody renews what the
//! command works under any more, and somebody else will be granted it.
//!
//! What enters: on standard input a line that names the command, and a line that nobody needs looking
//! after any more. Where the input ends before that, whoever wrote it is gone.

use std::io::{self, BufRead, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The hidden command that this process is started with.
pub(crate) const COMMAND: &str = "warden";
/// The line that ends it in peace.
const DISMISSED: &str = "dismissed";

/// What is ended together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pid: Pid,
    /// Whether it leads a process group of its own.
    pub(crate) is_group: bool,
}

impl Target {
    /// A command, where it has not ended yet.
    pub(crate) fn of(child: &tokio::process::Child, is_group: bool) -> Option<Self> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.and_then(Pid::from_raw)?;
        Some(Self { pid, is_group })
    }

    /// Sends a signal. It may have ended this moment.
    pub(crate) fn tell(self, signal: Signal) {
        let _ = match self.is_group {
            true => kill_process_group(self.pid, signal),
            false => kill_process(self.pid, signal),
        };
    }

    fn line(self) -> String {
        format!("{} {}\n", self.pid.as_raw_nonzero(), self.is_group)
    }

    fn read(line: &str) -> Option<Self> {
        let (pid, is_group) = line.trim_end().split_once(' ')?;
        let pid = Pid::from_raw(pid.parse().ok()?)?;
        let is_group = is_group.parse().ok()?;
        Some(Self { pid, is_group })
    }
}

/// The second process, as the first has it.
#[derive(Debug)]
pub(crate) struct Warden(Child);

impl Warden {
    /// Starts one. It is no part of the terminal's foreground: Ctrl-C is not for it.
    ///
    /// # Errors
    /// Where this program can't be started a second time.
    pub(crate) fn start() -> io::Result<Self> {
        let warden = Command::new(this_program()?)
            .arg(COMMAND)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn();
        warden.map(Self)
    }

    /// Tells it what to look after.
    ///
    /// # Errors
    /// Where it has ended.
    pub(crate) fn watch(&mut self, target: Target) -> io::Result<()> {
        self.say(&target.line())
    }

    /// The command has ended.
    pub(crate) fn dismiss(mut self) {
        let _ = self.say(&format!("{DISMISSED}\n"));
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        match &mut self.0.stdin {
            Some(input) => input.write_all(line.as_bytes()),
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

/// What the second process does.
pub(crate) fn keep_watch(input: impl BufRead) {
    if let Some(orphan) = orphan(input) {
        orphan.tell(Signal::KILL);
    }
}

/// What is left behind when the input has ended.
fn orphan(input: impl BufRead) -> Option<Target> {
    let mut watched = None;
    for line in input.lines().map_while(Result::ok) {
        match Target::read(&line) {
            Some(target) => watched = Some(target),
            None if line == DISMISSED => return None,
            None => {}
        }
    }
    watched
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_left_behind_is_an_orphan() {
        let pid = Pid::from_raw(123).expect("a process id");
        let target = |is_group| Target { pid, is_group };
        let table = [
            ("", None),
            ("dismissed\n", None),
            ("123 true\ndismissed\n", None),
            ("123 true\n", Some(target(true))),
            ("123 false\n", Some(target(false))),
            ("0 true\n", None),
            ("123 tr", None),
        ];
        for (input, expected) in table {
            assert_eq!(orphan(input.as_bytes()), expected, "{input:?}");
        }
        assert_eq!(target(true).line(), "123 true\n");
    }
}
