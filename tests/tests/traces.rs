//! Runs as traces: what a collector receives, what it may do to the operator, and what a real Jaeger shows.
//!
//! The tests with Jaeger need one that `tests/jaeger/build` has built; `KONDUCTOR_TEST_JAEGER=1` builds it. The program
//! that uses OpenTelemetry needs its packages for Python, in `target/otel` or where `KONDUCTOR_PYTHON_OTEL` says.
//! Where something is missing, a test is ignored by name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use axum::http::StatusCode;
use futures::FutureExt;
use futures::future::BoxFuture;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use konductor_api::{Run, annotation};
use konductor_operator::Options;
use konductor_tests::built::koncli;
use konductor_tests::cluster::Cluster;
use konductor_tests::dev::Dev;
use konductor_tests::kubelet::{Script, play};
use konductor_tests::observed::{Collector, Received, free_port, jaeger, jaeger_built, traces};
use konductor_tests::operator::OperatorProcess;
use konductor_tests::scenario::pipeline::{compiled, create, until_ended};
use konductor_tests::watching::until;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PIPELINE: &str = r#"
pipeline traced {
  lease l { ttl = 30s }
  defaults { image = "busybox:1.36" }
  stage a { run = "echo a" }
  stage b for i in 0..<2 after a holding l { run = "echo ${i}" }
}
"#;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let test = |name: &str, run: fn() -> BoxFuture<'static, ()>, is_missing: bool| {
        let trial = Trial::test(name, move || {
            Runtime::new().expect("threads").block_on(run());
            Ok(())
        });
        trial.with_ignored_flag(is_missing)
    };
    let without_jaeger = jaeger_built().is_none();
    let without_python = without_jaeger || python().is_none();
    let trials = vec![
        test(
            "run_is_exported_once_with_the_times_of_its_objects",
            || run_is_exported_once_with_the_times_of_its_objects().boxed(),
            false,
        ),
        test(
            "collector_that_is_away_delays_no_run_and_gets_its_trace_later",
            || collector_is_away().boxed(),
            false,
        ),
        test(
            "run_that_ended_while_nobody_exported_is_exported_by_the_next_operator",
            || ended_before().boxed(),
            false,
        ),
        test(
            "run_whose_export_fails_keeps_no_other_waiting",
            || run_whose_export_fails_keeps_no_other_waiting().boxed(),
            false,
        ),
        test(
            "operator_without_traces_gives_containers_no_place_in_one",
            || without_traces().boxed(),
            false,
        ),
        test(
            "operator_that_is_asked_for_nothing_has_no_connection_but_to_the_api_server",
            || asked_for_nothing().boxed(),
            !cfg!(target_os = "linux"),
        ),
        test(
            "fifty_stages_are_in_jaeger_once_although_the_operator_was_killed_at_their_end",
            || in_jaeger().boxed(),
            without_jaeger,
        ),
        test(
            "program_that_uses_opentelemetry_is_below_its_stage",
            || program_in_a_step().boxed(),
            without_python,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// An operator in this process that exports traces, until it is stopped.
struct Exporting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), konductor_operator::Error>>,
}

impl Exporting {
    async fn start(cluster: &Cluster, namespace: &str, collector: Option<&Collector>) -> Self {
        let options = Options {
            namespace: Some(namespace.to_owned()),
            traces: match collector {
                Some(collector) => Some(traces(&collector.url).await),
                None => None,
            },
            ..Options::default()
        };
        let (stop, stopped) = oneshot::channel();
        let stopped = stopped.map(drop);
        let operator = konductor_operator::run(cluster.client.clone(), options, stopped);
        Self {
            stop,
            task: tokio::spawn(operator),
        }
    }

    async fn stop(self) {
        drop(self.stop);
        self.task.await.expect("no panic").expect("it ended well");
    }
}

/// Waits until a Run says as which trace it was exported.
async fn until_exported(client: &Client, namespace: &str, run: &str) -> String {
    let is_exported = |run: &Run| trace_of(run).is_some();
    let run = until(client, namespace, run, is_exported).await;
    trace_of(&run).expect("a trace").to_owned()
}

fn trace_of(run: &Run) -> Option<&str> {
    run.status.as_ref()?.trace_id.as_deref()
}

fn named<'a>(spans: &'a [Received], name: &str) -> Vec<&'a Received> {
    spans.iter().filter(|span| span.name == name).collect()
}

