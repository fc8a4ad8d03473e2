//! The example programs of the Rust SDK, as people start them.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use konductor_tests::built::example;
use konductor_tests::cluster::Cluster;
use konductor_tests::front::Front;
use konductor_tests::operator::Operator;
use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long anything that must happen may take.
const WITHIN: Duration = Duration::from_secs(60);

/// A cluster with an operator, and a folder with a kubeconfig of one namespace.
struct Place {
    cluster: Cluster,
    namespace: String,
    folder: TempDir,
    _operator: Operator,
}

impl Place {
    async fn with(kind: &str, name: &str, spec: Value) -> Self {
        let cluster = Cluster::embedded().await;
        let namespace = cluster.namespace("examples").await;
        let folder = tempfile::tempdir().expect("a folder");
        let text = fs::read(&cluster.kubeconfig).expect("a kubeconfig");
        write_with_namespace(&folder.path().join("kubeconfig"), &text, &namespace);
        let place = Self {
            _operator: Operator::start(&cluster, &namespace),
            cluster,
            namespace,
            folder,
        };
        let made = json!({
            "apiVersion": "konductor.io/v1", "kind": kind,
            "metadata": {"name": name}, "spec": spec,
        });
        let made = serde_json::from_value(made).expect("an object");
        let created = place.api(kind).create(&PostParams::default(), &made).await;
        created.expect("it is created");
        place
    }

    /// Lets programs reach the API server through a front.
    fn lead_to(&self, front: &Front) {
        let path = self.folder.path().join("kubeconfig");
        front.write_kubeconfig(&path);
        let text = fs::read(&path).expect("a kubeconfig");
        write_with_namespace(&path, &text, &self.namespace);
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let kind = kube::api::GroupVersionKind::gvk("konductor.io", "v1", kind);
        let resource = kube::api::ApiResource::from_gvk(&kind);
        Api::namespaced_with(self.cluster.client.clone(), &self.namespace, &resource)
    }

