//! Many workers on one Semaphore, of all SDKs on a real API server: a counter outside of Kubernetes
//! counts how many are inside at once.
//!
//! `KONDUCTOR_TEST_CLUSTER=real cargo test -p konductor-tests --test workers -- --nocapture` prints
//! what it costs.
#![expect(clippy::print_stdout, reason = "the figures are for people")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use konductor::Client;
use konductor_api::{Claim, Semaphore, SemaphoreSpec};
use konductor_tests::built::python;
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::fault::Faults;
use konductor_tests::operator::Operator;
use konductor_tests::turnstile::{Counted, Turnstile, pass};
use kube::Api;
use kube::api::{ListParams, PostParams};
use libtest_mimic::{Arguments, Trial};
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const PERMITS: usize = 10;
/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(500);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let embedded = Trial::test(
        "embedded::of_100_workers_never_more_than_10_are_inside",
        || {
            Runtime::new()?.block_on(async { play(&Cluster::embedded().await, 100, None).await });
            Ok(())
        },
    );
    let real = "real::of_500_rust_and_500_go_workers_never_more_than_10_are_inside";
    let real = Trial::test(real, || {
        Runtime::new()?.block_on(async {
            let built = build().await;
            let program = Command::new(built.path().join("workers"));
            play(&Cluster::real().await, 500, Some((program, 500))).await;
        });
        Ok(())
    });
    let real = real.with_ignored_flag(wanted() == Wanted::None);
    let name = "real::of_500_rust_and_500_python_workers_never_more_than_10_are_inside";
    let python = python();
    let is_missing = python.is_none();
    let with_python = Trial::test(name, move || {
        let python = python.ok_or("no Python 3.10 with the SDK's packages")?;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
        let mut program = Command::new(python);
        program.args(["-B", "tests/workers.py"]);
        program
            .env("PYTHONPATH", folder.join("src"))
            .current_dir(folder);
        Runtime::new()?.block_on(async {
            play(&Cluster::real().await, 500, Some((program, 500))).await;
        });
        Ok(())
    });
    let with_python = with_python.with_ignored_flag(is_missing || wanted() == Wanted::None);
    libtest_mimic::run(&arguments, vec![embedded, real, with_python]).exit_code()
}

/// So many workers of the Rust SDK pass once, and as many as that of another one's program.
async fn play(cluster: &Cluster, rust: usize, others: Option<(Command, usize)>) {
    let namespace = cluster.namespace("workers").await;
    let operator = Operator::start(cluster, &namespace);
    let semaphores: Api<Semaphore> = Api::namespaced(cluster.client.clone(), &namespace);
    let spec: SemaphoreSpec =
        serde_json::from_value(serde_json::json!({"permits": PERMITS})).expect("a spec");
    let semaphore = Semaphore::new("batch", spec);
    let created = semaphores.create(&PostParams::default(), &semaphore).await;
    created.expect("a semaphore");
    let turnstile = Turnstile::start(PERMITS).await;
    // It makes no faults: it lists the requests.
    let observed = Faults::default();
    let client = Client::new(observed.client(&cluster.client), &namespace);
    let before = requests(cluster).await;
    let begun = Instant::now();

    let count = rust + others.as_ref().map_or(0, |(_, count)| *count);
    let others = others.map(|(mut program, count)| {
        let counter = turnstile.address().to_string();
        program.args(["--namespace", &namespace, "--counter", &counter]);
        program.args(["--workers", &count.to_string()]);
        start(program.env("KUBECONFIG", &cluster.kubeconfig))
    });
    let mut workers = JoinSet::new();
    for worker in 0..rust {
        let request = client.semaphore("batch").holder(format!("rust-{worker}"));
        let counter = turnstile.address();
        workers.spawn(async move {
            let permit = request.acquire().await?;
            pass(counter).await.expect("the counter answers");
            permit.check()?;
            permit.release().await
        });
    }
    let all = async {
        while let Some(worker) = workers.join_next().await {
            worker.expect("no panic").expect("it has worked");
        }
        if let Some(others) = others {
            let ended = others.wait_with_output().await.expect("an output");
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert_eq!((ended.status.code(), said.as_str()), (Some(0), ""));
        }
    };
    let all = tokio::time::timeout(WITHIN, all).await;
    all.unwrap_or_else(|_| panic!("in time; so far {:?}", turnstile.counted()));

    let took = begun.elapsed();
    let expected = Counted {
        inside: 0,
        most: PERMITS,
        done: count,
    };
    assert_eq!(turnstile.counted(), expected);
    let claims: Api<Claim> = Api::namespaced(cluster.client.clone(), &namespace);
    let left = claims.list(&ListParams::default()).await.expect("claims");
    assert_eq!(left.items.len(), 0, "claims are left");
    operator.stop().await;
    println!("{count} workers took {:.1} s", took.as_secs_f64());
    report("each Rust worker", &sorted(observed.requests()), rust);
    if cluster.is_real() {
        let after = requests(cluster).await;
        let made = after.iter().map(|(request, count)| {
            let before = before.get(request).copied().unwrap_or_default();
            (request.clone(), count - before)
        });
        let made: BTreeMap<_, _> = made.filter(|(_, count)| *count > 0).collect();
        report("each worker, with the operator's", &made, count);
        ledger(cluster, &namespace).await;
    }
}

