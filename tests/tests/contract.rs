//! The scenarios of `sdk/contract` with the Rust SDK; their README explains each field.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

mod contract {
    pub(crate) mod scenario;
    pub(crate) mod stage;
}

use contract::scenario::Scenario;
use contract::stage::Stage;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("threads");
    let embedded = Arc::new(OnceCell::new());
    let real = Arc::new(OnceCell::new());
    let mut trials = Vec::new();
    for (file, scenario) in scenarios() {
        let scenario = Arc::new(scenario);
        for is_real in [false, true] {
            let cluster: Arc<OnceCell<Cluster>> =
                Arc::clone(if is_real { &real } else { &embedded });
            let handle = runtime.handle().clone();
            let kind = if is_real { "real" } else { "embedded" };
            let name = format!("{kind}::{file}: {}", scenario.name);
            let scenario = Arc::clone(&scenario);
            let trial = Trial::test(name, move || {
                handle.block_on(async {
                    let start = || async {
                        if is_real {
                            Cluster::real().await
                        } else {
                            Cluster::embedded().await
                        }
                    };
                    let cluster = cluster.get_or_init(start).await;
                    Ok(Stage::play(cluster, &scenario).await?)
                })
            });
            // If no real cluster is asked for, these are counted, by name, as not run.
            trials.push(trial.with_ignored_flag(is_real && wanted() == Wanted::None));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The real control plane ends before this process does.
    drop((embedded, real));
    drop(runtime);
    conclusion.exit_code()
}

/// All scenarios, each with the name of its file.
fn scenarios() -> Vec<(String, Scenario)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/contract");
    let entries = std::fs::read_dir(&folder).expect("scenarios");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml")
    });
    paths.sort();
    assert!(!paths.is_empty(), "there are no scenarios");
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a file");
        let read: Vec<Scenario> = serde_saphyr::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let file = path.file_stem().expect("a name").display().to_string();
        all.extend(read.into_iter().map(|scenario| (file.clone(), scenario)));
    }
    all
}
