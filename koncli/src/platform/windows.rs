//! Windows: events of the console, job objects, and permissions that files inherit from their folder.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown,
};
use win32job::{ExtendedLimitInfo, Job};

use super::{Signal, lock_path, not_started};
use crate::exit::{FAILED, Failure};

/// The echo of control keys: a console of Windows has none.
pub(crate) mod echo {
    /// Does nothing.
    pub(crate) fn silence() {}

    /// Does nothing.
    pub(crate) fn restore() {}
}

/// The events of the console.
pub(crate) struct Signals {
    interrupt: CtrlC,
    terminate: CtrlBreak,
    close: CtrlClose,
    shut_down: CtrlShutdown,
}

impl Signals {
    /// From now on, none is missed.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: ctrl_c()?,
            terminate: ctrl_break()?,
            close: ctrl_close()?,
            shut_down: ctrl_shutdown()?,
        })
    }

    /// The same: no program outlives its console.
    pub(crate) fn listen_in_background() -> io::Result<Self> {
        Self::listen()
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
            _ = self.close.recv() => Signal::HangUp,
            _ = self.shut_down.recv() => Signal::Terminate,
        }
    }
}

/// Returns the exit code of a command; those above 255 have no room in it.
pub(crate) fn exit_code(ended: ExitStatus) -> u8 {
    u8::try_from(ended.code().unwrap_or(1)).unwrap_or(1)
}

/// Returns the name of this machine.
pub(crate) fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "localhost".to_owned())
}

/// Leaves it to the folder around them who may look into folders: that for temporary files is its user's alone.
pub(crate) fn private<'a, 'b, 'c>(
    folders: &'c mut tempfile::Builder<'a, 'b>,
) -> &'c mut tempfile::Builder<'a, 'b> {
    folders
}

/// Whether this user has a file: the folder for temporary files has none of others.
pub(crate) fn is_own(_file: &Metadata) -> bool {
    true
}

/// Does nothing: a new file has the owner and the permissions that its folder gives.
pub(crate) fn keep_owner(_new: &File, _replaced: &Metadata) {}

/// Opens a file for reading. Windows does not open folders, and says then that the right is missing.
pub(crate) fn open_at_once(file: &Path) -> io::Result<File> {
    match file.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => File::open(file),
    }
}

/// Returns the file whose lock says that a pipeline file is being run. It is another one: nobody could read a file that is
/// locked.
pub(crate) fn run_lock(pipeline: &Path) -> io::Result<File> {
    open_lock(&lock_path(pipeline.canonicalize()?))
}

/// Returns the file whose lock says that a pipeline is being run in a folder, if no file has it.
pub(crate) fn named_run_lock(folder: &Path, pipeline: &str) -> io::Result<File> {
    open_lock(&lock_path((folder, pipeline)))
}

fn open_lock(lock: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    options.open(lock).map_err(|error| {
        let message = format!("the lock {} can't be opened: {error}", lock.display());
        io::Error::new(error.kind(), message)
    })
}

/// Makes a folder lead to this program under its usual name; a link by name would need an administrator.
pub(crate) fn link_to_this_program(folder: &Path) -> io::Result<()> {
    let program = std::env::current_exe()?;
    let link = folder.join("koncli.exe");
    // Where the folder is kept, it is there from the last time.
    let _ = std::fs::remove_file(&link);
    // It may be on another disk.
    std::fs::hard_link(&program, &link).or_else(|_| std::fs::copy(&program, &link).map(drop))
}

/// A command that ends with koncli, however that ends: Windows ends what is in a job object when its last handle is
/// closed.
pub(crate) struct Supervised {
    child: Child,
    job: Job,
}

impl Supervised {
    /// Starts a command. What it starts in its first moment is not supervised.
    pub(crate) fn start(program: &str, process: &mut Command) -> Result<Self, Failure> {
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job =
            Job::create_with_limit_info(&limits).map_err(|error| unsupervised(program, error))?;
        let mut child = process
            .spawn()
            .map_err(|error| not_started(program, &error))?;
        if let Some(handle) = child.raw_handle()
            && let Err(error) = job.assign_process(handle as isize)
            // One that has ended belongs to no job.
            && child.try_wait()?.is_none()
        {
            child.start_kill()?;
            return Err(unsupervised(program, error));
        }
        Ok(Self { child, job })
    }

    /// Waits for the command. It shares the console, whose events reach it, too.
    pub(crate) async fn attend(&mut self, signals: &mut Signals) -> io::Result<ExitStatus> {
        loop {
            tokio::select! {
                ended = self.child.wait() => return ended,
                _ = signals.next() => {}
            }
        }
    }

    /// Ends the command, and what it has left in the background: at once, since nothing asks a process to end.
    pub(crate) async fn stop(mut self, _grace: Duration) -> io::Result<()> {
        drop(self.job);
        self.child.wait().await.map(drop)
    }

    /// Leaves alone what the command has left in the background.
    pub(crate) fn dismiss(self) {
        // What is left ends with koncli if it can't be let go.
        let _ = self.job.set_extended_limit_info(&ExtendedLimitInfo::new());
    }
}

fn unsupervised(program: &str, error: win32job::JobError) -> Failure {
    let error = io::Error::from(error);
    Failure::failed(format!("{program} can't be supervised: {error}"))
}

/// The watchdog of a command, which Windows needs none for.
///
/// # Errors
/// Always.
pub(crate) async fn keep_watch() -> Result<(), Failure> {
    let message = "the watchdog of a command needs Unix; on Windows a command ends with koncli";
    Err(Failure::new(FAILED, message))
}

/// Whether another program may read stdout: a file counts as a pipe here.
pub(crate) fn is_stdout_a_pipe() -> bool {
    !io::stdout().is_terminal()
}

/// Switches on the colours of the console; returns whether it has any.
pub(crate) fn enable_colors() -> bool {
    anstyle_query::windows::enable_ansi_colors() != Some(false)
}
