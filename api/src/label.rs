//! Labels on the objects of a run. They select; what only the operator reads is an annotation.

use std::collections::BTreeMap;

/// The pipeline that an object belongs to.
pub const PIPELINE: &str = "konductor.io/pipeline";
/// The run that an object belongs to.
pub const RUN: &str = "konductor.io/run";
/// The stage that a Job runs.
pub const STAGE: &str = "konductor.io/stage";
/// The slug of a fan-out item; [`crate::annotation::ITEM`] has the exact value.
pub const ITEM: &str = "konductor.io/item";
/// Prefix of a label for each loop variable of a fan-out over several: `item.konductor.io/region: eu`. Of a value
/// that can't be a label it has a slug.
pub const ITEM_PREFIX: &str = "item.konductor.io/";
/// `main` or `finally`: see [`crate::Role`].
pub const ROLE: &str = "konductor.io/role";
/// `true` on the Jobs of a stage whose failure does not fail the run.
pub const MAY_FAIL: &str = "konductor.io/may-fail";
/// The Job controller's own label on a pod: the uid of its Job.
pub const JOB_UID: &str = "batch.kubernetes.io/controller-uid";
/// The Job controller's own label on a pod: the name of its Job.
pub const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// `true` on the pods of a Job that holds something; [`crate::annotation::HELD`] says what.
pub const HELD: &str = "konductor.io/held";
/// On the Claims of an SDK: which client has made it, so that what waits for them shares a watch.
pub const CLIENT: &str = "konductor.io/client";
/// Kueue's label on a Job that waits in one of its queues.
pub const KUEUE_QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Returns the labels of the Jobs of a stage of a run; with `fixed`, of those items that have these values of loop
/// variables.
pub fn of_items(
    run: &str,
    stage: &str,
    fixed: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let own = [(RUN, run), (STAGE, stage)];
    let own = own.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let fixed = fixed.iter();
    let fixed = fixed.map(|(name, value)| (format!("{ITEM_PREFIX}{name}"), value.clone()));
    own.into_iter().chain(fixed).collect()
}
