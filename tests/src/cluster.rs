//! Clusters: the embedded one, a real control plane that is started here, or one that is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use konductor_local::runner::job::{BackOff, JobController};
use konductor_local::{Access, ApiServer, Controllers, ServerOptions};
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tempfile::TempDir;

use crate::control_plane::{ControlPlane, PlaneOptions, binaries};
use crate::node::{Node, SERVICES};

/// How long a component may take to answer.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(90);

/// A cluster with the CRDs of konductor and a Job controller, without nodes.
pub struct Cluster {
    /// A client with every right.
    pub client: Client,
    /// The same rights, for programs.
    pub kubeconfig: PathBuf,
    // Ended before what it belongs to.
    node: Option<Mutex<Node>>,
    folder: TempDir,
    made_of: MadeOf,
}

enum MadeOf {
    Embedded {
        _controllers: Option<(JobController, Controllers)>,
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

/// The kubectl that is built with the control plane.
///
/// # Panics
/// If it can't be built.
pub fn built_kubectl() -> PathBuf {
    binaries().join("kubectl")
}

impl Cluster {
    /// The embedded API server with its own Job controller, also over HTTP on loopback.
    pub async fn embedded() -> Self {
        let api = ApiServer::new(ServerOptions::default());
        let controllers = (
            JobController::start(&api, BackOff::default()),
            Controllers::start(&api),
        );
        Self::serve(api, Some(controllers)).await
    }

    /// Only the embedded API server: nobody but its clients changes anything.
    pub async fn embedded_without_controllers() -> Self {
        Self::serve(ApiServer::new(ServerOptions::default()), None).await
    }

    async fn serve(api: ApiServer, controllers: Option<(JobController, Controllers)>) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let folder = tempfile::tempdir().expect("a folder");
        let kubeconfig = folder.path().join("kubeconfig");
        let access = Access::generate().expect("a certificate");
        let written = access.write_kubeconfig(&kubeconfig, address, "default");
        written.expect("a file");
        let client = Client::new(api.router(), "default");
        let server = tokio::spawn(async move {
            let _ = api.serve(listener, &access, std::future::pending()).await;
        });
        install_crds(&client).await;
        let made_of = MadeOf::Embedded {
            _controllers: controllers,
            _server: server,
        };
        Self {
            client,
            kubeconfig,
            node: None,
            folder,
            made_of,
        }
    }

    /// A real cluster, as the environment asks for it.
    ///
    /// # Panics
    /// If it does not come up, with the end of what its components logged.
    pub async fn real() -> Self {
        Self::real_one(PlaneOptions::default()).await
    }

    /// The same, started here, with the admission plugin that lets only those who may delete an object give it an
    /// owner, as OpenShift has it.
    ///
    /// # Panics
    /// As [`Cluster::real`].
    pub async fn with_enforced_owner_references() -> Self {
        Self::real_one(PlaneOptions {
            plugins: &["OwnerReferencesPermissionEnforcement"],
            ..PlaneOptions::default()
        })
        .await
    }

    /// The same, but etcd waits until the disk has what it stores: for measuring.
    ///
    /// # Panics
    /// As [`Cluster::real`].
    pub async fn durable() -> Self {
        Self::real_one(PlaneOptions {
            durable: true,
            ..PlaneOptions::default()
        })
        .await
    }

    /// The same, and [`Cluster::requests_since`] knows every request.
    ///
    /// # Panics
    /// As [`Cluster::real`].
    pub async fn audited() -> Self {
        Self::real_one(PlaneOptions {
            durable: true,
            audits_all: true,
            ..PlaneOptions::default()
        })
        .await
    }

    async fn real_one(options: PlaneOptions<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (kubeconfig, made_of) = match wanted() {
            Wanted::External => {
                let path = std::env::var_os("KUBECONFIG").expect("KUBECONFIG names a cluster");
                (PathBuf::from(path), MadeOf::External)
            }
            Wanted::Real | Wanted::None => {
                let plane = ControlPlane::start(folder.path(), options).await;
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
            node: None,
            folder,
            made_of,
        }
    }

    /// A control plane that is started here, with a real node on which pods run.
    ///
    /// # Panics
    /// If it does not come up, with the end of what its components logged.
    pub async fn with_node() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = PlaneOptions {
            services: Some(SERVICES),
            ..PlaneOptions::default()
        };
        let plane = ControlPlane::start(folder.path(), options).await;
        let kubeconfig = folder.path().join("kubeconfig");
        let client = client(&kubeconfig).await;
        let node = Node::start(&client, &kubeconfig, plane.port()).await;
        Self {
            client,
            kubeconfig,
            node: Some(Mutex::new(node)),
            folder,
            made_of: MadeOf::Real(Box::new(Mutex::new(plane))),
        }
    }

    /// Its node.
    ///
    /// # Panics
    /// If it has none.
    pub fn node(&self) -> MutexGuard<'_, Node> {
        let node = self.node.as_ref().expect("a cluster with a node");
        node.lock().expect("nobody panicked")
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
        namespace(&self.client, &name).await;
        name
    }

