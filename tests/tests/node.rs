//! Real containers: a control plane, a kubelet and containerd, and the operator from the chart and the
//! image, where `KONDUCTOR_TEST_CLUSTER=real` asks for it and the machine can be a node.

use std::process::ExitCode;
use std::sync::Arc;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::{node, scenario};
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

#[expect(
    clippy::print_stderr,
    reason = "whoever reads the list of skipped tests wants to know why"
)]
fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let mut skipped = wanted() != Wanted::Real;
    if let (false, Some(missing)) = (skipped, node::missing()) {
        eprintln!("no node here: {missing}");
        skipped = true;
    }
    let runtime = Runtime::new().expect("threads");
    let cluster: Arc<OnceCell<Cluster>> = Arc::default();
    let trials = scenario::on_a_node().into_iter().map(|scenario| {
        let (handle, cluster) = (runtime.handle().clone(), Arc::clone(&cluster));
        let trial = Trial::test(format!("node::{}", scenario.name), move || {
            handle.block_on(async {
                let deployed = || async {
                    let cluster = Cluster::with_node().await;
                    scenario::deployed::deploy(&cluster).await;
                    cluster
                };
                (scenario.run)(cluster.get_or_init(deployed).await).await;
            });
            Ok(())
        });
        trial.with_ignored_flag(skipped)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The node and its control plane end before this process does.
    drop(cluster);
    drop(runtime);
    conclusion.exit_code()
}
