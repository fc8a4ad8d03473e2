//! Unix: signals, process groups, owners and modes of files.

pub(crate) mod echo;
mod warden;

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, IsTerminal};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::fs::{FileType, OFlags};
use rustix::process::Pid;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

use self::warden::{Target, Warden};
use super::{Signal, lock_path, not_started};
use crate::exit::Failure;

pub(crate) use self::warden::keep_watch;

/// The signals that this process gets.
pub(crate) struct Signals {
    interrupt: Listener,
    terminate: Listener,
    /// `None`: it has its usual effect, or none if somebody has switched it off, as `nohup` does.
    hang_up: Option<Listener>,
}

impl Signals {
    /// From now on, none is missed.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            hang_up: Some(signal(SignalKind::hangup())?),
            ..Self::listen_in_background()?
        })
    }

    /// The same, of a program that may outlive its terminal.
    pub(crate) fn listen_in_background() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: None,
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        let hang_up = async {
            match &mut self.hang_up {
                Some(listener) => listener.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = hang_up => Signal::HangUp,
        }
    }
}

/// Returns the exit code of a command as a shell has it: 128 and the signal's number if a signal ended it.
pub(crate) fn exit_code(ended: ExitStatus) -> u8 {
    let code = ended
        .code()
        .or_else(|| ended.signal().map(|signal| 128 + signal));
    u8::try_from(code.unwrap_or(1)).unwrap_or(1)
}

/// Returns the name of this machine.
pub(crate) fn host_name() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// Makes folders that nobody else may look into: from the beginning, so that there is no moment in which others may.
pub(crate) fn private<'a, 'b, 'c>(
    folders: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    folders.permissions(Permissions::from_mode(0o700))
}

/// Whether this user has a file.
pub(crate) fn is_own(file: &Metadata) -> bool {
    file.uid() == rustix::process::geteuid().as_raw()
}

/// Gives a new file the owner and the group of the one that it replaces. Only root may give a file to another user, and
/// others only to their own groups; then the new file is this user's.
pub(crate) fn keep_owner(new: &File, replaced: &Metadata) {
    let _ = fchown(new, Some(replaced.uid()), None);
    let _ = fchown(new, None, Some(replaced.gid()));
}

/// Opens a file for reading, without waiting for the writer of a pipe.
pub(crate) fn open_at_once(file: &Path) -> io::Result<File> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags).open(file)
}

/// Returns the file whose lock says that a pipeline file is being run: the file itself.
pub(crate) fn run_lock(pipeline: &Path) -> io::Result<File> {
    File::open(pipeline)
}

/// Returns the file whose lock says that a pipeline is being run in a folder, if no file has it. It stays: who removed
/// it could remove another one's lock.
pub(crate) fn named_run_lock(folder: &Path, pipeline: &str) -> io::Result<File> {
    // The folder for temporary files has those of other users, too.
    let user = rustix::process::geteuid().as_raw();
    let file = lock_path((user, folder, pipeline));
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options
        .mode(0o600)
        .custom_flags(flags)
        .open(&file)
        .map_err(|error| {
            let message = format!("the lock {} can't be opened: {error}", file.display());
            io::Error::new(error.kind(), message)
        })
}

/// Makes a folder lead to this program under its usual name.
pub(crate) fn link_to_this_program(folder: &Path) -> io::Result<()> {
    let link = folder.join("koncli");
    // Where the folder is kept, it is there from the last time.
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(std::env::current_exe()?, link)
}

/// A command that ends with koncli, however that ends.
pub(crate) struct Supervised {
    child: Child,
    target: Target,
    warden: Warden,
}

impl Supervised {
    /// Starts a command, and its watchdog before.
    pub(crate) fn start(program: &str, process: &mut Command) -> Result<Self, Failure> {
        let mut warden = Warden::start().map_err(|error| {
            let message = format!("the watchdog of {program} could not be started: {error}");
            Failure::failed(message)
        })?;
        // At a terminal it stays in the foreground, where it may read; else it and all that it starts
        // are in the warden's group, which ends together.
        let is_alone = io::stdin().is_terminal();
        if !is_alone {
            process.process_group(warden.group().as_raw_nonzero().get());
        }
        let child = match process.spawn() {
            Ok(child) => child,
            Err(error) => {
                warden.dismiss();
                return Err(not_started(program, &error));
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
    pub(crate) async fn attend(&mut self, signals: &mut Signals) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                ended = self.child.wait() => return ended,
                signal = signals.next() => {
                    // A terminal has signalled the command itself.
                    if matches!(self.target, Target::Group(_)) || signal != Signal::Interrupt {
                        self.target.send(number(signal));
                    }
                }
            }
        }
    }

    /// Ends the command, and what it has left in the background; within `grace` it may end by itself.
    pub(crate) async fn stop(mut self, grace: Duration) -> io::Result<()> {
        self.target.send(rustix::process::Signal::TERM);
        let ended = tokio::time::timeout(grace, self.child.wait()).await;
        if ended.is_err() || matches!(self.target, Target::Group(_)) {
            self.target.send(rustix::process::Signal::KILL);
        }
        self.child.wait().await?;
        self.warden.dismiss();
        Ok(())
    }

    /// Leaves alone what the command has left in the background.
    pub(crate) fn dismiss(self) {
        self.warden.dismiss();
    }
}

fn number(signal: Signal) -> rustix::process::Signal {
    match signal {
        Signal::Interrupt => rustix::process::Signal::INT,
        Signal::Terminate => rustix::process::Signal::TERM,
        Signal::HangUp => rustix::process::Signal::HUP,
    }
}

/// Whether another program reads stdout.
pub(crate) fn is_stdout_a_pipe() -> bool {
    let status = rustix::fs::fstat(io::stdout());
    status.is_ok_and(|status| {
        let kind = FileType::from_raw_mode(status.st_mode);
        kind.is_fifo() || kind.is_socket()
    })
}

/// Whether the terminal shows colours: it does.
pub(crate) fn enable_colors() -> bool {
    true
}