    fn example(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(example(name));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("KUBECONFIG", self.folder.path().join("kubeconfig"))
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Starts an example, whose lines are read as they come.
    fn start(&self, name: &str, arguments: &[&str]) -> Program {
        let mut child = self.example(name, arguments).spawn().expect("it starts");
        let stdout = child.stdout.take().expect("stdout");
        Program {
            lines: BufReader::new(stdout).lines(),
            child,
        }
    }

    /// Runs an example to its end: its output, its errors and its exit code.
    async fn run(&self, name: &str, arguments: &[&str], input: &str) -> (String, String, i32) {
        let mut program = self.example(name, arguments).spawn().expect("it starts");
        let mut stdin = program.stdin.take().expect("stdin");
        // A program that reads nothing may have ended.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        ended(program).await
    }

    async fn claims(&self) -> usize {
        let claims = self.api("Claim").list(&ListParams::default()).await;
        claims.expect("claims").items.len()
    }
}

/// Writes a kubeconfig with another namespace.
fn write_with_namespace(path: &Path, kubeconfig: &[u8], namespace: &str) {
    let mut kubeconfig: Value = serde_json::from_slice(kubeconfig).expect("JSON");
    kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
    fs::write(path, kubeconfig.to_string()).expect("a file");
}

async fn ended(program: Child) -> (String, String, i32) {
    let ended = tokio::time::timeout(WITHIN, program.wait_with_output()).await;
    let Output {
        status,
        stdout,
        stderr,
    } = ended.expect("it ends").expect("an output");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (text(stdout), text(stderr), status.code().unwrap_or(-1))
}

/// A program that runs.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(WITHIN, self.lines.next_line()).await;
        let line = line.expect("it prints a line").expect("text");
        line.expect("it continues")
    }

    /// The number at the end of the next line, which begins so.
    async fn number(&mut self, before: &str) -> i64 {
        let line = self.line().await;
        let number = line.strip_prefix(before).map(str::parse);
        match number {
            Some(Ok(number)) => number,
            _ => panic!("{line:?} is not {before:?} and a number"),
        }
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.await.expect("kill runs").success(), "{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_pool_keeps_to_the_permits() {
    let place = Place::with("Semaphore", "database", json!({"permits": 2})).await;
    let (printed, said, code) = place.run("worker_pool", &["--items", "6"], "").await;
    let last = printed.lines().last();
    assert_eq!(
        (last, said.as_str(), code, place.claims().await),
        (Some("6 items done, at most 2 at once"), "", 0, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn map_reduce_adds_up_what_all_mappers_have_counted() {
    let place = Place::with("Barrier", "counted", json!({"expected": 2})).await;
    let mut reducer = place.start("map_reduce", &["reduce"]);
    for (name, text) in [("one.txt", "a b c"), ("two.txt", "d e")] {
        fs::write(place.folder.path().join(name), text).expect("a file");
        let mapped = place.run("map_reduce", &["map", name], "").await;
        assert_eq!(mapped, (String::new(), String::new(), 0));
    }
    assert_eq!(reducer.line().await, "5 words in 2 files");
}

#[tokio::test(flavor = "multi_thread")]
async fn map_reduce_ends_at_once_when_a_mapper_has_failed() {
    let place = Place::with("Barrier", "counted", json!({"expected": 2})).await;
    let mut reducer = place.example("map_reduce", &["reduce"]);
    let reducer = reducer.spawn().expect("it starts");
    let (_, said, code) = place.run("map_reduce", &["map", "missing"], "").await;
    assert_eq!((said.as_str(), code), (MISSING, 1));
    let (printed, said, code) = ended(reducer).await;
    let begins = format!(
        "barrier/counted in namespace {} is Failed: ",
        place.namespace
    );
    assert_eq!((printed.as_str(), code), ("", 1));
    assert_eq!(&said[..begins.len()], begins);
}

const MISSING: &str = "No such file or directory (os error 2)\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_stopped_for_too_long_stands_by_before_it_leads_again() {
    let place = Place::with("Lease", "scheduler", json!({"ttl": "5s"})).await;
    let mut first = place.start("leader_election", &["--resign-after", "600"]);
    assert_eq!(first.line().await, "standing by");
    let before = first.number("leading with token ").await;
    first.signal("STOP").await;
    let mut second = place.start("leader_election", &["--resign-after", "0.1"]);
    assert_eq!(second.line().await, "standing by");
    let between = second.number("leading with token ").await;
    assert_eq!(second.line().await, "resigning");
    assert!(second.child.wait().await.expect("it ends").success());
    first.signal("CONT").await;
    let lost = first.line().await;
    assert_eq!(lost, "lost the lead: it was not renewed in time");
    assert_eq!(first.line().await, "standing by");
    let after = first.number("leading with token ").await;
    assert!(before < between && between < after);
    // It releases the Lease although it did not resign: SIGTERM is what Kubernetes sends.
    first.signal("TERM").await;
    assert!(first.child.wait().await.expect("it ends").success());
    assert_eq!(place.claims().await, 0);
}

/// `KONDUCTOR_OUTAGE=60 cargo test --test sdk_examples outage -- --nocapture` keeps the API server away for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_stands_by_through_an_outage_and_releases_at_sigterm() {
    let outage = std::env::var("KONDUCTOR_OUTAGE").ok();
    let outage = outage.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let ttl = if outage.is_some() { "15s" } else { "1s" };
    let place = Place::with("Lease", "scheduler", json!({"ttl": ttl})).await;
    let mut front = Front::start(&place.cluster.client);
    place.lead_to(&front);
    let mut leader = place.start("leader_election", &[]);
    assert_eq!(leader.line().await, "standing by");
    let before = leader.number("leading with token ").await;
    front.kill();
    let away = Instant::now();
    let lost = leader.line().await;
    assert_eq!(lost, "lost the lead: it was not renewed in time");
    println!(
        "the lead was lost after {:.1} s",
        away.elapsed().as_secs_f64()
    );
    assert_eq!(leader.line().await, "standing by");
    tokio::time::sleep(outage.unwrap_or_default().saturating_sub(away.elapsed())).await;
    front.restart();
    let back = Instant::now();
    let after = leader.number("leading with token ").await;
    println!(
        "it leads again {:.1} s after the API server is back",
        back.elapsed().as_secs_f64()
    );
    assert!(before < after);
    leader.signal("TERM").await;
    assert!(leader.child.wait().await.expect("it ends").success());
    // The claim of a lead that was lost in a long outage has ended with its TTL.
    assert!(place.claims().await == 0 || outage.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_stopped_for_too_long_is_refused_by_the_storage() {
    let place = Place::with("Lease", "daily-report", json!({"ttl": "5s"})).await;
    let mut first = place.start("fenced_write", &[]);
    let old = first.number("holding with token ").await;
    first.signal("STOP").await;
    let (printed, said, code) = place.run("fenced_write", &[], "all is well\n").await;
    let lines: Vec<_> = printed.lines().collect();
    let [holding, written] = lines[..] else {
        panic!("{printed}")
    };
    let token = holding.trim_start_matches("holding with token ");
    let new: i64 = token.parse().expect("a token");
    assert_eq!(written, format!("written by the holder of token {new}"));
    assert_eq!((said.as_str(), code), ("", 0));
    first.signal("CONT").await;
    let mut stdin = first.child.stdin.take().expect("stdin");
    stdin.write_all(b"nothing is well").await.expect("it reads");
    drop(stdin);
    let (_, said, code) = ended(first.child).await;
    let refused = format!("not written: token {old}, but {new} has been seen\n");
    assert_eq!((said, code), (refused, 1));
    let file = fs::read_to_string(place.folder.path().join("report.json")).expect("a file");
    assert_eq!(file, format!(r#"{{"token":{new},"text":"all is well"}}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_without_end_is_kept_and_the_error_of_the_work_is_returned() {
    let place = Place::with("Lease", "report", json!({"ttl": "15s"})).await;
    let client = place.cluster.konductor(&place.namespace);
    let endless = Some(Duration::MAX);
    let guard = client.lease("report").timeout(endless).acquire().await;
    guard.expect("a guard").release().await.expect("a release");
    let gate = json!({"metadata": {"name": "open"}, "spec": {"decision": "Open"}});
    let gate = serde_json::from_value(gate).expect("a gate");
    let created = place
        .api("Gate")
        .create(&PostParams::default(), &gate)
        .await;
    created.expect("a gate");
    client.wait_gate("open", endless).await.expect("it opens");
    let failed: Result<(), konductor::Error> = client
        .lease("report")
        .with(async |_| Err(konductor::Error::NoRuntime))
        .await;
    assert!(
        matches!(failed, Err(konductor::Error::NoRuntime)),
        "{failed:?}"
    );
    assert_eq!(place.claims().await, 0);
}
