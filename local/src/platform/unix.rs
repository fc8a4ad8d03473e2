//! Unix: modes of files, process groups, signals.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncRead;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

/// The shell of scripts.
const SHELL: &str = "/bin/sh";
/// What a process takes over from the runner's own environment.
pub(crate) const INHERITED: &[&str] = &["PATH", "HOME", "TMPDIR", "LANG", "USER"];
/// What stands between the folders of PATH.
pub(crate) const PATH_SEPARATOR: char = ':';
/// What helps if a program is missing.
pub(crate) const MISSING_HELP: &str = "";

/// Creates a folder, and those around it, for nobody but this user.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes files that are created for nobody but this user.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

/// Sets who may read, write and execute a file.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Cuts off a file that is open for appending.
pub(crate) fn cut_off(file: &File, _path: &Path, length: u64) -> io::Result<()> {
    file.set_len(length)
}

/// Puts onto the disk which files a folder has.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Returns where a path leads to, without links.
pub(crate) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// Returns the program that a container's command names.
pub(crate) fn program(name: &str) -> &str {
    name
}

/// Keeps a process from the Ctrl-C that is for the runner, which ends what it has begun.
pub(crate) fn keep_from_interrupts(command: &mut Command) -> &mut Command {
    command.process_group(0)
}

/// Returns the shell that ends what is left when the runner was killed.
pub(crate) fn guard_shell() -> Option<std::process::Command> {
    let mut shell = std::process::Command::new(SHELL);
    // Not to be hit by the Ctrl-C, or the kill, that hits the runner.
    shell.process_group(0);
    Some(shell)
}

/// Begins to remove a container, whether the runner lives until its end or not.
pub(crate) fn remove_container(engine: &Path, name: &str) -> io::Result<()> {
    let mut shell = std::process::Command::new(SHELL);
    // To remove alone would be patient with it.
    shell.args(["-c", r#""$0" kill "$1"; "$0" rm --force "$1""#]);
    shell.arg(engine).arg(name);
    shell.stdin(Stdio::null());
    shell.stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().map(drop)
}

/// Returns the end of a pipe that is read here, and the one that processes write to.
pub(crate) fn output_pipe() -> io::Result<(impl AsyncRead + Send + Unpin, io::PipeWriter)> {
    let (output, writer) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(output.into())?, writer))
}

/// Processes that end together: a process group.
#[derive(Debug)]
pub(crate) struct Group {
    id: Pid,
    /// The first process of the group, until another one is in it: it does nothing, and ends when this is dropped, or
    /// when the runner has ended however it did.
    anchor: Option<Child>,
}

impl Group {
    /// Makes a group that exists before its process does.
    pub(crate) fn new() -> io::Result<Self> {
        let anchor = Command::new(SHELL)
            .args(["-c", "read -r _"])
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("{SHELL}: {error}")))?;
        let id = anchor.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(Pid::from_raw);
        let id = id.ok_or_else(|| io::Error::other("it has no process id"))?;
        Ok(Self {
            id,
            anchor: Some(anchor),
        })
    }

    /// Starts the process of the group.
    pub(crate) fn spawn(&mut self, command: &mut Command) -> io::Result<Child> {
        let child = command.process_group(self.id()).spawn();
        self.anchor = None;
        child
    }

    pub(crate) fn id(&self) -> i32 {
        self.id.as_raw_nonzero().get()
    }

    /// Asks every process to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends every process.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        // An error says that no process is left, which is what the signal is for.
        let _ = kill_process_group(self.id, signal);
    }

    /// The code a shell reports: 128 + n for signal n.
    pub(crate) fn exit_code(&self, status: ExitStatus) -> i32 {
        status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal))
            .unwrap_or(128)
    }
}