fn nanoseconds(time: jiff::Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).expect("a time of our days")
}

/// The `TRACEPARENT` that each pod was given, by its Job.
async fn parents(client: &Client, namespace: &str) -> BTreeMap<String, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = pods.list(&ListParams::default()).await.expect("pods");
    let parents = pods.items.iter().filter_map(|pod| {
        let parent = pod.annotations().get(annotation::TRACEPARENT)?;
        Some((
            pod.labels()["batch.kubernetes.io/job-name"].clone(),
            parent.clone(),
        ))
    });
    parents.collect()
}

async fn run_is_exported_once_with_the_times_of_its_objects() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("exported").await;
    let collector = Collector::start(Some(StatusCode::OK)).await;
    let operator = Exporting::start(&cluster, &namespace, Some(&collector)).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    create(&cluster, &namespace, &compiled(PIPELINE)).await;
    let trace = until_exported(&cluster.client, &namespace, "traced").await;
    let spans = collector.spans();
    assert!(spans.iter().all(|span| span.trace == trace), "{spans:#?}");
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "each once");

    let run: Api<Run> = Api::namespaced(cluster.client.clone(), &namespace);
    let run = run.get("traced").await.expect("a run");
    let status = run.status.as_ref().expect("a status");
    let created = run.metadata.creation_timestamp.as_ref().expect("a time").0;
    let finished = status.finished_at.as_ref().expect("a time").0;
    let root = named(&spans, "RUN traced");
    let [root] = root[..] else { panic!("{root:?}") };
    assert_eq!(root.parent, "");
    assert_eq!(root.times, (nanoseconds(created), nanoseconds(finished)));
    let expected = [
        ("cicd.pipeline.name", "traced"),
        ("cicd.pipeline.result", "success"),
        (
            "cicd.pipeline.run.id",
            run.metadata.uid.as_deref().expect("a uid"),
        ),
        ("k8s.namespace.name", &namespace),
        ("service.name", "konductor"),
    ];
    for (name, value) in expected {
        assert_eq!(
            root.attributes.get(name).map(String::as_str),
            Some(value),
            "{name}"
        );
    }
    let jobs: Api<Job> = Api::namespaced(cluster.client.clone(), &namespace);
    let jobs = jobs.list(&ListParams::default()).await.expect("jobs").items;
    let parents = parents(&cluster.client, &namespace).await;
    assert_eq!(jobs.len(), 3);
    for job in &jobs {
        let uid = job.metadata.uid.as_deref().expect("a uid");
        let its = spans.iter().filter(|span| {
            span.attributes
                .get("cicd.pipeline.task.run.id")
                .map(String::as_str)
                == Some(uid)
        });
        let its: Vec<&Received> = its.collect();
        let [span] = its[..] else { panic!("{its:?}") };
        assert_eq!(span.parent, root.id);
        let completed = job
            .status
            .as_ref()
            .and_then(|status| status.completion_time.as_ref());
        assert_eq!(
            span.times.1,
            nanoseconds(completed.expect("a time").0),
            "{}",
            job.name_any()
        );
        let parent = format!("00-{trace}-{}-01", span.id);
        assert_eq!(parents.get(&job.name_any()), Some(&parent), "{parents:?}");
        let parts = spans.iter().filter(|part| part.parent == span.id);
        assert!(parts.clone().count() >= 1);
        for part in parts {
            let (begun, ended) = part.times;
            assert!(span.times.0 <= begun && begun <= ended && ended <= span.times.1);
        }
    }

    // The next operator does not export it again.
    operator.stop().await;
    let operator = Exporting::start(&cluster, &namespace, Some(&collector)).await;
    let again = PIPELINE.replace("pipeline traced", "pipeline again");
    create(&cluster, &namespace, &compiled(&again)).await;
    until_exported(&cluster.client, &namespace, "again").await;
    assert_eq!(named(&collector.spans(), "RUN traced").len(), 1);
    operator.stop().await;
}

