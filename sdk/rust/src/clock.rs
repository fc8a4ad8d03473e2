//! A clock that runs while the machine sleeps: a TTL does too.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the machine was started, sleep included.
pub(crate) fn now() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}
