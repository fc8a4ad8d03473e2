//! Kueue's own controller as a process of this one, with its CRDs and webhooks, on a control plane that was started
//! here.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::{Cluster, START_WITHIN};
use crate::control_plane::free_ports;

/// Whether Kueue respects the list of those that must agree before it starts a Job: `AdmissionGatedBy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdmissionGatedBy {
    /// As from Kueue 0.19.
    On,
    /// As by default up to Kueue 0.18.
    Off,
}

/// The folder of the program and its CRDs: built before, or now if `KONDUCTOR_TEST_KUEUE` asks for it. None where it
/// isn't built, or can't be given an `/etc` of its own.
pub fn built() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("kueue/build");
    let mut build = Command::new(script);
    if std::env::var_os("KONDUCTOR_TEST_KUEUE").is_none() {
        build.arg("--cached");
    }
    let unshared = Command::new("unshare").args(["-rm", "true"]).output();
    if !unshared.is_ok_and(|unshared| unshared.status.success()) {
        return None;
    }
    let output = build.stderr(Stdio::inherit()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

/// The controller. It ends when this is dropped, and when this process ends.
pub struct Kueue(Child);

impl Drop for Kueue {
    fn drop(&mut self) {
        // Its guard reads until this is closed.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

impl Kueue {
    /// Starts it, and waits until it answers webhooks.
    ///
    /// # Panics
    /// If it does not come up, with what it logged.
    pub async fn start(cluster: &Cluster, built: &Path, gate: AdmissionGatedBy) -> Self {
        let folder = cluster.folder().join("kueue");
        std::fs::create_dir_all(&folder).expect("a folder");
        let [webhooks, health] = free_ports();
        let crds = kubectl(
            cluster,
            &["apply", "--server-side", "--filename"],
            &built.join("crds"),
        );
        assert!(crds.status.success(), "{crds:?}");
        let served = [
            "wait",
            "--for=condition=established",
            "--timeout=60s",
            "--filename",
        ];
        let served = kubectl(cluster, &served, &built.join("crds"));
        assert!(served.status.success(), "{served:?}");
        certificates(cluster, &folder);
        let config = folder.join("config.yaml");
        let text = configuration(&folder, webhooks, health, gate).to_string();
        std::fs::write(&config, text).expect("a file");
        let log = std::fs::File::create(folder.join("log")).expect("a log");
        let child = Command::new("sh")
            .args(["-c", r#""$@" & cat >/dev/null; kill -9 $!"#, "guard"])
            // It reads the certificates of its metrics from a fixed place in /etc.
            .args(["unshare", "-rm", "sh", "-c"])
            .args([r#"mount --bind "$1" /etc && shift && exec "$@""#, "kueue"])
            .arg(folder.join("etc"))
            .arg(built.join("kueue"))
            .arg("--config")
            .arg(&config)
            .env("KUBECONFIG", &cluster.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        let kueue = Self(child.expect("sh starts"));
        ready(health, &folder.join("log")).await;
        register(cluster, webhooks).await;
        kueue
    }
}

/// The API server signed its certificate itself, for loopback: Kueue's webhooks use it, too.
fn certificates(cluster: &Cluster, folder: &Path) {
    let of = cluster.folder().join("certificates");
    let metrics = folder.join("etc/kueue/metrics/certs");
    std::fs::create_dir_all(&metrics).expect("a folder");
    for (from, to) in [("apiserver.crt", "tls.crt"), ("apiserver.key", "tls.key")] {
        for folder in [folder, &metrics] {
            std::fs::copy(of.join(from), folder.join(to)).expect("a certificate");
        }
    }
}

fn configuration(folder: &Path, webhooks: u16, health: u16, gate: AdmissionGatedBy) -> Value {
    json!({
        "apiVersion": "config.kueue.x-k8s.io/v1beta2",
        "kind": "Configuration",
        "health": {"healthProbeBindAddress": format!("127.0.0.1:{health}")},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": webhooks, "host": "127.0.0.1", "certDir": folder},
        "internalCertManagement": {"enable": false},
        "leaderElection": {"leaderElect": false},
        "clientConnection": {"qps": 500, "burst": 1000},
        "integrations": {"frameworks": ["batch/job"]},
        "featureGates": {
            "AdmissionGatedBy": gate == AdmissionGatedBy::On,
            "VisibilityOnDemand": false,
        },
    })
}

async fn ready(port: u16, log: &Path) {
    let url = format!("http://127.0.0.1:{port}")
        .parse()
        .expect("an address");
    let client = Client::try_from(Config::new(url)).expect("a client");
    let begun = Instant::now();
    loop {
        let request = http::Request::get("/readyz").body(Vec::new());
        match client.request_text(request.expect("a request")).await {
            Ok(_) => return,
            Err(error) => assert!(
                begun.elapsed() < START_WITHIN,
                "Kueue isn't ready: {error}\n{}",
                std::fs::read_to_string(log).unwrap_or_default()
            ),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Its webhooks for Jobs, on loopback.
async fn register(cluster: &Cluster, port: u16) {
    let bundle = std::fs::read(cluster.folder().join("certificates/apiserver.crt"));
    let bundle = STANDARD.encode(bundle.expect("a certificate"));
    let hook = |path: &str, operations: &[&str]| {
        json!([{
            "name": "job.kueue.test",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": {"url": format!("https://127.0.0.1:{port}{path}"), "caBundle": bundle},
            "rules": [{
                "apiGroups": ["batch"], "apiVersions": ["v1"], "resources": ["jobs"],
                "operations": operations,
            }],
        }])
    };
    let configurations = json!({"apiVersion": "v1", "kind": "List", "items": [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "kueue"},
            "webhooks": hook("/mutate-batch-v1-job", &["CREATE"]),
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "kueue"},
            "webhooks": hook("/validate-batch-v1-job", &["CREATE", "UPDATE"]),
        },
    ]});
    apply(cluster, &configurations);
}

/// A queue `batch` in a namespace, that admits so many pods at once; Jobs with the priority `urgent` preempt others.
pub fn queue(cluster: &Cluster, namespace: &str, pods: u32) {
    let resources = json!([{"name": "pods", "nominalQuota": pods}]);
    let objects = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "kueue.x-k8s.io/v1beta2", "kind": "ResourceFlavor", "metadata": {"name": "any"}},
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "WorkloadPriorityClass",
            "metadata": {"name": "urgent"},
            "value": 1000,
        },
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "ClusterQueue",
            "metadata": {"name": namespace},
            "spec": {
                "namespaceSelector": {},
                "preemption": {"withinClusterQueue": "LowerPriority"},
                "resourceGroups": [{
                    "coveredResources": ["pods"],
                    "flavors": [{"name": "any", "resources": resources}],
                }],
            },
        },
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "LocalQueue",
            "metadata": {"name": "batch", "namespace": namespace},
            "spec": {"clusterQueue": namespace},
        },
    ]});
    apply(cluster, &objects);
}

fn kubectl(cluster: &Cluster, arguments: &[&str], file: &Path) -> std::process::Output {
    let output = Command::new(cluster.kubectl())
        .args(arguments)
        .arg(file)
        .env("KUBECONFIG", &cluster.kubeconfig)
        .output();
    output.expect("kubectl runs")
}

fn apply(cluster: &Cluster, objects: &Value) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(objects.to_string().as_bytes())
        .expect("written");
    let begun = Instant::now();
    loop {
        let applied = kubectl(
            cluster,
            &["apply", "--server-side", "--filename"],
            file.path(),
        );
        // CRDs are served a moment after they are stored.
        if applied.status.success() {
            return;
        }
        assert!(begun.elapsed() < START_WITHIN, "{applied:?}");
    }
}
