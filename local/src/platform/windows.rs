//! Windows: rights that files inherit from their folder, and job objects.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use win32job::{ExtendedLimitInfo, Job};

/// What a process takes over from the runner's own environment: without most of these, programs of Windows don't start.
pub(crate) const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "LANG",
    "USERNAME",
    "USERPROFILE",
    "HOMEDRIVE",
    "HOMEPATH",
    "APPDATA",
    "LOCALAPPDATA",
    "TEMP",
    "TMP",
    "PATHEXT",
    "COMSPEC",
    "SYSTEMDRIVE",
    "SYSTEMROOT",
    "WINDIR",
];
/// What stands between the folders of PATH.
pub(crate) const PATH_SEPARATOR: char = ';';
/// What helps if a program is missing.
pub(crate) const MISSING_HELP: &str = "; sh and its tools come with Git for Windows: add its folder usr\\bin to PATH, or use --runtime docker";
/// The exit code of what was ended by force, as Kubernetes reports it.
const KILLED: i32 = 137;
/// The flag of Windows that keeps the console's Ctrl-C from a process.
const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

/// Creates a folder, and those around it. It inherits who may use it: those of a user are the user's alone.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Leaves it to the folder who may use a file.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

/// Does nothing: files have no mode.
pub(crate) fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// Cuts off a file that is open for appending, which gives no right to cut it off.
pub(crate) fn cut_off(_file: &File, path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(length)
}

/// Does nothing: a folder can't be synced, and its file system has a journal of its own.
pub(crate) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Returns where a path leads to, without links. It does not begin with `\\?\`, which few programs understand.
pub(crate) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    let path = path.canonicalize()?;
    let plain = path.to_str().and_then(|path| path.strip_prefix(r"\\?\"));
    let plain = plain.filter(|path| path.get(1..2) == Some(":"));
    Ok(plain.map(PathBuf::from).unwrap_or(path))
}

/// Returns the program that a container's command names: those of `/bin` are looked up in PATH.
pub(crate) fn program(name: &str) -> &str {
    let inside = name.strip_prefix("/usr").unwrap_or(name);
    let inside = inside.strip_prefix("/bin/");
    inside.filter(|name| !name.contains('/')).unwrap_or(name)
}

/// Keeps a process from the Ctrl-C that is for the runner, which ends what it has begun.
pub(crate) fn keep_from_interrupts(command: &mut Command) -> &mut Command {
    command.creation_flags(CREATE_NEW_PROCESS_GROUP)
}

/// Returns nothing: Windows itself ends the processes of a [`Group`] with the runner. It does not end containers, which
/// are not the runner's processes.
pub(crate) fn guard_shell() -> Option<std::process::Command> {
    None
}

/// Begins to remove a container, whether the runner lives until its end or not.
pub(crate) fn remove_container(engine: &Path, name: &str) -> io::Result<()> {
    let mut removing = std::process::Command::new(engine);
    removing.args(["rm", "--force", name]);
    removing.stdin(Stdio::null());
    removing.stdout(Stdio::null()).stderr(Stdio::null());
    removing.spawn().map(drop)
}

/// Returns the end of a pipe that is read here, and the one that processes write to.
pub(crate) fn output_pipe() -> io::Result<(impl AsyncRead + Send + Unpin, io::PipeWriter)> {
    let (output, writer) = io::pipe()?;
    let output = std::os::windows::io::OwnedHandle::from(output);
    Ok((tokio::fs::File::from_std(File::from(output)), writer))
}

/// Processes that end together: a job object. Windows ends them when its last handle is closed, so also when the runner
/// has ended, however it did.
#[derive(Debug)]
pub(crate) struct Group {
    /// `None` once its processes were ended.
    job: Mutex<Option<Job>>,
    id: i32,
}

impl Group {
    /// Makes a group that has no process yet.
    pub(crate) fn new() -> io::Result<Self> {
        let mut limits = ExtendedLimitInfo::new();
        limits.limit_kill_on_job_close();
        let job = Job::create_with_limit_info(&limits)?;
        Ok(Self {
            job: Mutex::new(Some(job)),
            id: 0,
        })
    }

    /// Starts the process of the group. What it starts is in the group, too, but for what it starts in its first moment.
    pub(crate) fn spawn(&mut self, command: &mut Command) -> io::Result<Child> {
        let mut child = keep_from_interrupts(command).spawn()?;
        self.id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .unwrap_or(0);
        let job = self.job.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let (Some(job), Some(handle)) = (job, child.raw_handle())
            && let Err(error) = job.assign_process(handle as isize)
            // One that has ended belongs to no job.
            && child.try_wait()?.is_none()
        {
            child.start_kill()?;
            return Err(error.into());
        }
        Ok(child)
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> i32 {
        self.id
    }

    /// Ends every process: Windows has no signal that asks for it.
    pub(crate) fn terminate(&self) {
        self.kill();
    }

    /// Ends every process.
    pub(crate) fn kill(&self) {
        let mut job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        drop(job.take());
    }

    /// The code of the process, or that of a container that was ended by force: Windows has none for it.
    pub(crate) fn exit_code(&self, status: ExitStatus) -> i32 {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner);
        match *job {
            Some(_) => status.code().unwrap_or(128),
            None => KILLED,
        }
    }
}