    /// A client of one namespace.
    pub fn konductor(&self, namespace: &str) -> konductor::Client {
        konductor::Client::new(self.client.clone(), namespace)
    }

    fn control_plane(&self) -> Option<MutexGuard<'_, ControlPlane>> {
        match &self.made_of {
            MadeOf::Real(plane) => Some(plane.lock().expect("nobody panicked")),
            MadeOf::Embedded { .. } | MadeOf::External => None,
        }
    }

    /// Kills the API server and starts it again; the embedded one can't be.
    pub async fn restart_api_server(&self) {
        self.kill_api_server();
        self.start_api_server().await;
    }

    /// Kills the API server; the embedded one can't be.
    pub fn kill_api_server(&self) {
        if let Some(mut plane) = self.control_plane() {
            plane.kill_api_server();
        }
    }

    /// Starts the API server that was killed.
    pub async fn start_api_server(&self) {
        if let Some(mut plane) = self.control_plane() {
            plane.start_api_server();
        }
        ready(&self.client).await;
    }

    /// Ends the controllers: from then on nobody but clients changes anything.
    pub fn stop_controllers(&self) {
        if let Some(mut plane) = self.control_plane() {
            plane.stop_controllers();
        }
    }

    /// Kills etcd and starts it again with what it had stored; the embedded server has none.
    pub async fn restart_etcd(&self) {
        if let Some(mut plane) = self.control_plane() {
            plane.restart_etcd();
        }
        ready(&self.client).await;
    }

    /// The length of the audit log in bytes: where what is asked from now on begins. Zero where the control plane was
    /// not started here.
    pub fn audited_until(&self) -> u64 {
        let log = std::fs::metadata(self.folder.path().join("audit.log"));
        log.map_or(0, |log| log.len())
    }

    /// How often each caller has asked for what since a place in the audit log of [`Cluster::audited`]: by the first
    /// word of its user agent, the verb and the resource, with its subresource behind a slash. A watch counts when it
    /// ends. On other clusters nothing is known.
    ///
    /// # Panics
    /// If the log can't be read.
    pub fn requests_since(&self, place: u64) -> BTreeMap<(String, String, String), u64> {
        let mut requests = BTreeMap::new();
        let Ok(mut log) = File::open(self.folder.path().join("audit.log")) else {
            return requests;
        };
        log.seek(SeekFrom::Start(place)).expect("a place in it");
        for line in BufReader::new(log).lines() {
            // The last line may not be complete yet.
            let line = line.expect("text");
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let agent = text(&event["userAgent"]);
            let caller = agent.split('/').next().unwrap_or_default().to_owned();
            let request = (caller, text(&event["verb"]), resource(&event["objectRef"]));
            *requests.entry(request).or_insert(0) += 1;
        }
        requests
    }

    /// How many bytes etcd uses, with everything that was ever stored: nothing is compacted. Zero where the control
    /// plane was not started here.
    pub async fn stored_bytes(&self) -> u64 {
        let etcd = self.control_plane().map(|plane| plane.etcd());
        match etcd {
            Some(etcd) => etcd.bytes_in_use().await,
            None => 0,
        }
    }

    /// All requests of a service account, as the audit log has them; none is known where the control plane was not
    /// started here.
    pub(crate) fn requests_of(&self, namespace: &str, account: &str) -> Option<Vec<Value>> {
        let MadeOf::Real(_) = self.made_of else {
            return None;
        };
        let log = std::fs::read_to_string(self.folder.path().join("audit.log"));
        let user = format!("system:serviceaccount:{namespace}:{account}");
        let log = log.expect("an audit log");
        let events = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let its = events.filter(|event| event["user"]["username"] == *user);
        Some(its.collect())
    }

    /// The rights that a service account has ever used or tried to, by the audit log; none is known
    /// where the control plane was not started here.
    pub(crate) fn used_rights(&self, namespace: &str, account: &str) -> Option<BTreeSet<String>> {
        let its = self.requests_of(namespace, account)?;
        let rights = its.iter().filter_map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let object = event.get("objectRef")?;
            Some(right(
                &text(&event["verb"]),
                &text(&object["apiGroup"]),
                &resource(object),
            ))
        });
        Some(rights.collect())
    }

    /// Every version of every object of a kind of ours that was ever stored in a namespace, oldest
    /// first, as etcd has them: no watch can have missed one. Only where the control plane was
    /// started here.
    pub async fn stored<K>(&self, namespace: &str) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let begun = namespaces.get(namespace).await.expect("a namespace");
        let since = begun.resource_version().expect("a version");
        let etcd = self.control_plane().map(|plane| plane.etcd());
        let etcd = etcd.expect("a control plane of our own");
        let prefix = format!(
            "/registry/{}/{}/{namespace}/",
            K::group(&()),
            K::plural(&())
        );
        let stored = etcd
            .history(&prefix, since.parse().expect("a revision"))
            .await;
        let stored = stored.into_iter().map(serde_json::from_value);
        stored.collect::<Result<_, _>>().expect("of this kind")
    }
}

