//! What the operator remembers between decisions. Losing it costs time, never correctness.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use konductor_api::{Claim, ClaimPhase};
use tokio::time::Instant;

/// What the operator remembers between decisions.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The present renewal of each granted Claim, by uid, and when it was first seen.
    renewals: HashMap<String, (Option<MicroTime>, Timestamp)>,
    /// Since when the API server refuses to start a Job, by uid, and its words.
    refusals: HashMap<String, (Timestamp, String)>,
    /// The version that the operator wrote last, by uid: an older one in the cache is out of date.
    written: HashMap<String, u64>,
    /// The status that the operator wrote last, by uid, as a hash.
    statuses: HashMap<String, u64>,
    /// The status that the cache led to last and a live read did not, by uid, as a hash.
    overruled: HashMap<String, u64>,
    /// Until when an object is not looked at again, by uid.
    rests: HashMap<String, Instant>,
    /// Until when no more progress of an object is written, by uid.
    progress: HashMap<String, Instant>,
    /// Failures in a row, by uid.
    failures: HashMap<String, u32>,
    /// Objects that the API server lets nobody adopt, by uid.
    unadoptable: HashSet<String>,
}

impl Memory {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic in between leaves nothing half done that matters: these are single inserts.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This Claim's present renewal, and when it was first seen; `None` where it holds nothing.
    pub(crate) fn renewal_seen(
        &self,
        claim: &Claim,
        now: Timestamp,
    ) -> Option<(Option<MicroTime>, Timestamp)> {
        let uid = claim.metadata.uid.clone()?;
        let granted = claim
            .status
            .as_ref()
            .is_some_and(|s| s.phase == ClaimPhase::Granted);
        if !granted {
            return None;
        }
        let renewal = claim.spec.renew_time.clone();
        let mut inner = self.inner();
        let last_renewal = inner
            .renewals
            .entry(uid)
            .or_insert_with(|| (renewal.clone(), now));
        if last_renewal.0 != renewal {
            *last_renewal = (renewal, now);
        }
        Some(last_renewal.clone())
    }

    pub(crate) fn refused(&self, uid: &str) -> Option<(Timestamp, String)> {
        self.inner().refusals.get(uid).cloned()
    }

    pub(crate) fn remember_refusal(&self, uid: &str, now: Timestamp, words: String) {
        let mut inner = self.inner();
        let refusal = inner
            .refusals
            .entry(uid.to_owned())
            .or_insert((now, String::new()));
        refusal.1 = words;
    }

    /// Whether the cache has not caught up with what was written to this object.
    pub(crate) fn is_stale(&self, uid: &str, version: Option<&str>) -> bool {
        let mut inner = self.inner();
        match (inner.written.get(uid), number(version)) {
            (Some(written), Some(cached)) if cached < *written => true,
            (Some(_), _) => {
                inner.written.remove(uid);
                false
            }
            (None, _) => false,
        }
    }

    pub(crate) fn remember_written(&self, uid: &str, version: Option<&str>) {
        let Some(version) = number(version) else {
            return;
        };
        let mut inner = self.inner();
        let written_version = inner.written.entry(uid.to_owned()).or_default();
        *written_version = version.max(*written_version);
        inner.refusals.remove(uid);
    }

    /// Whether the cache may be out of date where it leads to this status: it is the one that the
    /// operator wrote last, and another stands there now, or a live read has overruled it before.
    pub(crate) fn doubts<S: Debug>(&self, uid: &str, status: &S) -> bool {
        let (inner, status) = (self.inner(), hash(status));
        inner.statuses.get(uid) == Some(&status) || inner.overruled.get(uid) == Some(&status)
    }

    /// Takes note of a status that the cache led to, and a live read did not.
    pub(crate) fn overrule<S: Debug>(&self, uid: &str, status: &S) {
        self.inner().overruled.insert(uid.to_owned(), hash(status));
    }

    pub(crate) fn remember_status<S: Debug>(&self, uid: &str, status: &S) {
        let (mut inner, status) = (self.inner(), hash(status));
        if inner.overruled.get(uid) == Some(&status) {
            inner.overruled.remove(uid);
        }
        inner.statuses.insert(uid.to_owned(), status);
    }

    /// Lets an object rest for a while.
    pub(crate) fn rest_for(&self, uid: &str, rest: Duration) {
        put_off(&mut self.inner().rests, uid, rest);
    }

    /// How long an object still rests.
    pub(crate) fn rest(&self, uid: &str) -> Option<Duration> {
        remaining(&mut self.inner().rests, uid)
    }

    /// Lets more progress of an object wait for a while.
    pub(crate) fn progress_rests_for(&self, uid: &str, rest: Duration) {
        put_off(&mut self.inner().progress, uid, rest);
    }

    /// How long more progress of an object still waits.
    pub(crate) fn progress_rest(&self, uid: &str) -> Option<Duration> {
        remaining(&mut self.inner().progress, uid)
    }

    pub(crate) fn may_adopt(&self, uid: &str) -> bool {
        !self.inner().unadoptable.contains(uid)
    }

    pub(crate) fn remember_unadoptable(&self, uid: &str) {
        self.inner().unadoptable.insert(uid.to_owned());
    }

    /// Counts a failure; returns how many there were in a row.
    pub(crate) fn count_failure(&self, uid: &str) -> u32 {
        let mut inner = self.inner();
        let count = inner.failures.entry(uid.to_owned()).or_default();
        *count = count.saturating_add(1);
        *count
    }

    pub(crate) fn forget_failures(&self, uid: &str) {
        self.inner().failures.remove(uid);
    }

    /// Forgets an object that is gone.
    pub(crate) fn forget(&self, uid: &str) {
        let mut inner = self.inner();
        inner.renewals.remove(uid);
        inner.refusals.remove(uid);
        inner.written.remove(uid);
        inner.statuses.remove(uid);
        inner.overruled.remove(uid);
        inner.failures.remove(uid);
        inner.unadoptable.remove(uid);
        inner.rests.remove(uid);
        inner.progress.remove(uid);
    }
}

fn put_off(until: &mut HashMap<String, Instant>, uid: &str, rest: Duration) {
    if !rest.is_zero() {
        until.insert(uid.to_owned(), Instant::now() + rest);
    }
}

/// How long it is until then; one that has passed is forgotten.
fn remaining(until: &mut HashMap<String, Instant>, uid: &str) -> Option<Duration> {
    let rest = until.get(uid)?.checked_duration_since(Instant::now());
    if rest.is_none_or(|rest| rest.is_zero()) {
        until.remove(uid);
        return None;
    }
    rest
}

/// Two statuses with the same hash only cost reads.
fn hash<S: Debug>(status: &S) -> u64 {
    let mut hasher = DefaultHasher::new();
    format!("{status:?}").hash(&mut hasher);
    hasher.finish()
}

/// Versions are compared only with versions of the same object, where they rise as numbers; one that
/// is no number is never called stale.
fn number(version: Option<&str>) -> Option<u64> {
    version?.parse().ok()
}
