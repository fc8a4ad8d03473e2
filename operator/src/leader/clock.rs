//! A clock that is never set, and that runs while the machine sleeps: a lease does too.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment: the time since the machine was started, sleep included.
pub(crate) type Moment = Duration;

/// The runtime's timers stand still while the machine sleeps, so the clock is looked at this often.
const LOOKS_EVERY: Duration = Duration::from_secs(1);

/// On macOS the monotonic clock runs while the machine sleeps; elsewhere it stops.
#[cfg(target_vendor = "apple")]
const CLOCK: ClockId = ClockId::Monotonic;
#[cfg(not(target_vendor = "apple"))]
const CLOCK: ClockId = ClockId::Boottime;

/// The moment.
pub(crate) fn now() -> Moment {
    let time = clock_gettime(CLOCK);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Waits until a moment; forever without one.
pub(crate) async fn reaches(moment: Option<Moment>) {
    let Some(moment) = moment else {
        return std::future::pending().await;
    };
    while let Some(left) = moment.checked_sub(now()).filter(|left| !left.is_zero()) {
        tokio::time::sleep(left.min(LOOKS_EVERY)).await;
    }
}
