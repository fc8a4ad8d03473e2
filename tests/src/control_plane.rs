//! etcd, kube-apiserver, kube-controller-manager and, for a node, kube-scheduler as processes of this
//! one, on loopback.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, stream};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::cluster::{START_WITHIN, client, ready, write_kubeconfig};

/// Those whose service account tokens are used are logged by name; nobody else's requests are of
/// interest.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "rules": [
    {"level": "Metadata", "userGroups": ["system:serviceaccounts"]},
    {"level": "None"}
  ]
}"#;

/// Every request is logged once, when it has been answered.
const AUDIT_ALL: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [{"level": "Metadata"}]
}"#;

/// What a control plane is started for.
#[derive(Clone, Copy, Default)]
pub(crate) struct PlaneOptions<'a> {
    /// etcd waits until the disk has what it stores.
    pub(crate) durable: bool,
    /// The audit log has every request, not only those of service accounts.
    pub(crate) audits_all: bool,
    /// The addresses of services, if there will be a node: then also what a node needs is started.
    pub(crate) services: Option<&'a str>,
    /// Admission plugins besides those that are on by default.
    pub(crate) plugins: &'a [&'a str],
}

/// What every control plane controls: enough for Jobs without nodes.
const CONTROLLERS: &str = "clusterrole-aggregation-controller,job-controller,cronjob-controller,\
    garbage-collector-controller,namespace-controller,pod-garbage-collector-controller,\
    ttl-after-finished-controller";

/// What it controls besides if it has a node: Deployments, tokens for pods, a node that is gone.
const NODE_CONTROLLERS: &str = ",deployment-controller,replicaset-controller,disruption-controller,\
    serviceaccount-controller,root-ca-certificate-publisher-controller,node-lifecycle-controller,\
    taint-eviction-controller";

/// The components as processes of this one.
pub(crate) struct ControlPlane {
    // Stopped in this order: nobody is left to complain about who is gone.
    _scheduler: Option<Component>,
    controller_manager: Component,
    api_server: Component,
    etcd: Component,
    etcd_url: String,
    port: u16,
}