async fn collector_is_away() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("away").await;
    // It takes connections, and says nothing.
    let collector = Collector::start(None).await;
    let operator = Exporting::start(&cluster, &namespace, Some(&collector)).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    create(&cluster, &namespace, &compiled(PIPELINE)).await;
    until_ended(&cluster, &namespace, "traced").await;
    collector.asked(1).await;
    let next = PIPELINE.replace("pipeline traced", "pipeline next");
    create(&cluster, &namespace, &compiled(&next)).await;
    let ended = until_ended(&cluster, &namespace, "next").await;
    assert_eq!(
        trace_of(&ended),
        None,
        "it ended while the first one is not exported"
    );
    // The operator that is stopped forgets what it had not exported; the next one finds it.
    operator.stop().await;
    collector.answers(Some(StatusCode::SERVICE_UNAVAILABLE));
    let operator = Exporting::start(&cluster, &namespace, Some(&collector)).await;
    collector.asked(3).await;
    assert_eq!(collector.spans(), []);
    collector.answers(Some(StatusCode::OK));
    for run in ["traced", "next"] {
        until_exported(&cluster.client, &namespace, run).await;
        assert_eq!(named(&collector.spans(), &format!("RUN {run}")).len(), 1);
    }
    operator.stop().await;
}

async fn ended_before() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("before").await;
    let operator = Exporting::start(&cluster, &namespace, None).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    for run in ["one", "two"] {
        runs_until_ended(&cluster, &namespace, run).await;
    }
    operator.stop().await;
    let collector = Collector::start(Some(StatusCode::OK)).await;
    let operator = Exporting::start(&cluster, &namespace, Some(&collector)).await;
    for run in ["one", "two"] {
        until_exported(&cluster.client, &namespace, run).await;
        assert_eq!(named(&collector.spans(), &format!("RUN {run}")).len(), 1);
    }
    operator.stop().await;
}

/// Runs the pipeline under this name.
async fn runs_until_ended(cluster: &Cluster, namespace: &str, run: &str) {
    let pipeline = PIPELINE.replace("pipeline traced", &format!("pipeline {run}"));
    create(cluster, namespace, &compiled(&pipeline)).await;
    until_ended(cluster, namespace, run).await;
}

async fn run_whose_export_fails_keeps_no_other_waiting() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("fails").await;
    let collector = Collector::start(Some(StatusCode::OK)).await;
    let [busy, large] = ["busy", "large"].map(|run| format!("RUN {run}"));
    collector.answers_to(&busy, StatusCode::SERVICE_UNAVAILABLE);
    collector.answers_to(&large, StatusCode::PAYLOAD_TOO_LARGE);
    let operator = Exporting::start(&cluster, &namespace, Some(&collector)).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    runs_until_ended(&cluster, &namespace, "busy").await;
    runs_until_ended(&cluster, &namespace, "large").await;
    collector.asked(2).await;
    for run in ["one", "two"] {
        runs_until_ended(&cluster, &namespace, run).await;
        until_exported(&cluster.client, &namespace, run).await;
    }
    let runs: Api<Run> = Api::namespaced(cluster.client.clone(), &namespace);
    for run in ["busy", "large"] {
        let run = runs.get(run).await.expect("a run");
        assert_eq!(trace_of(&run), None, "{}", run.name_any());
    }
    // The collector takes both now. What it was busy for is tried again, and what it refused is not.
    collector.answers_to(&busy, StatusCode::OK);
    collector.answers_to(&large, StatusCode::OK);
    until_exported(&cluster.client, &namespace, "busy").await;
    runs_until_ended(&cluster, &namespace, "three").await;
    until_exported(&cluster.client, &namespace, "three").await;
    let spans = collector.spans();
    assert_eq!(named(&spans, &busy).len(), 1);
    assert_eq!(named(&spans, &large), [] as [&Received; 0]);
    operator.stop().await;
}

async fn without_traces() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("untraced").await;
    let operator = Exporting::start(&cluster, &namespace, None).await;
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    create(&cluster, &namespace, &compiled(PIPELINE)).await;
    let ended = until_ended(&cluster, &namespace, "traced").await;
    assert_eq!(trace_of(&ended), None);
    assert_eq!(parents(&cluster.client, &namespace).await, BTreeMap::new());
    operator.stop().await;
}

/// Neither a web view nor metrics nor an exporter: each would have a socket.
async fn asked_for_nothing() {
    let cluster = Cluster::embedded().await;
    let namespace = cluster.namespace("nothing").await;
    let operator = OperatorProcess::start(&cluster, &namespace);
    let _kubelet = play(&cluster.client, &namespace, |_| Script::succeed());
    runs_until_ended(&cluster, &namespace, "asked").await;
    let kubeconfig = Kubeconfig::read_from(&cluster.kubeconfig).expect("a kubeconfig");
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let server = config.expect("a config").cluster_url.port_u16();
    let sockets = sockets(operator.id());
    assert!(!sockets.is_empty(), "it asks the API server");
    for socket in sockets {
        assert_eq!((socket.remote_port, socket.listens), (server, false));
    }
}

