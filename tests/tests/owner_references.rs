//! The admission plugin OwnerReferencesPermissionEnforcement, on a control plane of its own where
//! `KONDUCTOR_TEST_CLUSTER=real` asks for it: what kubectl has made still ends, with the operator's rights of the chart.

use std::process::ExitCode;

use konductor_tests::cluster::{Cluster, Wanted, wanted};
use konductor_tests::scenario::owners;
use libtest_mimic::{Arguments, Trial};
use tokio::runtime::Runtime;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trial = Trial::test(
        "what_kubectl_has_made_ends_although_owners_are_enforced",
        || {
            let runtime = Runtime::new().expect("threads");
            runtime.block_on(async {
                let cluster = Cluster::with_enforced_owner_references().await;
                owners::what_kubectl_has_made_ends_although_owners_are_enforced(&cluster).await;
            });
            Ok(())
        },
    );
    let trial = trial.with_ignored_flag(wanted() != Wanted::Real);
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}
