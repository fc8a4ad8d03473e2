//! `koncli dev`, as people start it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::built::koncli;

/// A process that ends when this is dropped.
pub struct Dev {
    child: Child,
    /// Where it wrote the kubeconfig, in a folder of its own.
    pub kubeconfig: PathBuf,
    _folder: TempDir,
}

impl Dev {
    /// Starts it with these arguments, and waits until it serves.
    pub fn start(arguments: &[&str]) -> Self {
        Self::started_by(Command::new(koncli()), arguments)
    }

    /// The same on a disk that is soon full: no file takes more than so many blocks, of 512 bytes or of 1 KiB.
    pub fn start_with_blocks(blocks: u32, arguments: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        // Ignored signals are ignored by what is executed, too: the write fails instead.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        shell.args(["-c", &script]).arg(koncli());
        Self::started_by(shell, arguments)
    }

    fn started_by(mut command: Command, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        let mut child = command
            .args(["dev", "--write-kubeconfig"])
            .arg(&kubeconfig)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("koncli starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert!(line.starts_with("export KUBECONFIG="), "{line:?}");
        Self {
            child,
            kubeconfig,
            _folder: folder,
        }
    }

    /// Ends it as a machine without memory does: it can do nothing any more.
    pub fn kill(mut self) {
        self.child.kill().expect("it is killed");
        self.child.wait().expect("it ends");
    }

    /// A client of its cluster, which has every right.
    pub async fn client(&self) -> kube::Client {
        let read = Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
        kube::Client::try_from(config.expect("a config")).expect("a client")
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // What has ended has no process of its own any more.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        if kill_process(Pid::from_child(&self.child), Signal::INT).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