/// A TCP socket of a process.
struct Socket {
    remote_port: Option<u16>,
    listens: bool,
}

/// The TCP sockets of a process, as Linux lists them.
fn sockets(process: u32) -> Vec<Socket> {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let files = std::fs::read_dir(folder.join("fd")).expect("its files");
    let links = files.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok());
    let own: BTreeSet<String> = links
        .filter_map(|link| {
            let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect();
    let tables = ["net/tcp", "net/tcp6"].map(|table| std::fs::read_to_string(folder.join(table)));
    let lines = tables.iter().flatten().flat_map(|table| table.lines());
    // sl, local address, remote address, state, and the inode as the tenth.
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let of_process =
        fields.filter(|fields| fields.get(9).is_some_and(|inode| own.contains(*inode)));
    let sockets = of_process.map(|fields| {
        let (_, port) = fields[2].rsplit_once(':').expect("a port");
        Socket {
            remote_port: u16::from_str_radix(port, 16).ok(),
            listens: fields[3] == "0A",
        }
    });
    sockets.collect()
}

/// Starts a run of a file against `koncli dev`.
fn apply(dev: &Dev, folder: &Path, text: &str) {
    let file = folder.join("traced.kon");
    std::fs::write(&file, text).expect("a file");
    let applied = Command::new(koncli())
        .arg("apply")
        .arg(&file)
        .arg("--kubeconfig")
        .arg(&dev.kubeconfig)
        .output()
        .expect("koncli starts");
    assert!(applied.status.success(), "{applied:?}");
}

/// The spans of a trace, as Jaeger's API has them: by id, with their parents' ids.
fn of_jaeger(answer: &str) -> Vec<Value> {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    let spans = answer["data"][0]["spans"].as_array();
    spans.cloned().unwrap_or_default()
}

fn parent_of(span: &Value) -> &str {
    span["references"][0]["spanID"].as_str().unwrap_or_default()
}

fn microseconds(time: jiff::Timestamp) -> i64 {
    time.as_microsecond()
}

async fn in_jaeger() {
    let (jaeger, collector) = jaeger(&jaeger_built().expect("Jaeger")).await;
    let dev = Dev::start(&["--no-operator"]);
    let client = konductor_tests::cluster::client(&dev.kubeconfig).await;
    let operator = OperatorProcess::start_observed(&dev.kubeconfig, free_port(), Some(&collector));
    let folder = tempfile::tempdir().expect("a folder");
    let text = r#"
pipeline fifty {
  defaults { image = "busybox:1.36" }
  stage first { run = "true" }
  stage each for i in 0..<48 { run = "echo ${i}" }
  stage last after first, each { run = "true" }
}
"#
    .replace("for i in 0..<48", &list_of(48));
    apply(&dev, folder.path(), &text);
    let is_over = |run: &Run| {
        run.status
            .as_ref()
            .is_some_and(|status| status.finished_at.is_some())
    };
    let run: Run = until(&client, "default", "fifty", is_over).await;
    // Before or after its trace was exported, or between that and the mark.
    operator.kill();
    let port = free_port();
    let _next = OperatorProcess::start_observed(&dev.kubeconfig, port, Some(&collector));
    let trace = until_exported(&client, "default", "fifty").await;
    let jobs: Api<Job> = Api::namespaced(client.clone(), "default");
    let jobs = jobs.list(&ListParams::default()).await.expect("jobs").items;
    assert_eq!(jobs.len(), 50);
    let path = format!("/api/traces/{trace}");
    let tasks = |spans: &[Value]| {
        let is_task = |span: &&Value| tag(span, "cicd.pipeline.task.run.id").is_some();
        spans.iter().filter(is_task).count()
    };
    let answer = jaeger
        .until(&path, |answer| tasks(&of_jaeger(answer)) >= 50)
        .await;
    let spans = of_jaeger(&answer);
    let mut by_id: BTreeMap<&str, &Value> = BTreeMap::new();
    for span in &spans {
        let before = by_id.insert(span["spanID"].as_str().expect("an id"), span);
        // What was exported twice is the same.
        assert!(before.is_none_or(|before| before["startTime"] == span["startTime"]));
    }
    let root = by_id.values().find(|span| parent_of(span).is_empty());
    let root = *root.expect("the run");
    assert_eq!(root["operationName"], "RUN fifty");
    let created = run.metadata.creation_timestamp.as_ref().expect("a time").0;
    assert_eq!(root["startTime"], microseconds(created));
    let finished = run
        .status
        .and_then(|status| status.finished_at)
        .expect("an end")
        .0;
    let length = microseconds(finished) - microseconds(created);
    assert_eq!(root["duration"], length);
    let mut count = 0;
    for span in by_id
        .values()
        .filter(|span| span["spanID"] != root["spanID"])
    {
        let parent = by_id.get(parent_of(span)).expect("its parent is there");
        let Some(uid) = tag(span, "cicd.pipeline.task.run.id") else {
            assert!(tag(parent, "cicd.pipeline.task.run.id").is_some(), "{span}");
            continue;
        };
        assert_eq!(parent["spanID"], root["spanID"]);
        let job = jobs.iter().find(|job| job.uid().as_deref() == Some(uid));
        let status = job.and_then(|job| job.status.as_ref()).expect("its Job");
        let completed = status.completion_time.as_ref().expect("an end").0;
        let end = span["startTime"].as_i64().zip(span["duration"].as_i64());
        let (start, length) = end.expect("numbers");
        assert_eq!(start + length, microseconds(completed), "{span}");
        count += 1;
    }
    assert_eq!(count, 50);
}

/// Items that have Jobs of their own.
fn list_of(count: u32) -> String {
    let items: Vec<String> = (0..count).map(|item| format!("\"{item}\"")).collect();
    format!("for i in [{}]", items.join(", "))
}

fn tag<'a>(span: &'a Value, name: &str) -> Option<&'a str> {
    let tags = span["tags"].as_array()?;
    let tag = tags.iter().find(|tag| tag["key"] == name)?;
    tag["value"].as_str()
}