impl ControlPlane {
    /// Starts those that Jobs need; the API server answers, and `kubeconfig` in the folder has every
    /// right.
    pub(crate) async fn start(folder: &Path, options: PlaneOptions<'_>) -> Self {
        let PlaneOptions {
            durable,
            audits_all,
            services,
            plugins,
        } = options;
        let binaries = binaries();
        let [etcd_port, peer_port, port] = free_ports();
        let etcd_url = format!("http://127.0.0.1:{etcd_port}");
        let peer_url = format!("http://127.0.0.1:{peer_port}");
        let etcd = Component::new(
            &binaries,
            folder,
            "etcd",
            vec![
                format!("--data-dir={}", folder.join("etcd").display()),
                format!("--listen-client-urls={etcd_url}"),
                format!("--advertise-client-urls={etcd_url}"),
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
                format!("--initial-cluster=default={peer_url}"),
                format!("--unsafe-no-fsync={}", !durable),
                // Nothing is compacted, so ten thousand stages take more than the 2 GiB that it has by default.
                "--quota-backend-bytes=8589934592".into(),
            ],
        );
        let key = folder.join("service-account.key");
        let made = Command::new(binaries.join("service-account-key"))
            .output()
            .expect("a key");
        std::fs::write(&key, made.stdout).expect("a file");
        let tokens = folder.join("tokens.csv");
        std::fs::write(&tokens, "admin-token,admin,admin,system:masters\n").expect("a file");
        let audit = folder.join("audit-policy.json");
        let policy = if audits_all { AUDIT_ALL } else { AUDIT_POLICY };
        std::fs::write(&audit, policy).expect("a file");
        let mut arguments = vec![
            format!("--etcd-servers={etcd_url}"),
            "--bind-address=127.0.0.1".into(),
            format!("--secure-port={port}"),
            format!("--cert-dir={}", folder.join("certificates").display()),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", key.display()),
            format!("--service-account-signing-key-file={}", key.display()),
            format!("--token-auth-file={}", tokens.display()),
            "--authorization-mode=RBAC".into(),
            format!(
                "--service-cluster-ip-range={}",
                services.unwrap_or("10.0.0.0/24")
            ),
            "--allow-privileged=true".into(),
            format!("--audit-policy-file={}", audit.display()),
            format!("--audit-log-path={}", folder.join("audit.log").display()),
            // In MiB: it stays one file.
            "--audit-log-maxsize=100000".into(),
            // What was stored is read afterwards, however long a scenario takes.
            "--etcd-compaction-interval=0".into(),
            "--kubelet-preferred-address-types=InternalIP".into(),
        ];
        if !plugins.is_empty() {
            arguments.push(format!("--enable-admission-plugins={}", plugins.join(",")));
        }
        if services.is_none() {
            // Without nodes, no pod needs a token.
            arguments.push("--disable-admission-plugins=ServiceAccount".into());
        }
        let api_server = Component::new(&binaries, folder, "kube-apiserver", arguments);
        let kubeconfig = folder.join("kubeconfig");
        // The API server signs its certificate itself, before it listens.
        let authority = folder.join("certificates/apiserver.crt");
        appears(&authority).await;
        write_kubeconfig(
            &kubeconfig,
            &format!("https://127.0.0.1:{port}"),
            Some(&authority),
            Some("admin-token"),
        );
        ready(&client(&kubeconfig).await).await;
        let mut arguments = vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--service-account-private-key-file={}", key.display()),
            format!("--root-ca-file={}", authority.display()),
            "--leader-elect=false".into(),
            "--kube-api-qps=500".into(),
            "--kube-api-burst=1000".into(),
            "--secure-port=0".into(),
        ];
        if services.is_some() {
            arguments.push(format!("--controllers={CONTROLLERS}{NODE_CONTROLLERS}"));
            // A node is given up after seconds, not after most of a minute.
            arguments.push("--node-monitor-period=1s".into());
            arguments.push("--node-monitor-grace-period=10s".into());
        } else {
            arguments.push(format!("--controllers={CONTROLLERS}"));
        }
        let controller_manager =
            Component::new(&binaries, folder, "kube-controller-manager", arguments);
        let scheduler = services.map(|_| {
            let arguments = vec![
                format!("--kubeconfig={}", kubeconfig.display()),
                "--leader-elect=false".into(),
                "--kube-api-qps=500".into(),
                "--kube-api-burst=1000".into(),
                "--secure-port=0".into(),
            ];
            Component::new(&binaries, folder, "kube-scheduler", arguments)
        });
        Self {
            _scheduler: scheduler,
            controller_manager,
            api_server,
            etcd,
            etcd_url,
            port,
        }
    }

    /// Where the API server listens on loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn kill_api_server(&mut self) {
        self.api_server.kill();
    }

    pub(crate) fn start_api_server(&mut self) {
        self.api_server.start();
    }

    pub(crate) fn stop_controllers(&mut self) {
        self.controller_manager.kill();
    }

    pub(crate) fn restart_etcd(&mut self) {
        self.etcd.kill();
        self.etcd.start();
    }

    /// What the API server stores in.
    pub(crate) fn etcd(&self) -> Etcd {
        let url = self.etcd_url.parse().expect("an address");
        Etcd(Client::try_from(Config::new(url)).expect("a client"))
    }
}

/// etcd itself, by its JSON gateway.
pub(crate) struct Etcd(Client);

