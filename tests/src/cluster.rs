//! Clusters: the embedded one, a real control plane that is started here, or one that is there.

use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_local::runner::job::{BackOff, JobController};
use konductor_local::{ApiServer, Controllers, ServerOptions};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config, ResourceExt};
use tempfile::TempDir;

/// How long a component may take to answer.
const START_WITHIN: Duration = Duration::from_secs(90);

/// A cluster with the CRDs of konductor and a Job controller, without nodes.
pub struct Cluster {
    /// A client with every right.
    pub client: Client,
    /// The same rights, for programs.
    pub kubeconfig: PathBuf,
    folder: TempDir,
    made_of: MadeOf,
}

enum MadeOf {
    Embedded {
        _job_controller: JobController,
        _controllers: Controllers,
        _server: tokio::task::JoinHandle<()>,
    },
    Real(Box<Mutex<ControlPlane>>),
    External,
}

/// Which real cluster the environment asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// None: tests of a real cluster are skipped.
    None,
    /// Start one.
    Real,
    /// Use the one of `KUBECONFIG`.
    External,
}

/// Reads `KONDUCTOR_TEST_CLUSTER`: `real`, `external`, or nothing.
pub fn wanted() -> Wanted {
    match std::env::var("KONDUCTOR_TEST_CLUSTER").as_deref() {
        Ok("real") => Wanted::Real,
        Ok("external") => Wanted::External,
        _ => Wanted::None,
    }
}

impl Cluster {
    /// The embedded API server with its own Job controller, also over HTTP on loopback.
    pub async fn embedded() -> Self {
        let api = ApiServer::new(ServerOptions::default());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        write_kubeconfig(&kubeconfig, &format!("http://{address}"), None);
        let client = Client::new(api.router(), "default");
        let job_controller = JobController::start(&api, BackOff::default());
        let controllers = Controllers::start(&api);
        let server = tokio::spawn(async move {
            let _ = api.serve(listener, std::future::pending()).await;
        });
        install_crds(&client).await;
        let made_of = MadeOf::Embedded {
            _job_controller: job_controller,
            _controllers: controllers,
            _server: server,
        };
        Self {
            client,
            kubeconfig,
            folder,
            made_of,
        }
    }

    /// A real cluster, as the environment asks for it.
    ///
    /// # Panics
    /// Where it does not come up, with the end of what its components logged.
    pub async fn real() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (kubeconfig, made_of) = match wanted() {
            Wanted::External => {
                let path = std::env::var_os("KUBECONFIG").expect("KUBECONFIG names a cluster");
                (PathBuf::from(path), MadeOf::External)
            }
            Wanted::Real | Wanted::None => {
                let plane = ControlPlane::start(folder.path()).await;
                (
                    folder.path().join("kubeconfig"),
                    MadeOf::Real(Box::new(Mutex::new(plane))),
                )
            }
        };
        let client = client(&kubeconfig).await;
        install_crds(&client).await;
        Self {
            client,
            kubeconfig,
            folder,
            made_of,
        }
    }

    /// Whether it is a real API server.
    pub fn is_real(&self) -> bool {
        !matches!(self.made_of, MadeOf::Embedded { .. })
    }

    /// kubectl: built with the control plane, else the one that is installed, if any.
    pub fn kubectl(&self) -> PathBuf {
        match self.made_of {
            MadeOf::Real(_) => binaries().join("kubectl"),
            MadeOf::Embedded { .. } | MadeOf::External => PathBuf::from("kubectl"),
        }
    }

    /// A folder that lives as long as the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new namespace.
    pub async fn namespace(&self, purpose: &str) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{purpose}-{}-{count}", std::process::id());
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace)
            .await
            .expect("a namespace");
        name
    }

    /// A client of one namespace.
    pub fn konductor(&self, namespace: &str) -> konductor::Client {
        konductor::Client::new(self.client.clone(), namespace)
    }

    /// Kills the API server and starts it again; the embedded one can't be.
    pub async fn restart_api_server(&self) {
        let MadeOf::Real(plane) = &self.made_of else {
            return;
        };
        {
            let mut plane = plane.lock().expect("nobody panicked");
            plane.api_server.kill();
            plane.api_server.start();
        }
        ready(&self.client).await;
    }
}

pub(crate) async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .expect("a config");
    Client::try_from(config).expect("a client")
}

