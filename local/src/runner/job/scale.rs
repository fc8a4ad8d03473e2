//! How many pods a Job should have now, and which ones.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::failure_policy::FailureAction;
use super::indexes::Indexes;
use super::plan::{Planner, PodDeletion, later, pod_ref};
use super::pods::{
    self, IndexSlot, completion_index, finished_at, is_deleted, is_terminating, is_tracked, phase,
    uid,
};

/// Pods created or deleted by one plan; a larger Job takes several, and others get a turn between.
const PODS_PER_PLAN_MAX: usize = 500;

impl<'a> Planner<'a> {
    /// Deletes pods that are too many; else returns the pods that are missing.
    pub(super) fn scale(&mut self) -> Vec<Pod> {
        let target = self.wanted_active();
        let surplus = self.surplus(target);
        if !surplus.is_empty() {
            let gone: BTreeSet<&str> = surplus.iter().map(|pod| uid(pod)).collect();
            self.active.retain(|pod| !gone.contains(uid(pod)));
            self.delete(surplus, true);
            return Vec::new();
        }
        if self.suspended() {
            return Vec::new();
        }
        if let Some(deadline) = self.deadline() {
            self.wake_at(deadline);
        }
        let occupied = if self.replaces_only_failed() {
            self.terminating
        } else {
            0
        };
        let missing = target
            .saturating_sub(self.active.len() + occupied)
            .min(PODS_PER_PLAN_MAX);
        if missing == 0 {
            return Vec::new();
        }
        let Some(completions) = self.indexed else {
            let ready = self.back_off_is_over(self.consecutive_failures());
            return (0..if ready { missing } else { 0 })
                .map(|_| pods::new_pod(self.job, None))
                .collect();
        };
        if self.failed_indexes.is_none() && !self.back_off_is_over(self.consecutive_failures()) {
            return Vec::new();
        }
        let mut taken = self.completed_indexes.clone();
        taken.extend(
            &self
                .active
                .iter()
                .filter_map(|pod| completion_index(pod))
                .collect(),
        );
        if self.replaces_only_failed() {
            let terminating = self.pods.iter().filter(|pod| is_terminating(pod));
            taken.extend(
                &terminating
                    .filter_map(|pod| completion_index(pod))
                    .collect(),
            );
        }
        if let Some(failed) = &self.failed_indexes {
            taken.extend(failed);
        }
        let indexes = taken.first_missing(missing, completions);
        indexes
            .into_iter()
            .filter_map(|index| self.pod_for_index(index))
            .collect()
    }

    /// The pod for `index`, unless its own back-off is not over yet.
    pub(super) fn pod_for_index(&mut self, index: i32) -> Option<Pod> {
        if self.failed_indexes.is_none() {
            return Some(pods::new_pod(
                self.job,
                Some(IndexSlot {
                    index,
                    failures: None,
                }),
            ));
        }
        let mut failures = (0, 0);
        if let Some(last) = self.last_failed(index) {
            failures = (
                pods::index_failures(last),
                pods::index_ignored_failures(last),
            );
            match self.failure_action(last) {
                FailureAction::Ignore => failures.1 += 1,
                _ => failures.0 += 1,
            }
            let total = failures.0.saturating_add(failures.1);
            let since = finished_at(last);
            if !self.back_off_is_over((total.try_into().unwrap_or(0), since)) {
                return None;
            }
        }
        Some(pods::new_pod(
            self.job,
            Some(IndexSlot {
                index,
                failures: Some(failures),
            }),
        ))
    }

    /// The failed pod that carries on the count of failures of `index`.
    pub(super) fn last_failed(&self, index: i32) -> Option<&'a Pod> {
        let of_index = self.pods.iter().copied().filter(|pod| {
            is_tracked(pod) && self.is_failed(pod) && completion_index(pod) == Some(index)
        });
        of_index.max_by_key(|pod| {
            (
                pods::index_failures(pod) + pods::index_ignored_failures(pod),
                finished_at(pod),
            )
        })
    }

    pub(super) fn wanted_active(&self) -> usize {
        if self.suspended() {
            return 0;
        }
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let target = match self.completions() {
            // A work queue: after the first success what runs is left to run, nothing is added.
            None if self.succeeded_so_far() > 0 => return self.active.len(),
            None => parallelism,
            Some(completions) => {
                let failed = self.failed_indexes.as_ref().map_or(0, Indexes::len);
                (completions - self.succeeded_so_far())
                    .saturating_sub(failed)
                    .min(parallelism)
            }
        };
        target.try_into().unwrap_or(0)
    }

    /// Active pods beyond `target`, pods of a repeated or impossible index among them.
    pub(super) fn surplus(&self, target: usize) -> Vec<&'a Pod> {
        let mut by_worth = self.active.clone();
        by_worth.sort_by_key(|pod| pods::worth(pod));
        let mut surplus = Vec::new();
        if self.indexed.is_some() {
            let mut seen = BTreeSet::new();
            // From the most valuable on: of several pods of an index the best one stays.
            by_worth.reverse();
            by_worth.retain(|pod| {
                let keep = self
                    .valid_index(pod)
                    .is_some_and(|index| seen.insert(index));
                if !keep {
                    surplus.push(*pod);
                }
                keep
            });
            by_worth.reverse();
        }
        let excess = self
            .active
            .len()
            .saturating_sub(target)
            .saturating_sub(surplus.len());
        surplus.extend(by_worth.into_iter().take(excess));
        surplus.truncate(PODS_PER_PLAN_MAX);
        surplus
    }

    pub(super) fn delete(&mut self, pods: Vec<&'a Pod>, uncounted: bool) {
        self.terminating += pods.len();
        let deletions = pods.into_iter().map(|pod| PodDeletion {
            pod: pod_ref(pod),
            uncounted,
        });
        self.plan.delete.extend(deletions);
    }

    /// Failures since the last success, and when the last of them was.
    pub(super) fn consecutive_failures(&self) -> (u32, Timestamp) {
        // A pod deleted by a suspension has lost its finalizer before it ended: not a failure.
        let counted = || {
            self.pods
                .iter()
                .filter(|pod| !is_deleted(pod) || is_tracked(pod))
        };
        let last_success = counted()
            .filter(|pod| phase(pod) == "Succeeded")
            .map(|pod| finished_at(pod))
            .max();
        let failures: Vec<Timestamp> = counted()
            .filter(|pod| self.is_failed(pod))
            .map(|pod| finished_at(pod))
            .filter(|failure| last_success.is_none_or(|success| *failure > success))
            .collect();
        let last = failures.iter().max().copied().unwrap_or_default();
        (failures.len().try_into().unwrap_or(u32::MAX), last)
    }

    /// Whether a pod may be replaced now; if not, the plan wakes up when it may.
    pub(super) fn back_off_is_over(&mut self, (failures, last): (u32, Timestamp)) -> bool {
        let Some(doublings) = failures.checked_sub(1) else {
            return true;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        let delay = self
            .back_off
            .base
            .saturating_mul(factor)
            .min(self.back_off.max);
        let until = later(last, delay);
        if until > self.now {
            self.wake_at(until);
        }
        until <= self.now
    }

    pub(super) fn wake_at(&mut self, time: Timestamp) {
        let earliest = self.plan.wake.map_or(time, |wake| wake.min(time));
        self.plan.wake = Some(earliest);
    }
}
