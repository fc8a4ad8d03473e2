//! What the Jobs and pods of a namespace hold: what a ledger that was never written is made of.
//!
//! What enters: the Jobs and pods of one namespace, each once. What leaves: the holders of each ledger, so that the
//! objects need not be kept, and one reading answers all the ledgers that ask. What must never happen here: a holder
//! that is left out.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::{Hold, Holder, HolderKind, JobPhase, LedgerKind, Participant, annotation};

use crate::pod::{held_by_pod, job_uid, pod_ended};

/// Holders, each with its fencing token.
type Holders = Vec<(Option<i64>, Holder)>;
type ByLedger = BTreeMap<(LedgerKind, String), Holders>;

/// What the Jobs and pods of a namespace hold, by ledger.
#[derive(Clone, Debug, Default)]
pub struct Held {
    by_jobs: ByLedger,
    by_pods: ByLedger,
}

impl Held {
    /// Takes in a Job: what it holds since it was started.
    pub fn by_job(&mut self, job: &Participant) {
        let started = matches!(job.phase, Some(JobPhase::Running | JobPhase::Paused));
        if !started || job.is_over() || job.is_copy() {
            return;
        }
        let spec = job.spec.as_ref();
        let template = spec.and_then(|spec| spec.template.metadata.as_ref());
        let annotations = template.and_then(|metadata| metadata.annotations.as_ref());
        for hold in job.holding() {
            let holder = job_holder(job, hold.permits, None);
            let holders = self.by_jobs.entry((hold.kind, hold.name.clone()));
            let token = token(hold, annotations);
            holders.or_default().push((token, holder));
        }
    }

    /// Takes in a pod that still works: what it says that its Job holds.
    pub fn by_pod(&mut self, pod: &Pod) {
        if pod_ended(pod) {
            return;
        }
        let Some(uid) = job_uid(pod) else {
            return;
        };
        let mut owners = pod.metadata.owner_references.iter().flatten();
        let Some(owner) = owners.find(|owner| owner.uid == uid) else {
            return;
        };
        for hold in held_by_pod(pod) {
            let token = token(&hold, pod.metadata.annotations.as_ref());
            let holder = Holder {
                kind: HolderKind::Job,
                holder: owner.name.clone(),
                name: owner.name.clone(),
                uid: uid.to_owned(),
                permits: hold.permits,
                since: None,
            };
            let holders = self.by_pods.entry((hold.kind, hold.name));
            holders.or_default().push((token, holder));
        }
    }

    /// Those that hold of this ledger: first the Jobs, then those of which a pod says it.
    pub(crate) fn of(
        &self,
        kind: LedgerKind,
        name: &str,
    ) -> impl Iterator<Item = &(Option<i64>, Holder)> {
        let key = (kind, name.to_owned());
        let by_jobs = self.by_jobs.get(&key).into_iter().flatten();
        by_jobs.chain(self.by_pods.get(&key).into_iter().flatten())
    }
}

fn token(hold: &Hold, annotations: Option<&BTreeMap<String, String>>) -> Option<i64> {
    let key = format!("{}{}", annotation::TOKEN_PREFIX, hold.name);
    annotations?.get(&key)?.parse().ok()
}

/// The entry of a Job in a ledger.
pub(crate) fn job_holder(job: &Participant, permits: u32, since: Option<Time>) -> Holder {
    let name = job.metadata.name.clone().unwrap_or_default();
    Holder {
        kind: HolderKind::Job,
        holder: name.clone(),
        name,
        uid: job.metadata.uid.clone().unwrap_or_default(),
        permits,
        since,
    }
}
