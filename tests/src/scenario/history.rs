//! What etcd has ever stored, read against what must never happen.

use std::collections::BTreeMap;

use konductor_api::{Claim, ClaimPhase, Lease, Semaphore};
use kube::ResourceExt;

use crate::cluster::Cluster;

/// The most permits of a Semaphore that were ever in use.
pub(crate) async fn most_in_use(cluster: &Cluster, namespace: &str, name: &str) -> Option<u32> {
    let semaphores: Vec<Semaphore> = cluster.stored(namespace).await;
    let named = semaphores
        .iter()
        .filter(|semaphore| semaphore.name_any() == name);
    let in_use = named.flat_map(|semaphore| &semaphore.status).map(|status| {
        let permits = status.holders.iter().map(|held| held.permits);
        permits.sum::<u32>()
    });
    in_use.max()
}

/// No Lease had two holders, and each new one had a higher token than all before.
///
/// # Panics
/// If one had.
pub(crate) async fn leases_had_one_holder_and_tokens_rose(cluster: &Cluster, namespace: &str) {
    let leases: Vec<Lease> = cluster.stored(namespace).await;
    let mut tokens: BTreeMap<String, (i64, String)> = BTreeMap::new();
    for lease in &leases {
        let Some(status) = &lease.status else {
            continue;
        };
        assert!(status.holders.len() <= 1, "{status:#?}");
        let Some(holder) = status.holders.first() else {
            continue;
        };
        let (token, uid) = tokens.entry(lease.name_any()).or_default();
        let now = status.token.expect("a token");
        if *uid == holder.uid {
            assert_eq!(*token, now, "{} has one token", holder.holder);
        } else {
            assert!(
                *token < now,
                "{} has token {now} after {token}",
                holder.holder
            );
        }
        (*token, *uid) = (now, holder.uid.clone());
    }
}

/// Each Claim was queued, then granted, and nothing else; how many were granted.
///
/// # Panics
/// If a rule was broken.
pub(crate) async fn claims_were_granted_once(cluster: &Cluster, namespace: &str) -> usize {
    let claims: Vec<Claim> = cluster.stored(namespace).await;
    let mut phases: BTreeMap<String, Vec<ClaimPhase>> = BTreeMap::new();
    for claim in &claims {
        let phase = claim.status.as_ref().map(|status| status.phase);
        let claim_phases = phases.entry(claim.uid().unwrap_or_default()).or_default();
        if claim_phases.last() != Some(&phase.unwrap_or_default()) {
            claim_phases.push(phase.unwrap_or_default());
        }
    }
    let expected = [ClaimPhase::Queued, ClaimPhase::Granted];
    for (uid, phases) in &phases {
        assert!(expected.starts_with(phases), "claim {uid} was {phases:?}");
    }
    let granted = phases.values().filter(|phases| phases.len() == 2);
    granted.count()
}
