//! What the Job controller reports about a Job, where `kubectl describe` shows it: as the one of Kubernetes does.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};

use crate::runner::cluster::{Cluster, name, namespace};

const COMPONENT: &str = "job-controller";

/// The Events of one Job.
pub(super) struct Events<'a> {
    cluster: &'a Cluster,
    job: &'a Job,
}

impl<'a> Events<'a> {
    pub(super) fn of(cluster: &'a Cluster, job: &'a Job) -> Self {
        Self { cluster, job }
    }

    pub(super) fn created(&self, pod: &str) {
        self.report("Normal", "SuccessfulCreate", &format!("Created pod: {pod}"));
    }

    pub(super) fn deleted(&self, pod: &str) {
        self.report("Normal", "SuccessfulDelete", &format!("Deleted pod: {pod}"));
    }

    /// Something could not be done.
    pub(super) fn failed(&self, reason: &str, message: &str) {
        let (namespace, job) = (namespace(self.job), name(self.job));
        tracing::warn!(namespace, job, reason, message);
        self.report("Warning", reason, message);
    }

    /// Reports each condition that a written status has changed.
    pub(super) fn conditions(&self, written: Option<&JobStatus>) {
        let before = self.job.status.as_ref();
        for condition in conditions(written) {
            let was = conditions(before).find(|was| was.type_ == condition.type_);
            if was.is_some_and(|was| was.status == condition.status) {
                continue;
            }
            let reason = condition.reason.as_deref().unwrap_or_default();
            let message = condition.message.as_deref().unwrap_or_default();
            match (&*condition.type_, &*condition.status) {
                ("Suspended", "True") => self.report("Normal", "Suspended", "Job suspended"),
                ("Suspended", "False") => self.report("Normal", "Resumed", "Job resumed"),
                ("Complete", "True") => self.report("Normal", "Completed", "Job completed"),
                ("Failed", "True") => self.report("Warning", reason, message),
                _ => {}
            }
        }
    }

    fn report(&self, kind: &str, reason: &str, message: &str) {
        self.cluster
            .report(self.job, COMPONENT, kind, reason, message);
    }
}

fn conditions(status: Option<&JobStatus>) -> impl Iterator<Item = &JobCondition> {
    status
        .into_iter()
        .flat_map(|status| status.conditions.iter().flatten())
}