impl Etcd {
    /// Every value that was stored below a prefix since a revision, oldest first: the snapshot of
    /// each revision is asked for what it changed.
    pub(crate) async fn history(&self, prefix: &str, since: u64) -> Vec<Value> {
        let now = self.range(prefix, json!({"count_only": true})).await;
        let now: u64 = number(&now["header"]["revision"]);
        let revisions = stream::iter(since..=now).map(|revision| {
            let changed = json!({
                "revision": revision, "min_mod_revision": revision, "max_mod_revision": revision,
            });
            self.range(prefix, changed)
        });
        let answers: Vec<Value> = revisions.buffered(16).collect().await;
        let changes = answers.iter().flat_map(|answer| answer["kvs"].as_array());
        changes.flatten().map(stored).collect()
    }

    /// How much of its file is in use.
    pub(crate) async fn bytes_in_use(&self) -> u64 {
        let request = http::Request::get("/metrics").body(Vec::new());
        let answer = self.0.request_text(request.expect("a request")).await;
        let text = answer.expect("metrics of etcd");
        let mut lines = text.lines();
        let bytes =
            lines.find_map(|line| line.strip_prefix("etcd_mvcc_db_total_size_in_use_in_bytes "));
        let bytes = bytes.and_then(|bytes| bytes.parse::<f64>().ok());
        bytes.expect("a number of bytes") as u64
    }

    async fn range(&self, prefix: &str, options: Value) -> Value {
        let mut end = prefix.as_bytes().to_vec();
        *end.last_mut().expect("a prefix") += 1;
        let mut body = options;
        body["key"] = STANDARD.encode(prefix).into();
        body["range_end"] = STANDARD.encode(end).into();
        let request = http::Request::post("/v3/kv/range").body(body.to_string().into_bytes());
        let answer = self.0.request(request.expect("a request")).await;
        answer.expect("an answer of etcd")
    }
}

/// Numbers of 64 bits are texts there.
fn number(value: &Value) -> u64 {
    let text = value.as_str().expect("a number");
    text.parse().expect("a number")
}

/// Custom resources are stored as JSON.
fn stored(change: &Value) -> Value {
    let value = change["value"].as_str().expect("a value");
    let value = STANDARD.decode(value).expect("base64");
    serde_json::from_slice(&value).expect("JSON")
}

async fn appears(file: &Path) {
    let begun = Instant::now();
    while !file.exists() {
        assert!(
            begun.elapsed() < START_WITHIN,
            "{} is not there",
            file.display()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Builds the components, or finds them built; their folder.
pub fn binaries() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/build");
    let built = Command::new(&script).stderr(Stdio::inherit()).output();
    let built = built.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(built.status.success(), "{} failed", script.display());
    PathBuf::from(String::from_utf8(built.stdout).expect("a path").trim())
}

pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    // All are bound before any is released, so they differ.
    let bound = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
    bound.map(|listener| listener.local_addr().expect("an address").port())
}

/// One process. It ends when this one does, however that ends: its standard input is a pipe from
/// here.
pub(crate) struct Component {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Component {
    /// Starts a program of a folder; what it logs goes to a file of its name in the other.
    pub(crate) fn new(binaries: &Path, folder: &Path, name: &str, arguments: Vec<String>) -> Self {
        let log = folder.join(format!("{name}.log"));
        let mut component = Self {
            program: binaries.join(name),
            arguments,
            log,
            child: None,
        };
        component.start();
        component
    }

    pub(crate) fn start(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("a log");
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env("KONDUCTOR_EXIT_WITH_PARENT", "1")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a log"))
            .stderr(log)
            .spawn();
        let shown = self.program.display();
        self.child = Some(child.unwrap_or_else(|error| panic!("{shown}: {error}")));
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that fails says why on stderr")]
impl Drop for Component {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let mut text = String::new();
            let read = File::open(&self.log).and_then(|mut log| log.read_to_string(&mut text));
            if read.is_ok() {
                let lines: Vec<&str> = text.lines().rev().take(20).collect();
                for line in lines.iter().rev() {
                    eprintln!("{}: {line}", self.program.display());
                }
            }
        }
    }
}
