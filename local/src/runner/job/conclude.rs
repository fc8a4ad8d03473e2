//! Whether, how and why a Job ends, and the conditions that say so.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{JobCondition, SuccessPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::failure_policy::FailureAction;
use super::indexes::Indexes;
use super::plan::{Planner, find_true, later, seconds_of};
use super::pods;
use super::verdict::Verdict;

impl Planner<'_> {
    /// Whether and how the Job has to end now, successes of all completions aside.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        for (interim, success) in [("SuccessCriteriaMet", true), ("FailureTarget", false)] {
            if let Some(condition) = find_true(&self.status, interim) {
                let reason = condition.reason.clone().unwrap_or_default();
                let message = condition.message.clone().unwrap_or_default();
                return Some(Verdict {
                    success,
                    reason,
                    message,
                });
            }
        }
        self.failure().or_else(|| self.success_policy())
    }

    pub(super) fn failure(&self) -> Option<Verdict> {
        let fail_job =
            self.pods
                .iter()
                .filter(|pod| self.is_failed(pod))
                .find_map(|pod| match self.failure_action(pod) {
                    FailureAction::FailJob(message) => Some(message),
                    _ => None,
                });
        if let Some(message) = fail_job {
            return Some(Verdict::failure("PodFailurePolicy", message));
        }
        if self.failed_so_far() > self.backoff_limit() || self.too_many_restarts() {
            let message = "Job has reached the specified backoff limit";
            return Some(Verdict::failure("BackoffLimitExceeded", message));
        }
        if self.deadline().is_some_and(|deadline| deadline <= self.now) {
            let message = "Job was active longer than specified deadline";
            return Some(Verdict::failure("DeadlineExceeded", message));
        }
        let (completions, failed) = (self.indexed?, self.failed_indexes.as_ref()?.len());
        if self.spec.max_failed_indexes.is_some_and(|max| failed > max) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return Some(Verdict::failure("MaxFailedIndexesExceeded", message));
        }
        let all_decided = failed.saturating_add(self.completed_indexes.len()) >= completions;
        (failed > 0 && all_decided)
            .then(|| Verdict::failure("FailedIndexes", "Job has failed indexes"))
    }

    pub(super) fn success_policy(&self) -> Option<Verdict> {
        let completions = self.indexed?;
        let SuccessPolicy { rules } = self.spec.success_policy.as_ref()?;
        let met = rules.iter().position(|rule| {
            let indexes = rule.succeeded_indexes.as_deref();
            let indexes = indexes.map(|text| Indexes::parse(text, completions));
            let succeeded = match &indexes {
                Some(indexes) => self.completed_indexes.count_common(indexes),
                None => self.completed_indexes.len(),
            };
            match (rule.succeeded_count, &indexes) {
                (Some(least), _) => succeeded >= least,
                (None, Some(indexes)) => succeeded == indexes.len(),
                (None, None) => false,
            }
        })?;
        Some(Verdict::success(
            "SuccessPolicy",
            format!("Matched rules at index {met}"),
        ))
    }

    pub(super) fn is_complete(&self, created: usize) -> bool {
        let active = self.active.len() + created;
        active == 0
            && match self.completions() {
                Some(completions) => self.succeeded_so_far() >= completions,
                None => self.succeeded_so_far() > 0,
            }
    }

    /// Sets the interim condition; once it is stored and every pod is counted, the terminal one.
    pub(super) fn conclude(&mut self, verdict: &Verdict) {
        let (interim, terminal) = verdict.condition_types();
        if find_true(&self.status, interim).is_none() {
            self.set_condition(interim, "True", &verdict.reason, &verdict.message);
            return;
        }
        let counted = self.succeeded_uncounted.is_empty() && self.failed_uncounted.is_empty();
        if counted && self.plan.release.is_empty() && self.terminating == 0 {
            // A Job whose pod succeeds while the Job is suspended ends without a start, which a finished Job must have.
            if self.completions() != Some(0) {
                self.status.start_time.get_or_insert(Time(self.stamp));
            }
            self.set_condition(terminal, "True", &verdict.reason, &verdict.message);
            if verdict.success {
                self.status.completion_time = Some(Time(self.stamp));
            }
        }
    }

    pub(super) fn set_suspended_condition(&mut self) {
        if self.suspended() {
            self.set_condition("Suspended", "True", "JobSuspended", "Job suspended");
            self.status.start_time = None;
        } else if find_true(&self.status, "Suspended").is_some() {
            self.set_condition("Suspended", "False", "JobResumed", "Job resumed");
            // The deadline counts from the resumption.
            self.status.start_time = Some(Time(self.stamp));
        }
    }

    pub(super) fn set_condition(&mut self, type_: &str, status: &str, reason: &str, message: &str) {
        let conditions = self.status.conditions.get_or_insert_default();
        let position = conditions
            .iter()
            .position(|condition| condition.type_ == type_);
        let same = position.is_some_and(|at| {
            conditions[at].status == status && conditions[at].reason.as_deref() == Some(reason)
        });
        if same {
            return;
        }
        let condition = JobCondition {
            type_: type_.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: Some(Time(self.stamp)),
            last_transition_time: Some(Time(self.stamp)),
        };
        match position {
            Some(at) => conditions[at] = condition,
            None => conditions.push(condition),
        }
    }

    /// When the Job has been active for too long. Its start is stored to the second, so it may have been
    /// almost a second later: a deadline passes up to a second late, and never early.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let seconds = self
            .spec
            .active_deadline_seconds
            .filter(|_| !self.suspended())?;
        // A Job that is being resumed counts from now.
        let resumed = find_true(&self.status, "Suspended").is_some();
        let start = if resumed {
            self.stamp
        } else {
            self.status.start_time.as_ref()?.0
        };
        Some(later(start, seconds_of(seconds.saturating_add(1))))
    }

    /// `restartPolicy: OnFailure`: the kubelet restarts containers, and these restarts count.
    pub(super) fn too_many_restarts(&self) -> bool {
        let template = self.spec.template.spec.as_ref();
        if template.and_then(|spec| spec.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let unfinished = self.pods.iter().filter(|pod| !pods::is_terminal(pod));
        let restarts = unfinished.fold(0_i32, |sum, pod| sum.saturating_add(pods::restarts(pod)));
        restarts > 0 && restarts >= self.backoff_limit()
    }

    pub(super) fn backoff_limit(&self) -> i32 {
        let default = if self.spec.backoff_limit_per_index.is_some() {
            i32::MAX
        } else {
            6
        };
        self.spec.backoff_limit.unwrap_or(default)
    }
}