/// No version of the ledger that was ever stored has more holders than permits.
async fn ledger(cluster: &Cluster, namespace: &str) {
    let stored = cluster.stored::<Semaphore>(namespace).await;
    let most = stored
        .iter()
        .filter_map(|semaphore| semaphore.status.as_ref());
    let most = most.map(|status| {
        status
            .holders
            .iter()
            .map(|holder| holder.permits)
            .sum::<u32>()
    });
    assert_eq!(most.max(), u32::try_from(PERMITS).ok());
    println!("the ledger was written {} times", stored.len());
}

/// Builds the workers of the Go SDK.
async fn build() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let built = Command::new("go")
        .arg("build")
        .arg("-o")
        .arg(folder.path().join("workers"))
        .arg("./internal/workers")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/go"))
        .status();
    assert!(
        built.await.expect("go runs").success(),
        "the Go workers do not build"
    );
    folder
}

fn start(command: &mut Command) -> Child {
    let command = command
        .kill_on_drop(true)
        .stdin(Stdio::null())
        .stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

/// How often the API server was asked for what of ours, by its own account.
async fn requests(cluster: &Cluster) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new());
    let request = request.expect("a request");
    let mut made = BTreeMap::new();
    if !cluster.is_real() {
        return made;
    }
    let text = cluster.client.request_text(request).await.expect("metrics");
    for line in text.lines() {
        let Some(line) = line.strip_prefix("apiserver_request_total{") else {
            continue;
        };
        let (labels, count) = line.rsplit_once("} ").expect("a count");
        let labels: BTreeMap<&str, &str> = labels
            .split("\",")
            .filter_map(|label| label.trim_end_matches('"').split_once("=\""))
            .collect();
        let label = |name| labels.get(name).copied().unwrap_or_default();
        if label("group") != "konductor.io" {
            continue;
        }
        let subresource = match label("subresource") {
            "" => String::new(),
            other => format!("/{other}"),
        };
        let verb = label("verb").to_lowercase();
        let request = format!(
            "{verb} {}{subresource} {}",
            label("resource"),
            label("code")
        );
        *made.entry(request).or_default() += count.parse::<f64>().expect("a number") as u64;
    }
    made
}

fn sorted(requests: Vec<String>) -> BTreeMap<String, u64> {
    let mut sorted = BTreeMap::new();
    for request in requests {
        *sorted.entry(request).or_default() += 1;
    }
    sorted
}

fn report(whose: &str, made: &BTreeMap<String, u64>, workers: usize) {
    let each = |count: u64| count as f64 / workers as f64;
    println!("{whose}: {:.2} requests", each(made.values().sum()));
    for (request, count) in made {
        println!("  {:>6.2}  {request} ({count})", each(*count));
    }
}
