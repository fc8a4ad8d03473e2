//! One container as a group of processes of this machine.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use konductor_api::step::longest;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::engine::Engine;
use super::environment::Variables;
use super::logs::LogWriter;
use super::orphans::OrphanGuard;
use super::start::StartError;
use crate::platform::{self, Group};

/// How long to wait for output of processes that left their group and keep the log open.
const STRAGGLERS_WAIT: Duration = Duration::from_secs(1);

/// What to run.
#[derive(Clone, Debug)]
pub(super) struct CommandLine {
    /// The program and its arguments.
    pub(super) words: Vec<String>,
    /// All variables; nothing is inherited.
    pub(super) variables: Variables,
    pub(super) working_dir: PathBuf,
    /// The container that the process stands for.
    pub(super) container: Option<ContainerOf>,
}

/// A container, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct ContainerOf {
    pub(super) engine: Arc<Engine>,
    pub(super) name: String,
}

/// A running process group. Dropping it kills the group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Group,
    output: JoinHandle<()>,
    guard: Arc<OrphanGuard>,
    /// Its container, until that has ended.
    container: Option<ContainerOf>,
    /// Whether the group may still have processes; its number is free for others afterwards.
    alive: bool,
}

impl Process {
    /// Starts `command` in a group of its own; stdout and stderr go to `log`.
    pub(super) fn start(
        command: &CommandLine,
        log: LogWriter,
        guard: Arc<OrphanGuard>,
    ) -> Result<Self, StartError> {
        let Some((program, arguments)) = command.words.split_first() else {
            return Err(StartError {
                exit_code: 128,
                message: "no command specified: a process has no image to take one from, \
                          so the container must set `command`"
                    .into(),
            });
        };
        if !command.working_dir.is_dir() {
            let folder = command.working_dir.display();
            let message = format!("chdir {folder}: no such folder on this machine");
            return Err(StartError {
                exit_code: 128,
                message,
            });
        }
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::ArgumentListTooLong => {
                let words = command.words.iter().map(AsRef::as_ref);
                let variables = command.variables.iter();
                let variables =
                    variables.map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
                StartError {
                    exit_code: 128,
                    message: format!("exec: {program:?}: {}", longest(words, variables)),
                }
            }
            _ => start_error(program, &error),
        };
        // One pipe for both, so that their lines stay in order.
        let (output, stdout) = platform::output_pipe().map_err(failed)?;
        let stderr = stdout.try_clone().map_err(failed)?;
        // The group is guarded before the process exists: killed in between, the runner leaves none.
        let mut group = Group::new().map_err(|error| StartError {
            exit_code: 128,
            message: format!("no group of processes could be made: {error}"),
        })?;
        guard.begin(group.id());
        let mut process = Command::new(platform::program(program));
        process
            .args(arguments)
            .env_clear()
            .envs(&command.variables)
            .current_dir(&command.working_dir)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr);
        let child = group.spawn(&mut process).map_err(|error| {
            guard.end(group.id());
            failed(error)
        })?;
        Ok(Self {
            child,
            group,
            output: tokio::spawn(log.copy(output)),
            guard,
            container: command.container.clone(),
            alive: true,
        })
    }

    pub(super) fn id(&self) -> i32 {
        self.group.id()
    }

    /// Waits until the first process has ended, or brings its end about: once `halt` gives it a
    /// time, the group is asked to end, and made to when that time is over.
    pub(super) async fn run_to_end(
        &mut self,
        halt: &mut watch::Receiver<Option<Duration>>,
    ) -> io::Result<i32> {
        let group = &self.group;
        let exit_code = |status| group.exit_code(status);
        let mut end = std::pin::pin!(self.child.wait());
        let in_time = tokio::select! {
            biased;
            status = &mut end => Some(status),
            () = requested(halt) => None,
        };
        let in_time = match in_time {
            Some(status) => Some(status),
            None => {
                group.terminate();
                tokio::select! {
                    biased;
                    status = &mut end => Some(status),
                    () = run_out(halt) => None,
                }
            }
        };
        if let Some(status) = in_time {
            self.container = None;
            return status.map(exit_code);
        }
        if let Some(ContainerOf { engine, name }) = self.container.take() {
            engine.remove(&name).await;
            // The engine's process exits with its container's code.
            if let Ok(status) = tokio::time::timeout(STRAGGLERS_WAIT, &mut end).await {
                return status.map(exit_code);
            }
        }
        group.kill();
        end.await.map(exit_code)
    }

    /// Ends what the first process left behind, as a container ends with its first process, and
    /// completes the log.
    pub(super) async fn finish(mut self) {
        self.group.kill();
        self.alive = false;
        if tokio::time::timeout(STRAGGLERS_WAIT, &mut self.output)
            .await
            .is_err()
        {
            tracing::debug!(
                group = self.id(),
                "a process left its group and still prints"
            );
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.alive {
            self.group.kill();
        }
        if let Some(ContainerOf { engine, name }) = &self.container {
            engine.remove_later(name);
        }
        self.output.abort();
        self.guard.end(self.id());
    }
}

