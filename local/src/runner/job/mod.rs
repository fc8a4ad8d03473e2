//! The Job controller: what kube-controller-manager does for `batch/v1` Jobs.

mod conclude;
mod controller;
mod events;
mod failure_policy;
mod indexes;
#[cfg(test)]
mod laws;
mod plan;
mod pods;
mod scale;
#[cfg(test)]
mod tests;
mod tracking;
mod verdict;

pub use controller::JobController;
pub use plan::{BackOff, JobPlan, PodDeletion, PodRef, plan};
