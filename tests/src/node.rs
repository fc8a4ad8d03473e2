//! A node on this machine: containerd, a kubelet and a network of pods, for a control plane of our own.
//!
//! What enters: where the API server listens. What leaves: a node that is Ready, and its containers by
//! name. What must never happen: that anything of it is left behind, or that it listens where another
//! machine can reach it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node as NodeObject, Pod};
use kube::{Api, Client, ResourceExt};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::cluster::START_WITHIN;
use crate::control_plane::{Component, binaries};

/// The addresses of services; the API server has the first one, and its certificate says so.
pub(crate) const SERVICES: &str = "10.217.1.0/24";
const API_SERVER: &str = "10.217.1.1";
/// The node's own address, on the bridge that pods are on: what listens there is reached from pods, and not from another
/// machine.
pub(crate) const ADDRESS: &str = "10.217.0.1";
/// Its name.
pub const NAME: &str = "node-1";

/// What must be installed; all of it is in Debian.
const PROGRAMS: [&str; 5] = [
    "/usr/bin/containerd",
    "/usr/bin/runc",
    "/usr/bin/busybox",
    "/usr/lib/cni/bridge",
    "/usr/sbin/ip",
];

/// Why this machine can't be a node, where it can't.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a node needs root".to_owned());
    }
    let exists = |program: &str| {
        let there = |root: &str| Path::new(&format!("{root}{program}")).exists();
        there("")
            || program
                .strip_prefix("/usr")
                .is_some_and(|rest| Path::new(rest).exists())
    };
    let missing: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|program| !exists(program))
        .collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{} not installed: apt-get install containerd runc containernetworking-plugins \
             busybox-static iproute2",
            missing.join(", ")
        )
    })
}

/// A node. Dropping it ends everything that ran on it.
pub struct Node {
    kubelet: Component,
    relay: JoinHandle<()>,
    folder: PathBuf,
    // Held as long as the node is there: there can only be one.
    _only: File,
}

impl Node {
    /// Starts one, once no other test has one, and waits until pods can run on it.
    pub(crate) async fn start(client: &Client, kubeconfig: &Path, port: u16) -> Self {
        let temporary = std::env::temp_dir();
        let folder = temporary.join("konductor-node");
        let only = File::create(temporary.join("konductor-node.lock")).expect("a file");
        only.lock().expect("a lock");
        let images = kubeconfig.with_file_name("images");
        let archives = script("images")
            .arg(&images)
            .arg(env!("CARGO_PKG_VERSION"))
            .args(std::env::var("KONDUCTOR_IMAGE_PROFILE").ok())
            .stderr(Stdio::inherit())
            .output()
            .expect("tests/node/images runs");
        assert!(archives.status.success(), "tests/node/images failed");
        let archives = String::from_utf8(archives.stdout).expect("paths");
        let up = script("up")
            .arg(&folder)
            .args([ADDRESS, API_SERVER])
            .args(archives.lines())
            .status()
            .expect("tests/node/up runs");
        assert!(up.success(), "tests/node/up failed");
        let listener = TcpListener::bind((API_SERVER, 443)).await.expect("a port");
        let relay = tokio::spawn(relay(listener, port));
        let arguments = vec![
            format!("--config={}", folder.join("kubelet.yaml").display()),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--root-dir={}", folder.join("kubelet").display()),
            format!("--cert-dir={}", folder.join("certificates").display()),
            format!("--hostname-override={NAME}"),
            format!("--node-ip={ADDRESS}"),
        ];
        let kubelet = Component::new(&binaries(), &folder, "kubelet", arguments);
        let node = Self {
            kubelet,
            relay,
            folder,
            _only: only,
        };
        let nodes: Api<NodeObject> = Api::all(client.clone());
        let begun = Instant::now();
        while !nodes
            .get_opt(NAME)
            .await
            .is_ok_and(|node| node.as_ref().is_some_and(ready))
        {
            assert!(begun.elapsed() < START_WITHIN, "the node is not ready");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        node
    }

    /// Ends the kubelet as `kill -9` does; containers keep running without it.
    pub fn stop_kubelet(&mut self) {
        self.kubelet.kill();
    }

    /// Starts it again.
    pub fn start_kubelet(&mut self) {
        self.kubelet.start();
    }

    /// Kills the first process of a pod's container as `kill -9` does, from outside of it.
    pub fn kill_container(&self, pod: &Pod, container: &str) {
        let id = container_id(pod, container);
        let killed = self.ctr(&["tasks", "kill", "--signal", "SIGKILL", &id]);
        let errors = String::from_utf8_lossy(&killed.stderr);
        assert!(
            killed.status.success(),
            "{}/{container}: {errors}",
            pod.name_any()
        );
    }

    /// Whether a pod's container runs, whatever Kubernetes knows of it.
    pub fn runs(&self, pod: &Pod, container: &str) -> bool {
        let id = container_id(pod, container);
        let listed = self.ctr(&["tasks", "list"]);
        assert!(listed.status.success(), "{listed:?}");
        let tasks = String::from_utf8(listed.stdout).expect("text");
        tasks
            .lines()
            .any(|task| task.starts_with(&id) && task.contains("RUNNING"))
    }

    fn ctr(&self, arguments: &[&str]) -> Output {
        let ran = Command::new("ctr")
            .arg("--address")
            .arg(self.folder.join("containerd.sock"))
            .args(["--namespace", "k8s.io"])
            .args(arguments)
            .output();
        ran.expect("ctr runs")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // First the one that would start again what ends.
        self.kubelet.kill();
        self.relay.abort();
        let _ = script("down").arg(&self.folder).status();
    }
}

/// As containerd calls it.
fn container_id(pod: &Pod, container: &str) -> String {
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| &status.container_statuses);
    let status = statuses.flatten().find(|status| status.name == container);
    let id = status.and_then(|status| status.container_id.as_deref());
    let id = id.unwrap_or_else(|| panic!("{} has no {container}", pod.name_any()));
    id.trim_start_matches("containerd://").to_owned()
}

/// Whether pods can run on it.
pub fn ready(node: &NodeObject) -> bool {
    let conditions = node.status.iter().flat_map(|status| &status.conditions);
    conditions
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn script(name: &str) -> Command {
    Command::new(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("node")
            .join(name),
    )
}

/// Pods know the API server by its service; here is what stands for the service.
async fn relay(listener: TcpListener, port: u16) {
    while let Ok((mut pod, _)) = listener.accept().await {
        tokio::spawn(async move {
            if let Ok(mut api_server) = TcpStream::connect(("127.0.0.1", port)).await {
                // Whoever hangs up ends it for both.
                let _ = copy_bidirectional(&mut pod, &mut api_server).await;
            }
        });
    }
}