async fn requested(halt: &mut watch::Receiver<Option<Duration>>) {
    if halt.wait_for(Option::is_some).await.is_err() {
        // Nobody is left to ask.
        std::future::pending::<()>().await;
    }
}

/// Waits for the time that `halt` gives, which may become shorter meanwhile.
async fn run_out(halt: &mut watch::Receiver<Option<Duration>>) {
    let begin = Instant::now();
    loop {
        let grace = halt.borrow_and_update().unwrap_or_default();
        tokio::select! {
            () = tokio::time::sleep_until(begin + grace) => return,
            Ok(()) = halt.changed() => {}
        }
    }
}

fn start_error(program: &str, error: &io::Error) -> StartError {
    let (exit_code, reason) = match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') => (127, "no such file".to_owned()),
        io::ErrorKind::NotFound => (127, "executable file not found in $PATH".to_owned()),
        io::ErrorKind::PermissionDenied => (126, "permission denied".to_owned()),
        _ => (128, error.to_string()),
    };
    let help = match error.kind() {
        io::ErrorKind::NotFound => platform::MISSING_HELP,
        _ => "",
    };
    StartError {
        exit_code,
        message: format!("exec: {program:?}: {reason}{help}"),
    }
}

/// The end of a container's message file, or `None` where it wrote none.
pub(super) fn read_message(path: &Path, bytes_max: usize) -> Option<String> {
    // A pipe or a folder in its place is not read: it could block, or be endless.
    let file = std::fs::metadata(path)
        .ok()
        .filter(std::fs::Metadata::is_file)?;
    if file.len() == 0 {
        return None;
    }
    let bytes = tail(path, file.len(), bytes_max).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn tail(path: &Path, length: u64, bytes_max: usize) -> io::Result<Vec<u8>> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let bytes_max = bytes_max as u64;
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::logs::{LogOptions, Logs};
    use super::*;
    use futures::StreamExt;

    struct Fixture {
        folder: tempfile::TempDir,
        logs: Logs,
        guard: Arc<OrphanGuard>,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                logs: Logs::default(),
                guard: Arc::new(OrphanGuard::start(None, None)),
            }
        }

        fn start(&self, words: &[&str]) -> Result<Process, StartError> {
            let command = CommandLine {
                words: words.iter().map(|word| (*word).to_owned()).collect(),
                variables: [("PATH", "/usr/bin:/bin"), ("A", "1 2")]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                working_dir: self.folder.path().into(),
                container: None,
            };
            let log = self.logs.start("u", "main", self.folder.path()).unwrap();
            Process::start(&command, log, self.guard.clone())
        }

        async fn log(&self) -> String {
            let chunks = self.logs.read("u", "main", LogOptions::default()).unwrap();
            let bytes: Vec<u8> = chunks
                .flat_map(|c| futures::stream::iter(c.unwrap()))
                .collect()
                .await;
            String::from_utf8(bytes).unwrap()
        }
    }

    /// Nobody asks for an end.
    fn never() -> watch::Receiver<Option<Duration>> {
        watch::Sender::new(None).subscribe()
    }

    #[tokio::test]
    async fn output_and_exit_code_are_those_of_the_process() {
        let fixture = Fixture::new();
        let script = "echo out; echo err >&2; echo \"$A\"; env | cut -d= -f1 | sort; exit 7";
        let mut process = fixture.start(&["sh", "-c", script]).unwrap();
        assert_eq!(process.run_to_end(&mut never()).await.unwrap(), 7);
        process.finish().await;
        assert_eq!(fixture.log().await, "out\nerr\n1 2\nA\nPATH\nPWD\n");
    }

    #[tokio::test]
    async fn a_signal_reaches_the_whole_group_and_gives_128_and_its_number() {
        let fixture = Fixture::new();
        let mut process = fixture
            .start(&["sh", "-c", "sleep 600 & echo up; wait"])
            .unwrap();
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let mut log = Box::pin(fixture.logs.read("u", "main", options).unwrap());
        assert_eq!(log.next().await.unwrap().unwrap(), b"up\n");
        let mut halt = watch::Sender::new(Some(Duration::from_secs(600))).subscribe();
        assert_eq!(process.run_to_end(&mut halt).await.unwrap(), 143);
        process.finish().await;
        assert!(log.next().await.is_none());
    }

    #[tokio::test]
    async fn nothing_outlives_the_first_process() {
        let fixture = Fixture::new();
        let script = "trap '' TERM HUP; sleep 600 & echo left; exit 0";
        let mut process = fixture.start(&["sh", "-c", script]).unwrap();
        assert_eq!(process.run_to_end(&mut never()).await.unwrap(), 0);
        // The background process holds the log open: that it ends shows that it is gone.
        let output = std::mem::replace(&mut process.output, tokio::spawn(async {}));
        process.finish().await;
        output.await.unwrap();
        assert_eq!(fixture.log().await, "left\n");
    }

    #[tokio::test]
    async fn dropping_a_process_ends_its_group() {
        let fixture = Fixture::new();
        let mut process = fixture.start(&["sh", "-c", "sleep 600 & wait"]).unwrap();
        let output = std::mem::replace(&mut process.output, tokio::spawn(async {}));
        drop(process);
        output.await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_started_says_why() {
        let fixture = Fixture::new();
        let plain = fixture.folder.path().join("plain");
        std::fs::write(&plain, "not a program").unwrap();
        let plain = plain.to_str().unwrap();
        let not_executable = format!("exec: {plain:?}: permission denied");
        let cases: [(&[&str], i32, &str); 4] = [
            (
                &[],
                128,
                "no command specified: a process has no image to take one from, \
                 so the container must set `command`",
            ),
            (
                &["nonesuch"],
                127,
                "exec: \"nonesuch\": executable file not found in $PATH",
            ),
            (&["/none/such"], 127, "exec: \"/none/such\": no such file"),
            (&[plain], 126, &not_executable),
        ];
        for (words, exit_code, message) in cases {
            let expected = StartError {
                exit_code,
                message: message.into(),
            };
            assert_eq!(fixture.start(words).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_message_is_the_end_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("message");
        assert_eq!(read_message(&file, 4), None);
        std::fs::write(&file, "").unwrap();
        assert_eq!(read_message(&file, 4), None);
        std::fs::write(&file, "rows=12").unwrap();
        assert_eq!(read_message(&file, 4096).as_deref(), Some("rows=12"));
        assert_eq!(read_message(&file, 4).as_deref(), Some("s=12"));
        assert_eq!(read_message(folder.path(), 4), None);
    }
}
