//! Those who look at an operator: Prometheus, Jaeger and a collector of traces, on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use konductor_operator::{TraceSettings, Traces};
use kube::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::control_plane::{Component, free_ports};
use crate::watching::WITHIN;

/// The folder of a program in `PATH`.
pub fn folder_of(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).find(|folder| folder.join(program).is_file())
}

/// A port of loopback that is free.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// A server of plain HTTP on loopback, and a client of it.
pub struct Server {
    client: Client,
    _component: Component,
    _folder: TempDir,
}

impl Server {
    async fn start(
        binaries: &Path,
        name: &str,
        port: u16,
        folder: TempDir,
        arguments: Vec<String>,
    ) -> Self {
        let component = Component::new(binaries, folder.path(), name, arguments);
        let server = Self {
            client: client(port),
            _component: component,
            _folder: folder,
        };
        server.until("/", |_| true).await;
        server
    }

    /// Asks for a path; `None` if it is not answered with success.
    pub async fn get(&self, path: &str) -> Option<String> {
        let request = http::Request::get(path).body(Vec::new());
        let answer = self.client.request_text(request.expect("a request"));
        answer.await.ok()
    }

    /// Asks again and again until the answer is as expected.
    ///
    /// # Panics
    /// If that takes too long, with the last answer.
    pub async fn until(&self, path: &str, is_expected: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let answer = self.get(path).await;
            if let Some(answer) = answer.as_deref().filter(|answer| is_expected(answer)) {
                return answer.to_owned();
            }
            assert!(begun.elapsed() < WITHIN, "{path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

fn client(port: u16) -> Client {
    let url = format!("http://127.0.0.1:{port}").parse().expect("a URL");
    Client::try_from(Config::new(url)).expect("a client")
}

/// Starts a Prometheus that scrapes these ports every second by a rule file, with honor_labels.
pub async fn prometheus(binaries: &Path, ports: &[u16], rules: &str) -> Server {
    let folder = tempfile::tempdir().expect("a folder");
    let targets = ports.iter().map(|port| format!("127.0.0.1:{port}"));
    let config = serde_json::json!({
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": ["rules.yaml"],
        "scrape_configs": [{
            "job_name": "konductor", "honor_labels": true,
            "static_configs": [{"targets": targets.collect::<Vec<_>>()}],
        }],
    });
    let path = |name: &str| folder.path().join(name);
    // JSON is YAML.
    std::fs::write(path("prometheus.yml"), config.to_string()).expect("a file");
    std::fs::write(path("rules.yaml"), rules).expect("a file");
    let port = free_port();
    let arguments = vec![
        format!("--config.file={}", path("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", path("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--log.level=warn".to_owned(),
    ];
    let server = Server::start(binaries, "prometheus", port, folder, arguments).await;
    server.until("/-/ready", |_| true).await;
    server
}

/// The Jaeger that `tests/jaeger/build` has built; `KONDUCTOR_TEST_JAEGER=1` builds it.
pub fn jaeger_built() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("jaeger/build");
    let mut build = Command::new(script);
    if std::env::var_os("KONDUCTOR_TEST_JAEGER").is_none() {
        build.arg("--cached");
    }
    let output = build.stderr(Stdio::inherit()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(text.trim()))
}

/// A Jaeger that keeps traces in memory: the server of its API, and the address that takes traces.
pub async fn jaeger(program: &Path) -> (Server, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let ports: [u16; 14] = free_ports();
    let [query, otlp, rest @ ..] = ports;
    let mut arguments = vec![
        format!("--query.http-server.host-port=127.0.0.1:{query}"),
        format!("--collector.otlp.http.host-port=127.0.0.1:{otlp}"),
        "--collector.otlp.enabled=true".to_owned(),
        "--log-level=error".to_owned(),
    ];
    let others = [
        "admin.http.host-port",
        "collector.grpc-server.host-port",
        "collector.http-server.host-port",
        "collector.otlp.grpc.host-port",
        "query.grpc-server.host-port",
        "http-server.host-port",
        "processor.jaeger-compact.server-host-port",
        "processor.jaeger-binary.server-host-port",
        "processor.zipkin-compact.server-host-port",
    ];
    let supported = Command::new(program).arg("help").output();
    let supported = supported.map(|help| String::from_utf8_lossy(&help.stdout).into_owned());
    let supported = supported.unwrap_or_default();
    for (option, port) in others.iter().zip(rest) {
        // Versions differ in what they listen for.
        if supported.contains(&format!("--{option} ")) {
            arguments.push(format!("--{option}=127.0.0.1:{port}"));
        }
    }
    let binaries = program.parent().expect("a folder");
    let server = Server::start(binaries, "jaeger", query, folder, arguments).await;
    (server, format!("http://127.0.0.1:{otlp}"))
}

/// Exports to a collector.
///
/// # Panics
/// If its address is none.
pub async fn traces(url: &str) -> Traces {
    let settings = TraceSettings::read(Some(url), |_| None).expect("right");
    Traces::new(settings.expect("some"))
        .await
        .expect("a client")
}

/// A span, as a collector has received it.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    /// The trace.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent's, or nothing.
    pub parent: String,
    /// Its name.
    pub name: String,
    /// When it began and ended, in nanoseconds since 1970.
    pub times: (i64, i64),
    /// Its own attributes, and those of its resource.
    pub attributes: BTreeMap<String, String>,
}

/// A collector of traces that a test can look into.
pub struct Collector {
    /// Its address.
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    /// How it answers.
    answer: watch::Sender<Option<StatusCode>>,
    /// How it answers requests with these texts instead.
    by_text: Mutex<BTreeMap<String, StatusCode>>,
    requests: watch::Sender<usize>,
    spans: Mutex<Vec<Received>>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// Starts one that answers every request with this code, or with `None` never.
    pub async fn start(answer: Option<StatusCode>) -> Self {
        let shared = Arc::new(Shared {
            answer: watch::Sender::new(answer),
            by_text: Mutex::default(),
            requests: watch::Sender::new(0),
            spans: Mutex::default(),
        });
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, routes).await;
        });
        Self {
            url: format!("http://{address}"),
            shared,
            task,
        }
    }

    /// Answers like this from now on.
    pub fn answers(&self, answer: Option<StatusCode>) {
        self.shared.answer.send_replace(answer);
    }

    /// Answers like this from now on to requests with this text.
    pub fn answers_to(&self, text: &str, code: StatusCode) {
        let by_text = self.shared.by_text.lock();
        let mut by_text = by_text.unwrap_or_else(PoisonError::into_inner);
        by_text.insert(text.to_owned(), code);
    }

    /// Waits until it was asked so often.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn asked(&self, times: usize) {
        let mut requests = self.shared.requests.subscribe();
        let reached = requests.wait_for(|requests| *requests >= times);
        let reached = tokio::time::timeout(WITHIN, reached).await;
        reached.expect("in time").expect("it serves");
    }

