//! Every scenario on every cluster: on the embedded one always, on a real one where
//! `KONDUCTOR_TEST_CLUSTER` asks for it. One cluster serves all; each scenario has a namespace.

use std::process::ExitCode;
use std::sync::Arc;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::scenario;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = Runtime::new().expect("threads");
    let embedded = Arc::new(OnceCell::new());
    let real = Arc::new(OnceCell::new());
    let mut trials = Vec::new();
    for scenario in scenario::all() {
        for is_real in [false, true] {
            if scenario.real_only && !is_real {
                continue;
            }
            let cluster = Arc::clone(if is_real { &real } else { &embedded });
            let handle = runtime.handle().clone();
            let kind = if is_real { "real" } else { "embedded" };
            let trial = Trial::test(format!("{kind}::{}", scenario.name), move || {
                run(&handle, &cluster, is_real, &scenario.run)
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

fn run(
    handle: &Handle,
    cluster: &OnceCell<Cluster>,
    is_real: bool,
    scenario: &(impl for<'a> Fn(&'a Cluster) -> futures::future::BoxFuture<'a, ()> + ?Sized),
) -> Result<(), Failed> {
    handle.block_on(async {
        let start = || async {
            if is_real {
                Cluster::real().await
            } else {
                Cluster::embedded().await
            }
        };
        scenario(cluster.get_or_init(start).await).await;
    });
    Ok(())
}
