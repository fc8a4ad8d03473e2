//! The same requests to the embedded API server and to a real one.
//!
//! Each file of `tests/differential` is a conversation; the file of the same name in `answers` has
//! what a real kube-apiserver answered, with fixed words for what differs each time. The embedded one
//! must answer the same, but for what `differences.yaml` lists, with the reason; what is listed there
//! and does not differ is a failure, too. `KONDUCTOR_TEST_CLUSTER=real` asks a real one again, and
//! with `BLESS=1` writes its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use konductor_tests::built::koncli;
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

mod conversation {
    pub(crate) mod mutation;
    pub(crate) mod normal;
    pub(crate) mod speak;
}

use conversation::speak::{Answer, Request, speak};

/// Requests whose answers differ, and why that is all right.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// The conversation.
    r#in: String,
    /// The numbers of the requests, from 1.
    requests: Vec<usize>,
    /// Why.
    why: String,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("differential")
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("threads");
    let embedded: Arc<OnceCell<Cluster>> = Arc::default();
    let real: Arc<OnceCell<Cluster>> = Arc::default();
    let mut trials = Vec::new();
    for (name, requests) in conversations() {
        let requests = Arc::new(requests);
        for is_real in [false, true] {
            let kind = if is_real { "real" } else { "embedded" };
            let cluster = Arc::clone(if is_real { &real } else { &embedded });
            let (handle, name, requests) = (
                runtime.handle().clone(),
                name.clone(),
                Arc::clone(&requests),
            );
            let trial = Trial::test(format!("{kind}::{name}"), move || {
                let answers = play(&handle, &cluster, is_real, &name, &requests)?;
                compare(is_real, &name, &requests, &answers)
            });
            trials.push(trial.with_ignored_flag(is_real && wanted() != Wanted::Real));
        }
    }
    for (name, requests) in conversations() {
        if name.starts_with("broken-") {
            let trial = Trial::test(format!("client::{name}"), move || checked(&name, &requests));
            trials.push(trial);
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    drop((embedded, real));
    drop(runtime);
    conclusion.exit_code()
}

/// Each conversation by its name: those that are written, and the mutations of each manifest.
fn conversations() -> BTreeMap<String, Vec<Request>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder()).expect("conversations") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if path.is_file() && name != "differences" && name != "manifests" {
            let text = std::fs::read_to_string(&path).expect("a file");
            let requests = serde_saphyr::from_str(&text);
            all.insert(
                name,
                requests.unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            );
        }
    }
    let manifests = std::fs::read_to_string(folder().join("manifests.yaml")).expect("manifests");
    all.extend(conversation::mutation::conversations(&manifests));
    all
}

fn play(
    handle: &Handle,
    cluster: &OnceCell<Cluster>,
    is_real: bool,
    name: &str,
    requests: &[Request],
) -> Result<Vec<Answer>, Failed> {
    handle.block_on(async {
        let start = || async {
            if is_real {
                let cluster = Cluster::real().await;
                cluster.stop_controllers();
                cluster
            } else {
                Cluster::embedded_without_controllers().await
            }
        };
        let cluster = cluster.get_or_init(start).await;
        let namespace = cluster.namespace(name).await;
        Ok(speak(&cluster.client, &namespace, requests).await?)
    })
}

fn compare(
    is_real: bool,
    name: &str,
    requests: &[Request],
    answers: &[Answer],
) -> Result<(), Failed> {
    let path = answers_path(name);
    if is_real && std::env::var_os("BLESS").is_some() {
        let lines = answers
            .iter()
            .map(|answer| serde_json::to_string(answer).expect("JSON") + "\n");
        std::fs::create_dir_all(folder().join("answers"))?;
        std::fs::write(&path, lines.collect::<String>())?;
        return Ok(());
    }
    let recorded = recorded(name)?;
    if recorded.len() != requests.len() {
        return Err(format!(
            "{} has {} answers to {} requests: BLESS=1 with a real API server writes it",
            path.display(),
            recorded.len(),
            requests.len()
        )
        .into());
    }
    let listed = if is_real {
        Vec::new()
    } else {
        differences(name)
    };
    let mut wrong = String::new();
    for (index, (answer, expected)) in answers.iter().zip(&recorded).enumerate() {
        let number = index + 1;
        let reason = listed
            .iter()
            .find(|difference| difference.requests.contains(&number));
        match (answer == expected, reason) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(listed)) => {
                wrong += &format!("{number}: does not differ any more: {}\n\n", listed.why);
            }
            (false, None) => {
                let both = [expected, answer]
                    .map(|value| serde_json::to_string_pretty(value).expect("JSON"));
                let difference = similar::TextDiff::from_lines(&both[0], &both[1]);
                let difference = difference.unified_diff().header("real", "this").to_string();
                wrong += &format!("{number}: {}\n{difference}\n", requests[index]);
            }
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.into())
    }
}

/// `koncli check` refuses exactly what a real API server has refused, without one.
fn checked(name: &str, requests: &[Request]) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("all.yaml");
    // Each on a line, as JSON is YAML.
    let lines = requests
        .iter()
        .map(|request| format!("{}\n---\n", request.body()));
    std::fs::write(&file, lines.collect::<String>())?;
    let output = Command::new(koncli())
        .args(["check", "-o", "json"])
        .arg(&file)
        .output()?;
    let diagnostic: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let refused: BTreeSet<u64> = diagnostic
        .iter()
        .filter_map(|diagnostic| diagnostic["labels"][0]["place"]["start"]["line"].as_u64())
        .map(|line| line / 2 + 1)
        .collect();
    let mut wrong = String::new();
    for (number, (request, answer)) in (1..).zip(requests.iter().zip(recorded(name)?)) {
        if answer.is_refusal() != refused.contains(&number) {
            let says = if answer.is_refusal() {
                "refuses"
            } else {
                "takes"
            };
            wrong += &format!("{number}: only the API server {says} {}\n", request.body());
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.into())
    }
}

fn recorded(name: &str) -> Result<Vec<Answer>, Failed> {
    let recorded = std::fs::read_to_string(answers_path(name)).unwrap_or_default();
    let answers = recorded.lines().map(serde_json::from_str);
    Ok(answers.collect::<Result<_, _>>()?)
}

fn answers_path(name: &str) -> PathBuf {
    folder().join(format!("answers/{name}.jsonl"))
}

fn differences(name: &str) -> Vec<Difference> {
    let text = std::fs::read_to_string(folder().join("differences.yaml")).expect("differences");
    let all: Vec<Difference> = serde_saphyr::from_str(&text).expect("a list of differences");
    all.into_iter()
        .filter(|difference| difference.r#in == name)
        .collect()
}
