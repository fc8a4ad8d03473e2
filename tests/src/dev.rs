//! `koncli dev`, as people start it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

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
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        let mut child = Command::new(koncli())
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
}

impl Drop for Dev {
    fn drop(&mut self) {
        if kill_process(Pid::from_child(&self.child), Signal::INT).is_err() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
