//! Operators for tests: in this process, or as the program that people start.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use konductor_operator::{Error, Options};
use kube::Client;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::built::koncli;
use crate::cluster::Cluster;

/// An operator in this process.
pub struct Operator {
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Result<(), Error>>>,
}

impl Operator {
    /// Starts one, without leader election.
    pub fn start(cluster: &Cluster, namespace: &str) -> Self {
        Self::watching(cluster.client.clone(), Some(namespace.to_owned()))
    }

    /// Starts one for all namespaces, without leader election.
    pub fn start_everywhere(cluster: &Cluster) -> Self {
        Self::start_through(cluster.client.clone())
    }

    /// Starts one for all namespaces that uses this client, without leader election.
    pub fn start_through(client: Client) -> Self {
        Self::watching(client, None)
    }

    fn watching(client: Client, namespace: Option<String>) -> Self {
        let options = Options {
            namespace,
            ..Options::default()
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(konductor_operator::run(client, options, async {
            let _ = stopped.await;
        }));
        Self {
            stop: Some(stop),
            task: Some(task),
        }
    }

    /// Stops it in order.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.await
                .expect("it did not panic")
                .expect("it ended well");
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// An operator as a process. Dropping it is `kill -9`.
pub struct OperatorProcess(Child);

impl OperatorProcess {
    /// Starts one, without leader election.
    pub fn start(cluster: &Cluster, namespace: &str) -> Self {
        let child = Command::new(koncli())
            .args([
                "operator",
                "--leader-elect=false",
                "--watch-namespace",
                namespace,
            ])
            .arg("--kubeconfig")
            .arg(&cluster.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("koncli starts"))
    }

    /// Starts one with another kubeconfig, which takes part in the election of a leader.
    pub fn start_leading(kubeconfig: &Path, namespace: &str) -> Self {
        let child = Command::new(koncli())
            .args([
                "operator",
                "--leader-namespace",
                namespace,
                "--watch-namespace",
                namespace,
            ])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.expect("koncli starts"))
    }

    /// Starts one that takes part in the election of a leader and answers metrics at this port of loopback. It exports
    /// traces to this address, if there is one, and its containers' too.
    pub fn start_observed(kubeconfig: &Path, port: u16, collector: Option<&str>) -> Self {
        let mut command = Command::new(koncli());
        command
            .args(["operator", "--leader-namespace", "default", "--listen"])
            .arg(format!("127.0.0.1:{port}"))
            .arg("--kubeconfig")
            .arg(kubeconfig)
            // As in the image: it has no CA certificates.
            .env("SSL_CERT_FILE", "/dev/null")
            .env("SSL_CERT_DIR", "/nonexistent")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        if let Some(collector) = collector {
            command.args(["--otlp-endpoint", collector]);
        }
        Self(command.spawn().expect("koncli starts"))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// As `kill -9`.
    pub fn kill(self) {
        drop(self);
    }

    /// Sends it a signal by which it ends, and waits until it has.
    ///
    /// # Panics
    /// If it can't be waited for.
    pub fn end_by(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("it is there");
        self.0.wait().expect("it ends");
    }

    /// As `kill -STOP`: it continues when what is returned is dropped.
    pub fn stop(&self) -> Stopped {
        let id = Pid::from_child(&self.0);
        kill_process(id, Signal::STOP).expect("it is there");
        Stopped(id)
    }
}

/// A process that stands still.
pub struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

impl Drop for OperatorProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