fn write_kubeconfig(path: &Path, server: &str, token: Option<&str>) {
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": {"server": server, "insecure-skip-tls-verify": token.is_some()},
        }],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "current-context": "test",
    });
    std::fs::write(path, kubeconfig.to_string()).expect("a file");
}

/// Installs the CRDs and waits until they are served.
pub async fn install_crds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let params = PatchParams::apply("konductor-tests").force();
    for crd in konductor_api::crds() {
        let name = crd.name_any();
        let applied = api.patch(&name, &params, &Patch::Apply(&crd)).await;
        applied.unwrap_or_else(|error| panic!("{name}: {error}"));
        let established = conditions::is_crd_established();
        let wait = await_condition(api.clone(), &name, established);
        tokio::time::timeout(START_WITHIN, wait)
            .await
            .expect("in time")
            .expect("established");
    }
}

async fn ready(client: &Client) {
    let begun = Instant::now();
    loop {
        let request = http::Request::get("/readyz")
            .body(Vec::new())
            .expect("a request");
        match client.request_text(request).await {
            Ok(text) if text == "ok" => return,
            other => assert!(begun.elapsed() < START_WITHIN, "not ready: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// etcd, kube-apiserver and kube-controller-manager as processes of this one.
struct ControlPlane {
    // Stopped in this order: nobody is left to complain about who is gone.
    _controller_manager: Component,
    api_server: Component,
    _etcd: Component,
}

impl ControlPlane {
    async fn start(folder: &Path) -> Self {
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
                "--unsafe-no-fsync".into(),
            ],
        );
        let key = folder.join("service-account.key");
        let made = Command::new(binaries.join("service-account-key"))
            .output()
            .expect("a key");
        std::fs::write(&key, made.stdout).expect("a file");
        let tokens = folder.join("tokens.csv");
        std::fs::write(&tokens, "admin-token,admin,admin,system:masters\n").expect("a file");
        let api_server = Component::new(
            &binaries,
            folder,
            "kube-apiserver",
            vec![
                format!("--etcd-servers={etcd_url}"),
                "--bind-address=127.0.0.1".into(),
                format!("--secure-port={port}"),
                format!("--cert-dir={}", folder.join("certificates").display()),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                format!("--service-account-key-file={}", key.display()),
                format!("--service-account-signing-key-file={}", key.display()),
                format!("--token-auth-file={}", tokens.display()),
                "--authorization-mode=RBAC".into(),
                "--service-cluster-ip-range=10.0.0.0/24".into(),
                "--allow-privileged=true".into(),
                // Without nodes, no pod needs a token.
                "--disable-admission-plugins=ServiceAccount".into(),
            ],
        );
        let kubeconfig = folder.join("kubeconfig");
        write_kubeconfig(
            &kubeconfig,
            &format!("https://127.0.0.1:{port}"),
            Some("admin-token"),
        );
        ready(&client(&kubeconfig).await).await;
        let controllers = "clusterrole-aggregation-controller,job-controller,cronjob-controller,\
            garbage-collector-controller,namespace-controller,pod-garbage-collector-controller,\
            ttl-after-finished-controller";
        let controller_manager = Component::new(
            &binaries,
            folder,
            "kube-controller-manager",
            vec![
                format!("--kubeconfig={}", kubeconfig.display()),
                format!("--service-account-private-key-file={}", key.display()),
                format!("--controllers={controllers}"),
                "--leader-elect=false".into(),
                "--kube-api-qps=500".into(),
                "--kube-api-burst=1000".into(),
                "--secure-port=0".into(),
            ],
        );
        Self {
            _controller_manager: controller_manager,
            api_server,
            _etcd: etcd,
        }
    }
}

/// Builds the components, or finds them built.
fn binaries() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/build");
    let built = Command::new(&script).stderr(Stdio::inherit()).output();
    let built = built.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(built.status.success(), "{} failed", script.display());
    PathBuf::from(String::from_utf8(built.stdout).expect("a path").trim())
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are bound before any is given back, so they differ.
    let bound = [(); N].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
    bound.map(|listener| listener.local_addr().expect("an address").port())
}

/// One process. It ends when this one does, however that ends: its standard input is a pipe from
/// here.
struct Component {
    program: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Component {
    fn new(binaries: &Path, folder: &Path, name: &str, arguments: Vec<String>) -> Self {
        let log = folder.join(format!("{name}.log"));
        let mut one = Self {
            program: binaries.join(name),
            arguments,
            log,
            child: None,
        };
        one.start();
        one
    }

    fn start(&mut self) {
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
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that fails tells why on stderr")]
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