    /// The spans that it has accepted.
    pub fn spans(&self) -> Vec<Received> {
        let spans = self.shared.spans.lock();
        spans.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn take(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> StatusCode {
    let mut answer = shared.answer.subscribe();
    shared.requests.send_modify(|count| *count += 1);
    let Ok(code) = answer.wait_for(Option::is_some).await.map(|code| *code) else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let by_text = shared.by_text.lock();
    let by_text = by_text.unwrap_or_else(PoisonError::into_inner).clone();
    let by_text = by_text.iter().find(|(text, _)| body.contains(*text));
    let code = by_text.map_or(code.unwrap_or(StatusCode::OK), |(_, code)| *code);
    if code.is_success() {
        assert_eq!(headers["content-type"], "application/json");
        let received = spans(&serde_json::from_str(&body).expect("JSON"));
        let mut spans = shared.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(received);
    }
    code
}

fn spans(body: &Value) -> Vec<Received> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut received = Vec::new();
    for of_resource in list(&body["resourceSpans"]) {
        let resource = list(&of_resource["resource"]["attributes"]);
        for of_scope in list(&of_resource["scopeSpans"]) {
            for span in list(&of_scope["spans"]) {
                let text = |name: &str| span[name].as_str().unwrap_or_default().to_owned();
                let time = |name: &str| text(name).parse().expect("nanoseconds");
                let own = list(&span["attributes"]);
                let pairs = resource.iter().chain(&own).map(|pair| {
                    let value = pair["value"]["stringValue"].as_str();
                    let key = pair["key"].as_str().unwrap_or_default().to_owned();
                    (key, value.unwrap_or_default().to_owned())
                });
                received.push(Received {
                    trace: text("traceId"),
                    id: text("spanId"),
                    parent: text("parentSpanId"),
                    name: text("name"),
                    times: (time("startTimeUnixNano"), time("endTimeUnixNano")),
                    attributes: pairs.collect(),
                });
            }
        }
    }
    received
}
