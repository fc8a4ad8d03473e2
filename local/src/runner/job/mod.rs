//! The Job controller: what kube-controller-manager does for `batch/v1` Jobs.

mod failure_policy;
mod indexes;
mod plan;
mod pods;
mod scale;
#[cfg(test)]
mod tests;
mod tracking;
mod verdict;

pub use plan::{BackOff, JobPlan, PodDeletion, PodRef, plan};
