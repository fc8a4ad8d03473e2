//! A ledger that was never written, although some hold of it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use konductor_api::limits::HOLDERS_MAX;
use konductor_api::{ClaimPhase, Hold, Holder, HolderKind, JobPhase, LedgerKind, annotation};

use super::{Ledger, claim_holder, job_holder, phase};
use crate::facts::{Facts, Freshness};
use crate::job::is_copy;
use crate::pod::{held_by_pod, job_uid, pod_ended};
use crate::{Fact, Needs};

/// A ledger that was never written: its object was deleted while in use, and created again. Those
/// that hold one of this name are entered, by a live read; and Jobs that are gone or were ended while a
/// pod of theirs still works, by what that pod carries.
pub(super) fn adopt(
    ledger: &Ledger<'_>,
    facts: &Facts,
) -> Result<(Vec<Holder>, Option<i64>), Needs> {
    let pods = Fact::PodsHolding {
        kind: ledger.kind,
        name: ledger.name(),
    };
    facts.require([
        (ledger.claims(), Freshness::Live),
        (ledger.jobs(), Freshness::Live),
        (pods.clone(), Freshness::Live),
    ])?;
    let mut held: Vec<(Option<i64>, Holder)> = Vec::new();
    for claim in facts.claims(ledger.claims(), Freshness::Live)? {
        if phase(claim) == ClaimPhase::Granted && claim.metadata.deletion_timestamp.is_none() {
            let status = claim.status.as_ref();
            let since = status.and_then(|status| status.granted_at.clone());
            let token = status.and_then(|status| status.token);
            held.push((token, claim_holder(claim, since)));
        }
    }
    for job in facts.jobs(ledger.jobs(), Freshness::Live)? {
        let started = matches!(job.phase, Some(JobPhase::Running | JobPhase::Paused));
        if let Some(hold) = on(ledger, job.holding())
            && started
            && !job.is_over()
            && !is_copy(job)
        {
            let template = job
                .spec
                .as_ref()
                .and_then(|spec| spec.template.metadata.as_ref());
            let token = token(hold, template.and_then(|meta| meta.annotations.as_ref()));
            held.push((token, job_holder(job, hold.permits, None)));
        }
    }
    for pod in facts.pods(pods, Freshness::Live)? {
        let Some((token, holder)) = left_by_a_job(ledger, pod) else {
            continue;
        };
        if held.iter().all(|(_, other)| other.uid != holder.uid) {
            held.push((token, holder));
        }
    }
    let token = held.iter().filter_map(|(token, _)| *token).max();
    held.sort_by_key(|(token, holder)| (Reverse(*token), holder.uid.clone()));
    held.truncate(if ledger.kind == LedgerKind::Lease {
        1
    } else {
        HOLDERS_MAX
    });
    Ok((held.into_iter().map(|(_, holder)| holder).collect(), token))
}

fn on<'a>(ledger: &Ledger<'_>, holds: &'a [Hold]) -> Option<&'a Hold> {
    let own = ledger.name().name;
    holds
        .iter()
        .find(|hold| hold.kind == ledger.kind && hold.name == own)
}

fn token(hold: &Hold, annotations: Option<&BTreeMap<String, String>>) -> Option<i64> {
    let key = format!("{}{}", annotation::TOKEN_PREFIX, hold.name);
    annotations?.get(&key)?.parse().ok()
}

/// The Job whose pod still works, as a holder of what the pod says that it holds.
fn left_by_a_job(ledger: &Ledger<'_>, pod: &Pod) -> Option<(Option<i64>, Holder)> {
    if pod_ended(pod) {
        return None;
    }
    let annotations = pod.metadata.annotations.as_ref()?;
    let held = held_by_pod(pod);
    let hold = on(ledger, &held)?;
    let uid = job_uid(pod)?.to_owned();
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let name = owners.find(|owner| owner.uid == uid)?.name.clone();
    let token = token(hold, Some(annotations));
    let holder = Holder {
        kind: HolderKind::Job,
        holder: name.clone(),
        name,
        uid,
        permits: hold.permits,
        since: None,
    };
    Some((token, holder))
}
