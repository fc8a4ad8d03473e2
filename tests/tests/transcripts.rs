//! What koncli prints, and how it ends: the pages of `tests/transcripts`, each played in a namespace of
//! its own. The folder of a page says what is there: a cluster with its operator, one without, one that
//! forbids everything, one that does not answer, or none.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use konductor_tests::built::koncli;
use konductor_tests::cluster::{client, namespace, write_kubeconfig};
use konductor_tests::dev::Dev;
use konductor_tests::fault::How;
use konductor_tests::front::Front;
use konductor_tests::transcript;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::{Handle, Runtime};

/// The pages of the documentation that show what koncli prints.
const DOCS: [&str; 3] = ["start.md", "scenarios.md", "troubleshooting.md"];

/// Pods of all pages run at once.
const JOBS: [&str; 2] = ["--jobs", "16"];
/// How many pages are played at once.
const PAGES_AT_ONCE: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of what pages do is to wait.
    arguments.test_threads.get_or_insert(PAGES_AT_ONCE);
    let runtime = Runtime::new().expect("threads");
    let clusters = Arc::new(Clusters::default());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let mut trials = Vec::new();
    for surroundings in Surroundings::ALL {
        let mut pages = pages(&folder.join(surroundings.folder()));
        if surroundings == Surroundings::Operator {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
            pages.extend(DOCS.map(|name| docs.join(name)));
        }
        for page in pages {
            let stem = page.file_stem().expect("a name").display().to_string();
            let name = format!("{}::{stem}", surroundings.folder());
            let (handle, clusters) = (runtime.handle().clone(), Arc::clone(&clusters));
            trials.push(Trial::test(name, move || {
                play(&handle, &clusters, surroundings, &page, &stem);
                Ok(())
            }));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The clusters end before this process does.
    drop(clusters);
    drop(runtime);
    conclusion.exit_code()
}

fn pages(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let pages: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    assert!(!pages.is_empty(), "{} has no pages", folder.display());
    pages
}

/// The surroundings of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Surroundings {
    /// `koncli dev`.
    Operator,
    /// `koncli dev --no-operator`.
    NoOperator,
    /// An API server that allows nothing.
    Forbidden,
    /// A kubeconfig that leads nowhere.
    Unreachable,
    /// No kubeconfig.
    NoCluster,
}

impl Surroundings {
    const ALL: [Self; 5] = [
        Self::Operator,
        Self::NoOperator,
        Self::Forbidden,
        Self::Unreachable,
        Self::NoCluster,
    ];

    fn folder(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::NoOperator => "no-operator",
            Self::Forbidden => "forbidden",
            Self::Unreachable => "unreachable",
            Self::NoCluster => "no-cluster",
        }
    }
}

/// The clusters that pages share, started when the first of them is played.
#[derive(Default)]
struct Clusters {
    operator: OnceLock<Dev>,
    no_operator: OnceLock<Dev>,
}

fn play(handle: &Handle, clusters: &Clusters, surroundings: Surroundings, page: &Path, stem: &str) {
    let _entered = handle.enter();
    let folder = tempfile::tempdir().expect("a folder");
    let kubeconfig = folder.path().join("kubeconfig");
    let namespace_of_page = format!("page-{stem}");
    let of_page = |dev: &Dev| {
        handle.block_on(async {
            let client = client(&dev.kubeconfig).await;
            namespace(&client, &namespace_of_page).await;
        });
        let text = std::fs::read_to_string(&dev.kubeconfig).expect("a kubeconfig");
        let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        config["contexts"][0]["context"]["namespace"] = namespace_of_page.as_str().into();
        std::fs::write(&kubeconfig, config.to_string()).expect("a file");
    };
    let mut front = None;
    match surroundings {
        Surroundings::Operator => of_page(clusters.operator.get_or_init(|| Dev::start(&JOBS))),
        Surroundings::NoOperator => {
            let dev = clusters
                .no_operator
                .get_or_init(|| Dev::start(&["--jobs", "16", "--no-operator"]));
            of_page(dev);
        }
        Surroundings::Forbidden => {
            let dev = clusters.operator.get_or_init(|| Dev::start(&JOBS));
            let client = handle.block_on(client(&dev.kubeconfig));
            let forbidding = Front::start(&client);
            forbidding
                .faults
                .begin("forbidden", "*", How::Status(403), None);
            forbidding.write_kubeconfig(&kubeconfig);
            front = Some(forbidding);
        }
        // Nobody may listen on the discard port.
        Surroundings::Unreachable => {
            write_kubeconfig(&kubeconfig, "http://127.0.0.1:9", None, None);
        }
        Surroundings::NoCluster => {}
    }
    let home = folder.path().join("home");
    std::fs::create_dir(&home).expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", koncli().parent().expect("a folder").display());
    transcript::play(
        page,
        &home,
        |command| {
            command
                .env_clear()
                .envs([
                    ("PATH", path.as_str()),
                    ("USER", "tester"),
                    ("HOSTNAME", "desk"),
                ])
                .env("HOME", &home);
            if !matches!(surroundings, Surroundings::NoCluster) {
                command.env("KUBECONFIG", &kubeconfig);
            }
        },
        |printed| {
            printed
                .replace(&namespace_of_page, "default")
                .replace(&folder.path().display().to_string(), "/tmp")
        },
    );
    drop(front);
}
