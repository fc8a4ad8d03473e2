//! The CronJob controller: what kube-controller-manager does for `batch/v1` CronJobs.

mod controller;
mod plan;
#[cfg(test)]
mod tests;

pub use controller::CronJobController;
