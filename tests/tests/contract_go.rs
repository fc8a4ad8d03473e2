//! The Go SDK's own tests, its runner of `sdk/contract` among them, on a real control plane. On the
//! embedded API server `go test` plays them by itself.

use std::path::Path;
use std::process::ExitCode;

use konductor_tests::built::koncli;
use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::operator::Operator;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::process::Command;
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let name = "real::the_go_sdk_keeps_its_promises_there_too";
    let trial = Trial::test(name, || Runtime::new()?.block_on(play()));
    // It needs two control planes of its own.
    let trial = trial.with_ignored_flag(wanted() != Wanted::Real);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

/// What happens without an operator happens in a second control plane: the operator of the first one
/// is everywhere.
async fn play() -> Result<(), Failed> {
    let koncli = koncli();
    let (cluster, bare) = tokio::join!(Cluster::real(), Cluster::real());
    let operator = Operator::start_everywhere(&cluster);
    let tested = Command::new("go")
        .args(["test", "-count=1", "."])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/go"))
        .env("KONDUCTOR_TEST_CLUSTER", "external")
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env("KONDUCTOR_TEST_BARE_KUBECONFIG", &bare.kubeconfig)
        .env("KONCLI", koncli)
        .kill_on_drop(true)
        .output()
        .await?;
    operator.stop().await;
    if tested.status.success() {
        return Ok(());
    }
    let said = [tested.stdout, tested.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned().into())
}
