//! A Run's time: when it began, how long it was paused, and when its timeout passes.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use konductor_api::{Duration, Run, condition};

use super::record::{Stop, current};
use crate::deadline;

/// A Run's time.
pub(super) struct Clock {
    pub(super) started: Time,
    pub(super) paused_at: Option<Time>,
    pub(super) paused_for: Option<Duration>,
    /// When the timeout passes; `None` if there is none, or while it stands still.
    pub(super) deadline: Option<Timestamp>,
    pub(super) timed_out: bool,
    cancelled: bool,
}

impl Clock {
    pub(super) fn of(run: &Run, now: Timestamp) -> Self {
        let status = current(run);
        let second = Time(condition::whole_second(now));
        let started = status.and_then(|status| status.started_at.clone());
        let started = started.unwrap_or_else(|| second.clone());
        let paused_since = status.and_then(|status| status.paused_at.clone());
        let mut paused_for = status.and_then(|status| status.paused_for.clone());
        if let (false, Some(Time(since))) = (run.spec.is_paused(), &paused_since) {
            let before = paused_for.as_ref().and_then(|paused| paused.parse().ok());
            let paused =
                before.unwrap_or_default() + now.duration_since(*since).max(SignedDuration::ZERO);
            // Rounded up, so that the timeout is never early.
            let millis = u64::try_from(paused.as_millis()).unwrap_or_default();
            paused_for = Some(Duration::from_millis(millis.div_ceil(1000) * 1000));
        }
        let paused_at = run.spec.is_paused().then(|| paused_since.unwrap_or(second));
        let mut clock = Self {
            started,
            paused_at,
            paused_for,
            deadline: None,
            timed_out: false,
            cancelled: run.spec.cancel,
        };
        clock.deadline = clock.deadline(run).filter(|_| !run.spec.is_paused());
        clock.timed_out = clock.deadline.is_some_and(|deadline| deadline <= now);
        clock
    }

    fn deadline(&self, run: &Run) -> Option<Timestamp> {
        let timeout: SignedDuration = run.spec.timeout.as_ref()?.parse().ok()?;
        let paused = self
            .paused_for
            .as_ref()
            .and_then(|paused| paused.parse().ok());
        let after = timeout.checked_add(paused.unwrap_or_default())?;
        deadline::passes(&self.started, after)
    }

    /// Whether the Run is ended from outside.
    pub(super) fn ends(&self) -> bool {
        self.cancelled || self.timed_out
    }

    /// What a Job counts as ended by that was deleted, or never created.
    pub(super) fn stop(&self) -> Stop {
        if self.cancelled {
            Stop::Cancelled
        } else if self.timed_out {
            Stop::TimedOut
        } else {
            Stop::Deleted
        }
    }
}
