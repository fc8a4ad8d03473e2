//! Counting the pods that ended, each exactly once.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::UncountedTerminatedPods;
use k8s_openapi::api::core::v1::Pod;

use super::failure_policy::FailureAction;
use super::indexes::Indexes;
use super::plan::{Planner, count, pod_ref};
use super::pods::{self, completion_index, is_tracked, phase, uid};
use super::verdict::Verdict;

/// The most pod uids `uncountedTerminatedPods` holds: 20 KB.
const UNCOUNTED_MAX: usize = 500;

impl Planner<'_> {
    /// Turns the notes on pods whose finalizer is gone into counts.
    pub(super) fn fold_released_pods(&mut self) {
        let tracked: BTreeSet<&str> = self
            .pods
            .iter()
            .filter(|pod| is_tracked(pod))
            .map(|pod| uid(pod))
            .collect();
        let noted = self
            .status
            .uncounted_terminated_pods
            .take()
            .unwrap_or_default();
        let fold = |uids: Option<Vec<String>>, counter: &mut Option<i32>| {
            let uids = uids.unwrap_or_default();
            let before = uids.len();
            let kept: Vec<String> = uids
                .into_iter()
                .filter(|uid| tracked.contains(uid.as_str()))
                .collect();
            let sum = counter
                .unwrap_or(0)
                .saturating_add(count(before - kept.len()));
            *counter = Some(sum).filter(|sum| *sum > 0);
            kept
        };
        self.succeeded_uncounted = fold(noted.succeeded, &mut self.status.succeeded);
        self.failed_uncounted = fold(noted.failed, &mut self.status.failed);
    }

    /// Adds the indexes that succeeded or failed for good since the last time.
    pub(super) fn note_finished_indexes(&mut self) {
        for &pod in self.pods.iter().filter(|pod| is_tracked(pod)) {
            let Some(index) = self.valid_index(pod) else {
                continue;
            };
            if phase(pod) == "Succeeded" && !self.failed_uncounted.iter().any(|u| u == uid(pod)) {
                self.completed_indexes.insert(index);
            }
        }
        let Some(limit) = self.spec.backoff_limit_per_index else {
            return;
        };
        let failed: Indexes = self
            .pods
            .iter()
            .filter(|pod| is_tracked(pod) && self.is_failed(pod))
            .filter_map(|pod| {
                let index = self.valid_index(pod)?;
                let beyond = match self.failure_action(pod) {
                    FailureAction::FailIndex => true,
                    FailureAction::Ignore => false,
                    _ => pods::index_failures(pod) >= limit,
                };
                (beyond && !self.completed_indexes.contains(index)).then_some(index)
            })
            .collect();
        if let Some(failed_indexes) = &mut self.failed_indexes {
            failed_indexes.extend(&failed);
        }
    }

    /// Notes the pods that ended and lets go of them.
    pub(super) fn note_finished_pods(&mut self, verdict: Option<&Verdict>, created: &[Pod]) {
        let deleted: BTreeSet<String> = self
            .plan
            .delete
            .iter()
            .filter(|deletion| deletion.uncounted)
            .map(|deletion| deletion.pod.uid.clone())
            .collect();
        let replaced: BTreeSet<i32> = created.iter().filter_map(completion_index).collect();
        let mut release = Vec::new();
        for &pod in self.pods.iter().filter(|pod| is_tracked(pod)) {
            if deleted.contains(uid(pod)) || !self.may_release(pod, verdict, &replaced) {
                continue;
            }
            if self.succeeded_uncounted.len() + self.failed_uncounted.len() >= UNCOUNTED_MAX {
                break;
            }
            release.push(pod_ref(pod));
            self.note_finished_pod(pod, verdict);
        }
        self.plan.release = release;
    }

    pub(super) fn note_finished_pod(&mut self, pod: &Pod, verdict: Option<&Verdict>) {
        let noted = |uids: &[String]| uids.iter().any(|noted| noted == uid(pod));
        let failing = verdict.is_some_and(|verdict| !verdict.success);
        if noted(&self.failed_uncounted) || noted(&self.succeeded_uncounted) {
            return;
        }
        if phase(pod) == "Succeeded" {
            // Of an Indexed Job the index itself is the note.
            if self.indexed.is_none() {
                self.succeeded_uncounted.push(uid(pod).into());
            }
        } else if self.is_failed(pod) || failing {
            let valid = self.indexed.is_none() || self.valid_index(pod).is_some();
            if valid && self.failure_action(pod) != FailureAction::Ignore {
                self.failed_uncounted.push(uid(pod).into());
            }
        }
    }

    /// Whether nothing more has to be learned from `pod`.
    pub(super) fn may_release(
        &self,
        pod: &Pod,
        verdict: Option<&Verdict>,
        replaced: &BTreeSet<i32>,
    ) -> bool {
        if verdict.is_some() || phase(pod) == "Succeeded" {
            return true;
        }
        if !self.is_failed(pod) {
            return false;
        }
        // Counting per index, the last failed pod carries the count until its successor is there.
        let (Some(failed), Some(index)) = (&self.failed_indexes, self.valid_index(pod)) else {
            return true;
        };
        failed.contains(index)
            || self.completed_indexes.contains(index)
            || replaced.contains(&index)
            || self
                .active
                .iter()
                .any(|active| completion_index(active) == Some(index))
            || self
                .last_failed(index)
                .is_some_and(|last| uid(last) != uid(pod))
    }

    pub(super) fn write_counters(&mut self, created: usize) {
        let active = count(self.active.len() + created);
        let ready = count(self.active.iter().filter(|pod| pods::is_ready(pod)).count());
        if self.indexed.is_some() {
            let text = self.completed_indexes.to_string();
            self.status.succeeded = Some(self.completed_indexes.len()).filter(|n| *n > 0);
            self.status.completed_indexes = Some(text).filter(|text| !text.is_empty());
            self.status.failed_indexes = self.failed_indexes.as_ref().map(Indexes::to_string);
        }
        self.status.active = Some(active).filter(|active| *active > 0);
        self.status.ready = Some(ready);
        self.status.terminating = Some(count(self.terminating));
        let list = |uids: &[String]| Some(uids.to_vec()).filter(|uids| !uids.is_empty());
        self.status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            failed: list(&self.failed_uncounted),
            succeeded: list(&self.succeeded_uncounted),
        });
    }

    /// Successes, those not counted yet included.
    pub(super) fn succeeded_so_far(&self) -> i32 {
        if self.indexed.is_some() {
            return self.completed_indexes.len();
        }
        let new = self.pods.iter().filter(|pod| {
            is_tracked(pod)
                && phase(pod) == "Succeeded"
                && !self
                    .succeeded_uncounted
                    .iter()
                    .any(|noted| noted == uid(pod))
        });
        let uncounted = count(new.count() + self.succeeded_uncounted.len());
        self.status.succeeded.unwrap_or(0).saturating_add(uncounted)
    }

    /// Failures that count, those not counted yet included.
    pub(super) fn failed_so_far(&self) -> i32 {
        let new = self.pods.iter().filter(|pod| {
            is_tracked(pod)
                && self.is_failed(pod)
                && (self.indexed.is_none() || self.valid_index(pod).is_some())
                && self.failure_action(pod) != FailureAction::Ignore
                && !self.failed_uncounted.iter().any(|noted| noted == uid(pod))
        });
        let uncounted = count(new.count() + self.failed_uncounted.len());
        self.status.failed.unwrap_or(0).saturating_add(uncounted)
    }
}
