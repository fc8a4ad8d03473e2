//! The admission plugin OwnerReferencesPermissionEnforcement, on a control plane of its own where
//! `KONDUCTOR_TEST_CLUSTER=real` asks for it: what kubectl has made still ends, with and without the chart's right to
//! give objects owners.

use std::process::ExitCode;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::scenario::owners;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

const TRIALS: [(&str, bool); 2] = [
    (
        "what_kubectl_has_made_ends_although_owners_are_enforced",
        true,
    ),
    (
        "what_kubectl_has_made_ends_although_nothing_may_be_adopted",
        false,
    ),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Each has a control plane of its own.
    arguments.test_threads = Some(1);
    let trials = TRIALS.map(|(name, with_the_right)| {
        let trial = Trial::test(name, move || {
            let runtime = Runtime::new().expect("threads");
            runtime.block_on(async {
                let cluster = Cluster::with_enforced_owner_references().await;
                owners::what_kubectl_has_made_ends_although_owners_are_enforced(
                    &cluster,
                    with_the_right,
                )
                .await;
            });
            Ok(())
        });
        trial.with_ignored_flag(wanted() != Wanted::Real)
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}
