//! The leader example of each SDK while the API server is away: a real one, that is killed and started later.
//!
//! `KONDUCTOR_OUTAGE=60 KONDUCTOR_TEST_CLUSTER=real cargo test --workspace --test outages leaders -- --nocapture`
//! keeps it away for a minute, with a TTL as in production.

use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::future::join_all;
use konductor_api::{Claim, ClaimPhase};
use kube::api::ListParams;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::api;
use super::history::leases_had_one_holder_and_tokens_rose;
use super::outage::make;
use crate::built::{example, python};
use crate::cluster::Cluster;
use crate::operator::Operator;

/// How long a program may take to print what it must, once it can.
const WITHIN: Duration = Duration::from_secs(60);

/// A leader loses the lead before its TTL is over, stands by, leads again with a higher token, and releases the Lease
/// at SIGTERM.
pub async fn leaders_of_each_sdk_stand_by_while_the_api_server_is_away(cluster: &Cluster) {
    let outage = std::env::var("KONDUCTOR_OUTAGE").ok();
    let outage = outage.map(|text| Duration::from_secs(text.parse().expect("seconds")));
    let ttl = Duration::from_secs(if outage.is_some() { 15 } else { 10 });
    let operator = Operator::start_everywhere(cluster);
    let folder = tempfile::tempdir().expect("a folder");
    let mut leaders = Vec::new();
    for (language, program) in programs(folder.path()).await {
        let namespace = cluster.namespace(language).await;
        let spec = json!({"ttl": format!("{}s", ttl.as_secs())});
        make(cluster, &namespace, "Lease", "scheduler", spec).await;
        let kubeconfig = folder.path().join(&namespace);
        write_kubeconfig(cluster, &namespace, &kubeconfig);
        leaders.push(Leader::start(language, namespace, program, &kubeconfig));
    }
    let tokens = join_all(leaders.iter_mut().map(Leader::leads)).await;

    cluster.kill_api_server();
    let away = Instant::now();
    let lost = leaders.iter_mut().map(async |leader: &mut Leader| {
        leader.prints("lost the lead").await;
        let after = away.elapsed();
        assert!(
            after < ttl,
            "{} noticed after {after:?}, with a TTL of {ttl:?}",
            leader.language
        );
        leader.report("lost the lead", after);
        leader.prints("standing by").await;
    });
    join_all(lost).await;
    tokio::time::sleep(outage.unwrap_or_default().saturating_sub(away.elapsed())).await;
    cluster.start_api_server().await;
    let back = Instant::now();
    let again = leaders
        .iter_mut()
        .zip(tokens)
        .map(async |(leader, before): (&mut Leader, i64)| {
            let after = leader.leads().await;
            assert!(before < after, "{}: {before}, {after}", leader.language);
            leader.report("leads again", back.elapsed());
        });
    join_all(again).await;

    for leader in leaders {
        let namespace = leader.end().await;
        let claims = api::<Claim>(cluster, &namespace);
        let claims = claims.list(&ListParams::default()).await.expect("claims");
        let held = claims.iter().filter(|claim| {
            let status = claim.status.as_ref();
            status.is_some_and(|status| status.phase == ClaimPhase::Granted)
        });
        assert_eq!(held.count(), 0, "{namespace} has released");
        leases_had_one_holder_and_tokens_rose(cluster, &namespace).await;
    }
    operator.stop().await;
}

/// The leader examples, built. Without a Python that has what its SDK needs, there are two.
async fn programs(folder: &Path) -> Vec<(&'static str, Command)> {
    let sdks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk");
    let go = folder.join("leader-election");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&go)
        .arg("./examples/leader-election")
        .current_dir(sdks.join("go"))
        .status()
        .await;
    assert!(built.expect("go runs").success(), "the Go example builds");
    let rust = tokio::task::block_in_place(|| example("leader_election"));
    let mut programs = vec![("rust", Command::new(rust)), ("go", Command::new(go))];
    if let Some(python) = python() {
        let mut program = Command::new(python);
        program
            .arg("-B")
            .arg(sdks.join("python/examples/leader_election.py"))
            .env("PYTHONPATH", sdks.join("python/src"));
        programs.push(("python", program));
    }
    programs
}

/// Writes the cluster's kubeconfig with another namespace.
fn write_kubeconfig(cluster: &Cluster, namespace: &str, path: &Path) {
    let text = std::fs::read(&cluster.kubeconfig).expect("a kubeconfig");
    let mut kubeconfig: Value = serde_json::from_slice(&text).expect("JSON");
    kubeconfig["contexts"][0]["context"]["namespace"] = json!(namespace);
    std::fs::write(path, kubeconfig.to_string()).expect("a file");
}

/// A program that runs, and the lines that it prints or logs.
struct Leader {
    language: &'static str,
    namespace: String,
    child: Child,
    lines: UnboundedReceiver<String>,
}

impl Leader {
    fn start(
        language: &'static str,
        namespace: String,
        mut program: Command,
        kubeconfig: &Path,
    ) -> Self {
        let mut child = program
            .env("KUBECONFIG", kubeconfig)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, lines) = mpsc::unbounded_channel();
        tokio::spawn(pass(child.stdout.take().expect("stdout"), sender.clone()));
        tokio::spawn(pass(child.stderr.take().expect("stderr"), sender));
        Self {
            language,
            namespace,
            child,
            lines,
        }
    }

    /// Waits for a line with these words.
    async fn prints(&mut self, words: &str) -> String {
        let mut before = Vec::new();
        let search = tokio::time::timeout(WITHIN, async {
            while let Some(line) = self.lines.recv().await {
                if line.contains(words) {
                    return Some(line);
                }
                before.push(line);
            }
            None
        });
        match search.await {
            Ok(Some(line)) => line,
            other => panic!(
                "{} printed no {words:?} ({other:?}), but {before:?}",
                self.language
            ),
        }
    }

    /// Waits until it leads; its token.
    async fn leads(&mut self) -> i64 {
        let line = self.prints("leading").await;
        let (_, token) = line.rsplit_once("token").expect("a token");
        let token = token.trim_start_matches([' ', '=']).parse();
        token.unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    /// Reports how long something took, past what the test runner captures.
    fn report(&self, what: &str, after: Duration) {
        let _ = writeln!(io::stderr(), "{} {what} {after:.1?} later", self.language);
    }

    /// Ends it as Kubernetes ends a pod; its namespace.
    async fn end(mut self) -> String {
        kill_process(self.id(), Signal::TERM).expect("it runs");
        let ended = tokio::time::timeout(WITHIN, self.child.wait()).await;
        let ended = ended.expect("in time").expect("it ends");
        assert!(ended.code().is_some(), "{} {ended}", self.language);
        self.namespace
    }

    fn id(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        id.and_then(Pid::from_raw).expect("it runs")
    }
}

async fn pass(from: impl AsyncRead + Unpin, to: UnboundedSender<String>) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if to.send(line).is_err() {
            return;
        }
    }
}
