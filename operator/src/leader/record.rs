//! What a `coordination.k8s.io` Lease says, as far as the election reads and writes it.
//!
//! Any client may have written it, so nothing in it is believed that could block the election forever.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;

/// Nobody waits longer for one who is silent, whatever the Lease says. No election may have a longer duration.
pub(crate) const SECONDS_MAX: i32 = 3600;

/// A Lease's spec.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    /// The leader; none if it is absent or empty.
    pub(crate) holder: Option<String>,
    /// `leaseDurationSeconds`, as written.
    pub(crate) seconds: Option<i32>,
    /// When the holder began to lead, by its own clock.
    pub(crate) acquired: Option<Timestamp>,
    /// When it was renewed, by the holder's clock: it distinguishes renewals, and is used for nothing else.
    pub(crate) renewed: Option<Timestamp>,
    /// How often the holder has changed.
    pub(crate) transitions: i32,
}

impl Record {
    /// How long it lasts from the moment it was first seen. What is no duration is taken for one's own.
    pub(crate) fn lasts(&self, own: i32) -> Duration {
        let seconds = self.seconds.filter(|seconds| *seconds > 0).unwrap_or(own);
        let seconds = u64::try_from(seconds.min(SECONDS_MAX));
        Duration::from_secs(seconds.unwrap_or_default())
    }
}

impl From<LeaseSpec> for Record {
    fn from(spec: LeaseSpec) -> Self {
        Self {
            holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
            seconds: spec.lease_duration_seconds,
            acquired: spec.acquire_time.map(|time| time.0),
            renewed: spec.renew_time.map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or_default(),
        }
    }
}

impl From<&Record> for LeaseSpec {
    fn from(record: &Record) -> Self {
        Self {
            // A merge leaves alone what is not named: that nobody holds it has to be said.
            holder_identity: Some(record.holder.clone().unwrap_or_default()),
            lease_duration_seconds: record.seconds,
            acquire_time: record.acquired.map(MicroTime),
            renew_time: record.renewed.map(MicroTime),
            lease_transitions: Some(record.transitions),
            ..Self::default()
        }
    }
}

/// As the API server stores it.
pub(crate) fn to_the_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
