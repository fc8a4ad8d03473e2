//! What must hold while something that everybody needs is away, one scenario after another on a
//! control plane of its own, where `KONDUCTOR_TEST_CLUSTER=real` asks for it.

use std::process::ExitCode;
use std::sync::Arc;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::scenario;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let runtime = Runtime::new().expect("threads");
    let cluster: Arc<OnceCell<Cluster>> = Arc::default();
    let trials = scenario::outages().into_iter().map(|scenario| {
        let (handle, cluster) = (runtime.handle().clone(), Arc::clone(&cluster));
        let trial = Trial::test(format!("real::{}", scenario.name), move || {
            handle.block_on(async {
                (scenario.run)(cluster.get_or_init(Cluster::real).await).await;
            });
            Ok(())
        });
        // Nobody may take a cluster away that was there before.
        trial.with_ignored_flag(wanted() != Wanted::Real)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The control plane ends before this process does.
    drop(cluster);
    drop(runtime);
    conclusion.exit_code()
}
