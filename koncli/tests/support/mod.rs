//! koncli as a process, and a cluster of its own for a test.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

/// koncli, without the surroundings of whoever runs the tests.
pub(crate) fn koncli() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_koncli"));
    command
        .stdin(Stdio::null())
        .env("NO_COLOR", "1")
        .env("USER", "tester")
        .env_remove("KUBECONFIG");
    command
}

pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// A copy of an example's folder, so that runs at the same time do not meet in one.
pub(crate) fn copy_of(example: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let copied = Command::new("cp")
        .args(["-R"])
        .arg(examples().join(example).join("."))
        .arg(folder.path())
        .status();
    assert!(copied.expect("cp runs").success());
    let _ = std::fs::remove_dir_all(folder.path().join("out"));
    folder
}

/// `PATH` with a folder before all others.
pub(crate) fn path_with(folder: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", folder.display())
}

/// Exit code, stdout and stderr, as a transcript.
pub(crate) fn transcript(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or(-1);
    format!("{stdout}{stderr}exit code {code}\n")
}

/// `koncli dev`. It ends with the test.
pub(crate) struct Dev {
    child: Child,
    pub(crate) kubeconfig: PathBuf,
    _folder: tempfile::TempDir,
}

impl Dev {
    /// Starts one whose steps begin in `steps`.
    pub(crate) fn start(steps: &Path) -> Self {
        Self::start_with(steps, &[], &[])
    }

    /// The same, with more arguments and variables.
    pub(crate) fn start_with(steps: &Path, more: &[&str], variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        let mut child = koncli()
            .args(["dev", "--write-kubeconfig"])
            .arg(&kubeconfig)
            .args(more)
            .envs(variables.iter().copied())
            .current_dir(steps)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("koncli starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        let mut lines = std::io::BufReader::new(stdout);
        std::io::BufRead::read_line(&mut lines, &mut line).expect("a line");
        assert_eq!(
            line,
            format!("export KUBECONFIG={}\n", kubeconfig.display())
        );
        Self {
            child,
            kubeconfig,
            _folder: folder,
        }
    }

    /// A client for what koncli has no command for.
    pub(crate) async fn client(&self) -> kube::Client {
        let read = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(read, &options).await;
        let config = config.expect("it is one");
        kube::Client::try_from(config).expect("a client")
    }

    /// Runs a command against it.
    pub(crate) fn koncli(&self, arguments: &[&str]) -> Output {
        let command = koncli()
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .output();
        command.expect("koncli runs")
    }

    /// The same, as a transcript.
    pub(crate) fn printed(&self, arguments: &[&str]) -> String {
        transcript(&self.koncli(arguments))
    }

    /// Runs a command until its transcript is the one that is waited for.
    pub(crate) fn until(&self, arguments: &[&str], expected: &str) {
        self.until_it_is(arguments, |_| expected.to_owned());
    }

    /// The same, where what is expected depends on what was printed: it has times.
    pub(crate) fn until_it_is(&self, arguments: &[&str], expected: impl Fn(&str) -> String) {
        let begun = Instant::now();
        loop {
            let printed = self.printed(arguments);
            let expected = expected(&printed);
            if printed == expected {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{arguments:?}: waited for\n{expected}\nand the last was\n{printed}"
            );
            std::thread::yield_now();
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let interrupted = Command::new("kill")
            .args(["-INT", &self.child.id().to_string()])
            .status();
        if interrupted.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        } else {
            let _ = self.child.kill();
        }
    }
}
