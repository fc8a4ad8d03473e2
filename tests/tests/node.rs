//! Real containers: a control plane, a kubelet and containerd, and the operator from the chart and the
//! image, where `KONDUCTOR_TEST_CLUSTER=real` asks for it and the machine can be a node.

use std::process::ExitCode;
use std::sync::Arc;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::{node, s3, scenario};
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
    let has_s3 = match s3::missing().filter(|_| !skipped) {
        Some(missing) => {
            eprintln!("no S3 here: {missing}");
            false
        }
        None => true,
    };
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
        let needs_s3 = scenario.name.ends_with("_by_way_of_s3");
        trial.with_ignored_flag(skipped || (needs_s3 && !has_s3))
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // The node and its control plane end before this process does.
    drop(cluster);
    drop(runtime);
    conclusion.exit_code()
}