/// The resource of an `objectRef` of the audit log, with its subresource behind a slash.
fn resource(object: &Value) -> String {
    let name = object["resource"].as_str().unwrap_or_default();
    match object["subresource"].as_str() {
        Some(subresource) => format!("{name}/{subresource}"),
        None => name.to_owned(),
    }
}

/// A right as its words: `patch claims.konductor.io/status`.
pub(crate) fn right(verb: &str, group: &str, resource: &str) -> String {
    let (resource, subresource) = match resource.split_once('/') {
        Some((resource, subresource)) => (resource, format!("/{subresource}")),
        None => (resource, String::new()),
    };
    let dot = if group.is_empty() { "" } else { "." };
    format!("{verb} {resource}{dot}{group}{subresource}")
}

/// A client by a kubeconfig.
///
/// # Panics
/// If it is not one.
pub async fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .expect("a config");
    let connected = konductor::Client::from_config(config).expect("a client");
    connected.kube().clone()
}

/// Writes a kubeconfig.
///
/// # Panics
/// If it can't be written.
pub fn write_kubeconfig(path: &Path, server: &str, authority: Option<&Path>, token: Option<&str>) {
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": {"server": server, "certificate-authority": authority},
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

/// Makes a namespace.
///
/// # Panics
/// If the API server does not want it.
pub async fn namespace(client: &Client, name: &str) {
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let api: Api<Namespace> = Api::all(client.clone());
    let created = api.create(&PostParams::default(), &namespace).await;
    created.unwrap_or_else(|error| panic!("{name}: {error}"));
}

pub(crate) async fn ready(client: &Client) {
    let begun = Instant::now();
    loop {
        let request = http::Request::get("/readyz")
            .body(Vec::new())
            .expect("a request");
        // What listens there may never answer.
        let answer = tokio::time::timeout(START_WITHIN, client.request_text(request)).await;
        match answer {
            Ok(Ok(text)) if text == "ok" => return,
            other => assert!(begun.elapsed() < START_WITHIN, "not ready: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
