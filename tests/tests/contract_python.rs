//! The Python SDK's runner of `sdk/contract`, on the embedded API server and on a real control plane.
//! It needs Python 3.10 with the packages of `sdk/python`, such as in `target/python` (`.ci/run` makes it);
//! without them these tests are counted, by name, as not run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use konductor_tests::built::{koncli, python};
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::operator::Operator;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::process::Command;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let python = python();
    let is_missing = python.is_none();
    let with = |play: fn(PathBuf) -> Result<(), Failed>| {
        let python = python.clone();
        move || {
            play(
                python
                    .clone()
                    .ok_or("no Python 3.10 with the SDK's packages")?,
            )
        }
    };
    let name = "embedded::the_python_sdk_keeps_its_promises";
    let embedded = Trial::test(
        name,
        with(|python| Runtime::new()?.block_on(embedded(python))),
    );
    let name = "real::the_python_sdk_keeps_its_promises_there_too";
    let real = Trial::test(name, with(|python| Runtime::new()?.block_on(real(python))));
    let trials = vec![
        embedded.with_ignored_flag(is_missing),
        // It needs two control planes of its own.
        real.with_ignored_flag(is_missing || wanted() != Wanted::Real),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The scenarios on `koncli dev`, which the tests start.
async fn embedded(python: PathBuf) -> Result<(), Failed> {
    let mut tests = pytest(&python);
    tests.env_remove("KONDUCTOR_TEST_CLUSTER");
    play(tests).await
}

/// The scenarios on a real control plane. What happens without an operator happens in a second one: the
/// operator of the first one is everywhere.
async fn real(python: PathBuf) -> Result<(), Failed> {
    let (cluster, bare) = tokio::join!(Cluster::real(), Cluster::real());
    let operator = Operator::start_everywhere(&cluster);
    let mut tests = pytest(&python);
    tests
        .env("KONDUCTOR_TEST_CLUSTER", "external")
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env("KONDUCTOR_TEST_BARE_KUBECONFIG", &bare.kubeconfig);
    let played = play(tests).await;
    operator.stop().await;
    played
}

fn pytest(python: &Path) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/python");
    let mut command = Command::new(python);
    command
        .args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg("tests/test_contract.py")
        .env("PYTHONPATH", folder.join("src"))
        .env("KONCLI", koncli())
        .current_dir(folder)
        .kill_on_drop(true);
    command
}

async fn play(mut tests: Command) -> Result<(), Failed> {
    let tested = tests.output().await?;
    if tested.status.success() {
        return Ok(());
    }
    let printed = [tested.stdout, tested.stderr].concat();
    Err(String::from_utf8_lossy(&printed).into_owned().into())
}