/// A Python with the packages of OpenTelemetry.
fn python() -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/otel/bin/python");
    let named = std::env::var_os("KONDUCTOR_PYTHON_OTEL").map(PathBuf::from);
    let mut candidates = named.into_iter().chain([venv]);
    candidates.find(|python| {
        let needs = "import opentelemetry.sdk.trace, opentelemetry.exporter.otlp.proto.http";
        let checked = Command::new(python)
            .args(["-c", needs])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        checked.is_ok_and(|status| status.success())
    })
}

/// What a user's program does, as the docs of OpenTelemetry have it.
const PROGRAM: &str = r#"
import os, sys
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider(resource=Resource({"service.name": "load"}))
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=sys.argv[1] + "/v1/traces")))
trace.set_tracer_provider(provider)
parent = extract({"traceparent": os.environ["TRACEPARENT"]})
with trace.get_tracer("load").start_as_current_span("load rows", context=parent):
    print("loaded")
provider.shutdown()
"#;

async fn program_in_a_step() {
    let (jaeger, collector) = jaeger(&jaeger_built().expect("Jaeger")).await;
    let dev = Dev::start(&["--no-operator"]);
    let client = konductor_tests::cluster::client(&dev.kubeconfig).await;
    let port = free_port();
    let _operator = OperatorProcess::start_observed(&dev.kubeconfig, port, Some(&collector));
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("load.py");
    std::fs::write(&program, PROGRAM).expect("a file");
    let python = python().expect("a Python");
    let command = format!("{} {} {collector}", python.display(), program.display());
    let text = format!(
        "pipeline traced {{ stage load {{ image = \"busybox:1.36\"  run = {command:?} }} }}"
    );
    apply(&dev, folder.path(), &text);
    let trace = until_exported(&client, "default", "traced").await;
    let path = format!("/api/traces/{trace}");
    let find = |answer: &str, name: &str| {
        let spans = of_jaeger(answer);
        spans.into_iter().find(|span| span["operationName"] == name)
    };
    let both = |answer: &str| find(answer, "load rows").is_some() && find(answer, "load").is_some();
    let answer = jaeger.until(&path, both).await;
    let own = find(&answer, "load rows").expect("its span");
    let stage = find(&answer, "load").expect("the stage");
    assert_eq!(
        parent_of(&own),
        stage["spanID"].as_str().unwrap_or_default(),
        "{answer}"
    );
}
